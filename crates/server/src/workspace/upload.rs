//! `POST /agent/workspace/upload`: files as a form, bounded each and together, as one commit.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use engine::workspaces::files::FileWrite;
use futures_util::{Stream, StreamExt, stream};
use model::CommitId;
use multer::{Constraints, Multipart, SizeLimit};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;
use trust::Action;

use super::{Place, Which, files, hand, revision};
use crate::access::Caller;
use crate::answer::Created;
use crate::api::Api;
use crate::body::Query;
use crate::openapi::{Operation, Part};
use crate::problem::{INVALID, MALFORMED, Problem, TIMED_OUT, TOO_LARGE, UNAVAILABLE};

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 25 << 20;
/// The largest form, in bytes.
const FORM_BYTES_MAX: u64 = 100 << 20;
/// How many files one form may have.
const FILES_MAX: usize = 500;
/// How long a form may take to come.
const FORM_TIME_MAX: Duration = Duration::from_mins(5);
/// The longest field that is no file, in bytes.
const FIELD_BYTES_MAX: usize = 2_048;
/// How many forms are read at once: each is in memory until it is committed.
static PLACES: Semaphore = Semaphore::const_new(2);
/// How long a form waits for its turn.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(30);

/// What a form says.
#[derive(Debug, Default)]
struct Form {
    path: String,
    base: Option<String>,
    files: Vec<(String, Bytes)>,
}

/// A body that is a form of files.
#[derive(Debug)]
pub(crate) struct FormBody(Body);

impl<S: Sync> FromRequest<S> for FormBody {
    type Rejection = Infallible;
    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request.into_body()))
    }
}

impl Part for FormBody {
    fn tell(to: &mut Operation<'_>) {
        let schema = json!({
            "type": "object",
            "description": "Any field with a file name is a file.",
            "properties": {
                "path": {"type": "string", "description": "The directory they go to."},
                "base": {
                    "type": "string",
                    "description": "The revision that the writer saw: a file that changed since is not written over.",
                },
                "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
            },
        });
        to.takes("multipart/form-data", true, &schema);
    }
}

/// Files that were written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Uploaded {
    files: Vec<UploadedFile>,
    /// The new revision.
    revision: CommitId,
}

/// A file that was written.
#[derive(Debug, Serialize, JsonSchema)]
struct UploadedFile {
    path: String,
    /// In bytes.
    size: usize,
}

/// The handler.
pub(crate) async fn upload(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    headers: HeaderMap,
    FormBody(body): FormBody,
) -> Result<Created<Uploaded>, Problem> {
    let write = |role| Action::WriteWorkspace { role };
    let place = Place::asked(&api, &caller, &which, write).await?;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|kind| multer::parse_boundary(kind).ok());
    let boundary = boundary.ok_or_else(|| {
        Problem::new(INVALID, "send the files as multipart/form-data, with a boundary")
    })?;
    let _place = tokio::time::timeout(PLACE_WAIT_MAX, PLACES.acquire()).await.map_err(|_| {
        let busy = Problem::new(UNAVAILABLE, "others are uploading; try again in a moment");
        busy.retry_after(Duration::from_secs(5))
    })?;
    let form = read(body, boundary).await?;
    let base = revision("base", form.base.as_deref())?;
    let prefix = form.path.trim_matches('/');
    let path = |name: &str| match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}/{name}"),
    };
    let shown = form
        .files
        .iter()
        .map(|(name, content)| UploadedFile { path: path(name), size: content.len() })
        .collect();
    let message = match form.files.as_slice() {
        [(name, _)] => format!("Upload {}", path(name)),
        files => format!("Upload {} files", files.len()),
    };
    let writes = form
        .files
        .iter()
        .map(|(name, content)| FileWrite { path: path(name), content: Some(content.to_vec()) });
    let by = hand(&api, &caller, message).await?;
    let revision = files::change(&api, place, base, writes.collect(), by).await?;
    Ok(Created(Uploaded { files: shown, revision }))
}

/// The form, read to its end also where it is refused, so that the caller hears why.
async fn read(body: Body, boundary: String) -> Result<Form, Problem> {
    let body = Arc::new(Mutex::new(body.into_data_stream()));
    let limit = SizeLimit::new().whole_stream(FORM_BYTES_MAX).per_field(FILE_BYTES_MAX);
    let constraints = Constraints::new().size_limit(limit);
    let form = Multipart::with_constraints(pieces(body.clone()), boundary, constraints);
    let read = tokio::time::timeout(FORM_TIME_MAX, fields(form)).await;
    let read = read.unwrap_or_else(|_| Err(Problem::plain(TIMED_OUT)));
    if read.is_err() {
        let rest = pieces(body).take_while(|piece| std::future::ready(piece.is_ok()));
        let mut left = FORM_BYTES_MAX;
        let thrown_away = rest.take_while(move |piece| {
            let bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            left = left.saturating_sub(bytes);
            std::future::ready(left > 0)
        });
        let all = thrown_away.for_each(|_| std::future::ready(()));
        // Who sends on and on is not listened to any more.
        drop(tokio::time::timeout(FORM_TIME_MAX, all).await);
    }
    read
}

fn pieces(
    body: Arc<Mutex<BodyDataStream>>,
) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send + Unpin + 'static {
    stream::poll_fn(move |context| body.lock().poll_next_unpin(context))
}

async fn fields(mut form: Multipart<'_>) -> Result<Form, Problem> {
    let mut read = Form::default();
    while let Some(field) = form.next_field().await.map_err(refused)? {
        let file = field.file_name().map(str::to_owned);
        let name = field.name().unwrap_or_default().to_owned();
        let content = field.bytes().await.map_err(refused)?;
        match (file, name.as_str()) {
            (Some(file), _) => {
                if read.files.len() >= FILES_MAX {
                    let words = format!("a form has at most {FILES_MAX} files");
                    return Err(Problem::new(TOO_LARGE, words));
                }
                read.files.push((file, content));
            }
            (None, "path") => read.path = text("path", &content)?,
            (None, "base") => read.base = Some(text("base", &content)?),
            (None, name) => {
                let name: String = name.chars().take(64).collect();
                let words = format!("`{name}` is neither a file nor `path` nor `base`");
                return Err(Problem::new(INVALID, words));
            }
        }
    }
    if read.files.is_empty() {
        return Err(Problem::new(INVALID, "the form has no file"));
    }
    Ok(read)
}

fn text(name: &str, content: &Bytes) -> Result<String, Problem> {
    let text = std::str::from_utf8(content).ok().filter(|text| text.len() <= FIELD_BYTES_MAX);
    let words = || Problem::new(INVALID, format!("{name}: not a text of that length"));
    text.map(str::to_owned).ok_or_else(words)
}

fn refused(problem: multer::Error) -> Problem {
    match problem {
        multer::Error::FieldSizeExceeded { .. } => {
            Problem::new(TOO_LARGE, "a file has at most 25 MiB; use git to bring in larger ones")
        }
        multer::Error::StreamSizeExceeded { .. } => {
            Problem::new(TOO_LARGE, "a form has at most 100 MiB; send the files in several")
        }
        multer::Error::StreamReadFailed(_) | multer::Error::IncompleteStream => {
            Problem::new(MALFORMED, "the form was cut off")
        }
        other => Problem::new(INVALID, format!("the form cannot be read: {other}")),
    }
}
