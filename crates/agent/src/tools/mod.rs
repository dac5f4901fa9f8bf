//! The tools of the agent: what the model is told of them, how a call is read, and what people see.
//!
//! What a tool may touch is up to the sandbox; the bounds here keep a turn from choking on itself.

mod command;
mod files;
mod search;

use std::path::{Path, PathBuf};

use model::{Mode, ToolKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::dialect::Described;
use crate::mcp::{Remote, RemoteTool};
use crate::message::Function;
use crate::signal::Signals;

/// The most text that one call gives back to the model.
pub(crate) const RESULT_BYTES_MAX: usize = 64 << 10;

/// The most of what the model wrote that stands in a line for people.
const TITLE_BYTES_MAX: usize = 200;

/// A call that could be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tool {
    Read(Read),
    Write(Write),
    Edit(Edit),
    Search(Search),
    List(List),
    Run(Run),
    Plan(Plan),
    /// A tool of a server behind the gate, with its arguments.
    Remote(RemoteTool, Value),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Read {
    path: String,
    /// The first line, from 1.
    offset: Option<usize>,
    /// How many lines.
    limit: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Write {
    path: String,
    content: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Edit {
    path: String,
    old: String,
    new: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Search {
    pattern: String,
    path: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct List {
    path: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Run {
    command: String,
    timeout_seconds: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Step {
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) status: StepStatus,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepStatus {
    #[default]
    Pending,
    InProgress,
    Completed,
}

/// What a call needs beside its arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) cwd: &'a Path,
    pub(crate) signals: &'a Signals,
    pub(crate) remote: &'a Remote,
}

/// What came of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// For the model, and for people.
    pub(crate) text: String,
    pub(crate) failed: bool,
    /// The turn was stopped, and the call with it.
    pub(crate) cancelled: bool,
    pub(crate) diff: Option<Diff>,
}

/// What a call changed in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diff {
    pub(crate) path: PathBuf,
    pub(crate) old: Option<String>,
    pub(crate) new: String,
}

impl Outcome {
    fn done(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    pub(crate) fn failed(text: String) -> Self {
        Self { text, failed: true, ..Self::default() }
    }

    pub(crate) fn cancelled(text: &str) -> Self {
        Self { text: text.to_owned(), failed: true, cancelled: true, diff: None }
    }
}

impl Tool {
    /// Reads a call of the model; the error is what the model is told.
    pub(crate) fn read(function: &Function, access: Mode, remote: &Remote) -> Result<Self, String> {
        let name = function.name.trim();
        let writes = access != Mode::ReadOnly;
        match name {
            "read_file" => arguments(function).map(Self::Read),
            "write_file" if writes => arguments(function).map(Self::Write),
            "edit_file" if writes => arguments(function).map(Self::Edit),
            "search" => arguments(function).map(Self::Search),
            "list" => arguments(function).map(Self::List),
            "run" => arguments(function).map(Self::Run),
            "update_plan" => arguments(function).map(Self::Plan),
            _ => match remote.find(name) {
                Some(tool) => arguments(function).map(|it| Self::Remote(tool.clone(), it)),
                None => Err(unknown(name, access, remote)),
            },
        }
    }

    /// Does it.
    pub(crate) fn call(&self, place: Place<'_>) -> Outcome {
        let Place { cwd, signals, remote } = place;
        let done = match self {
            Self::Read(read) => files::read(&cwd.join(&read.path), read),
            Self::Write(write) => files::write(&cwd.join(&write.path), write),
            Self::Edit(edit) => files::edit(&cwd.join(&edit.path), edit),
            Self::List(_) => files::list(&self.path(cwd).unwrap_or_else(|| cwd.to_owned())),
            Self::Search(search) => {
                let path = self.path(cwd).unwrap_or_else(|| cwd.to_owned());
                Ok(search::search(&path, &search.pattern, cwd, signals))
            }
            Self::Run(run) => command::run(run, cwd, signals),
            Self::Plan(_) => Ok(Outcome::done("The plan is shown.".to_owned())),
            Self::Remote(tool, arguments) => Ok(remote.call(tool, arguments, signals)),
        };
        done.unwrap_or_else(|error| Outcome::failed(error.to_string()))
    }

    /// What kind of tool it is.
    pub(crate) fn kind(&self) -> ToolKind {
        match self {
            Self::Read(_) | Self::List(_) => ToolKind::Read,
            Self::Write(_) | Self::Edit(_) => ToolKind::Edit,
            Self::Search(_) => ToolKind::Search,
            Self::Run(_) => ToolKind::Execute,
            Self::Plan(_) => ToolKind::Think,
            Self::Remote(..) => ToolKind::Other,
        }
    }

    /// Whether it can change anything.
    pub(crate) fn changes(&self) -> bool {
        match self {
            Self::Write(_) | Self::Edit(_) | Self::Run(_) => true,
            Self::Remote(tool, _) => !tool.reads,
            Self::Read(_) | Self::Search(_) | Self::List(_) | Self::Plan(_) => false,
        }
    }

    /// The file it concerns.
    pub(crate) fn path(&self, cwd: &Path) -> Option<PathBuf> {
        let path = match self {
            Self::Read(read) => Some(&read.path),
            Self::Write(write) => Some(&write.path),
            Self::Edit(edit) => Some(&edit.path),
            Self::Search(search) => search.path.as_ref(),
            Self::List(list) => list.path.as_ref(),
            Self::Run(_) | Self::Plan(_) | Self::Remote(..) => None,
        };
        path.map(|path| cwd.join(path))
    }

    /// One line for people.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Read(read) => format!("Read {}", read.path),
            Self::Write(write) => format!("Write {}", write.path),
            Self::Edit(edit) => format!("Edit {}", edit.path),
            Self::Search(Search { pattern, path: None }) => format!("Search for {pattern}"),
            Self::Search(Search { pattern, path: Some(path) }) => {
                format!("Search for {pattern} in {path}")
            }
            Self::List(list) => format!("List {}", list.path.as_deref().unwrap_or(".")),
            Self::Run(run) => format!("Run {}", run.command),
            Self::Plan(_) => "Plan".to_owned(),
            Self::Remote(tool, arguments) => {
                format!("{} {}", tool.shown, cut(&arguments.to_string(), TITLE_BYTES_MAX))
            }
        }
    }
}

fn arguments<T: DeserializeOwned>(function: &Function) -> Result<T, String> {
    let json = match function.arguments.trim() {
        "" => "{}",
        json => json,
    };
    serde_json::from_str(json).map_err(|error| {
        let name = &function.name;
        format!(
            "The arguments of `{name}` cannot be read: {error}. Send one JSON object as the tool describes it."
        )
    })
}

/// The beginning and the end of a text that is too long, and how much is missing between them.
pub(crate) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let head = &text[..text.floor_char_boundary(bytes_max / 2)];
    let tail = &text[text.ceil_char_boundary(text.len() - bytes_max / 2)..];
    let missing = text.len() - head.len() - tail.len();
    format!("{head}\n[… {missing} bytes left out …]\n{tail}")
}

/// What the model is told that calls a tool which is not there.
fn unknown(name: &str, access: Mode, remote: &Remote) -> String {
    let known = described(access, remote);
    let known: Vec<_> = known.iter().map(|tool| tool.name.as_str()).collect();
    let name = cut(name, TITLE_BYTES_MAX);
    format!("There is no tool `{name}`. There are {}.", known.join(", "))
}

/// The tools as the model is told of them.
pub(crate) fn described(access: Mode, remote: &Remote) -> Vec<Described> {
    let writing = ["write_file", "edit_file"];
    let own = own().into_iter();
    let own = own.filter(|tool| access != Mode::ReadOnly || !writing.contains(&&*tool.name));
    own.chain(remote.tools().iter().map(|tool| tool.described.clone())).collect()
}

fn own() -> Vec<Described> {
    let text = |what: &str| json!({"type": "string", "description": what});
    let number = |what: &str| json!({"type": "integer", "description": what});
    let path = "Relative to the workspace, or absolute.";
    vec![
        tool(
            "read_file",
            "Read a text file, or some of its lines.",
            &["path"],
            &json!({
                "path": text(path),
                "offset": number("The first line to read, from 1."),
                "limit": number("How many lines to read; 2000 at most."),
            }),
        ),
        tool(
            "write_file",
            "Write a whole file. Its folders are made.",
            &["path", "content"],
            &json!({
                "path": text(path),
                "content": text("All of the file."),
            }),
        ),
        tool(
            "edit_file",
            "Replace a passage of a file. `old` must stand in it exactly once.",
            &["path", "old", "new"],
            &json!({
                "path": text(path),
                "old": text("The passage as it stands, with its white space."),
                "new": text("What shall stand there."),
            }),
        ),
        tool(
            "search",
            "Find the lines that contain a text, in all files below a folder. No patterns: the text is \
             taken as it is; letter case counts only if it has upper-case letters.",
            &["pattern"],
            &json!({
                "pattern": text("The text."),
                "path": text("A folder or a file; the whole workspace if absent."),
            }),
        ),
        tool("list", "List a folder.", &[], &json!({"path": text("The workspace if absent.")})),
        tool(
            "run",
            "Run a command with `sh -c` in the workspace and return what it writes. There is no network. \
             It has no input, and whatever it leaves running is ended with it.",
            &["command"],
            &json!({
                "command": text("The command."),
                "timeout_seconds": number("120 if absent, 3600 at most."),
            }),
        ),
        tool(
            "update_plan",
            "Show the person what you mean to do, where it takes several steps; replaces the plan before.",
            &["steps"],
            &json!({"steps": {"type": "array", "items": {
                "type": "object",
                "properties": {
                    "text": text("One step, in a few words."),
                    "status": {"type": "string", "enum": ["pending", "in_progress", "completed"]},
                },
                "required": ["text", "status"],
            }}}),
        ),
    ]
}

fn tool(name: &str, what: &str, required: &[&str], properties: &Value) -> Described {
    let schema = json!({"type": "object", "properties": properties, "required": required});
    Described { name: name.to_owned(), about: what.to_owned(), schema }
}
