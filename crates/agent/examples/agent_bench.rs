//! What the built-in agent costs: from its start to its first request, and what it holds in memory after
//! a turn with a tool call. Run as `agent_bench --json`; started again by itself as the agent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// How often it is started.
const ROUNDS: usize = 50;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

#[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
#[expect(clippy::print_stderr, reason = "says why there are none")]
fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--agent") {
        return agent();
    }
    match measure() {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("agent_bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The agent, as `remit agent` runs it.
fn agent() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "a program of its own")]
    let config = agent::Config::read(|name| std::env::var(name).ok());
    let Ok(config) = config else { return ExitCode::FAILURE };
    match agent::run(std::io::stdin().lock(), std::io::stdout(), config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn measure() -> Result<Value, Failure> {
    let (mut starts, mut resident, mut cpu) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let round = one()?;
        starts.push(round.first_request.as_secs_f64() * 1e3);
        resident.push(round.resident_kib / 1024.0);
        cpu.push(round.cpu_ms);
    }
    let middle = |samples: &mut Vec<f64>| {
        samples.sort_by(f64::total_cmp);
        (samples[samples.len() / 2], samples[samples.len() - 1])
    };
    let ((start, slowest), (held, most), (used, _)) =
        (middle(&mut starts), middle(&mut resident), middle(&mut cpu));
    Ok(json!({
        "first_request_ms_p50": start, "first_request_ms_max": slowest,
        "resident_mib_p50": held, "resident_mib_max": most, "turn_cpu_ms_p50": used,
    }))
}

struct Round {
    first_request: Duration,
    resident_kib: f64,
    cpu_ms: f64,
}

/// One agent, one turn: a file is written, and it is said so.
fn one() -> Result<Round, Failure> {
    let folder = tempfile::tempdir()?;
    let model = TcpListener::bind("127.0.0.1:0")?;
    let began = now();
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--agent")
        .env_clear()
        .env("REMIT_GATE_URL", format!("http://{}", model.local_addr()?))
        .env("REMIT_MODEL", "m")
        .env("REMIT_SESSION_FOLDER", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let measured = turn(&mut child, &model, folder.path(), began);
    drop(child.stdin.take());
    child.wait()?;
    measured
}

#[expect(clippy::disallowed_methods, reason = "a measurement, without a `Clock`")]
fn now() -> Instant {
    Instant::now()
}

fn turn(
    child: &mut Child,
    model: &TcpListener,
    folder: &std::path::Path,
    began: Instant,
) -> Result<Round, Failure> {
    let mut to = child.stdin.as_ref().ok_or("no input")?;
    let mut from = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let mut say = |id: u64, method: &str, params: &Value| {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        to.write_all(format!("{message}\n").as_bytes())
    };
    say(1, "initialize", &json!({"protocolVersion": 1}))?;
    say(2, "session/new", &json!({"cwd": folder, "mcpServers": []}))?;
    let session = loop {
        let line: Value = serde_json::from_str(&from.next().ok_or("it ended")??)?;
        if let Some(session) = line["result"]["sessionId"].as_str() {
            break session.to_owned();
        }
    };
    let prompt = json!([{"type": "text", "text": "write"}]);
    say(3, "session/prompt", &json!({"sessionId": session, "prompt": prompt}))?;
    let arguments = json!({"path": "a.md", "content": "hello"}).to_string();
    let call = json!({"id": "c", "function": {"name": "write_file", "arguments": arguments}});
    let (first, _) = model.accept()?;
    let first_request = now().duration_since(began);
    answer(first, &json!({"tool_calls": [call]}))?;
    answer(model.accept()?.0, &json!({"content": "done"}))?;
    loop {
        let line: Value = serde_json::from_str(&from.next().ok_or("it ended")??)?;
        if line["id"] == 3 {
            break;
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let held = held.and_then(|held| held.trim().strip_suffix(" kB")).ok_or("no figure")?;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: f64 =
        fields.get(11..13).ok_or("no figure")?.iter().flat_map(|it| it.parse::<f64>()).sum();
    Ok(Round { first_request, resident_kib: held.trim().parse()?, cpu_ms: ticks * 10.0 })
}

fn answer(stream: TcpStream, message: &Value) -> Result<(), Failure> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let body = json!({"choices": [{"message": message, "finish_reason": "stop"}]}).to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let mut stream = reader.into_inner();
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len())?;
    Ok(())
}
