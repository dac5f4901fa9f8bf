//! Outside repositories, real ones: another server of ours, and git's own HTTP backend behind a few lines that can be
//! told to misbehave. What comes is held to the policy of every commit, and the token is seen by the remote alone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use crate::git::{fails, ok};
use crate::harness::{Answer, Client, DEADLINE, Folder, Server, Start, Stream};
use crate::secrets::holders;

/// What the remote of these tests asks for; it must be seen nowhere else.
const TOKEN: &str = "canary-token-5b1f0c9e7d";

/// The token as it is, and how it begins as it is sent.
const CANARIES: [&str; 2] = [TOKEN, "Y2FuYXJ5LXRva2Vu"];

/// How a remote behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As git's own HTTP backend.
    Good,
    /// It leads elsewhere.
    Redirects,
    /// Its list of refs never ends.
    Endless,
    /// It says the token back wherever it can.
    Tells,
}

/// Repositories below a folder, over HTTP, for who has the token.
struct Remote {
    url: String,
    root: PathBuf,
    asked: Arc<AtomicUsize>,
    /// Whoever asks is looked at before it is answered.
    watched: Arc<OnceLock<Looks>>,
}

impl Remote {
    fn start(root: &Path, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::<AtomicUsize>::default();
        std::fs::create_dir_all(root).expect("made");
        let watched = Arc::<OnceLock<Looks>>::default();
        let remote = Self {
            url: url.clone(),
            root: root.to_owned(),
            asked: asked.clone(),
            watched: watched.clone(),
        };
        let root = root.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                asked.fetch_add(1, Ordering::Relaxed);
                let (root, url, watched) = (root.clone(), url.clone(), watched.clone());
                std::thread::spawn(move || {
                    watched.get().map(Looks::another);
                    // Whoever hangs up is no matter of the remote's.
                    serve(stream, &root, &url, manner)
                });
            }
        });
        remote
    }

    /// A repository of this name with one commit, and a clone of it to work in.
    fn repository(&self, name: &str) -> PathBuf {
        let at = self.root.join(name);
        ok(&self.root, &["init", "-q", "--bare", "-b", "main", name]);
        ok(&at, &["config", "http.receivepack", "true"]);
        let clone = self.root.join(format!("{name}-clone"));
        ok(&self.root, &["clone", "-q", name, &format!("{name}-clone")]);
        ok(&clone, &["checkout", "-qB", "main"]);
        commit(&clone, "README.md", "outside\n");
        ok(&clone, &["push", "-q", "origin", "main"]);
        clone
    }

    fn address(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    /// As the operator allows it.
    fn host(&self) -> &str {
        &self.url
    }
}

fn commit(clone: &Path, path: &str, content: &str) {
    crate::git::commit(clone, path, content, &format!("Change {path}"));
}

fn serve(stream: TcpStream, root: &Path, url: &str, manner: Manner) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length =
        header(&head, "content-length").map_or(0, |length| length.parse().expect("a number"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = reader.into_inner();
    match manner {
        Manner::Redirects => {
            let to = format!("{url}/elsewhere/info/refs?service=git-upload-pack");
            return write!(
                stream,
                "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
            );
        }
        Manner::Endless => {
            let kind = "application/x-git-upload-pack-advertisement";
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n")?;
            write!(stream, "001e# service=git-upload-pack\n0000")?;
            let line = format!("003d{} refs/heads/x\n", "1".repeat(40)).repeat(1_000);
            loop {
                stream.write_all(line.as_bytes())?;
            }
        }
        Manner::Tells => {
            let said = header(&head, "authorization").unwrap_or_default();
            let body = format!("{said} {TOKEN}");
            return write!(
                stream,
                "HTTP/1.1 500 {TOKEN}\r\ncontent-type: text/plain\r\nx-it: {said}\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
        }
        Manner::Good => {}
    }
    // `x-access-token:` and the token, as base64.
    let expected = "Basic eC1hY2Nlc3MtdG9rZW46Y2FuYXJ5LXRva2VuLTViMWYwYzllN2Q=";
    if header(&head, "authorization").as_deref() != Some(expected) {
        let asks = "www-authenticate: Basic realm=\"x\"";
        return write!(stream, "HTTP/1.1 401 No\r\n{asks}\r\ncontent-length: 0\r\n\r\n");
    }
    backend(stream, root, &head, &body)
}

/// The value of a header.
fn header(head: &str, name: &str) -> Option<String> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1.to_owned())
}

/// What git's own backend answers.
fn backend(mut stream: TcpStream, root: &Path, head: &str, body: &[u8]) -> std::io::Result<()> {
    let target = head.split(' ').nth(1).expect("a target");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut backend = Command::new("git");
    backend.arg("http-backend").env_clear().env("PATH", "/usr/bin:/bin");
    let method = head.split(' ').next().expect("a method");
    for (name, value) in [
        ("GIT_PROJECT_ROOT", root.to_str().expect("text")),
        ("GIT_HTTP_EXPORT_ALL", "1"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", "*"),
        ("REQUEST_METHOD", method),
        ("PATH_INFO", path),
        ("QUERY_STRING", query),
        ("REMOTE_USER", "x"),
        ("CONTENT_TYPE", &header(head, "content-type").unwrap_or_default()),
        ("CONTENT_LENGTH", &body.len().to_string()),
        ("HTTP_CONTENT_ENCODING", &header(head, "content-encoding").unwrap_or_default()),
        ("GIT_PROTOCOL", &header(head, "git-protocol").unwrap_or_default()),
    ] {
        backend.env(name, value);
    }
    let piped = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut backend = piped.spawn()?;
    backend.stdin.take().expect("piped").write_all(body)?;
    let answer = backend.wait_with_output()?.stdout;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let told = String::from_utf8_lossy(&answer[..end]);
    let status = told.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let content = &answer[end + 4..];
    let length = content.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{told}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(content)
}

fn start(folder: &Folder, hosts: &str) -> Server {
    Start::on(folder).arg("--log").arg("debug").setting("workspaces.remotes", hosts).server()
}

/// What is answered to a request that is refused: status, code, detail.
pub(crate) async fn code(client: &Client, path: &str, body: Value) -> (u16, String, String) {
    let request = client.request("POST", &format!("/agent/workspace/{path}")).json(&body);
    let answer = Answer::of(request.header("accept", "application/problem+json")).await;
    let problem = answer.json();
    let text = |field: &str| problem[field].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), text("code"), text("detail"))
}

/// Looks at all processes, again and again, until it is dropped.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    looks: Looks,
    thread: Option<std::thread::JoinHandle<(usize, usize)>>,
}

/// How often a watch has looked at all processes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looks(Arc<AtomicUsize>);

impl Looks {
    /// Waits until all processes that are there now were looked at, or nobody looks any more.
    pub(crate) fn another(&self) {
        const PAUSE: Duration = Duration::from_millis(2);
        // The look that is under way may have passed some of them.
        let enough = self.0.load(Ordering::Relaxed).saturating_add(2);
        let pauses = DEADLINE.as_millis() / PAUSE.as_millis();
        let looked = (0..pauses).any(|_| {
            std::thread::park_timeout(PAUSE);
            self.0.load(Ordering::Relaxed) >= enough
        });
        assert!(looked, "the watch does not look");
    }
}

impl Watch {
    /// Looks for any of the secrets in these files of each process, and for `work` in its arguments.
    pub(crate) fn start(
        secrets: Vec<String>,
        files: &'static [&'static str],
        work: &'static str,
    ) -> Self {
        let over = Arc::<AtomicBool>::default();
        let end = over.clone();
        let looks = Looks::default();
        let looked = looks.clone();
        let thread = std::thread::spawn(move || {
            let (mut told, mut calls) = (0, 0);
            while !end.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").expect("there").flatten() {
                    let text = |name: &str| {
                        let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
                        String::from_utf8_lossy(&bytes).into_owned()
                    };
                    let said: String = files.iter().map(|name| text(name)).collect();
                    told += usize::from(secrets.iter().any(|secret| said.contains(secret)));
                    calls += usize::from(text("cmdline").contains(work));
                }
                looked.0.fetch_add(1, Ordering::Relaxed);
            }
            looked.0.store(usize::MAX, Ordering::Relaxed);
            (told, calls)
        });
        Self { over, looks, thread: Some(thread) }
    }

    /// How often it has looked.
    pub(crate) fn looks(&self) -> Looks {
        self.looks.clone()
    }

    /// How often it saw a secret, and how often the program at its work.
    pub(crate) fn end(mut self) -> (usize, usize) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().expect("running").join().expect("ended")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Nothing is left of what was refused: no workspace, no folder, no quarantine.
pub(crate) async fn nothing_is_left(client: &Client, folder: &Folder, workspaces: usize) {
    let list = client.get("/agent/workspaces").await.ok();
    assert_eq!(list["workspaces"].as_array().expect("a list").len(), workspaces);
    let folders: Vec<_> =
        std::fs::read_dir(folder.data().join("workspaces")).expect("there").flatten().collect();
    assert_eq!(folders.len(), workspaces, "{folders:?}");
    for repository in folders {
        let inside = std::fs::read_dir(repository.path()).expect("there").flatten();
        let left = inside.filter(|it| it.file_name().to_string_lossy().starts_with("tmp_"));
        assert_eq!(left.count(), 0, "a quarantine was left behind");
    }
}

/// A missing, a wrong token, no such branch and no such repository are told apart, and leave nothing.
async fn nobody_gets_in_without_the_token(me: &Client, folder: &Folder, remote: &Remote) {
    let repo = remote.address("notes.git");
    for body in [json!({"repo": repo}), json!({"repo": repo, "token": "canary-wrong"})] {
        let (status, code, detail) = code(me, "attach", body).await;
        assert_eq!((status, code.as_str()), (502, "remote-failed"), "{detail}");
        assert!(detail.contains("credential"), "{detail}");
    }
    let no_branch = code(me, "attach", json!({"repo": repo, "ref": "dev", "token": TOKEN})).await;
    assert!(no_branch.0 == 422 && no_branch.2.contains("`dev`"), "{no_branch:?}");
    let none = json!({"repo": remote.address("none.git"), "token": TOKEN});
    assert_eq!(code(me, "attach", none).await.0, 502);
    nothing_is_left(me, folder, 1).await;
}

#[tokio::test]
async fn a_repository_is_attached_pulled_and_pushed_and_only_it_sees_the_token() {
    let folder = Folder::new();
    let outside = tempfile::tempdir().expect("a folder");
    let remote = Remote::start(outside.path(), Manner::Good);
    let clone = remote.repository("notes.git");
    let server = start(&folder, remote.host());
    let me = server.client();
    let repo = remote.address("notes.git");
    nobody_gets_in_without_the_token(&me, &folder, &remote).await;
    let secrets = vec![TOKEN.to_owned(), "Y2FuYXJ5".to_owned()];
    let watch = Watch::start(secrets, &["cmdline"], "refs/heads/incoming");
    remote.watched.set(watch.looks()).expect("nobody watched before");
    let made = me.post("/agent/workspace/attach", json!({"repo": repo, "token": TOKEN})).await;
    let made = made.expect(reqwest::StatusCode::CREATED);
    assert_eq!((&made["name"], &made["active"]), (&json!("notes"), &json!(false)));
    assert_eq!(made["remote"], json!({"repo": repo, "ref": "main"}));
    let read = me.get("/agent/workspace/file?workspace=notes&path=README.md").await.ok();
    assert_eq!(read["content"], "outside\n");

    // It goes on outside, then here.
    let at = |verb: &str| format!("/agent/workspace/{verb}?workspace=notes");
    let token = json!({"token": TOKEN});
    let nothing_new = me.post(&at("pull"), token.clone()).await.ok();
    assert_eq!(nothing_new["commits"], 0);
    commit(&clone, "a.md", "from outside\n");
    ok(&clone, &["push", "-q", "origin", "main"]);
    let pulled = me.post(&at("pull"), token.clone()).await.ok();
    assert_eq!(
        (&pulled["commits"], &pulled["revision"]),
        (&json!(1), &json!(ok(&clone, &["rev-parse", "HEAD"])))
    );
    me.put("b.md", "from here", "notes").await;
    let chat = me.request("POST", "/agent/chat?workspace=notes");
    let mut turn = Stream::of(chat.json(&json!({"prompt": "append more to a.md"}))).await;
    let turn = turn.rest().await;
    let pushed = me.post(&at("push"), token.clone()).await.ok();
    assert_eq!(pushed["moved"], true, "{turn:?}");
    assert_eq!(me.post(&at("push"), token.clone()).await.ok()["moved"], false);
    ok(&clone, &["pull", "-q", "--ff-only", "origin", "main"]);
    assert_eq!(ok(&clone, &["show", "HEAD:b.md"]), "from here");
    let refs = ok(&remote.root.join("notes.git"), &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/main", "conversations stay here");

    // Both go on: nothing is overwritten, and both ways say so.
    commit(&clone, "c.md", "outside\n");
    ok(&clone, &["push", "-q", "origin", "main"]);
    me.put("c.md", "here", "notes").await;
    for (verb, words) in [("push", "pull first"), ("pull", "both sides went on")] {
        let (status, code, detail) =
            code(&me, &format!("{verb}?workspace=notes"), token.clone()).await;
        assert_eq!((status, code.as_str()), (409, "conflict"), "{verb}: {detail}");
        assert!(detail.contains(words), "{detail}");
    }
    let (with_token, fetches) = watch.end();
    assert!(with_token == 0 && fetches > 0, "{with_token} of {fetches}");
    assert_eq!(holders(folder.path(), &CANARIES), Vec::<String>::new());
    let log = server.log();
    assert!(log.contains("an outside repository was taken in"));
    assert!(
        !log.contains(TOKEN) && !log.contains("canary-wrong") && !log.contains("Y2FuYXJ5"),
        "{log}"
    );
    let all = me.get("/agent/workspace/attached").await.body;
    assert!(!all.contains(TOKEN));
    ok(
        &folder.data().join(format!("workspaces/{}.git", made["id"].as_str().expect("an id"))),
        &["fsck", "--strict"],
    );
    assert!(server.stop().success());
    assert_eq!(holders(folder.path(), &CANARIES), Vec::<String>::new());
}

/// The commits of the workspace `again` are foreign, and what they say of themselves is not told.
async fn nobody_believes(me: &Client) {
    let log = me.get("/agent/workspace/log?workspace=again").await.ok();
    for commit in log["commits"].as_array().expect("commits") {
        let told = (&commit["foreign"], &commit["trailers"]);
        assert_eq!(told, (&json!(true), &json!({})), "{commit}");
    }
}

#[tokio::test]
async fn a_swap_parks_what_was_there_and_publishing_follows_from_then_on() {
    let folder = Folder::new();
    let outside = tempfile::tempdir().expect("a folder");
    let remote = Remote::start(outside.path(), Manner::Good);
    remote.repository("notes.git");
    ok(&remote.root, &["init", "-q", "--bare", "-b", "main", "empty.git"]);
    ok(&remote.root.join("empty.git"), &["config", "http.receivepack", "true"]);
    let server = start(&folder, remote.host());
    let me = server.client();
    let active = async || {
        let all = me.get("/agent/workspace/attached").await.ok();
        let names = |list: &Value| -> Vec<String> {
            let names = list.as_array().expect("a list").iter().map(|it| it["name"].as_str());
            names.map(|name| name.expect("a name").to_owned()).collect()
        };
        (names(&all["active"]), names(&all["parked"]))
    };
    let names = |of: &[&str]| of.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    me.put("mine.md", "mine", "home").await;
    let notes = json!({"repo": remote.address("notes.git"), "token": TOKEN});
    let swapped = me.post("/agent/workspace/swap", notes.clone()).await.ok();
    assert_eq!(
        (&swapped["workspace"]["name"], &swapped["parked"]["name"]),
        (&json!("notes"), &json!("home"))
    );
    assert_eq!(active().await, (names(&["notes"]), names(&["home"])));
    let kept = me.get("/agent/workspace/file?workspace=home&path=mine.md").await.ok();
    assert_eq!(kept["content"], "mine", "what is parked stays as it is");
    // Back, and there again: the same workspace, without a fetch and so without a token.
    let back = me.post("/agent/workspace/swap", json!({})).await.ok();
    assert_eq!(back["workspace"]["name"], "home");
    assert_eq!(active().await, (names(&["home"]), names(&["notes"])));
    let again = json!({"repo": remote.address("notes.git")});
    let again = me.post("/agent/workspace/swap", again).await.ok();
    assert_eq!(again["workspace"]["id"], swapped["workspace"]["id"]);
    let same =
        me.post("/agent/workspace/swap", json!({"repo": remote.address("notes.git")})).await.ok();
    assert_eq!((&same["parked"], active().await.0), (&Value::Null, names(&["notes"])));

    let missing = code(&me, "push?workspace=home", json!({"token": TOKEN})).await;
    assert_eq!((missing.0, missing.1.as_str()), (409, "conflict"), "it follows nothing yet");
    let publish = json!({"repo": remote.address("empty.git"), "token": TOKEN});
    let published = me.post("/agent/workspace/publish?workspace=home", publish).await.ok();
    assert_eq!(published["moved"], true);
    assert_eq!(ok(&remote.root.join("empty.git"), &["show", "main:mine.md"]), "mine");
    me.put("mine.md", "mine again", "home").await;
    me.post("/agent/workspace/push?workspace=home", json!({"token": TOKEN})).await.ok();
    assert_eq!(ok(&remote.root.join("empty.git"), &["show", "main:mine.md"]), "mine again");
    let other = json!({"repo": remote.address("notes.git"), "token": TOKEN});
    let other = code(&me, "publish?workspace=home", other).await;
    assert_eq!(
        (other.0, other.1.as_str()),
        (409, "conflict"),
        "another history is not overwritten"
    );

    // What we made and sent out comes in again elsewhere, and what it says of itself is nobody's word there.
    let second = json!({"repo": remote.address("empty.git"), "token": TOKEN, "name": "again"});
    let again = me.post("/agent/workspace/attach", second).await.ok();
    nobody_believes(&me).await;
    // Also where somebody tidied the repository up by hand.
    let repository = format!("{}.git", again["id"].as_str().expect("an id"));
    ok(&folder.data().join("workspaces").join(repository), &["pack-refs", "--all"]);
    nobody_believes(&me).await;
    let own = me.get("/agent/workspace/log?workspace=home&limit=1").await.ok();
    assert_eq!(own["commits"][0]["trailers"]["label"], "trusted");
    assert_eq!(own["commits"][0]["foreign"], Value::Null);
    me.put("more.md", "made here", "again").await;
    let newest = me.get("/agent/workspace/log?workspace=again&limit=1").await.ok();
    assert_eq!(newest["commits"][0]["trailers"]["label"], "trusted");
}

#[tokio::test]
async fn nothing_is_reached_that_the_operator_did_not_name() {
    let folder = Folder::new();
    let outside = tempfile::tempdir().expect("a folder");
    let remote = Remote::start(outside.path(), Manner::Good);
    remote.repository("notes.git");
    let (port, repo) =
        (remote.url.rsplit_once(':').expect("a port").1, remote.address("notes.git"));
    let server = Server::start(&folder);
    let (status, code_, detail) =
        code(&server.client(), "attach", json!({"repo": repo, "token": TOKEN})).await;
    assert_eq!((status, code_.as_str()), (403, "remote-not-allowed"));
    assert!(detail.contains("`workspaces.remotes`"), "{detail}");
    drop(server);
    // A name that stands for this machine, and its address in the list as well.
    let server = start(&folder, &format!("http://localhost:{port}, https://127.0.0.1:{port}"));
    let me = server.client();
    let named = json!({"repo": format!("http://localhost:{port}/notes.git"), "token": TOKEN});
    assert_eq!(code(&me, "attach", named).await.0, 201);
    for (bad, status) in [
        (repo.clone(), 403),
        (format!("http://localhost:{port}1/x"), 422),
        ("file:///etc".to_owned(), 422),
        ("ext::sh -c id".to_owned(), 422),
        ("/etc".to_owned(), 422),
        (format!("http://joe:{TOKEN}@localhost:{port}/notes.git"), 422),
        (format!("http://2130706433:{port}/notes.git"), 422),
        ("https://169.254.169.254/latest".to_owned(), 403),
    ] {
        let (found, _, detail) = code(&me, "attach", json!({"repo": bad})).await;
        assert_eq!(found, status, "{bad}: {detail}");
        assert!(!detail.contains(TOKEN), "{detail}");
    }
    nothing_is_left(&me, &folder, 2).await;
    let bad = Start::on(&Folder::new()).setting("workspaces.remotes", "git hub.com").attempt();
    let (_, log) = bad.err().expect("no server");
    assert!(log.contains("workspaces.remotes"), "{log}");
    drop(server);
    // By its name alone.
    let server = start(&folder, &format!("http://localhost:{port}"));
    let named = json!({"repo": format!("http://localhost:{port}/notes.git"), "token": TOKEN});
    let asked = remote.asked.load(Ordering::Relaxed);
    let (status, code_, detail) = code(&server.client(), "attach", named).await;
    assert_eq!((status, code_.as_str()), (403, "remote-not-allowed"), "{detail}");
    assert_eq!(remote.asked.load(Ordering::Relaxed), asked, "it was not even asked");
}

#[tokio::test]
async fn a_hostile_remote_is_refused_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let outside = tempfile::tempdir().expect("a folder");
    let at = |name: &str| outside.path().join(name);
    let good = Remote::start(&at("good"), Manner::Good);
    let redirects = Remote::start(&at("redirects"), Manner::Redirects);
    let endless = Remote::start(&at("endless"), Manner::Endless);
    let tells = Remote::start(&at("tells"), Manner::Tells);
    let hosts = [&good, &redirects, &endless, &tells].map(Remote::host).join(",");
    let server = start(&folder, &hosts);
    let me = server.client();
    for (remote, words) in [
        (&redirects, "no redirect is followed"),
        (&endless, "more than is taken"),
        (&tells, "git could not"),
    ] {
        let body = json!({"repo": remote.address("x.git"), "token": TOKEN});
        let (status, code, detail) = code(&me, "attach", body).await;
        assert_eq!((status, code.as_str()), (502, "remote-failed"), "{detail}");
        assert!(detail.contains(words) && !detail.contains(TOKEN), "{detail}");
    }
    assert_eq!(redirects.asked.load(Ordering::Relaxed), 1, "where it leads to was never asked");
    nothing_is_left(&me, &folder, 1).await;
    assert!(!server.log().contains(TOKEN), "{}", server.log());
    assert_eq!(holders(folder.path(), &CANARIES), Vec::<String>::new());
}

/// What a trap is called, what it does to a clone, and the rule that it breaks.
struct Trap {
    name: &'static str,
    set: fn(&Path),
    reason: &'static str,
}

const TRAPS: [Trap; 5] = [
    Trap {
        name: "link",
        set: |clone| std::os::unix::fs::symlink("/etc/passwd", clone.join("x")).expect("made"),
        reason: "link-leads-out",
    },
    Trap {
        name: "modules",
        set: |clone| {
            let modules = "[submodule \"x\"]\n\tpath = x\n\turl = ./x\n";
            std::fs::write(clone.join(".gitmodules"), modules).expect("written");
        },
        reason: "submodules",
    },
    Trap {
        name: "twin",
        set: |clone| std::fs::write(clone.join("readme.MD"), "x").expect("written"),
        reason: "case-twin",
    },
    Trap {
        name: "large",
        set: |clone| {
            std::fs::write(clone.join("x"), "x".repeat((32 << 20) + 1)).expect("written");
        },
        reason: "too-large",
    },
    Trap {
        name: "control",
        set: |clone| std::fs::write(clone.join("a\tb"), "x").expect("written"),
        reason: "control-character",
    },
];

/// Each in a repository that is otherwise fine: as what a workspace pulls that is attached already, then as what is
/// attached.
#[tokio::test]
async fn a_trap_in_any_commit_keeps_all_of_it_out() {
    let folder = Folder::new();
    let outside = tempfile::tempdir().expect("a folder");
    let remote = Remote::start(outside.path(), Manner::Good);
    let server = start(&folder, remote.host());
    let me = server.client();
    for (number, Trap { name, set, reason }) in TRAPS.iter().enumerate() {
        let clone = remote.repository(name);
        let body = json!({"repo": remote.address(name), "token": TOKEN});
        me.post("/agent/workspace/attach", body.clone()).await.ok();
        let log = format!("/agent/workspace/log?workspace={name}");
        let before = me.get(&log).await.ok();
        set(&clone);
        ok(&clone, &["add", "-A"]);
        ok(&clone, &["commit", "-qm", "Set a trap"]);
        ok(&clone, &["push", "-q", "origin", "main"]);
        let pulled = code(&me, &format!("pull?workspace={name}"), json!({"token": TOKEN})).await;
        assert_eq!((pulled.0, pulled.1.as_str()), (422, "invalid-request"), "{name}: {pulled:?}");
        assert!(pulled.2.contains(reason), "{pulled:?}");
        assert_eq!(before, me.get(&log).await.ok());
        let mut fresh = body;
        fresh["name"] = json!("fresh");
        let attached = code(&me, "attach", fresh).await;
        assert!(attached.0 == 422 && attached.2.contains(reason), "{name}: {attached:?}");
        nothing_is_left(&me, &folder, number + 2).await;
    }
    // What git itself finds broken does not come so far.
    let clone = remote.repository("broken.git");
    let tree = ok(&clone, &["rev-parse", "HEAD^{tree}"]);
    let raw = format!("tree {tree}\nauthor x <x> 0 +0000\ncommitter no date\n\nx\n");
    std::fs::write(clone.join(".git/raw"), raw).expect("written");
    let bad = ok(&clone, &["hash-object", "-t", "commit", "-w", "--literally", ".git/raw"]);
    ok(&clone, &["push", "-q", "origin", &format!("{bad}:refs/heads/main"), "-f"]);
    let body = json!({"repo": remote.address("broken.git"), "token": TOKEN});
    let (status, code_, detail) = code(&me, "attach", body).await;
    assert_eq!((status, code_.as_str()), (502, "remote-failed"), "{detail}");
    assert!(detail.contains("broken"), "{detail}");
    nothing_is_left(&me, &folder, 6).await;
}

#[tokio::test]
async fn a_second_server_is_a_remote_like_any_other_from_the_command_line() {
    let (one, other) = (Folder::new(), Folder::new());
    let outside = Server::start(&one);
    outside.client().put("far.md", "far away", "home").await;
    let key = outside.ready["key"].as_str().expect("a key");
    let _server = start(&other, outside.url());
    let token = other.path().join("token");
    std::fs::write(&token, format!("{key}\n")).expect("written");
    let token = token.to_str().expect("text");
    let repo = format!("{}/git/home.git", outside.url());
    let none = other.run(&["ws", "attach", &repo]);
    assert!(none.code != Some(0) && none.err.contains("credential"), "{none:?}");
    let made = other.run(&["ws", "attach", &repo, "--token-file", token, "--name", "far"]).ok();
    assert_eq!(made.out.trim(), "far");
    let cat = other.run(&["ws", "cat", "far.md", "-w", "far"]).ok();
    assert_eq!(cat.out, "far away");
    outside.client().put("far.md", "further away", "home").await;
    other.run(&["ws", "pull", "-w", "far", "--token-file", token]).ok();
    assert_eq!(other.run(&["ws", "cat", "far.md", "-w", "far"]).ok().out, "further away");
    std::fs::write(other.path().join("near.md"), "near").expect("written");
    other.run(&["ws", "write", "near.md", "-w", "far", "--file", "near.md"]).ok();
    other.run(&["ws", "push", "-w", "far", "--token-file", token]).ok();
    let path = "/agent/workspace/file?path=near.md";
    assert_eq!(outside.client().get(path).await.ok()["content"], "near");
    let swapped = other.run(&["ws", "swap", &repo, "--token-file", token]).ok();
    assert!(swapped.err.contains("parked: home"), "{swapped:?}");
    let list = other.run(&["ws", "attached"]).ok();
    assert!(list.out.contains(&repo), "{list:?}");
    fails(one.path(), &["ls-remote", &repo]);
}
