//! A change of files as people and pages are shown it. Whoever shows one uses this form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDiff {
    /// Where it stands, or stood.
    pub path: String,
    /// Where it stood before, if it moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What became of it.
    pub status: FileStatus,
    /// Its mode before, as git writes it; absent for a new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_mode: Option<String>,
    /// Its mode now; absent for one that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_mode: Option<String>,
    /// Whether one side is not text: then there are no hunks.
    pub binary: bool,
    /// Whether it is too large to be shown: then there are no hunks.
    pub too_large: bool,
    /// Why a reader should look twice: `instruction_file`, `agent_settings`, `runs_by_itself`,
    /// `git_rules`, `executable`, `link`.
    pub flags: Vec<String>,
    /// Whether both sides changed it, so that taking it undoes what is there now.
    pub conflict: bool,
    /// The changed stretches, in order; none if only the mode or the place changed.
    pub hunks: Vec<HunkDiff>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// It is new.
    Added,
    /// It holds something else.
    Modified,
    /// It is gone.
    Deleted,
    /// It moved, and may hold something else.
    Renamed,
    /// It holds the same, in another mode.
    Mode,
}

/// A stretch of changed lines with those around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HunkDiff {
    /// Its number in the file, from 0.
    pub index: usize,
    /// First line before, from 1; the line it follows if it has none.
    pub old_start: usize,
    /// Lines before.
    pub old_lines: usize,
    /// First line after, from 1; the line it follows if it has none.
    pub new_start: usize,
    /// Lines after.
    pub new_lines: usize,
    /// The lines.
    pub lines: Vec<LineDiff>,
}

/// One line of a stretch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LineDiff {
    /// Where it stands.
    pub kind: LineKind,
    /// Its text, without the line feed.
    pub text: String,
    /// Whether it is the last one and no line feed ends it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_newline: bool,
}

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LineKind {
    /// Before and after.
    #[serde(rename = " ")]
    Kept,
    /// Only before.
    #[serde(rename = "-")]
    Removed,
    /// Only after.
    #[serde(rename = "+")]
    Added,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_keeps_its_form() {
        let line =
            |kind, text: &str, no_newline| LineDiff { kind, text: text.to_owned(), no_newline };
        let diff = FileDiff {
            path: "a.md".to_owned(),
            from: None,
            status: FileStatus::Modified,
            old_mode: Some("100644".to_owned()),
            new_mode: Some("100644".to_owned()),
            binary: false,
            too_large: false,
            flags: vec![],
            conflict: false,
            hunks: vec![HunkDiff {
                index: 0,
                old_start: 1,
                old_lines: 1,
                new_start: 1,
                new_lines: 1,
                lines: vec![line(LineKind::Removed, "1", false), line(LineKind::Added, "2", true)],
            }],
        };
        let json = serde_json::to_string(&diff).expect("plain data");
        let expected = concat!(
            r#"{"path":"a.md","status":"modified","old_mode":"100644","new_mode":"100644","#,
            r#""binary":false,"too_large":false,"flags":[],"conflict":false,"hunks":[{"index":0,"#,
            r#""old_start":1,"old_lines":1,"new_start":1,"new_lines":1,"lines":["#,
            r#"{"kind":"-","text":"1"},{"kind":"+","text":"2","no_newline":true}]}]}"#,
        );
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<FileDiff>(&json).expect("own form"), diff);
    }
}
