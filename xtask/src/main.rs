//! Tasks of the repository: ci, tidy, bench. Not shipped.
fn main() {}
