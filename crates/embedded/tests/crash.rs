//! What was acknowledged survives kill -9, whole and in order.
//!
//! A child writes many streams and says each acknowledgement; it is killed at random moments and at
//! named points, over and over on the same file, and after each death everything is checked.
//! `cargo test -p embedded --test crash -- --rounds N` kills N times at random (40 otherwise).
//! `crash write DIR` and `crash check DIR ACKS` are the two halves, for cutting the power in between.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use embedded::sqlite::SqliteLedger;
use engine::conformance::fixture::{Ids, new_dispatch, texts};
use engine::port::{Append, Durability, Ledger, LedgerError};
use futures_util::future::try_join_all;
use model::{DispatchId, Entry, Event, EventId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

type Failed = Box<dyn std::error::Error>;

/// How long a child may say nothing, and a check take.
const DEADLINE: Duration = Duration::from_mins(3);
const STREAMS: usize = 12;
const ROUNDS: u64 = 40;
const POINTS: [&str; 4] =
    ["ledger_in_batch", "ledger_before_commit", "ledger_after_commit", "ledger_answering"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["write", folder] => write(Path::new(folder)),
        ["write", folder, point, nth] => arm(point, nth).and_then(|()| write(Path::new(folder))),
        ["check", folder, acks] => check_file(Path::new(folder), Path::new(acks)),
        ["--rounds", rounds] => rounds.parse().map_err(Failed::from).and_then(crash),
        ["--list", ..] => Ok(()),
        _ => crash(ROUNDS),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("crash: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the words of a test")]
fn say(text: &str) {
    eprintln!("{text}");
}

fn block_on<T>(future: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(future)
}

// The child.

fn arm(point: &str, nth: &str) -> Result<(), Failed> {
    Ok(engine::kill_point::arm(point, nth.parse()?)?)
}

/// Goes on with every stream for ever, and says what was acknowledged.
fn write(folder: &Path) -> Result<(), Failed> {
    block_on(async {
        let ledger = Arc::new(SqliteLedger::open(folder)?);
        let mut streams = Vec::new();
        for record in ledger.live().await? {
            streams.push((record.dispatch.id, record.cursor));
        }
        while streams.len() < STREAMS {
            let ids = Ids::new();
            let new = new_dispatch(&ids, ids.user(), "t1", 1);
            let id = new.dispatch.id;
            ledger.create(new).await?;
            acknowledge(&format!("{id} 0-2 created"))?;
            streams.push((id, 0));
        }
        let writers = streams.iter().map(|&(id, next)| write_stream(&ledger, id, next));
        try_join_all(writers).await?;
        Ok(())
    })
}

async fn write_stream(ledger: &SqliteLedger, id: DispatchId, next: u64) -> Result<(), Failed> {
    let epoch = ledger.open(id).await?.epoch;
    for number in next.. {
        let durability = match number % 3 {
            0 => Durability::Synced,
            _ => Durability::Relaxed,
        };
        let cursor = Some(number + 1);
        let text = number.to_string();
        let append = Append { durability, cursor, ..texts(id, epoch, &[&text]) };
        let last = ledger.append(append).await?;
        acknowledge(&format!("{id} {last} {number} {durability:?}"))?;
    }
    Ok(())
}

/// One write of a short line to a pipe: the reader gets all of it or nothing.
fn acknowledge(line: &str) -> io::Result<()> {
    io::stdout().lock().write_all(format!("{line}\n").as_bytes())
}

// The parent.

fn crash(rounds: u64) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let mut acknowledged = Acknowledged::default();
    for round in 0..rounds {
        let after = random_below(400)?;
        let said = run_and_kill(folder.path(), after)?;
        acknowledged.take(&said)?;
        acknowledged.check(folder.path()).map_err(|e| format!("round {round} of {rounds}: {e}"))?;
    }
    for point in POINTS {
        for nth in [1, 2, 3, 17, 60] {
            let said = run_to_point(folder.path(), point, nth)?;
            acknowledged.take(&said)?;
            let checked = acknowledged.check(folder.path());
            checked.map_err(|e| format!("killed at {point}, time {nth}: {e}"))?;
        }
    }
    let count = acknowledged.of.values().map(BTreeMap::len).sum::<usize>();
    let deaths = rounds + 20;
    say(&format!("crash: {count} acknowledgements in {deaths} lives, none lost: ok"));
    if count < 1_000 { Err("the child wrote next to nothing".into()) } else { Ok(()) }
}

fn child(arguments: &[&str]) -> Result<Command, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// The output of a child, which must not fall silent.
struct Output(ChildStdout);

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        readable("a word of the child", &self.0)?;
        self.0.read(buffer)
    }
}

fn readable(what: &str, from: impl AsFd) -> io::Result<()> {
    let deadline = Timespec::try_from(DEADLINE).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&deadline))? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, format!("waited in vain for {what}"))),
        _ => Ok(()),
    }
}

fn ended(child: &mut Child) -> Result<ExitStatus, Failed> {
    let pid = rustix::process::Pid::from_child(child);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
    readable("the end of the child", &pidfd)?;
    Ok(child.wait()?)
}

/// Kills the child after so many acknowledgements: at a moment that the load makes random, too.
fn run_and_kill(folder: &Path, after: u64) -> Result<String, Failed> {
    let mut child = child(&["write", utf8(folder)?])?.spawn()?;
    let mut lines = BufReader::new(output(&mut child)?);
    let mut said = String::new();
    for _ in 0..=after {
        if lines.read_line(&mut said)? == 0 {
            return Err(format!("the child ended by itself: {:?}", ended(&mut child)?).into());
        }
    }
    child.kill()?;
    ended(&mut child)?;
    lines.read_to_string(&mut said)?;
    Ok(said)
}

/// Lets the child run until it dies at a named point.
fn run_to_point(folder: &Path, point: &str, nth: u32) -> Result<String, Failed> {
    let mut child = child(&["write", utf8(folder)?, point, &nth.to_string()])?.spawn()?;
    let mut said = String::new();
    let heard = output(&mut child)?.read_to_string(&mut said);
    // One that hangs is not left behind.
    heard.inspect_err(|_| drop(child.kill()))?;
    let status = ended(&mut child)?;
    if std::os::unix::process::ExitStatusExt::signal(&status) != Some(9) {
        return Err(format!("{point} was not passed: {status:?}").into());
    }
    Ok(said)
}

fn output(child: &mut Child) -> Result<Output, Failed> {
    Ok(Output(child.stdout.take().ok_or("the output is piped")?))
}

fn utf8(folder: &Path) -> Result<&str, Failed> {
    Ok(folder.to_str().ok_or("the folder's name is text")?)
}

fn random_below(bound: u64) -> Result<u64, Failed> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    Ok(u64::from_be_bytes(random) % bound)
}

fn check_file(folder: &Path, acks: &Path) -> Result<(), Failed> {
    let mut acknowledged = Acknowledged::default();
    acknowledged.take(&std::fs::read_to_string(acks)?)?;
    acknowledged.of.values_mut().for_each(|of_one| of_one.retain(|_, text| !text.relaxed));
    acknowledged.check(folder)?;
    let count = acknowledged.of.values().map(BTreeMap::len).sum::<usize>();
    say(&format!("{count} synced acknowledgements, none lost: ok"));
    Ok(())
}

/// What the children said was stored.
#[derive(Default)]
struct Acknowledged {
    of: BTreeMap<DispatchId, BTreeMap<EventId, Text>>,
}

struct Text {
    text: String,
    relaxed: bool,
}

impl Acknowledged {
    fn take(&mut self, said: &str) -> Result<(), Failed> {
        // Without its line end, the last line may not be whole.
        for line in said.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [dispatch, id, text, ..] = words[..] else { return Err(line.into()) };
            let relaxed = words.get(3) == Some(&"Relaxed");
            let text = Text { text: text.to_owned(), relaxed };
            let of_one = self.of.entry(DispatchId::from_str(dispatch)?).or_default();
            if of_one.insert(id.parse()?, text).is_some() {
                return Err(format!("acknowledged twice: {line}").into());
            }
        }
        Ok(())
    }

    fn check(&self, folder: &Path) -> Result<(), Failed> {
        let checked = async {
            let ledger = SqliteLedger::open(folder)?;
            let live = ledger.live().await?.len();
            if live < self.of.len() {
                return Err(format!("{live} of {} dispatches are there", self.of.len()).into());
            }
            for (&dispatch, acknowledged) in &self.of {
                let record = ledger.record(dispatch).await?.ok_or("a dispatch is lost")?;
                let entries = all(&ledger, dispatch).await?;
                check_stream(&entries, record.cursor, acknowledged)
                    .map_err(|error| format!("{dispatch}: {error}"))?;
                if entries.last().map(|entry| entry.id) != Some(record.last) {
                    return Err(format!("{dispatch}: its record tells another last entry").into());
                }
            }
            Ok(())
        };
        block_on(async {
            let in_time = tokio::time::timeout(DEADLINE, checked).await;
            in_time.unwrap_or_else(|_| Err("the ledger does not answer the check".into()))
        })
    }
}

fn check_stream(
    entries: &[Entry],
    cursor: u64,
    acknowledged: &BTreeMap<EventId, Text>,
) -> Result<(), Failed> {
    let mut found = BTreeMap::new();
    for (entry, n) in entries.iter().zip(1_u64..) {
        if entry.id.n != n {
            return Err(format!("{n} is missing, or stands twice").into());
        }
        let Event::Message { text, .. } = &entry.event else { continue };
        // The child goes on where the cursor stands: one number is missing or twice if an entry
        // and its cursor were not written together.
        if *text != (n - 3).to_string() {
            return Err(format!("{} says {text}", entry.id).into());
        }
        found.insert(entry.id, text);
    }
    if cursor != entries.len() as u64 - 2 {
        return Err(format!("the cursor is {cursor} after {} entries", entries.len()).into());
    }
    for (id, said) in acknowledged {
        let created = said.text == "created";
        if !created && found.get(id) != Some(&&said.text) {
            return Err(format!("{id} was acknowledged and is lost").into());
        }
    }
    Ok(())
}

async fn all(ledger: &SqliteLedger, dispatch: DispatchId) -> Result<Vec<Entry>, LedgerError> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map_or(EventId::START, |entry| entry.id);
        let part = ledger.read(dispatch, after, 10_000).await?;
        if part.is_empty() {
            return Ok(entries);
        }
        entries.extend(part);
    }
}
