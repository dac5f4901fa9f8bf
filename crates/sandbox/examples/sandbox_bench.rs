//! Measures starts: time, rate, processor time and memory, against `posix_spawn` and bubblewrap in
//! the same run. `cargo run --release --example bench -- [--json] [--count 150] [--idle 1000]`.
//!
//! Every box has all walls, a pooled network namespace and a scratch of its own. `start` is from
//! the first call to the execution of the program, `exit` to its end, `all` until nothing of it is
//! left.
#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]
#![expect(clippy::cast_precision_loss, reason = "counts are small")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandbox::{Child, Config, Error, Launcher, NetPool, ScratchLimits, Spec};

const PARALLEL: usize = 8;

fn main() -> Result<(), Error> {
    sandbox::zygote_main_if_asked();
    let args: Vec<_> = std::env::args().collect();
    let number = |name: &str, default: usize| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let (count, idle) = (number("--count", 150), number("--idle", 1000));
    let prefix = format!("sandbox-bench-{}", std::process::id());
    let launcher = Arc::new(Launcher::start(Config::new(&*prefix))?);
    let pool = NetPool::new(Arc::clone(&launcher), vec![8700, 8701], 2 * PARALLEL);
    pool.fill()?;
    let bench = Bench { launcher, pool, prefix, next: AtomicUsize::new(0) };
    let mut figures = Figures::default();
    bench.one_by_one(count, &mut figures)?;
    bench.in_parallel(count * 4, &mut figures)?;
    others(count, &mut figures);
    if idle > 0 {
        bench.idle(idle, &mut figures)?;
    }
    let text =
        if args.iter().any(|arg| arg == "--json") { figures.json() } else { figures.table() };
    std::io::stdout().write_all(text.as_bytes()).ok();
    Ok(())
}

#[derive(Default)]
struct Figures(Vec<(String, f64)>);

impl Figures {
    fn add(&mut self, name: impl Into<String>, value: f64) {
        self.0.push((name.into(), value));
    }

    fn times(&mut self, name: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let at =
            |share: usize| times.get(times.len() * share / 100).map_or(0.0, Duration::as_secs_f64);
        self.add(format!("{name}_ms_p50"), at(50) * 1e3);
        self.add(format!("{name}_ms_p99"), at(99) * 1e3);
    }

    fn table(&self) -> String {
        let line =
            |text: String, (name, value): &(String, f64)| format!("{text}{name:38}{value:10.3}\n");
        self.0.iter().fold(String::new(), line)
    }

    fn json(&self) -> String {
        let mut text = String::from("{");
        for (number, (name, value)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(text, "{comma}\"{name}\":{value:.4}").ok();
        }
        text + "}\n"
    }
}

struct Bench {
    launcher: Arc<Launcher>,
    pool: NetPool,
    prefix: String,
    next: AtomicUsize,
}

impl Bench {
    fn spawn(&self, argv: &[&str], net: Option<&sandbox::NetNs>) -> Result<Child, Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut spec = Spec::new(format!("b{number}"), argv);
        spec.net = net.map(sandbox::NetNs::handle);
        self.launcher.spawn(spec, self.launcher.scratch(&ScratchLimits::default())?)
    }

    /// Start, exit, and gone.
    fn once(&self) -> Result<[Duration; 3], Error> {
        let begun = Instant::now();
        let net = self.pool.lease()?;
        let mut child = self.spawn(&["/bin/true"], Some(&net))?;
        let started = begun.elapsed();
        child.wait(None)?;
        let ended = begun.elapsed();
        child.destroy()?;
        self.pool.give_back(net);
        Ok([started, ended, begun.elapsed()])
    }

    fn one_by_one(&self, count: usize, figures: &mut Figures) -> Result<(), Error> {
        for _ in 0..20 {
            self.once()?;
        }
        let before = self.processor_ms();
        let times = (0..count).map(|_| self.once()).collect::<Result<Vec<_>, _>>()?;
        let used = self.processor_ms() - before;
        for (name, at) in [("start", 0), ("exit", 1), ("all", 2)] {
            figures.times(&format!("box_{name}"), times.iter().map(|times| times[at]).collect());
        }
        figures.add("box_cpu_ms", used / count as f64);
        Ok(())
    }

    fn in_parallel(&self, count: usize, figures: &mut Figures) -> Result<(), Error> {
        let begun = Instant::now();
        let results = std::thread::scope(|scope| {
            let run = || (0..count / PARALLEL).try_for_each(|_| self.once().map(drop));
            let threads: Vec<_> = (0..PARALLEL).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        });
        results.into_iter().collect::<Result<(), _>>()?;
        figures.add("box_per_s_at_8", count as f64 / begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Of this process, the zygote and the boxes; not of the kernel's own threads.
    fn processor_ms(&self) -> f64 {
        let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
        let zygote = self.launcher.zygote_pid().unwrap_or(0);
        let zygote = read(format!("/proc/{zygote}/schedstat"));
        let zygote: f64 = zygote.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0);
        let boxes: f64 = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .iter()
            .find_map(|root| {
                let text = read(format!("{root}/{}/cpu.stat", self.prefix));
                text.strip_prefix("usage_usec ")?.lines().next()?.parse().ok()
            })
            .unwrap_or(0.0);
        used_ms(Whose::Own) + zygote / 1e6 + boxes / 1e3
    }

    /// Memory of many boxes that sleep, the program's own included.
    fn idle(&self, count: usize, figures: &mut Figures) -> Result<(), Error> {
        let before = free_kib();
        let begun = Instant::now();
        let nets = (0..count).map(|_| self.pool.lease()).collect::<Result<Vec<_>, _>>()?;
        figures.add("net_namespace_ms", begun.elapsed().as_secs_f64() * 1e3 / count as f64);
        let begun = Instant::now();
        let sleep = |net| self.spawn(&["/bin/sleep", "1000"], Some(net));
        let boxes = nets.iter().map(sleep).collect::<Result<Vec<_>, _>>()?;
        figures.add("box_idle_all_started_s", begun.elapsed().as_secs_f64());
        figures.add("box_idle_kib", (before - free_kib()) / count as f64);
        let sleep = || Command::new("/bin/sleep").arg("1000").spawn().ok();
        let before = free_kib();
        let bare: Vec<_> = (0..count).filter_map(|_| sleep()).collect();
        figures.add("process_idle_kib", (before - free_kib()) / count as f64);
        for mut process in bare {
            process.kill().ok();
            process.wait().ok();
        }
        let begun = Instant::now();
        boxes.into_iter().try_for_each(|child| child.destroy().map(drop))?;
        figures.add("box_idle_all_ended_s", begun.elapsed().as_secs_f64());
        Ok(())
    }
}

/// The same program started by `posix_spawn` and in bubblewrap.
fn others(count: usize, figures: &mut Figures) {
    let bare = || Command::new("/bin/true");
    measure("posix_spawn", count, figures, &bare);
    let filter = tempfile::NamedTempFile::new().expect("a file for the filter");
    std::fs::write(filter.path(), sandbox::seccomp_program()).expect("the filter is written");
    if Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok() {
        let command = || bubblewrap(filter.path());
        measure("bwrap", count, figures, &command);
        in_parallel("bwrap", count, figures, &command);
    }
}

fn bubblewrap(filter: &Path) -> Command {
    let words = "--unshare-all --die-with-parent --new-session --clearenv --ro-bind /usr /usr \
                 --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
                 --ro-bind /etc/ssl /etc/ssl --proc /proc --dev /dev --tmpfs /tmp \
                 --tmpfs /session --cap-drop ALL --seccomp 0 /bin/true";
    let mut command = Command::new("bwrap");
    command.args(words.split_whitespace()).stderr(Stdio::null());
    command.stdin(File::open(filter).expect("the filter is there"));
    command
}

fn measure(
    name: &str,
    count: usize,
    figures: &mut Figures,
    command: &(dyn Fn() -> Command + Sync),
) {
    let once = || {
        let begun = Instant::now();
        let status = command().status();
        status.is_ok_and(|status| status.success()).then(|| begun.elapsed())
    };
    let before = used_ms(Whose::Own) + used_ms(Whose::Children);
    let times: Vec<_> = (0..count).filter_map(|_| once()).collect();
    let used = used_ms(Whose::Own) + used_ms(Whose::Children) - before;
    figures.add(format!("{name}_failed"), (count - times.len()) as f64);
    figures.times(name, times);
    figures.add(format!("{name}_cpu_ms"), used / count as f64);
}

fn in_parallel(
    name: &str,
    count: usize,
    figures: &mut Figures,
    command: &(dyn Fn() -> Command + Sync),
) {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| (0..count / PARALLEL).for_each(|_| drop(command().status())));
        }
    });
    figures.add(format!("{name}_per_s_at_8"), count as f64 / begun.elapsed().as_secs_f64());
}

/// Processor time of this process or of its dead children. The kernel counts in ticks of 10 ms,
/// so it takes many starts to tell.
fn used_ms(whose: Whose) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
    let fields: Vec<f64> =
        rest.split_whitespace().map(|word| word.parse().unwrap_or(0.0)).collect();
    let first = match whose {
        Whose::Own => 11,
        Whose::Children => 13,
    };
    fields.iter().skip(first).take(2).sum::<f64>() * 10.0
}

#[derive(Clone, Copy)]
enum Whose {
    Own,
    Children,
}

fn free_kib() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim_end_matches("kB").trim().parse().ok()).unwrap_or(0.0)
    };
    field("MemFree:") + field("Cached:") + field("Buffers:") + field("SReclaimable:")
        - field("Shmem:")
}
