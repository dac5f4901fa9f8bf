//! How data is kept at rest: in the clear, or sealed under a master key and open in memory alone. What people entrust to
//! this server is always sealed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use embedded::lock::{DataLock, LockError};
use embedded::sqlite::{OpenError, Sealing, SqliteLedger};
use engine::task::Tasks;
use engine::workspaces::Workspaces;
use seal::{FileKeys, Keyring, Keys, KeysError, MASTER_KEY_FILE, SealError, Vault};

use crate::backend;
use crate::config::Config;
use crate::exit::{Exit, Failed};

/// The folder of sealed workspaces in the data folder.
const SEALED: &str = "sealed";
/// The folder of what people entrusted to this server.
const SECRETS: &str = "secrets";
/// Where encrypted workspaces are open when nobody says: memory on every Linux.
const MEMORY: &str = "/dev/shm";
/// What `statfs` says of the file systems that are memory.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// What is stored in the data folder, open.
#[derive(Clone)]
pub(crate) struct Storage {
    pub(crate) ledger: Arc<SqliteLedger>,
    pub(crate) workspaces: Workspaces,
    /// What people entrusted to this server; sealed whether the rest is or not.
    pub(crate) vault: Arc<Vault>,
}

/// Takes the data folder and opens what is in it, in the way that the configuration says. What is in the
/// clear and is to be sealed is sealed now.
pub(crate) fn open(config: &Config, data: &Path, work: &Tasks) -> anyhow::Result<Storage> {
    let lock = take(data)?;
    let path = key_file(config, data);
    let keys = masters(data, &path)?;
    let Some(Sealed { ring, keys, memory }) = sealed(config, data, &path, keys.clone())? else {
        let vault = vault(data, keys, &path)?;
        let ledger = Arc::new(ledger(data, lock, &Sealing::Off)?);
        let workspaces = Workspaces::new(data, work.clone()).context("cannot make folders")?;
        return Ok(Storage { ledger, workspaces, vault });
    };
    let vault = vault(data, Some(keys), &path)?;
    let ledger = Arc::new(ledger(data, lock, &Sealing::On(ring.clone()))?);
    let workspaces = Workspaces::sealed(&memory, ring, work.clone());
    let workspaces = workspaces.with_context(|| format!("cannot use {}", memory.display()))?;
    let count = workspaces.seal_all(data).context("cannot encrypt what is in the clear")?;
    if count > 0 {
        tracing::info!(count, "workspaces were encrypted");
    }
    Ok(Storage { ledger, workspaces, vault })
}

fn take(data: &Path) -> anyhow::Result<DataLock> {
    DataLock::take(data).map_err(|problem| match problem {
        LockError::InUse { .. } => Failed::new(Exit::Conflict, problem.to_string())
            .next("stop that server, or choose another folder with --data")
            .into(),
        problem @ LockError::Io { .. } => anyhow::Error::from(problem),
    })
}

fn ledger(data: &Path, lock: DataLock, sealing: &Sealing) -> anyhow::Result<SqliteLedger> {
    SqliteLedger::open_as(data, lock, sealing).map_err(|problem| match problem {
        OpenError::Sealed { .. } => {
            Failed::new(Exit::Config, "this data folder is encrypted, and `storage.encryption` is off")
                .next("set `storage.encryption = true`; what is encrypted stays so")
                .into()
        }
        OpenError::Live { live, .. } => {
            let what = format!("{live} sandboxes of an unencrypted server are not over yet");
            Failed::new(Exit::Conflict, what)
                .next("start once more without `storage.encryption`, stop that server in order, then switch it on")
                .into()
        }
        problem => anyhow::Error::from(problem),
    })
}

/// What sealed storage needs.
struct Sealed {
    ring: Arc<Keyring>,
    keys: Arc<dyn Keys>,
    memory: PathBuf,
}

fn sealed(
    config: &Config,
    data: &Path,
    path: &Path,
    keys: Option<Arc<dyn Keys>>,
) -> anyhow::Result<Option<Sealed>> {
    if !config.is_on("storage.encryption") {
        return Ok(None);
    }
    if config.text("backend.kind") == Some("process") {
        let what = "`storage.encryption` cannot hold with the backend `process`: its sandboxes are folders in the clear";
        return Err(Failed::new(Exit::Config, what)
            .next("use the backend `native`, or switch encryption off")
            .into());
    }
    let memory = memory(config, data)?;
    let directory = data.join(SEALED);
    let keys: Arc<dyn Keys> = match keys {
        Some(keys) => keys,
        None if holds_anything(&directory) => return Err(missing(path).into()),
        None => {
            tracing::warn!(path = %path.display(), "a master key was made; keep a copy of it somewhere else than the data");
            Arc::new(FileKeys::create(path).map_err(|problem| unusable(&problem))?)
        }
    };
    let ring = Arc::new(Keyring::new(keys.clone(), &directory)?);
    ring.check().map_err(|problem| does_not_open(path, &problem))?;
    Ok(Some(Sealed { ring, keys, memory }))
}

/// The file of the master key.
fn key_file(config: &Config, data: &Path) -> PathBuf {
    config.text("storage.key_file").map_or_else(|| data.join(MASTER_KEY_FILE), PathBuf::from)
}

/// The master keys, if there are any yet. A rotation of them that was begun is finished now.
fn masters(data: &Path, path: &Path) -> anyhow::Result<Option<Arc<dyn Keys>>> {
    let Some(keys) = FileKeys::open(path).map_err(|problem| unusable(&problem))? else {
        return Ok(None);
    };
    let begun = keys.has_older();
    let keys: Arc<dyn Keys> = Arc::new(keys);
    if begun {
        let Rewrapped { workspaces, secrets } = finish_rotation(&keys, data, path)?;
        tracing::info!(workspaces, secrets, "the rotation of the master key was finished");
    }
    Ok(Some(keys))
}

/// What people entrusted to this server.
fn vault(data: &Path, keys: Option<Arc<dyn Keys>>, path: &Path) -> anyhow::Result<Arc<Vault>> {
    let known = keys.is_some();
    let vault = Vault::new(&data.join(SECRETS), keys, path);
    if !known && vault.holds_anything()? {
        return Err(missing(path).into());
    }
    vault.check().map_err(|problem| does_not_open(path, &problem))?;
    Ok(Arc::new(vault))
}

/// How many keys a new master key wraps.
pub(crate) struct Rewrapped {
    pub(crate) workspaces: usize,
    pub(crate) secrets: usize,
}

/// Another master key for everything in the data folder. May be repeated after a crash at any point.
pub(crate) fn rotate(config: &Config) -> anyhow::Result<Rewrapped> {
    let data = config.data();
    if !data.join(SEALED).is_dir() && !data.join(SECRETS).is_dir() {
        let what = format!("nothing is encrypted in {}", data.display());
        return Err(Failed::new(Exit::NotFound, what)
            .next("switch it on with `storage.encryption = true`, and start the server once")
            .into());
    }
    let _lock = take(&data)?;
    let path = key_file(config, &data);
    let keys = FileKeys::open(&path)
        .map_err(|problem| unusable(&problem))?
        .ok_or_else(|| missing(&path))?;
    let keys: Arc<dyn Keys> = Arc::new(keys.renew().map_err(|problem| unusable(&problem))?);
    finish_rotation(&keys, &data, &path)
}

/// Wraps all keys by the first master key of the file, and then forgets the others.
fn finish_rotation(keys: &Arc<dyn Keys>, data: &Path, path: &Path) -> anyhow::Result<Rewrapped> {
    let failed = "cannot finish the rotation of the master key";
    let sealed = data.join(SEALED);
    let workspaces = if sealed.is_dir() {
        Keyring::new(keys.clone(), &sealed)?.rewrap().context(failed)?
    } else {
        0
    };
    let vault = Vault::new(&data.join(SECRETS), Some(keys.clone()), path);
    let secrets = vault.rewrap().context(failed)?;
    if let Some(mut keys) = FileKeys::open(path).map_err(|problem| unusable(&problem))? {
        keys.forget_older().map_err(|problem| unusable(&problem))?;
    }
    Ok(Rewrapped { workspaces, secrets })
}

fn does_not_open(path: &Path, problem: &SealError) -> Failed {
    let what = format!("the master key {} does not open this data: {problem}", path.display());
    Failed::new(Exit::Config, what)
        .next("put the right file back from a copy, or name it in `storage.key_file`")
}

fn holds_anything(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

fn missing(path: &Path) -> Failed {
    let what = format!("the master key {} is missing, and the data is encrypted", path.display());
    Failed::new(Exit::Config, what)
        .next("put the file back, or name it in `storage.key_file`; without it nothing can be read")
}

fn unusable(problem: &KeysError) -> Failed {
    let next = match problem {
        KeysError::Exposed { path } => format!("chmod 600 {}", path.display()),
        _ => "put the file back from a copy, or name another one in `storage.key_file`".to_owned(),
    };
    Failed::new(Exit::Config, format!("the master key cannot be used: {problem}")).next(next)
}

/// The folder in memory, ours alone.
fn memory(config: &Config, data: &Path) -> anyhow::Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let named = config.text("storage.memory").map(PathBuf::from);
    let path = named
        .unwrap_or_else(|| Path::new(MEMORY).join(format!("{}-{user}", backend::prefix(data))));
    let bad = |why: String| {
        Failed::new(Exit::Config, format!("cannot open workspaces in {}: {why}", path.display()))
            .next("name a folder of your own on a tmpfs in `storage.memory`")
    };
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Err(problem) if problem.kind() != ErrorKind::AlreadyExists => {
            return Err(bad(problem.to_string()).into());
        }
        _ => {}
    }
    // A link that somebody else put there is not followed.
    let found = fs::symlink_metadata(&path).map_err(|problem| bad(problem.to_string()))?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        return Err(bad("it is not a folder that only this user can use".to_owned()).into());
    }
    let kind = rustix::fs::statfs(&path).map_err(|problem| bad(problem.to_string()))?.f_type;
    if !IN_MEMORY.contains(&kind) {
        return Err(bad("it is not in memory".to_owned()).into());
    }
    Ok(path)
}
