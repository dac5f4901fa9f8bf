//! Outside repositories that a workspace follows: fetched into a quarantine and taken in by the policy of every
//! commit; pushed to as a fast-forward.
//!
//! The git program does it, in an empty environment, with one protocol open to one host. The credential is in the
//! environment of that one run: never among its arguments, in a file, a log or an answer. What the remote says is
//! never handed on: it is sorted into [`RemoteError`].

pub mod address;
mod door;
mod said;
pub mod token;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{CommitId, WorkspaceId};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Semaphore;
use workspace::{Origin, Quarantine};

pub use address::{Allowed, BadAddress, BadBranch, BadEntry, Branch, RemoteUrl, Scheme};
pub use token::{BadToken, Token};

use self::door::{Door, Target};
use crate::git_program::{GitProgram, Outward};
use crate::port::IdSource;
use crate::task::Tasks;
use crate::workspaces::files::Hand;
use crate::workspaces::push::{Landing, NotTaken, Taken, Taking};
use crate::workspaces::{Workspaces, WorkspacesError};

/// How long one fetch or push may take.
const TIME_MAX: Duration = Duration::from_mins(5);
/// How long a name may take to be looked up.
const LOOK_UP: Duration = Duration::from_secs(10);
/// The largest file that git may write: a pack, as one that is pushed to us.
const PACK_BYTES_MAX: u64 = 128 << 20;
/// How much may come back from a remote.
const BACK_BYTES_MAX: u64 = 2 * PACK_BYTES_MAX;
/// How many runs there are at once, and how long another one waits.
const RUNS_MAX: usize = 4;
const RUN_WAIT: Duration = Duration::from_secs(20);
/// How much of what git says is read.
const SAID_BYTES_MAX: usize = 64 << 10;
/// How often the quarantine is looked at while it fills.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What holds for every run, beside what holds for every call of git.
const SETTINGS: [&str; 19] = [
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "http.sslVerify=true",
    "http.maxRequests=1",
    "http.userAgent=git/remit",
    "credential.helper=",
    "core.askPass=",
    "core.alternateRefsPrefixes=refs/none",
    "fetch.fsckObjects=true",
    "transfer.fsckObjects=true",
    "fetch.unpackLimit=1",
    "fetch.writeCommitGraph=false",
    "fetch.recurseSubmodules=false",
    "push.recurseSubmodules=no",
    "push.followTags=false",
    "push.gpgSign=false",
    "transfer.bundleURI=false",
    "transfer.advertiseSID=false",
];

/// The outside repository that a workspace follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it is.
    pub url: RemoteUrl,
    /// Which branch of it is the workspace.
    pub branch: Branch,
}

/// Something could not be done with an outside repository. Nothing was changed here; of a push that was cut off, the
/// remote may have taken all, and never a part.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The operator did not say that it may be reached.
    #[error(
        "{host} is not among the hosts that this server reaches; its operator can add it to `workspaces.remotes`"
    )]
    NotAllowed {
        /// The host, with what it is reached by.
        host: String,
    },
    /// Its name stands for an address around this machine.
    #[error(
        "{host} stands for an address of a private network; its operator can add that address to `workspaces.remotes`"
    )]
    NotPublic {
        /// The host.
        host: String,
    },
    /// The git program is not there.
    #[error("git is not installed on this server; whoever runs it can install it")]
    GitMissing,
    /// Too many are at it already.
    #[error("too many use outside repositories just now; try again in a moment")]
    Busy,
    /// What was sent as the token is none.
    #[error(transparent)]
    BadToken(#[from] BadToken),
    /// This way of reaching a repository is not served.
    #[error("repositories are reached by https here, not by {0}")]
    NotServed(&'static str),
    /// It wants a credential, or another one.
    #[error("it did not accept the credential: send a token that may do this")]
    Credential,
    /// There is no such repository, or not for this credential.
    #[error("there is no such repository, or the credential may not see it")]
    NoRepository,
    /// It has no such branch.
    #[error("it has no branch `{0}`; say which one with `ref`")]
    NoBranch(String),
    /// Nobody answers there.
    #[error("nobody answers there, or the name is unknown")]
    Unreachable,
    /// Its certificate is not to be trusted.
    #[error("its certificate is not to be trusted")]
    Certificate,
    /// It sends us elsewhere.
    #[error("it leads elsewhere, and no redirect is followed: use the address it leads to")]
    Redirects,
    /// It holds more than is taken.
    #[error("it holds more than is taken: 128 MiB and 10,000 commits")]
    TooMuch,
    /// It took too long.
    #[error("it took too long")]
    TooSlow,
    /// What it sent breaks git's own rules.
    #[error("what it sent is broken, or breaks the rules of git fsck")]
    Broken,
    /// It has commits that are not here.
    #[error("it has commits that are not here: pull first, then push")]
    Behind,
    /// Both sides have commits that the other has not.
    #[error(
        "both sides went on, and only a fast-forward is taken: merge them in a clone, and push that"
    )]
    Diverged,
    /// It did not take the push.
    #[error("it did not take the push: the branch may be protected")]
    Declined,
    /// Something else, of which only git knows.
    #[error("git could not do it")]
    Failed,
    /// What came is not taken in.
    #[error(transparent)]
    NotTaken(NotTaken),
    /// The workspace did not do as asked.
    #[error(transparent)]
    Workspace(#[from] WorkspacesError),
}

/// What a pull brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The folder's newest commit.
    pub commit: CommitId,
    /// How many commits came; none where the remote had nothing new.
    pub commits: usize,
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The commit that the remote's branch stands at.
    pub commit: CommitId,
    /// Whether it moved there now.
    pub moved: bool,
}

/// Reaches outside repositories.
#[derive(Clone)]
pub struct Outside {
    allowed: Arc<Allowed>,
    workspaces: Workspaces,
    tasks: Tasks,
    ids: Arc<dyn IdSource>,
    runs: Arc<Semaphore>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

/// One run of git.
struct Run<'a> {
    repository: &'a Path,
    arguments: &'a [&'a str],
    /// Where what is fetched lies; looked at while it fills.
    filling: Option<&'a Path>,
}

/// What a run came to.
struct Ran {
    success: bool,
    out: String,
    said: String,
}

impl Outside {
    /// Reaches what is allowed.
    pub fn new(
        allowed: Allowed,
        workspaces: Workspaces,
        tasks: Tasks,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        let runs = Arc::new(Semaphore::new(RUNS_MAX));
        Self { allowed: Arc::new(allowed), workspaces, tasks, ids, runs }
    }

    /// Whether a repository may be reached, and in a way that is served, as far as its address tells.
    pub fn check(&self, url: &RemoteUrl) -> Result<(), RemoteError> {
        let (word, host, port) = (url.scheme().word(), url.host(), url.port());
        if !self.allowed.allows(url) {
            return Err(RemoteError::NotAllowed { host: format!("{word}://{host}:{port}") });
        }
        if url.scheme() == Scheme::Ssh {
            return Err(RemoteError::NotServed(word));
        }
        Ok(())
    }

    /// Takes what the remote has in, as a fast-forward; into a workspace that was only begun, whatever it has.
    pub async fn pull(
        &self,
        id: WorkspaceId,
        remote: &Remote,
        token: Option<&Token>,
        by: Hand,
    ) -> Result<Pulled, RemoteError> {
        let (quarantine, tip) = self.fetch(id, remote, token).await?;
        let head = self.workspaces.head(id).await?.ok_or(WorkspacesError::Missing(id))?;
        if self.workspaces.is_revision(id, tip.clone()).await? {
            return Ok(Pulled { commit: head, commits: 0 });
        }
        let (from, origin, landing) = (head, Origin::Remote, Landing::Forward);
        let taking = Taking { from, tip: tip.clone(), origin, by, landing };
        let taken = self.workspaces.take_in(id, quarantine, taking).await;
        let taken = taken.map_err(|why| match why {
            NotTaken::Behind => RemoteError::Diverged,
            NotTaken::Workspace(cause) => cause.into(),
            why @ NotTaken::Refused(_) => RemoteError::NotTaken(why),
        })?;
        let Taken::Forward(commits) = taken else { return Err(RemoteError::Diverged) };
        tracing::info!(workspace = %id, commits, "a remote was pulled from");
        Ok(Pulled { commit: tip, commits })
    }

    /// What the remote's branch stands at, in a quarantine.
    async fn fetch(
        &self,
        id: WorkspaceId,
        remote: &Remote,
        token: Option<&Token>,
    ) -> Result<(Quarantine, CommitId), RemoteError> {
        let (quarantine, path) = self.workspaces.quarantine(id).await?;
        let url = remote.url.to_string();
        let refs = format!("+{}:{}", remote.branch.reference(), Quarantine::INCOMING);
        let arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--end-of-options",
            &url,
            &refs,
        ];
        let objects = path.join("objects");
        let run = Run { repository: &path, arguments: &arguments, filling: Some(&objects) };
        let ran = self.run(remote, token, run).await?;
        if !ran.success {
            return Err(said::why(&ran.said, &remote.branch));
        }
        let read = move || (quarantine.incoming().map(crate::workspaces::ours), quarantine);
        let (tip, quarantine) =
            self.tasks.blocking("read a fetched ref", read).await.ok_or(RemoteError::Failed)?;
        Ok((quarantine, tip.ok_or(RemoteError::Broken)?))
    }

    /// Moves the remote's branch on to the folder's newest commit, as a fast-forward, and makes it where there is none.
    pub async fn push(
        &self,
        id: WorkspaceId,
        remote: &Remote,
        token: Option<&Token>,
    ) -> Result<Pushed, RemoteError> {
        let path = self.workspaces.settled_path(id).await?;
        let commit = self.workspaces.head(id).await?.ok_or(WorkspacesError::Missing(id))?;
        let url = remote.url.to_string();
        let refs = format!("{commit}:{}", remote.branch.reference());
        let arguments =
            ["push", "--porcelain", "--no-verify", "--no-signed", "--end-of-options", &url, &refs];
        let run = Run { repository: &path, arguments: &arguments, filling: None };
        let ran = self.run(remote, token, run).await?;
        let moved = said::pushed(&ran.out, ran.success)
            .unwrap_or_else(|| Err(said::why(&ran.said, &remote.branch)))?;
        tracing::info!(workspace = %id, moved, "a remote was pushed to");
        Ok(Pushed { commit, moved })
    }

    async fn run(
        &self,
        remote: &Remote,
        token: Option<&Token>,
        run: Run<'_>,
    ) -> Result<Ran, RemoteError> {
        let url = &remote.url;
        self.check(url)?;
        let program = GitProgram::find(&self.tasks).ok_or(RemoteError::GitMissing)?;
        let place = tokio::time::timeout(RUN_WAIT, self.runs.acquire()).await;
        let _place = place.ok().and_then(Result::ok).ok_or(RemoteError::Busy)?;
        let target = Target {
            host: url.host().to_owned(),
            port: url.port(),
            addresses: self.addresses(url).await?,
            bytes_max: BACK_BYTES_MAX,
        };
        let password = self.ids.uuid().simple().to_string();
        let door = Door::open(target, password, &self.tasks).await.map_err(|problem| {
            tracing::error!(%problem, "no door to a remote could be opened");
            RemoteError::Failed
        })?;
        let mut settings = vec![("http.proxy", door.url.clone().into())];
        if let Some(token) = token {
            settings.push(("http.extraHeader", token.header()?));
        }
        let protocol = format!("protocol.{}.allow=always", url.scheme().word());
        let mut arguments: Vec<&str> = vec![];
        for setting in SETTINGS.iter().copied().chain([protocol.as_str()]) {
            arguments.extend(["-c", setting]);
        }
        arguments.extend(run.arguments);
        let outward = Outward { settings, file_bytes_max: PACK_BYTES_MAX, time_max: TIME_MAX };
        let started = program.start_outward(run.repository, &arguments, outward).await;
        let mut git = started.map_err(|problem| {
            tracing::error!(%problem, "git");
            RemoteError::Failed
        })?;
        let ended = async {
            let (out, said) = (git.child.stdout.take(), git.child.stderr.take());
            let (out, said) = tokio::join!(text(out), text(said));
            let success = git.child.wait().await.is_ok_and(|status| status.success());
            Ran { success, out, said }
        };
        let ran = tokio::select! {
            ran = tokio::time::timeout(TIME_MAX, ended) => ran.map_err(|_| RemoteError::TooSlow)?,
            () = self.filled(run.filling) => return Err(RemoteError::TooMuch),
        };
        if door.saw_too_much() {
            return Err(RemoteError::TooMuch);
        }
        if !ran.success && !door.reached() {
            return Err(RemoteError::Unreachable);
        }
        Ok(ran)
    }

    /// The addresses that the host stands for and that may be reached.
    async fn addresses(&self, url: &RemoteUrl) -> Result<Vec<SocketAddr>, RemoteError> {
        let found = tokio::net::lookup_host((url.host(), url.port()));
        let found = tokio::time::timeout(LOOK_UP, found).await;
        let found = found.ok().and_then(Result::ok).ok_or(RemoteError::Unreachable)?;
        let allowed: Vec<_> = found.filter(|it| self.allowed.allows_address(it.ip())).collect();
        if allowed.is_empty() {
            return Err(RemoteError::NotPublic { host: url.host().to_owned() });
        }
        Ok(allowed)
    }

    /// Completes when more lies in a quarantine than one pack of a size that is taken. A remote that is asked for file
    /// after file would make as many as it likes.
    async fn filled(&self, objects: Option<&Path>) {
        let Some(objects) = objects.map(Path::to_owned) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let looked_at = objects.clone();
            let too_much =
                self.tasks.blocking("look at a quarantine", move || is_too_much(&looked_at));
            if too_much.await == Some(true) {
                return;
            }
        }
    }
}

/// Blocks.
fn is_too_much(objects: &Path) -> bool {
    let names = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let loose = names(objects.to_owned()).any(|entry| entry.file_name().len() == 2);
    let packed: u64 =
        names(objects.join("pack")).filter_map(|it| Some(it.metadata().ok()?.len())).sum();
    loose || packed > 2 * PACK_BYTES_MAX
}

/// The beginning of what a program says; the rest is read and thrown away.
async fn text(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else { return String::new() };
    let mut kept = Vec::new();
    let mut buffer = vec![0; 4 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let room = SAID_BYTES_MAX - kept.len();
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
