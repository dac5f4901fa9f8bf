//! The marks that an overlay leaves on what it writes to its upper directory. Reads extended attributes only.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{fgetxattr, flistxattr},
    io::Errno,
};

use crate::Reason;

/// Whether a directory of an overlay hides what lies below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opaque {
    No,
    Yes,
    /// Hides nothing by itself, but empty files in it may stand for deletions.
    WithWhiteoutFiles,
}

/// What an overlay, or somebody who wants to look like one, says of a directory.
pub(crate) fn opaqueness(directory: BorrowedFd<'_>) -> Result<Opaque, Reason> {
    let marks = marks(directory);
    if marks.iter().any(|mark| is_one_of(mark, &["redirect"])) {
        return Err(Reason::OverlayRedirect);
    }
    for mark in marks.iter().filter(|mark| is_one_of(mark, &["opaque"])) {
        let mut value = [0_u8; 8];
        match fgetxattr(directory, mark.as_slice(), &mut value[..]) {
            Ok(1) if value[0] == b'y' => return Ok(Opaque::Yes),
            Ok(1) if value[0] == b'x' => return Ok(Opaque::WithWhiteoutFiles),
            _ => {}
        }
    }
    Ok(Opaque::No)
}

/// Whether an overlay left one of these marks on an entry.
pub(crate) fn has_marks(entry: BorrowedFd<'_>, wanted: &[&str]) -> bool {
    marks(entry).iter().any(|mark| is_one_of(mark, wanted))
}

/// What precedes the name of a mark, by whether the overlay was mounted with privileges or without.
const NAMESPACES: [&str; 2] = ["trusted.overlay.", "user.overlay."];

fn is_one_of(mark: &[u8], wanted: &[&str]) -> bool {
    NAMESPACES.iter().any(|namespace| {
        let name = mark.strip_prefix(namespace.as_bytes());
        name.is_some_and(|name| wanted.iter().any(|wanted| wanted.as_bytes() == name))
    })
}

/// The names of all extended attributes, as the system bounds them (64 KiB); most entries have none.
fn marks(entry: BorrowedFd<'_>) -> Vec<Vec<u8>> {
    let mut few = [0_u8; 512];
    let names = match flistxattr(entry, &mut few[..]) {
        Ok(length) => few[..length].to_vec(),
        Err(Errno::RANGE) => {
            let mut many = vec![0; 1 << 16];
            let length = flistxattr(entry, &mut many[..]).unwrap_or(0);
            many.truncate(length);
            many
        }
        Err(_) => return Vec::new(),
    };
    names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}
