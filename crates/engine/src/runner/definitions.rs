//! The runners that are known without configuration. Data: what is run, and under which settings.

use model::Runner;

/// One file a runner, in the form in which an administrator writes them.
const FILES: &[&str] = &[
    include_str!("../../runners/remit.toml"),
    include_str!("../../runners/claude-code.toml"),
    include_str!("../../runners/codex.toml"),
    include_str!("../../runners/gemini-cli.toml"),
    include_str!("../../runners/opencode.toml"),
    include_str!("../../runners/pi.toml"),
    include_str!("../../runners/qwen-code.toml"),
];

/// The runners that are known without configuration: the built-in agent, and those from npm, which
/// must be installed first.
pub fn builtin_runners() -> Vec<Runner> {
    FILES.iter().map(|text| toml::from_str(text).expect("a test reads every file")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_runner() {
        for text in FILES {
            let runner: Runner = toml::from_str(text).unwrap_or_else(|bad| panic!("{bad}\n{text}"));
            assert_eq!(runner.check(), Ok(()), "{}", runner.name);
        }
    }
}
