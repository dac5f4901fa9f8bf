//! What the command line on this machine knows of a server: `<data>/profile.json`, readable by its
//! owner alone. The server stores keys as hashes; this file is where their owner keeps them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failed};

/// The server of a data folder, and the keys of who runs it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) url: String,
    pub(crate) admin_key: String,
    pub(crate) key: String,
    pub(crate) workspace: String,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Profile {
    /// Where the profile of a data folder stands.
    pub(crate) fn path(data: &Path) -> PathBuf {
        data.join("profile.json")
    }

    /// The profile of a data folder; none when there is none.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::path(data);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|problem| {
                Failed::new(Exit::Config, format!("{} is not a profile", path.display()))
                    .why(problem.to_string())
                    .next("delete it: the next `remit up` makes new keys")
                    .into()
            }),
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(problem) => {
                Err(Failed::new(Exit::Config, format!("cannot read {}", path.display()))
                    .why(problem.to_string())
                    .next("it is its owner's alone: be that user, or name --url and --key")
                    .into())
            }
        }
    }

    /// Replaces the profile, whole or not at all.
    pub(crate) fn write(&self, data: &Path) -> anyhow::Result<()> {
        let path = Self::path(data);
        let text = serde_json::to_vec_pretty(self)?;
        seal::write_whole(&path, &text).with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_profile_reads_back_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Profile::read(folder.path()).expect("readable"), None);
        let text = |text: &str| text.to_owned();
        let profile =
            Profile { url: text("u"), admin_key: text("a"), key: text("k"), workspace: text("w") };
        profile.write(folder.path()).expect("writable");
        profile.write(folder.path()).expect("replaced");
        assert_eq!(Profile::read(folder.path()).expect("readable"), Some(profile.clone()));
        let mode = fs::metadata(Profile::path(folder.path())).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{profile:?}").contains("key"), "keys are not printed");
    }
}
