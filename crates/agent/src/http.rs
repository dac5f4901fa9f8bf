//! One POST over plain HTTP/1.1 to the gate, whose answer is read as it comes and can be broken off
//! from another thread. No TLS, no redirects, no reuse: the gate is on this machine.
//!
//! An HTTP client of others would do, but for breaking off: a turn that is stopped must end the call
//! to the model at once, and that is a `shutdown` of the socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the other side may be silent.
const SILENCE: Duration = Duration::from_mins(5);
/// The longest line of a head or of a chunk's size.
const LINE_BYTES_MAX: u64 = 16 << 10;
/// The most lines of a head.
const HEAD_LINES_MAX: usize = 128;

/// Where requests go: `http://host[:port][/path]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    authority: String,
    port: u16,
    path: String,
}

impl Origin {
    /// Reads a URL; `None` when it is not one of plain HTTP.
    pub(crate) fn read(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://")?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, 80),
        };
        let plain = |byte: u8| byte.is_ascii_graphic();
        if host.is_empty() || !rest.bytes().all(plain) {
            return None;
        }
        let path = path.trim_end_matches('/').to_owned();
        Some(Self { authority: authority.to_owned(), port, path })
    }

    fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        host.map_or(&*self.authority, |(host, _)| host).trim_matches(['[', ']'])
    }

    /// Connects. Fails when nobody listens.
    pub(crate) fn connect(&self) -> io::Result<Connection> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in (self.host(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(SILENCE))?;
                    stream.set_write_timeout(Some(SILENCE))?;
                    return Ok(Connection(stream));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Sends `body` to `path` below the origin and reads the head of the answer.
    pub(crate) fn post(
        &self,
        connection: Connection,
        path: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        let Connection(mut stream) = connection;
        let head = format!(
            "POST {}{path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: text/event-stream, application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.path,
            self.authority,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        Answer::read(BufReader::new(stream))
    }
}

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// What breaks the connection off from another thread.
    pub(crate) fn breaker(&self) -> io::Result<Breaker> {
        self.0.try_clone().map(Breaker)
    }
}

/// Breaks a connection off.
#[derive(Debug)]
pub(crate) struct Breaker(TcpStream);

impl Breaker {
    /// Whoever reads from the connection sees its end now.
    pub(crate) fn break_off(&self) {
        self.0.shutdown(Shutdown::Both).ok();
    }
}

/// The head of an answer, and its body as it comes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// After how many seconds to try again, as the other side says.
    pub(crate) retry_after: Option<u64>,
    pub(crate) is_event_stream: bool,
    body: Body,
}

#[derive(Debug)]
struct Body {
    stream: BufReader<TcpStream>,
    rest: Rest,
}

/// What of the body has not been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// So many bytes.
    Bytes(u64),
    /// All there is until the end of the connection.
    ToEnd,
    /// So many bytes of this chunk, and then others.
    Chunk(u64),
    /// Nothing.
    Nothing,
}

impl Answer {
    fn read(mut stream: BufReader<TcpStream>) -> io::Result<Self> {
        let status = head_line(&mut stream)?;
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| broken("the answer is not HTTP"))?;
        let (mut rest, mut retry_after, mut is_event_stream) = (Rest::ToEnd, None, false);
        for _ in 0..HEAD_LINES_MAX {
            let line = head_line(&mut stream)?;
            let Some((name, value)) = line.split_once(':') else {
                if !line.is_empty() {
                    return Err(broken("a line of the head has no colon"));
                }
                let body = Body { stream, rest };
                return Ok(Self { status, retry_after, is_event_stream, body });
            };
            let value = value.trim().to_ascii_lowercase();
            match name.trim().to_ascii_lowercase().as_str() {
                "transfer-encoding" if value.ends_with("chunked") => rest = Rest::Chunk(0),
                "content-length" if rest == Rest::ToEnd => {
                    rest = Rest::Bytes(value.parse().map_err(|_| broken("a length is no number"))?);
                }
                "retry-after" => retry_after = value.parse().ok(),
                "content-type" => is_event_stream = value.starts_with("text/event-stream"),
                _ => {}
            }
        }
        Err(broken("the head of the answer has no end"))
    }

    /// The body: an early end of the connection is an error.
    pub(crate) fn into_body(self) -> impl BufRead {
        BufReader::new(self.body)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest == Rest::Chunk(0) {
            self.rest = self.next_chunk()?;
        }
        let most = match self.rest {
            Rest::Bytes(0) | Rest::Nothing => 0,
            Rest::Bytes(rest) | Rest::Chunk(rest) => rest.min(buffer.len() as u64),
            Rest::ToEnd => buffer.len() as u64,
        };
        let most = usize::try_from(most).unwrap_or(buffer.len());
        let read = self.stream.read(&mut buffer[..most])?;
        if read == 0 && most > 0 && self.rest != Rest::ToEnd {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &mut self.rest {
            Rest::Bytes(rest) => *rest -= read as u64,
            Rest::Chunk(rest) => {
                *rest -= read as u64;
                if *rest == 0 && read > 0 {
                    head_line(&mut self.stream)?; // the end of the chunk's line
                }
            }
            Rest::ToEnd | Rest::Nothing => {}
        }
        Ok(read)
    }
}

impl Body {
    fn next_chunk(&mut self) -> io::Result<Rest> {
        let line = head_line(&mut self.stream)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        match u64::from_str_radix(size, 16) {
            Ok(0) => Ok(Rest::Nothing),
            Ok(size) => Ok(Rest::Chunk(size)),
            Err(_) => Err(broken("the size of a chunk is no number")),
        }
    }
}

fn head_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    stream.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()),
        Some(_) if line.len() as u64 + 1 >= LINE_BYTES_MAX => {
            Err(broken("a line of the head is too long"))
        }
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
