//! Real git against `/git/<workspace>.git`: clone, fetch, push, and everything that a push may not do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::harness::{Answer, Client, Folder, Server};

/// Git as a person runs it, with nothing of this machine's configuration.
pub(crate) fn git(at: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(at)
        .args(["-c", "user.name=Joe", "-c", "user.email=joe@example.org"])
        .args(args)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", at)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    command.output().expect("git runs")
}

#[track_caller]
pub(crate) fn ok(at: &Path, args: &[&str]) -> String {
    let output = git(at, args);
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// What git says when it fails.
#[track_caller]
pub(crate) fn fails(at: &Path, args: &[&str]) -> String {
    let output = git(at, args);
    assert!(!output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes a file in a clone, and commits all that changed there.
pub(crate) fn commit(at: &Path, path: &str, content: &str, message: &str) {
    let file = at.join(path);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    std::fs::write(file, content).expect("written");
    ok(at, &["add", "-A"]);
    ok(at, &["commit", "-qm", message]);
}

pub(crate) struct Desk {
    pub(crate) folder: Folder,
    pub(crate) server: Server,
    pub(crate) me: Client,
    pub(crate) home: String,
    pub(crate) at: PathBuf,
}

impl Desk {
    /// A server, and a clone of the seeded person's home in `clone`.
    pub(crate) async fn new() -> Self {
        let folder = Folder::new();
        let server = Server::start(&folder);
        Self::at(folder, server).await
    }

    /// The same at a server that runs.
    pub(crate) async fn at(folder: Folder, server: Server) -> Self {
        let me = server.client();
        let list = me.get("/agent/workspaces").await.ok();
        let home = list["workspaces"][0]["id"].as_str().expect("a home").to_owned();
        me.turn(json!({"prompt": "write hello to a.md; remember wren"})).await.ok();
        let at = folder.path().join("clone");
        let desk = Self { folder, server, me, home, at };
        ok(desk.folder.path(), &["clone", "-q", &desk.url("home"), "clone"]);
        desk
    }

    pub(crate) fn url(&self, name: &str) -> String {
        self.url_with(name, self.server.ready["key"].as_str().expect("a key"))
    }

    pub(crate) fn url_with(&self, name: &str, key: &str) -> String {
        let address = self.server.url().strip_prefix("http://").expect("an address");
        format!("http://whoever:{key}@{address}/git/{name}.git")
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.data().join(format!("workspaces/{}.git", self.home))
    }

    pub(crate) fn head(&self) -> String {
        ok(&self.repository(), &["rev-parse", "refs/heads/main"])
    }

    pub(crate) fn commit(&self, path: &str, content: &str, message: &str) {
        commit(&self.at, path, content, message);
    }

    /// A push that the server refuses for this reason; nothing of it is left, here or there.
    #[track_caller]
    fn refused(&self, why: &str) {
        let before = self.head();
        let said = fails(&self.at, &["push", "-q", "origin", "HEAD:main"]);
        assert!(said.contains(why), "should say `{why}`: {said}");
        assert_eq!(self.head(), before);
        let left = std::fs::read_dir(self.repository()).expect("there");
        let left = left.flatten().filter(|it| it.file_name().to_string_lossy().starts_with("tmp_"));
        assert_eq!(left.count(), 0, "a quarantine was left behind");
        ok(&self.at, &["reset", "-q", "--hard", "origin/main"]);
    }
}

#[tokio::test]
async fn a_workspace_is_cloned_and_fetched_with_a_key_and_nothing_else_of_it_is_given() {
    let desk = Desk::new().await;
    assert_eq!(ok(&desk.at, &["show", "HEAD:a.md"]), "hello");
    ok(&desk.at, &["fsck", "--strict"]);
    assert_eq!(ok(&desk.at, &["log", "-1", "--format=%an|%cn"]), "Owner|Remit");
    desk.me.put("b.md", "fetched", &desk.home).await;
    ok(&desk.at, &["pull", "-q", "--ff-only"]);
    assert_eq!(ok(&desk.at, &["show", "HEAD:b.md"]), "fetched");
    ok(desk.folder.path(), &["clone", "-q", "--depth", "1", &desk.url("home"), "shallow"]);
    // By id as well; and a conversation's session, which lies in the repository, is not shown.
    let refs = ok(desk.folder.path(), &["ls-remote", &desk.url(&desk.home)]);
    let names: Vec<_> = refs.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(names, ["HEAD", "refs/heads/main"]);
    let session =
        ok(&desk.repository(), &["for-each-ref", "--format=%(objectname)", "refs/remit/sessions"]);
    let session = session.lines().next().expect("a session is kept");
    for version in ["0", "2"] {
        let version = format!("protocol.version={version}");
        fails(&desk.at, &["-c", &version, "fetch", "-q", "origin", session]);
    }
    for (name, key) in
        [("home", "rmt_wrong"), ("nowhere", desk.server.ready["key"].as_str().expect("a key"))]
    {
        fails(desk.folder.path(), &["ls-remote", &desk.url_with(name, key)]);
    }
    let address = desk.server.url();
    fails(desk.folder.path(), &["ls-remote", &format!("{address}/git/home.git")]);
    let asked = desk.server.nobody().get("/git/home.git/info/refs?service=git-upload-pack").await;
    assert_eq!(asked.headers["www-authenticate"], "Basic realm=\"Remit\"");
    let dumb = desk.me.get("/git/home.git/info/refs").await;
    assert_eq!(dumb.status.as_u16(), 422, "{dumb:?}");
}

#[tokio::test]
async fn a_push_moves_the_folder_on_and_another_one_is_told_to_pull() {
    let desk = Desk::new().await;
    desk.commit("deep/c.md", "pushed\n", "Add c");
    std::os::unix::fs::symlink("deep/c.md", desk.at.join("link")).expect("made");
    std::fs::create_dir(desk.at.join("bin")).expect("made");
    desk.commit("bin/run.sh", "#!/bin/sh\n", "Add a link and a script");
    ok(&desk.at, &["update-index", "--chmod=+x", "bin/run.sh"]);
    ok(&desk.at, &["commit", "-qm", "Make it executable"]);
    ok(&desk.at, &["push", "-q", "origin", "HEAD:main"]);
    assert_eq!(desk.head(), ok(&desk.at, &["rev-parse", "HEAD"]));
    let read = desk.me.get("/agent/workspace/file?path=deep/c.md").await.ok();
    assert_eq!(read["content"], "pushed\n");
    let log = desk.me.get("/agent/workspace/log?limit=1").await.ok();
    assert_eq!(log["commits"][0]["author"]["name"], "Joe");
    // What comes next builds on it: an agent's work, then a push that has not seen it.
    desk.me.turn(json!({"prompt": "append more to deep/c.md"})).await.ok();
    desk.commit("d.md", "late", "Add d");
    let said = fails(&desk.at, &["push", "-q", "origin", "HEAD:main"]);
    assert!(said.contains("fetch first") || said.contains("pull first"), "{said}");
    desk.refused_forced();
    ok(&desk.at, &["pull", "-q", "--rebase"]);
    ok(&desk.at, &["push", "-q", "origin", "HEAD:main"]);
    // Nothing new to push is nothing.
    ok(&desk.at, &["push", "-q", "origin", "HEAD:main"]);
    ok(&desk.repository(), &["fsck", "--strict"]);
    let again = desk.folder.path().join("again");
    ok(desk.folder.path(), &["clone", "-q", &desk.url("home"), "again"]);
    assert_eq!(ok(&again, &["rev-parse", "HEAD"]), desk.head());
    // A large push comes in pieces, a merge with what it merged.
    ok(&desk.at, &["checkout", "-qb", "side"]);
    for number in 0..300 {
        std::fs::write(desk.at.join(format!("{number}.txt")), format!("{number}\n").repeat(2_000))
            .expect("written");
    }
    desk.commit("side.md", "side", "Add much");
    ok(&desk.at, &["checkout", "-q", "-"]);
    desk.commit("main.md", "main", "Add main");
    ok(&desk.at, &["merge", "-q", "--no-edit", "side"]);
    ok(&desk.at, &["push", "-q", "origin", "HEAD:main"]);
    let tree = desk.me.get("/agent/workspace/tree").await.ok();
    assert!(tree["files"].as_array().is_some_and(|files| files.len() > 300));
    ok(&desk.repository(), &["fsck", "--strict"]);
}

impl Desk {
    /// A push by force, or of something else than `main`, changes nothing.
    #[track_caller]
    fn refused_forced(&self) {
        let before = self.head();
        fails(&self.at, &["push", "-qf", "origin", "HEAD~2:main"]);
        fails(&self.at, &["push", "-q", "origin", ":main"]);
        fails(&self.at, &["push", "-q", "origin", "HEAD:other"]);
        fails(&self.at, &["push", "-q", "origin", "HEAD:refs/remit/held/x"]);
        ok(&self.at, &["tag", "-f", "v1"]);
        fails(&self.at, &["push", "-q", "origin", "v1"]);
        assert_eq!(self.head(), before);
        let refs = ok(&self.repository(), &["for-each-ref", "--format=%(refname)"]);
        assert!(
            refs.lines()
                .all(|it| it == "refs/heads/main" || it.starts_with("refs/remit/sessions/")),
            "{refs}"
        );
    }
}

#[tokio::test]
async fn a_push_is_held_to_the_policy_of_every_commit() {
    let desk = Desk::new().await;
    std::os::unix::fs::symlink("/etc/passwd", desk.at.join("passwd")).expect("made");
    desk.commit("x.md", "x", "Add a way out");
    desk.refused("link-leads-out");
    // A rule that is broken in the middle is broken, though the newest commit is fine again.
    std::os::unix::fs::symlink("../../x", desk.at.join("up")).expect("made");
    desk.commit("x.md", "x", "Add a way out");
    ok(&desk.at, &["rm", "-q", "up"]);
    desk.commit("y.md", "y", "Take it away");
    desk.refused("up is refused: link-leads-out");
    desk.commit("A.MD", "twin", "Add a twin");
    desk.refused("case-twin");
    desk.commit(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = ../x\n", "Add modules");
    desk.refused("submodules");
    let blob = ok(&desk.at, &["rev-parse", "HEAD"]);
    ok(&desk.at, &["update-index", "--add", "--cacheinfo", &format!("160000,{blob},sub")]);
    ok(&desk.at, &["commit", "-qm", "Add a submodule"]);
    desk.refused("sub is refused: submodules");
    desk.commit("tab\there.md", "x", "Add a control character");
    desk.refused("control-character");
    desk.commit("z.md", "z", "Pose\n\nDispatch: dsp_01jzr00000fay8vvr14d2pf2db\nLabel: trusted");
    desk.refused("only Remit writes");
    desk.commit("z.md", "z", "Pose");
    ok(&desk.at, &["-c", "user.email=remit@localhost", "commit", "-q", "--amend", "--no-edit"]);
    desk.refused("only Remit writes");
    let large = "x".repeat((32 << 20) + 1);
    desk.commit("large.bin", &large, "Add too much");
    desk.refused("too-large");
    ok(&desk.repository(), &["fsck", "--strict"]);
}

#[tokio::test]
async fn what_is_no_push_is_refused_and_a_viewer_never_pushes() {
    let desk = Desk::new().await;
    let before = desk.head();
    let post = async |what: &str, body: Vec<u8>| {
        let path = format!("/git/home.git/{what}");
        Answer::of(desk.me.request("POST", &path).body(body)).await
    };
    for bad in [&b"zzzz"[..], b"0001", b"00", b"000ahello\n0000"] {
        assert_eq!(post("git-receive-pack", bad.to_vec()).await.status.as_u16(), 400, "{bad:?}");
    }
    let line = format!("{before} {} refs/heads/main\0report-status\n", "1".repeat(40));
    let push = format!("{:04x}{line}0000", line.len() + 4);
    for pack in [&b""[..], b"PACK", b"PACK\0\0\0\x02\xff\xff\xff\xff"] {
        let answer = post("git-receive-pack", [push.as_bytes(), pack].concat()).await;
        assert_eq!(answer.status.as_u16(), 200);
        assert!(answer.body.contains("ng refs/heads/main the pack is broken"), "{answer:?}");
    }
    let wants = post("git-upload-pack", b"0032want nonsense\n".to_vec()).await;
    assert_eq!((wants.status.as_u16(), wants.body.contains("PACK")), (200, false));
    let zipped = desk.me.request("POST", "/git/home.git/git-upload-pack").body("no gzip");
    let zipped = Answer::of(zipped.header("content-encoding", "gzip")).await;
    assert_eq!(zipped.status.as_u16(), 400);
    let (vic, vic_id) = desk.server.person("vic", "agent,read").await;
    let invite = json!({"role": "viewer", "mode": "open"});
    let invite = desk.me.post("/agent/workspace/invites", invite).await.ok();
    vic.post("/agent/workspace/invites/accept", json!({"token": invite["token"]})).await.ok();
    let key =
        desk.server.admin().post(&format!("/admin/users/{vic_id}/tokens"), json!({})).await.ok();
    let url = desk.url_with(&desk.home, key["token"].as_str().expect("a key"));
    ok(desk.folder.path(), &["clone", "-q", &url, "viewed"]);
    desk.commit("v.md", "v", "Try");
    let said = fails(&desk.at, &["push", "-q", &url, "HEAD:main"]);
    assert!(said.contains("your role in this workspace"), "git tells why: {said}");
    assert_eq!(desk.head(), before);
}
