//! The files of a workspace: listed, read, written with the revision that the writer saw, deleted.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use engine::workspaces::FileMode;
use engine::workspaces::files::{Content, FileWrite, Listed};
use serde::Deserialize;
use serde_json::{Value, json};
use trust::Action;

use super::{Place, hand, revision};
use crate::access::Caller;
use crate::api::Api;
use crate::body;
use crate::problem::{INVALID, NOT_FOUND, Problem};

/// The longest text that is shown inside JSON, in bytes; what is longer is had as bytes.
const SHOWN_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichTree {
    workspace: Option<String>,
    /// Files whose path has a name that begins with a dot, too.
    hidden: Option<u8>,
    at: Option<String>,
}

/// `GET /agent/workspace/tree`.
pub(crate) async fn tree(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let asked: WhichTree = body::query(&uri)?;
    let at = revision("at", asked.at.as_deref())?;
    let read = |role| Action::ReadWorkspace { role };
    let place = Place::find(&api, &caller, asked.workspace.as_deref(), read).await?;
    let listing = api.workspaces.listing(place.workspace.id, at).await?;
    let hidden = asked.hidden.is_some_and(|hidden| hidden != 0);
    let shown = |file: &&Listed| hidden || !is_hidden(&file.path);
    let files: Vec<&Listed> = listing.files.iter().filter(shown).collect();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let entries: Vec<Value> = files
        .iter()
        .map(|file| json!({"path": file.path, "kind": kind(file.mode), "size": file.bytes}))
        .collect();
    Ok(Json(json!({"files": paths, "entries": entries, "revision": listing.revision})))
}

fn is_hidden(path: &str) -> bool {
    path.split('/').any(|name| name.starts_with('.'))
}

fn kind(mode: FileMode) -> &'static str {
    match mode {
        FileMode::Plain => "file",
        FileMode::Executable => "executable",
        FileMode::Link => "link",
        FileMode::Submodule => "submodule",
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichFile {
    workspace: Option<String>,
    path: String,
    at: Option<String>,
    /// As bytes, to be saved.
    raw: Option<u8>,
}

/// `GET /agent/workspace/file`.
pub(crate) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked: WhichFile = body::query(&uri)?;
    let at = revision("at", asked.at.as_deref())?;
    let read = |role| Action::ReadWorkspace { role };
    let place = Place::find(&api, &caller, asked.workspace.as_deref(), read).await?;
    let found = api.workspaces.content(place.workspace.id, &asked.path, at).await?;
    let found = found.ok_or_else(|| absent(&asked.path))?;
    if asked.raw.is_some_and(|raw| raw != 0) {
        return Ok(attachment(&asked.path, found.bytes));
    }
    Ok(Json(shown(&asked.path, found)).into_response())
}

fn shown(path: &str, found: Content) -> Value {
    let Content { revision, mode, bytes } = found;
    let size = bytes.len();
    let mut shown = json!({"path": path, "revision": revision, "kind": kind(mode), "size": size});
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    shown["binary"] = text.is_none().into();
    shown["content"] = text.filter(|_| size <= SHOWN_BYTES_MAX).into();
    shown
}

/// The bytes, never as anything that a browser would show or run.
fn attachment(path: &str, bytes: Vec<u8>) -> Response {
    let name = path.rsplit('/').next().unwrap_or("file");
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_. ".contains(c) { c } else { '_' };
    let plain: String = name.chars().map(plain).collect();
    let encoded: String = name
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

fn absent(path: &str) -> Problem {
    let path: String = path.chars().take(200).collect();
    Problem::new(NOT_FOUND, format!("there is no file `{path}` in this revision"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewContent {
    path: String,
    content: String,
    /// The revision that the writer saw.
    base: Option<String>,
}

/// `PUT /agent/workspace/file`.
pub(crate) async fn write(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let write = |role| Action::WriteWorkspace { role };
    let place = Place::asked(&api, &caller, &uri, write).await?;
    let NewContent { path, content, base } = body::json(body, INVALID).await?;
    let base = revision("base", base.as_deref())?;
    let by = hand(&api, &caller, format!("Write {path}")).await?;
    let file = FileWrite { path: path.clone(), content: Some(content.into_bytes()) };
    let revision = change(&api, place, base, vec![file], by).await?;
    Ok(Json(json!({"path": path, "revision": revision})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichDelete {
    workspace: Option<String>,
    path: String,
    base: Option<String>,
}

/// `DELETE /agent/workspace/file`.
pub(crate) async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let asked: WhichDelete = body::query(&uri)?;
    let base = revision("base", asked.base.as_deref())?;
    let write = |role| Action::WriteWorkspace { role };
    let place = Place::find(&api, &caller, asked.workspace.as_deref(), write).await?;
    let by = hand(&api, &caller, format!("Delete {}", asked.path)).await?;
    let file = FileWrite { path: asked.path, content: None };
    let revision = change(&api, place, base, vec![file], by).await?;
    Ok(Json(json!({"revision": revision})))
}

/// Makes a change to its end, even when the caller leaves.
pub(super) async fn change(
    api: &Api,
    place: Place,
    base: Option<model::CommitId>,
    files: Vec<FileWrite>,
    by: engine::workspaces::files::Hand,
) -> Result<model::CommitId, Problem> {
    let (workspaces, id) = (api.workspaces.clone(), place.workspace.id);
    let written = api.finish(async move { workspaces.write(id, base, files, by).await }).await?;
    Ok(written?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_header_it_stands_in() {
        let response = attachment("a/b\"\r\nx: y é.html", b"<script>".to_vec());
        let header = response.headers()[header::CONTENT_DISPOSITION].to_str().expect("ASCII");
        let expected = "attachment; filename=\"b___x_ y _.html\"; \
                        filename*=UTF-8''b%22%0D%0Ax%3A%20y%20%C3%A9.html";
        assert_eq!(header, expected);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/octet-stream");
    }

    #[test]
    fn a_dot_hides_what_is_below_it() {
        assert!(is_hidden(".a/b") && is_hidden("a/.b"));
        assert!(!is_hidden("a/b.c"));
    }
}
