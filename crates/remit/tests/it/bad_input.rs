//! What is malformed, unknown or too large is refused in words, with a code that has a page.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Answer, Folder, Server};

struct Case {
    what: &'static str,
    request: reqwest::RequestBuilder,
    status: u16,
    code: &'static str,
}

fn unit(edit: impl FnOnce(&mut Value)) -> Value {
    let mut unit = json!({
        "runner": "remit",
        "workspaces": [{"id": "home", "mode": "rw"}],
        "trigger": "message",
        "start": {"entrypoint": {"inline": "say 1 words"}},
    });
    edit(&mut unit);
    unit
}

fn chats(server: &Server) -> Vec<Case> {
    let me = server.client();
    let raw = |what, body: &str, status, code| {
        let request = me.request("POST", "/agent/chat").body(body.to_owned());
        Case { what, request, status, code }
    };
    let post = |what, body: Value, status, code| raw(what, &body.to_string(), status, code);
    let ghost = "ses_01jzr00000fay8vvr14d2pf2db";
    let header = |what, name: &str, value: &str, status, code| {
        let body = json!({"prompt": "hi", "turn_id": "t"}).to_string();
        let request = me.request("POST", "/agent/chat").header(name, value).body(body);
        Case { what, request, status, code }
    };
    vec![
        raw("no body", "", 422, "invalid-request"),
        raw("no JSON", "{", 422, "invalid-request"),
        raw("deep JSON", &"[".repeat(100_000), 422, "invalid-request"),
        post("no prompt", json!({}), 422, "invalid-request"),
        post("an unknown field", json!({"prompt": "hi", "x": 1}), 422, "invalid-request"),
        post("an empty prompt", json!({"prompt": " "}), 422, "invalid-request"),
        post("a long prompt", json!({"prompt": "x".repeat((1 << 20) + 1)}), 413, "too-large"),
        raw("a huge body", &"x".repeat(8 << 20), 413, "too-large"),
        post("a bad turn", json!({"prompt": "hi", "turn_id": "a/b"}), 422, "invalid-request"),
        post("no such session", json!({"prompt": "hi", "session": ghost}), 404, "unknown-session"),
        post("no session id", json!({"prompt": "hi", "session": "../x"}), 404, "unknown-session"),
        header("a bad frame id", "last-event-id", "x", 422, "invalid-request"),
        header("a foreign host", "host", "evil.example", 421, "foreign-host"),
        header("a foreign page", "origin", "http://evil.example", 403, "foreign-origin"),
        Case {
            what: "resuming no turn",
            request: me
                .request("POST", "/agent/chat")
                .header("last-event-id", "1-1")
                .json(&json!({"prompt": "hi"})),
            status: 422,
            code: "invalid-request",
        },
        Case {
            what: "an unknown runner",
            request: me.request("POST", "/agent/chat?runner=none").json(&json!({"prompt": "hi"})),
            status: 422,
            code: "unknown-runner",
        },
        Case {
            what: "an unknown choice",
            request: me.request("POST", "/agent/chat?runer=remit").json(&json!({"prompt": "hi"})),
            status: 422,
            code: "invalid-request",
        },
    ]
}

fn units(server: &Server) -> Vec<Case> {
    let me = server.client();
    let post = |what, body: Value, status, code| {
        let request = me.request("POST", "/agent/invocations").json(&body);
        Case { what, request, status, code }
    };
    let conform = |what, edit: fn(&mut Value)| post(what, unit(edit), 400, "not-conformant");
    vec![
        conform("no trigger", |unit| {
            drop(unit.as_object_mut().expect("an object").remove("trigger"));
        }),
        conform("an unknown trigger", |unit| unit["trigger"] = json!("whim")),
        conform("an unknown field", |unit| unit["x"] = json!(1)),
        conform("no workspaces", |unit| unit["workspaces"] = json!([])),
        conform("a bad mode", |unit| unit["workspaces"][0]["mode"] = json!("rwx")),
        conform("both starts", |unit| unit["start"]["session"] = json!({"ref": "s"})),
        post(
            "an unknown runner",
            unit(|unit| unit["runner"] = json!("none")),
            422,
            "unknown-runner",
        ),
        post(
            "an unknown workspace",
            unit(|unit| unit["workspaces"][0]["id"] = json!("nowhere")),
            404,
            "unknown-workspace",
        ),
        post(
            "the same workspace twice",
            unit(|unit| unit["workspaces"] = json!([{"id": "home"}, {"id": "home"}])),
            422,
            "invalid-request",
        ),
        post(
            "an unknown session",
            unit(|unit| unit["start"] = json!({"session": {"ref": "nobody"}})),
            404,
            "unknown-session",
        ),
        post(
            "writing on untrusted input",
            unit(|unit| unit["trigger"] = json!("event")),
            403,
            "untrusted-write",
        ),
    ]
}

fn others(server: &Server) -> Vec<Case> {
    let me = server.client();
    let get = |what, path: &str, status, code| Case {
        what,
        request: me.request("GET", path),
        status,
        code,
    };
    let ghost = "/agent/dispatches/dsp_01jzr00000fay8vvr14d2pf2db";
    vec![
        get("no such route", "/nowhere", 404, "not-found"),
        get("another method", "/agent/chat", 405, "method-not-allowed"),
        get("no such dispatch", ghost, 404, "unknown-dispatch"),
        get("no dispatch id", "/agent/dispatches/%2e%2e%2fetc", 404, "unknown-dispatch"),
        get("no such history", "/agent/sessions/x/history", 404, "unknown-session"),
        get("a bad limit", "/agent/dispatches?limit=0", 422, "invalid-request"),
        get("a bad cursor", "/agent/dispatches?cursor=x", 422, "invalid-request"),
        get("an unknown filter", "/agent/dispatches?x=1", 422, "invalid-request"),
        Case {
            what: "no key",
            request: server.nobody().request("GET", "/auth/me"),
            status: 401,
            code: "missing-api-key",
        },
        Case {
            what: "a wrong key",
            request: server.nobody().request("GET", "/auth/me").bearer_auth("rmt_0"),
            status: 401,
            code: "invalid-api-key",
        },
        Case {
            what: "a mail address without a person",
            request: server.admin().request("POST", "/admin/users").json(&json!({"email": "@x"})),
            status: 422,
            code: "invalid-request",
        },
    ]
}

#[tokio::test]
async fn bad_input_is_refused_in_words_with_a_code_that_has_a_page() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let cases = chats(&server).into_iter().chain(units(&server)).chain(others(&server));
    for Case { what, request, status, code } in cases {
        let plain = request.try_clone().expect("a body in memory");
        let plain = Answer::of(plain).await;
        assert_eq!(plain.status.as_u16(), status, "{what}: {plain:?}");
        assert_eq!(plain.headers["content-type"], "application/json", "{what}");
        let detail = plain.json();
        let fields = detail.as_object().expect("an object");
        assert!(fields.len() == 1 && fields["detail"].is_string(), "{what}: {detail}");

        let asked = request.header("accept", "application/problem+json");
        let problem = Answer::of(asked).await;
        assert_eq!(problem.headers["content-type"], "application/problem+json", "{what}");
        let problem = problem.json();
        assert_eq!(problem["code"], code, "{what}: {problem}");
        assert_eq!(problem["status"], status, "{what}");
        let page = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(page.join(format!("../../docs/errors/{code}.md")).exists(), "{code}");
    }
    let list = server.client().get("/agent/dispatches").await.ok();
    assert_eq!(list["dispatches"], json!([]), "nothing of it ran");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers_and_no_cors() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for path in ["/health", "/auth/me", "/nowhere"] {
        let answer = server.nobody().get(path).await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["x-frame-options"], "DENY");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(answer.headers.contains_key("content-security-policy"));
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn a_repeated_idempotency_key_is_the_same_dispatch_and_a_reused_one_a_conflict() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let ask = async |body: Value| {
        let request = me.request("POST", "/agent/invocations").header("idempotency-key", "k1");
        Answer::of(request.json(&body)).await
    };
    let first = ask(unit(|_| {})).await.expect(reqwest::StatusCode::ACCEPTED);
    let again = ask(unit(|_| {})).await.expect(reqwest::StatusCode::ACCEPTED);
    assert_eq!(first, again);
    let other = unit(|unit| unit["start"]["entrypoint"]["inline"] = json!("say 2 words"));
    assert_eq!(ask(other).await.status.as_u16(), 409);
}
