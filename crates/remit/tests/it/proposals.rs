//! A change that may only be proposed: shown, decided, landed once, also when the server dies in between.

use engine::kill_point::PROPOSAL_KILL_POINTS;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;

use crate::harness::{Answer, Client, DEADLINE, Folder, Server, Start};
use crate::judge::{Repository, only};

/// Has an agent propose a line; the proposal, and the dispatch.
pub(crate) async fn proposed(me: &Client, prompt: &str) -> (String, String) {
    let asked = propose(me, prompt).await.expect("the server lives");
    let events = me.events(&asked).await;
    let event = only(&events, "proposed");
    (event["proposal"].as_str().expect("an id").to_owned(), asked)
}

/// The dispatch, once it is over; none when the server is gone before.
async fn propose(me: &Client, prompt: &str) -> Option<String> {
    let home =
        me.request("GET", "/agent/workspaces").send().await.ok()?.json::<Value>().await.ok()?;
    let body = json!({
        "runner": "remit",
        "workspaces": [{"id": home["workspaces"][0]["id"], "mode": "propose"}],
        "trigger": "message",
        "start": {"entrypoint": {"inline": prompt}},
    });
    let accepted = me.request("POST", "/agent/invocations").json(&body).send().await.ok()?;
    let accepted: Value = accepted.json().await.ok()?;
    let dispatch = accepted["workload_id"].as_str()?.to_owned();
    let path = format!("/agent/dispatches/{dispatch}/events");
    let mut events = crate::harness::Stream::attempt(me.request("GET", &path)).await?;
    while let Some(frame) = events.next().await {
        if frame.event == "turn_ended" {
            return Some(dispatch);
        }
    }
    None
}

fn path(id: &str, verb: &str) -> String {
    format!("/agent/proposals/{id}{verb}")
}

async fn digest(me: &Client, id: &str) -> Value {
    me.get(&path(id, "")).await.ok()["digest"].clone()
}

#[tokio::test]
async fn a_proposal_is_shown_and_what_is_chosen_lands_once() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let home = Repository::home(&folder, &server);
    let before = home.head();
    let (id, dispatch) = proposed(&me, "append seen to AGENTS.md").await;
    assert_eq!(home.head(), before, "nothing reached the folder");

    let list = me.get("/agent/proposals").await.ok();
    assert_eq!(list["proposals"][0]["id"], json!(id));
    assert_eq!((&list["proposals"][0]["state"], &list["more"]), (&json!("open"), &json!(false)));
    let shown = me.get(&path(&id, "")).await.ok();
    assert_eq!(shown["dispatch"], json!(dispatch));
    assert_eq!((&shown["reason"], &shown["moved"]), (&json!("propose_only"), &json!(false)));
    assert_eq!(shown["files"][0]["path"], "AGENTS.md");
    assert_eq!(shown["files"][0]["flags"], json!(["instruction_file"]));

    let wrong = me.post(&path(&id, "/approve"), json!({"digest": "0", "all": true})).await;
    assert_eq!(wrong.status, StatusCode::CONFLICT);
    let nothing = json!({"digest": shown["digest"], "files": []});
    assert_eq!(me.post(&path(&id, "/approve"), nothing).await.status, StatusCode::CONFLICT);
    for bad in [
        json!({"digest": shown["digest"]}),
        json!({"digest": shown["digest"], "all": true, "files": []}),
        json!({"digest": shown["digest"], "files": [{"path": "AGENTS.md"}]}),
        json!({"digest": shown["digest"], "files": [{"path": "none.md", "all": true}]}),
        json!({"digest": shown["digest"], "files": [{"path": "AGENTS.md", "hunks": [7]}]}),
    ] {
        let refused = me.post(&path(&id, "/approve"), bad.clone()).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }
    assert_eq!(home.head(), before);

    // Two tabs, and once more later: one answer, one commit.
    let approve = json!({"digest": shown["digest"], "all": true});
    let to = path(&id, "/approve");
    let (one, two) = tokio::join!(me.post(&to, approve.clone()), me.post(&to, approve.clone()));
    let (one, two) = (one.ok(), two.ok());
    assert_eq!(one, two);
    assert_eq!(me.post(&path(&id, "/approve"), approve).await.ok(), one);
    let head = home.head();
    assert_eq!(one, json!({"state": "approved", "commit": head}));
    assert_eq!(home.git(&["rev-parse", "HEAD^"]).trim(), before);
    assert!(home.file(&head, "AGENTS.md").expect("it landed").contains("seen"));
    assert_eq!(home.trailer(&head, "Proposal"), id);
    assert_eq!(home.trailer(&head, "Dispatch"), dispatch);
    assert!(home.trailer(&head, "Approved-by").starts_with("usr_"));

    let late = me.post(&path(&id, "/deny"), json!({})).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    let decided = me.get(&path(&id, "")).await.ok();
    assert_eq!(
        (&decided["state"], &decided["decided"]["commit"]),
        (&json!("approved"), &json!(head))
    );
    home.is_sound(folder.path());
}

#[tokio::test]
async fn a_denied_proposal_leaves_no_byte_and_says_why() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let home = Repository::home(&folder, &server);
    let before = home.head();
    let (id, _) = proposed(&me, "append unwanted to log.md").await;
    let digest = digest(&me, &id).await;
    let denied = folder.run(&["inbox", "deny", &id, "--reason", "not now"]).ok();
    assert_eq!(denied.out.trim(), "denied");
    me.post(&path(&id, "/deny"), json!({})).await.ok();
    let late = me.post(&path(&id, "/approve"), json!({"digest": digest, "all": true})).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    let shown = me.get("/agent/proposals?state=denied").await.ok();
    assert_eq!(shown["proposals"][0]["decided"]["reason"], "not now");
    assert_eq!(me.get("/agent/proposals").await.ok()["proposals"], json!([]));
    assert_eq!(home.head(), before);
}

#[tokio::test]
async fn a_server_killed_anywhere_around_a_proposal_has_one_and_lands_it_once() {
    for point in PROPOSAL_KILL_POINTS {
        let folder = Folder::new();
        let mut server = Start::on(&folder).variable("REMIT_KILL_POINT", point).server();
        let me = server.client();
        let dispatch = propose(&me, "append mark:one. to log.md").await;
        if dispatch.is_some() {
            approve_first(&me).await;
        }
        assert_eq!(server.ended().signal(), Some(9), "{point}: not reached: {}", server.log());

        let server = Start::on(&folder).server();
        let me = server.client();
        let all = until_written(&me).await;
        assert_eq!(all.len(), 1, "{point}: {all:?}");
        if all[0]["state"] == "open" {
            // An approval that was written down may land by itself meanwhile: the answer is the same.
            approve_first(&me).await;
        }
        let id = all[0]["id"].as_str().expect("an id");
        let shown = me.get(&path(id, "")).await.ok();
        assert_eq!(shown["state"], "approved", "{point}");
        let home = Repository::home(&folder, &server);
        let head = home.head();
        assert_eq!(shown["decided"]["commit"], json!(head), "{point}");
        let text = home.file(&head, "log.md").expect("it landed");
        assert_eq!(text.matches("mark:one.").count(), 1, "{point}: {text}");
        let log = home.git(&["log", "--format=%(trailers:key=Proposal,valueonly)"]);
        assert_eq!(log.matches(id).count(), 1, "{point}: {log}");
        home.is_sound(folder.path());
    }
}

/// All proposals, once there is one: a start writes what its predecessor left in the background.
pub(crate) async fn until_written(me: &Client) -> Vec<Value> {
    let wait = async {
        loop {
            let list = me.get("/agent/proposals?state=all").await.ok();
            let all = list["proposals"].as_array().cloned().unwrap_or_default();
            if !all.is_empty() {
                return all;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("it is written")
}

/// Approves all of the first proposal; the server may die over it.
async fn approve_first(me: &Client) -> Option<()> {
    let list = me.request("GET", "/agent/proposals").send().await.ok()?;
    let list: Value = list.json().await.ok()?;
    let id = list["proposals"][0]["id"].as_str()?.to_owned();
    let shown = me.request("GET", &path(&id, "")).send().await.ok()?;
    let shown: Value = shown.json().await.ok()?;
    let body = json!({"digest": shown["digest"], "all": true});
    me.request("POST", &path(&id, "/approve")).json(&body).send().await.ok().map(drop)
}

/// What a proposal of the subject's answers; for the table of all routes.
pub(crate) async fn for_a_decision(me: &Client, workspace: &str, file: &str) -> (String, Value) {
    let body = json!({
        "runner": "remit",
        "workspaces": [{"id": workspace, "mode": "propose"}],
        "trigger": "message",
        "start": {"entrypoint": {"inline": format!("append more to {file}")}},
    });
    let accepted = Answer::of(me.request("POST", "/agent/invocations").json(&body)).await;
    let accepted = accepted.expect(StatusCode::ACCEPTED);
    let dispatch = accepted["workload_id"].as_str().expect("an id");
    me.until(dispatch, "idle").await;
    let events = me.events(dispatch).await;
    let id = only(&events, "proposed")["proposal"].as_str().expect("an id").to_owned();
    me.post(&format!("/agent/dispatches/{dispatch}/cancel"), json!({})).await.ok();
    let digest = digest(me, &id).await;
    (id, json!({"digest": digest, "all": true}))
}
