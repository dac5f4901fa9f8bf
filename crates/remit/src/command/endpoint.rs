//! `remit endpoint …`: model endpoints of one's own. A key is read from a file, standard input or the environment, and
//! never printed.

use reqwest::Method;
use serde_json::{Value, json};

use super::hand::read_secret;
use crate::cli::{Endpoint, NewEndpoint};
use crate::client::escaped;
use crate::config::Config;
use crate::exit::Exit;
use crate::say::{self, safe};

pub(crate) async fn run(config: &Config, verb: Endpoint, as_json: bool) -> anyhow::Result<Exit> {
    let client = super::client(config)?;
    match verb {
        Endpoint::Ls { .. } => {
            let list = client.get("/auth/endpoints").await?;
            let endpoints = list["endpoints"].as_array().cloned().unwrap_or_default();
            if !as_json && endpoints.is_empty() {
                say::talk(hosts(&list));
            }
            let fields = ["name", "api", "url", "has_key", "allowed", "choices"];
            say::list(&endpoints, &fields, as_json)?;
        }
        Endpoint::Add(new) => {
            let body = body(config, &new)?;
            let kept = client.ask(Method::PUT, &path(&new.name), Some(&body)).await?;
            if as_json {
                say::json(&kept)?;
            } else {
                let choices = kept["choices"].as_array().into_iter().flatten();
                for choice in choices.filter_map(Value::as_str) {
                    say::data(safe(choice))?;
                }
                say::talk(format!("`remit endpoint test {}` tries it", safe(&new.name)));
            }
        }
        Endpoint::Rm { name, .. } => {
            client.ask(Method::DELETE, &path(&name), None).await?;
            if as_json {
                say::json(&json!({"removed": name}))?;
            } else {
                say::talk(format!("{} is removed, and its key destroyed", safe(&name)));
            }
        }
        Endpoint::Test { name, model, .. } => {
            let path = format!("{}/test", path(&name));
            let tried = client.post_patiently(&path, &json!({"model": model})).await?;
            let ok = tried["ok"] == true;
            if as_json {
                say::json(&tried)?;
            } else if ok {
                say::talk(format!("{} answers, in {} ms", safe(&name), tried["elapsed_ms"]));
            } else {
                say::talk(safe(tried["problem"].as_str().unwrap_or_default()));
            }
            return Ok(if ok { Exit::Ok } else { Exit::Failed });
        }
    }
    Ok(Exit::Ok)
}

fn path(name: &str) -> String {
    format!("/auth/endpoints/{}", escaped(name))
}

/// Where an endpoint of one's own may be.
fn hosts(list: &Value) -> String {
    let hosts: Vec<_> =
        list["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if hosts.is_empty() {
        return "this server lets nobody bring a model endpoint: `model.persons` names no host"
            .to_owned();
    }
    format!("you have none; the server calls {}", safe(&hosts.join(", ")))
}

fn body(config: &Config, new: &NewEndpoint) -> anyhow::Result<Value> {
    let mut body = json!({
        "api": new.api, "url": new.at, "model": new.model, "models": new.models,
        "runners": new.runners, "max_tokens": new.max_tokens,
    });
    if let (Some(input), Some(output)) = (new.input_price, new.output_price) {
        body["prices"] = json!([{"input": input, "cached": new.cached_price, "output": output}]);
    }
    let key = match &new.key_file {
        Some(path) => Some(read_secret("key", path)?),
        None => config.text("endpoint.key").map(str::to_owned),
    };
    if let Some(key) = key {
        body["key"] = key.into();
    }
    Ok(body)
}
