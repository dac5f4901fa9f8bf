//! What a reader of a change should look at twice: files that tell an agent what to do, that set it up, or that run
//! by themselves. Says it by the path and the kind alone; forbids nothing.

use crate::{FileEntry, FileMode, TreePath, policy::fold};

/// Why a changed file deserves a second look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// Agents read it as instructions.
    InstructionFile,
    /// It sets an agent or an editor up: tools, permissions, hooks.
    AgentSettings,
    /// Something runs it by itself: a hook of git, an automation, a shell's environment.
    RunsByItself,
    /// It says what git, or the committer, leaves out or changes.
    GitRules,
    /// It may be executed, and could not before.
    Executable,
    /// It is a symbolic link, and was none before.
    Link,
}

impl Flag {
    /// The stable word, such as `instruction_file`.
    pub fn word(self) -> &'static str {
        match self {
            Self::InstructionFile => "instruction_file",
            Self::AgentSettings => "agent_settings",
            Self::RunsByItself => "runs_by_itself",
            Self::GitRules => "git_rules",
            Self::Executable => "executable",
            Self::Link => "link",
        }
    }

    /// The flags of a file that came to stand at `path`, in order.
    pub(crate) fn of(
        path: &TreePath,
        before: Option<FileEntry>,
        after: Option<FileEntry>,
    ) -> Vec<Self> {
        let names: Vec<String> = path.names().map(fold).collect();
        let mut flags: Vec<Self> = [
            (Self::InstructionFile, INSTRUCTIONS),
            (Self::AgentSettings, SETTINGS),
            (Self::RunsByItself, RUNS),
            (Self::GitRules, GIT),
        ]
        .into_iter()
        .filter(|(_, patterns)| patterns.iter().any(|pattern| matches(pattern, &names)))
        .map(|(flag, _)| flag)
        .collect();
        let became = |mode| {
            after.is_some_and(|file| file.mode == mode)
                && before.is_none_or(|file| file.mode != mode)
        };
        flags.extend(became(FileMode::Executable).then_some(Self::Executable));
        flags.extend(became(FileMode::Link).then_some(Self::Link));
        flags
    }
}

/// A name that ends in `/` is a directory, with all below it; others are files. In every directory, in lower case.
const INSTRUCTIONS: &[&str] = &[
    "agents.md",
    "agents.override.md",
    "agent.md",
    "claude.md",
    "claude.local.md",
    "gemini.md",
    "qwen.md",
    "crush.md",
    "warp.md",
    "skill.md",
    ".goosehints",
    ".cursorrules",
    ".windsurfrules",
    ".clinerules",
    ".clinerules/",
    ".rules",
    "copilot-instructions.md",
];

const SETTINGS: &[&str] = &[
    ".mcp.json",
    "mcp.json",
    ".claude/",
    ".claude.json",
    ".codex/",
    ".gemini/",
    ".qwen/",
    ".opencode/",
    "opencode.json",
    "opencode.jsonc",
    ".pi/",
    ".goose/",
    ".agents/",
    ".amp/",
    ".crush.json",
    "crush.json",
    ".cursor/",
    ".windsurf/",
    ".continue/",
    ".cline/",
    ".roo/",
    ".kilocode/",
    ".kiro/",
    ".junie/",
    ".zed/",
    ".vscode/",
    ".idea/",
    ".devcontainer/",
    ".devcontainer.json",
    ".aider.conf.yml",
];

const RUNS: &[&str] = &[
    "hooks/",
    ".hooks/",
    ".githooks/",
    ".husky/",
    ".github/",
    ".gitlab-ci.yml",
    ".circleci/",
    ".pre-commit-config.yaml",
    "lefthook.yml",
    ".envrc",
    ".bashrc",
    ".bash_profile",
    ".profile",
    ".zshrc",
    ".zshenv",
    "conftest.py",
    "sitecustomize.py",
    "makefile",
    "justfile",
    "package.json",
];

const GIT: &[&str] = &[".gitignore", ".gitattributes", ".mailmap", ".lfsconfig"];

fn matches(pattern: &str, names: &[String]) -> bool {
    match pattern.strip_suffix('/') {
        Some(directory) => names.iter().rev().skip(1).any(|name| name == directory),
        None => names.last().is_some_and(|name| name == pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobId;

    fn check(path: &str, expected: &[Flag]) {
        let file = |mode| Some(FileEntry { mode, blob: BlobId::new([1; 20]) });
        let path = TreePath::new(path).unwrap();
        let before = file(FileMode::Plain);
        assert_eq!(Flag::of(&path, before, before), expected, "{path}");
        let with = |flag| [expected, &[flag]].concat();
        let executable = file(FileMode::Executable);
        assert_eq!(Flag::of(&path, before, executable), with(Flag::Executable), "{path}");
        assert_eq!(Flag::of(&path, executable, executable), expected, "{path}");
        assert_eq!(Flag::of(&path, None, file(FileMode::Link)), with(Flag::Link), "{path}");
        assert_eq!(Flag::of(&path, executable, None), expected, "{path}");
    }

    #[test]
    fn what_an_agent_obeys_or_what_runs_is_flagged_wherever_it_stands() {
        check("AGENTS.md", &[Flag::InstructionFile]);
        check("notes/Claude.MD", &[Flag::InstructionFile]);
        check("a/.claude/settings.local.json", &[Flag::AgentSettings]);
        check(".claude/hooks/stop.sh", &[Flag::AgentSettings, Flag::RunsByItself]);
        check(".claude/CLAUDE.md", &[Flag::InstructionFile, Flag::AgentSettings]);
        check(".mcp.json", &[Flag::AgentSettings]);
        check(".cursor/rules/x.mdc", &[Flag::AgentSettings]);
        check(".github/workflows/ci.yml", &[Flag::RunsByItself]);
        check("d/.gitignore", &[Flag::GitRules]);
        for plain in ["notes/agents.md.txt", "claude", "my.claude/x", "hooks", "a.md"] {
            check(plain, &[]);
        }
    }
}
