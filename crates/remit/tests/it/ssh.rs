//! Outside repositories by ssh, with a real sshd on keys of its own. The private key reaches one run of ssh and is seen
//! nowhere else; a host whose key nobody pinned is not talked to.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::git::{commit, ok};
use crate::harness::{Client, DEADLINE, Folder, Server, Start, output, until};
use crate::remotes::{Looks, Watch, code, nothing_is_left};
use crate::secrets::holders;

/// Serves what git asks for, in the folder of the daemon.
const SERVES: &str = "exec git-shell -c \"$SSH_ORIGINAL_COMMAND\"";
/// Lets whoever came wait, for as long as they stay.
const HANGS: &str = "touch reached && exec cat";
/// Speaks no git, and says what ssh says of itself where it fails.
const BABBLES: &str = "echo 'Host key verification failed.' >&2; exec yes 'Permission denied'";

/// Debian's place for it; it wants to be started by its whole name.
const SSHD: &str = "/usr/sbin/sshd";

/// A daemon of ssh that lets one key in, for one command: one process for each connection, none in between.
struct Sshd {
    folder: PathBuf,
    port: u16,
    user: String,
    asked: Arc<AtomicUsize>,
    /// Whoever calls is looked at before it is answered.
    watched: Arc<OnceLock<Looks>>,
}

fn run(program: &str, args: &[&str]) -> Output {
    output(Command::new(program).args(args), DEADLINE)
}

/// A new pair of keys; the path of the private one.
fn key(folder: &Path, name: &str, passphrase: &str) -> String {
    let path = folder.join(name).to_str().expect("text").to_owned();
    let made =
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", passphrase, "-C", "x", "-f", &path]);
    assert!(made.status.success(), "{made:?}");
    path
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).expect("readable")
}

impl Sshd {
    /// Starts it, or says why it cannot be had here.
    fn start(folder: &Path, command: &str) -> Result<Self, String> {
        if !Path::new(SSHD).is_file() {
            return Err(format!("{SSHD} is not there (apt-get install openssh-server)"));
        }
        std::fs::create_dir_all(folder).expect("made");
        let at = folder.to_str().expect("text");
        let (host, mine) = (key(folder, "host", ""), key(folder, "mine", ""));
        std::fs::copy(format!("{mine}.pub"), folder.join("authorized_keys")).expect("copied");
        let config = format!(
            "HostKey {host}\nAuthorizedKeysFile {at}/authorized_keys\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nPermitUserRC no\nAllowTcpForwarding no\n\
             ForceCommand cd {at} && {command}\n"
        );
        std::fs::write(folder.join("sshd_config"), config).expect("written");
        let tested = output(Self::daemon(folder).arg("-t"), DEADLINE);
        if !tested.status.success() {
            return Err(format!(
                "sshd cannot run here: {}",
                String::from_utf8_lossy(&tested.stderr)
            ));
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let asked = Arc::<AtomicUsize>::default();
        let watched = Arc::<OnceLock<Looks>>::default();
        let (seen, own, looks) = (asked.clone(), folder.to_owned(), watched.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                seen.fetch_add(1, Ordering::Relaxed);
                let (folder, looks) = (own.clone(), looks.clone());
                std::thread::spawn(move || {
                    looks.get().map(Looks::another);
                    Self::serve(&folder, stream);
                });
            }
        });
        let user = String::from_utf8(run("id", &["-un"]).stdout).expect("text").trim().to_owned();
        Ok(Self { folder: folder.to_owned(), port, user, asked, watched })
    }

    /// As root it wants a folder of its own, which it gets where nobody else sees it.
    fn daemon(folder: &Path) -> Command {
        let is_root = rustix::process::geteuid().is_root();
        let mut daemon = if is_root && !Path::new("/run/sshd").is_dir() {
            let own = "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec \"$@\"";
            let mut daemon = Command::new("unshare");
            daemon.args(["--mount", "sh", "-c", own, "sh", SSHD]);
            daemon
        } else {
            Command::new(SSHD)
        };
        daemon.arg("-f").arg(folder.join("sshd_config")).arg("-e");
        daemon
    }

    fn serve(folder: &Path, stream: TcpStream) {
        let (input, output) = (stream.try_clone().expect("cloned"), stream);
        let mut daemon = Self::daemon(folder);
        daemon.arg("-i").stdin(OwnedFd::from(input)).stdout(OwnedFd::from(output));
        // Whoever hangs up is no matter of the daemon's.
        drop(daemon.stderr(Stdio::null()).status());
    }

    /// A repository of this name with one commit, and a clone of it to work in.
    fn repository(&self, name: &str) -> PathBuf {
        let clone = self.folder.join(format!("{name}-clone"));
        ok(&self.folder, &["init", "-q", "--bare", "-b", "main", name]);
        ok(&self.folder, &["clone", "-q", name, &format!("{name}-clone")]);
        ok(&clone, &["checkout", "-qB", "main"]);
        commit(&clone, "README.md", "outside\n", "Begin");
        ok(&clone, &["push", "-q", "origin", "main"]);
        clone
    }

    fn address(&self, name: &str) -> String {
        let Self { folder, port, user, .. } = self;
        format!("ssh://{user}@127.0.0.1:{port}{}/{name}", folder.display())
    }

    /// As the operator allows it.
    fn host(&self) -> String {
        format!("ssh://127.0.0.1:{}", self.port)
    }

    /// The line that pins a key as that of this host.
    fn pin(&self, key: &str) -> String {
        let public = read(&self.path(&format!("{key}.pub")));
        format!("[127.0.0.1]:{} {public}", self.port)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("text").to_owned()
    }

    fn key(&self) -> String {
        read(&self.path("mine"))
    }
}

/// A daemon, or a word about the test that says nothing here.
#[expect(
    clippy::print_stderr,
    reason = "a test that says nothing must not look like one that does"
)]
fn sshd(folder: &Path, command: &str, test: &str) -> Option<Sshd> {
    let started = Sshd::start(folder, command);
    started.inspect_err(|why| eprintln!("SKIPPED {test}: {why}")).ok()
}

/// A server that reaches these, with these lines of known hosts.
fn start(folder: &Folder, remotes: &[&Sshd], known: &str) -> Server {
    let path = folder.path().join("known_hosts");
    std::fs::write(&path, known).expect("written");
    let hosts = remotes.iter().map(|it| it.host()).collect::<Vec<_>>().join(",");
    let start = Start::on(folder).arg("--log").arg("debug").setting("workspaces.remotes", &hosts);
    start.setting("workspaces.known_hosts", path.to_str().expect("text")).server()
}

/// Lines of a private key that are in no public one.
fn secret_lines(key: &str) -> Vec<String> {
    let lines: Vec<_> = key.lines().collect();
    lines[3..lines.len() - 1].iter().map(|line| (*line).to_owned()).collect()
}

fn seen_nowhere(folder: &Folder, server: &Server, secrets: &[String]) {
    let texts: Vec<&str> = secrets.iter().map(String::as_str).collect();
    assert_eq!(holders(folder.path(), &texts), Vec::<String>::new());
    let log = server.log();
    assert!(!texts.iter().any(|text| log.contains(text)), "{log}");
}

#[tokio::test]
async fn a_repository_is_followed_by_ssh_and_the_key_is_seen_nowhere() {
    let outside = tempfile::tempdir().expect("a folder");
    let Some(sshd) = sshd(&outside.path().join("d"), SERVES, "repositories by ssh") else { return };
    let folder = Folder::new();
    let clone = sshd.repository("notes.git");
    ok(&sshd.folder, &["init", "-q", "--bare", "-b", "main", "empty.git"]);
    let server = start(&folder, &[&sshd], &sshd.pin("host"));
    let me = server.client();
    let secrets = secret_lines(&sshd.key());
    let watch = Watch::start(secrets.clone(), &["cmdline", "environ"], "HostKeyAlias=[127.0.0.1]");
    sshd.watched.set(watch.looks()).expect("nobody watched before");
    let repo = sshd.address("notes.git");
    let with_key = |body: Value| {
        let mut body = body;
        body["token"] = json!(sshd.key());
        body
    };
    let made = me.post("/agent/workspace/attach", with_key(json!({"repo": repo}))).await;
    let made = made.expect(reqwest::StatusCode::CREATED);
    assert_eq!((&made["name"], &made["remote"]["repo"]), (&json!("notes"), &json!(repo)));
    let content = async |path: &str| {
        let path = format!("/agent/workspace/file?workspace=notes&path={path}");
        me.get(&path).await.ok()["content"].clone()
    };
    assert_eq!(content("README.md").await, "outside\n");

    commit(&clone, "a.md", "from outside\n", "Go on");
    ok(&clone, &["push", "-q", "origin", "main"]);
    let file = sshd.path("mine");
    folder.run(&["ws", "pull", "-w", "notes", "--token-file", &file]).ok();
    assert_eq!(content("a.md").await, "from outside\n");
    me.put("b.md", "from here", "notes").await;
    let at = |verb: &str, name: &str| format!("/agent/workspace/{verb}?workspace={name}");
    let pushed = me.post(&at("push", "notes"), with_key(json!({}))).await.ok();
    assert_eq!(pushed["moved"], true);
    ok(&clone, &["pull", "-q", "--ff-only", "origin", "main"]);
    assert_eq!(ok(&clone, &["show", "HEAD:b.md"]), "from here");
    assert_eq!(me.post(&at("push", "notes"), with_key(json!({}))).await.ok()["moved"], false);

    let swapped = me.post("/agent/workspace/swap", with_key(json!({"repo": repo}))).await.ok();
    assert_eq!(swapped["workspace"]["id"], made["id"]);
    me.put("mine.md", "mine", "home").await;
    let publish = with_key(json!({"repo": sshd.address("empty.git")}));
    assert_eq!(me.post(&at("publish", "home"), publish).await.ok()["moved"], true);
    assert_eq!(ok(&sshd.folder.join("empty.git"), &["show", "main:mine.md"]), "mine");

    // Both go on: nothing is overwritten.
    commit(&clone, "c.md", "outside\n", "Go on again");
    ok(&clone, &["push", "-q", "origin", "main"]);
    me.put("c.md", "here", "notes").await;
    for (verb, words) in [("push", "pull first"), ("pull", "both sides went on")] {
        let refused = code(&me, &format!("{verb}?workspace=notes"), with_key(json!({}))).await;
        assert!(refused.0 == 409 && refused.2.contains(words), "{verb}: {refused:?}");
    }
    let (told, calls) = watch.end();
    assert!(told == 0 && calls > 0, "{told} of {calls}");
    seen_nowhere(&folder, &server, &secrets);
    assert!(server.stop().success());
}

/// A body that asks to attach, with a key.
fn attach(sshd: &Sshd, name: &str, key: Option<String>) -> Value {
    let mut body = json!({"repo": sshd.address(name)});
    if let Some(key) = key {
        body["token"] = json!(key);
    }
    body
}

#[tokio::test]
async fn every_way_to_be_kept_out_has_its_words_and_leaves_nothing() {
    let outside = tempfile::tempdir().expect("a folder");
    let at = |name: &str| outside.path().join(name);
    let Some(good) = sshd(&at("good"), SERVES, "refusals by ssh") else { return };
    let Some(babbles) = sshd(&at("babbles"), BABBLES, "refusals by ssh") else { return };
    let folder = Folder::new();
    good.repository("notes.git");
    let pins = format!("{}{}", good.pin("host"), babbles.pin("host"));
    let server = start(&folder, &[&good, &babbles], &pins);
    let me = server.client();
    let other = read(&key(outside.path(), "other", ""));
    let locked = read(&key(outside.path(), "locked", "a passphrase"));
    let broken = good.key().replace('A', "B");
    let mine = || Some(good.key());
    for (body, status, expected, words) in [
        (attach(&good, "notes.git", Some(other)), 502, "remote-failed", "did not accept"),
        (attach(&good, "none.git", mine()), 502, "remote-failed", "no such repository"),
        (attach(&good, "notes.git", None), 422, "invalid-request", "send a private key"),
        (
            attach(&good, "notes.git", Some("ghp_x".to_owned())),
            422,
            "invalid-request",
            "no private",
        ),
        (attach(&good, "notes.git", Some(locked)), 422, "invalid-request", "has a passphrase"),
        (attach(&good, "notes.git", Some(broken)), 422, "invalid-request", ""),
        (attach(&babbles, "x.git", Some(babbles.key())), 502, "remote-failed", "git could not"),
    ] {
        let (found, code, detail) = code(&me, "attach", body).await;
        assert_eq!((found, code.as_str()), (status, expected), "{words}: {detail}");
        assert!(detail.contains(words), "{words}: {detail}");
    }
    let mut branch = attach(&good, "notes.git", mine());
    branch["ref"] = json!("dev");
    let no_branch = code(&me, "attach", branch).await;
    assert!(no_branch.0 == 422 && no_branch.2.contains("`dev`"), "{no_branch:?}");
    // A host that nobody named, however it is written, is not even asked.
    let asked = good.asked.load(Ordering::Relaxed);
    for repo in ["git@git.example.org:x.git".to_owned(), format!("ssh://localhost:{}/x", good.port)]
    {
        let refused = code(&me, "attach", json!({"repo": repo, "token": good.key()})).await;
        assert_eq!((refused.0, refused.1.as_str()), (403, "remote-not-allowed"), "{refused:?}");
    }
    assert_eq!(good.asked.load(Ordering::Relaxed), asked);
    nothing_is_left(&me, &folder, 1).await;
    seen_nowhere(&folder, &server, &secret_lines(&good.key()));
}

#[tokio::test]
async fn a_host_is_talked_to_only_by_the_key_that_is_pinned() {
    let outside = tempfile::tempdir().expect("a folder");
    let Some(sshd) = sshd(&outside.path().join("d"), SERVES, "host keys") else { return };
    let folder = Folder::new();
    sshd.repository("notes.git");
    let shown = run("ssh-keygen", &["-l", "-f", &sshd.path("host.pub")]);
    let shown = String::from_utf8(shown.stdout).expect("text");
    let print = shown.split(' ').nth(1).expect("a fingerprint");
    let pins = folder.path().join("known_hosts");
    let server = start(&folder, &[&sshd], "");
    let me = server.client();
    let body = || attach(&sshd, "notes.git", Some(sshd.key()));
    let refused = |answer: (u16, String, String), status, expected, words| {
        let (found, code, detail) = answer;
        assert_eq!((found, code.as_str()), (status, expected), "{detail}");
        assert!(detail.contains(print) && detail.contains(words), "{detail}");
    };
    let unknown = code(&me, "attach", body()).await;
    refused(unknown, 403, "remote-not-allowed", "`workspaces.known_hosts`");
    // The key of another host, of the same kind; then that of the host, without a new start.
    std::fs::write(&pins, sshd.pin("mine")).expect("written");
    refused(
        code(&me, "attach", body()).await,
        502,
        "remote-failed",
        "somebody may stand in between",
    );
    nothing_is_left(&me, &folder, 1).await;
    std::fs::write(&pins, sshd.pin("host")).expect("written");
    me.post("/agent/workspace/attach", body()).await.expect(reqwest::StatusCode::CREATED);
    seen_nowhere(&folder, &server, &secret_lines(&sshd.key()));
    drop(server);
    let bad =
        Start::on(&folder).setting("workspaces.known_hosts", "/nowhere/known_hosts").attempt();
    let (_, log) = bad.err().expect("no server");
    assert!(log.contains("workspaces.known_hosts"), "{log}");
}

/// How many processes have this among their arguments.
fn running(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("there").flatten();
    let arguments =
        processes.map(|it| std::fs::read(it.path().join("cmdline")).unwrap_or_default());
    arguments.filter(|it| String::from_utf8_lossy(it).contains(text)).count()
}

async fn is_over(text: &str) {
    until("the end of ssh", async || (running(text) == 0).then_some(())).await;
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_leaves_no_ssh_no_key_and_no_workspace() {
    let outside = tempfile::tempdir().expect("a folder");
    let Some(sshd) = sshd(&outside.path().join("d"), HANGS, "a kill in the middle") else { return };
    let folder = Folder::new();
    let server = start(&folder, &[&sshd], &sshd.pin("host"));
    let me: Client = server.client();
    let (asking, body) = (me.clone(), attach(&sshd, "x.git", Some(sshd.key())));
    let mut asked = JoinSet::new();
    asked.spawn(async move {
        let request = asking.request("POST", "/agent/workspace/attach").json(&body);
        request.send().await.is_ok()
    });
    let reached = sshd.folder.join("reached");
    until("the remote", async || reached.exists().then_some(())).await;
    let alias = format!("HostKeyAlias=[127.0.0.1]:{}", sshd.port);
    assert!(running(&alias) > 0);
    server.kill();
    let told = asked.join_next().await.expect("one").expect("no panic");
    assert!(!told, "nobody was told of a success");
    is_over(&alias).await;
    let server = start(&folder, &[&sshd], &sshd.pin("host"));
    nothing_is_left(&server.client(), &folder, 1).await;
    seen_nowhere(&folder, &server, &secret_lines(&sshd.key()));
}
