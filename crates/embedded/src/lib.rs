//! Every port on this machine, nothing to install.

pub mod lock;
pub mod native;
pub mod process;
pub mod sqlite;
pub mod system;

mod pidfd;
