//! Two servers of ours, each an outside repository to the other: what one sends the other lands, waits as a proposal where
//! its key may only suggest, and comes back; and what each says of its commits is nobody's word at the other.

use std::path::PathBuf;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::git::{commit, fails, git, ok};
use crate::harness::{Client, Folder, Ran, Server, Start};
use crate::sharing::Shared;

/// Two servers; the second one may reach the first.
struct Siblings {
    there: Folder,
    here: Folder,
    far: Server,
    near: Server,
}

impl Siblings {
    fn new() -> Self {
        let (there, here) = (Folder::new(), Folder::new());
        let far = Server::start(&there);
        let near = Start::on(&here).setting("workspaces.remotes", far.url()).server();
        Self { there, here, far, near }
    }

    /// The address of a workspace over there.
    fn address(&self, workspace: &str) -> String {
        format!("{}/git/{workspace}.git", self.far.url())
    }

    /// A file here that holds a key of over there.
    fn token(&self, name: &str, key: &str) -> String {
        let path = self.here.path().join(name);
        std::fs::write(&path, key).expect("written");
        path.to_str().expect("text").to_owned()
    }

    /// A command of a person here, in the workspace `name`.
    fn ws(&self, verb: &str, name: &str, token: &str) -> Ran {
        self.here.run(&["ws", verb, "-w", name, "--token-file", token])
    }

    fn repository(folder: &Folder, workspace: &str) -> PathBuf {
        folder.data().join(format!("workspaces/{workspace}.git"))
    }
}

async fn read(client: &Client, workspace: &str, path: &str) -> Value {
    let path = format!("/agent/workspace/file?workspace={workspace}&path={path}");
    client.get(&path).await.json()["content"].clone()
}

/// The id of a workspace by its name.
async fn id(client: &Client, name: &str) -> String {
    let list = client.get("/agent/workspaces").await.ok();
    let found = list["workspaces"].as_array().expect("a list").iter().find(|it| it["name"] == name);
    found.expect("there")["id"].as_str().expect("an id").to_owned()
}

fn head(folder: &Folder, workspace: &str) -> String {
    ok(&Siblings::repository(folder, workspace), &["rev-parse", "main"])
}

#[tokio::test]
async fn an_owner_pushes_to_another_server_and_pulls_from_it() {
    let two = Siblings::new();
    let (far, near) = (two.far.client(), two.near.client());
    far.put("far.md", "far away\n", "home").await;
    let token = two.token("owner", two.far.ready["key"].as_str().expect("a key"));
    let repo = two.address("home");
    two.here.run(&["ws", "attach", &repo, "--token-file", &token, "--name", "far"]).ok();
    let turn = near.request("POST", "/agent/chat?workspace=far");
    let turn = turn.json(&json!({"prompt": "append near to near.md"})).send().await;
    assert!(turn.expect("answered").text().await.expect("text").contains("commit"));
    two.ws("push", "far", &token).ok();
    assert_eq!(read(&far, "home", "near.md").await, "near\n");
    let (ours, theirs) = (id(&near, "far").await, id(&far, "home").await);
    assert_eq!(head(&two.here, &ours), head(&two.there, &theirs));
    // Who made it here is told here, and is nobody's word there.
    let log = "/agent/workspace/log?limit=1&workspace=";
    let here = near.get(&format!("{log}far")).await.ok()["commits"][0].clone();
    let there = far.get(&format!("{log}home")).await.ok()["commits"][0].clone();
    assert_eq!((&here["sha"], &here["foreign"]), (&there["sha"], &Value::Null));
    assert_eq!((&there["foreign"], &there["trailers"]), (&json!(true), &json!({})));

    // Both go on, in different places: neither loses anything.
    far.put("far.md", "further away\n", "home").await;
    near.put("near.md", "nearer\n", "far").await;
    let behind = two.ws("push", "far", &token);
    assert!(behind.code != Some(0) && behind.err.contains("pull first"), "{behind:?}");
    let pulled = two.ws("pull", "far", &token).ok();
    assert!(pulled.err.contains("were merged"), "{pulled:?}");
    assert_eq!(read(&near, "far", "far.md").await, "further away\n");
    two.ws("push", "far", &token).ok();
    assert_eq!(read(&far, "home", "near.md").await, "nearer\n");
    assert_eq!(head(&two.here, &ours), head(&two.there, &theirs));

    // In the same place: nothing moves, and it says why.
    far.put("far.md", "one way\n", "home").await;
    near.put("far.md", "another way\n", "far").await;
    let before = head(&two.here, &ours);
    let apart = two.ws("pull", "far", &token);
    assert!(apart.code != Some(0) && apart.err.contains("both sides went on"), "{apart:?}");
    assert_eq!(head(&two.here, &ours), before);
    for (folder, workspace) in [(&two.here, &ours), (&two.there, &theirs)] {
        ok(&Siblings::repository(folder, workspace), &["fsck", "--strict"]);
    }
}

#[tokio::test]
async fn who_may_only_suggest_there_has_a_proposal_there_and_is_told_so() {
    let two = Siblings::new();
    let (far, near) = (two.far.client(), two.near.client());
    far.put("far.md", "far away\n", "home").await;
    let theirs = id(&far, "home").await;
    let team = Shared { owner: far.clone(), workspace: theirs.clone() };
    let (joe, joe_id) = team.member(&two.far, "joe", "contributor").await;
    let key = format!("/admin/users/{joe_id}/tokens");
    let key = two.far.admin().post(&key, json!({})).await.expect(StatusCode::CREATED);
    let token = two.token("joe", key["token"].as_str().expect("a key"));
    let repo = two.address(&theirs);
    two.here.run(&["ws", "attach", &repo, "--token-file", &token, "--name", "far"]).ok();
    near.put("idea.md", "an idea\n", "far").await;
    let before = head(&two.there, &theirs);
    let open = async || {
        let list = joe.get("/agent/proposals").await.ok();
        list["proposals"].as_array().expect("a list").clone()
    };
    for _ in 0..2 {
        let pushed = two.ws("push", "far", &token).ok();
        assert!(pushed.err.contains("waits on the other server as a proposal"), "{pushed:?}");
        assert_eq!(head(&two.there, &theirs), before, "nothing landed by itself");
        assert_eq!(open().await.len(), 1, "the same twice is one");
    }
    let told =
        near.post("/agent/workspace/push?workspace=far", json!({"token": key["token"]})).await;
    let told = told.ok();
    assert_eq!((&told["moved"], &told["proposed"]), (&json!(false), &json!(true)));
    let waits = open().await[0].clone();
    assert_eq!(
        (&waits["subject"], &waits["subject_role"]),
        (&json!(joe_id), &json!("contributor"))
    );
    let path = format!("/agent/proposals/{}", waits["id"].as_str().expect("an id"));
    let shown = far.get(&path).await.ok();
    let paths: Vec<_> =
        shown["files"].as_array().expect("files").iter().map(|it| &it["path"]).collect();
    assert_eq!(paths, ["idea.md"]);
    let choice = json!({"digest": shown["digest"], "all": true});
    far.post(&format!("{path}/approve"), choice).await.ok();
    assert_eq!(read(&far, "home", "idea.md").await, "an idea\n");

    // It comes back as what they made of it, and what is suggested next is only what is new.
    far.put("far.md", "further away\n", "home").await;
    two.ws("pull", "far", &token).ok();
    assert_eq!(read(&near, "far", "far.md").await, "further away\n");
    let nothing = two.ws("push", "far", &token).ok();
    assert!(!nothing.err.contains("proposal"), "{nothing:?}");
    assert_eq!(open().await.len(), 0);
    near.put("next.md", "the next one\n", "far").await;
    two.ws("push", "far", &token).ok();
    let waits = open().await;
    assert_eq!(waits.len(), 1);
    assert_eq!(waits[0]["title"], json!("Write next.md"), "{}", waits[0]);
    let path = format!("/agent/proposals/{}", waits[0]["id"].as_str().expect("an id"));
    let files = far.get(&path).await.ok()["files"].clone();
    assert_eq!(files.as_array().map(Vec::len), Some(1), "{files}");
    ok(&Siblings::repository(&two.there, &theirs), &["fsck", "--strict"]);
}

/// Whoever says that they are a server gets what a server gets: commits that nobody believes. What waits here is not
/// taken for somebody else's.
#[tokio::test]
async fn who_only_says_to_be_a_server_gains_nothing() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    me.put("a.md", "a\n", "home").await;
    let home = id(&me, "home").await;
    let key = server.ready["key"].as_str().expect("a key");
    let host = server.url().strip_prefix("http://").expect("an address");
    let url = format!("http://x:{key}@{host}/git/home.git");
    ok(folder.path(), &["clone", "-q", &url, "clone"]);
    let clone = folder.path().join("clone");
    let forged =
        "Land\n\nProposal: prp_00000000000000000000000000\nApproved-by: somebody\nLabel: trusted";
    commit(&clone, "b.md", "b\n", forged);
    assert!(fails(&clone, &["push", "-q", "origin", "HEAD:main"]).contains("only Remit writes"));
    let posing = ["-c", "http.userAgent=git/remit"];
    let push = |what: &str| git(&clone, &[&posing[..], &["push", "-q", "origin", what]].concat());
    assert!(push("HEAD:main").status.success());
    let log = me.get("/agent/workspace/log?limit=1").await.ok()["commits"][0].clone();
    assert_eq!((&log["foreign"], &log["trailers"]), (&json!(true), &json!({})));

    // A change-set that waits, and its commit, which whoever fetches cannot have; its name is enough.
    let (_, dispatch) = crate::proposals::proposed(&me, "append more to a.md").await;
    let events = me.events(&dispatch).await;
    let held = crate::judge::only(&events, "held")["commit"].as_str().expect("a commit").to_owned();
    let before = head(&folder, &home);
    let repository = Siblings::repository(&folder, &home);
    ok(&clone, &["fetch", "-q", repository.to_str().expect("text"), "+refs/*:refs/stolen/*"]);
    let refused = push(&format!("{held}:refs/for/main"));
    assert!(!refused.status.success(), "{refused:?}");
    assert_eq!(head(&folder, &home), before);
    ok(&repository, &["fsck", "--strict"]);
}
