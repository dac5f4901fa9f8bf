//! Every setting there is: its name, what it may be, and what it is where nobody says.

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Never printed; may also be given as the path of a file that holds it.
    Secret,
    /// Separated by commas.
    List,
    Number {
        min: u64,
        max: u64,
    },
    Choice(&'static [&'static str]),
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Option<&'static str>,
    pub(crate) about: &'static str,
}

const fn setting(
    key: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    about: &'static str,
) -> Setting {
    Setting { key, kind, default, about }
}

/// Millionths of money.
const PRICE: Kind = Kind::Number { min: 0, max: 1_000_000_000_000 };
const AMOUNT: Kind = Kind::Number { min: 0, max: 1_000_000_000_000_000 };

const SECONDS: Kind = Kind::Number { min: 1, max: 604_800 };

/// Every setting, in the order they are shown.
pub(crate) const SETTINGS: &[Setting] = &[
    setting("server.data", Kind::Text, None, "the folder that holds everything"),
    setting("server.listen", Kind::Text, Some("127.0.0.1:7070"), "address and port; port 0: any"),
    setting("server.hosts", Kind::List, None, "names under which the server is reached"),
    setting("server.base_path", Kind::Text, Some("/"), "the path under which it is reached"),
    setting(
        "backend.kind",
        Kind::Choice(&["native", "process"]),
        Some("native"),
        "what builds sandboxes; `process` does not isolate and is for development",
    ),
    setting(
        "storage.encryption",
        Kind::Choice(&["true", "false"]),
        Some("false"),
        "whether workspaces, conversations and streams are encrypted at rest",
    ),
    setting(
        "storage.key_file",
        Kind::Text,
        None,
        "the file of the master key; `master.key` in the data folder where absent",
    ),
    setting(
        "storage.memory",
        Kind::Text,
        None,
        "the folder, in memory, where encrypted workspaces are open; below /dev/shm where absent",
    ),
    setting("backend.worker", Kind::Text, None, "the worker program; beside `remit` where absent"),
    setting(
        "model.url",
        Kind::Text,
        None,
        "a model endpoint; `auto`: a model server of this machine",
    ),
    setting(
        "model.api",
        Kind::Choice(&["openai", "responses", "anthropic", "gemini"]),
        Some("openai"),
        "the dialect of the endpoint",
    ),
    setting("model.name", Kind::Text, None, "the model that is asked for"),
    setting(
        "model.max_tokens",
        Kind::Number { min: 1, max: 10_000_000 },
        None,
        "the most tokens that the endpoint takes as the limit of an answer",
    ),
    setting("model.key", Kind::Secret, None, "the key of the endpoint; no agent ever sees it"),
    setting(
        "model.input_price",
        PRICE,
        None,
        "a million tokens of requests to the endpoint, in millionths of money",
    ),
    setting(
        "model.cached_price",
        PRICE,
        None,
        "those of them that a cache had; the same if absent",
    ),
    setting("model.output_price", PRICE, None, "a million tokens of answers"),
    setting(
        "model.persons",
        Kind::List,
        None,
        "hosts whose model endpoints people may bring, as `@vendors`; none where absent",
    ),
    setting("chat.runner", Kind::Text, Some("remit"), "the runner of a new conversation"),
    setting("limits.idle_s", Kind::Number { min: 0, max: 86_400 }, Some("300"), "idle sandboxes"),
    setting("limits.turn_s", Kind::Number { min: 1, max: 86_400 }, Some("1800"), "one turn"),
    setting(
        "limits.permission_s",
        Kind::Number { min: 1, max: 86_400 },
        Some("300"),
        "a question of an agent; then it is refused",
    ),
    setting(
        "limits.stop_s",
        Kind::Number { min: 1, max: 3_600 },
        Some("5"),
        "an agent that is to stop its turn; then its sandbox is ended",
    ),
    setting("limits.lifetime_s", SECONDS, Some("21600"), "one sandbox"),
    setting(
        "limits.memory_mib",
        Kind::Number { min: 16, max: 1 << 20 },
        Some("2048"),
        "memory of one sandbox",
    ),
    setting(
        "limits.pids",
        Kind::Number { min: 4, max: 32_768 },
        Some("512"),
        "processes and threads of one sandbox",
    ),
    setting(
        "limits.scratch_mib",
        Kind::Number { min: 1, max: 1 << 20 },
        Some("1024"),
        "what one sandbox may write",
    ),
    setting(
        "limits.scratch_files",
        Kind::Number { min: 100, max: 10_000_000 },
        Some("200000"),
        "files and folders that one sandbox may make",
    ),
    setting(
        "limits.away_s",
        Kind::Number { min: 1, max: 86_400 },
        Some("60"),
        "sandboxes whose server is gone",
    ),
    setting(
        "limits.live",
        Kind::Number { min: 1, max: 100_000 },
        Some("1000"),
        "sandboxes alive at once",
    ),
    setting(
        "limits.live_per_person",
        Kind::Number { min: 1, max: 10_000 },
        Some("20"),
        "sandboxes of the seeded person alive at once",
    ),
    setting(
        "limits.proposal_days",
        Kind::Number { min: 1, max: 3_650 },
        Some("30"),
        "how long a proposal can be approved",
    ),
    setting("budget.dispatch_requests", AMOUNT, None, "calls of models of one dispatch"),
    setting("budget.dispatch_tokens", AMOUNT, None, "tokens of one dispatch, in and out"),
    setting("budget.dispatch_micros", AMOUNT, None, "what one dispatch may cost, in millionths"),
    setting("budget.person_day_requests", AMOUNT, None, "calls for one person in a day of UTC"),
    setting("budget.person_day_tokens", AMOUNT, None, "tokens for one person in a day"),
    setting("budget.person_day_micros", AMOUNT, None, "what one person may cost in a day"),
    setting("budget.server_day_requests", AMOUNT, None, "calls for everybody in a day"),
    setting("budget.server_day_tokens", AMOUNT, None, "tokens for everybody in a day"),
    setting("budget.server_day_micros", AMOUNT, None, "what everybody may cost in a day"),
    setting(
        "workspaces.remotes",
        Kind::List,
        None,
        "hosts whose repositories workspaces may follow, as `github.com`; none where absent",
    ),
    setting(
        "workspaces.known_hosts",
        Kind::Text,
        None,
        "the file that pins the keys of hosts reached by ssh, as OpenSSH's; none is known if absent",
    ),
    setting(
        "recording.allowed",
        Kind::Choice(&["no", "yes"]),
        Some("no"),
        "whether what models are asked and answer may be kept, where a dispatch asks for it",
    ),
    setting(
        "log.filter",
        Kind::Text,
        None,
        "what is logged, as `info` or `engine=debug`; `info` by `up`, `warn` by others",
    ),
    setting("log.format", Kind::Choice(&["text", "json"]), Some("text"), "how it is logged"),
    setting("endpoint.key", Kind::Secret, None, "the key that `remit endpoint add` sends"),
    setting("client.url", Kind::Text, None, "the server that commands talk to"),
    setting("client.key", Kind::Secret, None, "the key that commands use"),
    setting(
        "client.answer_s",
        Kind::Number { min: 1, max: 3_600 },
        Some("30"),
        "how long commands wait for an answer that is no stream",
    ),
];

/// The setting of this name.
pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The setting that was probably meant.
pub(crate) fn nearest(key: &str) -> Option<&'static str> {
    let near = SETTINGS.iter().map(|setting| (distance(key, setting.key), setting.key)).min()?;
    (near.0 <= 3 || near.0 * 3 <= key.len()).then_some(near.1)
}

/// How many letters must be added, removed or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let change = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_setting_finds_its_neighbour() {
        assert_eq!(nearest("server.lisen"), Some("server.listen"));
        assert_eq!(nearest("modle.url"), Some("model.url"));
        assert_eq!(nearest("zzz"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
