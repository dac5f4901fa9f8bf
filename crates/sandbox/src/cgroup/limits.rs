//! The bounds of a box as the files of its control groups.

use std::fs;
use std::path::Path;

use super::write;
use crate::Error;
use crate::spec::Limits;

pub(super) fn limits_v2(
    place: &Path,
    limits: &Limits,
    has: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    if has("memory")
        && let Some(bytes) = limits.memory_bytes
    {
        write(&place.join("memory.max"), &bytes.to_string())?;
        write(&place.join("memory.oom.group"), "1")?;
        // Absent without swap accounting, where there is nothing to bound.
        fs::write(place.join("memory.swap.max"), "0").ok();
    }
    if has("pids") {
        write(&place.join("pids.max"), &limits.pids.to_string())?;
    }
    if has("cpu")
        && let Some(cpu) = limits.cpu
    {
        write(&place.join("cpu.weight"), &cpu.weight.to_string())?;
        if let Some(milli) = cpu.quota_milli {
            write(&place.join("cpu.max"), &format!("{} 100000", u64::from(milli) * 100))?;
        }
    }
    Ok(())
}

pub(super) fn limits_v1(controller: &str, place: &Path, limits: &Limits) -> Result<(), Error> {
    match (controller, limits.memory_bytes, limits.cpu) {
        ("memory", Some(bytes), _) => {
            write(&place.join("memory.limit_in_bytes"), &bytes.to_string())?;
            // Absent without swap accounting, where there is nothing to bound.
            fs::write(place.join("memory.memsw.limit_in_bytes"), bytes.to_string()).ok();
        }
        ("pids", ..) => write(&place.join("pids.max"), &limits.pids.to_string())?,
        ("cpu", _, Some(cpu)) => {
            let shares = (u64::from(cpu.weight) * 1024 / 100).max(2);
            write(&place.join("cpu.shares"), &shares.to_string())?;
            if let Some(milli) = cpu.quota_milli {
                let quota = u64::from(milli) * 100;
                write(&place.join("cpu.cfs_quota_us"), &quota.to_string())?;
            }
        }
        _ => {}
    }
    Ok(())
}
