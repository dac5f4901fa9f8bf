//! Every route × everybody who may come: nobody, a stranger, a reader, the subject, an administrator.

use serde_json::json;
use server::{Method, ROUTES};

use crate::harness::{Answer, Client, Folder, Server, form};
use crate::proposals;

/// For each route, what (nobody, a stranger, a reader's key of the subject, the subject, an
/// administrator) are answered about a thing of the subject's.
const EXPECTED: &[(&str, &str, [u16; 5])] = &[
    ("GET", "/openapi.json", [200, 200, 200, 200, 200]),
    ("GET", "/health", [200, 200, 200, 200, 200]),
    ("GET", "/", [200, 200, 200, 200, 200]),
    ("GET", "/login", [200, 200, 200, 200, 200]),
    ("GET", "/chat", [200, 200, 200, 200, 200]),
    ("GET", "/chat/{*rest}", [200, 200, 200, 200, 200]),
    ("GET", "/dispatches", [200, 200, 200, 200, 200]),
    ("GET", "/dispatches/{*rest}", [200, 200, 200, 200, 200]),
    ("GET", "/inbox", [200, 200, 200, 200, 200]),
    ("GET", "/inbox/{*rest}", [200, 200, 200, 200, 200]),
    ("GET", "/workspace", [200, 200, 200, 200, 200]),
    ("GET", "/workspace/{*rest}", [200, 200, 200, 200, 200]),
    ("GET", "/keys", [200, 200, 200, 200, 200]),
    ("GET", "/favicon.svg", [200, 200, 200, 200, 200]),
    ("GET", "/assets/{name}", [404, 404, 404, 404, 404]),
    ("GET", "/auth/login", [200, 200, 200, 200, 200]),
    ("POST", "/auth/login", [401, 401, 401, 401, 401]),
    ("POST", "/auth/logout", [204, 204, 204, 204, 204]),
    ("POST", "/auth/links", [401, 201, 403, 201, 201]),
    ("GET", "/auth/keys", [401, 200, 403, 200, 200]),
    ("POST", "/auth/keys", [401, 201, 403, 201, 201]),
    ("DELETE", "/auth/keys/{id}", [401, 404, 403, 204, 404]),
    ("GET", "/auth/me", [401, 200, 200, 200, 200]),
    // Each has their own, and there none is called `none.js`.
    ("GET", "/auth/endpoints", [401, 200, 200, 200, 200]),
    ("GET", "/auth/endpoints/{name}", [401, 404, 404, 404, 404]),
    ("PUT", "/auth/endpoints/{name}", [401, 422, 403, 422, 422]),
    ("DELETE", "/auth/endpoints/{name}", [401, 404, 403, 404, 404]),
    ("POST", "/auth/endpoints/{name}/test", [401, 404, 403, 404, 404]),
    ("GET", "/agent/models", [401, 200, 200, 200, 200]),
    ("GET", "/agent/runners", [401, 200, 200, 200, 200]),
    ("GET", "/agent/tools", [401, 200, 200, 200, 200]),
    ("POST", "/agent/chat", [401, 200, 403, 200, 200]),
    ("POST", "/agent/chat/stop", [401, 404, 403, 200, 200]),
    ("POST", "/agent/chat/reset", [401, 404, 403, 200, 200]),
    ("GET", "/agent/sessions", [401, 200, 200, 200, 200]),
    ("GET", "/agent/sessions/{id}/history", [401, 404, 200, 200, 200]),
    ("POST", "/agent/invocations", [401, 404, 403, 202, 404]),
    ("GET", "/agent/usage", [401, 200, 200, 200, 200]),
    ("GET", "/agent/dispatches", [401, 200, 200, 200, 200]),
    ("GET", "/agent/dispatches/{id}", [401, 404, 200, 200, 200]),
    ("GET", "/agent/dispatches/{id}/events", [401, 404, 200, 200, 200]),
    // It was not recorded.
    ("GET", "/agent/dispatches/{id}/recording", [401, 404, 404, 404, 404]),
    ("POST", "/agent/dispatches/{id}/cancel", [401, 404, 403, 200, 200]),
    ("POST", "/agent/dispatches/{id}/resume", [401, 404, 403, 200, 200]),
    ("GET", "/agent/workspaces", [401, 200, 200, 200, 200]),
    ("GET", "/agent/workspace/tree", [401, 404, 200, 200, 200]),
    ("GET", "/agent/workspace/file", [401, 404, 200, 200, 200]),
    ("PUT", "/agent/workspace/file", [401, 404, 403, 200, 200]),
    ("DELETE", "/agent/workspace/file", [401, 404, 403, 200, 200]),
    ("POST", "/agent/workspace/upload", [401, 404, 403, 201, 201]),
    ("GET", "/agent/workspace/git", [401, 404, 200, 200, 200]),
    ("GET", "/agent/workspace/log", [401, 404, 200, 200, 200]),
    ("GET", "/agent/workspace/diff", [401, 404, 200, 200, 200]),
    ("GET", "/agent/dispatches/{id}/diff", [401, 404, 200, 200, 200]),
    ("POST", "/agent/workspace/revert", [401, 404, 403, 200, 200]),
    ("POST", "/agent/workspace/init", [401, 404, 403, 201, 201]),
    ("POST", "/agent/workspace/new", [401, 201, 403, 201, 201]),
    // It is the subject's home.
    ("DELETE", "/agent/workspace", [401, 404, 403, 409, 409]),
    ("GET", "/agent/workspace/attached", [401, 200, 200, 200, 200]),
    // A repository is to be named, and one to be followed.
    ("POST", "/agent/workspace/attach", [401, 422, 403, 422, 422]),
    ("POST", "/agent/workspace/swap", [401, 404, 403, 200, 404]),
    ("POST", "/agent/workspace/publish", [401, 404, 403, 422, 422]),
    ("POST", "/agent/workspace/push", [401, 404, 403, 409, 409]),
    ("POST", "/agent/workspace/pull", [401, 404, 403, 409, 409]),
    ("POST", "/agent/workspace/activate", [401, 404, 403, 200, 404]),
    ("POST", "/agent/workspace/deactivate", [401, 404, 403, 200, 404]),
    ("POST", "/agent/workspace/purpose", [401, 404, 403, 200, 200]),
    ("GET", "/agent/workspace/members", [401, 404, 200, 200, 200]),
    ("POST", "/agent/workspace/members/{user}", [401, 404, 403, 200, 200]),
    // The subject is the last owner.
    ("DELETE", "/agent/workspace/members/{user}", [401, 404, 403, 409, 409]),
    ("POST", "/agent/workspace/leave", [401, 404, 403, 409, 404]),
    ("POST", "/agent/workspace/invites", [401, 404, 403, 201, 201]),
    ("GET", "/agent/workspace/invites", [401, 404, 403, 200, 200]),
    ("DELETE", "/agent/workspace/invites/{id}", [401, 404, 403, 204, 204]),
    // Whoever has the token is meant.
    ("GET", "/agent/workspace/invites/preview", [401, 200, 403, 200, 200]),
    ("POST", "/agent/workspace/invites/accept", [401, 200, 403, 200, 200]),
    ("GET", "/agent/workspace/search", [401, 404, 200, 200, 200]),
    ("GET", "/agent/workspace/links", [401, 404, 200, 200, 200]),
    ("GET", "/agent/workspace/graph", [401, 404, 200, 200, 200]),
    ("GET", "/agent/workspace/check", [401, 404, 200, 200, 200]),
    ("GET", "/git/{workspace}/info/refs", [401, 404, 200, 200, 200]),
    ("POST", "/git/{workspace}/git-upload-pack", [401, 404, 200, 200, 200]),
    ("POST", "/git/{workspace}/git-receive-pack", [401, 404, 403, 200, 200]),
    ("GET", "/agent/permissions", [401, 200, 200, 200, 200]),
    ("POST", "/agent/dispatches/{id}/permissions/{ask}", [401, 404, 403, 409, 409]),
    ("POST", "/agent/dispatches/{id}/rerun", [401, 404, 403, 202, 202]),
    ("GET", "/agent/proposals", [401, 200, 200, 200, 200]),
    ("GET", "/agent/proposals/{id}", [401, 404, 200, 200, 200]),
    ("POST", "/agent/proposals/{id}/approve", [401, 404, 403, 200, 200]),
    ("POST", "/agent/proposals/{id}/deny", [401, 404, 403, 200, 200]),
    ("GET", "/admin/users", [401, 403, 403, 403, 200]),
    ("POST", "/admin/users", [401, 403, 403, 403, 200]),
    ("GET", "/admin/users/{id}/tokens", [401, 404, 403, 200, 200]),
    ("POST", "/admin/users/{id}/tokens", [401, 404, 403, 201, 201]),
    ("POST", "/admin/runners/{name}/test", [401, 403, 403, 403, 422]),
    ("DELETE", "/admin/tokens/{id}", [401, 404, 403, 204, 204]),
];

/// Things of the subject's.
struct Things {
    client: Client,
    /// An invitation to another workspace of the subject's.
    token: String,
    user: String,
    workspace: String,
    dispatch: String,
    session: String,
    /// One to be approved, with what approves it, and one to be denied.
    proposals: [(String, serde_json::Value); 2],
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
    subject.put("a.md", "as it was", &workspace).await;
    subject.post("/agent/workspace/new", json!({"name": "shared"})).await.ok();
    let invite = json!({"role": "viewer", "mode": "open", "uses": 9});
    let invite = subject.post("/agent/workspace/invites?workspace=shared", invite).await.ok();
    let token = invite["token"].as_str().expect("a token").to_owned();
    let client = subject.clone();
    let proposals = [
        proposals::for_a_decision(&subject, &workspace, "one.md").await,
        proposals::for_a_decision(&subject, &workspace, "two.md").await,
    ];
    let (dispatch, session) = (turn.dispatch, turn.session);
    let things = Things { client, token, user, workspace, dispatch, session, proposals };

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
        path if path.starts_with("/admin/tokens") || path.starts_with("/auth/keys/") => {
            let path = format!("/admin/users/{}/tokens?scopes=read", things.user);
            let key = server.admin().post(&path, json!({})).await.ok();
            key["id"].as_str().expect("an id").to_owned()
        }
        _ => String::new(),
    };
    let id = if path == "/agent/workspace/invites/{id}" { invite(things).await } else { id };
    let mut asked = path.replace("{id}", &id).replace("{user}", &things.user);
    asked = asked.replace("{workspace}", &format!("{}.git", things.workspace));
    if asked.ends_with("/info/refs") {
        asked.push_str("?service=git-upload-pack");
    }
    asked = asked.replace("{*rest}", "x").replace("{name}", "none.js");
    if asked.ends_with("/events") {
        asked.push_str("?follow=false");
    }
    if path == "/agent/workspace" || path.starts_with("/agent/workspace/") {
        asked.push_str(&query(path, things));
    }
    let mut body = body(path, things);
    if path.starts_with("/agent/proposals/") {
        let (proposal, approve) = &things.proposals[usize::from(path.ends_with("/deny"))];
        asked = path.replace("{id}", proposal);
        if path.ends_with("/approve") {
            body = approve.clone();
        }
    }
    match (method, path) {
        (Method::Put, "/agent/workspace/file") => {
            body = json!({"path": "b.md", "content": "as it is"});
        }
        (Method::Delete, "/agent/workspace/file") => {
            things.client.put("gone.md", "soon", &things.workspace).await;
            asked.push_str("&path=gone.md");
        }
        (Method::Get, "/agent/workspace/file") => asked.push_str("&path=a.md"),
        (_, "/agent/workspace/diff") => {
            let written = things.client.put("a.md", "as it is", &things.workspace).await;
            let commit = written["revision"].as_str().expect("a commit");
            asked = format!("{asked}&commit={commit}");
        }
        (_, "/agent/workspace/revert") => {
            let written = things.client.put("undone.md", "soon", &things.workspace).await;
            body = json!({"commit": written["revision"]});
        }
        (_, "/agent/workspace/search") => asked.push_str("&q=welcome"),
        (_, "/agent/workspace/links") => asked.push_str("&path=a.md"),
        _ => {}
    }
    let mut request = caller.request(method.as_str(), &asked);
    if path.ends_with("/upload") {
        request = form(request, &[("file", Some("up.md"), b"loaded")]);
    } else if path.starts_with("/git/") {
        request = request.body("0000");
    } else if matches!(method, Method::Post | Method::Put) {
        request = request.json(&body);
    }
    let answer = Answer::of(request).await;
    answer.status.as_u16()
}

/// An invitation of the subject's that is there until somebody takes it back.
async fn invite(things: &Things) -> String {
    let path = format!("/agent/workspace/invites?workspace={}", things.workspace);
    let made = things.client.post(&path, json!({"role": "viewer", "mode": "open"})).await.ok();
    made["id"].as_str().expect("an id").to_owned()
}

fn query(path: &str, things: &Things) -> String {
    match path {
        "/agent/workspace/new"
        | "/agent/workspace/attach"
        | "/agent/workspace/attached"
        | "/agent/workspace/activate"
        | "/agent/workspace/deactivate"
        | "/agent/workspace/invites/accept" => String::new(),
        "/agent/workspace/invites/preview" => format!("?token={}", things.token),
        _ => format!("?workspace={}", things.workspace),
    }
}

fn body(path: &str, things: &Things) -> serde_json::Value {
    match path {
        "/agent/workspace/new" => json!({"name": "made"}),
        "/agent/workspace/activate" | "/agent/workspace/deactivate" => {
            json!({"workspace": things.workspace})
        }
        "/agent/workspace/purpose" => json!({"purpose": "to be tested"}),
        "/agent/workspace/members/{user}" => json!({"role": "owner"}),
        "/agent/workspace/invites" => json!({"role": "viewer", "mode": "open"}),
        "/agent/workspace/invites/accept" => json!({"token": things.token}),
        "/agent/chat" => json!({"prompt": "say 1 words"}),
        "/agent/chat/stop" | "/agent/chat/reset" => json!({"session": things.session}),
        "/agent/invocations" => json!({
            "runner": "remit",
            "workspaces": [{"id": things.workspace, "mode": "rw"}],
            "trigger": "message",
            "start": {"entrypoint": {"inline": "say 1 words"}},
        }),
        "/auth/login" => json!({"token": "made up"}),
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
