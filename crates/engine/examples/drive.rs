//! Drives one agent by hand, without a sandbox: runs what a runner says, feeds its lines to the
//! adapter, and prints every event as a line of JSON.
//!
//! `drive RUNNER [--replace FROM=TO]… [--env NAME=VALUE]… [--gate URL] [--model NAME] [--cwd DIR]
//! [--session ID] [--resume] [--settings DIR] [--cancel-at turn_started|tool_call] [--answer OPTION] PROMPT…`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]
#![expect(clippy::disallowed_methods, reason = "a program by itself makes its own ids")]

use std::collections::VecDeque;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use engine::runner::{Adapter, LaunchContext, Process, Step, TurnAsk, adapter, builtin_runners};
use model::limit::LINE_BYTES_MAX;
use model::{Event, Runner, SessionId};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Drive {
    adapter: Box<dyn Adapter>,
    input: Option<ChildStdin>,
    prompts: VecDeque<String>,
    number: u32,
    cancel_at: Option<String>,
    answer: Option<String>,
}

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let name = args.next().ok_or("which runner?")?;
    let runners = builtin_runners();
    let mut runner =
        runners.into_iter().find(|r| r.name.as_str() == name).ok_or("no such runner")?;
    let mut context = LaunchContext {
        session: SessionId::from_uuid(Uuid::now_v7()),
        resumes: false,
        agent_session: None,
        permission: model::Permission::Auto,
        cwd: std::env::current_dir()?,
        gate_url: "http://127.0.0.1:8700".to_owned(),
        model: "demo".to_owned(),
        api: model::ModelApi::OpenaiChat,
        access: model::Mode::ReadWrite,
        servers: vec![],
        snapshot: None,
        reply: String::new(),
    };
    let mut drive = Drive {
        adapter: adapter(&runner, context.clone()),
        input: None,
        prompts: VecDeque::new(),
        number: 0,
        cancel_at: None,
        answer: None,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or("a value is missing");
        match arg.as_str() {
            "--replace" => replace(&mut runner, &value()?)?,
            "--env" => drop(
                value()?
                    .split_once('=')
                    .map(|(name, value)| runner.env.insert(name.to_owned(), value.to_owned())),
            ),
            "--gate" => context.gate_url = value()?,
            "--model" => context.model = value()?,
            "--cwd" => context.cwd = value()?.into(),
            "--session" => context.session = value()?.parse()?,
            "--resume" => context.resumes = true,
            "--settings" => write_settings(&runner, Path::new(&value()?))?,
            "--cancel-at" => drive.cancel_at = Some(value()?),
            "--answer" => drive.answer = Some(value()?),
            _ => drive.prompts.push_back(arg),
        }
    }
    eprintln!("session {}", context.session);
    drive.adapter = adapter(&runner, context);
    let mut child = spawn(&drive.adapter.process())?;
    drive.run(&mut child)
}

/// Puts another path, or another flag, into the runner.
fn replace(runner: &mut Runner, what: &str) -> Outcome<()> {
    let (from, to) = what.split_once('=').ok_or("--replace FROM=TO")?;
    let argv = runner.argv.iter_mut().chain(runner.resume_argv.iter_mut().flatten());
    argv.chain(runner.env.values_mut()).for_each(|text| *text = text.replace(from, to));
    Ok(())
}

fn write_settings(runner: &Runner, folder: &Path) -> Outcome<()> {
    std::fs::create_dir_all(folder)?;
    for (name, content) in &runner.settings {
        std::fs::write(folder.join(name), content)?;
    }
    Ok(())
}

fn spawn(process: &Process) -> Outcome<Child> {
    let (program, args) = process.argv.split_first().ok_or("no program")?;
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(&process.env).current_dir(&process.cwd);
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

impl Drive {
    fn run(&mut self, child: &mut Child) -> Outcome<()> {
        self.input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        self.next_turn()?;
        let mut line = Vec::new();
        loop {
            line.clear();
            output.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
            let Some(end) = line.pop() else { break };
            if end != b'\n' {
                line.push(end);
            }
            let step = self.adapter.line(&line, end != b'\n');
            self.follow(step)?;
        }
        let status = child.wait()?;
        eprintln!("{status}");
        let step = self.adapter.exited(status.code(), None);
        self.follow(step)
    }

    fn next_turn(&mut self) -> Outcome<()> {
        let Some(prompt) = self.prompts.pop_front() else {
            self.input = None;
            return Ok(());
        };
        self.number += 1;
        let turn = format!("turn-{}", self.number).parse()?;
        let step = self.adapter.turn(&TurnAsk { turn, number: self.number, prompt });
        self.follow(step)
    }

    fn follow(&mut self, step: Step) -> Outcome<()> {
        for input in step.input {
            if let Some(to) = &mut self.input {
                to.write_all(&input.bytes)?;
                to.flush()?;
            }
        }
        for event in &step.events {
            let shown = serde_json::to_string(event)?;
            println!("{shown}");
            let cancels = |at: &String| shown.contains(&format!(r#""type":"{at}""#));
            let step = match (event, &self.answer) {
                _ if self.cancel_at.as_ref().is_some_and(cancels) => self.adapter.cancel(),
                (Event::PermissionAsked { ask, .. }, Some(option)) => {
                    self.adapter.answer(ask, Some(option))
                }
                _ => continue,
            };
            self.follow(step)?;
        }
        if step.close_input {
            self.input = None;
        }
        if let Some(outcome) = step.turn {
            println!("{} {:?}", serde_json::to_string(&outcome)?, step.reply);
            self.next_turn()?;
        }
        Ok(())
    }
}
