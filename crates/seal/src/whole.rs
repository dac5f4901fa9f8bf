//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Gives `path` this content, readable by its owner alone: after a crash or a power cut it has the old content or the
/// new one. A file of the same name with `.next` behind it is left by a crash at most, and written over.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    let next = Path::new(&next);
    match fs::remove_file(next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(next)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(next, path)?;
    sync_folder(path)
}

/// Writes zeros over a file and removes it; no error where there is none. Done when this returns.
pub(crate) fn shred(path: &Path) -> io::Result<()> {
    let file = match File::options().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    // Over the old blocks, where the file system has it so.
    let zeros = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or_default()];
    file.write_all_at(&zeros, 0)?;
    file.sync_all()?;
    fs::remove_file(path)?;
    sync_folder(path)
}

/// Makes the name of `path` durable, or that it is gone.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
