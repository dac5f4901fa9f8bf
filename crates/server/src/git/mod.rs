//! `/git/<workspace>.git`: git's smart HTTP, version 0, with one's key as the password.
//!
//! Only `main` is shown, and only what it is made of is given: version 2 of the protocol would give
//! any object by its name, so it is not spoken. A push is unpacked in a quarantine, and what it
//! brings is taken in by the committer's policy: the git program never writes into a workspace.

mod packet;
mod push;

use std::path::PathBuf;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use engine::git_program::{GitProgram, GitRun};
use flate2::read::GzDecoder;
use futures_util::stream;
use http_body_util::BodyExt;
use model::Role;
use serde::Deserialize;
use std::io::Read;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, SemaphorePermit};
use trust::Action;

use crate::access::Caller;
use crate::api::Api;
use crate::body;
use crate::problem::{
    GIT_MISSING, INTERNAL, INVALID, MALFORMED, Problem, TIMED_OUT, TOO_LARGE, UNAVAILABLE,
};
use crate::workspace::Place;

pub(crate) use push::receive_pack;

/// The longest list of what a reader wants and has, in bytes.
const WANTS_BYTES_MAX: usize = 8 << 20;
/// How long one answer may take.
const TIME_MAX: Duration = Duration::from_mins(10);
/// How long a caller may take to send what it wants.
const WANTS_TIME_MAX: Duration = Duration::from_mins(1);
/// How many runs of the git program there are at once, and how long another one waits.
static RUNS: Semaphore = Semaphore::const_new(8);
const RUN_WAIT_MAX: Duration = Duration::from_secs(20);
/// The most bytes of one answer.
const ANSWER_BYTES_MAX: u64 = 8 << 30;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    service: Option<String>,
}

/// `GET /git/{workspace}/info/refs`.
pub(crate) async fn refs(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(workspace): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let Service { service } = body::query(&uri)?;
    match service.as_deref() {
        Some("git-upload-pack") => {
            let read = |role| Action::ReadWorkspace { role };
            let place = find(&api, &caller, &workspace, read).await?;
            advertise(&api, &place).await
        }
        Some("git-receive-pack") => {
            let write = |role| Action::WriteWorkspace { role };
            let place = find(&api, &caller, &workspace, write).await?;
            program(&api)?;
            push::advertise(&api, &place).await
        }
        _ => Err(Problem::new(
            INVALID,
            "ask with git 1.6.6 or newer: only its smart protocol is spoken",
        )),
    }
}

/// The workspace of an address, which may end in `.git`.
async fn find(
    api: &Api,
    caller: &Caller,
    text: &str,
    action: impl FnOnce(Option<Role>) -> Action,
) -> Result<Place, Problem> {
    let name = text.strip_suffix(".git").unwrap_or(text);
    Place::find(api, caller, Some(name), action).await
}

fn program(api: &Api) -> Result<GitProgram, Problem> {
    GitProgram::find(&api.tasks).ok_or_else(|| {
        Problem::new(
            GIT_MISSING,
            "git is not installed on this server; whoever runs it can install it",
        )
    })
}

/// A run of the git program with the right to be one of so many.
struct Run {
    run: GitRun,
    _place: SemaphorePermit<'static>,
}

async fn start(api: &Api, repository: PathBuf, arguments: &[&str]) -> Result<Run, Problem> {
    let program = program(api)?;
    let place = tokio::time::timeout(RUN_WAIT_MAX, RUNS.acquire()).await;
    let place = place.ok().and_then(Result::ok).ok_or_else(|| {
        let busy = Problem::new(UNAVAILABLE, "too many use git just now; try again in a moment");
        busy.retry_after(Duration::from_secs(5))
    })?;
    let run = program.start(&repository, arguments, TIME_MAX).map_err(|problem| {
        tracing::error!(%problem, "git");
        Problem::plain(INTERNAL)
    })?;
    Ok(Run { run, _place: place })
}

async fn advertise(api: &Api, place: &Place) -> Result<Response, Problem> {
    let repository = api.workspaces.settled_path(place.workspace.id).await?;
    let path = repository.to_string_lossy().into_owned();
    let arguments = ["upload-pack", "--stateless-rpc", "--advertise-refs", &path];
    let mut run = start(api, repository, &arguments).await?;
    let mut told = packet::line(b"# service=git-upload-pack\n");
    told.extend_from_slice(packet::FLUSH);
    let stdout = run.run.child.stdout.as_mut().ok_or_else(|| Problem::plain(INTERNAL))?;
    let read = stdout.take(1 << 20).read_to_end(&mut told).await;
    let ended = run.run.child.wait().await;
    if read.is_err() || !ended.is_ok_and(|status| status.success()) {
        tracing::error!(workspace = %place.workspace.id, "git did not tell the refs");
        return Err(Problem::plain(INTERNAL));
    }
    Ok(typed("application/x-git-upload-pack-advertisement", told.into()))
}

fn typed(kind: &'static str, body: Body) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// `POST /git/{workspace}/git-upload-pack`.
pub(crate) async fn upload_pack(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let read = |role| Action::ReadWorkspace { role };
    let place = find(&api, &caller, &workspace, read).await?;
    let wants = wants(&headers, body).await?;
    let repository = api.workspaces.settled_path(place.workspace.id).await?;
    let path = repository.to_string_lossy().into_owned();
    let mut run = start(&api, repository, &["upload-pack", "--stateless-rpc", &path]).await?;
    let mut stdin = run.run.child.stdin.take().ok_or_else(|| Problem::plain(INTERNAL))?;
    let feed = async move {
        // Whether it reads to the end is its own affair: what it answers tells.
        drop(stdin.write_all(&wants).await);
    };
    api.tasks.spawn(engine::task::TaskKind::Connection, "git input", feed);
    Ok(typed("application/x-git-upload-pack-result", answer(run)))
}

/// What the program says, as it says it. The program ends when nobody listens any more.
fn answer(run: Run) -> Body {
    let pieces = stream::try_unfold((run, 0_u64), |(mut run, told)| async move {
        let Some(stdout) = run.run.child.stdout.as_mut() else { return Ok(None) };
        let mut piece = Vec::with_capacity(64 << 10);
        let read = stdout.read_buf(&mut piece).await?;
        let told = told + read as u64;
        if read == 0 {
            drop(run.run.child.wait().await);
            return Ok(None);
        }
        if told > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other("the answer is too large"));
        }
        Ok::<_, std::io::Error>(Some((Bytes::from(piece), (run, told))))
    });
    Body::from_stream(pieces)
}

async fn wants(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
    let limited = http_body_util::Limited::new(body, WANTS_BYTES_MAX).collect();
    let read = tokio::time::timeout(WANTS_TIME_MAX, limited).await;
    let read = read.map_err(|_| Problem::plain(TIMED_OUT))?;
    let raw = read.map_err(|_| Problem::new(TOO_LARGE, "so much cannot be asked for at once"))?;
    let raw = raw.to_bytes();
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(raw.to_vec()),
        Some(b"gzip" | b"x-gzip") => {
            let mut wants = Vec::new();
            let limit = WANTS_BYTES_MAX as u64 + 1;
            let read = GzDecoder::new(&raw[..]).take(limit).read_to_end(&mut wants);
            read.map_err(|_| Problem::new(MALFORMED, "the body is not gzip"))?;
            if wants.len() > WANTS_BYTES_MAX {
                return Err(Problem::new(TOO_LARGE, "so much cannot be asked for at once"));
            }
            Ok(wants)
        }
        Some(_) => Err(Problem::new(MALFORMED, "the body has an encoding that is not read here")),
    }
}
