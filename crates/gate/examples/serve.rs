//! Serves one door of the gate on a loopback port, so that an agent or `curl` can be tried against it.
//!
//! `serve [--port PORT] [--endpoint anthropic|openai BASE_URL MODEL KEY_FILE]`; without an endpoint the
//! demo model answers. What the gate reports (usage, faults) is printed.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use engine::port::{Caller, Clock, Door, Gate};
use engine::task::Tasks;
use gate::{Broker, Endpoint, EndpointParts, Limits, Secret, Setup};
use model::{DispatchId, ModelApi, Time, UserId};

type Failure = Box<dyn std::error::Error>;

struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> Time {
        Time::from_ms(0) // the gate asks for durations alone
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

struct Wanted {
    port: u16,
    endpoints: Vec<Endpoint>,
}

fn wanted(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, Failure> {
    let mut wanted = Wanted { port: 0, endpoints: Vec::new() };
    while let Some(flag) = arguments.next() {
        let mut next = || arguments.next().ok_or_else(|| format!("{flag} lacks an argument"));
        match flag.as_str() {
            "--port" => wanted.port = next()?.parse()?,
            "--endpoint" => {
                let api = match next()?.as_str() {
                    "anthropic" => ModelApi::AnthropicMessages,
                    "openai" => ModelApi::OpenaiChat,
                    other => return Err(format!("no dialect `{other}`").into()),
                };
                let (base_url, model) = (next()?, next()?);
                let key = std::fs::read_to_string(next()?)?.trim().to_owned();
                let key = Some(Secret::new(key));
                let parts = EndpointParts { name: "example".into(), api, base_url, key, model };
                wanted.endpoints.push(Endpoint::new(parts)?);
            }
            other => return Err(format!("no argument `{other}`").into()),
        }
    }
    Ok(wanted)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Wanted { port, endpoints } = wanted(std::env::args().skip(1))?;
    let clock = Arc::new(Monotonic);
    let setup = Setup { endpoints, limits: Limits::default(), tasks: Tasks::new(), clock };
    let broker = Broker::new(setup)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("http://{} serves {}", listener.local_addr()?, broker.model(ModelApi::OpenaiChat));
    let (reports, mut reported) = tokio::sync::mpsc::channel(64);
    let caller = Caller {
        dispatch: DispatchId::from_uuid(uuid::Uuid::from_u128(1)),
        subject: UserId::from_uuid(uuid::Uuid::from_u128(2)),
        runner: "example".parse()?,
        model_api: ModelApi::AnthropicMessages,
        reports,
    };
    let open = broker.open(caller, vec![Door::Tcp(listener)]).await?;
    while let Some(event) = reported.recv().await {
        println!("{event:?}");
    }
    drop(open);
    Ok(())
}
