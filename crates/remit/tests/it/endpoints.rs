//! Model endpoints: those that people bring, each for their owner alone, where the operator allows it, until it is
//! removed; and those of the operator, which anybody may choose.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Folder, Ran, Server, Start, ended, until};
use crate::secrets::{Asked, Endpoint, KEY, holders};

const JOES: &str = "canary-key-of-joe-0011223344";

fn start(folder: &Folder, hosts: &str) -> Server {
    Start::on(folder).setting("model.persons", hosts).server()
}

async fn put(client: &Client, name: &str, body: Value) -> Answer {
    Answer::of(client.request("PUT", &format!("/auth/endpoints/{name}")).json(&body)).await
}

fn at(endpoint: &Endpoint, key: &str) -> Value {
    json!({"url": endpoint.url, "key": key, "model": "scripted", "models": ["other"]})
}

/// What a conversation is refused with that would begin with this model.
async fn refused(client: &Client, model: &str) -> (u16, String) {
    let path = format!("/agent/chat?model={model}");
    let answer = client.post(&path, json!({"prompt": "tell please"})).await;
    (answer.status.as_u16(), answer.body)
}

fn keys(asked: &[Asked]) -> Vec<bool> {
    asked.iter().map(|it| it.head.contains(JOES)).collect()
}

#[tokio::test]
async fn an_endpoint_is_used_for_its_owner_alone() {
    let (folder, janes, joes) = (Folder::new(), Endpoint::start(), Endpoint::start());
    let server = start(&folder, &format!("{},{}", janes.url, joes.url));
    let (jane, _) = server.person("jane", "agent,read").await;
    let (joe, _) = server.person("joe", "agent,read").await;
    assert_eq!(put(&jane, "mine", at(&janes, KEY)).await.status.as_u16(), 201);
    // To everybody else it is not there, the administrator included.
    for other in [&joe, &server.admin(), &server.client()] {
        assert_eq!(other.get("/auth/endpoints").await.ok()["endpoints"], json!([]));
        assert_eq!(other.get("/auth/endpoints/mine").await.status.as_u16(), 404);
        assert_eq!(other.delete("/auth/endpoints/mine").await.status.as_u16(), 404);
        let tried = other.post("/auth/endpoints/mine/test", json!({})).await;
        assert_eq!(tried.status.as_u16(), 404);
        assert_eq!(refused(other, "@mine/scripted").await.0, 422);
    }
    let turn = jane.turn_with(Some("@mine/scripted"), json!({"prompt": "tell please"})).await.ok();
    let other = jane.turn_with(Some("@mine/other"), json!({"prompt": "tell please"})).await.ok();
    let models: Vec<_> = janes.asked().iter().map(|it| it.body["model"].clone()).collect();
    assert_eq!(models, ["scripted", "other"]);
    assert_eq!(refused(&jane, "@mine/unknown").await.0, 422);
    // Nobody speaks in her name to it.
    let said = json!({"prompt": "tell please", "session": other.session});
    assert_eq!(server.admin().post("/agent/chat", said).await.status.as_u16(), 404);
    let rerun = format!("/agent/dispatches/{}/rerun", turn.dispatch);
    assert_eq!(server.admin().post(&rerun, json!({})).await.status.as_u16(), 404);
    // One of the same name is another one, in a workspace of hers, too.
    assert_eq!(put(&joe, "mine", at(&joes, JOES)).await.status.as_u16(), 201);
    jane.post("/agent/workspace/new", json!({"name": "shared"})).await.ok();
    let invite = json!({"role": "contributor", "mode": "open"});
    let invite = jane.post("/agent/workspace/invites?workspace=shared", invite).await.ok();
    let token = json!({"token": invite["token"]});
    joe.post("/agent/workspace/invites/accept", token).await.ok();
    let before = janes.asked().len();
    let model = Some("@mine/scripted&workspace=shared:rw");
    joe.turn_with(model, json!({"prompt": "tell please"})).await.ok();
    assert_eq!((keys(&joes.asked()), janes.asked().len()), (vec![true], before));
    assert!(!janes.asked().iter().any(|it| it.head.contains(JOES)));
    // What it used counts, under a name that no endpoint of the operator has.
    let used = until("usage", async || {
        let used = jane.get("/agent/usage?by=model").await.ok();
        (used["rows"].as_array().is_some_and(|rows| rows.len() == 2)).then_some(used)
    });
    let rows = used.await["rows"].as_array().expect("rows").clone();
    let keys: Vec<_> = rows.iter().map(|row| row["key"].as_str().expect("a key")).collect();
    assert!(keys.contains(&"@mine/scripted") && keys.contains(&"@mine/other"), "{keys:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_removed_ends_what_uses_it() {
    let (folder, endpoint) = (Folder::new(), Endpoint::start());
    let server = start(&folder, &endpoint.url);
    let me = server.client();
    put(&me, "mine", at(&endpoint, KEY)).await.ok();
    let said = json!({"prompt": "hang please"});
    let turn = me.request("POST", "/agent/chat?model=@mine/scripted").json(&said);
    let mut turn = crate::harness::Stream::of(turn).await;
    let dispatch = turn.header("x-unit-id");
    let session = turn.header("x-chat-session");
    until("it is asked", async || (!endpoint.asked().is_empty()).then_some(())).await;
    assert_eq!(me.delete("/auth/endpoints/mine").await.status.as_u16(), 204);
    let frames = turn.rest().await;
    let done = frames.iter().find(|frame| frame.data["type"] == "done").expect("an end");
    assert_eq!(done.data["ok"], false, "{frames:#?}");
    let told = format!("{:?}", me.events(&dispatch).await);
    assert!(told.contains("its owner removed or changed it"), "{told}");
    let asked = endpoint.asked().len();
    // What is said next goes nowhere else.
    let again = me.post("/agent/chat", json!({"prompt": "tell", "session": session})).await;
    assert_eq!((again.status.as_u16(), endpoint.asked().len()), (422, asked), "{again:?}");
    assert_eq!(std::fs::read_dir(folder.data().join("secrets")).expect("there").count(), 0);
}

#[tokio::test]
async fn an_endpoint_outlives_a_killed_server_and_a_rotation_and_its_key_lies_nowhere_in_the_clear()
{
    let (folder, endpoint) = (Folder::new(), Endpoint::start());
    let server = start(&folder, &endpoint.url);
    put(&server.client(), "mine", at(&endpoint, KEY)).await.ok();
    server.kill();
    let clear = || assert_eq!(holders(&folder.data(), &[KEY, JOES]), Vec::<String>::new());
    clear();
    let key = folder.data().join("master.key");
    let old = std::fs::read(&key).expect("made with the first key");
    let rotated = folder.run(&["--json", "storage", "rotate"]).ok();
    assert_eq!(rotated.json(), [json!({"workspaces": 0, "secrets": 1})]);
    assert_ne!(std::fs::read(&key).expect("there"), old);
    // A crash may leave one that nobody has; the next start destroys it.
    let stray = folder.data().join("secrets/sec_01jzr00000fay8vvr14d2pf2db.next");
    std::fs::write(&stray, "half a secret").expect("written");
    let server = start(&folder, &endpoint.url);
    let me = server.client();
    let turn = me.turn_with(Some("@mine/scripted"), json!({"prompt": "tell please"})).await.ok();
    assert!(!stray.exists());
    assert!(endpoint.asked()[0].head.contains(KEY) && !turn.reply().contains(KEY));
    // Another key takes the place of the one before, which is gone.
    put(&me, "mine", at(&endpoint, JOES)).await.ok();
    assert_eq!(std::fs::read_dir(folder.data().join("secrets")).expect("there").count(), 1);
    let turn = me.turn_with(Some("@mine/scripted"), json!({"prompt": "fail please"})).await;
    assert!(!format!("{turn:?}").contains(JOES), "{turn:?}");
    assert_eq!(keys(&endpoint.asked()), [false, true], "{turn:?}");
    clear();
    server.kill();
    // Without the master key nothing is guessed at.
    std::fs::remove_file(&key).expect("removed");
    let (_, log) = Start::on(&folder).attempt().err().expect("refused");
    assert!(log.contains("master.key is missing"), "{log}");
    seal::write_whole(&key, &old).expect("put back");
    let (_, log) = Start::on(&folder).attempt().err().expect("refused");
    assert!(log.contains("does not open this data"), "{log}");
}

#[tokio::test]
async fn an_endpoint_points_only_where_the_operator_allows_it() {
    let (folder, endpoint) = (Folder::new(), Endpoint::start());
    let port = endpoint.url.rsplit_once(':').expect("a port").1.to_owned();
    let named = format!("http://localhost:{port}");
    let hosts = format!("@vendors, {named}");
    let server = start(&folder, &hosts);
    let me = server.client();
    let list = me.get("/auth/endpoints").await.ok();
    assert!(list["hosts"].to_string().contains("api.openai.com"), "{list}");
    let to = |url: &str| json!({"url": url, "key": KEY, "model": "m"});
    for (url, status, code) in [
        (&*endpoint.url, 403, "endpoint-not-allowed"),
        ("http://api.openai.com", 403, "endpoint-not-allowed"),
        ("https://api.openai.com.evil.org", 403, "endpoint-not-allowed"),
        ("https://169.254.169.254", 403, "endpoint-not-allowed"),
        ("https://[::1]", 403, "endpoint-not-allowed"),
        ("https://me:pw@api.openai.com", 422, "invalid-request"),
        ("https://api.openai.com/?x=1", 422, "invalid-request"),
        ("file:///etc/passwd", 422, "invalid-request"),
        ("https://2130706433", 422, "invalid-request"),
    ] {
        let request = me.request("PUT", "/auth/endpoints/mine").json(&to(url));
        let answer = Answer::of(request.header("accept", "application/problem+json")).await;
        let told = (answer.status.as_u16(), answer.json()["code"].clone());
        assert_eq!(told, (status, json!(code)), "{url}: {answer:?}");
    }
    // A name that was allowed and stands for this machine, which was not.
    put(&me, "mine", to(&named)).await.ok();
    let tried = me.post("/auth/endpoints/mine/test", json!({})).await.ok();
    assert_eq!(tried["ok"], false, "{tried}");
    assert!(tried["problem"].to_string().contains("around this server"), "{tried}");
    let turn = me.turn_with(Some("@mine/m"), json!({"prompt": "tell please"})).await;
    assert_eq!((&turn.find("done")["ok"], endpoint.asked().len()), (&json!(false), 0));
    // Its key does not go along to another host.
    let moved = json!({"url": "https://api.openai.com", "model": "m"});
    assert_eq!(put(&me, "mine", moved).await.status.as_u16(), 422);
    assert!(server.stop().success());
    // The operator allows the address as well; then takes all of it back.
    let server = start(&folder, &format!("{hosts}, 127.0.0.1"));
    let tried = server.client().post("/auth/endpoints/mine/test", json!({})).await.ok();
    assert_eq!((&tried["ok"], endpoint.asked().len()), (&json!(true), 1), "{tried}");
    let kept = json!({"url": named, "model": "other"});
    put(&server.client(), "mine", kept).await.ok();
    let tried = server.client().post("/auth/endpoints/mine/test", json!({})).await.ok();
    assert!(tried["ok"] == true && endpoint.asked()[1].head.contains(KEY), "{tried}");
    assert!(server.stop().success());
    let server = Server::start(&folder);
    let me = server.client();
    assert_eq!(me.get("/auth/endpoints/mine").await.ok()["allowed"], false);
    assert_eq!(refused(&me, "@mine/other").await.0, 422);
    assert_eq!(me.post("/auth/endpoints/mine/test", json!({})).await.status.as_u16(), 403);
}

#[tokio::test]
async fn what_is_wrong_with_an_endpoint_is_said() {
    let (folder, endpoint) = (Folder::new(), Endpoint::start());
    let server = start(&folder, &format!("{}, http://127.0.0.1:9", endpoint.url));
    let me = server.client();
    let check = async |body: Value, words: &str| {
        put(&me, "mine", body).await.ok();
        let tried = me.post("/auth/endpoints/mine/test", json!({})).await.ok();
        assert!(tried["problem"].to_string().contains(words), "{tried}");
    };
    check(json!({"url": "http://127.0.0.1:9", "model": "m"}), "cannot be reached").await;
    let of = |model: &str| json!({"url": endpoint.url, "key": KEY, "model": model});
    check(of("refuse-please"), "refused the key").await;
    check(of("fail-please"), "bad: ").await;
    check(of("redirect-please"), "redirect").await;
    let answer = me.post("/auth/endpoints/mine/test", json!({"model": "none"})).await.ok();
    assert!(answer["problem"].to_string().contains("does not offer that model"), "{answer}");
    for (name, body) in [
        ("a:b", of("m")),
        ("mine", of("../m")),
        ("mine", of("")),
        ("mine", json!({"url": endpoint.url, "model": "m", "key": "two words"})),
        ("mine", json!({"url": endpoint.url, "model": "m", "api": "telnet"})),
        ("mine", json!({"url": endpoint.url, "model": "m", "max_tokens": 0})),
    ] {
        assert_eq!(put(&me, name, body.clone()).await.status.as_u16(), 422, "{name} {body}");
    }
    // For agents of other runners it is none.
    let only = json!({"url": endpoint.url, "model": "m", "runners": ["claude-code"]});
    put(&me, "theirs", only).await.ok();
    assert_eq!(refused(&me, "@theirs/m").await.0, 422);
}

#[tokio::test]
async fn the_command_line_keeps_endpoints_and_shows_no_key() {
    let (folder, endpoint) = (Folder::new(), Endpoint::start());
    let server = start(&folder, &endpoint.url);
    let ran = folder.run(&["endpoint", "ls"]).ok();
    assert!(ran.err.contains(&endpoint.url), "{ran:?}");
    let add = ["endpoint", "add", "mine", &endpoint.url, "--model", "scripted", "--also", "other"];
    let mut all = vec![folder.run_with(&add, &[("REMIT_ENDPOINT__KEY", KEY)]).ok()];
    assert_eq!(all[0].out, "@mine/scripted\n@mine/other\n");
    // Once more, on standard input.
    let mut command = folder.remit(&[&add[..], &["--key-file", "-", "--json"]].concat());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, format!("{KEY}\n").as_bytes()).expect("written");
    drop(stdin);
    let output = ended(child, crate::harness::DEADLINE);
    assert!(output.status.success(), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    all.push(Ran { code: Some(0), out: text(output.stdout), err: text(output.stderr) });
    all.push(folder.run(&["endpoint", "ls", "--json"]).ok());
    assert_eq!(all[2].json()[0]["has_key"], true);
    all.push(folder.run(&["endpoint", "test", "mine", "--json"]).ok());
    assert_eq!(all[3].json()[0]["ok"], true);
    all.push(folder.run(&["run", "--with", "@mine/scripted", "tell please"]).ok());
    assert!(endpoint.asked().iter().all(|it| it.head.contains(KEY)));
    all.push(folder.run(&["endpoint", "rm", "mine"]).ok());
    let gone = folder.run(&["endpoint", "test", "mine"]);
    assert_eq!(gone.code, Some(5), "{gone:?}");
    let told = format!("{all:?}{gone:?}{}", server.log());
    assert!(!told.contains(KEY), "{told}");
}

#[tokio::test]
async fn what_the_operator_offers_is_listed_and_may_be_chosen_by_anybody() {
    let (folder, first, second) = (Folder::new(), Endpoint::start(), Endpoint::start());
    let settings = format!(
        "[model]\nurl = \"{}\"\nname = \"scripted\"\n\n\
         [model.deep]\nurl = \"{}\"\napi = \"anthropic\"\nname = \"usual\"\n\
         models = [\"usual\", \"small/fast\"]\nrunners = [\"claude-code\"]\n",
        first.url, second.url
    );
    std::fs::write(folder.path().join("remit.toml"), settings).expect("writable");
    let server = Start::on(&folder).setting("model.key", KEY).server();
    let (joe, _) = server.person("joe", "agent,read").await;
    let told = joe.get("/agent/models").await.ok();
    let choices = told["choices"].as_array().expect("choices");
    let names: Vec<_> = choices.iter().map(|it| it["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["model/scripted", "deep/usual", "deep/small/fast"]);
    let usual = |at: usize, runner: &str| {
        choices[at]["usual_for"].as_array().expect("runners").contains(&json!(runner))
    };
    assert!(usual(0, "remit") && !usual(0, "claude-code"), "{told}");
    assert!(usual(1, "claude-code") && !usual(1, "remit"), "{told}");
    assert_eq!(choices[2]["usual_for"], json!([]));
    assert_eq!(
        (&choices[2]["endpoint"], &choices[2]["model"]),
        (&json!("deep"), &json!("small/fast"))
    );
    for hidden in [KEY, &first.url, &second.url] {
        assert!(!told.to_string().contains(hidden), "{told}");
    }
    for name in names {
        joe.turn_with(Some(name), json!({"prompt": "tell please"})).await.ok();
    }
    let asked = |endpoint: &Endpoint| {
        endpoint.asked().iter().map(|it| it.body["model"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(asked(&first), ["scripted"]);
    assert_eq!(asked(&second), ["usual", "small/fast"]);
    assert_eq!(refused(&joe, "deep/other").await.0, 422);
}
