//! The runners that are known without configuration. Data: what is run, and under which settings.

use std::collections::BTreeMap;

use model::{ModelApi, Program, Protocol, Runner, RunnerName};

/// The runners that need no configuration: the built-in agent.
pub fn builtin_runners() -> Vec<Runner> {
    vec![remit()]
}

/// The built-in agent. Its session file is `/session/<id>.jsonl`.
fn remit() -> Runner {
    Runner {
        name: name("remit"),
        title: "The built-in agent: small, any model that speaks chat completions".to_owned(),
        version: None,
        program: Program::BuiltIn,
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
        ]),
        protocol: Protocol::Acp,
        model_api: ModelApi::OpenaiChat,
        settings: BTreeMap::new(),
    }
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
