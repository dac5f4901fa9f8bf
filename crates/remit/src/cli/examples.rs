//! Examples that stand below the help of a command. Each can be typed as it stands here, but for what is
//! in capitals.

pub(super) const UP: &str = "\
Examples:
  remit up                                              # on 127.0.0.1:7070, with the demo model
  remit up --listen 127.0.0.1:0 --json                  # any free port; the first line is JSON
  remit up --model-url auto                             # a model server of this machine
  remit up --model-url https://api.anthropic.com --model-api anthropic --model NAME";

pub(super) const RUN: &str = "\
Examples:
  remit run \"write Hello to hello.md\"                   # the words on stdout, all else on stderr
  remit run --session ses_ID \"and now?\"                 # go on with a conversation
  remit run -w home:ro -w law:propose \"compare them\"    # which workspaces, and what may be done
  remit run --runner claude-code --permissions ask \"tidy up\"
  remit run --json \"say 3 words\"                        # every frame; the last line sums up
  remit run --detach \"a long task\"                      # print the dispatch, and leave it to it

Exit codes of its own: 10 the turn ran and the agent failed or was stopped, 130 interrupted.";

pub(super) const DISPATCH: &str = "\
Examples:
  remit dispatch ls --live                              # what runs or waits
  remit dispatch watch dsp_ID                           # every event, live while it runs
  remit dispatch watch dsp_ID --no-follow --json        # the record as it is, one event a line
  remit dispatch asks                                   # questions of agents that wait for you
  remit dispatch answer dsp_ID ASK --option allow_once
  remit dispatch cancel dsp_ID";

pub(super) const SESSION: &str = "\
Examples:
  remit session ls
  remit session show ses_ID";

pub(super) const WS: &str = "\
Examples:
  remit ws ls
  remit ws new law --purpose \"contracts\"
  remit ws tree -w law
  remit ws write notes.md -w law --file notes.md        # without --file: from standard input
  remit ws log -w law notes.md
  remit ws search \"heron reeds\"
  remit ws invite contributor -w law --email joe@example.org
  remit ws clone law";

pub(super) const RUNNER: &str = "\
Examples:
  remit runner ls
  remit runner install claude-code
  remit runner test claude-code";

pub(super) const INBOX: &str = "\
Examples:
  remit inbox ls
  remit inbox show prp_ID                               # what it would change, and its digest
  remit inbox approve prp_ID --digest DIGEST            # all of it
  remit inbox approve prp_ID --digest DIGEST --file notes.md
  remit inbox deny prp_ID --reason \"not this way\"";

pub(super) const ENDPOINT: &str = "\
Examples:
  remit endpoint add mine https://api.openai.com --api responses --model gpt-5 --key-file -   # the key on standard input
  remit endpoint test mine
  remit run --with @mine/gpt-5 \"say 3 words\"
  remit endpoint rm mine";

pub(super) const KEY: &str = "\
Examples:
  remit key show
  remit key new --scopes read --label \"for a script\"
  remit key rm key_ID";

pub(super) const USAGE: &str = "\
Examples:
  remit usage                                           # the last 30 days, day by day
  remit usage --by model --from 2026-11-01
  remit usage --by turn --dispatch dsp_ID";

pub(super) const CONFIG: &str = "\
Examples:
  remit config show --origin                            # and where each value comes from
  REMIT_LIMITS__IDLE_S=60 remit config show --origin";

pub(super) const COMPLETIONS: &str = "\
Examples:
  remit completions bash > ~/.local/share/bash-completion/completions/remit
  remit completions zsh > ~/.zfunc/_remit               # a folder of $fpath
  remit completions fish > ~/.config/fish/completions/remit.fish";

pub(super) const MAN: &str = "\
Examples:
  remit man ~/.local/share/man/man1                     # then: man remit, man remit-run";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    const ALL: &[&str] = &[
        UP,
        RUN,
        DISPATCH,
        SESSION,
        WS,
        RUNNER,
        INBOX,
        KEY,
        ENDPOINT,
        USAGE,
        CONFIG,
        COMPLETIONS,
        MAN,
    ];

    /// The words of a line as a shell reads them, up to a comment or where its output goes.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (vec![], None::<String>, false);
        for letter in line.chars() {
            match letter {
                '"' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' if !quoted => words.extend(word.take()),
                '#' | '>' if !quoted && word.is_none() => break,
                letter => word.get_or_insert_default().push(letter),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn every_example_can_be_typed() {
        let lines = ALL.iter().flat_map(|text| text.lines());
        let lines: Vec<_> = lines.filter(|line| line.starts_with("  ")).collect();
        assert!(lines.len() > 30, "{lines:?}");
        for line in lines {
            let typed = words(line).into_iter().skip_while(|word| word != "remit");
            let parsed = Cli::try_parse_from(typed);
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }
}
