//! The built-in agent as a program of its own, to be tried and measured without anything around it.

use std::io;

#[expect(clippy::disallowed_methods, reason = "a program reads its own environment")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = agent::Config::read(|name| std::env::var(name).ok())?;
    agent::run(io::stdin().lock(), io::stdout(), config)?;
    Ok(())
}
