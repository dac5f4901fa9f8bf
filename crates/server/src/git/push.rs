//! A push: one command for `main`, a pack that is unpacked in a quarantine, and a report in words.

use axum::Extension;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use engine::remote::USER_AGENT;
use engine::workspaces::push::{Landing, NotTaken, Origin, Taken, Taking};
use futures_util::StreamExt;
use model::CommitId;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::{error, info};
use trust::Action;

use super::packet::{self, Read};
use super::{find, start, typed};
use crate::access::Caller;
use crate::api::Api;
use crate::problem::{INTERNAL, MALFORMED, Problem, TIMED_OUT, TOO_LARGE};
use crate::workspace::{Place, hand};

/// What the commands of a push may have, in bytes.
const COMMANDS_BYTES_MAX: usize = 64 << 10;
/// The largest pack of a push, in bytes.
const PACK_BYTES_MAX: u64 = 128 << 20;
/// How long a push may take to come.
const TIME_MAX: Duration = Duration::from_mins(10);
const MAIN: &str = "refs/heads/main";
/// Where one pushes what is to become a proposal.
const FOR_MAIN: &str = "refs/for/main";
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// Tells what is there and what is understood.
pub(super) async fn advertise(api: &Api, place: &Place) -> Result<Response, Problem> {
    let head = api.workspaces.head(place.workspace.id).await?;
    let head = head.map_or_else(|| NOTHING.to_owned(), |head| head.to_string());
    let version = api.defaults.version;
    let line = format!(
        "{head} {MAIN}\0report-status side-band-64k ofs-delta quiet agent=remit/{version}\n"
    );
    let mut told = packet::line(b"# service=git-receive-pack\n");
    told.extend_from_slice(packet::FLUSH);
    told.extend(packet::line(line.as_bytes()));
    told.extend_from_slice(packet::FLUSH);
    Ok(typed("application/x-git-receive-pack-advertisement", told.into()))
}

/// What is to become of a ref.
#[derive(Debug, PartialEq, Eq)]
struct Command {
    from: String,
    to: String,
    name: String,
    side_band: bool,
}

/// `POST /git/{workspace}/git-receive-pack`.
pub(crate) async fn receive_pack(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let write = |role| Action::WriteWorkspace { role };
    let place = find(&api, &caller, &workspace, write).await?;
    let origin = origin(&headers);
    let push = tokio::time::timeout(TIME_MAX, receive(&api, &caller, &place, (origin, body))).await;
    let report = push.unwrap_or_else(|_| Err(Problem::plain(TIMED_OUT)))?;
    Ok(typed("application/x-git-receive-pack-result", report.into()))
}

async fn receive(
    api: &Api,
    caller: &Caller,
    place: &Place,
    (origin, body): (Origin, Body),
) -> Result<Vec<u8>, Problem> {
    let mut body = Pieces { stream: body.into_data_stream(), next: Vec::new() };
    let commands = body.commands().await?;
    let [command] = commands.as_slice() else {
        if commands.is_empty() {
            return Ok(Vec::new()); // a client that asks whether it may
        }
        body.throw_away().await?;
        return Ok(refused(&commands, "push one branch at a time"));
    };
    let why = match (command.name.as_str(), command.to.as_str()) {
        (MAIN | FOR_MAIN, NOTHING) => Some("main cannot be deleted"),
        (MAIN | FOR_MAIN, _) => None,
        _ => Some("only main is kept here: push to main, or to refs/for/main to propose"),
    };
    if let Some(why) = why {
        body.throw_away().await?;
        return Ok(refused(&commands, why));
    }
    let id = place.workspace.id;
    let (quarantine, path) = api.workspaces.quarantine(id).await?;
    if !unpack(api, &mut body, path).await? {
        return Ok(refused(&commands, "the pack is broken, incomplete or larger than 128 MiB"));
    }
    let (Ok(from), Ok(to)) = (command.from.parse::<CommitId>(), command.to.parse::<CommitId>())
    else {
        return Ok(refused(&commands, "not a commit"));
    };
    let by = hand(api, caller, "Push".to_owned()).await?;
    let landing = landing(caller, place, command);
    let taking = Taking { from, tip: to, origin, by, landing };
    let (workspaces, inbox) = (api.workspaces.clone(), api.inbox.clone());
    // Together, whether or not somebody waits for the answer: what is held has its proposal.
    let done = api.finish(async move {
        let taken = workspaces.take_in(id, quarantine, taking).await;
        let written = match &taken {
            Ok(Taken::Held(held)) => Some(inbox.write_by_hand(held.clone()).await),
            _ => None,
        };
        (taken, written)
    });
    let (taken, written) = done.await?;
    let written = written.transpose()?;
    match taken {
        Ok(Taken::Forward(commits) | Taken::Merged(commits, _)) => {
            info!(workspace = %id, subject = %caller.subject, commits, "a push was taken in");
            Ok(report(&commands, "ok"))
        }
        Ok(Taken::Held(_)) => {
            let proposal = written.ok_or_else(|| Problem::plain(INTERNAL))?.proposal.id;
            info!(workspace = %id, subject = %caller.subject, %proposal, "a push waits");
            Ok(waits(&commands, landing, &format!("it waits as proposal {proposal}")))
        }
        Err(NotTaken::Workspace(cause)) => {
            error!(workspace = %id, %cause, "a push could not be taken in");
            Ok(refused(&commands, "the push cannot be read, or the workspace not be written"))
        }
        Err(why) => Ok(refused(&commands, &why.to_string())),
    }
}

/// Unpacks what follows into a quarantine; whether it was whole and not too large.
async fn unpack(api: &Api, body: &mut Pieces, quarantine: PathBuf) -> Result<bool, Problem> {
    let largest = format!("--max-input-size={PACK_BYTES_MAX}");
    let arguments = ["index-pack", "--stdin", "--strict", "--fix-thin", &largest];
    let mut run = start(api, quarantine, &arguments).await?;
    let mut stdin = run.run.child.stdin.take().ok_or_else(|| Problem::plain(INTERNAL))?;
    let taken = body.copy(&mut stdin).await?;
    drop(stdin);
    let mut name = Vec::new();
    if let Some(stdout) = run.run.child.stdout.as_mut() {
        // What it says is of no interest, as long as it can say it.
        drop(stdout.take(1 << 10).read_to_end(&mut name).await);
    }
    let unpacked = run.run.child.wait().await.is_ok_and(|status| status.success());
    Ok(taken && unpacked)
}

/// From where a push comes. Another server of ours says so: its commits speak as ours do, which nobody is to believe. Who
/// only says so gets no more than that.
fn origin(headers: &HeaderMap) -> Origin {
    let is_server = headers.get(header::USER_AGENT).is_some_and(|it| it == USER_AGENT);
    if is_server { Origin::Server } else { Origin::Push }
}

/// What may become of a push: whoever owns the workspace moves it on, others propose.
fn landing(caller: &Caller, place: &Place, command: &Command) -> Landing {
    let may_land = caller.may(&Action::LandPush { role: place.role }).is_ok();
    if command.name == MAIN && may_land { Landing::ForwardOrProposal } else { Landing::Proposal }
}

/// The report on a push that waits: who meant that is told so, others why it did not land.
fn waits(commands: &[Command], landing: Landing, words: &str) -> Vec<u8> {
    if commands.iter().all(|command| command.name == FOR_MAIN) {
        return told(commands, "ok", &format!("{words}\n"));
    }
    let why = match landing {
        Landing::ForwardOrProposal | Landing::ForwardOrMerge => {
            "it is not made on the newest commit"
        }
        Landing::Proposal => "only owners push to main",
    };
    refused(commands, &format!("{words}: {why}"))
}

fn refused(commands: &[Command], why: &str) -> Vec<u8> {
    report(commands, why)
}

/// The report on every command: `ok`, or why not.
fn report(commands: &[Command], outcome: &str) -> Vec<u8> {
    told(commands, outcome, "")
}

/// The same, with words for the person where there is a way for them.
fn told(commands: &[Command], outcome: &str, words: &str) -> Vec<u8> {
    let mut lines = packet::line(b"unpack ok\n");
    for command in commands {
        let line = match outcome {
            "ok" => format!("ok {}\n", command.name),
            why => format!("ng {} {why}\n", command.name),
        };
        lines.extend(packet::line(line.as_bytes()));
    }
    lines.extend_from_slice(packet::FLUSH);
    if !commands.iter().any(|command| command.side_band) {
        return lines;
    }
    let mut told = vec![];
    if !words.is_empty() {
        told.extend(packet::line(&[b"\x02", words.as_bytes()].concat()));
    }
    told.extend(packet::line(&[b"\x01", lines.as_slice()].concat()));
    told.extend_from_slice(packet::FLUSH);
    told
}

/// The body, piece by piece.
struct Pieces {
    stream: BodyDataStream,
    next: Vec<u8>,
}

impl Pieces {
    async fn more(&mut self) -> Result<bool, Problem> {
        match self.stream.next().await {
            Some(Ok(piece)) => {
                self.next.extend_from_slice(&piece);
                Ok(true)
            }
            Some(Err(_)) => Err(Problem::new(MALFORMED, "the push was cut off")),
            None => Ok(false),
        }
    }

    /// The commands, at most so many bytes of them; the pack follows.
    async fn commands(&mut self) -> Result<Vec<Command>, Problem> {
        let broken = || Problem::new(MALFORMED, "these are no commands of a push");
        let (mut commands, mut at) = (vec![], 0);
        loop {
            match packet::read(&self.next[at..]) {
                Read::Line(line, rest) => {
                    commands.push(command(line).ok_or_else(broken)?);
                    at = self.next.len() - rest.len();
                }
                Read::Flush(rest) => {
                    at = self.next.len() - rest.len();
                    self.next.drain(..at);
                    return Ok(commands);
                }
                Read::More if self.next.len() > COMMANDS_BYTES_MAX => {
                    return Err(Problem::new(TOO_LARGE, "a push has at most 64 KiB of commands"));
                }
                Read::More => {
                    if !self.more().await? {
                        return Err(broken());
                    }
                }
                Read::Broken => return Err(broken()),
            }
        }
    }

    /// Hands the rest on; whether all of it was taken.
    async fn copy(&mut self, to: &mut tokio::process::ChildStdin) -> Result<bool, Problem> {
        let (mut bytes, mut taken) = (0_u64, true);
        loop {
            let piece = std::mem::take(&mut self.next);
            bytes += piece.len() as u64;
            taken = taken && bytes <= PACK_BYTES_MAX && to.write_all(&piece).await.is_ok();
            if bytes > 2 * PACK_BYTES_MAX {
                return Err(Problem::new(TOO_LARGE, "a push has at most 128 MiB"));
            }
            if !self.more().await? {
                return Ok(taken);
            }
        }
    }

    /// Reads the rest, so that the caller, who may read only after it has written, gets the answer.
    async fn throw_away(&mut self) -> Result<(), Problem> {
        let mut bytes = 0;
        while self.more().await? {
            bytes += self.next.len() as u64;
            self.next.clear();
            if bytes > PACK_BYTES_MAX {
                return Err(Problem::new(TOO_LARGE, "a push has at most 128 MiB"));
            }
        }
        Ok(())
    }
}

fn command(line: &[u8]) -> Option<Command> {
    let (line, capabilities) = match line.iter().position(|byte| *byte == 0) {
        Some(end) => (&line[..end], &line[end + 1..]),
        None => (line, &b""[..]),
    };
    let mut words = std::str::from_utf8(line).ok()?.trim_end().splitn(3, ' ');
    let (from, to, name) = (words.next()?, words.next()?, words.next()?);
    let is_id = |text: &str| text.len() == 40 && text.bytes().all(|it| it.is_ascii_hexdigit());
    let is_plain = name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic());
    let side_band = capabilities.split(u8::is_ascii_whitespace).any(|it| it == b"side-band-64k");
    (is_id(from) && is_id(to) && is_plain).then(|| Command {
        from: from.to_owned(),
        to: to.to_owned(),
        name: name.to_owned(),
        side_band,
    })
}
