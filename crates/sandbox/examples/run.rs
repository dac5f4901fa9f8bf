//! Runs a program in a box and prints how it ended:
//! `cargo run --example run -- /usr/bin/python3 -c 'print("hello from inside")'`.
//! With `--probe`, prints which walls this machine can build.

use std::io::Write;
use std::os::fd::AsFd;

use sandbox::{Config, Error, Launcher, NetPool, ScratchLimits, Spec, Stdio};

fn main() -> Result<(), Error> {
    sandbox::zygote_main_if_asked();
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.is_empty() || args[0] == "--probe" {
        let report = sandbox::probe().to_string();
        std::io::stdout().write_all(report.as_bytes()).ok();
        return Ok(());
    }
    let launcher = std::sync::Arc::new(Launcher::start(Config::new("sandbox-example"))?);
    let pool = NetPool::new(std::sync::Arc::clone(&launcher), Vec::new(), 1);
    let net = pool.lease()?;
    let mut spec = Spec::new("example", args);
    spec.net = Some(net.handle());
    spec.env = vec![
        ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
        ("HOME".into(), "/home/agent".into()),
    ];
    let copy = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().ok();
    spec.stdio = Stdio {
        stdin: copy(std::io::stdin().as_fd()),
        stdout: copy(std::io::stdout().as_fd()),
        stderr: copy(std::io::stderr().as_fd()),
    };
    let scratch = launcher.scratch(&ScratchLimits::default())?;
    let mut child = launcher.spawn(spec, scratch)?;
    child.wait(None)?;
    let stats = child.stats();
    let exit = child.destroy()?;
    pool.give_back(net);
    writeln!(std::io::stderr(), "{exit:?} {stats:?}").ok();
    Ok(())
}
