//! The committer's figures beside those of the git program, in one run: `cargo run --release -p workspace --example
//! workspace_bench [-- --json]`. Works in a temporary directory; never touches another repository.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program: prints, measures real time, and ends when something fails"
)]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use seal::{FileKeys, Keyring, MASTER_KEY_FILE};
use serde_json::{Map, Value, json};
use workspace::{
    Attribution, Change, Checkouts, CommitId, Limits, Outcome, Owner, Repository, Root, Seed,
    Signature, StatCache, TreePath, View,
};

const FILES: usize = 10_000;
const ROUNDS: usize = 41;

fn main() {
    let directory = tempfile::TempDir::new().unwrap();
    let mut figures = Map::new();
    let ours = directory.path().join("ours.git");
    let init_ms = once(|| drop(Repository::init(&ours, &seeds(), &by()).unwrap()));
    let repository = Repository::open(&ours).unwrap();
    put(&mut figures, "init_ms", init_ms);
    commits(&repository, directory.path(), &mut figures);
    sealed(directory.path(), &mut figures);
    reads(&repository, &mut figures);
    checkouts(&repository, directory.path(), &mut figures);
    sessions(&repository, directory.path(), &mut figures);
    many_folders(directory.path(), &mut figures);
    git(directory.path(), &mut figures);
    against_git(&mut figures);
    traps(&repository, directory.path(), &mut figures);
    report(&figures);
}

fn report(figures: &Map<String, Value>) {
    if std::env::args().any(|argument| argument == "--json") {
        println!("{}", json!({ "files": FILES, "rounds": ROUNDS, "figures": figures }));
        return;
    }
    println!("{FILES} files, {ROUNDS} rounds, milliseconds");
    for (name, value) in figures {
        println!("{name:<42} {:>10.2}", value.as_f64().unwrap_or_default());
    }
}

fn put(figures: &mut Map<String, Value>, name: &str, milliseconds: f64) {
    figures.insert(name.to_owned(), json!((milliseconds * 1000.0).round() / 1000.0));
}

fn once(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1000.0
}

/// The middle and the 95th of a hundred.
fn spread(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 95 / 100])
}

fn place(number: usize) -> String {
    format!("dir{}/sub{}/file{number}.md", number % 20, number / 20 % 10)
}

fn seeds() -> Vec<Seed> {
    let seed = |number: usize| Seed {
        path: TreePath::new(&place(number)).unwrap(),
        content: format!("# Note {number}\n\n{}\n", "some words of text ".repeat(number % 40))
            .into_bytes(),
    };
    (0..FILES).map(seed).collect()
}

fn by() -> Attribution {
    let who = |name: &str| Signature {
        name: name.to_owned(),
        email: "bench@localhost".to_owned(),
        seconds: 1_790_000_000,
    };
    let message = "Change one file".to_owned();
    Attribution { author: who("Bench"), committer: who("Remit"), message, trailers: Vec::new() }
}

fn head(repository: &Repository) -> CommitId {
    repository.head().unwrap().unwrap()
}

fn commit(repository: &Repository, view: &View) {
    let checkout = head(repository);
    let delta =
        repository.delta(checkout, view, &Limits::WORKSPACE, &mut StatCache::default()).unwrap();
    let change = Change { delta, checkout, seen: None, by: &by(), hold_as: "bench" };
    let outcome = repository.commit(change).unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
}

/// The same with a repository that is sealed at rest on this disk, and open in memory.
fn sealed(directory: &Path, figures: &mut Map<String, Value>) {
    let memory = tempfile::TempDir::new_in("/dev/shm").unwrap();
    let keys = FileKeys::create(&directory.join(MASTER_KEY_FILE)).unwrap();
    let ring = Keyring::new(Arc::new(keys), &directory.join("sealed")).unwrap();
    let workspace = "wsp_00000000000000000000000001".parse().unwrap();
    let path = memory.path().join("sealed.git");
    let repository = Repository::init_sealed(&path, workspace, &ring, &seeds(), &by()).unwrap();
    let (p50, p95) = commit_times(&repository, &directory.join("upper"));
    put(figures, "sealed_commit_p50_ms", p50);
    put(figures, "sealed_commit_p95_ms", p95);
    drop(repository);
    fs::remove_dir_all(&path).unwrap();
    let open = once(|| drop(Repository::open_sealed(&path, workspace, &ring).unwrap()));
    put(figures, "sealed_open_ms", open);
}

fn commits(repository: &Repository, directory: &Path, figures: &mut Map<String, Value>) {
    let (p50, p95) = commit_times(repository, &directory.join("upper"));
    put(figures, "commit_p50_ms", p50);
    put(figures, "commit_p95_ms", p95);
    let fsync = (0..ROUNDS).map(|round| {
        let mut file = File::create(directory.join(format!("fsync{round}"))).unwrap();
        std::io::Write::write_all(&mut file, &[0; 256]).unwrap();
        once(|| file.sync_all().unwrap())
    });
    put(figures, "fsync_p50_ms", spread(fsync.collect()).0);
}

/// One small change after another, each in a view of its own.
fn commit_times(repository: &Repository, upper: &Path) -> (f64, f64) {
    let file = upper.join(place(4711));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        fs::write(&file, format!("round {round}\n")).unwrap();
        let view = View::Overlay(Root::open(upper).unwrap());
        times.push(once(|| commit(repository, &view)));
    }
    spread(times)
}

fn reads(repository: &Repository, figures: &mut Map<String, Value>) {
    let head = head(repository);
    let path = TreePath::new(&place(4711)).unwrap();
    let many = |work: &dyn Fn()| spread((0..ROUNDS).map(|_| once(work)).collect()).0;
    put(figures, "read_file_p50_ms", many(&|| drop(repository.read(head, &path).unwrap())));
    put(figures, "log_50_p50_ms", many(&|| drop(repository.log(head, 50).unwrap())));
    put(figures, "diff_p50_ms", many(&|| drop(repository.diff(head).unwrap())));
    put(figures, "tree_p50_ms", many(&|| drop(repository.tree(head).unwrap())));
    let log = repository.log(head, 2).unwrap();
    let (before, after) = (log[1].tree, log[0].tree);
    put(figures, "patch_p50_ms", many(&|| drop(repository.patch(before, after).unwrap())));
}

fn checkouts(repository: &Repository, directory: &Path, figures: &mut Map<String, Value>) {
    let checkouts = Checkouts::open(&directory.join("checkouts")).unwrap();
    let log = repository.log(head(repository), 2).unwrap();
    let whole = once(|| drop(checkouts.checkout(repository, log[1].commit).unwrap()));
    put(figures, "checkout_whole_ms", whole);
    let next = once(|| drop(checkouts.checkout(repository, log[0].commit).unwrap()));
    put(figures, "checkout_next_ms", next);
    let again = once(|| drop(checkouts.checkout(repository, log[0].commit).unwrap()));
    put(figures, "checkout_again_ms", again);
}

fn sessions(repository: &Repository, directory: &Path, figures: &mut Map<String, Value>) {
    let session = directory.join("session");
    fs::create_dir(&session).unwrap();
    let mut cache = StatCache::default();
    let mut save = |line: &str| {
        let old = fs::read(session.join("talk.jsonl")).unwrap_or_default();
        fs::write(session.join("talk.jsonl"), [&old, line.as_bytes()].concat()).unwrap();
        let root = Root::open(&session).unwrap();
        once(|| drop(repository.save_session("bench", &root, &mut cache, &by()).unwrap()))
    };
    save(&"a turn of the conversation\n".repeat(40_000));
    let times = (0..ROUNDS).map(|_| save("one more turn\n")).collect();
    put(figures, "session_save_1_mib_p50_ms", spread(times).0);
    let into = directory.join("restored");
    let times = (0..ROUNDS).map(|_| {
        fs::create_dir(&into).unwrap();
        let opened = File::open(&into).unwrap();
        let owner = Owner { uid: 0, gid: 0 };
        let time = once(|| {
            use std::os::fd::AsFd as _;
            repository.restore_session("bench", opened.as_fd(), owner).unwrap();
        });
        fs::remove_dir_all(&into).unwrap();
        time
    });
    put(figures, "session_restore_1_mib_p50_ms", spread(times.collect()).0);
}

/// Small folders, eight committing at once, each beside a saved session: what many dispatches ask of the disk.
fn many_folders(directory: &Path, figures: &mut Map<String, Value>) {
    let folder = |number: usize| {
        let path = directory.join(format!("small{number}.git"));
        let repository = Repository::init(&path, &seeds()[..100], &by()).unwrap();
        let upper = directory.join(format!("small{number}"));
        fs::create_dir(&upper).unwrap();
        (repository, upper)
    };
    let folders: Vec<_> = (0..8).map(folder).collect();
    let work = |(repository, upper): &(Repository, PathBuf)| {
        let mut cache = StatCache::default();
        for round in 0..ROUNDS {
            fs::write(upper.join("file"), round.to_string()).unwrap();
            commit(repository, &View::Overlay(Root::open(upper).unwrap()));
            let root = Root::open(upper).unwrap();
            repository.save_session("bench", &root, &mut cache, &by()).unwrap();
        }
    };
    let time = once(|| {
        std::thread::scope(|scope| {
            for folder in &folders {
                scope.spawn(|| work(folder));
            }
        });
    });
    let commits = 8.0 * f64::from(u32::try_from(ROUNDS).unwrap());
    put(figures, "turns_with_session_per_s_8_folders", commits * 1000.0 / time);
}

/// The same with the git program: a work tree, `git add` and `git commit`.
fn git(directory: &Path, figures: &mut Map<String, Value>) {
    let tree = directory.join("theirs");
    let run = |arguments: &[&str]| {
        let status = Command::new("git")
            .args(["-c", "user.name=Bench", "-c", "user.email=bench@localhost"])
            .args(arguments)
            .current_dir(&tree)
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    };
    fs::create_dir(&tree).unwrap();
    run(&["init", "-q"]);
    for seed in seeds() {
        let path = tree.join(seed.path.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, seed.content).unwrap();
    }
    put(
        figures,
        "git_first_commit_ms",
        once(|| {
            run(&["add", "-A"]);
            run(&["commit", "-qm", "x"]);
        }),
    );
    let rounds =
        |work: &dyn Fn(usize)| spread((0..ROUNDS).map(|round| once(|| work(round))).collect()).0;
    let commit = rounds(&|round| {
        fs::write(tree.join(place(4711)), format!("round {round}\n")).unwrap();
        run(&["add", "-A"]);
        run(&["commit", "-qm", "x"]);
    });
    put(figures, "git_commit_p50_ms", commit);
    let path = format!("HEAD:{}", place(4711));
    put(figures, "git_read_file_p50_ms", rounds(&|_| run(&["cat-file", "blob", &path])));
    put(figures, "git_log_50_p50_ms", rounds(&|_| run(&["log", "-50"])));
    put(figures, "git_diff_p50_ms", rounds(&|_| run(&["show", "--name-status", "HEAD"])));
    put(figures, "git_patch_p50_ms", rounds(&|_| run(&["show", "--patch", "HEAD"])));
    put(figures, "git_tree_p50_ms", rounds(&|_| run(&["ls-tree", "-r", "HEAD"])));
}

/// How many times faster than the git program, in this very run.
fn against_git(figures: &mut Map<String, Value>) {
    for name in ["commit", "read_file", "log_50", "diff", "patch", "tree"] {
        let figure = |name: String| figures[&name].as_f64().unwrap();
        let (ours, theirs) =
            (figure(format!("{name}_p50_ms")), figure(format!("git_{name}_p50_ms")));
        put(figures, &format!("{name}_times_faster_than_git"), theirs / ours);
    }
}

/// What hostile folders cost: each a second at most.
fn traps(repository: &Repository, directory: &Path, figures: &mut Map<String, Value>) {
    let shared = Path::new("/dev/shm");
    let place = if shared.is_dir() { shared } else { directory };
    let mut trap = |name: &str, plant: &dyn Fn(&Path)| {
        let folder = tempfile::TempDir::new_in(place).unwrap();
        plant(folder.path());
        let view = View::Overlay(Root::open(folder.path()).unwrap());
        let head = head(repository);
        let time = once(|| {
            let mut cache = StatCache::default();
            drop(repository.delta(head, &view, &Limits::WORKSPACE, &mut cache).unwrap());
        });
        put(figures, &format!("trap_{name}_ms"), time);
    };
    trap("terabyte", &|folder| File::create(folder.join("x")).unwrap().set_len(1 << 40).unwrap());
    trap("sparse_to_the_limit", &|folder| {
        for number in 0..20 {
            let file = File::create(folder.join(format!("x{number}"))).unwrap();
            file.set_len(Limits::WORKSPACE.file_bytes_max).unwrap();
        }
    });
    trap("200k_files_one_directory", &|folder| many(folder, 1, 200_000));
    trap("200k_files_200_directories", &|folder| many(folder, 200, 1_000));
    trap("deep", &|folder| {
        let deep = folder.join("d/".repeat(400));
        fs::create_dir_all(deep).unwrap();
    });
}

fn many(folder: &Path, directories: usize, files: usize) {
    for directory in 0..directories {
        let directory = folder.join(format!("many{directory}"));
        fs::create_dir(&directory).unwrap();
        (0..files).for_each(|number| {
            fs::write(directory.join(number.to_string()), number.to_string()).unwrap();
        });
    }
}
