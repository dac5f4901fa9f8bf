//! `remit-worker SOCKET [--away SECONDS] [--forward PORT=SOCKET]`

use std::process::ExitCode;

use worker::{Options, Over};

/// The command line makes no sense.
const USAGE: u8 = 64;
/// The machine would not let the worker start.
const OS_ERROR: u8 = 71;
/// The server did not come back.
const ORPHANED: u8 = 75;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(bad) => return complain(&bad, USAGE),
    };
    match worker::run(&options) {
        Ok(Over::Stopped) => ExitCode::SUCCESS,
        Ok(Over::Orphaned) => ExitCode::from(ORPHANED),
        Err(error) => complain(&error, OS_ERROR),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a program that cannot begin has no other place to say why"
)]
fn complain(why: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("remit-worker: {why}");
    ExitCode::from(code)
}
