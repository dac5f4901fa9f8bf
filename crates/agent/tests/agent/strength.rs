//! What the agent can beyond the least: tools of servers, plans, pictures, long conversations, less
//! than all tools, and three dialects.

use std::fs;

use serde_json::{Value, json};

use crate::model::{Answer, Model};
use crate::talk::{Done, Home, SESSION, Talk};

/// The names of the tools that a request offers.
fn offered(request: &Value) -> Vec<String> {
    let tools = request["tools"].as_array().cloned().unwrap_or_default();
    let name = |tool: &Value| tool["function"]["name"].as_str().unwrap_or_default().to_owned();
    tools.iter().map(name).collect()
}

fn thoughts(done: &Done) -> String {
    let thought = |update: &&Value| update["sessionUpdate"] == "agent_thought_chunk";
    let thoughts = done.updates.iter().filter(thought);
    thoughts.filter_map(|update| update["content"]["text"].as_str()).collect()
}

fn open_with(talk: &mut Talk, home: &Home, servers: &Value) {
    let params = json!({"cwd": home.workspace(), "mcpServers": servers});
    assert_eq!(talk.ask("session/new", &params)["result"]["sessionId"], SESSION);
}

fn rpc(result: &Value) -> Answer {
    Answer::Json(json!({"jsonrpc": "2.0", "id": 1, "result": result}))
}

#[test]
fn tools_of_servers_are_offered_and_called() {
    let home = Home::new();
    let schema = json!({"type": "object", "properties": {"query": {"type": "string"}}});
    let server = Model::new(vec![
        rpc(&json!({"protocolVersion": "2025-06-18", "capabilities": {}})),
        rpc(
            &json!({"tools": [{"name": "search", "description": "Finds.", "inputSchema": schema}]}),
        ),
        rpc(&json!({"content": [{"type": "text", "text": "heron.md"}]})),
        rpc(&json!({"content": [{"type": "text", "text": "no such page"}], "isError": true})),
    ]);
    let find = |word: &str| Answer::Calls(vec![("pages__search", json!({"query": word}))]);
    let model = Model::new(vec![find("heron"), find("plum"), Answer::Says("Found.")]);
    let mut talk = home.start(&model.url, &[]);
    let gone = json!({"type": "http", "name": "gone", "url": "http://127.0.0.1:9"});
    let pages =
        json!({"type": "http", "name": "pages", "url": format!("{}/mcp/pages", server.url)});
    open_with(&mut talk, &home, &json!([pages, gone]));
    let done = talk.prompt("find");
    assert_eq!(done.results(), [("completed", "heron.md"), ("failed", "no such page")]);
    assert!(thoughts(&done).contains("The tools of gone cannot be had"), "{done:?}");
    let called = done.updates.iter().find(|it| it["sessionUpdate"] == "tool_call").expect("told");
    assert_eq!(called["title"], "pages.search {\"query\":\"heron\"}");
    assert!(offered(&model.request()).contains(&"pages__search".to_owned()));
    let asked: Vec<_> = (0..4).map(|_| server.request()).collect();
    assert_eq!(asked[2]["params"], json!({"name": "search", "arguments": {"query": "heron"}}));
}

#[test]
fn a_stop_breaks_off_a_call_of_a_server() {
    let home = Home::new();
    let server = Model::new(vec![
        rpc(&json!({})),
        rpc(&json!({"tools": [{"name": "wait", "inputSchema": {"type": "object"}}]})),
        Answer::Hangs,
    ]);
    let model = Model::new(vec![Answer::Calls(vec![("slow__wait", json!({}))])]);
    let mut talk = home.start(&model.url, &[]);
    open_with(&mut talk, &home, &json!([{"type": "http", "name": "slow", "url": server.url}]));
    talk.begin_prompt("wait");
    (0..3).for_each(|_| drop(server.request()));
    talk.cancel();
    assert_eq!(talk.done().stop_reason(), "cancelled");
    assert!(server.request().is_null(), "the server sees the end");
}

#[test]
fn a_plan_is_shown() {
    let home = Home::new();
    let steps = json!({"steps": [{"text": "look", "status": "completed"}, {"text": "write"}]});
    let model =
        Model::new(vec![Answer::Calls(vec![("update_plan", steps)]), Answer::Says("Well.")]);
    let done = home.begin(&model.url).prompt("do it");
    let plan = done.updates.iter().find(|it| it["sessionUpdate"] == "plan").expect("a plan");
    let entries = plan["entries"].as_array().expect("steps");
    let seen: Vec<_> = entries.iter().map(|it| (&it["content"], &it["status"])).collect();
    assert_eq!(seen, [(&json!("look"), &json!("completed")), (&json!("write"), &json!("pending"))]);
}

#[test]
fn where_nothing_may_be_changed_nothing_that_writes_is_offered() {
    let home = Home::new();
    let write = json!({"path": "a", "content": "x"});
    let model =
        Model::new(vec![Answer::Calls(vec![("write_file", write)]), Answer::Says("I may not.")]);
    let mut talk = home.start(&model.url, &[("REMIT_AGENT_ACCESS", "ro")]);
    talk.open();
    let done = talk.prompt("write");
    let expected =
        "There is no tool `write_file`. There are read_file, search, list, run, update_plan.";
    assert_eq!(done.results(), [("failed", expected)]);
    assert!(!home.workspace().join("a").exists());
    let request = model.request();
    assert_eq!(offered(&request), ["read_file", "search", "list", "run", "update_plan"]);
    let system = request["messages"][0]["content"].as_str().expect("a text");
    assert!(system.contains("You may only read"), "{system}");
}

#[test]
fn a_picture_is_shown_in_its_turn_and_kept_in_no_file() {
    let home = Home::new();
    let model = Model::new(vec![Answer::Says("A heron."), Answer::Says("I saw one.")]);
    let mut talk = home.begin(&model.url);
    let prompt = |media: &str, data: &str| {
        let image = json!({"type": "image", "mimeType": media, "data": data});
        json!({"sessionId": SESSION, "prompt": [{"type": "text", "text": "what is it?"}, image]})
    };
    for (media, data) in [("image/svg+xml", "AAAA"), ("image/png", ""), ("image/png", "no base64!")]
    {
        let refused = talk.ask("session/prompt", &prompt(media, data));
        assert_eq!(refused["error"]["code"], -32602, "{media} {data}");
    }
    talk.ask("session/prompt", &prompt("image/png", "iVBORw0KGgo="));
    let content = model.messages()[1]["content"].clone();
    assert_eq!(content[1]["image_url"]["url"], "data:image/png;base64,iVBORw0KGgo=");
    talk.prompt("and now?");
    let again = model.messages();
    assert_eq!(again[1]["content"], "what is it?\n[1 pictures came with this]");
    assert!(!fs::read_to_string(home.session_file()).expect("there").contains("iVBORw0KGgo"));
}

#[test]
fn an_endpoint_that_takes_no_pictures_is_an_error_that_says_so_and_harms_no_later_turn() {
    let home = Home::new();
    let refusal = r#"{"error":{"message":"unknown part"}}"#;
    let model = Model::new(vec![Answer::Status(400, refusal), Answer::Says("Hello.")]);
    let mut talk = home.begin(&model.url);
    let image = json!({"type": "image", "mimeType": "image/png", "data": "AAAA"});
    let refused = talk.ask("session/prompt", &json!({"sessionId": SESSION, "prompt": [image]}));
    let message = refused["error"]["message"].as_str().expect("a message");
    assert!(message.contains("the endpoint may take no pictures"), "{message}");
    assert_eq!(talk.prompt("hello").text(), "Hello.");
}

#[test]
fn a_conversation_that_is_too_long_is_summed_up_and_goes_on() {
    let home = Home::new();
    let long = "x".repeat(6_000);
    let too_long = r#"{"error":{"message":"This model's maximum context length is 2048 tokens"}}"#;
    let model = Model::new(vec![
        Answer::Says("Yes."),
        Answer::Status(400, too_long),
        Answer::Says("The word is plum."),
        Answer::Says("It was plum."),
        Answer::Says("Still plum."),
    ]);
    let mut talk = home.begin(&model.url);
    talk.prompt(&format!("remember plum {long}"));
    let done = talk.prompt("which word?");
    assert_eq!(done.text(), "It was plum.");
    assert!(thoughts(&done).contains("its earlier part is a summary now"), "{done:?}");
    drop((model.request(), model.request()));
    let aside = model.request();
    assert_eq!(offered(&aside), [""; 0]);
    assert!(aside.to_string().contains("summary of the conversation so far"), "{aside}");
    let after = model.messages();
    assert_eq!(after[1]["content"], "What was said before, in short:\nThe word is plum.");
    assert_eq!((after.len(), &after[2]["content"]), (3, &json!("which word?")));
    drop(talk);
    let mut talk = home.start(&model.url, &[]);
    talk.load();
    assert_eq!(talk.prompt("and now?").text(), "Still plum.");
    let again = model.messages();
    assert_eq!(again[1]["content"], after[1]["content"], "another process goes on from it");
}

#[test]
fn the_same_call_with_the_same_result_does_not_go_on_for_ever() {
    let home = Home::new();
    let list = || Answer::Calls(vec![("list", json!({}))]);
    let model = Model::new((0..6).map(|_| list()).collect());
    let done = home.begin(&model.url).prompt("do it");
    assert_eq!(done.stop_reason(), "max_turn_requests");
    assert!(done.text().contains("returned the same 6 times"), "{}", done.text());
}

#[test]
fn a_turn_runs_in_every_dialect() {
    let list = json!({"type": "function_call", "call_id": "c", "name": "list", "arguments": "{}"});
    let said = json!({"type": "message", "content": [{"type": "output_text", "text": "Done."}]});
    let call = json!({"type": "tool_use", "id": "c", "name": "list", "input": {}});
    let text = json!({"type": "text", "text": "Done."});
    for (api, path, answers) in [
        (
            "anthropic-messages",
            "messages",
            [
                json!({"content": [call], "stop_reason": "tool_use"}),
                json!({"content": [text], "stop_reason": "end_turn"}),
            ],
        ),
        ("openai-responses", "input", [json!({"output": [list]}), json!({"output": [said]})]),
    ] {
        let home = Home::new();
        fs::write(home.workspace().join("a.md"), "x").expect("writable");
        let model = Model::new(answers.map(Answer::Json).into());
        let mut talk = home.start(&model.url, &[("REMIT_AGENT_API", api)]);
        talk.open();
        let done = talk.prompt("look");
        assert_eq!(
            (&*done.text(), done.results()),
            ("Done.", vec![("completed", "a.md")]),
            "{api}"
        );
        model.request();
        assert!(model.request()[path].to_string().contains("a.md"), "{api}");
    }
}
