//! What the tests share: a repository in a directory of its own, folders as an overlay leaves them, and git as judge.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tempfile::TempDir;
use workspace::{
    Attribution, Change, Checkout, Checkouts, CommitId, Committed, Delta, Limits, Outcome,
    Repository, Root, Seed, Signature, StatCache, Trailer, TreeId, TreePath, View,
};

pub(crate) struct House {
    pub(crate) directory: Ground,
    pub(crate) repository: Repository,
    pub(crate) checkouts: Checkouts,
}

/// Where a house stands: a directory that goes with it, or one of somebody else.
pub(crate) enum Ground {
    Own(TempDir),
    Other(PathBuf),
}

impl Ground {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(directory) => directory.path(),
            Self::Other(path) => path,
        }
    }
}

impl House {
    /// The house that stands at `top`, with its repository opened anew.
    pub(crate) fn beside(top: &Path, repository: Repository) -> Self {
        let checkouts = Checkouts::open(&top.join("checkouts")).unwrap();
        Self { directory: Ground::Other(top.to_owned()), repository, checkouts }
    }

    pub(crate) fn new(seeds: &[(&str, &str)]) -> Self {
        Self::new_in(TempDir::new().unwrap(), seeds)
    }

    /// A house where syncing costs nothing, for tests of what is written rather than of when.
    pub(crate) fn new_in_memory(seeds: &[(&str, &str)]) -> Self {
        let shared = Path::new("/dev/shm");
        let directory = if shared.is_dir() { TempDir::new_in(shared) } else { TempDir::new() };
        Self::new_in(directory.unwrap(), seeds)
    }

    fn new_in(directory: TempDir, seeds: &[(&str, &str)]) -> Self {
        let seeds: Vec<_> = seeds
            .iter()
            .map(|(path, content)| Seed {
                path: tree_path(path),
                content: content.as_bytes().to_vec(),
            })
            .collect();
        let path = directory.path().join("folder.git");
        let repository = Repository::init(&path, &seeds, &by("Begin")).unwrap();
        let checkouts = Checkouts::open(&directory.path().join("checkouts")).unwrap();
        Self { directory: Ground::Own(directory), repository, checkouts }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn head(&self) -> CommitId {
        self.repository.head().unwrap().unwrap()
    }

    pub(crate) fn checkout(&self) -> Checkout {
        self.checkouts.checkout(&self.repository, self.head()).unwrap()
    }

    pub(crate) fn overlay_delta(&self, checkout: CommitId, upper: &Path) -> Delta {
        let view = View::Overlay(Root::open(upper).unwrap());
        self.repository
            .delta(checkout, &view, &Limits::WORKSPACE, &mut StatCache::default())
            .unwrap()
    }

    pub(crate) fn plain_delta(&self, checkout: CommitId, root: &Path) -> Delta {
        let view = View::Plain(Root::open(root).unwrap());
        self.repository
            .delta(checkout, &view, &Limits::WORKSPACE, &mut StatCache::default())
            .unwrap()
    }

    pub(crate) fn land(&self, checkout: CommitId, seen: Option<TreeId>, delta: Delta) -> Outcome {
        let by = by("Work");
        let change = Change { delta, checkout, seen, by: &by, hold_as: "dsp_1" };
        self.repository.commit(change).unwrap()
    }

    /// Commits what lies in an upper directory on top of the head.
    pub(crate) fn commit_upper(&self, upper: &Path) -> Outcome {
        let head = self.head();
        self.land(head, None, self.overlay_delta(head, upper))
    }

    /// All files of the head as `path mode content`.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        self.files_of(self.head())
    }

    pub(crate) fn files_of(&self, commit: CommitId) -> Vec<(String, String)> {
        let tree = self.repository.tree(commit).unwrap();
        tree.into_iter()
            .map(|(path, file)| {
                let content = self.repository.blob(file.blob).unwrap();
                (path.to_string(), String::from_utf8_lossy(&content).into_owned())
            })
            .collect()
    }

    /// git itself finds nothing wrong, and the folder can be cloned.
    pub(crate) fn judge(&self) {
        let said = git(&self.path("folder.git"), &["fsck", "--strict", "--full"]);
        assert!(!said.contains("error") && !said.contains("warning"), "git fsck says: {said}");
        let clone = self.path("clone-of-judge");
        git(self.directory.path(), &["clone", "-q", "folder.git", "clone-of-judge"]);
        fs::remove_dir_all(clone).unwrap();
    }
}

pub(crate) fn tree_path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

pub(crate) fn by(message: &str) -> Attribution {
    let who = |name: &str, email: &str| Signature {
        name: name.to_owned(),
        email: email.to_owned(),
        seconds: 1_790_000_000,
    };
    Attribution {
        author: who("Ada Lovelace", "ada@example.org"),
        committer: who("Remit", "remit@localhost"),
        message: message.to_owned(),
        trailers: vec![
            Trailer::new("Dispatch", "dsp_1").unwrap(),
            Trailer::new("Subject", "usr_1").unwrap(),
        ],
    }
}

/// Runs git in an environment without any configuration and returns all it says.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.stdin(Stdio::null())
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent");
    let ran = output(&mut git);
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success(), "git {arguments:?} failed: {said}");
    said
}

/// How long a program that a test runs may take, in seconds.
const DEADLINE: i64 = 300;

/// Ends a program by SIGABRT when it does not come to its end in time: whoever waits for it hears of that.
pub(crate) fn watched(child: Child) -> Child {
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    std::thread::spawn(move || abort_late(&process));
    child
}

fn abort_late(process: &OwnedFd) {
    let deadline = Timespec { tv_sec: DEADLINE, tv_nsec: 0 };
    if poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&deadline)) == Ok(0) {
        // It may have ended just now.
        pidfd_send_signal(process, Signal::ABORT).ok();
    }
}

/// Runs a program to its end.
pub(crate) fn output(command: &mut Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    watched(piped.spawn().unwrap()).wait_with_output().unwrap()
}

pub(crate) fn write(directory: &Path, path: &str, content: &str) {
    let path = directory.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn committed(outcome: Outcome) -> Committed {
    match outcome {
        Outcome::Committed(committed) => committed,
        other => panic!("not committed: {other:?}"),
    }
}

pub(crate) fn pairs(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(path, content)| ((*path).to_owned(), (*content).to_owned())).collect()
}

/// Runs `work` and insists that it costs at most ten seconds of this thread's own time. What a hostile folder costs is
/// less than one on a machine that is there for us alone, and minutes where nothing bounds it; a machine that is shared
/// counts time as ours in which it was away.
pub(crate) fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (done, busy) = busy(work);
    assert!(busy <= Duration::from_secs(10), "{what} took {busy:?}");
    done
}

/// Runs `work`; for how long this thread was busy with it.
pub(crate) fn busy<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = busy_so_far();
    let done = work();
    (done, busy_so_far().saturating_sub(before))
}

/// For how long this thread has run.
fn busy_so_far() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}
