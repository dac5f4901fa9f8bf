//! The runners that are known without configuration. Data: what is run, and under which settings.

use std::collections::BTreeMap;

use model::{ModelApi, Program, Protocol, Runner, RunnerName};

/// The runners that are known without configuration: the built-in agent, and Claude Code from npm,
/// which must be installed first.
pub fn builtin_runners() -> Vec<Runner> {
    vec![remit(), claude_code()]
}

/// The built-in agent. Its session file is `/session/<id>.jsonl`.
fn remit() -> Runner {
    Runner {
        name: name("remit"),
        title: "The built-in agent: small, any model that speaks chat completions".to_owned(),
        version: None,
        program: Program::BuiltIn,
        install: None,
        argv: texts(&["/opt/remit/remit", "agent"]),
        resume_argv: None,
        env: pairs(&[
            ("HOME", "/tmp"),
            ("LANG", "C.UTF-8"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("REMIT_GATE_URL", "{gate}"),
            ("REMIT_MODEL", "{model}"),
            ("REMIT_SESSION", "{session}"),
            ("REMIT_SESSION_FOLDER", "/session"),
            ("TMPDIR", "/tmp"),
        ]),
        protocol: Protocol::Acp,
        model_api: ModelApi::OpenaiChat,
        settings: BTreeMap::new(),
    }
}

/// Claude Code, unmodified, as `npm install @anthropic-ai/claude-code@2.1.330` in the program's folder
/// leaves it. A relative folder stands below the server's data.
///
/// Of what it keeps, its session file alone is in `/session`: its other state is scratch. Nothing in
/// the workspace configures it: no settings, hooks, MCP servers, skills or commands are read from there.
fn claude_code() -> Runner {
    let session = |flag| [&claude_argv()[..], &texts(&[flag, "{session}"])].concat();
    Runner {
        name: name("claude-code"),
        title: "Claude Code 2.1.330 from npm, with any model behind the gate".to_owned(),
        version: Some("2.1.330".to_owned()),
        program: Program::Folder("runners/claude-code".into()),
        install: Some(CLAUDE_INSTALL.to_owned()),
        argv: session("--session-id"),
        resume_argv: Some(session("--resume")),
        env: pairs(&[
            ("ANTHROPIC_API_KEY", "no-key-the-gate-has-it"),
            ("ANTHROPIC_BASE_URL", "{gate}"),
            ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("CLAUDE_CONFIG_DIR", "/tmp/claude"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
            ("DISABLE_TELEMETRY", "1"),
            ("ENABLE_TOOL_SEARCH", "false"),
            ("HOME", "/tmp/home"),
            ("IS_SANDBOX", "1"),
            ("LANG", "C.UTF-8"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("SESSION_FOLDER", "/session"),
            ("TMPDIR", "/tmp"),
        ]),
        protocol: Protocol::ClaudeStreamJson,
        model_api: ModelApi::AnthropicMessages,
        settings: pairs(&[("claude.json", CLAUDE_SETTINGS)]),
    }
}

/// What puts Claude Code into its place, once.
const CLAUDE_INSTALL: &str =
    "npm install --prefix <data>/runners/claude-code @anthropic-ai/claude-code@2.1.330";

/// Settings that outrank those of a workspace, were any read.
const CLAUDE_SETTINGS: &str = "{\"disableAllHooks\":true,\"enableAllProjectMcpServers\":false,\
    \"autoMemoryEnabled\":false,\"includeCoAuthoredBy\":false,\"cleanupPeriodDays\":36500}";

/// Makes the folder of its session files the only one that is kept, then becomes Claude Code.
const CLAUDE_START: &str = "mkdir -p \"$CLAUDE_CONFIG_DIR\" \"$HOME\" \"$SESSION_FOLDER/projects\" \
    && ln -sfn \"$SESSION_FOLDER/projects\" \"$CLAUDE_CONFIG_DIR/projects\" && exec \"$0\" \"$@\"";

fn claude_argv() -> Vec<String> {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let modules = "/opt/runner/node_modules/@anthropic-ai";
    let program = format!("{modules}/claude-code-linux-{arch}/claude");
    let flags = [
        "-p",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--include-partial-messages",
        "--model",
        "{model}",
        "--permission-mode",
        "bypassPermissions",
        "--permission-prompt-tool",
        "stdio",
        "--setting-sources",
        "",
        "--settings",
        "/opt/settings/claude.json",
        "--strict-mcp-config",
        "--disable-slash-commands",
        "--tools",
        "Bash,Edit,Glob,Grep,NotebookEdit,Read,Task,Write",
    ];
    [&texts(&["/bin/sh", "-c", CLAUDE_START, &program])[..], &texts(&flags)].concat()
}

fn name(name: &str) -> RunnerName {
    name.parse().expect("the names of this file are names")
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}
