//! The same conversation said, and the same answer heard, in every dialect.

use super::*;
use serde_json::json;

fn conversation() -> Vec<Message> {
    let calls = vec![
        call("call_1".into(), "run".into(), r#"{"command":"ls"}"#.into()),
        call("call_2".into(), "run".into(), "no json".into()),
    ];
    vec![
        Message::System { content: "be good".into() },
        Message::User { content: "look".into() },
        Message::Assistant { content: None, tool_calls: calls },
        Message::Tool { tool_call_id: "call_1".into(), content: "a.md".into() },
        Message::Tool { tool_call_id: "call_2".into(), content: "Error: no".into() },
        Message::Assistant { content: Some("There is a.md.".into()), tool_calls: vec![] },
        Message::User { content: "and this?".into() },
    ]
}

fn request(dialect: Dialect) -> Value {
    let messages = conversation();
    let messages: Vec<_> = messages.iter().map(Cow::Borrowed).collect();
    let images = [Image { media: "image/png".into(), data: "AAAA".into() }];
    let schema = json!({"type": "object"});
    let tools = [Described { name: "run".into(), about: "Runs.".into(), schema }];
    let asked = Asked { model: "m", messages: &messages, images: &images, tools: &tools };
    dialect.request(&asked)
}

#[test]
fn a_conversation_is_said_in_chat_completions() {
    let request = request(Dialect::Chat);
    let messages = &request["messages"];
    assert_eq!(messages[0], json!({"role": "system", "content": "be good"}));
    assert_eq!(messages[2]["tool_calls"][1]["function"]["arguments"], "no json");
    assert_eq!(messages[6]["content"][1]["image_url"]["url"], "data:image/png;base64,AAAA");
    assert_eq!(request["tools"][0]["function"]["name"], "run");
    assert_eq!(request["stream_options"], json!({"include_usage": true}));
}

#[test]
fn a_conversation_is_said_in_anthropic_messages() {
    let request = request(Dialect::Anthropic);
    assert_eq!(request["system"][0]["text"], "be good");
    let messages = request["messages"].as_array().expect("messages");
    let roles: Vec<_> = messages.iter().map(|it| it["role"].as_str().expect("a role")).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
    assert_eq!(messages[1]["content"][0]["input"], json!({"command": "ls"}));
    assert_eq!(messages[1]["content"][1]["input"], json!({"input": "no json"}));
    assert_eq!(messages[2]["content"][1]["is_error"], true);
    assert_eq!(messages[4]["content"][0]["source"]["media_type"], "image/png");
    assert_eq!(request["tools"][0]["input_schema"], json!({"type": "object"}));
}

#[test]
fn a_conversation_is_said_in_responses() {
    let request = request(Dialect::Responses);
    assert_eq!((&request["instructions"], &request["store"]), (&json!("be good"), &json!(false)));
    let input = request["input"].as_array().expect("items");
    let kinds: Vec<_> = input.iter().map(|it| it["type"].as_str().expect("a type")).collect();
    assert_eq!(
        kinds,
        [
            "message",
            "function_call",
            "function_call",
            "function_call_output",
            "function_call_output",
            "message",
            "message"
        ]
    );
    assert_eq!(input[6]["content"][1]["type"], "input_image");
}

/// What is heard of a stream of these events: thoughts in brackets, text, and the calls.
fn heard(dialect: Dialect, events: &[Value]) -> (String, Vec<(String, String)>, String, bool) {
    let mut hear = dialect.hear();
    let mut said = String::new();
    for event in events {
        let data = event.as_str().map_or_else(|| event.to_string(), str::to_owned);
        let mut piece = |piece| match piece {
            Piece::Text(text) => said += &text,
            Piece::Thought(text) => said.extend(["(", &text, ")"]),
        };
        hear.event(data.as_bytes(), &mut piece).expect("readable");
    }
    let over = hear.is_over();
    let reply = hear.reply();
    let calls = reply.calls.into_iter().map(|it| (it.function.name, it.function.arguments));
    (said, calls.collect(), reply.finish, over)
}

fn expected(finish: &str) -> (String, Vec<(String, String)>, String, bool) {
    let call = ("run".to_owned(), r#"{"command":"ls"}"#.to_owned());
    ("(hm)I look.".to_owned(), vec![call], finish.to_owned(), true)
}

#[test]
fn the_same_answer_is_heard_in_every_dialect() {
    let chat = |delta: Value| json!({"choices": [{"delta": delta}]});
    let function = |name: Value, arguments: &str| json!({"tool_calls": [{"index": 0, "id": "c", "function": {"name": name, "arguments": arguments}}]});
    let chat = [
        chat(json!({"reasoning_content": "hm"})),
        chat(json!({"content": "I look."})),
        chat(function(json!("run"), "{\"command\"")),
        chat(function(Value::Null, ":\"ls\"}")),
        json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}),
        json!("[DONE]"),
    ];
    assert_eq!(heard(Dialect::Chat, &chat), expected("tool_calls"));
    let anthropic = [
        json!({"type": "message_start", "message": {"content": []}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "I look."}}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "c", "name": "run", "input": {}}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"command\":\"ls\"}"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}}),
        json!({"type": "message_stop"}),
    ];
    assert_eq!(heard(Dialect::Anthropic, &anthropic), expected("tool_use"));
    let item = json!({"type": "function_call", "call_id": "c", "name": "run", "arguments": "{\"command\":\"ls\"}"});
    let responses = [
        json!({"type": "response.created", "response": {"output": []}}),
        json!({"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
        json!({"type": "response.output_text.delta", "delta": "I look."}),
        json!({"type": "response.function_call_arguments.delta", "delta": "{"}),
        json!({"type": "response.output_item.done", "item": item}),
        json!({"type": "response.completed", "response": {"output": [item]}}),
    ];
    assert_eq!(heard(Dialect::Responses, &responses), expected("stop"));
}

#[test]
fn an_answer_that_fails_in_the_middle_says_so() {
    for (dialect, event) in [
        (Dialect::Chat, json!({"error": {"message": "overloaded"}})),
        (
            Dialect::Anthropic,
            json!({"type": "error", "error": {"type": "x", "message": "overloaded"}}),
        ),
        (Dialect::Responses, json!({"type": "error", "message": "overloaded"})),
        (
            Dialect::Responses,
            json!({"type": "response.failed", "response": {"error": {"message": "overloaded"}}}),
        ),
    ] {
        let told = dialect.hear().event(event.to_string().as_bytes(), &mut |_| {});
        assert!(
            matches!(told, Err(ChatError::Unavailable { message, .. }) if message == "overloaded")
        );
    }
}
