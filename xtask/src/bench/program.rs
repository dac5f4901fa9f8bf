//! Measurements that are a program of the crate they measure: an example that prints one JSON object.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::Figure;

/// Builds and runs the example of a crate with `--json`; every number it prints is a figure.
pub(crate) fn example(root: &Path, package: &str, name: &str) -> anyhow::Result<Vec<Figure>> {
    let output = Command::new("cargo")
        .args(["run", "--quiet", "--release", "--package", package, "--example", name])
        .args(["--", "--json"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "the example `{name}` of `{package}` failed");
    let text = String::from_utf8(output.stdout).context("the example printed no text")?;
    let value: Value = serde_json::from_str(text.trim()).context("the example printed no JSON")?;
    let mut figures = Vec::new();
    flatten("", &value, &mut figures);
    ensure!(!figures.is_empty(), "the example `{name}` of `{package}` printed no figure");
    Ok(figures)
}

/// Every number of a value as a figure, by its path.
pub(super) fn flatten(path: &str, value: &Value, figures: &mut Vec<Figure>) {
    match value {
        Value::Number(number) => {
            figures.extend(number.as_f64().map(|value| Figure::new(path, value)));
        }
        Value::Object(map) => {
            for (key, inner) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, inner, figures);
            }
        }
        _ => {}
    }
}
