//! What is written down of each call, and when.

use engine::port::{ModelPrice, Tokens, Usage, UsageBook, UsageBy, UsageQuery};
use gate::{Endpoint, EndpointParts, Limits};
use model::{Event, ModelApi, Time};

use crate::support::{
    House, Sandbox, Scripted, Step, ask, ask_in, broker, chunk, endpoint, path, request, soon,
    streamed_head, whole,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ANTHROPIC: ModelApi = ModelApi::AnthropicMessages;
const OPENAI: ModelApi = ModelApi::OpenaiChat;

fn used(requests: u64, input: u64, cached: u64, output: u64) -> Usage {
    let tokens = Tokens { input, cached, output };
    Usage { requests, unknown: 0, unpriced: requests, tokens, cost_micros: None }
}

/// What a call in this dialect used, as it was written down when its answer was over.
async fn check(upstream: &Scripted, spoken: ModelApi, expected: Usage) {
    let house = broker(vec![endpoint(OPENAI, upstream.address)], Limits::default());
    let sandbox = Sandbox::new(&house, spoken).await;
    sandbox.post(path(spoken, false), &ask_in(spoken, "x", false)).await;
    assert_eq!(house.usage(&sandbox).await, expected, "{spoken:?}");
}

#[tokio::test]
async fn a_call_is_written_down_before_its_caller_sees_the_end() {
    let body = r#"{"choices":[{"message":{"content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens":2}}"#;
    let upstream = Scripted::always(whole("200 OK", "", body)).await;
    check(&upstream, OPENAI, used(1, 9, 4, 2)).await;
    check(&upstream, ANTHROPIC, used(1, 9, 4, 2)).await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_say_is_not_made_to() {
    let body = r#"{"choices":[{"message":{"content":"ok"},"finish_reason":"stop"}]}"#;
    let upstream = Scripted::always(whole("200 OK", "", body)).await;
    let unknown = Usage { unknown: 1, ..used(1, 0, 0, 0) };
    for spoken in [OPENAI, ANTHROPIC, ModelApi::OpenaiResponses, ModelApi::Gemini] {
        check(&upstream, spoken, unknown).await;
    }
}

#[tokio::test]
async fn a_call_that_is_refused_used_nothing() {
    let upstream = Scripted::always(whole("400 x", "", r#"{"error":{"message":"no"}}"#)).await;
    let house = broker(vec![endpoint(OPENAI, upstream.address)], Limits::default());
    let sandbox = Sandbox::new(&house, OPENAI).await;
    sandbox.post(path(OPENAI, false), &ask("x", false)).await;
    until_it_used(&house, &sandbox, used(1, 0, 0, 0)).await;
}

#[tokio::test]
async fn a_call_costs_what_the_first_price_says_that_fits_its_model() {
    let body = r#"{"usage":{"prompt_tokens":1000,"prompt_tokens_details":{"cached_tokens":400},"completion_tokens":100}}"#;
    let upstream = Scripted::always(whole("200 OK", "", body)).await;
    let price = |models: &str, input, cached, output| ModelPrice {
        models: models.into(),
        input,
        cached,
        output,
    };
    let parts = EndpointParts {
        name: "priced".into(),
        api: OPENAI,
        base_url: format!("http://{}", upstream.address),
        key: None,
        model: "big-1".into(),
        models: vec!["small-1".into(), "free-1".into()],
        runners: vec![],
        max_tokens: None,
        prices: vec![price("small-*", 1, None, 1), price("big-*", 3_000_000, Some(300_000), 0)],
    };
    let house = broker(vec![Endpoint::new(parts).expect("good")], Limits::default());
    for (model, cost) in [("big-1", Some(1_920)), ("small-1", Some(1)), ("free-1", None)] {
        let sandbox = Sandbox::new(&house, OPENAI).await;
        let body = format!("{{\"model\":\"priced/{model}\",\"messages\":[]}}");
        sandbox.post("/v1/chat/completions", &body).await;
        let usage = house.usage(&sandbox).await;
        assert_eq!((usage.cost_micros, usage.unpriced), (cost, u64::from(cost.is_none())));
    }
}

/// Waits for what is written down after the answer.
async fn until_it_used(house: &House, sandbox: &Sandbox, expected: Usage) {
    soon(async {
        while house.usage(sandbox).await != expected {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_whose_caller_leaves_is_written_down_as_far_as_it_came() {
    let first = b"data: {\"message\":{\"usage\":{\"input_tokens\":5}}}\n\n";
    let upstream = Scripted::new(move |_| {
        vec![Step::Send(streamed_head()), Step::Send(chunk(first)), Step::Hang]
    })
    .await;
    let house = broker(vec![endpoint(ANTHROPIC, upstream.address)], Limits::default());
    let mut sandbox = Sandbox::new(&house, ANTHROPIC).await;
    let mut connection = sandbox.connect().await;
    let question = request("POST", "/v1/messages", "", &ask("x", true));
    connection.write_all(question.as_bytes()).await.expect("a request sent");
    let mut read = vec![0; 1 << 10];
    while !String::from_utf8_lossy(&read).contains("input_tokens") {
        soon(connection.read_buf(&mut read)).await.expect("the first piece");
    }
    drop(connection);
    assert!(matches!(sandbox.report().await, Event::Usage { input_tokens: 5, .. }));
    assert_eq!(house.usage(&sandbox).await, used(1, 5, 0, 0));
}

#[tokio::test]
async fn a_call_belongs_to_the_turn_in_which_it_was_made() {
    let house = broker(vec![], Limits::default());
    let sandbox = Sandbox::new(&house, OPENAI).await;
    let open = sandbox.open.as_ref().expect("open");
    for turn in ["t1", "t2"] {
        open.turn(&turn.parse().expect("a name"));
        sandbox.post(path(OPENAI, true), &ask("say 3 words", true)).await;
    }
    sandbox.post("/v1/messages/count_tokens", &ask("nobody answers this", false)).await;
    let query = UsageQuery {
        by: UsageBy::Turn,
        subject: None,
        dispatch: Some(sandbox.dispatch()),
        from: Time::from_ms(0),
        until: Time::from_ms(u64::MAX),
        limit: 9,
    };
    let page = house.ledger.usage(query).await.expect("readable");
    let rows = page.items.iter().map(|row| (row.key.as_str(), row.usage.requests));
    assert_eq!(rows.collect::<Vec<_>>(), [("t1", 1), ("t2", 1)]);
}
