//! Views of a workspace from outside: they follow what agents commit, also over a kill of the server.

use serde_json::{Value, json};

use crate::harness::{Folder, Server};

fn paths(hits: &Value) -> Vec<&str> {
    hits["hits"].as_array().expect("hits").iter().filter_map(|hit| hit["path"].as_str()).collect()
}

#[tokio::test]
async fn what_an_agent_wrote_is_found_linked_and_checked() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let search = "/agent/workspace/search?q=heron%20feathers";
    assert_eq!(paths(&me.get(search).await.ok()), [""; 0]);
    let said = "write \"# Birds: [[b]] and [[gone]]\" to notes/a.md; write \"grey Heron feathers\" to b.md; \
                write bare to kg/c.md";
    me.turn(json!({"prompt": said})).await.ok();

    let found = me.get(search).await.ok();
    assert_eq!(paths(&found), ["b.md"]);
    let pieces = &found["hits"][0]["pieces"];
    let matched: Vec<_> =
        pieces.as_array().expect("pieces").iter().filter(|it| it["match"] == true).collect();
    assert_eq!(matched.first().map(|it| &it["text"]), Some(&json!("Heron")), "{pieces}");
    let links = me.get("/agent/workspace/links?path=b.md").await.ok();
    assert_eq!(links["backlinks"][0]["path"], "notes/a.md");
    let graph = me.get("/agent/workspace/graph?workspace=home").await.ok();
    assert_eq!(graph["edges"], json!([{"from": "notes/a.md", "to": "b.md"}]));
    let report = me.get("/agent/workspace/check").await.ok();
    let rules: Vec<_> = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|it| (it["path"].as_str(), it["rule"].as_str()))
        .collect();
    assert_eq!(
        rules,
        [
            (Some("kg/c.md"), Some("frontmatter-missing")),
            (Some("notes/a.md"), Some("dangling-link"))
        ]
    );

    server.kill();
    let server = Server::start(&folder);
    assert_eq!(paths(&server.client().get(search).await.ok()), ["b.md"]);
    let searched = folder.run(&["ws", "search", "heron", "--json"]).ok().json();
    assert_eq!(searched[0]["path"], "b.md");
    let checked = folder.run(&["ws", "check"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(
        checked.out.contains("frontmatter-missing") && checked.err.contains("1 errors"),
        "{checked:?}"
    );
}

#[tokio::test]
async fn a_bad_question_is_told_so() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = server.client();
    let long = format!("/agent/workspace/search?q={}", "x".repeat(301));
    for (path, status) in [
        ("/agent/workspace/search", 422),
        ("/agent/workspace/search?q=", 422),
        ("/agent/workspace/search?q=a&limit=0", 422),
        (long.as_str(), 422),
        ("/agent/workspace/links?path=../etc/passwd", 404),
        ("/agent/workspace/check?workspace=nowhere", 404),
        ("/agent/workspace/graph?at=x", 422),
        ("/agent/workspace/search?q=%22%29%20OR%20*%20NEAR(", 200),
    ] {
        assert_eq!(me.get(path).await.status.as_u16(), status, "{path}");
    }
}
