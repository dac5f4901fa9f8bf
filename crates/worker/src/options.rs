//! The command line of the worker.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a worker runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The socket at which the server listens.
    pub socket: PathBuf,
    /// How long the server may be away before the box ends itself. 60 s by default.
    pub away_max: Duration,
    /// Loopback ports that lead to unix sockets.
    pub forwards: Vec<Forward>,
}

/// A loopback port that leads to a unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The TCP port on 127.0.0.1; 0: any free one.
    pub port: u16,
    /// Where its connections go.
    pub socket: PathBuf,
}

/// The command line makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadArgument(String);

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; usage: SOCKET [--away SECONDS] [--forward PORT=SOCKET]", self.0)
    }
}

impl std::error::Error for BadArgument {}

const AWAY_MAX: Duration = Duration::from_mins(1);

impl Options {
    /// Reads the arguments after the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, BadArgument> {
        let mut arguments = arguments.into_iter();
        let mut options = Self { socket: PathBuf::new(), away_max: AWAY_MAX, forwards: Vec::new() };
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--away") => options.away_max = seconds(arguments.next().as_ref())?,
                Some("--forward") => options.forwards.push(forward(arguments.next().as_ref())?),
                Some(flag) if flag.starts_with('-') => {
                    return Err(BadArgument(format!("there is no option `{flag}`")));
                }
                _ if options.socket.as_os_str().is_empty() => options.socket = argument.into(),
                _ => return Err(BadArgument("there is more than one socket".to_owned())),
            }
        }
        if options.socket.as_os_str().is_empty() {
            return Err(BadArgument("the socket is missing".to_owned()));
        }
        Ok(options)
    }
}

fn seconds(argument: Option<&OsString>) -> Result<Duration, BadArgument> {
    let text = argument.and_then(|text| text.to_str());
    text.and_then(|text| text.parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|away| *away <= Duration::from_hours(24))
        .ok_or_else(|| BadArgument(format!("`--away {}` is no time", text.unwrap_or_default())))
}

fn forward(argument: Option<&OsString>) -> Result<Forward, BadArgument> {
    let text = argument.and_then(|text| text.to_str()).unwrap_or_default();
    text.split_once('=')
        .filter(|(_, socket)| !socket.is_empty())
        .and_then(|(port, socket)| {
            Some(Forward { port: port.parse().ok()?, socket: socket.into() })
        })
        .ok_or_else(|| BadArgument(format!("`--forward {text}` is not PORT=SOCKET")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Options, &str>) {
        let parsed = Options::parse(line.split_whitespace().map(OsString::from));
        assert_eq!(parsed, expected.map_err(|why| BadArgument(why.to_owned())), "{line}");
    }

    #[test]
    fn the_command_line_is_read_or_refused_with_the_reason() {
        let options = |away_ms, forwards| Options {
            socket: "/run/worker.sock".into(),
            away_max: Duration::from_millis(away_ms),
            forwards,
        };
        let gate = Forward { port: 8700, socket: "/run/gate.sock".into() };
        check("/run/worker.sock", Ok(options(60_000, Vec::new())));
        check(
            "/run/worker.sock --away 1.5 --forward 8700=/run/gate.sock",
            Ok(options(1_500, vec![gate])),
        );
        check("", Err("the socket is missing"));
        check("a b", Err("there is more than one socket"));
        check("a --away", Err("`--away ` is no time"));
        check("a --away -1", Err("`--away -1` is no time"));
        check("a --away inf", Err("`--away inf` is no time"));
        check("a --forward 8700", Err("`--forward 8700` is not PORT=SOCKET"));
        check("a --forward 70000=b", Err("`--forward 70000=b` is not PORT=SOCKET"));
        check("a --verbose", Err("there is no option `--verbose`"));
    }
}
