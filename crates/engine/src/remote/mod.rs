//! Outside repositories that a workspace follows: fetched into a quarantine and taken in by the policy of every
//! commit; pushed to as a fast-forward.
//!
//! The git program does it, in an empty environment, with one protocol open to one host; by ssh, the ssh program beside
//! it. The credential is in the environment of that one run of git, or in memory that the one run of ssh alone has open:
//! never among arguments, in a file, a log or an answer. What the remote says is never handed on: it is sorted into
//! [`RemoteError`].

pub mod address;
mod door;
mod said;
mod ssh;
pub mod token;

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use model::{CommitId, WorkspaceId};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Semaphore;
use workspace::{Origin, Quarantine};
use zeroize::Zeroizing;

pub use address::{Allowed, BadAddress, BadBranch, BadEntry, Branch, RemoteUrl, Scheme};
pub use ssh::SshProgram;
pub use token::{BadKey, BadToken, Token};

use self::door::{Door, Lock, Target};
use self::ssh::{Call, Called};
use crate::git_program::{Connection, GitProgram, GitRun, NotStarted, Outward};
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

/// What git calls itself towards a remote; another server of ours knows a push of ours by it.
pub const USER_AGENT: &str = "git/remit";

/// What git takes for the remote where it is handed the connection.
const BY_CONNECTION: &str = "fd::3";

/// What holds for every run, beside what holds for every call of git.
const SETTINGS: [&str; 18] = [
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "http.sslVerify=true",
    "http.maxRequests=1",
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
    /// The ssh program is not there.
    #[error("ssh is not installed on this server; whoever runs it can install it")]
    SshMissing,
    /// What was sent as the token is no key that ssh can use.
    #[error(transparent)]
    BadKey(#[from] BadKey),
    /// The operator pinned no key of this host.
    #[error(
        "{host} shows the host key {key}, and none is pinned here: check it, and have the operator add its line to the \
         file of `workspaces.known_hosts`"
    )]
    UnknownHost {
        /// The host, as its key is pinned.
        host: String,
        /// What kind of key it showed, and its fingerprint.
        key: String,
    },
    /// It shows another key than the one that the operator pinned.
    #[error(
        "{host} shows the host key {key}, which is not the one that is pinned here: somebody may stand in between, or it \
         was changed"
    )]
    OtherHost {
        /// The host, as its key is pinned.
        host: String,
        /// What kind of key it showed, and its fingerprint.
        key: String,
    },
    /// It wants a credential, or another one.
    #[error(
        "it did not accept the credential: send a token, or by ssh a private key, that may do this"
    )]
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
    /// Both sides have commits that the other has not, and they disagree, or have nothing in common.
    #[error(
        "both sides went on, and do not go together by themselves: merge them in a clone, and push that"
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
    /// Whether both sides went on, and the newest commit joins them. The remote does not have it yet.
    pub merged: bool,
}

/// What became of a push over there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    /// Its branch had all of it already.
    Already,
    /// Its branch moved on.
    Moved,
    /// It is another server of ours, where it waits as a proposal for who may decide.
    Proposed,
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The commit that was pushed: where the remote's branch stands, unless it waits there.
    pub commit: CommitId,
    /// What became of it there.
    pub there: There,
}

/// What the operator lets be reached.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// The hosts.
    pub allowed: Allowed,
    /// The file that pins the keys of those that are reached by ssh, as OpenSSH's `known_hosts`. Without, none is
    /// known.
    pub known_hosts: Option<PathBuf>,
}

/// Reaches outside repositories.
#[derive(Clone)]
pub struct Outside {
    reach: Arc<Reach>,
    workspaces: Workspaces,
    tasks: Tasks,
    ids: Arc<dyn IdSource>,
    runs: Arc<Semaphore>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// One run of git.
struct Run<'a> {
    repository: &'a Path,
    /// What it is to do, without the remote.
    arguments: &'a [&'a str],
    /// Which refs become which.
    refs: &'a str,
    /// What answers it over there, by ssh.
    service: &'static str,
    /// Where what is fetched lies; looked at while it fills.
    filling: Option<&'a Path>,
}

/// How a remote is reached, with what lets one in.
enum Way {
    /// By a header.
    Http(Option<Zeroizing<String>>),
    /// By a private key.
    Ssh(SshProgram, Zeroizing<String>),
}

/// Git at its work.
struct Working {
    git: GitRun,
    /// Its connection by ssh.
    call: Option<Called>,
}

/// What a run came to.
struct Ran {
    success: bool,
    out: String,
    said: String,
}

impl Outside {
    /// Reaches what is allowed.
    pub fn new(reach: Reach, workspaces: Workspaces, tasks: Tasks, ids: Arc<dyn IdSource>) -> Self {
        let runs = Arc::new(Semaphore::new(RUNS_MAX));
        Self { reach: Arc::new(reach), workspaces, tasks, ids, runs }
    }

    /// Whether a repository may be reached, as far as its address tells.
    pub fn check(&self, url: &RemoteUrl) -> Result<(), RemoteError> {
        let (word, host, port) = (url.scheme().word(), url.host(), url.port());
        if !self.reach.allowed.allows(url) {
            return Err(RemoteError::NotAllowed { host: format!("{word}://{host}:{port}") });
        }
        Ok(())
    }

    /// Takes what the remote has in, as a fast-forward, or merged with what the folder has, where the two do not disagree;
    /// into a workspace that was only begun, whatever it has.
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
            return Ok(Pulled { commit: head, commits: 0, merged: false });
        }
        let (from, origin, landing) = (head, Origin::Remote, Landing::ForwardOrMerge);
        let taking = Taking { from, tip: tip.clone(), origin, by, landing };
        let taken = self.workspaces.take_in(id, quarantine, taking).await;
        let taken = taken.map_err(|why| match why {
            NotTaken::Behind | NotTaken::NothingNew => RemoteError::Diverged,
            NotTaken::Workspace(cause) => cause.into(),
            why @ NotTaken::Refused(_) => RemoteError::NotTaken(why),
        })?;
        let pulled = match taken {
            Taken::Forward(commits) => Pulled { commit: tip, commits, merged: false },
            Taken::Merged(commits, commit) => Pulled { commit, commits, merged: true },
            Taken::Held(_) => return Err(RemoteError::Diverged),
        };
        let Pulled { commits, merged, .. } = pulled;
        tracing::info!(workspace = %id, commits, merged, "a remote was pulled from");
        Ok(pulled)
    }

    /// What the remote's branch stands at, in a quarantine.
    async fn fetch(
        &self,
        id: WorkspaceId,
        remote: &Remote,
        token: Option<&Token>,
    ) -> Result<(Quarantine, CommitId), RemoteError> {
        let (quarantine, path) = self.workspaces.quarantine(id).await?;
        let refs = format!("+{}:{}", remote.branch.reference(), Quarantine::INCOMING);
        let arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
        ];
        let (objects, service) = (path.join("objects"), "git-upload-pack");
        let (repository, filling) = (path.as_path(), Some(objects.as_path()));
        let run = Run { repository, arguments: &arguments, refs: &refs, service, filling };
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
        let refs = format!("{commit}:{}", remote.branch.reference());
        let arguments = ["push", "--porcelain", "--no-verify", "--no-signed"];
        let (repository, service) = (path.as_path(), "git-receive-pack");
        let run = Run { repository, arguments: &arguments, refs: &refs, service, filling: None };
        let ran = self.run(remote, token, run).await?;
        let there = said::pushed(&ran.out, ran.success)
            .unwrap_or_else(|| Err(said::why(&ran.said, &remote.branch)))?;
        tracing::info!(workspace = %id, ?there, "a remote was pushed to");
        Ok(Pushed { commit, there })
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
        let way = way(url, token)?;
        let place = tokio::time::timeout(RUN_WAIT, self.runs.acquire()).await;
        let _place = place.ok().and_then(Result::ok).ok_or(RemoteError::Busy)?;
        let door = self.door(url, &way).await?;
        let filling = run.filling;
        let started = self.start(&program, url, (way, &door), run).await;
        let Working { mut git, call } = started.map_err(|problem| {
            tracing::error!(%problem, "git or ssh");
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
            () = self.filled(filling) => return Err(RemoteError::TooMuch),
        };
        if door.saw_too_much() {
            return Err(RemoteError::TooMuch);
        }
        if !ran.success && !door.reached() {
            return Err(RemoteError::Unreachable);
        }
        match call.and_then(|call| said::by_ssh(&call.log(), &ran.said, url)) {
            Some(why) if !ran.success && said::pushed(&ran.out, false).is_none() => Err(why),
            _ => Ok(ran),
        }
    }

    /// A door to the remote, at the addresses that may be reached.
    async fn door(&self, url: &RemoteUrl, way: &Way) -> Result<Door, RemoteError> {
        let target = Target {
            host: url.host().to_owned(),
            port: url.port(),
            addresses: self.addresses(url).await?,
            bytes_max: BACK_BYTES_MAX,
        };
        let lock = match way {
            Way::Http(_) => Lock::Socks(self.ids.uuid().simple().to_string()),
            Way::Ssh(..) => Lock::OurOwn(AtomicBool::new(false)),
        };
        Door::open(target, lock, &self.tasks).await.map_err(|problem| {
            tracing::error!(%problem, "no door to a remote could be opened");
            RemoteError::Failed
        })
    }

    /// Starts git, and ssh where it is needed, to work through a door.
    async fn start(
        &self,
        program: &GitProgram,
        url: &RemoteUrl,
        (way, door): (Way, &Door),
        run: Run<'_>,
    ) -> Result<Working, NotStarted> {
        let proxy = door.proxy().map(|proxy| ("http.proxy", proxy.into()));
        let mut settings: Vec<_> = proxy.into_iter().collect();
        let (address, protocol) = match &way {
            Way::Http(header) => {
                settings.extend(header.clone().map(|it| ("http.extraHeader", it)));
                (url.to_string(), url.scheme().word())
            }
            Way::Ssh(..) => (BY_CONNECTION.to_owned(), "fd"),
        };
        let of_run =
            [format!("protocol.{protocol}.allow=always"), format!("http.userAgent={USER_AGENT}")];
        let mut arguments: Vec<&str> = vec![];
        for setting in SETTINGS.iter().copied().chain(of_run.iter().map(String::as_str)) {
            arguments.extend(["-c", setting]);
        }
        arguments.extend(run.arguments);
        arguments.extend(["--end-of-options", &address, run.refs]);
        let (file_bytes_max, time_max) = (PACK_BYTES_MAX, TIME_MAX);
        let Way::Ssh(ssh, key) = way else {
            let outward = Outward { settings, file_bytes_max, time_max, connection: None };
            let git = program.start_outward(run.repository, &arguments, outward).await?;
            return Ok(Working { git, call: None });
        };
        let (near, far) = UnixStream::pair()?;
        let connection = Some(Connection { own: near.try_clone()?, other: &far });
        let outward = Outward { settings, file_bytes_max, time_max, connection };
        let git = program.start_outward(run.repository, &arguments, outward).await?;
        let known_hosts = self.reach.known_hosts.as_deref();
        let call = Call { url, door: door.port, key: &key, known_hosts, service: run.service };
        // Git says nothing before it has heard something, so the word that lets ssh go comes first.
        let call = ssh.call(&call, far, &near, &self.tasks)?;
        Ok(Working { git, call: Some(call) })
    }

    /// The addresses that the host stands for and that may be reached.
    async fn addresses(&self, url: &RemoteUrl) -> Result<Vec<SocketAddr>, RemoteError> {
        let found = tokio::net::lookup_host((url.host(), url.port()));
        let found = tokio::time::timeout(LOOK_UP, found).await;
        let found = found.ok().and_then(Result::ok).ok_or(RemoteError::Unreachable)?;
        let allowed: Vec<_> =
            found.filter(|it| self.reach.allowed.allows_address(it.ip())).collect();
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

/// How a repository is reached, and whether what was sent can let one in.
fn way(url: &RemoteUrl, token: Option<&Token>) -> Result<Way, RemoteError> {
    if url.scheme() != Scheme::Ssh {
        return Ok(Way::Http(token.map(Token::header).transpose()?));
    }
    let ssh = SshProgram::find().ok_or(RemoteError::SshMissing)?;
    Ok(Way::Ssh(ssh, token.ok_or(BadKey::Missing)?.key()?))
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
