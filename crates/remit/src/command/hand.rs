//! `remit ws …`: what is done to workspaces by hand.

use std::path::{Path, PathBuf};

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{Hand, Outside, TokenFile};
use crate::client::{Client, escaped, with_query};
use crate::config::Config;
use crate::exit::{Exit, Failed};
use crate::say::{self, safe};

/// The largest file that is read to be written or uploaded, in bytes.
const FILE_BYTES_MAX: u64 = 25 << 20;

/// The longest token that is read, in bytes.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// One command, and the workspace it is about.
struct Desk<'a> {
    client: Client,
    workspace: Option<&'a str>,
    as_json: bool,
}

#[expect(clippy::too_many_lines, reason = "one arm a verb")]
pub(crate) async fn run(config: &Config, verb: Hand, as_json: bool) -> anyhow::Result<()> {
    let client = super::client(config)?;
    let place = verb.place().cloned();
    let workspace = place.as_ref().and_then(|place| place.workspace.as_deref());
    let desk = Desk { client, workspace, as_json };
    match verb {
        Hand::Ls { .. } => desk.list().await,
        Hand::New { name, purpose, template, .. } => {
            let mut body = json!({"name": name});
            add(&mut body, "purpose", purpose);
            add(&mut body, "template", template);
            desk.shown("new", &body, "name").await
        }
        Hand::Clone { name, directory, .. } => clone(config, &name, directory.as_deref(), as_json),
        Hand::Attach { repo, name, outside, .. } => {
            let mut body = outside_body(Some(repo), &outside)?;
            add(&mut body, "name", name);
            desk.remote("attach", &body, "name").await
        }
        Hand::Attached { .. } => desk.attached().await,
        Hand::Swap { repo, outside, .. } => {
            desk.remote("swap", &outside_body(repo, &outside)?, "workspace").await
        }
        Hand::Publish { repo, outside, .. } => {
            desk.remote("publish", &outside_body(Some(repo), &outside)?, "revision").await
        }
        Hand::Push { token, .. } => desk.remote("push", &token_body(&token)?, "revision").await,
        Hand::Pull { token, .. } => desk.remote("pull", &token_body(&token)?, "revision").await,
        Hand::Tree { hidden, at, .. } => desk.tree(hidden, at.as_deref()).await,
        Hand::Cat { path, at, .. } => desk.cat(&path, at.as_deref()).await,
        Hand::Write { path, file, base, .. } => desk.write(&path, file.as_deref(), base).await,
        Hand::Rm { path, base, .. } => {
            let query = [("path", Some(path.as_str())), ("base", base.as_deref())];
            desk.done(Method::DELETE, &desk.path("file", &query), None, "revision").await
        }
        Hand::Upload { files, to, .. } => desk.upload(&files, to.as_deref()).await,
        Hand::Log { path, limit, .. } => desk.log(path.as_deref(), limit).await,
        Hand::Diff { commit, .. } => desk.diff(&commit).await,
        Hand::Revert { commit, .. } => {
            let body = json!({"commit": commit});
            desk.done(Method::POST, &desk.path("revert", &[]), Some(&body), "revision").await
        }
        Hand::Init { template, .. } => {
            let mut body = json!({});
            add(&mut body, "template", template);
            desk.done(Method::POST, &desk.path("init", &[]), Some(&body), "workspace").await
        }
        Hand::Activate { name, .. } => {
            desk.shown("activate", &json!({"workspace": name}), "name").await
        }
        Hand::Deactivate { name, .. } => {
            desk.shown("deactivate", &json!({"workspace": name}), "name").await
        }
        Hand::Delete { name, yes, .. } => desk.delete(&name, yes).await,
        Hand::Purpose { text, .. } => {
            desk.shown("purpose", &json!({"purpose": text}), "purpose").await
        }
        Hand::Members { .. } => {
            let list = desk.get("members", &[]).await?;
            desk.rows(&list["members"], &["user_id", "role", "email", "name"])
        }
        Hand::Role { user, role, .. } => {
            let path = format!("members/{}", escaped(&user));
            desk.done(Method::POST, &desk.path(&path, &[]), Some(&json!({"role": role})), "role")
                .await
        }
        Hand::Remove { user, .. } => {
            let path = format!("members/{}", escaped(&user));
            desk.done(Method::DELETE, &desk.path(&path, &[]), None, "user_id").await
        }
        Hand::Leave { .. } => {
            desk.done(Method::POST, &desk.path("leave", &[]), Some(&json!({})), "left").await
        }
        Hand::Invite { role, emails, expires_s, uses, .. } => {
            let mode = if emails.is_empty() { "open" } else { "restricted" };
            let mut body = json!({"role": role, "mode": mode});
            add(&mut body, "emails", Some(emails).filter(|emails| !emails.is_empty()));
            add(&mut body, "expires_s", expires_s);
            add(&mut body, "uses", uses);
            say::talk("this token is shown once:");
            desk.shown("invites", &body, "token").await
        }
        Hand::Invites { .. } => {
            let list = desk.get("invites", &[]).await?;
            desk.rows(&list["invites"], &["id", "role", "mode", "uses_left", "expires"])
        }
        Hand::Uninvite { id, .. } => {
            let path = format!("invites/{}", escaped(&id));
            desk.done(Method::DELETE, &desk.path(&path, &[]), None, "id").await
        }
        Hand::Join { token, .. } => {
            desk.shown("invites/accept", &json!({"token": token}), "name").await
        }
    }
}

fn add(body: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body[name] = value.into();
    }
}

fn token_body(token: &TokenFile) -> anyhow::Result<Value> {
    let mut body = json!({});
    if let Some(path) = &token.token_file {
        add(&mut body, "token", Some(read_secret("token", path)?));
    }
    Ok(body)
}

/// A secret from a file, or from standard input where it is called `-`.
pub(super) fn read_secret(what: &str, path: &Path) -> anyhow::Result<String> {
    let read = if path.as_os_str() == "-" {
        limited(&mut std::io::stdin().lock())
    } else {
        std::fs::File::open(path).and_then(|mut file| limited(&mut file))
    };
    read.with_context(|| format!("cannot read a {what} from {}", path.display()))
}

fn limited(from: &mut impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(from, TOKEN_BYTES_MAX), &mut text)?;
    Ok(text)
}

fn outside_body(repo: Option<String>, outside: &Outside) -> anyhow::Result<Value> {
    let mut body = token_body(&outside.token)?;
    add(&mut body, "repo", repo);
    add(&mut body, "ref", outside.branch.clone());
    Ok(body)
}

impl Desk<'_> {
    /// Asks for something that is done with an outside repository and may take its time.
    async fn remote(&self, rest: &str, body: &Value, field: &str) -> anyhow::Result<()> {
        let answer = self.client.post_patiently(&self.path(rest, &[]), body).await?;
        if !self.as_json
            && let Some(parked) = answer["parked"]["name"].as_str()
        {
            say::talk(format!("parked: {}", safe(parked)));
        }
        for (field, words) in [
            (
                "proposed",
                "nothing moved there yet: it waits on the other server as a proposal, for its owners to decide",
            ),
            (
                "merged",
                "both sides had gone on, and were merged: push, and the other one has it, too",
            ),
        ] {
            if !self.as_json && answer[field] == true {
                say::talk(words);
            }
        }
        self.told(&answer, answer[field].as_str().or(answer[field]["name"].as_str()))
    }

    async fn attached(&self) -> anyhow::Result<()> {
        let list = self.client.get("/agent/workspace/attached").await?;
        if self.as_json {
            return Ok(say::json(&list)?);
        }
        let mut rows = vec![];
        for state in ["active", "parked"] {
            for workspace in list[state].as_array().into_iter().flatten() {
                let mut row = workspace.clone();
                row["state"] = state.into();
                row["follows"] = workspace["remote"]["repo"].clone();
                row["ref"] = workspace["remote"]["ref"].clone();
                rows.push(row);
            }
        }
        say::list(&rows, &["name", "state", "role", "follows", "ref"], false)
    }

    fn path(&self, rest: &str, query: &[(&str, Option<&str>)]) -> String {
        let workspace = [("workspace", self.workspace)];
        let all: Vec<_> = workspace.into_iter().chain(query.iter().copied()).collect();
        with_query(&format!("/agent/workspace/{rest}"), &all)
    }

    async fn get(&self, rest: &str, query: &[(&str, Option<&str>)]) -> anyhow::Result<Value> {
        self.client.get(&self.path(rest, query)).await
    }

    /// Asks for something to be done, and prints this field of what comes back.
    async fn shown(&self, rest: &str, body: &Value, field: &str) -> anyhow::Result<()> {
        self.done(Method::POST, &self.path(rest, &[]), Some(body), field).await
    }

    async fn done(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        field: &str,
    ) -> anyhow::Result<()> {
        let answer = self.client.ask(method, path, body).await?;
        self.told(&answer, answer[field].as_str())
    }

    /// Prints this of an answer, or all of it as JSON.
    fn told(&self, answer: &Value, text: Option<&str>) -> anyhow::Result<()> {
        if self.as_json {
            return Ok(say::json(answer)?);
        }
        match text {
            Some(text) => Ok(say::data(safe(text))?),
            None => Ok(()),
        }
    }

    fn rows(&self, items: &Value, fields: &[&str]) -> anyhow::Result<()> {
        say::list(&items.as_array().cloned().unwrap_or_default(), fields, self.as_json)
    }

    async fn delete(&self, name: &str, yes: bool) -> anyhow::Result<()> {
        if !yes {
            let what =
                format!("`{name}` would be gone for good, with its history and conversations");
            return Err(Failed::new(Exit::Usage, what).next("say --yes if that is meant").into());
        }
        let path = with_query("/agent/workspace", &[("workspace", Some(name))]);
        self.client.ask(Method::DELETE, &path, None).await?;
        say::talk(format!("`{name}` is gone"));
        Ok(())
    }

    async fn list(&self) -> anyhow::Result<()> {
        let list = self.client.get("/agent/workspaces").await?;
        self.rows(&list["workspaces"], &["name", "role", "active", "id", "purpose"])
    }

    async fn tree(&self, hidden: bool, at: Option<&str>) -> anyhow::Result<()> {
        let hidden = hidden.then_some("1");
        let tree = self.get("tree", &[("hidden", hidden), ("at", at)]).await?;
        self.rows(&tree["entries"], &["kind", "size", "path"])
    }

    async fn cat(&self, path: &str, at: Option<&str>) -> anyhow::Result<()> {
        let file = self.get("file", &[("path", Some(path)), ("at", at)]).await?;
        if self.as_json {
            return Ok(say::json(&file)?);
        }
        match file["content"].as_str() {
            Some(text) => Ok(say::piece(text)?),
            None => {
                Err(Failed::new(Exit::Failed, format!("{} is no text to be shown", safe(path)))
                    .next("clone the workspace to get it: remit ws clone NAME")
                    .into())
            }
        }
    }

    async fn write(
        &self,
        path: &str,
        file: Option<&Path>,
        base: Option<String>,
    ) -> anyhow::Result<()> {
        let bytes = if let Some(file) = file {
            read(file)?
        } else {
            let mut bytes = Vec::new();
            let mut stdin = std::io::Read::take(std::io::stdin().lock(), FILE_BYTES_MAX);
            std::io::Read::read_to_end(&mut stdin, &mut bytes).context("cannot read stdin")?;
            bytes
        };
        let text = String::from_utf8(bytes).map_err(|_| {
            Failed::new(Exit::Usage, "what is to be written is no text")
                .next("use `remit ws upload` for other files")
        })?;
        let mut body = json!({"path": path, "content": text});
        add(&mut body, "base", base);
        self.done(Method::PUT, &self.path("file", &[]), Some(&body), "revision").await
    }

    async fn upload(&self, files: &[PathBuf], to: Option<&str>) -> anyhow::Result<()> {
        let mut form = Form::default();
        if let Some(to) = to {
            form.field("name=\"path\"", to.as_bytes());
        }
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str());
            let name = name.filter(|name| !name.contains(['"', '\r', '\n', '\\']));
            let name = name.ok_or_else(|| {
                Failed::new(Exit::Usage, format!("{} has no name to be sent", file.display()))
            })?;
            form.field(&format!("name=\"file\"; filename=\"{name}\""), &read(file)?);
        }
        let (kind, body) = form.done();
        let answer = self.client.send_form(&self.path("upload", &[]), &kind, body).await?;
        if self.as_json {
            return Ok(say::json(&answer)?);
        }
        self.rows(&answer["files"], &["size", "path"])
    }

    async fn log(&self, path: Option<&str>, limit: Option<u32>) -> anyhow::Result<()> {
        let limit = limit.map(|limit| limit.to_string());
        let log = self.get("log", &[("path", path), ("limit", limit.as_deref())]).await?;
        let mut commits = log["commits"].as_array().cloned().unwrap_or_default();
        if !self.as_json {
            for commit in &mut commits {
                commit["by"] = commit["author"]["name"].clone();
                let short: String =
                    commit["sha"].as_str().unwrap_or_default().chars().take(12).collect();
                commit["commit"] = short.into();
            }
        }
        say::list(&commits, &["commit", "time", "by", "subject"], self.as_json)
    }

    async fn diff(&self, commit: &str) -> anyhow::Result<()> {
        let diff = self.get("diff", &[("commit", Some(commit))]).await?;
        if self.as_json {
            return Ok(say::json(&diff)?);
        }
        for file in diff["files"].as_array().into_iter().flatten() {
            let text = |value: &Value| safe(value.as_str().unwrap_or_default());
            say::data(format!("{} {}", text(&file["status"]), text(&file["path"])))?;
            for hunk in file["hunks"].as_array().into_iter().flatten() {
                say::data(format!("@@ -{} +{} @@", hunk["old_start"], hunk["new_start"]))?;
                for line in hunk["lines"].as_array().into_iter().flatten() {
                    say::data(format!("{}{}", text(&line["kind"]), text(&line["text"])))?;
                }
            }
        }
        Ok(())
    }
}

/// A form with files.
#[derive(Default)]
struct Form(Vec<u8>);

impl Form {
    const BOUNDARY: &'static str = "remit-b0undary-7f3a91c2d4";

    fn field(&mut self, head: &str, content: &[u8]) {
        let boundary = Self::BOUNDARY;
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n");
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(content);
        self.0.extend_from_slice(b"\r\n");
    }

    fn done(mut self) -> (String, Vec<u8>) {
        self.0.extend_from_slice(format!("--{}--\r\n", Self::BOUNDARY).as_bytes());
        (format!("multipart/form-data; boundary={}", Self::BOUNDARY), self.0)
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = file.display();
    let size = std::fs::metadata(file).with_context(|| format!("cannot read {shown}"))?.len();
    if size > FILE_BYTES_MAX {
        let what = format!("{shown} has more than 25 MiB");
        return Err(Failed::new(Exit::Usage, what).next("use git to bring in larger files").into());
    }
    std::fs::read(file).with_context(|| format!("cannot read {shown}"))
}

/// Runs git with the key handed over in its environment: it stands neither in the address, nor in the
/// configuration of the clone, nor among the arguments that others can see.
fn clone(
    config: &Config,
    name: &str,
    directory: Option<&Path>,
    as_json: bool,
) -> anyhow::Result<()> {
    let (url, key) = super::address(config)?;
    let target = directory.map_or_else(|| PathBuf::from(name), Path::to_owned);
    let mut git = std::process::Command::new("git");
    git.args(["clone", "--"])
        .arg(format!("{}/git/{}.git", url.trim_end_matches('/'), escaped(name)))
        .arg(&target)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "http.extraHeader")
        .env("GIT_CONFIG_VALUE_0", format!("X-API-Key: {key}"));
    let status = git.status().map_err(|problem| {
        Failed::new(Exit::Failed, format!("git cannot be run: {problem}"))
            .next("install git, or use `remit ws tree` and `remit ws cat`")
    })?;
    if !status.success() {
        return Err(Failed::new(Exit::Failed, format!("git could not clone {}", safe(name)))
            .next("`remit ws ls` lists your workspaces")
            .into());
    }
    say::talk("git will ask for a password when it pulls or pushes: your key (`remit key show`)");
    Ok(say::path(&target, as_json)?)
}
