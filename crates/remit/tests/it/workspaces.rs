//! Workspaces by hand: files, history, taking back, uploads, several at once. Git is the judge of what
//! is left, and bad input leaves nothing.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Field, Folder, Server, form};

const FILE: &str = "/agent/workspace/file";

/// What git says of a repository of the server's, as an ordinary reader of it.
#[track_caller]
fn git(folder: &Folder, workspace: &str, args: &[&str]) -> String {
    let path = folder.data().join(format!("workspaces/{workspace}.git"));
    let output = Command::new("git").arg("-C").arg(path).args(args).output().expect("git runs");
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) async fn home(client: &Client) -> String {
    let list = client.get("/agent/workspaces").await.ok();
    list["workspaces"][0]["id"].as_str().expect("a home").to_owned()
}

async fn head(client: &Client) -> Value {
    client.get("/agent/workspace/tree").await.ok()["revision"].clone()
}

#[tokio::test]
async fn a_file_is_written_on_the_revision_that_its_writer_saw() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let home = home(&me).await;
    let first = me.put("notes/a.md", "one\n", &home).await;
    let write = async |path: &str, content: &str, base: &Value| {
        let body = json!({"path": path, "content": content, "base": base});
        Answer::of(me.request("PUT", FILE).json(&body)).await
    };
    let second = write("notes/a.md", "two\n", &first["revision"]).await.ok();
    // Another path may have moved meanwhile, the same one may not.
    write("notes/b.md", "b\n", &first["revision"]).await.ok();
    let late = write("notes/a.md", "three\n", &first["revision"]).await;
    assert_eq!(late.status.as_u16(), 409, "{late:?}");
    assert_eq!(late.json()["current"], head(&me).await);
    let read = me.get(&format!("{FILE}?path=notes/a.md")).await.ok();
    assert_eq!((&read["content"], &read["binary"]), (&json!("two\n"), &json!(false)));
    let old = format!("{FILE}?path=notes/a.md&at={}", first["revision"].as_str().expect("text"));
    assert_eq!(me.get(&old).await.ok()["content"], "one\n");
    let raw = me.get(&format!("{FILE}?path=notes/a.md&raw=1")).await;
    assert_eq!(raw.headers["content-type"], "application/octet-stream");
    assert_eq!(raw.headers["x-content-type-options"], "nosniff");
    assert!(raw.headers["content-disposition"].as_bytes().starts_with(b"attachment;"));
    assert_eq!(raw.body, "two\n");

    let stale = first["revision"].as_str().expect("text");
    let delete = me.delete(&format!("{FILE}?path=notes/a.md&base={stale}")).await;
    assert_eq!(delete.status.as_u16(), 409);
    me.delete(&format!("{FILE}?path=notes/a.md")).await.ok();
    assert_eq!(me.get(&format!("{FILE}?path=notes/a.md")).await.status.as_u16(), 404);
    let tree = me.get("/agent/workspace/tree").await.ok();
    assert_eq!(tree["files"], json!(["README.md", "notes/b.md"]));
    assert_eq!(tree["entries"][1], json!({"path": "notes/b.md", "kind": "file", "size": 2}));

    // The history says who; taking the second write back finds the file gone since.
    let log = me.get("/agent/workspace/log?path=notes/a.md&limit=2").await.ok();
    let subjects: Vec<_> = log["commits"].as_array().expect("commits").iter().collect();
    assert_eq!(subjects[0]["subject"], "Delete notes/a.md");
    assert_eq!(subjects[1]["subject"], "Write notes/a.md");
    assert_eq!(subjects[0]["author"]["name"], "Owner");
    assert_eq!(subjects[0]["committer"]["name"], "Remit");
    assert!(subjects[0]["trailers"]["subject"].as_str().is_some_and(|it| it.starts_with("usr_")));
    assert_eq!(log["more"], true);
    let next = format!(
        "/agent/workspace/log?path=notes/a.md&before={}",
        log["next"].as_str().expect("a commit")
    );
    let rest = me.get(&next).await.ok();
    assert_eq!(rest["commits"].as_array().map(Vec::len), Some(1), "{rest}");
    let revert =
        async |commit: &Value| me.post("/agent/workspace/revert", json!({"commit": commit})).await;
    let gone = revert(&second["revision"]).await;
    assert_eq!(gone.status.as_u16(), 409, "{gone:?}");
    revert(&subjects[0]["sha"]).await.ok();
    assert_eq!(me.get(&format!("{FILE}?path=notes/a.md")).await.ok()["content"], "two\n");
    let diff =
        format!("/agent/workspace/diff?commit={}", second["revision"].as_str().expect("text"));
    let diff = me.get(&diff).await.ok();
    assert_eq!(
        (&diff["files"][0]["path"], &diff["files"][0]["status"]),
        (&json!("notes/a.md"), &json!("modified"))
    );
    assert_eq!(diff["files"][0]["hunks"][0]["lines"][0], json!({"kind": "-", "text": "one"}));
    let summary = me.get("/agent/workspace/git").await.ok();
    assert_eq!((&summary["branch"], &summary["changes"]), (&json!("main"), &json!([])));
    assert_eq!(summary["commits"][0]["subject"], "Revert \"Delete notes/a.md\"");

    git(&folder, &home, &["fsck", "--strict"]);
    let log = git(&folder, &home, &["log", "--format=%an|%cn|%s", "main"]);
    assert_eq!(log.lines().count(), summary["commits"].as_array().map_or(0, Vec::len));
    assert!(log.lines().all(|line| line.starts_with("Owner|Remit|")), "{log}");
}

#[tokio::test]
async fn writers_at_once_lose_nothing() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let home = home(&me).await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (me, home) = (me.clone(), home.clone());
        writers.spawn(async move { me.put(&format!("{number}.md"), "x", &home).await });
    }
    let done = writers.join_all().await;
    assert_eq!(done.len(), 20);
    let tree = me.get("/agent/workspace/tree").await.ok();
    assert_eq!(tree["files"].as_array().map(Vec::len), Some(21), "{tree}");
    git(&folder, &home, &["fsck", "--strict"]);
    assert_eq!(git(&folder, &home, &["rev-list", "--count", "--min-parents=1", "main"]), "20\n");
}

#[tokio::test]
async fn an_upload_is_one_commit_or_nothing() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let upload = async |fields: &[Field<'_>]| {
        Answer::of(form(me.request("POST", "/agent/workspace/upload"), fields)).await
    };
    let files: &[Field<'_>] = &[
        ("file", Some("a.txt"), b"text"),
        ("path", None, b"/in/box/"),
        ("file", Some("deep/b.bin"), b"\0\xff"),
    ];
    let done = upload(files).await;
    assert_eq!(done.status.as_u16(), 201, "{done:?}");
    let expected =
        json!([{"path": "in/box/a.txt", "size": 4}, {"path": "in/box/deep/b.bin", "size": 2}]);
    assert_eq!(done.json()["files"], expected);
    let binary = me.get(&format!("{FILE}?path=in/box/deep/b.bin")).await.ok();
    assert_eq!((&binary["content"], &binary["binary"]), (&Value::Null, &json!(true)));

    let before = head(&me).await;
    let large = vec![b'x'; (25 << 20) + 1];
    let bad: &[(&str, u16, &[Field<'_>])] = &[
        ("nothing", 422, &[]),
        ("no file", 422, &[("path", None, b"a")]),
        ("an unknown field", 422, &[("x", None, b"y"), ("file", Some("a"), b"b")]),
        ("a file too large", 413, &[("file", Some("ok.md"), b"ok"), ("file", Some("big"), &large)]),
        ("a way out", 422, &[("file", Some("../a"), b"b")]),
        (
            "a repository",
            422,
            &[("file", Some("ok.md"), b"ok"), ("file", Some(".GIT/config"), b"b")],
        ),
        ("twins", 422, &[("file", Some("c.md"), b"1"), ("file", Some("C.md"), b"2")]),
        ("the same twice", 422, &[("file", Some("c.md"), b"1"), ("file", Some("c.md"), b"2")]),
        ("below a file", 409, &[("file", Some("in/box/a.txt/x"), b"1")]),
        ("over a directory", 409, &[("file", Some("in/box"), b"1")]),
    ];
    for (what, status, fields) in bad {
        let answer = upload(fields).await;
        assert_eq!(answer.status.as_u16(), *status, "{what}: {answer:?}");
        assert_eq!(head(&me).await, before, "{what}");
    }
    let plain = me.request("POST", "/agent/workspace/upload").body("x");
    assert_eq!(Answer::of(plain).await.status.as_u16(), 422);
    assert_eq!(head(&me).await, before);
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn bad_input_of_a_workspace_is_refused_and_leaves_nothing() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let home = home(&me).await;
    me.put("a.md", "text", &home).await;
    let (before, list) = (head(&me).await, me.get("/agent/workspaces").await.ok());
    let ghost = "0123456789012345678901234567890123456789";
    let file = |path: &str| json!({"path": path, "content": "x"});
    let cases: &[(&str, &str, Value, u16)] = &[
        ("GET", "/agent/workspace/tree?workspace=nowhere", Value::Null, 404),
        ("GET", "/agent/workspace/tree?workspace=../x", Value::Null, 404),
        ("GET", "/agent/workspace/tree?x=1", Value::Null, 422),
        ("GET", "/agent/workspace/tree?at=main", Value::Null, 422),
        ("GET", &format!("/agent/workspace/tree?at={ghost}"), Value::Null, 404),
        ("GET", "/agent/workspace/file", Value::Null, 422),
        ("GET", "/agent/workspace/file?path=none", Value::Null, 404),
        ("GET", "/agent/workspace/file?path=../../etc/passwd", Value::Null, 422),
        ("GET", "/agent/workspace/log?limit=0", Value::Null, 422),
        ("GET", &format!("/agent/workspace/log?before={ghost}"), Value::Null, 404),
        ("PUT", FILE, json!({"path": "b.md"}), 422),
        ("PUT", FILE, json!({"path": "b.md", "content": "x", "mode": "0777"}), 422),
        ("PUT", FILE, json!({"path": "b.md", "content": "x", "base": "head"}), 422),
        ("PUT", FILE, json!({"path": "b.md", "content": "x", "base": ghost}), 404),
        ("PUT", FILE, file(""), 422),
        ("PUT", FILE, file("/etc/passwd"), 422),
        ("PUT", FILE, file("../b.md"), 422),
        ("PUT", FILE, file(".git/hooks/post-commit"), 422),
        ("PUT", FILE, file("x/.Git./config"), 422),
        ("PUT", FILE, file("a\nb"), 422),
        ("PUT", FILE, file("A.md"), 422),
        ("PUT", FILE, file(&"x/".repeat(70)), 422),
        ("PUT", FILE, file("a.md/b"), 409),
        ("DELETE", "/agent/workspace/file?path=none", Value::Null, 404),
        ("DELETE", "/agent/workspace/file?path=../x", Value::Null, 422),
        ("GET", "/agent/workspace/diff", Value::Null, 422),
        ("GET", &format!("/agent/workspace/diff?commit={ghost}"), Value::Null, 404),
        ("POST", "/agent/workspace/revert", json!({"commit": "main"}), 422),
        ("POST", "/agent/workspace/revert", json!({"commit": ghost}), 404),
        ("POST", "/agent/workspace/revert", json!({}), 422),
        ("POST", "/agent/workspace/new", json!({"name": ""}), 422),
        ("POST", "/agent/workspace/new", json!({"name": "../x"}), 422),
        ("POST", "/agent/workspace/new", json!({"name": "x.git"}), 422),
        ("POST", "/agent/workspace/new", json!({"name": home.clone()}), 422),
        ("POST", "/agent/workspace/new", json!({"name": "home"}), 409),
        ("POST", "/agent/workspace/new", json!({"name": "x", "template": "none"}), 422),
        ("POST", "/agent/workspace/new", json!({"name": "x", "purpose": "a\nb"}), 422),
        ("POST", "/agent/workspace/init", json!({"template": "none"}), 422),
        ("POST", "/agent/workspace/activate", json!({}), 422),
        ("POST", "/agent/workspace/activate", json!({"workspace": "nowhere"}), 404),
        ("POST", "/agent/workspace/purpose", json!({"purpose": "x".repeat(301)}), 422),
        ("POST", "/agent/workspace/leave", json!({}), 422),
        ("POST", "/agent/workspace/leave?workspace=home", json!({}), 409),
        ("POST", "/agent/workspace/members/nobody", json!({"role": "owner"}), 404),
        ("POST", "/agent/workspace/members/nobody", json!({"role": "king"}), 422),
        ("DELETE", "/agent/workspace/members/nobody", Value::Null, 404),
        ("POST", "/agent/workspace/invites", json!({"role": "owner", "mode": "open"}), 422),
        ("POST", "/agent/workspace/invites", json!({"role": "viewer", "mode": "shut"}), 422),
        ("POST", "/agent/workspace/invites", json!({"role": "viewer", "mode": "restricted"}), 422),
        (
            "POST",
            "/agent/workspace/invites",
            json!({"role": "viewer", "mode": "open", "emails": ["a@b"]}),
            422,
        ),
        (
            "POST",
            "/agent/workspace/invites",
            json!({"role": "viewer", "mode": "open", "uses": 0}),
            422,
        ),
        (
            "POST",
            "/agent/workspace/invites",
            json!({"role": "viewer", "mode": "open", "expires_s": 1}),
            422,
        ),
        ("DELETE", "/agent/workspace/invites/none", Value::Null, 404),
        ("GET", "/agent/workspace/invites/preview?token=none", Value::Null, 404),
        ("POST", "/agent/workspace/invites/accept", json!({"token": "none"}), 404),
        ("POST", "/agent/workspace/invites/accept", json!({"token": "x".repeat(5_000)}), 404),
    ];
    for (method, path, body, status) in cases {
        let mut request = me.request(method, path).header("accept", "application/problem+json");
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = Answer::of(request).await;
        assert_eq!(answer.status.as_u16(), *status, "{method} {path} {body}: {answer:?}");
        let code = answer.json()["code"].as_str().expect("a code").to_owned();
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(page.join(format!("../../docs/errors/{code}.md")).exists(), "{code}");
        assert_eq!(head(&me).await, before, "{method} {path} {body}");
    }
    assert_eq!(me.get("/agent/workspaces").await.ok(), list);
    assert_eq!(me.get("/agent/workspace/invites").await.ok(), json!({"invites": []}));
    let folders = std::fs::read_dir(folder.data().join("workspaces")).expect("there").count();
    assert_eq!(folders, 1, "no repository was left behind");
}

#[tokio::test]
async fn a_workspace_begins_with_its_template_once() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let new = json!({"name": "law", "purpose": "contracts and terms"});
    let made = me.post("/agent/workspace/new", new).await.expect(reqwest::StatusCode::CREATED);
    assert_eq!((&made["role"], &made["active"]), (&json!("owner"), &json!(false)));
    assert_eq!(made["purpose"], "contracts and terms");
    let tree = me.get("/agent/workspace/tree?workspace=law").await.ok();
    let entity = "kg/entities/note/open-knowledge-format.md";
    assert_eq!(
        tree["files"],
        json!(["README.md", "index.md", "kg/entities/note/open-knowledge-format.md", "log.md"])
    );
    let entity = me.get(&format!("{FILE}?workspace=law&path={entity}")).await.ok();
    let text = entity["content"].as_str().expect("text");
    assert!(text.starts_with("---\ntype: note\nid: open-knowledge-format\ntitle: "), "{text}");
    // The home has a dashboard of its own, which stays; the rest is added, once.
    let dashboard = me.get(&format!("{FILE}?path=README.md")).await.ok()["content"].clone();
    let init = async || me.post("/agent/workspace/init", json!({})).await.ok();
    let first = init().await;
    assert_eq!((&first["seeded"], &first["already_initialized"]), (&json!(true), &json!(false)));
    let after = head(&me).await;
    let again = init().await;
    assert_eq!((&again["seeded"], &again["already_initialized"]), (&json!(false), &json!(true)));
    assert_eq!((again["workspace"].clone(), head(&me).await), (first["workspace"].clone(), after));
    assert_eq!(me.get(&format!("{FILE}?path=README.md")).await.ok()["content"], dashboard);
}

#[tokio::test]
async fn what_is_active_is_part_of_a_conversation_each_in_its_folder() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    me.post("/agent/workspace/new", json!({"name": "law", "purpose": "contracts"})).await.ok();
    me.post("/agent/workspace/activate", json!({"workspace": "law"})).await.ok();
    let attached = me.get("/agent/workspace/attached").await.ok();
    assert_eq!(attached["active"].as_array().map(Vec::len), Some(2), "{attached}");
    let turn =
        me.turn(json!({"prompt": "write due to law/a.md; write me to home/b.md"})).await.ok();
    let shown = me.get(&format!("/agent/dispatches/{}", turn.dispatch)).await.ok();
    let mounts = shown["workspaces"].as_array().expect("mounts");
    assert_eq!((&mounts[0]["name"], &mounts[1]["name"]), (&json!("home"), &json!("law")));
    assert_eq!(mounts[1]["purpose"], "contracts");
    let diff = me.get(&format!("/agent/dispatches/{}/diff", turn.dispatch)).await.ok();
    let changed = diff["workspaces"]
        .as_array()
        .expect("workspaces")
        .iter()
        .map(|it| it["files"][0]["path"].clone());
    assert_eq!(changed.collect::<Vec<_>>(), ["b.md", "a.md"], "{diff}");
    assert_eq!(me.get(&format!("{FILE}?workspace=law&path=a.md")).await.ok()["content"], "due");
    assert_eq!(me.get(&format!("{FILE}?workspace=home&path=b.md")).await.ok()["content"], "me");
    me.post("/agent/workspace/deactivate", json!({"workspace": "home"})).await.ok();
    let turn = me.turn(json!({"prompt": "write alone to c.md"})).await.ok();
    let shown = me.get(&format!("/agent/dispatches/{}", turn.dispatch)).await.ok();
    assert_eq!(shown["workspaces"].as_array().map(Vec::len), Some(1));
    assert_eq!(me.get(&format!("{FILE}?workspace=law&path=c.md")).await.ok()["content"], "alone");
}
