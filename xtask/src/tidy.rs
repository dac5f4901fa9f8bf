//! The rules of the house that no compiler checks. Every finding names the file, the rule and the way out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// Which of our crates each crate may depend on. A new crate or edge is a commit of its own.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("sandbox", &[]),
    ("seal", &["model"]),
    ("trust", &["model"]),
    ("workspace", &["model", "seal"]),
    ("worker", &["model"]),
    ("agent", &["model"]),
    ("engine", &["model", "seal", "trust", "workspace"]),
    ("knowledge", &["model", "workspace", "engine"]),
    ("gate", &["model", "trust", "engine", "knowledge"]),
    ("embedded", &["model", "seal", "trust", "workspace", "sandbox", "engine"]),
    ("server", &["model", "trust", "engine", "knowledge"]),
    (
        "remit",
        &[
            "model",
            "sandbox",
            "seal",
            "trust",
            "workspace",
            "worker",
            "agent",
            "engine",
            "knowledge",
            "gate",
            "embedded",
            "server",
        ],
    ),
    ("xtask", &[]),
];

/// The outside crates that the narrow crates may depend on.
const NARROW: &[(&str, &[&str])] = &[
    ("model", &["schemars", "serde", "serde_json", "thiserror", "uuid"]),
    ("trust", &["schemars", "serde", "serde_json", "thiserror"]),
    ("sandbox", &["libc", "rustix", "thiserror"]),
    ("worker", &["rustix"]),
];

/// Crates without an HTTP client in their own dependencies.
const NO_HTTP_CLIENT: &[&str] = &["model", "sandbox", "trust", "workspace", "engine", "embedded"];

/// Words that a name must not be made of: each hides what the thing is.
const BANNED_WORDS: &[&str] = &["manager", "helper", "helpers", "util", "utils", "misc", "impl_"];

const LINES_MAX: usize = 600;

/// Says all that is not tidy, or nothing.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let findings = findings(root)?;
    if findings.is_empty() { Ok(()) } else { bail!("not tidy:\n{}", findings.join("\n")) }
}

fn findings(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    manifests(root, &mut found)?;
    sources(root, &mut found)?;
    error_pages(root, &mut found);
    goldens(root, &mut found)?;
    readmes(root, &mut found)?;
    Ok(found)
}

fn manifests(root: &Path, found: &mut Vec<String>) -> anyhow::Result<()> {
    let edges: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let narrow: BTreeMap<_, _> = NARROW.iter().copied().collect();
    for folder in crate_folders(root)? {
        let name = file_name(&folder);
        let Some(allowed) = edges.get(name.as_str()) else {
            found.push(format!("{name}: a new crate; add it to EDGES in xtask/src/tidy.rs"));
            continue;
        };
        for dependency in dependencies(&folder)? {
            if edges.contains_key(dependency.as_str()) {
                if !allowed.contains(&dependency.as_str()) {
                    found.push(format!("{name} must not depend on {dependency}"));
                }
            } else if narrow.get(name.as_str()).is_some_and(|n| !n.contains(&dependency.as_str())) {
                found.push(format!("{name} is a narrow crate and must not depend on {dependency}"));
            }
            let client = ["reqwest", "ureq", "hyper"].contains(&dependency.as_str());
            if client && NO_HTTP_CLIENT.contains(&name.as_str()) {
                found.push(format!("{name} has no HTTP client; {dependency} is one"));
            }
        }
    }
    Ok(())
}

fn crate_folders(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![root.join("xtask")];
    for entry in fs::read_dir(root.join("crates")).context("no folder `crates`")? {
        folders.push(entry?.path());
    }
    folders.sort();
    Ok(folders)
}

fn dependencies(folder: &Path) -> anyhow::Result<Vec<String>> {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let manifest: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    let table = manifest.get("dependencies").and_then(toml::Value::as_table);
    Ok(table.into_iter().flat_map(|table| table.keys().cloned()).collect())
}

fn sources(root: &Path, found: &mut Vec<String>) -> anyhow::Result<()> {
    for path in rust_files(root)? {
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path).with_context(|| shown.clone())?;
        let test = shown.contains("/tests/") || shown.contains("/examples/");
        if !text.starts_with("//!") && !test {
            found.push(format!("{shown}: say at its head, with //!, what it is"));
        }
        let lines = text.split("#[cfg(test)]").next().unwrap_or("").lines().count();
        if lines > LINES_MAX && !test {
            found.push(format!("{shown}: {lines} lines; which second noun lives in it?"));
        }
        if shown != "xtask/src/tidy.rs" {
            lines_of(&shown, &text, found);
        }
    }
    Ok(())
}

fn lines_of(shown: &str, text: &str, found: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        let at = format!("{shown}:{}", number + 1);
        if ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("].iter().any(|w| line.contains(w)) {
            found.push(format!("{at}: finish it, or file it as an issue"));
        }
        if line.contains("#[ignore") {
            found.push(format!("{at}: a test that is not run proves nothing"));
        }
        let code = line.split("//").next().unwrap_or("");
        if code.contains("unsafe {") && !shown.starts_with("crates/sandbox/") {
            found.push(format!("{at}: unsafe lives in crate `sandbox` alone"));
        }
        if code.contains("async_trait]") && !may_async_trait(shown) {
            found.push(format!("{at}: async_trait stands at ports only"));
        }
        if let Some(name) = defined_name(code)
            && BANNED_WORDS.iter().any(|word| has_word(&name, word))
        {
            found.push(format!("{at}: `{name}` says nothing; name what it is"));
        }
    }
}

/// Ports, the suites that check them, and the adapters that stand behind them.
fn may_async_trait(shown: &str) -> bool {
    [
        "crates/engine/src/port/",
        "crates/engine/src/conformance/",
        "crates/embedded/src/",
        "crates/gate/src/",
    ]
    .iter()
    .any(|place| shown.starts_with(place))
        || shown.contains("/tests")
}

fn defined_name(code: &str) -> Option<String> {
    let code = code.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
    let rest = ["fn ", "struct ", "enum ", "trait ", "mod ", "async fn "]
        .iter()
        .find_map(|keyword| code.strip_prefix(keyword))?;
    Some(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
}

fn has_word(name: &str, word: &str) -> bool {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake.split('_').any(|part| part == word)
}

fn rust_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("xtask")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() && file_name(&path) != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Every stable error code of the public API has a page for the person who meets it.
fn error_pages(root: &Path, found: &mut Vec<String>) {
    let path = root.join("crates/server/src/problem.rs");
    let text = fs::read_to_string(path).unwrap_or_default();
    for line in text.lines() {
        let Some(code) = line.split("code: \"").nth(1).and_then(|rest| rest.split('"').next())
        else {
            continue;
        };
        let page = root.join("docs/errors").join(format!("{code}.md"));
        if !page.exists() {
            found.push(format!("the error `{code}` has no page docs/errors/{code}.md"));
        }
    }
}

/// What was once written or sent stays readable: a golden is added, never edited.
fn goldens(root: &Path, found: &mut Vec<String>) -> anyhow::Result<()> {
    let log = Command::new("git")
        .args(["log", "--diff-filter=MDR", "--name-only", "--format=", "--"])
        .arg("crates/model/goldens")
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    for name in String::from_utf8_lossy(&log.stdout).lines().filter(|line| !line.is_empty()) {
        found.push(format!("{name}: a golden is added, never edited"));
    }
    Ok(())
}

fn readmes(root: &Path, found: &mut Vec<String>) -> anyhow::Result<()> {
    for folder in crate_folders(root)? {
        if folder.join("README.md").exists() {
            found.push(format!("{}: the //! of lib.rs is the README", folder.display()));
        }
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let found = findings(&crate::root()).expect("the sources can be read");
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn a_banned_word_is_found_in_any_case() {
        assert_eq!(defined_name("pub struct TaskManager {").as_deref(), Some("TaskManager"));
        assert!(has_word("TaskManager", "manager") && has_word("string_utils", "utils"));
        assert!(!has_word("Managed", "manager"));
    }
}
