//! What the agent wrote and the server does not have yet. Both kinds are bounded: output is kept
//! whole and makes the agent wait, errors are dropped and counted.

use std::collections::VecDeque;

use model::worker_wire::SPOOL_BYTES_MAX;

/// The memory that an empty spool may keep.
const IDLE_BYTES_MAX: usize = 64 << 10;
/// The most bytes of standard error that wait for the server.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// The agent's standard output, counted by offset, until it is acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    kept: VecDeque<u8>,
    /// The offset of the first kept byte.
    first: u64,
    /// How many of the kept bytes were sent on this connection.
    sent: usize,
}

/// An offset was acknowledged that was never reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadOffset;

impl Spool {
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// How much may be added.
    pub(crate) fn room(&self) -> usize {
        SPOOL_BYTES_MAX.saturating_sub(self.kept.len())
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let capacity = self.kept.capacity();
        if self.kept.len() + bytes.len() > capacity {
            let wanted = (capacity * 2).clamp(IDLE_BYTES_MAX, SPOOL_BYTES_MAX);
            self.kept.reserve_exact(wanted.max(self.kept.len() + bytes.len()) - self.kept.len());
        }
        self.kept.extend(bytes);
    }

    /// The next bytes to be sent, at most `max`, with the offset of the first of them.
    pub(crate) fn unsent(&self, max: usize) -> Option<(u64, &[u8])> {
        let (front, back) = self.kept.as_slices();
        let slice = match self.sent.checked_sub(front.len()) {
            None => &front[self.sent..],
            Some(in_back) => &back[in_back..],
        };
        let slice = &slice[..slice.len().min(max)];
        (!slice.is_empty()).then_some((self.first + self.sent as u64, slice))
    }

    pub(crate) fn mark_sent(&mut self, bytes: usize) {
        self.sent = (self.sent + bytes).min(self.kept.len());
    }

    pub(crate) fn all_sent(&self) -> bool {
        self.sent == self.kept.len()
    }

    /// Forgets everything before `offset`. An older offset changes nothing.
    pub(crate) fn acknowledge(&mut self, offset: u64) -> Result<(), BadOffset> {
        if offset > self.end() {
            return Err(BadOffset);
        }
        let done = usize::try_from(offset.saturating_sub(self.first)).map_err(|_| BadOffset)?;
        self.kept.drain(..done);
        self.first += done as u64;
        self.sent = self.sent.saturating_sub(done);
        if self.kept.is_empty() && self.kept.capacity() > IDLE_BYTES_MAX {
            self.kept = VecDeque::new();
        }
        Ok(())
    }

    /// Everything that is kept will be sent again.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
    }
}

/// The agent's standard error: what does not fit is dropped, and how much is said.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    kept: VecDeque<u8>,
    /// Bytes dropped after those that are kept.
    dropped: u64,
    /// Bytes dropped before those that are kept.
    dropped_before: u64,
}

impl Errors {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if self.dropped > 0 && self.kept.is_empty() {
            self.dropped_before = std::mem::take(&mut self.dropped);
        }
        let room = if self.dropped > 0 { 0 } else { ERROR_BYTES_MAX - self.kept.len() };
        let (fits, rest) = bytes.split_at(room.min(bytes.len()));
        self.kept.extend(fits);
        self.dropped += rest.len() as u64;
    }

    /// Takes the next bytes, at most `max`, with the number of bytes dropped before them.
    pub(crate) fn take(&mut self, max: usize) -> Option<(u64, Vec<u8>)> {
        if self.is_empty() {
            return None;
        }
        let count = self.kept.len().min(max);
        let bytes: Vec<u8> = self.kept.drain(..count).collect();
        let before = std::mem::take(&mut self.dropped_before);
        if self.kept.is_empty() {
            self.dropped_before = std::mem::take(&mut self.dropped);
        }
        Some((before, bytes))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.dropped == 0 && self.dropped_before == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(spool: &mut Spool, max: usize) -> (u64, Vec<u8>) {
        let (offset, bytes) = spool.unsent(max).map(|(at, bytes)| (at, bytes.to_vec())).unwrap();
        spool.mark_sent(bytes.len());
        (offset, bytes)
    }

    #[test]
    fn output_is_kept_until_it_is_acknowledged_and_sent_again_after_a_rewind() {
        let mut spool = Spool::default();
        spool.add(b"abcdef");
        assert_eq!(sent(&mut spool, 4), (0, b"abcd".to_vec()));
        spool.acknowledge(2).unwrap();
        assert_eq!(sent(&mut spool, 9), (4, b"ef".to_vec()));
        assert!(spool.all_sent() && spool.unsent(1).is_none());
        spool.rewind();
        assert_eq!(sent(&mut spool, 9), (2, b"cdef".to_vec()));
        spool.acknowledge(1).unwrap();
        assert_eq!((spool.first(), spool.end()), (2, 6));
        assert_eq!(spool.acknowledge(7), Err(BadOffset));
        spool.acknowledge(6).unwrap();
        assert_eq!((spool.first(), spool.end()), (6, 6));
    }

    #[test]
    fn the_spool_wraps_around_without_losing_order_or_growing() {
        let mut spool = Spool::default();
        let mut expected = 0_u64;
        for round in 0..2_000_u64 {
            let bytes: Vec<u8> = (0..701).map(|at| ((round * 701 + at) % 251) as u8).collect();
            spool.add(&bytes);
            while let Some((offset, slice)) = spool.unsent(300) {
                assert_eq!(offset, expected);
                assert!(slice.iter().zip(offset..).all(|(&byte, at)| u64::from(byte) == at % 251));
                expected += slice.len() as u64;
                let count = slice.len();
                spool.mark_sent(count);
            }
            spool.acknowledge(expected - 100).unwrap();
        }
        assert!(spool.kept.capacity() <= IDLE_BYTES_MAX);
    }

    #[test]
    fn errors_that_do_not_fit_are_dropped_and_counted_where_they_are_missing() {
        let mut errors = Errors::default();
        errors.add(&vec![b'a'; ERROR_BYTES_MAX - 1]);
        errors.add(b"bcd");
        errors.add(b"e");
        let (before, first) = errors.take(usize::MAX).unwrap();
        assert_eq!((before, first.len(), first.last()), (0, ERROR_BYTES_MAX, Some(&b'b')));
        errors.add(b"f");
        assert_eq!(errors.take(usize::MAX), Some((3, b"f".to_vec())));
        assert_eq!(errors.take(usize::MAX), None);
    }

    #[test]
    fn dropped_errors_are_told_even_when_none_follow() {
        let mut errors = Errors::default();
        errors.add(&vec![b'a'; ERROR_BYTES_MAX + 5]);
        assert_eq!(errors.take(usize::MAX).unwrap().0, 0);
        assert_eq!(errors.take(usize::MAX), Some((5, Vec::new())));
        assert!(errors.is_empty());
    }
}
