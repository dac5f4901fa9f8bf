//! What does not land by itself waits for a decision: a push that is no fast-forward, a push of somebody who owns
//! nothing here, taking back what others built on. And what becomes of it when its maker has gone.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use engine::kill_point::PUSH_KILL_POINTS;
use serde_json::{Value, json};

use crate::git::{Desk, commit, fails, git, ok};
use crate::harness::{Answer, Client, Folder, Start};
use crate::proposals::until_written;
use crate::sharing::Shared;

/// The proposal that git or an answer names.
#[track_caller]
fn named(said: &str) -> String {
    let at = said.find("prp_").unwrap_or_else(|| panic!("names no proposal: {said}"));
    said[at..].chars().take_while(|it| it.is_ascii_alphanumeric() || *it == '_').collect()
}

async fn show(client: &Client, id: &str) -> Value {
    client.get(&format!("/agent/proposals/{id}")).await.ok()
}

async fn approve(client: &Client, id: &str, choice: Value) -> Answer {
    let mut body = choice;
    body["digest"] = show(client, id).await["digest"].clone();
    client.post(&format!("/agent/proposals/{id}/approve"), body).await
}

#[tokio::test]
async fn a_push_that_is_no_fast_forward_waits_and_lands_where_it_was_approved() {
    let desk = Desk::new().await;
    desk.commit("mine.md", "mine\n", "Add mine");
    desk.commit("more.md", "more\n", "Add more");
    desk.me.put("theirs.md", "theirs\n", &desk.home).await;
    let before = desk.head();
    let said = fails(&desk.at, &["push", "-qf", "origin", "HEAD:main"]);
    assert!(said.contains("not made on the newest commit"), "{said}");
    let id = named(&said);
    assert_eq!(named(&fails(&desk.at, &["push", "-qf", "origin", "HEAD:main"])), id, "once");
    assert_eq!(desk.head(), before);
    let shown = show(&desk.me, &id).await;
    let paths: Vec<_> =
        shown["files"].as_array().expect("files").iter().map(|it| it["path"].clone()).collect();
    assert_eq!(paths, ["mine.md", "more.md"]);
    assert_eq!(
        (&shown["reason"], &shown["dispatch"], &shown["title"]),
        (&json!("propose_only"), &Value::Null, &json!("Add more"))
    );
    approve(&desk.me, &id, json!({"all": true})).await.ok();
    ok(&desk.at, &["fetch", "-q"]);
    ok(&desk.at, &["reset", "-q", "--hard", "origin/main"]);
    for (path, content) in [("mine.md", "mine"), ("theirs.md", "theirs")] {
        assert_eq!(ok(&desk.at, &["show", &format!("HEAD:{path}")]), content);
    }
    let log = desk.me.get("/agent/workspace/log?limit=1").await.ok();
    let commit = &log["commits"][0];
    assert_eq!(
        (&commit["trailers"]["proposal"], &commit["author"]["name"]),
        (&json!(id), &json!("Owner"))
    );
    // Both changed one place: nobody decides for the person.
    desk.commit("mine.md", "one way\n", "Change mine");
    desk.me.put("mine.md", "another way\n", &desk.home).await;
    let id = named(&fails(&desk.at, &["push", "-qf", "origin", "HEAD:main"]));
    let shown = show(&desk.me, &id).await;
    assert_eq!((&shown["reason"], &shown["conflicts"]), (&json!("conflict"), &json!(["mine.md"])));
    // What was made on no commit of this folder is refused as before.
    ok(&desk.at, &["checkout", "-q", "--orphan", "other"]);
    ok(&desk.at, &["commit", "-qm", "Another history"]);
    assert!(fails(&desk.at, &["push", "-qf", "origin", "HEAD:main"]).contains("pull first"));
    ok(&desk.repository(), &["fsck", "--strict"]);
}

/// A clone of a member's, in a folder of their name.
async fn cloned(desk: &Desk, name: &str, id: &str) -> PathBuf {
    let key = desk.server.admin().post(&format!("/admin/users/{id}/tokens"), json!({})).await.ok();
    let url = desk.url_with(&desk.home, key["token"].as_str().expect("a key"));
    ok(desk.folder.path(), &["clone", "-q", &url, name]);
    desk.folder.path().join(name)
}

#[tokio::test]
async fn a_contributor_proposes_by_a_push_and_what_one_leaves_behind_is_an_owners() {
    let desk = Desk::new().await;
    let team = Shared { owner: desk.me.clone(), workspace: desk.home.clone() };
    let (joe, joe_id) = team.member(&desk.server, "joe", "contributor").await;
    let clone = cloned(&desk, "joe", &joe_id).await;
    let (ann, _) = team.member(&desk.server, "ann", "contributor").await;
    let before = desk.head();
    let suggest = |path: &str| {
        commit(&clone, path, &format!("{path}\n"), &format!("Suggest {path}"));
    };
    suggest("one.md");
    let said = fails(&clone, &["push", "-q", "origin", "HEAD:main"]);
    assert!(said.contains("only owners push to main"), "{said}");
    let one = named(&said);
    let proposed = git(&clone, &["push", "origin", "HEAD:refs/for/main"]);
    assert!(proposed.status.success(), "{proposed:?}");
    assert_eq!(named(&String::from_utf8_lossy(&proposed.stderr)), one);
    suggest("two.md");
    let proposed = git(&clone, &["push", "origin", "HEAD:refs/for/main"]);
    let two = named(&String::from_utf8_lossy(&proposed.stderr));
    assert_eq!(desk.head(), before, "nothing landed by itself");
    assert_eq!(show(&ann, &one).await["subject_role"], "contributor");
    approve(&ann, &one, json!({"all": true})).await.ok();
    // Joe goes. What he suggested stays to be read, and nobody but an owner takes it over.
    let path = format!("/agent/workspace/members/{joe_id}");
    assert_eq!(desk.me.delete(&path).await.status.as_u16(), 204);
    assert_eq!(joe.get(&format!("/agent/proposals/{two}")).await.status.as_u16(), 404);
    for client in [&ann, &desk.me] {
        let shown = show(client, &two).await;
        assert_eq!((&shown["state"], &shown["subject_role"]), (&json!("open"), &Value::Null));
    }
    let list = ann.get(&format!("/agent/proposals?workspace={}", desk.home)).await.ok();
    assert_eq!(list["proposals"][0]["subject_role"], Value::Null);
    let refused = approve(&ann, &two, json!({"all": true})).await;
    assert_eq!(refused.status.as_u16(), 403, "{refused:?}");
    assert_eq!(show(&ann, &two).await["state"], "open");
    approve(&desk.me, &two, json!({"all": true})).await.ok();
    let log = desk.me.get("/agent/workspace/log?limit=1").await.ok();
    let commit = &log["commits"][0];
    assert_eq!(commit["author"]["name"], "joe", "who wrote it wrote it");
    let me = desk.me.get("/auth/me").await.ok()["user_id"].clone();
    assert_eq!(commit["trailers"]["approved-by"], me);
}

/// How a push is refused or taken, whatever becomes of the server; whether git says that it went well.
fn pushes(desk: &Desk, to: &str) -> bool {
    git(&desk.at, &["push", "-q", "-f", "origin", to]).status.success()
}

#[tokio::test]
async fn a_push_whose_server_dies_has_one_proposal_and_nobody_was_told_of_success() {
    for point in PUSH_KILL_POINTS {
        for to in ["HEAD:main", "HEAD:refs/for/main"] {
            let folder = Folder::new();
            let server = Start::on(&folder).variable("REMIT_KILL_POINT", point).server();
            let mut desk = Desk::at(folder, server).await;
            desk.commit("mine.md", "mark:one.\n", "Add mine");
            desk.me.put("theirs.md", "theirs\n", &desk.home).await;
            let before = desk.head();
            assert!(!pushes(&desk, to), "{point} {to}: a success that nobody knows of");
            assert_eq!(desk.server.ended().signal(), Some(9), "{point} {to}");
            desk.server = Start::on(&desk.folder).server();
            desk.me = desk.server.client();
            ok(&desk.at, &["remote", "set-url", "origin", &desk.url("home")]);
            let all = until_written(&desk.me).await;
            assert_eq!(all.len(), 1, "{point} {to}: {all:?}");
            assert_eq!((&all[0]["state"], desk.head()), (&json!("open"), before));
            // The pusher, who knows nothing, pushes again: it is the same one, and lands once.
            assert_eq!(pushes(&desk, to), to == "HEAD:refs/for/main", "{point}");
            let again = desk.me.get("/agent/proposals?state=all").await.ok();
            assert_eq!(again["proposals"].as_array().map(Vec::len), Some(1), "{point} {to}");
            let id = all[0]["id"].as_str().expect("an id");
            approve(&desk.me, id, json!({"all": true})).await.ok();
            assert_eq!(ok(&desk.repository(), &["show", "main:mine.md"]), "mark:one.");
            let log = ok(&desk.repository(), &["log", "--format=%(trailers:key=Proposal)", "main"]);
            assert_eq!(log.matches(id).count(), 1, "{point} {to}: {log}");
            ok(&desk.repository(), &["fsck", "--strict"]);
        }
    }
}

#[tokio::test]
async fn taking_back_what_others_built_on_waits_for_a_decision() {
    let desk = Desk::new().await;
    desk.me.put("a.md", "first\n", &desk.home).await;
    let second = desk.me.put("a.md", "second\n", &desk.home).await;
    desk.me.put("a.md", "third\n", &desk.home).await;
    let before = desk.head();
    let body = json!({"commit": second["revision"]});
    let answer = desk.me.post("/agent/workspace/revert", body.clone()).await;
    let told = answer.expect(reqwest::StatusCode::CONFLICT);
    let id = told["proposal"].as_str().expect("a proposal").to_owned();
    assert_eq!(named(told["detail"].as_str().expect("words")), id);
    assert_eq!(desk.head(), before);
    let again = desk.me.post("/agent/workspace/revert", body).await.json();
    assert_eq!(again["proposal"], json!(id), "once");
    let shown = show(&desk.me, &id).await;
    assert_eq!((&shown["conflicts"], &shown["reason"]), (&json!(["a.md"]), &json!("conflict")));
    assert!(shown["title"].as_str().is_some_and(|title| title.starts_with("Revert ")), "{shown}");
    let whole = json!({"files": [{"path": "a.md", "all": true}]});
    approve(&desk.me, &id, whole).await.ok();
    let read = desk.me.get("/agent/workspace/file?path=a.md").await.ok();
    assert_eq!(read["content"], "first\n");
    ok(&desk.repository(), &["fsck", "--strict"]);
}
