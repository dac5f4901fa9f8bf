//! Puts the pages of `web/dist` into the program, compressed. Runs no npm and asks no network: the
//! folder is a committed snapshot, which `cargo xtask dist` makes anew.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> io::Result<()> {
    let dist = told("CARGO_MANIFEST_DIR")?.join("../../web/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let out = told("OUT_DIR")?;
    let mut table = "&[\n".to_owned();
    for (at, name) in names(&dist)?.iter().enumerate() {
        let mut packed = GzEncoder::new(vec![], Compression::best());
        packed.write_all(&fs::read(dist.join(name))?)?;
        let file = out.join(format!("page-{at}.gz"));
        fs::write(&file, packed.finish()?)?;
        // Writing to a text cannot fail.
        let _written = writeln!(
            table,
            "    File {{ name: {name:?}, packed: include_bytes!({:?}) }},",
            file.display().to_string(),
        );
    }
    table.push_str("]\n");
    fs::write(out.join("pages.rs"), table)
}

/// A folder that cargo names to a build script when it runs: the checkout may have moved since it was built.
#[expect(clippy::disallowed_methods, reason = "how cargo tells a build script where things are")]
fn told(variable: &str) -> io::Result<PathBuf> {
    Ok(std::env::var_os(variable).ok_or(io::ErrorKind::NotFound)?.into())
}

/// The files that are served: those of the folder and of its `assets`, by their paths in it.
fn names(dist: &Path) -> io::Result<Vec<String>> {
    let mut names = vec![];
    for (folder, prefix) in [(dist.to_owned(), ""), (dist.join("assets"), "assets/")] {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_file() && name != "sources.sha256" {
                names.push(format!("{prefix}{name}"));
            }
        }
    }
    names.sort();
    Ok(names)
}
