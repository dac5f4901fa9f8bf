//! Budgets: what is not sent, what waits, and what is cut.

use std::sync::Arc;

use engine::port::{Charge, Charged, UsageBook};
use futures_util::future::join_all;
use gate::{DayBudgets, Limits};
use model::{Budget, ModelApi};
use tokio::sync::Notify;

use crate::support::{
    Sandbox, Scripted, Step, ask, ask_in, broker, broker_with, chunk, endpoint, path, soon,
    streamed_head, whole,
};

const OPENAI: ModelApi = ModelApi::OpenaiChat;

/// Of a dispatch, or of a day.
fn requests(most: u64) -> Budget {
    Budget { requests: Some(most), ..Budget::default() }
}

fn tokens(most: u64) -> Budget {
    Budget { tokens: Some(most), ..Budget::default() }
}

/// An answer that says it used this.
fn used(input: u64, output: u64) -> String {
    let usage = format!(r#"{{"prompt_tokens":{input},"completion_tokens":{output}}}"#);
    let choice = r#"{"message":{"content":"ok"},"finish_reason":"stop"}"#;
    whole("200 OK", "", &format!(r#"{{"choices":[{choice}],"usage":{usage}}}"#))
}

#[tokio::test]
async fn a_call_beyond_the_budget_is_refused_before_it_is_sent() {
    let upstream = Scripted::always(used(10, 10)).await;
    for (budget, sent) in [(requests(2), 2), (tokens(40), 2), (tokens(41), 3), (requests(0), 0)] {
        let house = broker(vec![endpoint(OPENAI, upstream.address)], Limits::default());
        let mut sandbox = Sandbox::of_budget(&house, OPENAI, budget).await;
        let before = upstream.requests();
        for spoken in [OPENAI, ModelApi::AnthropicMessages, ModelApi::Gemini, OPENAI] {
            sandbox.post(path(spoken, false), &ask_in(spoken, "x", false)).await;
        }
        let refused = sandbox.post(path(OPENAI, false), &ask("x", false)).await;
        assert_eq!((refused.status, refused.code().as_str()), (402, "budget_exhausted"));
        assert_eq!(upstream.requests() - before, sent, "{budget:?}");
        let why = sandbox.exhausted().await;
        assert!(why.starts_with("The budget of this dispatch is used up: "), "{why}");
        assert_eq!(house.usage(&sandbox).await.requests, sent as u64, "{budget:?}");
    }
}

#[tokio::test]
async fn calls_at_once_never_pass_the_number_that_is_allowed() {
    let upstream = Scripted::always(used(1, 1)).await;
    let house = broker(vec![endpoint(OPENAI, upstream.address)], Limits::default());
    let sandbox = Sandbox::of_budget(&house, OPENAI, requests(7)).await;
    let body = ask("x", false);
    let calls = (0..30).map(|_| sandbox.post(path(OPENAI, false), &body));
    let answers = soon(join_all(calls)).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((served, upstream.requests()), (7, 7));
}

#[tokio::test]
async fn calls_at_once_wait_for_each_other_where_their_budget_might_not_do() {
    // Each may come to about 100 tokens and a few for its request; in truth it uses 20.
    let upstream = Scripted::always(used(10, 10)).await;
    let house = broker(vec![endpoint(OPENAI, upstream.address)], Limits::default());
    let sandbox = Sandbox::of_budget(&house, OPENAI, tokens(300)).await;
    let body = ask("x", false);
    let calls = (0..30).map(|_| sandbox.post(path(OPENAI, false), &body));
    let answers = soon(join_all(calls)).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(served, 15, "as many as fit, one after another where need be");
    let charged = house.ledger.charged(Charged::Dispatch(sandbox.dispatch())).await;
    assert_eq!(charged.expect("readable"), Charge { requests: 15, tokens: 300, micros: 0 });
}

#[tokio::test]
async fn a_stream_that_passes_the_budget_is_cut_and_says_why() {
    for spoken in [OPENAI, ModelApi::AnthropicMessages, ModelApi::OpenaiResponses, ModelApi::Gemini]
    {
        let go = Arc::new(Notify::new());
        let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"word \"}}]}\n\n";
        let upstream = Scripted::new(move |_| {
            let pieces = (0..400).map(|_| Step::Send(chunk(piece.as_bytes())));
            let head = [Step::Send(streamed_head())];
            head.into_iter().chain(pieces).chain([Step::Await(Arc::clone(&go))]).collect()
        })
        .await;
        let house = broker(vec![endpoint(OPENAI, upstream.address)], Limits::default());
        let mut sandbox = Sandbox::of_budget(&house, OPENAI, tokens(200)).await;
        let answer = sandbox.post(path(spoken, true), &ask_in(spoken, "x", true)).await;
        let text = String::from_utf8_lossy(&answer.body);
        let words = text.matches("word ").count();
        assert!((100..200).contains(&words) && !answer.whole, "{spoken:?} {words}: {text:.200}");
        assert!(text.contains("The budget of this dispatch is used up: 200 tokens."), "{text}");
        assert!(sandbox.exhausted().await.contains("200 tokens"));
        let usage = house.usage(&sandbox).await;
        assert_eq!((usage.requests, usage.unknown), (1, 1), "it was not said what it used");
        let charged = house.ledger.charged(Charged::Dispatch(sandbox.dispatch())).await;
        let charged = charged.expect("readable").tokens;
        assert!((200..260).contains(&charged), "{charged} were reckoned");
        let again = sandbox.post(path(spoken, true), &ask_in(spoken, "x", true)).await;
        assert_eq!((again.status, upstream.requests()), (402, 1), "{spoken:?}");
    }
}

#[tokio::test]
async fn a_budget_of_a_day_is_for_all_dispatches_of_a_person() {
    let budgets = DayBudgets { person: requests(2), everybody: requests(9) };
    let house = broker_with(vec![], Limits::default(), budgets);
    for (number, status) in [(1, 200), (2, 200), (3, 402)] {
        let mut sandbox = Sandbox::new(&house, OPENAI).await;
        let answer = sandbox.post(path(OPENAI, true), &ask("say 3 words", true)).await;
        assert_eq!(answer.status, status, "call {number}");
        if status == 402 {
            assert!(sandbox.exhausted().await.starts_with("Your budget of today is used up: 2"));
        }
    }
}
