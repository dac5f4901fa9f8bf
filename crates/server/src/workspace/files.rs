//! The files of a workspace: listed, read, written with the revision that the writer saw, deleted.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use engine::workspaces::FileMode;
use engine::workspaces::files::{Content, FileWrite, Listed};
use model::CommitId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::Action;

use super::{Place, Which, hand, revision};
use crate::access::Caller;
use crate::api::Api;
use crate::body::{JsonBody, Query};
use crate::openapi::{Answer, Operation};
use crate::problem::{NOT_FOUND, Problem};

/// The longest text that is shown inside JSON, in bytes; what is longer is had as bytes.
const SHOWN_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichTree {
    /// Its id or name; your home where absent.
    workspace: Option<String>,
    /// 1: files whose path has a name that begins with a dot, too.
    hidden: Option<u8>,
    /// An older revision.
    at: Option<String>,
}

/// The files of a workspace.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tree {
    /// Their paths.
    files: Vec<String>,
    /// The same with what they are.
    entries: Vec<TreeEntry>,
    /// The revision that this is; null while the workspace is empty.
    revision: Option<CommitId>,
}

/// One file of a workspace.
#[derive(Debug, Serialize, JsonSchema)]
struct TreeEntry {
    path: String,
    kind: FileKind,
    /// In bytes.
    size: u64,
}

/// What a file is.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum FileKind {
    File,
    Executable,
    Link,
    Submodule,
}

/// `GET /agent/workspace/tree`.
pub(crate) async fn tree(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<WhichTree>,
) -> Result<Json<Tree>, Problem> {
    let at = revision("at", asked.at.as_deref())?;
    let read = |role| Action::ReadWorkspace { role };
    let place = Place::find(&api, &caller, asked.workspace.as_deref(), read).await?;
    let listing = api.workspaces.listing(place.workspace.id, at).await?;
    let hidden = asked.hidden.is_some_and(|hidden| hidden != 0);
    let shown = |file: &&Listed| hidden || !is_hidden(&file.path);
    let entry = |file: &Listed| TreeEntry {
        path: file.path.clone(),
        kind: kind(file.mode),
        size: file.bytes,
    };
    let entries: Vec<_> = listing.files.iter().filter(shown).map(entry).collect();
    let files = entries.iter().map(|entry| entry.path.clone()).collect();
    Ok(Json(Tree { files, entries, revision: listing.revision }))
}

fn is_hidden(path: &str) -> bool {
    path.split('/').any(|name| name.starts_with('.'))
}

fn kind(mode: FileMode) -> FileKind {
    match mode {
        FileMode::Plain => FileKind::File,
        FileMode::Executable => FileKind::Executable,
        FileMode::Link => FileKind::Link,
        FileMode::Submodule => FileKind::Submodule,
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichFile {
    /// Its id or name; your home where absent.
    workspace: Option<String>,
    /// The file.
    path: String,
    /// An older revision.
    at: Option<String>,
    /// 1: as bytes, to be saved.
    raw: Option<u8>,
}

/// A file of a workspace.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct File {
    path: String,
    /// The revision that this is.
    revision: CommitId,
    kind: FileKind,
    /// In bytes.
    size: usize,
    /// Whether it is not text.
    binary: bool,
    /// What it holds; null where that is not text, or too long to be shown.
    content: Option<String>,
}

/// A file as data, or as bytes to be saved.
pub(crate) enum Found {
    Shown(File),
    Raw(Response),
}

impl IntoResponse for Found {
    fn into_response(self) -> Response {
        match self {
            Self::Shown(file) => Json(file).into_response(),
            Self::Raw(response) => response,
        }
    }
}

impl Answer for Found {
    fn tell(to: &mut Operation<'_>) {
        Json::<File>::tell(to);
        let bytes = serde_json::json!({"type": "string", "format": "binary"});
        to.answers(200, "application/octet-stream", &bytes);
    }
}

/// `GET /agent/workspace/file`.
pub(crate) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<WhichFile>,
) -> Result<Found, Problem> {
    let at = revision("at", asked.at.as_deref())?;
    let read = |role| Action::ReadWorkspace { role };
    let place = Place::find(&api, &caller, asked.workspace.as_deref(), read).await?;
    let found = api.workspaces.content(place.workspace.id, &asked.path, at).await?;
    let found = found.ok_or_else(|| absent(&asked.path))?;
    if asked.raw.is_some_and(|raw| raw != 0) {
        return Ok(Found::Raw(attachment(&asked.path, found.bytes)));
    }
    Ok(Found::Shown(shown(asked.path, found)))
}

fn shown(path: String, found: Content) -> File {
    let Content { revision, mode, bytes } = found;
    let size = bytes.len();
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    let (binary, content) = (text.is_none(), text.filter(|_| size <= SHOWN_BYTES_MAX));
    File { path, revision, kind: kind(mode), size, binary, content }
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

/// What a file is to hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewContent {
    /// The file.
    path: String,
    /// What it is to hold.
    content: String,
    /// The revision that the writer saw: a file that changed since is not written over.
    base: Option<String>,
}

/// A file that was written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Written {
    path: String,
    /// The new revision.
    revision: CommitId,
}

/// A change that was made.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Revision {
    /// The new revision.
    pub(super) revision: CommitId,
}

/// `PUT /agent/workspace/file`.
pub(crate) async fn write(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    body: JsonBody<NewContent>,
) -> Result<Json<Written>, Problem> {
    let write = |role| Action::WriteWorkspace { role };
    let place = Place::asked(&api, &caller, &which, write).await?;
    let NewContent { path, content, base } = body.read().await?;
    let base = revision("base", base.as_deref())?;
    let by = hand(&api, &caller, format!("Write {path}")).await?;
    let file = FileWrite { path: path.clone(), content: Some(content.into_bytes()) };
    let revision = change(&api, place, base, vec![file], by).await?;
    Ok(Json(Written { path, revision }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichDelete {
    /// Its id or name; your home where absent.
    workspace: Option<String>,
    /// The file.
    path: String,
    /// The revision that you saw: a file that changed since is not deleted.
    base: Option<String>,
}

/// `DELETE /agent/workspace/file`.
pub(crate) async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<WhichDelete>,
) -> Result<Json<Revision>, Problem> {
    let base = revision("base", asked.base.as_deref())?;
    let write = |role| Action::WriteWorkspace { role };
    let place = Place::find(&api, &caller, asked.workspace.as_deref(), write).await?;
    let by = hand(&api, &caller, format!("Delete {}", asked.path)).await?;
    let file = FileWrite { path: asked.path, content: None };
    let revision = change(&api, place, base, vec![file], by).await?;
    Ok(Json(Revision { revision }))
}

/// Makes a change to its end, even when the caller leaves.
pub(super) async fn change(
    api: &Api,
    place: Place,
    base: Option<CommitId>,
    files: Vec<FileWrite>,
    by: engine::workspaces::files::Hand,
) -> Result<CommitId, Problem> {
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
