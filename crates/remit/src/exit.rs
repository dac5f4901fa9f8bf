//! How the program ends: the documented exit codes, and an error that knows its own.

use std::fmt::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

macro_rules! exits {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $about:literal;)*) => {
        /// The documented exit codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Exit {
            $($(#[$doc])* $name = $code),*
        }

        /// Each with what it says.
        pub(crate) const EXITS: &[(u8, &str)] = &[$(($code, $about)),*];
    };
}

exits! {
    Ok = 0, "it was done";
    Failed = 1, "it was tried and failed; what was looked for is not well";
    Usage = 2, "it cannot be asked like this: an unknown word, a value that is not valid";
    Config = 3, "the configuration is wrong";
    NotAuthorised = 4, "no key, a wrong key, or one that may not do this";
    NotFound = 5, "there is no such thing, or not for you";
    Conflict = 6, "it does not fit the present state: it changed meanwhile, or is taken";
    Unavailable = 7, "the server, or what it needs, does not answer or is full";
    Denied = 8, "a rule or a role does not allow it";
    TimedOut = 9, "it took too long";
    AgentFailed = 10, "the turn ran, and the agent failed or was stopped";
    Interrupted = 130, "SIGINT or SIGTERM ended it";
}

/// The exit codes as they stand below the help.
pub(crate) fn table() -> String {
    let mut table = "Exit codes:".to_owned();
    for (code, about) in EXITS {
        // Writing to a text cannot fail.
        let _written = write!(table, "\n  {code:<4} {about}");
    }
    table
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that says how the program ends, what went wrong and why, and what to do next.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) exit: Exit,
    what: String,
    why: Option<String>,
    next: Option<String>,
    /// What the server calls it.
    code: Option<String>,
}

impl Failed {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), why: None, next: None, code: None }
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    pub(crate) fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for (name, text) in [("why", &self.why), ("hint", &self.next)] {
            if let Some(text) = text {
                write!(f, "\n  {name}: {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failed {}

/// How the program ends after this error.
pub(crate) fn exit_of(problem: &anyhow::Error) -> Exit {
    problem.downcast_ref::<Failed>().map_or(Exit::Failed, |failed| failed.exit)
}

/// What to do after an error that nobody expected.
const NEXT: &str = "`--log debug` says more; `remit doctor` looks at this machine";

/// The error in words for a person.
pub(crate) fn in_words(problem: &anyhow::Error) -> String {
    match problem.downcast_ref::<Failed>() {
        Some(_) => format!("{problem:#}"),
        None => format!("{problem:#}\n  hint: {NEXT}"),
    }
}

/// The error as data.
pub(crate) fn as_data(problem: &anyhow::Error) -> Value {
    match problem.downcast_ref::<Failed>() {
        Some(Failed { exit, what, why, next, code }) => json!({
            "error": what, "why": why, "hint": next, "code": code, "exit": *exit as u8,
        }),
        None => json!({
            "error": format!("{problem:#}"), "why": null, "hint": NEXT, "code": null,
            "exit": Exit::Failed as u8,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_next_to_people_and_programs() {
        let failed = Failed::new(Exit::NotFound, "there is no cat")
            .why("it ran away")
            .next("call it")
            .code("no-cat");
        let problem = anyhow::Error::from(failed);
        assert_eq!(in_words(&problem), "there is no cat\n  why: it ran away\n  hint: call it");
        let data = json!({
            "error": "there is no cat", "why": "it ran away", "hint": "call it", "code": "no-cat",
            "exit": 5,
        });
        assert_eq!(as_data(&problem), data);
        let problem = anyhow::anyhow!("disk on fire");
        assert!(in_words(&problem).starts_with("disk on fire\n  hint: "));
        assert_eq!((exit_of(&problem), &as_data(&problem)["exit"]), (Exit::Failed, &json!(1)));
    }

    #[test]
    fn the_guide_tells_every_exit_code() {
        let guide = include_str!("../../../docs/guide/command-line.md");
        for (code, about) in EXITS {
            let row = format!("| {code} | {about} |");
            assert!(guide.contains(&row), "docs/guide/command-line.md lacks: {row}");
        }
    }
}
