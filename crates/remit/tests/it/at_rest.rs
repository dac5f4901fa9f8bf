//! With `storage.encryption`, nothing that was said or written can be found in the data folder, whatever happens to the
//! server; and all of it is there for whoever has the key.

use std::io::Read;
use std::path::Path;

use serde_json::json;

use crate::harness::{Client, Folder, Server, Start, backend};
use crate::proposals::proposed;
use crate::workspaces::home;

/// What must not be found: what is said, answered, kept in a file, its name, a proposal, a title.
const CANARIES: [&str; 5] = ["canarysaid", "canaryfile", "canaryname", "canaryhand", "canarydraft"];

/// A folder in memory where workspaces are open; gone with the test.
struct Memory(tempfile::TempDir);

impl Memory {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let ours_alone = std::fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().permissions(ours_alone).tempdir_in("/dev/shm");
        Self(folder.expect("a folder in memory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn holds(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }
}

fn encrypted<'a>(folder: &'a Folder, memory: &Memory) -> Start<'a> {
    Start::on(folder)
        .setting("storage.encryption", "true")
        .setting("storage.memory", memory.path().to_str().expect("text"))
}

/// Where canaries can be seen below `folder`, also in what is only compressed.
fn seen(folder: &Path) -> Vec<String> {
    let mut found = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
            let shown = path.display().to_string();
            let bytes = if kind.is_dir() {
                folders.push(path.clone());
                vec![]
            } else if kind.is_file() {
                std::fs::read(&path).unwrap_or_default()
            } else {
                vec![]
            };
            let name = entry.file_name();
            let mut parts = vec![name.as_encoded_bytes().to_vec()];
            parts.extend(inflated(&bytes));
            parts.push(bytes);
            for part in parts {
                for canary in CANARIES {
                    if part.windows(canary.len()).any(|it| it == canary.as_bytes()) {
                        found.push(format!("{canary} in {shown}"));
                    }
                }
            }
        }
    }
    found
}

/// Every zlib stream in some bytes, inflated.
fn inflated(bytes: &[u8]) -> Vec<Vec<u8>> {
    let heads = bytes.windows(2).enumerate().filter(|(_, two)| {
        two[0] == 0x78 && u16::from_be_bytes([two[0], two[1]]).is_multiple_of(31)
    });
    let inflate = |at: usize| {
        let mut content = vec![];
        let mut stream = flate2::read::ZlibDecoder::new(&bytes[at..]).take(1 << 20);
        // What is no stream ends with an error, and with what came before it.
        let _end = stream.read_to_end(&mut content);
        content
    };
    heads.map(|(at, _)| inflate(at)).filter(|content| !content.is_empty()).collect()
}

/// Says and writes every canary; the conversation.
async fn sing(me: &Client) -> String {
    let prompt = "append canaryfile to canaryname.md; remember canarysaid";
    let turn = me.turn(json!({"prompt": prompt})).await.ok();
    let home = home(me).await;
    me.put("by-hand.md", "canaryhand", &home).await;
    proposed(me, "write canarydraft to draft.md").await;
    turn.session
}

/// All of it can still be read.
async fn judge(me: &Client, session: &str) {
    let home = home(me).await;
    for (path, content) in [("canaryname.md", "canaryfile"), ("by-hand.md", "canaryhand")] {
        let route = format!("/agent/workspace/file?workspace={home}&path={path}");
        let file = me.get(&route).await.ok();
        let found = file["content"].as_str().expect("text");
        assert!(found.contains(content), "{file}");
    }
    let again = me.turn(json!({"prompt": "which word?", "session": session})).await.ok();
    assert!(again.reply().contains("canarysaid"), "{}", again.reply());
    let events = me.events(&again.dispatch).await;
    assert!(format!("{events:?}").contains("canarysaid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_after_a_stop_or_a_kill_and_everything_is_there_again() {
    if backend() != "native" {
        return;
    }
    let (folder, memory) = (Folder::new(), Memory::new());
    let server = encrypted(&folder, &memory).server();
    let session = sing(&server.client()).await;
    judge(&server.client(), &session).await;
    assert_eq!(seen(&folder.data()), [""; 0], "while it runs");
    assert!(!seen(memory.path()).is_empty(), "where it is open, it can be seen");
    assert!(server.stop().success());
    assert_eq!(seen(&folder.data()), [""; 0], "after a stop");
    assert!(!memory.holds("workspaces"), "nothing stays in memory");

    // Killed in the middle of a turn: the sandbox lives on, the next server takes it over.
    let server = encrypted(&folder, &memory).server();
    let prompt = "append canaryfile to later.md; sleep 2; append canarysaid to later.md";
    let mut turn = server.client().chat(json!({"prompt": prompt, "session": session})).await;
    let dispatch = turn.header("x-unit-id");
    while turn.next().await.expect("a frame").event != "tool-result" {}
    server.kill();
    assert_eq!(seen(&folder.data()), [""; 0], "after a kill");
    let server = encrypted(&folder, &memory).server();
    let me = server.client();
    me.until(&dispatch, "idle").await;
    let events = me.events(&dispatch).await;
    assert!(format!("{events:?}").contains("later.md"), "{events:?}");
    let home = home(&me).await;
    let later = me.get(&format!("/agent/workspace/file?workspace={home}&path=later.md")).await.ok();
    assert!(later["content"].as_str().expect("text").contains("canarysaid"), "{later}");
    judge(&me, &session).await;
    assert_eq!(seen(&folder.data()), [""; 0]);

    // After a boot, what lay in memory is gone.
    server.kill();
    let after_boot = Memory::new();
    let server = encrypted(&folder, &after_boot).server();
    judge(&server.client(), &session).await;
    assert!(server.stop().success());
    assert_eq!(seen(&folder.data()), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_the_clear_is_encrypted_when_it_is_switched_on() {
    if backend() != "native" {
        return;
    }
    let (folder, memory) = (Folder::new(), Memory::new());
    let server = Start::on(&folder).server();
    let session = sing(&server.client()).await;
    let clear = seen(&folder.data());
    for canary in CANARIES {
        assert!(clear.iter().any(|it| it.starts_with(canary)), "{canary} could be seen: {clear:?}");
    }
    server.kill();
    let (status, log) = encrypted(&folder, &memory).attempt().err().expect("a sandbox lives");
    assert_eq!(status.code(), Some(6), "{log}");
    assert!(log.contains("start once more without"), "{log}");
    assert!(Start::on(&folder).server().stop().success());
    let server = encrypted(&folder, &memory).server();
    assert_eq!(seen(&folder.data()), [""; 0]);
    judge(&server.client(), &session).await;
    assert!(server.stop().success());
    assert_eq!(seen(&folder.data()), [""; 0]);
    let (status, log) = Start::on(&folder).attempt().err().expect("it stays encrypted");
    assert_ne!(status.code(), Some(0));
    assert!(log.contains("this data folder is encrypted"), "{log}");
}

fn refused(start: Start<'_>, why: &str) {
    let (status, log) = start.attempt().err().expect("refused");
    assert_ne!(status.code(), Some(0));
    assert!(log.contains(why), "{why}: {log}");
}

#[test]
fn what_would_not_hold_is_refused() {
    let (folder, memory) = (Folder::new(), Memory::new());
    let process = encrypted(&folder, &memory).setting("backend.kind", "process");
    refused(process, "cannot hold with the backend `process`");
    if backend() != "native" {
        return;
    }
    let on_disk = folder.path().join("on-disk");
    let on_disk = on_disk.to_str().expect("text");
    refused(encrypted(&folder, &memory).setting("storage.memory", on_disk), "not in memory");
    let server = encrypted(&folder, &memory).server();
    assert!(server.stop().success());
    let key = folder.data().join("master.key");
    let kept = std::fs::read(&key).expect("made at the first start");
    std::fs::remove_file(&key).expect("removed");
    refused(encrypted(&folder, &memory), "is missing, and the data is encrypted");
    std::fs::write(&key, &kept).expect("put back");
    refused(encrypted(&folder, &memory), "is open to others");
    let other = folder.path().join("other.key");
    let elsewhere = other.to_str().expect("text");
    refused(encrypted(&folder, &memory).setting("storage.key_file", elsewhere), "is missing");
    seal::write_whole(&other, &kept).expect("moved");
    let moved = encrypted(&folder, &memory).setting("storage.key_file", elsewhere);
    assert!(moved.server().stop().success());
}

#[test]
fn a_first_start_makes_a_key_that_nobody_else_can_read() {
    use std::os::unix::fs::MetadataExt;
    if backend() != "native" {
        return;
    }
    let (folder, memory) = (Folder::new(), Memory::new());
    let server: Server = encrypted(&folder, &memory).server();
    let key = std::fs::metadata(folder.data().join("master.key")).expect("made");
    assert_eq!(key.mode() & 0o777, 0o600);
    assert!(server.log().contains("keep a copy"), "{}", server.log());
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_opens_everything_and_the_old_one_nothing() {
    if backend() != "native" {
        return;
    }
    let (folder, memory) = (Folder::new(), Memory::new());
    assert_eq!(folder.run(&["storage", "rotate"]).code, Some(5), "nothing is encrypted");
    let allowed = encrypted(&folder, &memory).setting("model.persons", "http://127.0.0.1:9");
    let server = allowed.server();
    let own = json!({"url": "http://127.0.0.1:9", "model": "m", "key": "canary-of-an-endpoint"});
    let own = server.client().request("PUT", "/auth/endpoints/mine").json(&own);
    crate::harness::Answer::of(own).await.ok();
    let session = sing(&server.client()).await;
    assert_eq!(folder.run(&["storage", "rotate"]).code, Some(6), "the server has the folder");
    assert!(server.stop().success());
    let key = folder.data().join("master.key");
    let old = std::fs::read(&key).expect("there");
    let ran = folder.run(&["--json", "storage", "rotate"]).ok();
    assert_eq!(ran.json(), [json!({"workspaces": 1, "secrets": 1})]);
    let new = std::fs::read(&key).expect("there");
    seal::write_whole(&key, &old).expect("put back");
    refused(encrypted(&folder, &memory), "does not open this data");
    // It died after the new key was made, before any other was wrapped by it: the next start goes on.
    seal::write_whole(&key, &new).expect("put back");
    let keys = seal::FileKeys::open(&key).expect("readable").expect("there");
    keys.renew().expect("begun");
    let server = encrypted(&folder, &memory).server();
    assert!(server.log().contains("the rotation of the master key was finished"));
    judge(&server.client(), &session).await;
    assert!(server.stop().success());
    let keys = seal::FileKeys::open(&key).expect("readable").expect("there");
    assert!(!keys.has_older());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_workspace_is_lost_with_every_copy_of_it() {
    if backend() != "native" {
        return;
    }
    let (folder, memory) = (Folder::new(), Memory::new());
    let server = encrypted(&folder, &memory).server();
    let me = server.client();
    let made = me.post("/agent/workspace/new", json!({"name": "secret"})).await.ok();
    let id = made["id"].as_str().expect("an id").to_owned();
    me.put("by-hand.md", "canaryhand", &id).await;
    let unit = json!({
        "runner": "remit",
        "workspaces": [{"id": id, "mode": "rw"}],
        "trigger": "message",
        "start": {"entrypoint": {"inline": "append canarysaid to canaryname.md"}},
    });
    let dispatch = me.post("/agent/invocations", unit).await.ok();
    let dispatch = dispatch["workload_id"].as_str().expect("an id").to_owned();
    me.until(&dispatch, "idle").await;
    let delete = "/agent/workspace?workspace=secret";
    assert_eq!(me.delete(delete).await.status, 409, "its dispatch is not over");
    assert_eq!(me.delete("/agent/workspace?workspace=home").await.status, 409, "the home stays");
    assert_eq!(me.delete("/agent/workspace").await.status, 422, "which one?");
    me.post(&format!("/agent/dispatches/{dispatch}/cancel"), json!({})).await.ok();
    me.until(&dispatch, "ended").await;
    let sealed = folder.data().join("sealed").join(&id);
    let copy = folder.path().join("copy");
    let copied = std::process::Command::new("cp").arg("-a").arg(&sealed).arg(&copy).status();
    assert!(copied.expect("copied").success());
    let ran = folder.run(&["ws", "delete", "secret"]);
    assert_eq!(ran.code, Some(2), "it asks: {ran:?}");
    folder.run(&["ws", "delete", "secret", "--yes"]).ok();
    assert!(!sealed.exists());
    assert!(!memory.holds(&format!("workspaces/{id}.git")));
    assert_eq!(me.get(&format!("/agent/dispatches/{dispatch}")).await.status, 404);
    assert_eq!(me.get("/agent/workspace/tree?workspace=secret").await.status, 404);
    // Whoever has a copy of everything but the key, which is gone everywhere, has nothing.
    std::fs::remove_file(copy.join("key")).expect("the key that was destroyed");
    let keys = seal::FileKeys::open(&folder.data().join("master.key")).expect("readable");
    let keys = std::sync::Arc::new(keys.expect("there"));
    std::fs::rename(&copy, &sealed).expect("put back");
    let ring = seal::Keyring::new(keys, &folder.data().join("sealed")).expect("opens");
    assert!(ring.key(id.parse().expect("an id")).is_err());
    assert!(server.stop().success());
}
