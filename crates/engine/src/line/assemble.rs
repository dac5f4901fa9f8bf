//! Makes lines of pieces. Never holds more than one line of the longest kind.

use model::limit::LINE_BYTES_MAX;

/// Output that comes in pieces, to be taken line by line.
#[derive(Debug)]
pub(super) struct Assembler {
    /// What came and was not looked at.
    piece: Vec<u8>,
    /// How much of the piece is taken.
    taken: usize,
    /// The beginning of the line that has no end yet.
    begun: Vec<u8>,
    /// The line that has no end yet is cut: it is too long, or its beginning is lost.
    cut: bool,
    /// The offset after the last byte taken.
    at: u64,
    /// The offset at which the line that has no end yet begins.
    line_at: u64,
}

/// A line of output.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assembled {
    pub(super) bytes: Vec<u8>,
    pub(super) end: u64,
    pub(super) overlong: bool,
}

impl Assembler {
    /// Begins at `cursor`, which is the beginning of a line; everything before `first` is lost.
    pub(super) fn new(cursor: u64, first: u64) -> Self {
        let lost = first > cursor;
        Self {
            piece: Vec::new(),
            taken: 0,
            begun: Vec::new(),
            cut: lost,
            at: cursor.max(first),
            line_at: cursor,
        }
    }

    /// The offset after the last byte that was added.
    pub(super) fn end(&self) -> u64 {
        self.at + (self.piece.len() - self.taken) as u64
    }

    /// Whether a line that has no end yet is longer than lines are; and where it begins.
    pub(super) fn overlong_from(&self) -> Option<u64> {
        (self.cut && self.taken == self.piece.len()).then_some(self.line_at)
    }

    /// Adds a piece. To be called when [`next`](Self::next) has no line more.
    pub(super) fn add(&mut self, piece: &[u8]) {
        debug_assert_eq!(
            self.taken,
            self.piece.len(),
            "a piece is taken before the next one comes"
        );
        self.piece = piece.to_vec();
        self.taken = 0;
    }

    /// The next line that has its end.
    pub(super) fn next(&mut self) -> Option<Assembled> {
        let rest = self.piece.get(self.taken..).unwrap_or_default();
        let newline = rest.iter().position(|&byte| byte == b'\n');
        let line = rest.len().min(newline.unwrap_or(rest.len()));
        let room = LINE_BYTES_MAX - self.begun.len();
        if !self.cut || !self.begun.is_empty() {
            self.begun.extend_from_slice(&rest[..line.min(room)]);
        }
        self.cut |= line > room;
        let used = line + usize::from(newline.is_some());
        self.taken += used;
        self.at += used as u64;
        if self.taken == self.piece.len() {
            self.piece = Vec::new();
            self.taken = 0;
        }
        newline.map(|_| self.finish())
    }

    /// What came without an end, as the last line of an agent that has ended.
    pub(super) fn last(&mut self) -> Option<Assembled> {
        (self.at > self.line_at).then(|| self.finish())
    }

    fn finish(&mut self) -> Assembled {
        let overlong = std::mem::take(&mut self.cut);
        self.line_at = self.at;
        Assembled { bytes: std::mem::take(&mut self.begun), end: self.at, overlong }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: &[(&[u8], u64)]) {
        let mut assembler = Assembler::new(10, 10);
        let mut lines = Vec::new();
        for piece in pieces {
            assembler.add(piece);
            lines.extend(std::iter::from_fn(|| assembler.next()));
        }
        lines.extend(assembler.last());
        let expected: Vec<_> = expected
            .iter()
            .map(|&(bytes, end)| Assembled { bytes: bytes.to_vec(), end, overlong: false })
            .collect();
        assert_eq!(lines, expected, "{pieces:?}");
    }

    #[test]
    fn lines_are_found_wherever_the_pieces_are_cut() {
        check(&[b"a\nbc\n"], &[(b"a", 12), (b"bc", 15)]);
        check(&[b"a", b"\n", b"b", b"c\n\n"], &[(b"a", 12), (b"bc", 15), (b"", 16)]);
        check(&[b"a\nno end"], &[(b"a", 12), (b"no end", 18)]);
        check(&[b"\xff\r\n"], &[(b"\xff\r", 13)]);
        check(&[], &[]);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        let mut assembler = Assembler::new(0, 0);
        let piece = vec![b'x'; 30_000];
        let mut added = 0;
        while added <= 2 * LINE_BYTES_MAX {
            assembler.add(&piece);
            assert_eq!(assembler.next(), None);
            added += piece.len();
            assert_eq!(assembler.overlong_from().is_some(), added > LINE_BYTES_MAX, "{added}");
        }
        assembler.add(b"y\nnext\n");
        let cut = assembler.next().unwrap();
        assert_eq!((cut.bytes.len(), cut.overlong), (LINE_BYTES_MAX, true));
        assert_eq!(cut.end, added as u64 + 2);
        let end = cut.end + 5;
        let next = Assembled { bytes: b"next".to_vec(), end, overlong: false };
        assert_eq!(assembler.next(), Some(next));
    }

    #[test]
    fn a_line_of_the_greatest_length_is_whole() {
        let mut assembler = Assembler::new(0, 0);
        let mut line = vec![b'x'; LINE_BYTES_MAX];
        line.push(b'\n');
        assembler.add(&line);
        let line = assembler.next().unwrap();
        assert_eq!((line.bytes.len(), line.overlong), (LINE_BYTES_MAX, false));
    }

    #[test]
    fn a_line_whose_beginning_is_lost_is_cut_and_empty() {
        let mut assembler = Assembler::new(100, 150);
        assembler.add(b"the rest\nwhole\n");
        let cut = Assembled { bytes: Vec::new(), end: 159, overlong: true };
        assert_eq!(assembler.next(), Some(cut));
        let whole = Assembled { bytes: b"whole".to_vec(), end: 165, overlong: false };
        assert_eq!(assembler.next(), Some(whole));
    }
}
