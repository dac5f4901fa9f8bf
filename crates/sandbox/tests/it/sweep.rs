//! What a launcher that was killed leaves is removed by others, and what is of a living one is not.

use std::collections::BTreeSet;

use sandbox::{Launcher, Wall};

use crate::harness::{config, eventually, stands};
use crate::life::{groups, is_alive, kill9, sleeper, start_victim};

/// The folders of a prefix itself.
fn stays(prefix: &str) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let places = mounts.lines().filter(|line| line.split(' ').nth(2).unwrap().contains("cgroup"));
    let mut places = places.filter_map(|line| line.split(' ').nth(1));
    places.any(|place| std::path::Path::new(place).join(prefix).exists())
}

#[test]
fn a_dead_launcher_s_empty_groups_are_swept_by_others() {
    let launcher = Launcher::start(config()).unwrap();
    if !stands(&launcher, Wall::Memory) {
        return;
    }
    let dead = config();
    let (mut victim, record, lost) = start_victim(&dead.prefix);
    let sweep = || launcher.sweep_dead(|name| name == dead.prefix);
    assert_eq!(sweep(), BTreeSet::new(), "it lives");
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_eq!(sweep(), BTreeSet::new(), "its boxes live");
    let kept = record.to_string().split(' ').nth(2).unwrap().parse().unwrap();
    kill9(lost);
    kill9(kept);
    eventually("the boxes are gone", || !is_alive(kept) && !is_alive(lost));
    eventually("their groups are swept", || sweep().contains(&dead.prefix));
    assert!(!stays(&dead.prefix));
}

#[test]
fn nothing_of_a_living_launcher_is_swept() {
    let launcher = Launcher::start(config()).unwrap();
    let others = config();
    let prefix = others.prefix.clone();
    let other = Launcher::start(others).unwrap();
    if !stands(&launcher, Wall::Memory) {
        return;
    }
    let child = sleeper(&other, "box", "sbt-living");
    assert_eq!(launcher.sweep_dead(|name| name == prefix), BTreeSet::new());
    assert!(!groups(&prefix).is_empty());
    child.destroy().unwrap();
    assert_eq!(launcher.sweep_dead(|name| name == prefix), BTreeSet::new(), "it has no box");
    assert!(stays(&prefix));
    drop(other);
    assert!(!stays(&prefix));
}

#[test]
fn a_launcher_holds_its_folders_anew_when_an_earlier_one_took_them() {
    let launcher = Launcher::start(config()).unwrap();
    let settings = config();
    let prefix = settings.prefix.clone();
    let earlier = Launcher::start(settings.clone()).unwrap();
    let later = Launcher::start(settings).unwrap();
    if !stands(&launcher, Wall::Memory) {
        return;
    }
    drop(earlier);
    assert!(!stays(&prefix));
    let child = sleeper(&later, "box", "sbt-anew");
    assert_eq!(launcher.sweep_dead(|name| name == prefix), BTreeSet::new());
    child.destroy().unwrap();
    assert_eq!(launcher.sweep_dead(|name| name == prefix), BTreeSet::new());
    assert!(stays(&prefix));
}
