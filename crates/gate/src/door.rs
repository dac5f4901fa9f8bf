//! Accepts connections at the doors of one sandbox and gives each request to `route`, under the
//! identity of the door. Bounded in connections and in patience with each of them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use engine::port::Door;
use engine::task::TaskKind;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::broker::Serving;
use crate::limit::{HEAD_BYTES_MAX, HEADERS_MAX};
use crate::route;

/// How long a door rests when the machine has no descriptor left for a connection.
const REST: Duration = Duration::from_millis(100);

/// A listener that tokio drives.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Listener {
    pub(crate) fn new(door: Door) -> io::Result<Self> {
        match door {
            Door::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            Door::Unix(listener) => {
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Self::Unix)
            }
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Serves one door until `stop`. A connection that cannot be accepted harms no other.
pub(crate) async fn serve(
    listener: Listener,
    serving: Arc<Serving>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
) {
    let mut warned = false;
    while let Some(place) = stop.run_until_cancelled(Arc::clone(&places).acquire_owned()).await {
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { return };
        let Ok(io) = accepted else {
            if !std::mem::replace(&mut warned, true) {
                warn!(dispatch = %serving.caller.dispatch, "a door cannot accept connections");
            }
            stop.run_until_cancelled(tokio::time::sleep(REST)).await;
            continue;
        };
        let (serving, stop) = (Arc::clone(&serving), stop.clone());
        serving.tasks.clone().spawn(TaskKind::Connection, "gate connection", async move {
            stop.run_until_cancelled(connection(io, serving)).await;
            drop(place);
        });
    }
}

/// Serves one connection to its end. What goes wrong with it concerns its caller alone.
async fn connection(io: Box<dyn Io>, serving: Arc<Serving>) {
    let limits = &serving.limits;
    let io = TokioIo::new(Patient { io, unread: limits.unread, stalled: None });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(true);
    let service = service_fn(|request| route::answer(Arc::clone(&serving), request));
    drop(http.serve_connection(io, service).await);
}

/// A connection that is given up when its caller leaves what we write unread for too long.
struct Patient {
    io: Box<dyn Io>,
    unread: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let unread = self.unread;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(unread)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.judge(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(context);
        self.judge(context, shut)
    }
}
