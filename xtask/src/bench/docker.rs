//! `docker run` beside our sandboxes, in the same run, where a daemon answers.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::server::now;
use super::{Figure, quantile};

/// How many containers are run.
const RUNS: usize = 20;
/// Small images, one of which may be there; none is fetched.
const IMAGES: [&str; 4] = ["busybox", "alpine", "debian:stable-slim", "ubuntu"];

/// How long `docker run` of `true` takes, and how many times as long as the box in `figures`.
pub(crate) fn beside(figures: &[Figure]) -> anyhow::Result<Vec<Figure>> {
    let Some(image) = image() else {
        say("no docker daemon with a small image answers here: `docker run` is not compared");
        return Ok(vec![]);
    };
    let mut samples = Vec::new();
    for _ in 0..RUNS {
        let begun = now();
        let status = docker(&["run", "--rm", "--network", "none", image, "true"]);
        ensure!(status.context("cannot run docker")?, "`docker run {image} true` failed");
        samples.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    let p50 = quantile(&mut samples, 0.5);
    let ours = Figure::find(figures, "box_exit_ms_p50").context("no box was measured")?;
    Ok(vec![
        Figure::new("docker_run_ms_p50", p50),
        Figure::new("docker_run_ms_p99", quantile(&mut samples, 0.99)),
        Figure::new("docker_run_over_box", p50 / ours),
    ])
}

/// An image that is there; none where no daemon answers.
fn image() -> Option<&'static str> {
    IMAGES.into_iter().find(|image| docker(&["image", "inspect", image]).unwrap_or(false))
}

fn docker(arguments: &[&str]) -> std::io::Result<bool> {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status()?.success())
}

#[expect(clippy::print_stderr, reason = "says why a figure is missing")]
fn say(text: &str) {
    eprintln!("{text}");
}
