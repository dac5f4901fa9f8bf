//! Model servers on this machine, at the ports where they usually are. Asks the loopback alone, for a
//! moment, and sends no key. Picks none by itself: `model.url = auto` asks for it.

use std::time::Duration;

use serde::Deserialize;

use crate::config::Config;
use crate::exit::{Exit, Failed};

/// How long a server may take to say which models it has.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The longest list of models that is read, in bytes.
const LIST_BYTES_MAX: usize = 1 << 20;
/// The most models of one server that are looked at, and the longest name, in bytes.
const MODELS_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 256;

/// What usually answers at which port.
const USUAL: [(&str, u16); 4] =
    [("Ollama", 11434), ("llama.cpp server", 8080), ("vLLM", 8000), ("LM Studio", 1234)];

/// A model server that answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What usually stands at its port; another may.
    pub(crate) what: &'static str,
    pub(crate) url: String,
    pub(crate) models: Vec<String>,
}

/// The model servers of this machine.
pub(crate) async fn look() -> Vec<Found> {
    look_at(&USUAL, ANSWER_MAX).await
}

async fn look_at(places: &[(&'static str, u16)], patience: Duration) -> Vec<Found> {
    let client = reqwest::Client::builder()
        .timeout(patience)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build();
    let Ok(client) = client else { return Vec::new() };
    let mut found = Vec::new();
    for &(what, port) in places {
        found.extend(ask(&client, what, port).await);
    }
    found
}

#[derive(Deserialize)]
struct List {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

async fn ask(client: &reqwest::Client, what: &'static str, port: u16) -> Option<Found> {
    let url = format!("http://127.0.0.1:{port}");
    let mut answer = client.get(format!("{url}/v1/models")).send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        body.extend_from_slice(&piece);
        if body.len() > LIST_BYTES_MAX {
            return None;
        }
    }
    let List { data } = serde_json::from_slice(&body).ok()?;
    let good = |name: &String| {
        !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control)
    };
    let models: Vec<_> = data.into_iter().map(|model| model.id).filter(good).collect();
    Some(Found { what, url, models: models.into_iter().take(MODELS_MAX).collect() })
}

/// The configuration, with the server and model that `model.url = auto` asks to be found.
pub(crate) async fn resolved(config: &Config) -> Result<Config, Failed> {
    if config.text("model.url") != Some("auto") {
        return Ok(config.clone());
    }
    let (url, model) = chosen(&look().await, config.text("model.name")).ok_or_else(|| {
        let tried = USUAL.map(|(what, port)| format!("{what} at {port}")).join(", ");
        let what = format!("model.url is `auto`, and no model was found on the loopback: {tried}");
        Failed::new(Exit::Config, what)
            .next("start one of them and load a model, or name its address with --model-url")
    })?;
    tracing::info!(%url, %model, "a model server of this machine was found");
    config.with("model.url", &url)?.with("model.name", &model)?.with("model.api", "openai")
}

/// The first server that has the model; any model where none is named.
fn chosen(found: &[Found], named: Option<&str>) -> Option<(String, String)> {
    found.iter().find_map(|server| {
        let mut models = server.models.iter();
        let model = models.find(|model| named.is_none_or(|named| named == model.as_str()))?;
        Some((server.url.clone(), model.clone()))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A port where one request gets this answer.
    fn server(body: String) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut request = [0; 4096];
            let read = stream.read(&mut request).expect("a request");
            assert!(request[..read].starts_with(b"GET /v1/models HTTP/1.1\r\n"));
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            // A caller that has read enough hangs up.
            drop(
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())),
            );
        });
        port
    }

    #[tokio::test]
    async fn servers_that_list_models_are_found_and_others_are_not() {
        let good = server(r#"{"object":"list","data":[{"id":"a"},{"id":"b\u001b[2J"}]}"#.into());
        let other = server("<html>".into());
        let endless = server(format!("{{\"data\":[{}", "1,".repeat(LIST_BYTES_MAX)));
        let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = closed.local_addr().expect("bound").port();
        drop(closed);
        let places = [("good", good), ("other", other), ("endless", endless), ("closed", port)];
        let url = format!("http://127.0.0.1:{good}");
        let expected = Found { what: "good", url, models: vec!["a".into()] };
        assert_eq!(look_at(&places, Duration::from_mins(3)).await, [expected]);
    }

    #[test]
    fn a_named_model_is_looked_for_and_none_is_made_up() {
        let server = |url: &str, models: &[&str]| Found {
            what: "x",
            url: url.into(),
            models: models.iter().map(|&model| model.to_owned()).collect(),
        };
        let found = [server("u1", &[]), server("u2", &["a", "b"]), server("u3", &["c"])];
        let pair = |url: &str, model: &str| Some((url.to_owned(), model.to_owned()));
        assert_eq!(chosen(&found, None), pair("u2", "a"));
        assert_eq!(chosen(&found, Some("c")), pair("u3", "c"));
        assert_eq!(chosen(&found, Some("z")), None);
        assert_eq!(chosen(&[], None), None);
    }
}
