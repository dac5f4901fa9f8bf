//! The tools of the agent: what the model is told of them, how a call is read, and what people see.
//!
//! What a tool may touch is up to the sandbox; the bounds here keep a turn from choking on itself.

mod command;
mod files;
mod search;

use std::path::{Path, PathBuf};

use model::ToolKind;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::message::Function;
use crate::signal::Signals;

/// The most text that one call gives back to the model.
pub(crate) const RESULT_BYTES_MAX: usize = 64 << 10;

/// A call that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tool {
    Read(Read),
    Write(Write),
    Edit(Edit),
    Search(Search),
    List(List),
    Run(Run),
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
    pub(crate) fn read(function: &Function) -> Result<Self, String> {
        let name = function.name.trim();
        match name {
            "read_file" => arguments(function).map(Self::Read),
            "write_file" => arguments(function).map(Self::Write),
            "edit_file" => arguments(function).map(Self::Edit),
            "search" => arguments(function).map(Self::Search),
            "list" => arguments(function).map(Self::List),
            "run" => arguments(function).map(Self::Run),
            _ => Err(format!(
                "There is no tool `{name}`. There are read_file, write_file, edit_file, search, list and run."
            )),
        }
    }

    /// Does it.
    pub(crate) fn call(&self, cwd: &Path, signals: &Signals) -> Outcome {
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
        }
    }

    /// Whether it can change anything.
    pub(crate) fn changes(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Edit(_) | Self::Run(_))
    }

    /// The file it concerns.
    pub(crate) fn path(&self, cwd: &Path) -> Option<PathBuf> {
        let path = match self {
            Self::Read(read) => Some(&read.path),
            Self::Write(write) => Some(&write.path),
            Self::Edit(edit) => Some(&edit.path),
            Self::Search(search) => search.path.as_ref(),
            Self::List(list) => list.path.as_ref(),
            Self::Run(_) => None,
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

/// The tools as the model is told of them.
pub(crate) fn described() -> Value {
    let text = |what: &str| json!({"type": "string", "description": what});
    let number = |what: &str| json!({"type": "integer", "description": what});
    let path = "Relative to the workspace, or absolute.";
    json!([
        tool(
            "read_file",
            "Read a text file, or some of its lines.",
            &["path"],
            &json!({
                "path": text(path),
                "offset": number("The first line to read, from 1."),
                "limit": number("How many lines to read; 2000 at most."),
            })
        ),
        tool(
            "write_file",
            "Write a whole file. Its folders are made.",
            &["path", "content"],
            &json!({
                "path": text(path),
                "content": text("All of the file."),
            })
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
    ])
}

fn tool(name: &str, what: &str, required: &[&str], properties: &Value) -> Value {
    json!({"type": "function", "function": {
        "name": name,
        "description": what,
        "parameters": {"type": "object", "properties": properties, "required": required},
    }})
}
