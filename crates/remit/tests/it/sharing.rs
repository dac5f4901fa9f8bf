//! Workspaces of several people: who is invited as what, what each role may do, and that it ends when
//! it ends.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Folder, Server};

pub(crate) struct Shared {
    pub(crate) owner: Client,
    pub(crate) workspace: String,
}

impl Shared {
    pub(crate) async fn of(server: &Server) -> Self {
        let (owner, _) = server.person("ann", "agent,read").await;
        let made = owner.post("/agent/workspace/new", json!({"name": "team"})).await.ok();
        let workspace = made["id"].as_str().expect("an id").to_owned();
        Self { owner, workspace }
    }

    fn route(&self, rest: &str) -> String {
        format!("/agent/workspace/{rest}?workspace={}", self.workspace)
    }

    async fn invite(&self, body: Value) -> Value {
        self.owner.post(&self.route("invites"), body).await.ok()
    }

    /// Another person, with this role in it; their client and their id.
    pub(crate) async fn member(&self, server: &Server, name: &str, role: &str) -> (Client, String) {
        let (client, id) = server.person(name, "agent,read").await;
        self.joins(&client, role).await;
        (client, id)
    }

    /// Somebody becomes a member with this role.
    pub(crate) async fn joins(&self, client: &Client, role: &str) {
        let invite = self.invite(json!({"role": role, "mode": "open"})).await;
        let joined = accept(client, &invite["token"]).await.ok();
        assert_eq!((&joined["id"], &joined["role"]), (&json!(self.workspace), &json!(role)));
    }

    async fn heads(&self) -> Value {
        self.owner.get(&self.route("git")).await.ok()["commits"].clone()
    }
}

async fn accept(client: &Client, token: &Value) -> Answer {
    client.post("/agent/workspace/invites/accept", json!({"token": token})).await
}

async fn chat(client: &Client, workspace: &str, prompt: &str) -> Answer {
    let route = format!("/agent/chat?workspace={workspace}");
    let request = client.request("POST", &route).json(&json!({"prompt": prompt}));
    Answer::of(request.header("accept", "application/problem+json")).await
}

#[tokio::test]
async fn an_invitation_is_looked_at_without_joining_and_followed_as_often_as_it_says() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let team = Shared::of(&server).await;
    let (joe, _) = server.person("joe", "agent,read").await;
    let (eve, _) = server.person("eve", "agent,read").await;
    let body = json!({"role": "viewer", "mode": "restricted", "emails": ["JOE@example.org"]});
    let invite = team.invite(body).await;
    let token = invite["token"].as_str().expect("a token");
    let preview = format!("/agent/workspace/invites/preview?token={token}");
    let seen = joe.get(&preview).await.ok();
    assert_eq!((&seen["name"], &seen["role"]), (&json!("team"), &json!("viewer")));
    assert_eq!((&seen["invited_by"], &seen["your_role"]), (&json!("ann"), &Value::Null));
    assert_eq!(joe.get(&team.route("tree")).await.status.as_u16(), 404, "it grants nothing");
    assert_eq!(eve.get(&preview).await.status.as_u16(), 403);
    assert_eq!(accept(&eve, &invite["token"]).await.status.as_u16(), 403);
    let listed = team.owner.get(&team.route("invites")).await.ok();
    assert_eq!(listed["invites"].as_array().map(Vec::len), Some(1));
    assert!(!listed.to_string().contains(token), "the token is shown once");
    accept(&joe, &invite["token"]).await.ok();
    accept(&joe, &invite["token"]).await.ok();
    joe.get(&team.route("tree")).await.ok();
    let open = team.invite(json!({"role": "viewer", "mode": "open", "uses": 1})).await;
    let taken = team.route(&format!("invites/{}", open["id"].as_str().expect("an id")));
    assert_eq!(team.owner.delete(&taken).await.status.as_u16(), 204);
    assert_eq!(accept(&eve, &open["token"]).await.status.as_u16(), 404);
    let open = team.invite(json!({"role": "viewer", "mode": "open", "uses": 1})).await;
    accept(&eve, &open["token"]).await.ok();
    let (max, _) = server.person("max", "agent,read").await;
    assert_eq!(accept(&max, &open["token"]).await.status.as_u16(), 410);
    // Only the hash of a token is kept.
    let secret = &token[4..];
    let kept = std::fs::read(folder.data().join("remit.sqlite")).expect("there");
    assert!(!kept.windows(secret.len()).any(|window| window == secret.as_bytes()));
}

#[tokio::test]
async fn a_role_decides_what_its_member_and_their_agents_may_do() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let team = Shared::of(&server).await;
    let (viewer, _) = team.member(&server, "vic", "viewer").await;
    let (writer, _) = team.member(&server, "cleo", "contributor").await;
    let id = team.workspace.clone();
    let put = async |client: &Client| {
        let body = json!({"path": "x.md", "content": "x"});
        Answer::of(client.request("PUT", &team.route("file")).json(&body)).await.status.as_u16()
    };
    assert_eq!((put(&viewer).await, put(&writer).await), (403, 200));
    for mode in ["rw", "propose"] {
        let refused = chat(&viewer, &format!("{id}:{mode}"), "say 1 words").await;
        assert_eq!(refused.status.as_u16(), 403, "{refused:?}");
        assert_eq!(refused.json()["code"], "role-too-low");
    }
    // What a viewer's agent sees is read-only, whatever it tries; and so where no mode is said.
    let before = team.heads().await;
    for mounted in [format!("{id}:ro"), id.clone()] {
        let tried = chat(&viewer, &mounted, "write mine to y.md").await;
        assert_eq!(tried.status.as_u16(), 200);
        assert!(!tried.body.contains("\"type\":\"commit\""), "{}", tried.body);
    }
    assert_eq!(team.heads().await, before);
    let wrote = chat(&writer, &id, "write ours to z.md").await;
    assert!(wrote.body.contains("\"type\":\"commit\""), "{}", wrote.body);
    let commit = team.heads().await[0].clone();
    assert_eq!(
        (&commit["author"]["name"], &commit["committer"]["name"]),
        (&json!("cleo"), &json!("Remit"))
    );
    // Members see each other; only owners decide.
    let members = viewer.get(&team.route("members")).await.ok();
    let roles: Vec<_> = members["members"]
        .as_array()
        .expect("members")
        .iter()
        .map(|it| it["role"].clone())
        .collect();
    assert_eq!(roles, ["owner", "viewer", "contributor"]);
    for client in [&viewer, &writer] {
        let invite = json!({"role": "viewer", "mode": "open"});
        let refused = client.post(&team.route("invites"), invite).await;
        assert_eq!(refused.status.as_u16(), 403);
        let purpose = client.post(&team.route("purpose"), json!({"purpose": "mine"})).await;
        assert_eq!(purpose.status.as_u16(), 403);
    }
    // The name that they share may stand twice in one list; their own home comes first.
    let list = writer.get("/agent/workspaces").await.ok();
    assert_eq!(list["workspaces"][0]["name"], "home");
    assert_eq!(list["workspaces"][1]["id"], json!(id));
}

#[tokio::test]
async fn who_is_removed_is_out_at_once_and_their_agent_with_them() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let team = Shared::of(&server).await;
    let (joe, joe_id) = team.member(&server, "joe", "contributor").await;
    let (cleo, cleo_id) = team.member(&server, "cleo", "contributor").await;
    let prompt = json!({"prompt": "write stolen to loot.md; sleep 50"});
    let route = format!("/agent/chat?workspace={}", team.workspace);
    let running = joe.request("POST", &route).json(&prompt).send().await.expect("answered");
    let dispatch = running.headers()["x-unit-id"].to_str().expect("text").to_owned();
    let theirs = cleo.turn(json!({"prompt": "say 1 words"})).await.ok();
    joe.until(&dispatch, "running").await;
    let before = team.heads().await;
    let removed = team.owner.delete(&team.route(&format!("members/{joe_id}"))).await;
    assert_eq!(removed.status.as_u16(), 204, "{removed:?}");
    let shown = joe.get(&format!("/agent/dispatches/{dispatch}")).await.ok();
    assert_eq!(shown["state"], "ended", "it is over when the answer comes");
    assert_eq!(team.heads().await, before, "nothing of it was kept");
    let events = joe.events(&dispatch).await;
    let end = &events.last().expect("an end")["event"];
    assert_eq!((&end["type"], &end["failure"]["code"]), (&json!("ended"), &json!("workspace")));
    for route in ["tree", "members", "log"] {
        assert_eq!(joe.get(&team.route(route)).await.status.as_u16(), 404);
    }
    assert_eq!(chat(&joe, &team.workspace, "say 1 words").await.status.as_u16(), 404);
    let again = joe.post(&format!("/agent/dispatches/{dispatch}/resume"), json!({})).await;
    assert_eq!(again.status.as_u16(), 404, "{again:?}");
    // Of one who may only read now, what writes ends; what has nothing to do with it goes on.
    let writing = chat(&cleo, &team.workspace, "write fine to ok.md").await;
    let writing = writing.headers["x-unit-id"].to_str().expect("text").to_owned();
    let lowered = team.route(&format!("members/{cleo_id}"));
    team.owner.post(&lowered, json!({"role": "viewer"})).await.ok();
    let shown = cleo.get(&format!("/agent/dispatches/{writing}")).await.ok();
    assert_eq!(shown["state"], "ended");
    let shown = cleo.get(&format!("/agent/dispatches/{}", theirs.dispatch)).await.ok();
    assert_eq!(shown["state"], "idle");
}

#[tokio::test]
async fn the_last_owner_stays_until_there_is_another() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let team = Shared::of(&server).await;
    let (joe, joe_id) = team.member(&server, "joe", "viewer").await;
    let leave = team.route("leave");
    assert_eq!(team.owner.post(&leave, json!({})).await.status.as_u16(), 409);
    let joes = team.route(&format!("members/{joe_id}"));
    team.owner.post(&joes, json!({"role": "owner"})).await.ok();
    assert_eq!(team.owner.post(&leave, json!({})).await.status.as_u16(), 204);
    assert_eq!(team.owner.get(&team.route("tree")).await.status.as_u16(), 404);
    let list = joe.get("/agent/workspaces").await.ok();
    let found = list["workspaces"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|it| it["id"] == team.workspace.as_str());
    let found = found.expect("it is theirs now");
    assert_eq!((&found["role"], &found["name"]), (&json!("owner"), &json!("team")));
    assert_eq!(joe.post(&leave, json!({})).await.status.as_u16(), 409);
}
