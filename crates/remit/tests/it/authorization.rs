//! Every route × everybody who may come: nobody, a stranger, a reader, the subject, an administrator.

use serde_json::json;
use server::{Method, ROUTES};

use crate::harness::{Answer, Client, Folder, Server};

/// For each route, what (nobody, a stranger, a reader's key of the subject, the subject, an
/// administrator) are answered about a thing of the subject's.
const EXPECTED: &[(&str, &str, [u16; 5])] = &[
    ("GET", "/health", [200, 200, 200, 200, 200]),
    ("GET", "/auth/me", [401, 200, 200, 200, 200]),
    ("GET", "/agent/models", [401, 200, 200, 200, 200]),
    ("GET", "/agent/runners", [401, 200, 200, 200, 200]),
    ("POST", "/agent/chat", [401, 200, 403, 200, 200]),
    ("POST", "/agent/chat/stop", [401, 404, 403, 200, 200]),
    ("POST", "/agent/chat/reset", [401, 404, 403, 200, 200]),
    ("GET", "/agent/sessions", [401, 200, 200, 200, 200]),
    ("GET", "/agent/sessions/{id}/history", [401, 404, 200, 200, 200]),
    ("POST", "/agent/invocations", [401, 404, 403, 202, 404]),
    ("GET", "/agent/dispatches", [401, 200, 200, 200, 200]),
    ("GET", "/agent/dispatches/{id}", [401, 404, 200, 200, 200]),
    ("GET", "/agent/dispatches/{id}/events", [401, 404, 200, 200, 200]),
    ("POST", "/agent/dispatches/{id}/cancel", [401, 404, 403, 200, 200]),
    ("POST", "/agent/dispatches/{id}/resume", [401, 404, 403, 200, 200]),
    ("GET", "/admin/users", [401, 403, 403, 403, 200]),
    ("POST", "/admin/users", [401, 403, 403, 403, 200]),
    ("GET", "/admin/users/{id}/tokens", [401, 404, 403, 200, 200]),
    ("POST", "/admin/users/{id}/tokens", [401, 404, 403, 201, 201]),
    ("DELETE", "/admin/tokens/{id}", [401, 404, 403, 204, 204]),
];

/// Things of the subject's.
struct Things {
    user: String,
    workspace: String,
    dispatch: String,
    session: String,
}

#[tokio::test]
async fn every_route_answers_everybody_as_the_table_says() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (subject, user) = server.person("subject", "agent,read").await;
    let (stranger, _) = server.person("stranger", "agent,read,admin").await;
    drop(stranger);
    let (stranger, _) = server.person("another", "agent,read").await;
    let reader = reader(&server, &user).await;
    // An administrator who is somebody else than the subject.
    let callers = [server.nobody(), stranger, reader, subject.clone(), server.admin()];
    let turn = subject.turn(json!({"prompt": "say 2 words"})).await.ok();
    let shown = subject.get(&format!("/agent/dispatches/{}", turn.dispatch)).await.ok();
    subject.post(&format!("/agent/dispatches/{}/cancel", turn.dispatch), json!({})).await.ok();
    let workspace = shown["workspaces"][0]["workspace"].as_str().expect("an id").to_owned();
    let things = Things { user, workspace, dispatch: turn.dispatch, session: turn.session };

    for route in ROUTES {
        let method = route.method.as_str();
        let expected = EXPECTED.iter().find(|it| (it.0, it.1) == (method, route.path));
        let (_, _, expected) =
            expected.unwrap_or_else(|| panic!("{method} {} has no line in this table", route.path));
        let mut answers = vec![];
        for caller in &callers {
            answers.push(status(&server, caller, route.method, route.path, &things).await);
        }
        assert_eq!(answers, expected, "{method} {}", route.path);
    }
    assert_eq!(EXPECTED.len(), ROUTES.len(), "a line of this table has no route");
}

async fn reader(server: &Server, user: &str) -> Client {
    let path = format!("/admin/users/{user}/tokens?scopes=read");
    let key = server.admin().post(&path, json!({})).await.ok();
    Client::new(server.url(), key["token"].as_str())
}

async fn status(
    server: &Server,
    caller: &Client,
    method: Method,
    path: &str,
    things: &Things,
) -> u16 {
    let id = match path {
        path if path.starts_with("/agent/sessions") => things.session.clone(),
        path if path.starts_with("/agent/dispatches") => things.dispatch.clone(),
        path if path.starts_with("/admin/users") => things.user.clone(),
        path if path.starts_with("/admin/tokens") => {
            let path = format!("/admin/users/{}/tokens?scopes=read", things.user);
            let key = server.admin().post(&path, json!({})).await.ok();
            key["id"].as_str().expect("an id").to_owned()
        }
        _ => String::new(),
    };
    let mut asked = path.replace("{id}", &id);
    if asked.ends_with("/events") {
        asked.push_str("?follow=false");
    }
    let mut request = caller.request(method.as_str(), &asked);
    if method == Method::Post {
        request = request.json(&body(path, things));
    }
    let answer = Answer::of(request).await;
    answer.status.as_u16()
}

fn body(path: &str, things: &Things) -> serde_json::Value {
    match path {
        "/agent/chat" => json!({"prompt": "say 1 words"}),
        "/agent/chat/stop" | "/agent/chat/reset" => json!({"session": things.session}),
        "/agent/invocations" => json!({
            "runner": "remit",
            "workspaces": [{"id": things.workspace, "mode": "rw"}],
            "trigger": "message",
            "start": {"entrypoint": {"inline": "say 1 words"}},
        }),
        "/admin/users" => json!({"email": "subject@example.org"}),
        _ => json!({}),
    }
}

#[tokio::test]
async fn a_key_that_is_made_void_opens_nothing_any_more() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let user = me.get("/auth/me").await.ok()["user_id"].as_str().expect("an id").to_owned();
    let key = me.post(&format!("/admin/users/{user}/tokens"), json!({})).await.ok();
    let made = Client::new(server.url(), key["token"].as_str());
    made.get("/auth/me").await.ok();
    let path = format!("/admin/tokens/{}", key["id"].as_str().expect("an id"));
    let removed = Answer::of(me.request("DELETE", &path)).await;
    assert_eq!(removed.status.as_u16(), 204);
    let refused = made.get("/auth/me").await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()),
        (401, json!({"detail": "Invalid API key"}))
    );
}

#[tokio::test]
async fn a_key_cannot_make_a_key_that_may_do_more() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let user = me.get("/auth/me").await.ok()["user_id"].as_str().expect("an id").to_owned();
    let path = format!("/admin/users/{user}/tokens?scopes=admin");
    assert_eq!(me.post(&path, json!({})).await.status.as_u16(), 403);
}

#[tokio::test]
async fn the_administrators_header_opens_the_administrators_routes_alone() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let key = server.ready["admin_key"].as_str().expect("a key");
    for (path, status) in [("/admin/users", 200), ("/agent/dispatches", 401)] {
        let request = server.nobody().request("GET", path).header("x-admin-api-key", key);
        assert_eq!(Answer::of(request).await.status.as_u16(), status, "{path}");
    }
}
