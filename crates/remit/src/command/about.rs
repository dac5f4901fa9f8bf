//! What the program says about itself: completions and manual pages, made from what can be typed.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::say;

pub(crate) fn completions(shell: Shell) -> anyhow::Result<Exit> {
    let mut script = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "remit", &mut script);
    say::piece(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

pub(crate) fn man(folder: &Path) -> anyhow::Result<Exit> {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.with_context(|| format!("cannot write to {}", folder.display()))?;
    say::talk(format!("the pages are in {}", folder.display()));
    Ok(Exit::Ok)
}
