//! The host uids that boxes borrow, one each, from blocks that no other launcher of this machine has. Knows no box.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::Path;
#[expect(
    clippy::disallowed_types,
    reason = "poisoning is harmless here and parking_lot is a dependency"
)]
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};

use crate::Error;
use crate::blocks::{Blocks, Held, block_of, inhabited, uids_of};

/// Host uids that no account uses and boxes may borrow. The gid of a box is its uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidRange {
    first: u32,
    count: u32,
}

impl UidRange {
    /// `count` uids from `first` on. `None` if the range is empty, holds uid 0, an overflow uid
    /// (65534, 65535) or the invalid one (`u32::MAX`), or has more than a million members.
    #[must_use]
    pub fn new(first: u32, count: u32) -> Option<Self> {
        let end = first.checked_add(count)?;
        let forbidden = first == 0 || (first <= 65_535 && end > 65_534);
        (count > 0 && count <= 1_000_000 && end < u32::MAX && !forbidden)
            .then_some(Self { first, count })
    }

    pub(crate) fn contains(self, uid: u32) -> bool {
        uid >= self.first && uid - self.first < self.count
    }

    fn blocks(self) -> impl Iterator<Item = u32> {
        block_of(self.first)..=block_of(self.first + (self.count - 1))
    }
}

impl Default for UidRange {
    /// 65,536 uids from 2,000,000,000 on: above every account and every usual subordinate range.
    fn default() -> Self {
        Self { first: 2_000_000_000, count: 65_536 }
    }
}

#[derive(Debug)]
struct Pool {
    /// Uids of the range in blocks that are ours.
    uids: Vec<u32>,
    next: usize,
    leased: BTreeSet<u32>,
    held: Vec<Held>,
    /// User namespaces that map the owner of the server's files to a uid, kept for the next lease.
    maps: BTreeMap<u32, Arc<OwnedFd>>,
}

impl Pool {
    /// The next free uid of the blocks that are ours.
    fn take(&mut self) -> Option<u32> {
        for _ in 0..self.uids.len() {
            let uid = self.uids[self.next % self.uids.len()];
            self.next = (self.next + 1) % self.uids.len();
            if self.leased.insert(uid) {
                return Some(uid);
            }
        }
        None
    }
}

/// How many mapping namespaces are kept; beyond it the oldest uid's goes.
const MAPS_MAX: usize = 2048;

#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "as above")]
pub(crate) struct Uids {
    range: UidRange,
    blocks: Blocks,
    pool: Mutex<Pool>,
}

impl Uids {
    #[expect(clippy::disallowed_types, reason = "as above")]
    pub(crate) fn new(range: UidRange, place: &Path) -> Arc<Self> {
        let (uids, held) = (Vec::new(), Vec::new());
        let pool = Pool { uids, next: 0, leased: BTreeSet::new(), held, maps: BTreeMap::new() };
        Arc::new(Self { range, blocks: Blocks::at(place), pool: Mutex::new(pool) })
    }

    /// Leases a uid, the least recently used kind of free one.
    ///
    /// # Errors
    /// [`Error::NoUid`] if all are leased, here or by other launchers; [`Error::Host`] if nobody can tell.
    pub(crate) fn lease(self: &Arc<Self>) -> Result<UidLease, Error> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = match pool.take() {
            None => {
                self.hold_more(&mut pool)?;
                pool.take()
            }
            taken => taken,
        };
        let uid = uid.ok_or(Error::NoUid(self.range.count))?;
        Ok(UidLease { uid, uids: Some(Arc::clone(self)), own: false })
    }

    /// Holds one more block, in which nothing runs, if there is one.
    fn hold_more(&self, pool: &mut Pool) -> Result<(), Error> {
        let inhabited = inhabited()?;
        for block in self.range.blocks().filter(|block| !inhabited.contains(block)) {
            if pool.held.iter().any(|held| held.block == block) {
                continue;
            }
            let Some(held) = self.blocks.hold(block)? else { continue };
            // A launcher may have filled it and died between the two looks.
            if crate::blocks::inhabited()?.contains(&block) {
                continue;
            }
            pool.held.push(held);
            pool.uids.extend(uids_of(block).filter(|uid| self.range.contains(*uid)));
            return Ok(());
        }
        Ok(())
    }

    /// Takes a given uid for a box that was found. A uid outside the range, or of a block that somebody else holds by
    /// now, needs no lease. The rest of its block is lent to nobody: other boxes of before may live there.
    pub(crate) fn adopt(self: &Arc<Self>, uid: u32) -> UidLease {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let block = block_of(uid);
        if self.range.contains(uid)
            && !pool.held.iter().any(|held| held.block == block)
            && let Ok(Some(held)) = self.blocks.hold(block)
        {
            pool.held.push(held);
        }
        let held = pool.held.iter().any(|held| held.block == block);
        let ours = held && self.range.contains(uid) && pool.leased.insert(uid);
        UidLease { uid, uids: ours.then(|| Arc::clone(self)), own: false }
    }

    /// The mapping namespace of a uid, made by `make` on first use.
    pub(crate) fn map(
        &self,
        uid: u32,
        make: impl FnOnce() -> Result<OwnedFd, Error>,
    ) -> Result<Arc<OwnedFd>, Error> {
        let known =
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).maps.get(&uid).cloned();
        if let Some(map) = known {
            return Ok(map);
        }
        let map = Arc::new(make()?);
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.maps.len() >= MAPS_MAX {
            pool.maps.pop_first();
        }
        pool.maps.insert(uid, Arc::clone(&map));
        Ok(map)
    }
}

/// A uid that belongs to one box until this is dropped.
#[derive(Debug)]
pub(crate) struct UidLease {
    uid: u32,
    uids: Option<Arc<Uids>>,
    own: bool,
}

impl UidLease {
    /// A uid that is not pooled: the server's own.
    pub(crate) fn own(uid: u32) -> Self {
        Self { uid, uids: None, own: true }
    }

    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// Leases it for good.
    pub(crate) fn keep(&mut self) {
        self.uids = None;
    }

    /// Whether the box runs as the server's own user.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }
}

impl Drop for UidLease {
    fn drop(&mut self) {
        if let Some(uids) = &self.uids {
            uids.pool.lock().unwrap_or_else(PoisonError::into_inner).leased.remove(&self.uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uids(place: &tempfile::TempDir, first: u32, count: u32) -> Arc<Uids> {
        Uids::new(UidRange::new(first, count).unwrap(), place.path())
    }

    #[test]
    fn a_uid_is_never_leased_twice_and_comes_back() {
        let place = tempfile::tempdir().unwrap();
        let uids = uids(&place, 1_900_000_000, 2);
        let first = uids.lease().unwrap();
        let second = uids.lease().unwrap();
        assert_ne!(first.uid(), second.uid());
        assert!(matches!(uids.lease(), Err(Error::NoUid(2))));
        drop(first);
        assert_eq!(uids.lease().unwrap().uid(), 1_900_000_000);
    }

    #[test]
    fn two_launchers_never_lease_one_uid() {
        let place = tempfile::tempdir().unwrap();
        let (one, other): (Arc<Uids>, Arc<Uids>) =
            [(); 2].map(|()| uids(&place, 1_900_001_024, 512)).into();
        let ours: Vec<_> = (0..256).map(|_| one.lease().unwrap()).collect();
        let theirs: Vec<_> = (0..256).map(|_| other.lease().unwrap()).collect();
        let all: BTreeSet<_> = ours.iter().chain(&theirs).map(UidLease::uid).collect();
        assert_eq!(all.len(), 512);
        assert!(matches!(one.lease(), Err(Error::NoUid(512))));
        drop((theirs, other));
        assert!(!ours.iter().any(|ours| ours.uid() == one.lease().unwrap().uid()));
    }

    #[test]
    fn a_uid_that_was_adopted_is_nobody_else_s() {
        let place = tempfile::tempdir().unwrap();
        let (one, other): (Arc<Uids>, Arc<Uids>) =
            [(); 2].map(|()| uids(&place, 1_900_002_048, 256)).into();
        let adopted = one.adopt(1_900_002_050);
        assert!(matches!(other.lease(), Err(Error::NoUid(256))));
        assert!(matches!(one.lease(), Err(Error::NoUid(256))), "others may live beside it");
        drop((adopted, one));
        assert!(other.lease().is_ok());
    }

    #[test]
    fn a_range_never_holds_root_or_the_overflow_uid() {
        for (first, count) in [(0, 10), (65_534, 1), (60_000, 10_000), (1, 0), (u32::MAX - 1, 2)] {
            assert_eq!(UidRange::new(first, count), None);
        }
        assert!(UidRange::new(100_000, 65_536).is_some());
    }
}
