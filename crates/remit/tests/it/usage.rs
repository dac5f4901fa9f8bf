//! What models used: told by dispatch, turn, day and model, and never lost with a killed server.

use serde_json::{Value, json};

use crate::harness::{Folder, Server, Start, until, within_one_day};

/// The numbers of a usage object.
fn numbers(usage: &Value) -> [u64; 4] {
    ["requests", "input_tokens", "output_tokens", "unknown"]
        .map(|name| usage[name].as_u64().unwrap_or_else(|| panic!("no {name} in {usage}")))
}

/// What the stream of a dispatch says that its models used.
fn told(events: &[Value]) -> [u64; 4] {
    let used = events.iter().map(|entry| &entry["event"]).filter(|event| event["type"] == "usage");
    used.fold([0; 4], |sum, event| {
        let number = |name: &str| event[name].as_u64().expect("a number");
        [sum[0] + 1, sum[1] + number("input_tokens"), sum[2] + number("output_tokens"), 0]
    })
}

#[tokio::test]
async fn what_models_used_is_added_up_by_dispatch_turn_day_and_model() {
    within_one_day().await;
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (me, _) = server.person("jane", "agent,read").await;
    let first = me.turn(json!({"prompt": "say 3 words"})).await.ok();
    let again = json!({"prompt": "write a to a.md", "session": first.session});
    let again = me.turn(again).await.ok();
    assert_eq!(first.dispatch, again.dispatch, "the box was idle");
    let other = me.turn(json!({"prompt": "say 20 words"})).await.ok();
    // What is told of the last call, in either place, may follow the end of the turn.
    let shown = until("the stream tells of every call", async || {
        let shown = me.get(&format!("/agent/dispatches/{}", first.dispatch)).await.ok();
        (told(&me.events(&first.dispatch).await) == numbers(&shown["usage"])).then_some(shown)
    })
    .await;
    let used = numbers(&shown["usage"]);
    assert!(used[0] >= 3 && shown["usage"].get("cost_micros").is_none(), "{shown:#}");
    let all = me.get("/agent/usage").await.ok();
    let list = me.get("/agent/dispatches").await.ok();
    let listed = list["dispatches"].as_array().expect("a list").iter();
    let sum = listed.map(|it| numbers(&it["usage"])).fold([0; 4], plus);
    assert_eq!(all["rows"].as_array().expect("rows").len(), 1, "one day: {all:#}");
    assert_eq!(numbers(&all["rows"][0]), sum);
    let models = me.get("/agent/usage?by=model").await.ok();
    assert_eq!(models["rows"][0]["key"], "demo/remit-demo", "{models:#}");
    assert_eq!(numbers(&models["rows"][0]), sum);
    let dispatches = me.get("/agent/usage?by=dispatch").await.ok();
    let keys: Vec<_> = dispatches["rows"].as_array().expect("rows").iter().collect();
    assert_eq!(
        [&keys[0]["key"], &keys[1]["key"]],
        [&json!(other.dispatch), &json!(first.dispatch)]
    );
    let turns = me.get(&format!("/agent/usage?by=turn&dispatch={}", first.dispatch)).await.ok();
    let rows = turns["rows"].as_array().expect("rows").iter().map(numbers).collect::<Vec<_>>();
    assert_eq!((rows.len(), rows.into_iter().fold([0; 4], plus)), (2, used), "{turns:#}");
    let (stranger, _) = server.person("joe", "agent,read").await;
    assert_eq!(stranger.get("/agent/usage").await.ok()["rows"], json!([]));
    let path = format!("/agent/usage?dispatch={}", first.dispatch);
    assert_eq!(stranger.get(&path).await.status.as_u16(), 404);
    assert_eq!(me.get("/agent/usage?subject=all").await.status.as_u16(), 403);
    let everybody = server.admin().get("/agent/usage?subject=all").await.ok();
    assert_eq!(numbers(&everybody["rows"][0]), sum);
    for bad in ["by=hour", "from=today", "from=2026-02-02&to=2026-02-01", "by=turn", "limit=0"] {
        let status = me.get(&format!("/agent/usage?{bad}")).await.status.as_u16();
        assert_eq!(status, 422, "{bad}");
    }
}

fn plus(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
    std::array::from_fn(|at| a[at] + b[at])
}

#[tokio::test]
async fn the_command_prints_it_for_people_and_for_programs() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let turn = server.client().turn(json!({"prompt": "say 3 words"})).await.ok();
    let ran = folder.run(&["usage", "--by", "dispatch", "--json"]).ok().json();
    assert_eq!((ran.len(), &ran[0]["key"]), (1, &json!(turn.dispatch)), "{ran:?}");
    let ran = folder.run(&["usage", "--by", "model"]).ok();
    let mut lines = ran.out.lines();
    assert!(lines.next().is_some_and(|head| head.starts_with("model ")), "{ran:?}");
    let row: Vec<_> = lines.next().expect("a row").split_whitespace().collect();
    assert_eq!([row[0], row[1], row[5]], ["demo/remit-demo", "1", "-"], "{ran:?}");
}

#[tokio::test]
async fn what_was_answered_is_counted_once_though_the_server_is_killed() {
    // Places behind the end of the answer, which the agent has when its turn is over.
    for point in ["after_turn_outcome", "after_freeze", "before_turn_ended"] {
        let folder = Folder::new();
        let mut server = Start::on(&folder).variable("REMIT_KILL_POINT", point).server();
        let body = json!({"prompt": "say 3 words", "turn_id": "t1"});
        let mut stream = server.client().chat(body.clone()).await;
        let dispatch = stream.header("x-unit-id");
        stream.rest().await;
        server.ended();
        let server = Server::start(&folder);
        let me = server.client();
        me.chat(body).await.rest().await;
        let shown = me.get(&format!("/agent/dispatches/{dispatch}")).await.ok();
        let used = numbers(&shown["usage"]);
        assert_eq!((used[0], used[2], used[3]), (1, 3, 0), "{point}: {shown:#}");
    }
}
