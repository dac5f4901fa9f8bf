//! Measures what SPECIFICATION.md promises: each measurement is one run, and compares within it.

mod dispatch;
mod docker;
mod pages;
mod program;
mod server;

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only the measurement of this name: sandbox, ledger, workspace, gate, agent, dispatch,
    /// streams, idle, pages.
    #[arg(long)]
    only: Option<String>,
    /// One JSON object for machines.
    #[arg(long)]
    json: bool,
    /// Fail when a bar is not met.
    #[arg(long)]
    check: bool,
}

/// One thing that was measured.
#[derive(Debug)]
pub(crate) struct Figure {
    /// What it is, with its unit at the end, as `cold_first_event_ms_p50`.
    name: String,
    /// How much of it.
    value: f64,
}

impl Figure {
    /// The value of the figure of this name, if it was measured.
    pub(crate) fn find(figures: &[Self], name: &str) -> Option<f64> {
        figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    pub(crate) fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value }
    }
}

type Measure = fn(&Path) -> anyhow::Result<Vec<Figure>>;

const MEASURES: &[(&str, Measure)] = &[
    ("sandbox", |root| {
        let mut figures = program::example(root, "sandbox", "sandbox_bench")?;
        figures.extend(docker::beside(&figures)?);
        Ok(figures)
    }),
    ("ledger", |root| program::example(root, "embedded", "ledger_bench")),
    ("workspace", |root| program::example(root, "workspace", "workspace_bench")),
    ("knowledge", |root| program::example(root, "knowledge", "knowledge_bench")),
    ("gate", |root| program::example(root, "gate", "gate_bench")),
    ("agent", |root| program::example(root, "agent", "agent_bench")),
    ("dispatch", dispatch::measure),
    ("streams", dispatch::streams),
    ("idle", dispatch::idle_many),
    ("pages", pages::measure),
];

/// What a figure must be at most or at least.
#[derive(Debug, Clone, Copy)]
enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

const BARS: &[(&str, Bar)] = &[
    ("sandbox.box_exit_ms_p50", Bar::AtMost(3.0)),
    ("sandbox.box_cpu_ms", Bar::AtMost(2.0)),
    ("sandbox.box_per_s_at_8", Bar::AtLeast(600.0)),
    ("sandbox.box_idle_all_started_s", Bar::AtMost(2.0)),
    ("sandbox.docker_run_over_box", Bar::AtLeast(120.0)),
    ("agent.first_request_ms_p50", Bar::AtMost(20.0)),
    ("agent.resident_mib_max", Bar::AtMost(5.0)),
    ("dispatch.cold_first_event_ms_p50", Bar::AtMost(20.0)),
    ("dispatch.per_second_at_8", Bar::AtLeast(100.0)),
    ("dispatch.idle_resident_mib", Bar::AtMost(40.0)),
    ("streams.health_ratio_p50", Bar::AtMost(2.0)),
    ("pages.token_ms.append", Bar::AtMost(1.0)),
    ("pages.list_ms.filter.p95", Bar::AtMost(50.0)),
    ("pages.list_ms.scroll.p95", Bar::AtMost(50.0)),
    ("pages.list_ms.filter_over_200", Bar::AtMost(5.0)),
    ("pages.long_ms.scroll.p95", Bar::AtMost(50.0)),
    ("pages.long_ms.views.p95", Bar::AtMost(50.0)),
    ("pages.long_ms.replay.p95", Bar::AtMost(50.0)),
    ("idle.idle_live", Bar::AtLeast(3_000.0)),
    ("idle.idle_machine_gib", Bar::AtMost(24.0)),
];

/// Runs the measurements and prints them.
pub(crate) fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    let chosen: Vec<_> = MEASURES
        .iter()
        .filter(|(name, _)| options.only.as_deref().is_none_or(|only| only == *name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = MEASURES.iter().map(|(name, _)| *name).collect();
        bail!("there is no measurement of that name; there are: {}", names.join(", "));
    }
    let mut all = Map::new();
    let mut missed = Vec::new();
    for (name, measure) in chosen {
        for figure in measure(root).with_context(|| format!("measuring `{name}`"))? {
            let full = format!("{name}.{}", figure.name);
            let bar = BARS.iter().find(|(of, _)| *of == full).map(|(_, bar)| *bar);
            if !options.json {
                print_row(&full, figure.value, bar);
            }
            if bar.is_some_and(|bar| !met(bar, figure.value)) {
                missed.push(full.clone());
            }
            all.insert(full, Value::from(figure.value));
        }
    }
    if options.json {
        print_line(&serde_json::to_string(&all)?);
    }
    if options.check && !missed.is_empty() {
        bail!("bars not met: {}", missed.join(", "));
    }
    Ok(())
}

fn met(bar: Bar, value: f64) -> bool {
    match bar {
        Bar::AtMost(most) => value <= most,
        Bar::AtLeast(least) => value >= least,
    }
}

fn print_row(name: &str, value: f64, bar: Option<Bar>) {
    let verdict = match bar {
        None => String::new(),
        Some(bar @ Bar::AtMost(most)) => format!("bar ≤ {most}: {}", word(met(bar, value))),
        Some(bar @ Bar::AtLeast(least)) => format!("bar ≥ {least}: {}", word(met(bar, value))),
    };
    print_line(&format!("{name:<52} {value:>14.3}  {verdict}"));
}

fn word(met: bool) -> &'static str {
    if met { "met" } else { "NOT met" }
}

#[expect(clippy::print_stdout, reason = "the figures are what was asked for")]
fn print_line(line: &str) {
    println!("{line}");
}

/// The value below which this share (0 to 1) of the sorted samples lie.
pub(crate) fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a short list"
    )]
    let index = ((samples.len() as f64 * share) as usize).min(samples.len().saturating_sub(1));
    samples.get(index).copied().unwrap_or(f64::NAN)
}
