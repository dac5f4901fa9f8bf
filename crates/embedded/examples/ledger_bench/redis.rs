//! The same appends to Redis streams with `appendfsync always`, where a redis-server is installed.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Failed;
use super::appends::EVENT_BYTES;
use super::spread::{figures, now};

/// A server of our own, with a folder of its own. Ends when this is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill().and_then(|()| self.child.wait()).is_err();
    }
}

/// So many connections, each on a stream of its own, each waiting for its answer.
pub(crate) async fn appends(
    folder: &Path,
    connections: usize,
    seconds: Duration,
) -> Result<Value, Failed> {
    let folder = tempfile::tempdir_in(folder)?;
    let Some(server) = start(folder.path()).await? else {
        return Ok(json!({ "absent": "redis-server is not installed" }));
    };
    let begin = now();
    let tasks = engine::task::Tasks::new();
    let (done, mut finished) = tokio::sync::mpsc::channel(connections);
    for number in 0..connections {
        let (done, address) = (done.clone(), server.address);
        tasks.spawn(engine::task::TaskKind::Connection, "connection", async move {
            let took = write(address, number, begin + seconds).await;
            // The receiver outlives every connection.
            let _gone = done.send(took).await.is_err();
        });
    }
    drop(done);
    let mut took = Vec::new();
    while let Some(of_one) = finished.recv().await {
        took.extend(of_one?);
    }
    Ok(figures(took, begin.elapsed()))
}

async fn start(folder: &Path) -> Result<Option<Server>, Failed> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder);
    let child = match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let server = Server { child, address: SocketAddr::from(([127, 0, 0, 1], port)) };
    let begin = now();
    loop {
        match TcpStream::connect(server.address).await {
            Ok(_) => return Ok(Some(server)),
            Err(error) if begin.elapsed() > Duration::from_secs(10) => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn write(
    address: SocketAddr,
    number: usize,
    until: Instant,
) -> Result<Vec<Duration>, std::io::Error> {
    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let (key, value) = (format!("stream{number}"), "x".repeat(EVENT_BYTES));
    let command = request(&["XADD", &key, "*", "d", &value]);
    let mut answer = [0; 256];
    let mut took = Vec::new();
    while now() < until {
        let before = now();
        connection.write_all(command.as_bytes()).await?;
        let mut length = 0;
        // The answer is a bulk string: `$<length>`, a line end, the id, a line end.
        while answer[..length].split(|&byte| byte == b'\n').count() < 3 {
            let read = connection.read(&mut answer[length..]).await?;
            if read == 0 || answer[0] != b'$' {
                let said = String::from_utf8_lossy(&answer).into_owned();
                return Err(std::io::Error::other(said));
            }
            length += read;
        }
        took.push(before.elapsed());
    }
    Ok(took)
}

fn request(words: &[&str]) -> String {
    let words_only = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), words_only.collect::<String>())
}
