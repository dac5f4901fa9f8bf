//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
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

/// Makes the name of `path` durable, or that it is gone.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
