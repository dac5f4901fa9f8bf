//! Packets between the host program and its zygote: bytes and descriptors over a socket that
//! keeps message borders. Both ends are ours, yet every length is checked.

use std::ffi::CString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// The largest packet, and so the largest sum of arguments and environment.
pub(crate) const PACKET_BYTES_MAX: usize = 160 * 1024;
/// The most descriptors in one packet.
pub(crate) const FDS_MAX: usize = 64;

/// A connected pair of packet sockets.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one packet, whole or not at all.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.len() > PACKET_BYTES_MAX || fds.len() > FDS_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let iov = [IoSlice::new(bytes)];
    loop {
        match sendmsg(&socket, &iov, &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(drop).map_err(Into::into),
        }
    }
}

/// Receives one packet into `buffer`; zero bytes mean that the other end is closed.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut iov = [IoSliceMut::new(buffer)];
        match recvmsg(&socket, &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((received.bytes, fds))
}

/// Writes the fields of a packet one after another.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn usize(&mut self, value: usize) -> &mut Self {
        self.u64(value as u64)
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.usize(value.len());
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn text(&mut self, value: &CString) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub(crate) fn list<T>(&mut self, items: &[T], mut put: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.usize(items.len());
        for item in items {
            put(self, item);
        }
        self
    }

    pub(crate) fn done(&self) -> &[u8] {
        &self.0
    }
}

/// Reads what [`Writer`] wrote. `None` where the packet is not of that form.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn u64(&mut self) -> Option<u64> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(u64::from_le_bytes(*head))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.u64()?.try_into().ok()
    }

    pub(crate) fn usize(&mut self) -> Option<usize> {
        self.u64()?.try_into().ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = self.usize()?;
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head.to_vec())
    }

    pub(crate) fn text(&mut self) -> Option<CString> {
        CString::new(self.bytes()?).ok()
    }

    pub(crate) fn list<T>(
        &mut self,
        mut take: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.usize()?;
        (count <= PACKET_BYTES_MAX / 8).then_some(())?;
        (0..count).map(|_| take(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_comes_back_as_it_was_written() {
        let mut writer = Writer::default();
        let texts = [CString::new("a").unwrap(), CString::new("").unwrap()];
        writer.u64(7).list(&texts, |w, text| {
            w.text(text);
        });
        let mut reader = Reader(writer.done());
        assert_eq!(reader.u64(), Some(7));
        assert_eq!(reader.list(Reader::text), Some(texts.to_vec()));
        assert_eq!(reader.u64(), None);
    }

    #[test]
    fn a_length_beyond_the_packet_is_refused() {
        let mut writer = Writer::default();
        writer.usize(1 << 40);
        assert_eq!(Reader(writer.done()).bytes(), None);
        assert_eq!(Reader(writer.done()).list(Reader::u64), None);
    }

    #[test]
    fn descriptors_travel_with_a_packet() {
        let (here, there) = pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send(&here, b"x", &[file.as_fd()]).unwrap();
        let mut buffer = [0; 8];
        let (count, fds) = receive(&there, &mut buffer).unwrap();
        assert_eq!((count, fds.len()), (1, 1));
        drop(here);
        assert_eq!(receive(&there, &mut buffer).unwrap().0, 0);
    }
}
