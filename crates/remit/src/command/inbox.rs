//! `remit inbox …`.

use model::FileDiff;
use model::diff::LineKind;
use serde_json::{Value, json};

use crate::cli::Inbox;
use crate::client::{escaped, with_query};
use crate::config::Config;
use crate::say::{self, safe};

pub(crate) async fn run(config: &Config, verb: Inbox, as_json: bool) -> anyhow::Result<()> {
    let client = super::client(config)?;
    let of = |id: &str, verb: &str| format!("/agent/proposals/{}{verb}", escaped(id));
    match verb {
        Inbox::Ls { state, workspace, .. } => {
            let query = [("state", state.as_deref()), ("workspace", workspace.as_deref())];
            let list = client.get(&with_query("/agent/proposals", &query)).await?;
            let proposals = list["proposals"].as_array().cloned().unwrap_or_default();
            say::list(&proposals, &["id", "state", "workspace_name", "reason", "title"], as_json)
        }
        Inbox::Show { id, .. } => {
            let proposal = client.get(&of(&id, "")).await?;
            if as_json { Ok(say::json(&proposal)?) } else { show(&proposal) }
        }
        Inbox::Approve { id, digest, files, .. } => {
            let mut body = json!({"digest": digest});
            if files.is_empty() {
                body["all"] = true.into();
            } else {
                let files = files.iter().map(|path| json!({"path": path, "all": true}));
                body["files"] = files.collect();
            }
            let decided = client.post(&of(&id, "/approve"), &body).await?;
            told(&decided, &decided["commit"], as_json)
        }
        Inbox::Deny { id, reason, .. } => {
            let decided = client.post(&of(&id, "/deny"), &json!({"reason": reason})).await?;
            told(&decided, &decided["state"], as_json)
        }
    }
}

fn told(answer: &Value, word: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return Ok(say::json(answer)?);
    }
    Ok(say::data(safe(word.as_str().unwrap_or_default()))?)
}

fn show(proposal: &Value) -> anyhow::Result<()> {
    for field in ["id", "state", "workspace_name", "reason", "title", "created", "expires"] {
        say::data(format!("{field}: {}", safe(proposal[field].as_str().unwrap_or("-"))))?;
    }
    let files: Vec<FileDiff> = serde_json::from_value(proposal["files"].clone())?;
    for file in files {
        let from = file.from.map(|from| format!("{} -> ", safe(&from))).unwrap_or_default();
        let mut marks = file.flags;
        marks.extend(file.conflict.then(|| "conflict".to_owned()));
        marks.extend(file.binary.then(|| "binary".to_owned()));
        marks.extend(file.too_large.then(|| "too large to show".to_owned()));
        let marks =
            if marks.is_empty() { String::new() } else { format!("  [{}]", marks.join(", ")) };
        let status = serde_json::to_value(file.status)?;
        let status = status.as_str().unwrap_or_default();
        say::data(format!("\n{status} {from}{}{marks}", safe(&file.path)))?;
        for hunk in file.hunks {
            let (old, new) = ((hunk.old_start, hunk.old_lines), (hunk.new_start, hunk.new_lines));
            say::data(format!(
                "@@ -{},{} +{},{} @@ hunk {}",
                old.0, old.1, new.0, new.1, hunk.index
            ))?;
            for line in hunk.lines {
                let mark = match line.kind {
                    LineKind::Kept => ' ',
                    LineKind::Removed => '-',
                    LineKind::Added => '+',
                };
                say::data(format!("{mark}{}", safe(&line.text)))?;
            }
        }
    }
    let digest = proposal["digest"].as_str().unwrap_or_default();
    if !digest.is_empty() {
        say::data(format!("\ndigest: {}", safe(digest)))?;
        say::talk("approve it with `remit inbox approve ID --digest DIGEST`");
    }
    Ok(())
}
