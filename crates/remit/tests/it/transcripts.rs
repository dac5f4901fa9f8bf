//! The guides are true: what their `console` blocks show is typed into a shell, in order, and what is
//! printed is compared. A server that one of them starts serves the blocks that follow.
//!
//! `$ ` begins a command. Below it stands what a terminal shows of it; `…` stands for anything within a
//! line, and for any lines where it stands alone. A command that ends with `&` goes on until the page is
//! over; what it logs is not shown. `ses_…` and `dsp_…` in a command are the last that were printed.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;

use crate::harness::{DEADLINE, Folder, ask_to_stop, backend, ended, lines, output};

/// A command of a page, and what stands below it.
#[derive(Debug)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The steps of all `console` blocks of a page, in order.
fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut inside) = (Vec::<Step>::new(), false);
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step { command: command.to_owned(), shown: vec![] });
            } else {
                let step = steps.last_mut().expect("a block begins with a command");
                step.shown.push(line.to_owned());
            }
        }
    }
    steps
}

/// Whether a line is as it is shown: `…` stands for anything, as does the port of a server.
fn line_fits(shown: &str, line: &str) -> bool {
    let shown = shown.replace("127.0.0.1:7070", "127.0.0.1:…");
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether lines are as they are shown.
fn fits(shown: &[String], lines: &[String]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((any, rest)) if any == "…" => (0..=lines.len()).any(|at| fits(rest, &lines[at..])),
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, lines)| line_fits(first, line) && fits(rest, lines)),
    }
}

/// A shell of somebody who has built the program in the folder they work in.
struct Shell {
    folder: Folder,
    /// What goes on behind.
    behind: Vec<(Child, Receiver<String>)>,
    /// The last id of each kind that was printed.
    ids: BTreeMap<&'static str, String>,
    /// How the last command ended.
    code: i32,
}

impl Shell {
    fn new() -> Self {
        let folder = Folder::new();
        let program = Path::new(env!("CARGO_BIN_EXE_remit"));
        let built: PathBuf = folder.path().join("target/release");
        std::fs::create_dir_all(&built).expect("writable");
        symlink(program, built.join("remit")).expect("linked");
        Self { folder, behind: vec![], ids: BTreeMap::new(), code: 0 }
    }

    fn run(&mut self, step: &Step) {
        let command = self.filled(&step.command);
        let Some(command) = command.strip_suffix('&') else { return self.shown(step, &command) };
        let mut child = self.shell(&format!("exec {command} 2>>log"));
        let mut child = child.stdout(Stdio::piped()).spawn().expect("a shell");
        let lines = lines(child.stdout.take().expect("piped"));
        let mut said = vec![];
        while !fits(&step.shown, &said) {
            let line = lines.recv_timeout(DEADLINE);
            let Ok(line) = line else {
                panic!("$ {command}\nshould print {:#?}\nprinted {said:#?}", step.shown);
            };
            said.push(line);
        }
        self.behind.push((child, lines));
    }

    fn shown(&mut self, step: &Step, command: &str) {
        let ran = output(&mut self.shell(command), DEADLINE);
        let text = String::from_utf8(ran.stdout).expect("text");
        self.code = ran.status.code().unwrap_or(1);
        // Where a machine has no walls for the tests, it says so.
        let told = |line: &&str| !line.contains("does not isolate");
        let said: Vec<_> = text.lines().filter(told).map(str::to_owned).collect();
        let expected = &step.shown;
        assert!(
            fits(expected, &said),
            "$ {command}\nshould print {expected:#?}\nprinted {said:#?}"
        );
        for prefix in ["ses_", "dsp_"] {
            if let Some((_, after)) = text.rsplit_once(prefix) {
                let id: String = after.chars().take_while(char::is_ascii_alphanumeric).collect();
                self.ids.insert(prefix, format!("{prefix}{id}"));
            }
        }
    }

    /// The command with the ids that it means. What cargo does was done.
    fn filled(&self, command: &str) -> String {
        let parts = command.split(" && ").filter(|part| !part.starts_with("cargo "));
        let mut command = parts.collect::<Vec<_>>().join(" && ");
        for (prefix, id) in &self.ids {
            command = command.replace(&format!("{prefix}…"), id);
        }
        command
    }

    fn shell(&self, command: &str) -> Command {
        let built = self.folder.path().join("target/release");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec 2>&1; (exit {}); {command}", self.code)])
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", built.display()))
            .env("HOME", self.folder.path())
            .env("REMIT_BACKEND__KIND", backend())
            // The one of the page may be taken on this machine.
            .env("REMIT_SERVER__LISTEN", "127.0.0.1:0")
            .env("REMIT_BACKEND__WORKER", env!("CARGO_BIN_EXE_remit-worker"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        shell
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        for (child, _) in self.behind.drain(..) {
            ask_to_stop(child.id());
            ended(child, DEADLINE);
        }
    }
}

fn check(page: &str, least: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let steps = steps(&std::fs::read_to_string(path).expect(page));
    assert!(steps.len() >= least, "{page}: its console blocks are gone: {steps:#?}");
    let mut shell = Shell::new();
    for step in &steps {
        shell.run(step);
    }
}

#[test]
fn the_readme_shows_what_happens() {
    check("README.md", 4);
}

#[test]
fn the_first_steps_show_what_happens() {
    check("docs/guide/first-steps.md", 6);
}

#[test]
fn the_page_of_the_command_line_shows_what_happens() {
    check("docs/guide/command-line.md", 2);
}

#[test]
fn what_is_shown_fits_as_it_is_said_to() {
    let all = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
    let check = |shown: &[&str], lines: &[&str], expected: bool| {
        assert_eq!(fits(&all(shown), &all(lines)), expected, "{shown:?} {lines:?}");
    };
    check(&["a … c"], &["a b c"], true);
    check(&["a … c"], &["a b d"], false);
    check(&["…", "z"], &["x", "y", "z"], true);
    check(&["…", "z"], &["z", "y"], false);
    check(&["a"], &["a", "b"], false);
    check(&["http://127.0.0.1:7070/x"], &["http://127.0.0.1:34567/x"], true);
    let steps = steps("```\n$ no\n```\n```console\n$ one\nout\n$ two\n```\n");
    let told: Vec<_> = steps.iter().map(|it| (it.command.as_str(), it.shown.len())).collect();
    assert_eq!(told, [("one", 1), ("two", 0)]);
}
