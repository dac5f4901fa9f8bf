//! What must hold whatever happened: streams are whole, repositories are sound. The git program is the
//! judge of repositories; only what a test reads from outside is believed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{DEADLINE, Folder, Server, output};

/// The repository of the seeded workspace, read by git.
pub(crate) struct Repository(PathBuf);

impl Repository {
    pub(crate) fn home(folder: &Folder, server: &Server) -> Self {
        let workspace = server.ready["workspace"].as_str().expect("a workspace");
        Self::of(folder, workspace)
    }

    /// The same of another workspace.
    pub(crate) fn of(folder: &Folder, workspace: &str) -> Self {
        Self(folder.data().join("workspaces").join(format!("{workspace}.git")))
    }

    /// What git says, which must succeed.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.try_git(args).unwrap_or_else(|failed| panic!("git {args:?}: {failed}"))
    }

    fn try_git(&self, args: &[&str]) -> Result<String, String> {
        let mut git = Command::new("git");
        git.env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .arg("--git-dir")
            .arg(&self.0)
            .args(args);
        let output = output(&mut git, DEADLINE);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// A file of a commit; none when it has no such file.
    pub(crate) fn file(&self, commit: &str, path: &str) -> Option<String> {
        self.try_git(&["cat-file", "blob", &format!("{commit}:{path}")]).ok()
    }

    /// What matches in the files of the main line, a line each.
    pub(crate) fn matches(&self, pattern: &str) -> String {
        self.matches_in("main", pattern)
    }

    /// The same of a commit.
    pub(crate) fn matches_in(&self, commit: &str, pattern: &str) -> String {
        // That nothing matches is an error to git.
        self.try_git(&["grep", "-a", "-h", "-o", pattern, commit]).unwrap_or_default()
    }

    /// One field of the trailers of a commit.
    pub(crate) fn trailer(&self, commit: &str, key: &str) -> String {
        let format = format!("--format=%(trailers:key={key},valueonly,separator=%x2C)");
        self.git(&["log", "-1", &format, commit])
    }

    /// How many commits of the main line are of this turn.
    pub(crate) fn commits_of(&self, turn: &str) -> usize {
        let turns =
            self.git(&["log", "--format=%(trailers:key=Turn,valueonly,separator=%x2C)", "main"]);
        turns.lines().filter(|line| *line == turn).count()
    }

    /// That git finds nothing wrong with it and can copy it whole.
    #[track_caller]
    pub(crate) fn is_sound(&self, scratch: &Path) {
        self.git(&["fsck", "--strict", "--no-dangling"]);
        let copy = tempfile::tempdir_in(scratch).expect("a folder");
        let copy = copy.path().join("copy").to_string_lossy().into_owned();
        let path = self.0.to_string_lossy().into_owned();
        self.git(&["clone", "--quiet", "--no-local", &path, &copy]);
    }
}

/// The events of this type, without their envelopes.
pub(crate) fn of_type<'a>(entries: &'a [Value], kind: &str) -> Vec<&'a Value> {
    entries.iter().map(|entry| &entry["event"]).filter(|event| event["type"] == kind).collect()
}

/// The event of this type, of which there is one.
#[track_caller]
pub(crate) fn only<'a>(entries: &'a [Value], kind: &str) -> &'a Value {
    let found = of_type(entries, kind);
    assert_eq!(found.len(), 1, "{kind} in {entries:#?}");
    found[0]
}

/// That a stream has no gap, no double, no step back, and after its end nothing.
#[track_caller]
pub(crate) fn stream_is_whole(entries: &[Value]) {
    let mut last = 0;
    for (before, entry) in entries.iter().enumerate() {
        let id = entry["id"].as_str().expect("an id");
        let (epoch, n) = id.split_once('-').expect("epoch and number");
        let (epoch, n): (u64, usize) = (epoch.parse().expect("a number"), n.parse().expect("one"));
        assert_eq!(n, before + 1, "a gap or a double: {entries:#?}");
        assert!(epoch >= last, "an older writer came after a newer one: {entries:#?}");
        last = epoch;
        let kind = entry["event"]["type"].as_str().expect("a type");
        assert_eq!(kind == "accepted", before == 0, "{entries:#?}");
        assert!(kind != "ended" || n == entries.len(), "something follows the end: {entries:#?}");
    }
}

/// That a dispatch is over, once, and so is each of its turns, once and after it was accepted.
/// The outcome of each turn.
#[track_caller]
pub(crate) fn is_over_once(entries: &[Value]) -> BTreeMap<String, Value> {
    stream_is_whole(entries);
    assert_eq!(of_type(entries, "ended").len(), 1, "{entries:#?}");
    let (mut open, mut over) = (BTreeMap::new(), BTreeMap::new());
    for event in entries.iter().map(|entry| &entry["event"]) {
        let turn = event["turn"].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str() {
            Some("turn_accepted") => {
                assert!(open.insert(turn, 0).is_none(), "accepted twice: {entries:#?}");
            }
            Some("turn_started") => {
                let starts = open.get_mut(&turn).expect("accepted before it is started");
                *starts += 1;
                assert_eq!(*starts, 1, "{turn} was started twice: {entries:#?}");
            }
            Some("turn_ended") => {
                assert!(open.contains_key(&turn), "ended before it was accepted: {entries:#?}");
                let known = over.insert(turn, event["outcome"]["kind"].clone());
                assert!(known.is_none(), "ended twice: {entries:#?}");
            }
            _ => {}
        }
    }
    assert_eq!(open.len(), over.len(), "a turn has no end: {entries:#?}");
    over
}
