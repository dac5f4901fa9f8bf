//! The pages: makes the snapshot that is built into the program.
//!
//! Beside `e2e` the only task that needs npm. Everything else builds from what is committed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// What the snapshot was made from, beside it.
const SEAL: &str = "dist/sources.sha256";
/// The program that installs and builds pages.
pub(crate) const NPM: &str = "npm";
/// What a browser loads before it shows the chat, in bytes, compressed.
const FIRST_LOAD_MAX: usize = 200 << 10;

/// Makes `web/dist` anew from `web/`.
pub(crate) fn dist(root: &Path) -> anyhow::Result<()> {
    let web = root.join("web");
    let install = &["ci", "--no-audit", "--no-fund"][..];
    for step in [install, &["run", "types"], &["run", "check"], &["test"], &["run", "build"]] {
        npm(NPM, &web, step)?;
    }
    let size = first_load(&web)?;
    ensure!(size <= FIRST_LOAD_MAX, "the first load is {size} bytes, more than {FIRST_LOAD_MAX}");
    fs::write(web.join(SEAL), seal(&web)?).context("cannot write the seal")?;
    say(&format!("web/dist is made; the first load is {} KiB", size >> 10));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of a task")]
fn say(line: &str) {
    println!("{line}");
}

/// Runs npm, which must be there.
pub(crate) fn npm(program: &str, folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(program).args(arguments).current_dir(folder).status();
    let status = status.context("cannot run npm: install Node 20 or newer")?;
    ensure!(status.success(), "`npm {}` failed in {}", arguments.join(" "), folder.display());
    Ok(())
}

/// The hash of all that the snapshot is made from.
fn seal(web: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for (name, path) in sources(web)? {
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        hash.update(format!("{name}\0{}\0", bytes.len()));
        hash.update(&bytes);
    }
    Ok(hex(&hash.finalize()) + "\n")
}

fn hex(digest: &[u8]) -> String {
    let hex: Vec<_> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.concat()
}

/// What decides the snapshot, by name; the tests of the pages do not.
fn sources(web: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![web.join("src"), web.join("public")];
    for file in ["index.html", "package.json", "package-lock.json", "svelte.config.js"] {
        found.insert(file.to_owned(), web.join(file));
    }
    for file in ["tsconfig.json", "vite.config.ts"] {
        found.insert(file.to_owned(), web.join(file));
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(web)?.to_string_lossy().into_owned();
                found.insert(name, path);
            }
        }
    }
    Ok(found)
}

/// What the page, its scripts and styles, and the font weigh when they are sent.
fn first_load(web: &Path) -> anyhow::Result<usize> {
    let dist = web.join("dist");
    let page = fs::read_to_string(dist.join("index.html")).context("no page was made")?;
    let mut names: Vec<String> = named(&page).map(str::to_owned).collect();
    for script in names.clone().iter().filter(|name| name.ends_with(".js")) {
        let text = fs::read_to_string(dist.join(script))?;
        // What a script imports at its head is loaded with it.
        let head = text.split("import{").skip(1).filter_map(|it| it.split("from\"./").nth(1));
        let imported = head.filter_map(|it| it.split('"').next());
        names.extend(imported.map(|name| format!("assets/{name}")));
    }
    for entry in fs::read_dir(dist.join("assets"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".woff2") {
            names.push(format!("assets/{name}"));
        }
    }
    names.sort();
    names.dedup();
    let mut size = page.len();
    for name in names.iter().filter(|name| dist.join(name).is_file()) {
        let mut packed = GzEncoder::new(vec![], Compression::best());
        packed.write_all(&fs::read(dist.join(name))?)?;
        size += packed.finish()?.len();
    }
    Ok(size)
}

/// The files that a page names.
fn named(page: &str) -> impl Iterator<Item = &str> {
    page.split("\"./").skip(1).filter_map(|rest| rest.split('"').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshot_was_made_from_the_present_sources() {
        let web = crate::root().join("web");
        let kept = fs::read_to_string(web.join(SEAL)).unwrap_or_default();
        let now = seal(&web).expect("the sources can be read");
        assert_eq!(kept, now, "web/dist is old: run `cargo xtask dist` and commit what it makes");
    }

    #[test]
    fn the_types_of_the_pages_are_those_that_the_api_is_described_with() {
        let root = crate::root();
        let types = fs::read_to_string(root.join("web/src/lib/api.gen.ts")).expect("readable");
        let described = fs::read(root.join("docs/openapi.json")).expect("readable");
        let now = hex(&Sha256::digest(described));
        assert!(types.contains(&now), "the types are old: run `cargo xtask dist` and commit them");
    }

    #[test]
    fn the_first_load_is_within_its_budget() {
        let size = first_load(&crate::root().join("web")).expect("readable");
        assert!((50 << 10..=FIRST_LOAD_MAX).contains(&size), "{size} bytes");
    }
}
