//! The description says all that there is, names everything well, and is what is committed.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::problem::KINDS;

fn all_of<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(value);
    match value {
        Value::Object(map) => map.values().for_each(|it| all_of(it, found)),
        Value::Array(items) => items.iter().for_each(|it| all_of(it, found)),
        _ => {}
    }
}

#[test]
fn every_route_is_described() {
    let document = document();
    for route in ROUTES {
        let operation = &document["paths"][path(route)][route.method.as_str().to_lowercase()];
        let shown = format!("{} {}", route.method.as_str(), route.path);
        assert!(operation["summary"].as_str().is_some_and(|it| it.ends_with('.')), "{shown}");
        assert!(operation["responses"].as_object().is_some_and(|it| !it.is_empty()), "{shown}");
        let open = route.asks == Asks::Open;
        assert_eq!(operation["x-scopes"].is_null(), open, "{shown}");
        assert!(open || operation["x-scopes"] != json!([]), "{shown}: nobody may");
    }
}

#[test]
fn every_answer_and_every_body_has_a_type() {
    let document = document();
    let operations = document["paths"].as_object().expect("paths");
    for (path, methods) in operations {
        for (method, operation) in methods.as_object().expect("methods") {
            let tag = operation["tags"][0].as_str().expect("a tag");
            let mut inside = vec![];
            all_of(operation, &mut inside);
            let schemas = inside.iter().filter_map(|it| it.get("schema"));
            for schema in schemas {
                let untyped = *schema == json!({}) || *schema == json!(true);
                let bytes = ["pages", "git"].contains(&tag);
                assert!(!untyped || bytes, "{method} {path}: give it a type instead of `Value`");
            }
        }
    }
}

#[test]
fn what_is_named_is_there_and_has_one_form() {
    let (document, two_forms) = made();
    assert_eq!(two_forms, [""; 0], "read in another form than they are written: name them apart");
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for name in schemas.keys() {
        let ends_badly = name.ends_with(|c: char| c.is_ascii_digit()) || name.ends_with("View");
        assert!(!ends_badly, "{name}: two types of one name, or a name for insiders");
    }
    let mut inside = vec![];
    all_of(&document, &mut inside);
    for reference in inside.iter().filter_map(|it| it.get("$ref")?.as_str()) {
        let found = document.pointer(reference.trim_start_matches('#'));
        assert!(found.is_some(), "{reference}");
    }
    let mut ids = BTreeSet::new();
    for id in inside.iter().filter_map(|it| it.get("operationId")?.as_str()) {
        assert!(ids.insert(id), "{id}: two operations");
    }
}

#[test]
fn every_error_has_its_code_and_every_event_its_type() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let codes: Vec<_> = KINDS.iter().map(|kind| kind.code).collect();
    assert_eq!(schemas["ErrorCode"]["enum"], json!(codes));
    let events = schemas["Event"]["oneOf"].as_array().expect("events");
    let types: BTreeSet<_> =
        events.iter().filter_map(|it| it["properties"]["type"]["const"].as_str()).collect();
    assert_eq!(types.len(), events.len(), "each is known by its type");
    // What the pages are tested with: `model` sees to it that every event is in it.
    let story = include_str!("../../../../web/test/story.jsonl");
    for line in story.lines() {
        let entry: Value = serde_json::from_str(line).expect("an entry");
        let kind = entry["event"]["type"].as_str().expect("a type");
        assert!(types.contains(kind), "{kind}");
    }
}

#[test]
fn the_committed_description_is_the_present_one() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let fresh = Path::new(env!("OUT_DIR")).join("openapi.json");
    std::fs::write(&fresh, text()).expect("scratch is writable");
    let found = std::fs::read_to_string(&committed).unwrap_or_default();
    let (fresh, committed) = (fresh.display(), committed.display());
    assert!(found == text(), "not what the code says: compare, then cp {fresh} {committed}");
}
