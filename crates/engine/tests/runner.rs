//! The adapters of agents: what they make of a conversation, word for word, and of anything else.

mod transcript;

use engine::runner::{
    Adapter, LaunchContext, Step, TurnAsk, adapter, builtin_runners, reply_so_far,
};
use model::limit::EVENT_BYTES_MAX;
use model::{Event, FailureCode, Protocol, Runner, SessionId, TurnOutcome};
use uuid::Uuid;

fn runner(protocol: Protocol) -> Runner {
    match protocol {
        Protocol::Text => {
            let lines = vec![];
            return Runner { protocol, lines, ..runner(Protocol::Jsonl) };
        }
        Protocol::Jsonl => {
            let mut runners = builtin_runners().into_iter();
            return runners.find(|runner| runner.name.as_str() == "pi").expect("it is there");
        }
        Protocol::Acp | Protocol::ClaudeStreamJson | Protocol::CodexAppServer => {}
    }
    let found = builtin_runners().into_iter().find(|runner| runner.protocol == protocol);
    found.expect("there is a runner of every protocol")
}

fn context() -> LaunchContext {
    LaunchContext {
        session: SessionId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        resumes: false,
        agent_session: None,
        permission: model::Permission::Auto,
        cwd: "/workspace".into(),
        gate_url: "http://127.0.0.1:8700".to_owned(),
        model: "demo".to_owned(),
        api: model::ModelApi::OpenaiChat,
        access: model::Mode::ReadWrite,
        servers: vec![],
        snapshot: None,
        reply: String::new(),
    }
}

#[test]
fn an_agent_is_told_of_servers_of_tools_in_its_own_way() {
    let servers = ["knowledge", "tracker"].map(|name| name.parse().expect("a name"));
    let context = LaunchContext { servers: servers.into(), ..context() };
    let named = |name: &str| {
        let mut all = builtin_runners().into_iter();
        all.find(|runner| runner.name.as_str() == name).expect("built in")
    };
    let mut acp = adapter(&named("remit"), context.clone());
    acp.turn(&turn(1, "hello"));
    let opened = say(&mut *acp, r#"{"id":1,"result":{"protocolVersion":1}}"#);
    let opened: serde_json::Value =
        serde_json::from_slice(&opened.input[0].bytes).expect("a message");
    let told = |name: &str| {
        let url = format!("http://127.0.0.1:8700/mcp/{name}");
        serde_json::json!({"type": "http", "name": name, "url": url, "headers": []})
    };
    assert_eq!(
        opened["params"]["mcpServers"],
        serde_json::json!([told("knowledge"), told("tracker")])
    );
    let has = |name: &str, context: &LaunchContext, words: &str| {
        let argv = adapter(&named(name), context.clone()).process().argv;
        // A runner of lines has its words within those of a shell.
        let argv: Vec<_> = argv.iter().map(|word| word.replace('\\', "")).collect();
        assert!(argv.iter().any(|word| word.contains(words)), "{words}: {argv:?}");
    };
    let claude = r#"{"mcpServers":{"knowledge":{"type":"http","url":"http://127.0.0.1:8700/mcp/knowledge"},"tracker":{"type":"http","url":"http://127.0.0.1:8700/mcp/tracker"}}}"#;
    has("claude-code", &context, claude);
    has("claude-code", &self::context(), r#"{"mcpServers":{}}"#);
    let codex = r#"mcp_servers={knowledge={url="http://127.0.0.1:8700/mcp/knowledge",default_tools_approval_mode="prompt"},tracker={url="http://127.0.0.1:8700/mcp/tracker",default_tools_approval_mode="prompt"}}"#;
    has("codex", &context, codex);
    has("codex", &self::context(), "mcp_servers={}");
}

fn turn(number: u32, prompt: &str) -> TurnAsk {
    let turn = format!("t{number}").parse().expect("a name");
    TurnAsk { turn, number, prompt: prompt.to_owned() }
}

fn acp() -> Box<dyn Adapter> {
    adapter(&runner(Protocol::Acp), context())
}

/// An ACP adapter whose first turn waits for the agent.
fn prompted() -> Box<dyn Adapter> {
    let mut adapter = acp();
    adapter.turn(&turn(1, "hello"));
    say(&mut *adapter, r#"{"id":1,"result":{"protocolVersion":1}}"#);
    say(&mut *adapter, r#"{"id":2,"result":{"sessionId":"s"}}"#);
    adapter
}

fn say(adapter: &mut dyn Adapter, line: &str) -> Step {
    adapter.line(line.as_bytes(), false)
}

fn failure(step: &Step) -> Option<FailureCode> {
    match &step.turn {
        Some(TurnOutcome::Failed { failure }) => Some(failure.code),
        _ => None,
    }
}

fn diagnostics(steps: &[Step]) -> usize {
    let events = steps.iter().flat_map(|step| &step.events);
    events.filter(|event| matches!(event, Event::Diagnostic { .. })).count()
}

#[test]
fn the_program_is_told_the_gate_the_model_and_the_session() {
    let process = acp().process();
    assert_eq!(process.argv, ["/opt/remit/remit", "agent"]);
    assert_eq!(process.env["REMIT_GATE_URL"], "http://127.0.0.1:8700");
    assert_eq!(process.env["REMIT_SESSION"], "01900000-0000-7000-8000-000000000001");
    assert_eq!(process.cwd.to_str(), Some("/workspace"));
}

#[test]
fn an_acp_conversation_becomes_these_events() {
    transcript::check("acp", |context| adapter(&runner(Protocol::Acp), context));
}

#[test]
fn a_resumed_acp_conversation_does_not_tell_its_history_again() {
    transcript::check("acp-resumed", |context| adapter(&runner(Protocol::Acp), context));
}

#[test]
fn what_an_agent_of_json_lines_says_becomes_these_events() {
    transcript::check("jsonl", |context| adapter(&runner(Protocol::Jsonl), context));
}

#[test]
fn what_an_agent_of_plain_text_says_becomes_these_events() {
    transcript::check("text", |context| adapter(&runner(Protocol::Text), context));
}

#[test]
fn an_agent_that_is_run_once_a_turn_gets_no_prompt_as_an_argument() {
    let mut adapter = adapter(&runner(Protocol::Jsonl), context());
    let step = adapter.turn(&turn(1, "two\nlines"));
    assert_eq!(step.input[0].bytes, b"9\ntwo\nlines");
    let process = adapter.process();
    assert_eq!(process.argv[0], "/bin/sh");
    assert!(process.argv.iter().all(|word| !word.contains("two")));
}

#[test]
fn an_agent_session_of_another_name_is_kept_and_taken_up_again() {
    let adapter = prompted();
    assert_eq!(adapter.agent_session(), Some("s"));
    let agent_session = adapter.agent_session().map(str::to_owned);
    let context = LaunchContext { resumes: true, agent_session, ..context() };
    let mut next = self::adapter(&runner(Protocol::Acp), context);
    next.turn(&turn(1, "again"));
    let able =
        r#"{"id":1,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true}}}"#;
    let load = String::from_utf8_lossy(&say(&mut *next, able).input[0].bytes).into_owned();
    assert!(load.contains(r#""sessionId":"s""#), "{load}");
}

#[test]
fn history_that_comes_late_is_not_told_as_new() {
    let context = LaunchContext { resumes: true, ..context() };
    let mut adapter = adapter(&runner(Protocol::Acp), context);
    adapter.turn(&turn(1, "which word?"));
    let able =
        r#"{"id":1,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true}}}"#;
    say(&mut *adapter, able);
    say(&mut *adapter, r#"{"id":2,"result":{}}"#);
    let said =
        |kind: &str, text: &str| update(&format!(r#""{kind}","content":{{"text":"{text}"}}"#));
    for (line, told) in [
        (said("user_message_chunk", "which word?"), 0),
        (said("agent_message_chunk", "an echo is no history"), 1),
        (said("user_message_chunk", "remember plover"), 0),
        (said("agent_message_chunk", "I will"), 0),
        (update(r#""available_commands_update""#), 0),
        (said("agent_message_chunk", "plover"), 1),
    ] {
        assert_eq!(say(&mut *adapter, &line).events.len(), told, "{line}");
    }
}

fn claude(resumes: bool) -> Box<dyn Adapter> {
    adapter(&runner(Protocol::ClaudeStreamJson), LaunchContext { resumes, ..context() })
}

#[test]
fn a_claude_conversation_becomes_these_events() {
    transcript::check("claude", |context| adapter(&runner(Protocol::ClaudeStreamJson), context));
}

fn codex(resumes: bool) -> Box<dyn Adapter> {
    adapter(&runner(Protocol::CodexAppServer), LaunchContext { resumes, ..context() })
}

#[test]
fn a_codex_conversation_becomes_these_events() {
    transcript::check("codex", |context| adapter(&runner(Protocol::CodexAppServer), context));
}

#[test]
fn codex_takes_its_conversation_up_and_asks_as_it_is_told_now() {
    for (permission, word) in
        [(model::Permission::Auto, "never"), (model::Permission::Ask, "untrusted")]
    {
        let agent_session = Some("th-1".to_owned());
        let context = LaunchContext { resumes: true, agent_session, permission, ..context() };
        let mut adapter = adapter(&runner(Protocol::CodexAppServer), context);
        adapter.turn(&turn(1, "hello"));
        let opened = say(&mut *adapter, r#"{"id":1,"result":{}}"#).input.remove(0).bytes;
        let opened = String::from_utf8(opened).expect("text");
        for part in
            [r#""method":"thread/resume""#, r#""threadId":"th-1""#, &format!(r#":"{word}""#)]
        {
            assert!(opened.contains(part), "{part}: {opened}");
        }
        let gone = r#"{"id":2,"error":{"code":-32600,"message":"no rollout found"}}"#;
        let step = say(&mut *adapter, gone);
        assert_eq!((failure(&step), step.close_input), (Some(FailureCode::Session), true));
    }
}

#[test]
fn claude_code_begins_or_resumes_the_session_of_ours_and_holds_no_key() {
    let uuid = "01900000-0000-7000-8000-000000000001";
    for (resumes, flag) in [(false, "--session-id"), (true, "--resume")] {
        let process = claude(resumes).process();
        assert_eq!(process.argv[process.argv.len() - 2..], [flag, uuid]);
        assert_eq!(process.env["ANTHROPIC_API_KEY"], "no-key-the-gate-has-it");
        assert!(
            process.argv.iter().all(|arg| !arg.contains("{session}") && !arg.contains("{model}"))
        );
    }
}

#[test]
fn a_claude_session_that_is_missing_is_a_failure_of_the_session() {
    let mut adapter = claude(true);
    adapter.turn(&turn(1, "hello"));
    let line = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["No conversation found"]}"#;
    let step = say(&mut *adapter, line);
    assert_eq!((failure(&step), step.close_input), (Some(FailureCode::Session), true));
    assert_eq!(failure(&adapter.turn(&turn(2, "again"))), Some(FailureCode::AgentStart));
}

#[test]
fn a_claude_that_ends_at_once_was_not_started_and_one_that_ends_in_a_turn_died() {
    let mut adapter = claude(false);
    adapter.turn(&turn(1, "hello"));
    assert_eq!(failure(&adapter.exited(Some(1), None)), Some(FailureCode::AgentStart));
    let mut adapter = claude(false);
    adapter.turn(&turn(1, "hello"));
    say(&mut *adapter, r#"{"type":"system","subtype":"init"}"#);
    assert_eq!(failure(&adapter.exited(None, Some(11))), Some(FailureCode::AgentDied));
}

#[test]
fn an_agent_that_dies_in_the_handshake_was_not_started() {
    let mut adapter = acp();
    adapter.turn(&turn(1, "hello"));
    assert_eq!(failure(&adapter.exited(Some(127), None)), Some(FailureCode::AgentStart));
}

#[test]
fn an_agent_that_dies_in_a_turn_died() {
    let step = prompted().exited(None, Some(9));
    assert_eq!(failure(&step), Some(FailureCode::AgentDied));
}

#[test]
fn an_agent_that_ends_while_it_is_stopped_was_stopped() {
    let mut adapter = prompted();
    assert_eq!(adapter.cancel().input.len(), 1);
    assert_eq!(adapter.cancel(), Step::default());
    assert_eq!(adapter.exited(None, Some(9)).turn, Some(TurnOutcome::Stopped));
}

#[test]
fn a_turn_that_was_told_to_stop_was_stopped_whatever_the_agent_calls_it() {
    for reason in ["end_turn", "cancelled", "max_tokens"] {
        let mut adapter = prompted();
        adapter.cancel();
        let end = format!(r#"{{"id":3,"result":{{"stopReason":"{reason}"}}}}"#);
        assert_eq!(say(&mut *adapter, &end).turn, Some(TurnOutcome::Stopped), "{reason}");
    }
    let mut adapter = claude(false);
    adapter.turn(&turn(1, "hello"));
    say(&mut *adapter, r#"{"type":"system","subtype":"init"}"#);
    adapter.cancel();
    let end = r#"{"type":"result","subtype":"success","result":"I was about to"}"#;
    assert_eq!(say(&mut *adapter, end).turn, Some(TurnOutcome::Stopped));
}

#[test]
fn a_turn_that_is_stopped_before_its_prompt_never_begins() {
    let mut adapter = acp();
    adapter.turn(&turn(1, "hello"));
    assert_eq!(adapter.cancel().turn, Some(TurnOutcome::Stopped));
    say(&mut *adapter, r#"{"id":1,"result":{"protocolVersion":1}}"#);
    assert_eq!(say(&mut *adapter, r#"{"id":2,"result":{"sessionId":"s"}}"#), Step::default());
    assert_eq!(adapter.turn(&turn(2, "again")).input.len(), 1);
}

#[test]
fn an_agent_of_another_version_or_without_sessions_is_refused() {
    for (resumes, answer, code) in [
        (false, r#"{"id":1,"result":{"protocolVersion":2}}"#, FailureCode::AgentProtocol),
        (true, r#"{"id":1,"result":{"protocolVersion":1}}"#, FailureCode::Session),
        (false, r#"{"id":1,"error":{"code":-32603,"message":"no"}}"#, FailureCode::AgentStart),
    ] {
        let context = LaunchContext { resumes, ..context() };
        let mut adapter = adapter(&runner(Protocol::Acp), context);
        adapter.turn(&turn(1, "hello"));
        let step = say(&mut *adapter, answer);
        assert_eq!((failure(&step), step.close_input), (Some(code), true), "{answer}");
        assert!(adapter.turn(&turn(2, "again")).close_input, "{answer}");
    }
}

#[test]
fn the_reasons_of_an_agent_to_stop_are_told_apart() {
    for (answer, code) in [
        (r#""result":{"stopReason":"max_tokens"}"#, FailureCode::AgentGaveUp),
        (r#""result":{"stopReason":"max_turn_requests"}"#, FailureCode::AgentGaveUp),
        (r#""result":{"stopReason":"refusal"}"#, FailureCode::AgentGaveUp),
        (r#""result":{"stopReason":"weather"}"#, FailureCode::AgentProtocol),
        (r#""result":{}"#, FailureCode::AgentProtocol),
        (r#""error":{"code":-32602,"message":"x"}"#, FailureCode::AgentProtocol),
        (r#""error":{"code":-32000,"message":"x","data":{"kind":"model"}}"#, FailureCode::Model),
        (
            r#""error":{"code":-32000,"message":"x","data":{"kind":"session"}}"#,
            FailureCode::Session,
        ),
    ] {
        let step = say(&mut *prompted(), &format!(r#"{{"id":3,{answer}}}"#));
        assert_eq!(failure(&step), Some(code), "{answer}");
    }
}

#[test]
fn a_flood_of_broken_lines_is_counted_and_not_repeated() {
    let mut adapter = prompted();
    let mut steps = Vec::new();
    for number in 0..500 {
        steps.push(say(&mut *adapter, &format!("warning {number}")));
        steps.push(adapter.line(b"\xff\xfe{", false));
        steps.push(adapter.line(&[b'x'; 1 << 10], true));
    }
    assert_eq!(diagnostics(&steps), 20);
    let end = say(&mut *adapter, r#"{"id":3,"result":{"stopReason":"end_turn"}}"#);
    let Some(Event::Diagnostic { text, .. }) = end.events.first() else { panic!("{end:?}") };
    assert_eq!(text, "1480 more diagnostics in this turn");
}

#[test]
fn a_flood_of_requests_is_refused_and_then_not_answered() {
    let mut adapter = prompted();
    let request = |id| format!(r#"{{"id":{id},"method":"fs/read_text_file","params":{{}}}}"#);
    let inputs = (0..5_000).map(|id| say(&mut *adapter, &request(id)).input.len()).sum::<usize>();
    assert_eq!(inputs, 1_000);
}

#[test]
fn answers_under_one_id_are_inputs_under_different_ones() {
    let mut adapter = prompted();
    let request = r#"{"id":7,"method":"terminal/create","params":{}}"#;
    let ids = [(); 3].map(|()| say(&mut *adapter, request).input[0].id);
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
}

#[test]
fn an_answer_that_comes_twice_or_early_ends_nothing() {
    let mut adapter = acp();
    adapter.turn(&turn(1, "hello"));
    for line in [r#"{"id":3,"result":{"stopReason":"end_turn"}}"#, r#"{"id":2,"result":{}}"#] {
        assert_eq!(say(&mut *adapter, line).turn, None, "{line}");
    }
    let mut adapter = prompted();
    let end = r#"{"id":3,"result":{"stopReason":"end_turn"}}"#;
    assert_eq!(say(&mut *adapter, end).turn, Some(TurnOutcome::Completed));
    assert_eq!(say(&mut *adapter, end).turn, None);
    assert_eq!(adapter.exited(Some(0), None).turn, None);
}

#[test]
fn a_question_has_the_answers_it_has_and_one_of_them_once() {
    let question = r#"{"id":"q","method":"session/request_permission","params":{"sessionId":"s",
        "toolCall":{"toolCallId":"c"},"options":[{"optionId":"yes","name":"Yes","kind":"allow_once"},
        {"optionId":"no","name":"No","kind":"reject_once"}]}}"#
        .replace('\n', " ");
    for (answer, expected) in [
        (Some("yes"), r#"{"optionId":"yes","outcome":"selected"}"#),
        (None, r#"{"optionId":"no","outcome":"selected"}"#),
    ] {
        let mut adapter = prompted();
        let asked = say(&mut *adapter, &question);
        let Some(Event::PermissionAsked { ask, .. }) = asked.events.last() else {
            panic!("{asked:?}")
        };
        assert_eq!(adapter.answer("1-9", Some("yes")), Step::default());
        assert_eq!(adapter.answer(ask, Some("maybe")), Step::default());
        let answered = adapter.answer(ask, answer);
        let said = String::from_utf8_lossy(&answered.input[0].bytes).into_owned();
        assert!(said.contains(expected), "{said}");
        assert_eq!(adapter.answer(ask, Some("yes")), Step::default());
        let repeated = restored(&*adapter, "").resume(Some(&turn(1, "hello"))).input;
        assert!(repeated.contains(&answered.input[0]), "{repeated:?}");
    }
}

fn restored(adapter: &dyn Adapter, reply: &str) -> Box<dyn Adapter> {
    restored_as(Protocol::Acp, adapter, reply)
}

fn restored_as(protocol: Protocol, adapter: &dyn Adapter, reply: &str) -> Box<dyn Adapter> {
    let (snapshot, reply) = (Some(adapter.snapshot()), reply.to_owned());
    self::adapter(&runner(protocol), LaunchContext { snapshot, reply, ..context() })
}

#[test]
fn after_a_restart_a_conversation_goes_on_wherever_it_was() {
    for (name, protocol) in [
        ("acp", Protocol::Acp),
        ("claude", Protocol::ClaudeStreamJson),
        ("codex", Protocol::CodexAppServer),
        ("jsonl", Protocol::Jsonl),
        ("text", Protocol::Text),
    ] {
        let script = transcript::read(name);
        let new = || adapter(&runner(protocol), context());
        let whole = transcript::play(&script, new(), |adapter, _, _| adapter);
        let restarted = transcript::play(&script, new(), |adapter, turn, events| {
            let mut next = restored_as(protocol, &*adapter, &reply_so_far(events));
            let step = next.resume(turn);
            assert_eq!(step.events, [], "what is stored is not told again");
            next
        });
        assert_eq!(whole, restarted);
    }
}

#[test]
fn inputs_that_may_be_lost_are_repeated_under_their_ids() {
    for protocol in
        [Protocol::Acp, Protocol::ClaudeStreamJson, Protocol::CodexAppServer, Protocol::Jsonl]
    {
        let mut adapter = adapter(&runner(protocol), context());
        let first = adapter.turn(&turn(1, "hello")).input;
        let again = restored_as(protocol, &*adapter, "").resume(Some(&turn(1, "hello"))).input;
        assert_eq!(first, again, "{protocol:?}");
    }
    let mut adapter = prompted();
    let refused = say(&mut *adapter, r#"{"id":7,"method":"terminal/create","params":{}}"#).input;
    let again = restored(&*adapter, "").resume(Some(&turn(1, "hello"))).input;
    assert_eq!(again.last(), refused.last());
    let cancel = adapter.cancel().input;
    let again = restored(&*adapter, "").resume(Some(&turn(1, "hello"))).input;
    assert_eq!(again.last(), cancel.last());
    assert!(String::from_utf8_lossy(&again[0].bytes).contains("session/prompt"));
}

#[test]
fn a_turn_that_was_accepted_but_not_begun_begins_after_a_restart() {
    let mut adapter = prompted();
    say(&mut *adapter, r#"{"id":3,"result":{"stopReason":"end_turn"}}"#);
    let mut next = restored(&*adapter, "");
    assert_eq!(next.resume(Some(&turn(2, "more"))), adapter.turn(&turn(2, "more")));
}

#[test]
fn a_turn_that_ended_before_a_restart_ends_again_and_is_not_run_again() {
    let mut adapter = prompted();
    let said = say(&mut *adapter, &update(r#""agent_message_chunk","content":{"text":"hi"}"#));
    let end = say(&mut *adapter, r#"{"id":3,"result":{"stopReason":"end_turn"}}"#);
    let again = restored(&*adapter, &reply_so_far(&said.events)).resume(Some(&turn(1, "hello")));
    assert_eq!((again.turn, again.reply, again.input), (end.turn, "hi".to_owned(), Vec::new()));
}

fn update(update: &str) -> String {
    let update = format!(r#"{{"sessionUpdate":{update}}}"#);
    format!(r#"{{"method":"session/update","params":{{"sessionId":"s","update":{update}}}}}"#)
}

#[test]
fn a_request_whose_id_is_no_id_is_not_answered() {
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for id in ["1e400", "{}", "[1]", "null", "true", &*nested] {
        for method in ["session/request_permission", "fs/read_text_file"] {
            let mut adapter = prompted();
            let line =
                format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{}}}}"#);
            let step = say(&mut *adapter, &line);
            assert_eq!(step.input, [], "{line}");
            let told = matches!(step.events[..], [Event::Diagnostic { .. }]) || id == "null";
            assert!(told, "{line}: {:?}", step.events);
        }
    }
}

#[test]
fn however_large_a_line_is_its_events_can_be_stored() {
    let long = "\\u0000\\\"é".repeat(300_000);
    let many = |part: &str| vec![part; 50_000].join(",");
    for line in [
        update(&format!(r#""agent_message_chunk","content":{{"text":"{long}"}}"#)),
        update(&format!(
            r#""tool_call","toolCallId":"{long}","title":"{long}","rawInput":{{"a":"{long}"}},
               "locations":[{}]"#,
            many(r#"{"path":"a"}"#)
        )),
        update(&format!(
            r#""tool_call_update","toolCallId":"c","status":"completed","content":[
               {{"type":"content","content":{{"text":"{long}"}}}},{}]"#,
            vec![format!(r#"{{"type":"diff","path":"p","newText":"{}"}}"#, &long[..80_000]); 8]
                .join(",")
        )),
        update(&format!(r#""plan","entries":[{}]"#, many(r#"{"content":"x"}"#))),
        update(&format!(
            r#""tool_call","toolCallId":"c","rawInput":{}{}"#,
            "[".repeat(90_000),
            "]".repeat(90_000)
        )),
        update(&format!(r#""tool_call","toolCallId":"c","rawInput":[{}1]"#, "1e15,".repeat(9_000))),
    ] {
        fits(&mut *prompted(), &line.replace('\n', " "));
    }
    for line in [
        format!(
            r#"{{"type":"stream_event","event":{{"type":"content_block_delta","delta":{{"text":"{long}"}}}}}}"#
        ),
        format!(
            r#"{{"type":"assistant","message":{{"id":"{long}","content":[{{"type":"tool_use","id":"{long}",
               "name":"{long}","input":{{"command":"{long}"}}}}]}}}}"#
        ),
        format!(r#"{{"type":"result","subtype":"success","result":"{long}"}}"#),
    ] {
        let mut adapter = claude(false);
        adapter.turn(&turn(1, "hello"));
        fits(&mut *adapter, &line.replace('\n', " "));
    }
}

fn fits(adapter: &mut dyn Adapter, line: &str) {
    let step = say(adapter, line);
    assert!(!step.events.is_empty(), "{}", &line[..200]);
    for event in &step.events {
        let stored = serde_json::to_vec(event).expect("plain data").len();
        assert!(stored <= EVENT_BYTES_MAX, "{stored} bytes for {}", &line[..200]);
    }
    assert!(step.reply.len() <= 64 << 10);
}

/// A seeded source of numbers, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("small")
    }

    fn mutate(&mut self, line: &str) -> Vec<u8> {
        let mut bytes = line.as_bytes().to_vec();
        for _ in 0..=self.roll(4) {
            let at = self.roll(bytes.len().max(1));
            match self.roll(5) {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] = u8::try_from(self.roll(256)).expect("a byte"),
                2 => bytes.splice(at..at, *b"[[[[{\"").for_each(drop),
                3 if at < bytes.len() => bytes.truncate(at + self.roll(20)),
                _ => bytes.splice(at..at, *b"null").for_each(drop),
            }
        }
        bytes
    }
}

/// Plays the lines of a conversation in any order, broken in any way, with anything in between.
fn storm(script: &str, new: impl Fn() -> Box<dyn Adapter>, seed: u64) {
    let mut dice = Dice(seed);
    let lines = transcript::lines(script);
    let mut adapter = new();
    let mut number = 0;
    for _ in 0..120 {
        let line = &lines[dice.roll(lines.len())];
        let step = match dice.roll(12) {
            0 => {
                number += 1;
                adapter.turn(&turn(number, "go on"))
            }
            1 if dice.roll(4) == 0 => adapter.cancel(),
            2 => adapter.answer(&format!("{number}-1"), Some("allow_once")),
            3 if dice.roll(20) == 0 => adapter.exited(Some(1), None),
            4..8 => adapter.line(line.as_bytes(), dice.roll(30) == 0),
            _ => adapter.line(&dice.mutate(line), false),
        };
        for event in &step.events {
            let stored = serde_json::to_vec(event).expect("plain data").len();
            assert!(stored <= EVENT_BYTES_MAX, "seed {seed}");
        }
        assert!(adapter.snapshot().len() <= 64 << 10, "seed {seed}");
    }
}

#[test]
fn whatever_an_acp_agent_says_the_adapter_stands() {
    let script = transcript::read("acp");
    (1..300).for_each(|seed| storm(&script, acp, seed));
}

#[test]
fn whatever_claude_says_the_adapter_stands() {
    let script = transcript::read("claude");
    (1..300).for_each(|seed| storm(&script, || claude(false), seed));
}

#[test]
fn whatever_codex_says_the_adapter_stands() {
    let script = transcript::read("codex");
    (1..300).for_each(|seed| storm(&script, || codex(false), seed));
}

#[test]
fn whatever_an_agent_of_lines_says_the_adapter_stands() {
    for protocol in [Protocol::Jsonl, Protocol::Text] {
        let script = transcript::read("jsonl");
        let new = || adapter(&runner(protocol), context());
        (1..150).for_each(|seed| storm(&script, new, seed));
    }
}
