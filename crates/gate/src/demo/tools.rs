//! Picks, among the tools a request offers, the one that does what a command needs, and fills in its
//! arguments under its own names.

use serde_json::{Map, Value};

use super::conversation::{Conversation, Tool};

const PATHS: &[&str] = &["path", "file_path", "filePath", "filename", "file"];
const CONTENTS: &[&str] = &["content", "contents", "file_text", "text"];
const COMMANDS: &[&str] = &["command", "cmd"];
const PATTERNS: &[&str] = &["pattern"];

/// A call of a tool, before it has an id.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) tool: String,
    pub(super) arguments: Map<String, Value>,
}

/// The tools of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Toolbox<'a> {
    tools: &'a [Tool],
    cwd: &'a str,
}

/// What a tool is for, and how it is recognised.
struct Role {
    /// Names that say it alone.
    names: &'static [&'static str],
    /// Parts of other names that may mean it; empty: any name.
    parts: &'static [&'static str],
    /// The arguments it takes: one of each.
    takes: &'static [&'static [&'static str]],
}

const WRITE: Role = Role {
    names: &["write_file", "Write", "write"],
    parts: &["write", "create"],
    takes: &[PATHS, CONTENTS],
};
const READ: Role =
    Role { names: &["read_file", "Read", "read"], parts: &["read", "view"], takes: &[PATHS] };
const RUN: Role = Role { names: &["run", "Bash", "bash", "shell"], parts: &[], takes: &[COMMANDS] };
const SEARCH: Role =
    Role { names: &["search", "Grep", "grep"], parts: &["search", "grep"], takes: &[PATTERNS] };

impl<'a> Toolbox<'a> {
    pub(super) fn of(conversation: &'a Conversation) -> Self {
        Self { tools: &conversation.tools, cwd: conversation.cwd() }
    }

    pub(super) fn write(self, path: &str, text: &str) -> Option<Call> {
        self.call(&WRITE, &[path, text])
    }

    pub(super) fn read(self, path: &str) -> Option<Call> {
        self.call(&READ, &[path])
    }

    pub(super) fn run(self, command: &str) -> Option<Call> {
        self.call(&RUN, &[command])
    }

    /// Tools called after grep take patterns; others take the text as it is.
    pub(super) fn search(self, word: &str) -> Option<Call> {
        let grep = self.find(&SEARCH)?.name.to_ascii_lowercase().contains("grep");
        let pattern = if grep { literal(word) } else { word.to_owned() };
        self.call(&SEARCH, &[&pattern])
    }

    /// The tool of this name. Agents put words of their own before the name of a tool that is not
    /// theirs, each with its own marks between: so its words must end with those that are said.
    pub(super) fn named(self, name: &str, arguments: &Map<String, Value>) -> Option<Call> {
        let said = words(name);
        let ends = |tool: &&Tool| !said.is_empty() && words(&tool.name).ends_with(&said);
        let exact = self.tools.iter().find(|tool| tool.name == name);
        let found = exact.or_else(|| self.tools.iter().find(ends))?;
        Some(Call { tool: found.name.clone(), arguments: arguments.clone() })
    }

    fn call(self, role: &Role, values: &[&str]) -> Option<Call> {
        let tool = self.find(role)?;
        let mut arguments = Map::new();
        for (names, value) in role.takes.iter().zip(values) {
            let name = tool.takes(names)?;
            arguments.insert(name.to_owned(), self.value(name, value).into());
        }
        if tool.properties.iter().any(|name| name == "output_mode") {
            arguments.insert("output_mode".to_owned(), "content".into());
        }
        if tool.required.iter().any(|name| name == "description") {
            arguments.insert("description".to_owned(), super::TITLE.into());
        }
        Some(Call { tool: tool.name.clone(), arguments })
    }

    fn find(self, role: &Role) -> Option<&'a Tool> {
        let fits = |tool: &&Tool| tool.fits(role);
        let named = role
            .names
            .iter()
            .find_map(|name| self.tools.iter().filter(fits).find(|tool| tool.name == *name));
        named.or_else(|| {
            self.tools.iter().filter(fits).find(|tool| {
                let name = tool.name.to_ascii_lowercase();
                role.parts.is_empty() || role.parts.iter().any(|part| name.contains(part))
            })
        })
    }

    /// `file_path` is the name under which agents want absolute paths.
    fn value(self, name: &str, value: &str) -> String {
        if matches!(name, "file_path" | "filePath") && !value.starts_with('/') {
            return format!("{}/{value}", self.cwd.trim_end_matches('/'));
        }
        value.to_owned()
    }
}

impl Tool {
    fn takes(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.properties.iter().any(|known| known == name))
    }

    /// Whether it takes what the role gives, and asks for nothing else.
    fn fits(&self, role: &Role) -> bool {
        let given = |required: &String| {
            required == "description"
                || role.takes.iter().any(|names| names.contains(&required.as_str()))
        };
        role.takes.iter().all(|names| self.takes(names).is_some())
            && self.required.iter().all(given)
    }
}

/// The words of a name, without what stands between them.
fn words(name: &str) -> Vec<String> {
    let parts = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    parts.filter(|part| !part.is_empty()).map(str::to_ascii_lowercase).collect()
}

/// A pattern that finds this word and nothing else.
fn literal(word: &str) -> String {
    let mut pattern = String::with_capacity(word.len());
    for letter in word.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// A word that a shell takes as it is.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(name: &str, properties: &[&str], required: &[&str]) -> Tool {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Tool { name: name.into(), properties: owned(properties), required: owned(required) }
    }

    fn check(call: Option<Call>, name: &str, arguments: &Value) {
        let call = call.expect(name);
        assert_eq!((call.tool.as_str(), &Value::Object(call.arguments)), (name, arguments));
    }

    #[test]
    fn the_tools_of_the_built_in_agent_are_picked() {
        let tools = [
            tool("read_file", &["path"], &["path"]),
            tool("write_file", &["path", "content"], &["path", "content"]),
            tool("edit_file", &["path", "old", "new"], &["path", "old", "new"]),
            tool("search", &["pattern", "path"], &["pattern"]),
            tool("run", &["command"], &["command"]),
        ];
        let toolbox = Toolbox { tools: &tools, cwd: "/workspace" };
        check(toolbox.write("a", "b"), "write_file", &json!({"path": "a", "content": "b"}));
        check(toolbox.read("a"), "read_file", &json!({"path": "a"}));
        check(toolbox.run("ls"), "run", &json!({"command": "ls"}));
        check(toolbox.search("a.b"), "search", &json!({"pattern": "a.b"}));
    }

    #[test]
    fn the_tools_of_claude_code_are_picked() {
        let tools = [
            tool("Agent", &["description", "prompt"], &["description", "prompt"]),
            tool("Bash", &["command", "timeout", "description"], &["command"]),
            tool("Grep", &["pattern", "path", "output_mode"], &["pattern"]),
            tool("Read", &["file_path", "offset"], &["file_path"]),
            tool("ToolSearch", &["query", "max_results"], &["query"]),
            tool("Write", &["file_path", "content"], &["file_path", "content"]),
        ];
        let toolbox = Toolbox { tools: &tools, cwd: "/workspace" };
        check(
            toolbox.write("a", "b"),
            "Write",
            &json!({"file_path": "/workspace/a", "content": "b"}),
        );
        check(toolbox.read("/etc/passwd"), "Read", &json!({"file_path": "/etc/passwd"}));
        check(toolbox.run("ls"), "Bash", &json!({"command": "ls"}));
        check(
            toolbox.search("a.b"),
            "Grep",
            &json!({"pattern": "a\\.b", "output_mode": "content"}),
        );
    }

    #[test]
    fn strange_tools_are_picked_by_their_schema_or_not_at_all() {
        let tools = [
            tool("editor", &["command", "path", "file_text"], &["command", "path"]),
            tool("execute", &["cmd", "description"], &["cmd", "description"]),
            tool("mcp__fs__createFile", &["filename", "text"], &[]),
        ];
        let toolbox = Toolbox { tools: &tools, cwd: "/workspace" };
        check(
            toolbox.run("ls"),
            "execute",
            &json!({"cmd": "ls", "description": super::super::TITLE}),
        );
        check(
            toolbox.write("a", "b"),
            "mcp__fs__createFile",
            &json!({"filename": "a", "text": "b"}),
        );
        assert_eq!(toolbox.read("a"), None);
        assert_eq!(toolbox.search("a"), None);
    }

    #[test]
    fn a_tool_is_found_by_its_name_whatever_an_agent_puts_before_it() {
        let tools = ["search", "mcp__workspace__search", "workspace_links", "mcp_a-b_research"];
        let tools = tools.map(|name| tool(name, &["query"], &["query"]));
        let toolbox = Toolbox { tools: &tools, cwd: "/workspace" };
        let called = |name: &str| {
            let call = toolbox.named(name, &Map::new());
            call.map(|call| call.tool)
        };
        for (name, expected) in [
            ("workspace.search", Some("mcp__workspace__search")),
            ("workspace.links", Some("workspace_links")),
            ("search", Some("search")),
            ("b.research", Some("mcp_a-b_research")),
            ("workspace.delete", None),
            ("...", None),
        ] {
            assert_eq!(called(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_shell_takes_a_quoted_word_as_it_is() {
        assert_eq!(quoted("a'; rm -rf /; '"), r"'a'\''; rm -rf /; '\'''");
    }
}
