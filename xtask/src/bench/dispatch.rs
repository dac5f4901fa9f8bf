//! Whole dispatches through the real program: the built-in agent, the demo model, the native backend.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::server::{Seen, Server, now};
use super::{Figure, quantile};

/// Keeps a box for no time at all after its turn, so that its end can be measured.
const NO_IDLE: (&str, &str) = ("REMIT_LIMITS__IDLE_S", "0");
/// Keeps a box for longer than the measurement takes.
const LONG_IDLE: (&str, &str) = ("REMIT_LIMITS__IDLE_S", "3600");
/// As many dispatches at once as the measurement needs.
const MANY: [(&str, &str); 2] =
    [("REMIT_LIMITS__LIVE", "8000"), ("REMIT_LIMITS__LIVE_PER_PERSON", "8000")];

/// Idle dispatches in the usual measurement, and in the one for the machine's memory.
const IDLE: u32 = 1_000;
const IDLE_MANY: u32 = 3_000;

/// Cold dispatches one after another, many at once, and a thousand idle ones.
pub(crate) fn measure(root: &Path) -> anyhow::Result<Vec<Figure>> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut figures = cold(root).await?;
        figures.extend(at_once(root).await?);
        figures.extend(idle(root, IDLE).await?);
        Ok(figures)
    })
}

async fn cold(root: &Path) -> anyhow::Result<Vec<Figure>> {
    let server = Server::start(root, &[NO_IDLE, MANY[0], MANY[1]])?;
    let idle_resident = server.resident_kib()? / 1024.0;
    let (mut first, mut word, mut complete, mut gone) = (vec![], vec![], vec![], vec![]);
    for round in 0..60 {
        let begun = now();
        let seen = server.chat("write hello to notes.md").await?;
        server.gone(&seen.dispatch).await?;
        if round >= 10 {
            first.push(ms(seen.first_frame));
            word.extend(seen.first_word.map(ms));
            complete.push(ms(seen.complete));
            gone.push(ms(begun.elapsed()));
        }
    }
    Ok(vec![
        Figure::new("idle_resident_mib", idle_resident),
        Figure::new("cold_first_event_ms_p50", quantile(&mut first, 0.5)),
        Figure::new("cold_first_event_ms_p99", quantile(&mut first, 0.99)),
        Figure::new("cold_first_word_ms_p50", quantile(&mut word, 0.5)),
        Figure::new("cold_done_with_commit_ms_p50", quantile(&mut complete, 0.5)),
        Figure::new("cold_gone_ms_p50", quantile(&mut gone, 0.5)),
    ])
}

async fn at_once(root: &Path) -> anyhow::Result<Vec<Figure>> {
    let server = Arc::new(Server::start(root, &[NO_IDLE, MANY[0], MANY[1]])?);
    let mut figures = Vec::new();
    for width in [1_usize, 8, 32] {
        let rounds = 200 / width.min(8);
        let begun = now();
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..width {
            let server = Arc::clone(&server);
            lanes.spawn(async move {
                for round in 0..rounds.max(8) {
                    server.chat(&format!("write {round} to lane-{lane}.md")).await?;
                }
                anyhow::Ok(rounds.max(8))
            });
        }
        let mut dispatches = 0_u32;
        while let Some(lane) = lanes.join_next().await {
            dispatches += u32::try_from(lane??)?;
        }
        let rate = f64::from(dispatches) / begun.elapsed().as_secs_f64();
        figures.push(Figure::new(format!("per_second_at_{width}"), rate));
    }
    Ok(figures)
}

/// As many idle live dispatches as a machine of 24 GiB is to hold.
pub(crate) fn idle_many(root: &Path) -> anyhow::Result<Vec<Figure>> {
    tokio::runtime::Runtime::new()?.block_on(idle(root, IDLE_MANY))
}

async fn idle(root: &Path, count: u32) -> anyhow::Result<Vec<Figure>> {
    let server = Arc::new(Server::start(root, &[LONG_IDLE, MANY[0], MANY[1]])?);
    server.chat("say 1 words").await?;
    let (before, server_before) = (available_kib()?, server.resident_kib()?);
    let begun = now();
    let seen = many(&server, count, 16).await?;
    let elapsed = begun.elapsed();
    let used = before - available_kib()?;
    Ok(vec![
        Figure::new("idle_live", f64::from(u32::try_from(seen.len())?)),
        Figure::new("idle_live_started_in_s", elapsed.as_secs_f64()),
        Figure::new("idle_machine_gib", used / f64::from(1 << 20)),
        Figure::new("idle_machine_kib_each", used / f64::from(count)),
        Figure::new(
            "idle_server_kib_each",
            (server.resident_kib()? - server_before) / f64::from(count),
        ),
    ])
}

/// Thousands of open streams on which nothing happens, and what `/health` makes of it.
pub(crate) fn streams(root: &Path) -> anyhow::Result<Vec<Figure>> {
    const COUNT: u32 = 5_000;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let server = Arc::new(Server::start(root, &[LONG_IDLE, MANY[0], MANY[1]])?);
        let seen = server.chat("say 3 words").await?;
        let mut calm = health(&server).await?;
        let before = server.resident_kib()?;
        let mut open = Vec::new();
        for _ in 0..COUNT {
            let mut stream = server.follow(&seen.dispatch).await?;
            stream.chunk().await?;
            open.push(stream);
        }
        let mut busy = health(&server).await?;
        let (calm_p50, busy_p50) = (quantile(&mut calm, 0.5), quantile(&mut busy, 0.5));
        Ok(vec![
            Figure::new("open", f64::from(u32::try_from(open.len())?)),
            Figure::new("server_kib_each", (server.resident_kib()? - before) / f64::from(COUNT)),
            Figure::new("health_ms_p50_without", calm_p50),
            Figure::new("health_ms_p50_with", busy_p50),
            Figure::new("health_ms_p99_with", quantile(&mut busy, 0.99)),
            Figure::new("health_ratio_p50", busy_p50 / calm_p50),
        ])
    })
}

async fn health(server: &Server) -> anyhow::Result<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..500 {
        samples.push(ms(server.health().await?));
    }
    Ok(samples)
}

async fn many(server: &Arc<Server>, count: u32, width: u32) -> anyhow::Result<Vec<Seen>> {
    let mut lanes = tokio::task::JoinSet::new();
    for _ in 0..width {
        let server = Arc::clone(server);
        lanes.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..count.div_ceil(width) {
                seen.push(server.chat("say 1 words").await?);
            }
            anyhow::Ok(seen)
        });
    }
    let mut all = Vec::new();
    while let Some(lane) = lanes.join_next().await {
        all.extend(lane??);
    }
    Ok(all)
}

fn available_kib() -> anyhow::Result<f64> {
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let line = memory.lines().find(|line| line.starts_with("MemAvailable:"));
    let figure = line.and_then(|line| line.split_whitespace().nth(1)).context("no MemAvailable")?;
    Ok(figure.parse()?)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
