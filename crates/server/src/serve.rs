//! Accepts connections and serves them, within bounds, until the process is asked to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use engine::task::{TaskKind, Tasks};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

/// How many connections are served at once where the process may have as many open files.
pub const CONNECTIONS_MAX: u64 = 16_384;
/// How long a caller may take to send the head of a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long to rest when the machine has no descriptor for another connection.
const ACCEPT_REST: Duration = Duration::from_millis(50);
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
Content-Type: application/json\r\nContent-Length: 44\r\n\r\n\
{\"detail\":\"too many connections, try again\"}";

/// Serves `router` on `listener` until `tasks` are asked to stop. No more than `connections_max` are served at
/// once; those beyond are told to come again.
pub async fn serve(listener: TcpListener, router: Router, connections_max: usize, tasks: Tasks) {
    let stopping = tasks.stopping();
    let places = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => match places.clone().try_acquire_owned() {
                Ok(place) => {
                    let connection = connection(stream, peer, router.clone(), tasks.clone(), place);
                    tasks.spawn(TaskKind::Connection, "connection", connection);
                }
                Err(_) => tasks.spawn(TaskKind::Connection, "busy", turn_away(stream)),
            },
            Err(problem) => {
                warn!(%problem, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    tasks: Tasks,
    place: OwnedSemaphorePermit,
) {
    // Frames are small and wanted at once; a connection without the option still works.
    let _set = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    let stopping = tasks.stopping();
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stopping.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(problem) = ended {
        debug!(%problem, %peer, "a connection ended early");
    }
    drop(place);
}

async fn turn_away(mut stream: TcpStream) {
    let told = tokio::time::timeout(HEAD_TIME_MAX, stream.write_all(BUSY)).await;
    if told.is_err() {
        debug!("a caller who was turned away did not listen");
    }
}

#[cfg(test)]
mod tests {
    use super::BUSY;

    #[test]
    fn the_answer_of_a_busy_server_has_the_length_that_it_says() {
        let text = std::str::from_utf8(BUSY).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
    }
}
