//! What git and ssh said, sorted into what a caller can do about it. Its words, and those of the remote among them, are never
//! handed on: a remote could say back what it was sent. Pure.

use super::ssh::known_as;
use super::{Branch, RemoteError, RemoteUrl, There};

/// What fetching or pushing failed for.
pub(super) fn why(said: &str, branch: &Branch) -> RemoteError {
    // What the remote itself says stands behind `remote:`.
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("remote:")).collect();
    let says =
        |words: &[&str]| lines.iter().any(|line| words.iter().any(|word| line.contains(word)));
    if says(&["redirection", "error: 301", "error: 302", "error: 303", "error: 307", "error: 308"])
    {
        RemoteError::Redirects
    } else if says(&[
        "could not read Username",
        "could not read Password",
        "Authentication failed",
        "error: 401",
        "error: 403",
        "Permission denied",
    ]) {
        RemoteError::Credential
    } else if says(&["couldn't find remote ref"]) {
        RemoteError::NoBranch(branch.name().to_owned())
    } else if says(&["not found", "error: 404", "does not appear to be a git repository"]) {
        RemoteError::NoRepository
    } else if says(&["certificate", "Host key verification failed"]) {
        RemoteError::Certificate
    } else if says(&["Could not resolve", "Failed to connect", "Couldn't connect", "SOCKS5"]) {
        RemoteError::Unreachable
    } else if says(&["File too large", "signal 25", "maximum allowed size", "Out of memory"]) {
        RemoteError::TooMuch
    } else if says(&["too slow", "timed out"]) {
        RemoteError::TooSlow
    } else if says(&["fsck", "index-pack", "bad object", "did not send all necessary objects"]) {
        RemoteError::Broken
    } else {
        RemoteError::Failed
    }
}

/// What git says where nobody answers it; over ssh, as long as ssh was let in, there is nothing for us then.
const NO_ANSWER: &str = "Could not read from remote repository";

/// What a connection by ssh failed for, where ssh itself says so. Of the remote there is nothing in what ssh says but
/// behind words of its own.
pub(super) fn by_ssh(log: &str, git: &str, url: &RemoteUrl) -> Option<RemoteError> {
    let lines: Vec<&str> = log.lines().map(str::trim_end).collect();
    let begins = |words: &str| lines.iter().any(|line| line.starts_with(words));
    let denied = format!("{}@127.0.0.1: Permission denied", url.user());
    Some(if begins("Host key verification failed") {
        let (host, key) = (known_as(url), shown_key(&lines));
        let changed = ["@    WARNING: REMOTE HOST IDENTIFICATION", "@       WARNING: REVOKED"];
        if changed.iter().any(|words| begins(words)) {
            RemoteError::OtherHost { host, key }
        } else {
            RemoteError::UnknownHost { host, key }
        }
    } else if begins("Load key") {
        super::BadKey::NoKey.into()
    } else if begins(&denied) {
        RemoteError::Credential
    } else if begins("Timeout, server") || begins("Connection to 127.0.0.1 timed out") {
        RemoteError::TooSlow
    } else if begins("Authenticated to") && git.contains(NO_ANSWER) {
        RemoteError::NoRepository
    } else {
        return None;
    })
}

/// The kind and the fingerprint of the key that a host showed.
fn shown_key(lines: &[&str]) -> String {
    let shown = lines.iter().find_map(|line| line.strip_prefix("debug1: Server host key: "));
    let plain = |it: &&str| it.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    shown.filter(plain).unwrap_or("(unknown)").to_owned()
}

/// What another server of ours says of a push that did not move its branch.
const WAITS: &str = "(it waits as proposal ";
const NOTHING_NEW: &str = "(nothing to propose: ";

/// What a push came to, by its report for programs. Nothing where there is no report.
pub(super) fn pushed(out: &str, success: bool) -> Option<Result<There, RemoteError>> {
    let report = out.lines().find(|line| line.contains('\t'))?;
    let mut parts = report.split('\t');
    let (flag, _, summary) = (parts.next()?, parts.next()?, parts.next()?);
    Some(match (flag, success) {
        ("=", true) => Ok(There::Already),
        (" " | "*", true) => Ok(There::Moved),
        ("!", _) if summary.contains(WAITS) => Ok(There::Proposed),
        ("!", _) if summary.contains(NOTHING_NEW) => Ok(There::Already),
        ("!", _) if summary.contains("fetch first") || summary.contains("non-fast-forward") => {
            Err(RemoteError::Behind)
        }
        ("!", _) => Err(RemoteError::Declined),
        _ => Err(RemoteError::Failed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, expected: &str) {
        let why = format!("{:?}", why(said, &Branch::default()));
        assert!(why.starts_with(expected), "{said}: {why}");
    }

    #[test]
    fn what_git_says_is_sorted_and_what_the_remote_says_is_not_heard() {
        check(
            "fatal: unable to access 'https://x/': The requested URL returned error: 403",
            "Credential",
        );
        check(
            "fatal: could not read Username for 'https://x': terminal prompts disabled",
            "Credential",
        );
        check("fatal: repository 'https://x/y/' not found", "NoRepository");
        check("fatal: couldn't find remote ref refs/heads/main", "NoBranch");
        check(
            "fatal: unable to update url base from redirection:\n  asked for: https://x",
            "Redirects",
        );
        check(
            "fatal: unable to access 'https://x/': The requested URL returned error: 302",
            "Redirects",
        );
        check(
            "fatal: unable to access 'https://x/': SSL certificate problem: self-signed",
            "Certificate",
        );
        check(
            "error: object 1234: fullPathname: contains full pathnames\nfatal: fsck error in packed object",
            "Broken",
        );
        check("error: index-pack died of signal 25", "TooMuch");
        check("remote: error: 403\nfatal: the remote end hung up unexpectedly", "Failed");
    }

    #[test]
    fn what_ssh_says_is_sorted_and_what_the_remote_says_in_it_is_not_heard() {
        let url = "ssh://joe@git.example.org:2222/x".parse().expect("an address");
        let key = "debug1: Server host key: ssh-ed25519 SHA256:b+xI\r\n";
        let check = |said: &str, expected: &str| {
            let log = format!("{key}{said}\r\n");
            let why = format!("{:?}", by_ssh(&log, &format!("fatal: {NO_ANSWER}."), &url));
            assert!(why.starts_with(expected), "{said}: {why}");
        };
        check(
            "No ED25519 host key is known for x and you have requested strict checking.\r\n\
             Host key verification failed.",
            "Some(UnknownHost { host: \"[git.example.org]:2222\", key: \"ssh-ed25519 SHA256:b+xI\" })",
        );
        check(
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n\
             Host key verification failed.",
            "Some(OtherHost",
        );
        check("Load key \"/proc/1/fd/3\": error in libcrypto", "Some(BadKey(NoKey))");
        check("joe@127.0.0.1: Permission denied (publickey).", "Some(Credential)");
        check("Authenticated to 127.0.0.1 ([127.0.0.1]:7) using \"publickey\".", "Some(NoReposi");
        check("debug1: Remote: Host key verification failed.", "None");
        check("Received disconnect from 127.0.0.1: Permission denied", "None");
    }

    #[test]
    fn a_push_is_judged_by_its_report() {
        let check = |out: &str, success, expected: &str| {
            assert_eq!(format!("{:?}", pushed(out, success)), expected, "{out}");
        };
        check("To https://x\n*\ta:refs/heads/main\t[new branch]\nDone\n", true, "Some(Ok(Moved))");
        check("To https://x\n \ta:refs/heads/main\t1..2\nDone\n", true, "Some(Ok(Moved))");
        check(
            "To https://x\n=\ta:refs/heads/main\t[up to date]\nDone\n",
            true,
            "Some(Ok(Already))",
        );
        check(
            "To https://x\n!\ta:refs/heads/main\t[rejected] (fetch first)\nDone\n",
            false,
            "Some(Err(Behind))",
        );
        check(
            "To x\n!\ta:refs/heads/main\t[rejected] (non-fast-forward)\n",
            false,
            "Some(Err(Behind))",
        );
        let waits = "[remote rejected] (it waits as proposal prp_1: only owners push to main)";
        check(&format!("To x\n!\ta:refs/heads/main\t{waits}\n"), false, "Some(Ok(Proposed))");
        check("To x\n!\ta:refs/heads/main\t[remote rejected] (no)\n", false, "Some(Err(Declined))");
        check("", false, "None");
    }
}
