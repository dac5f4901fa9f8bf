//! Records one call of a model, of a dispatch whose person wants it recorded: as the agent asked, and
//! as it was answered, without keys. Bounded.

use bytes::{Bytes, BytesMut};
use engine::port::Exchange;

use crate::limit::{RECORDED_ANSWER_BYTES_MAX, RECORDED_REQUEST_BYTES_MAX};

/// What was said so far.
#[derive(Debug)]
pub(crate) struct Tape {
    request: Bytes,
    answer: BytesMut,
    cut: bool,
}

impl Tape {
    pub(crate) fn new(request: &Bytes) -> Self {
        let cut = request.len() > RECORDED_REQUEST_BYTES_MAX;
        let request = request.slice(..request.len().min(RECORDED_REQUEST_BYTES_MAX));
        Self { request, answer: BytesMut::new(), cut }
    }

    /// The next bytes that the caller gets.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        let room = RECORDED_ANSWER_BYTES_MAX.saturating_sub(self.answer.len());
        self.cut |= bytes.len() > room;
        self.answer.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What is kept, once it is known what of.
    pub(crate) fn into(self, exchange: Exchange) -> Exchange {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (request, answer) = (text(&self.request), text(&self.answer));
        Exchange { request, answer, cut: self.cut, ..exchange }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let request = Bytes::from(vec![b'a'; RECORDED_REQUEST_BYTES_MAX]);
        let mut tape = Tape::new(&request);
        tape.hear(&vec![b'b'; RECORDED_ANSWER_BYTES_MAX]);
        assert_eq!((tape.cut, tape.request.len()), (false, request.len()));
        tape.hear(b"c");
        assert_eq!((tape.cut, tape.answer.len()), (true, RECORDED_ANSWER_BYTES_MAX));
        let long = Bytes::from(vec![b'a'; RECORDED_REQUEST_BYTES_MAX + 1]);
        assert!(Tape::new(&long).cut);
    }
}
