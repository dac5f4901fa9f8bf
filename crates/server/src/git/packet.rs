//! Git's packet lines: four hexadecimal digits of length, then so many bytes. Pure.

/// Ends a list.
pub(super) const FLUSH: &[u8] = b"0000";
/// The most bytes of one line, its length included.
const LINE_BYTES_MAX: usize = 65_520;

/// One line; what is too long for one is cut.
pub(super) fn line(content: &[u8]) -> Vec<u8> {
    let content = &content[..content.len().min(LINE_BYTES_MAX - 4)];
    let mut line = format!("{:04x}", content.len() + 4).into_bytes();
    line.extend_from_slice(content);
    line
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// A line, and what follows it.
    Line(&'a [u8], &'a [u8]),
    /// The end of a list, and what follows it.
    Flush(&'a [u8]),
    /// More bytes are needed.
    More,
    /// It is no packet line.
    Broken,
}

/// Reads one line.
pub(super) fn read(bytes: &[u8]) -> Read<'_> {
    let Some((length, rest)) = bytes.split_at_checked(4) else { return Read::More };
    let length = std::str::from_utf8(length).ok();
    let digits = length.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match digits.and_then(|text| usize::from_str_radix(text, 16).ok()) {
        Some(0) => Read::Flush(rest),
        Some(length @ 5..=LINE_BYTES_MAX) => match rest.split_at_checked(length - 4) {
            Some((line, rest)) => Read::Line(line, rest),
            None => Read::More,
        },
        _ => Read::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_nonsense_does_not() {
        let two = [line(b"hello\n"), FLUSH.to_vec()].concat();
        assert_eq!(&two, b"000ahello\n0000");
        assert_eq!(read(&two), Read::Line(b"hello\n", b"0000"));
        assert_eq!(read(b"0000PACK"), Read::Flush(b"PACK"));
        assert_eq!(read(b"000"), Read::More);
        assert_eq!(read(b"000ahel"), Read::More);
        for bad in [&b"zzzz"[..], b"0001", b"0004", b"+00a", b"ffffx", b"\xff\xff\xff\xff"] {
            assert_eq!(read(bad), Read::Broken, "{bad:?}");
        }
    }
}
