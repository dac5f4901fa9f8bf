//! Budgets: a turn that goes beyond one ends at once, says why, and keeps what it did.

use serde_json::{Value, json};

use crate::harness::{Client, Folder, Server, Start, Turn, until, within_one_day};

/// The turn was ended by its budget, of which people are told so much; its dispatch as it is shown.
async fn check(me: &Client, turn: &Turn, why: &str) -> Value {
    assert_eq!(turn.find("done")["ok"], false, "{:#?}", turn.frames);
    let shown = me.until(&turn.dispatch, "ended").await;
    let events = me.events(&turn.dispatch).await;
    let of = |kind: &str| events.iter().map(|it| &it["event"]).find(|it| it["type"] == kind);
    let outcome = &of("turn_ended").expect("a turn ended")["outcome"];
    assert_eq!(outcome["failure"]["code"], "budget_exhausted", "{events:#?}");
    let told = of("diagnostic").expect("a diagnostic");
    assert_eq!(told["source"], "gate");
    for text in [&outcome["failure"]["message"], &told["text"]] {
        assert!(text.as_str().is_some_and(|text| text.contains(why)), "{text} and not {why}");
    }
    shown
}

#[tokio::test]
async fn a_turn_that_may_call_no_model_any_more_ends_and_keeps_its_work() {
    let folder = Folder::new();
    let server = Start::on(&folder).setting("budget.dispatch_requests", "2").server();
    let me = server.client();
    let write = json!({"prompt": "write kept to a.md; write lost to b.md"});
    // Asking for more than the server allows changes nothing; asking for less counts.
    for (asked, calls, kept) in [("?budget_requests=9", 2, true), ("?budget_requests=1", 1, true)] {
        let request = me.request("POST", &format!("/agent/chat{asked}")).json(&write);
        let turn = crate::harness::Stream::of(request).await.turn().await;
        let why = format!("The budget of this dispatch is used up: {calls} calls of models.");
        let shown = check(&me, &turn, &why).await;
        assert_eq!(
            (&shown["usage"]["requests"], &shown["budget"]["requests"]),
            (&json!(calls), &json!(calls))
        );
        let file = me.get("/agent/workspace/file?path=a.md").await;
        assert_eq!(file.status.is_success(), kept, "{asked}: {file:?}");
    }
    // A fresh sandbox has a fresh budget.
    me.turn(json!({"prompt": "say 3 words"})).await.ok();
}

#[tokio::test]
async fn an_answer_is_cut_where_it_passes_the_budget() {
    let folder = Folder::new();
    let server = Start::on(&folder).setting("budget.dispatch_tokens", "2000").server();
    let me = server.client();
    let turn = me.turn(json!({"prompt": "say 100000 words"})).await;
    let shown = check(&me, &turn, "used up: 2000 tokens.").await;
    let usage = &shown["usage"];
    let number = |name: &str| usage[name].as_u64().expect("a number");
    let used = number("input_tokens") + number("output_tokens");
    assert!((2000..2200).contains(&used) && number("requests") == 1, "{usage}");
}

#[tokio::test]
async fn a_budget_of_a_day_counts_for_a_person_and_outlives_the_server() {
    let folder = Folder::new();
    within_one_day().await;
    let start = || Start::on(&folder).setting("budget.person_day_requests", "2");
    let server = start().server();
    let (joe, _) = server.person("joe", "agent").await;
    let me = server.client();
    for _ in 0..2 {
        me.turn(json!({"prompt": "say 3 words"})).await.ok();
    }
    let turn = me.turn(json!({"prompt": "say 3 words"})).await;
    check(&me, &turn, "Your budget of today is used up: 2 calls of models.").await;
    joe.turn(json!({"prompt": "say 3 words"})).await.ok();
    server.kill();
    let server = start().server();
    let me = server.client();
    let turn = me.turn(json!({"prompt": "say 3 words"})).await;
    let shown = check(&me, &turn, "Your budget of today").await;
    assert_eq!(shown["usage"]["requests"], 0, "nothing was asked");
}

#[tokio::test]
async fn the_command_line_gives_a_budget_along() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let args = ["run", "say 3 words", "--budget-requests", "0", "--budget-tokens", "7", "--json"];
    let ran = folder.run(&args);
    assert_eq!(ran.code, Some(10), "{ran:?}");
    let shown = until("a dispatch", async || {
        me.get("/agent/dispatches").await.ok()["dispatches"].get(0).cloned()
    });
    assert_eq!(shown.await["budget"], json!({"requests": 0, "tokens": 7}));
}
