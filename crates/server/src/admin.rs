//! `/admin`: people and their keys. A key is shown once, when it is made, and stored as its hash.

use std::collections::BTreeSet;
use std::fmt::Write;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::{Extension, Json};
use engine::port::{IdSource, Key, Person, Scope, Workspace};
use model::{KeyId, UserId, WorkspaceId};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::error;
use trust::Action;

use crate::access::{Caller, key_hash};
use crate::api::Api;
use crate::body;
use crate::problem::{INTERNAL, INVALID, NOT_FOUND, Problem};
use crate::views;

/// What every key begins with, so that scanners find one that leaked.
pub const KEY_PREFIX: &str = "rmt_";

/// A new key: 256 bits that nobody can guess.
pub fn new_key(ids: &dyn IdSource) -> String {
    KEY_PREFIX.to_owned() + &secret(ids)
}

/// 256 bits that nobody can guess, as text.
pub(crate) fn secret(ids: &dyn IdSource) -> String {
    let mut text = String::new();
    for byte in ids.secret() {
        // Writing to a text cannot fail.
        let _written = write!(text, "{byte:02x}");
    }
    text
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPerson {
    email: String,
    name: Option<String>,
    max_concurrent: Option<u32>,
}

const EMAIL_BYTES_MAX: usize = 254;
const NAME_CHARS_MAX: usize = 100;
/// How many dispatches of one person may be alive at once where nothing else was said.
pub const CONCURRENT: u32 = 20;

impl NewPerson {
    fn checked(self, api: &Api) -> Result<Person, Problem> {
        let invalid = |words: &str| Err(Problem::new(INVALID, words));
        let clean = |text: &str| !text.chars().any(|c| c.is_control() || "<>".contains(c));
        let parts = self.email.split_once('@');
        if !parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
            || self.email.len() > EMAIL_BYTES_MAX
            || self.email.contains(char::is_whitespace)
            || !clean(&self.email)
        {
            return invalid("email is not a mail address");
        }
        let local = self.email.split('@').next().unwrap_or_default().to_owned();
        let name = self.name.unwrap_or(local);
        if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX || !clean(&name) {
            return invalid("name is 1 to 100 characters without < and >");
        }
        let concurrent_max = self.max_concurrent.unwrap_or(CONCURRENT);
        if !(1..=10_000).contains(&concurrent_max) {
            return invalid("max_concurrent is 1 to 10000");
        }
        let id = UserId::from_uuid(api.ids.uuid());
        Ok(Person { id, email: self.email, name, concurrent_max, created: api.clock.now() })
    }
}

pub(crate) async fn people(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let people: Vec<_> = api.directory.people().await?.iter().map(views::person).collect();
    Ok(Json(json!({"users": people})))
}

/// Adds a person with a home workspace, or finds the one with this mail address.
pub(crate) async fn add_person(
    State(api): State<Api>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let wished: NewPerson = body::json(body, INVALID).await?;
    let person = wished.checked(&api)?;
    let id = person.id;
    let in_full = api.clone();
    let added = api.finish(async move { add(&in_full, person).await }).await??;
    let status = if added.id == id { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(views::person(&added))))
}

async fn add(api: &Api, person: Person) -> Result<Person, Problem> {
    let person = api.directory.add_person(person).await?;
    let home = Workspace {
        id: WorkspaceId::from_uuid(api.ids.uuid()),
        name: HOME.parse().map_err(|_| Problem::plain(INTERNAL))?,
        owner: person.id,
        purpose: String::new(),
        created: api.clock.now(),
    };
    let home = api.directory.add_workspace(home).await?;
    let made = api.workspaces.create(home.id, vec![], &person, api.clock.now()).await;
    made.map_err(|cause| {
        error!(%cause, workspace = %home.id, "a workspace could not be made");
        Problem::new(INTERNAL, "the home workspace could not be made; ask again")
    })?;
    Ok(person)
}

/// What the first workspace of a person is called.
pub const HOME: &str = "home";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// Separated by commas or spaces; `agent` and `read` where absent.
    scopes: Option<String>,
    label: Option<String>,
}

pub(crate) async fn mint_key(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let wished: NewKey = body::query(&uri)?;
    mint_for(&api, &caller, whose(&id)?, wished).await
}

/// Makes a key of `owner`, where the caller may.
pub(crate) async fn mint_for(
    api: &Api,
    caller: &Caller,
    owner: UserId,
    wished: NewKey,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let scopes = scopes(wished.scopes.as_deref().unwrap_or("agent,read"))?;
    let label = wished.label.unwrap_or_default();
    if label.chars().count() > NAME_CHARS_MAX {
        return Err(Problem::new(INVALID, "label has at most 100 characters"));
    }
    caller.may(&Action::MintKey { owner, scopes: scopes.clone() })?;
    let person = api.directory.person(owner).await?.ok_or_else(|| Problem::plain(NOT_FOUND))?;
    let secret = new_key(&*api.ids);
    let key = Key {
        id: KeyId::from_uuid(api.ids.uuid()),
        subject: person.id,
        label,
        scopes: scopes.into_iter().collect(),
        created: api.clock.now(),
        expires: None,
    };
    let mut shown = views::key(&key);
    api.directory.add_key(key, key_hash(&secret)).await?;
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("token".to_owned(), secret.into());
    }
    Ok((StatusCode::CREATED, Json(shown)))
}

fn scopes(text: &str) -> Result<BTreeSet<Scope>, Problem> {
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    let scopes: BTreeSet<_> = words
        .map(|word| match word {
            "agent" => Ok(Scope::Agent),
            "read" => Ok(Scope::Read),
            "admin" => Ok(Scope::Admin),
            _ => Err(Problem::new(INVALID, format!("`{word}` is not a scope: agent, read, admin"))),
        })
        .collect::<Result<_, _>>()?;
    if scopes.is_empty() { Err(Problem::new(INVALID, "scopes: at least one")) } else { Ok(scopes) }
}

pub(crate) async fn keys(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let owner = whose(&id)?;
    caller.may(&Action::ReadKeys { owner })?;
    let keys: Vec<_> = api.directory.keys(owner).await?.iter().map(views::key).collect();
    Ok(Json(json!({"tokens": keys})))
}

fn whose(id: &str) -> Result<UserId, Problem> {
    id.parse().map_err(|_| Problem::plain(NOT_FOUND))
}

/// Makes a key void at once, for every request after this one.
pub(crate) async fn revoke_key(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id: KeyId = id.parse().map_err(|_| Problem::plain(NOT_FOUND))?;
    let owner = owner_of(&api, &caller, id).await?.ok_or_else(|| Problem::plain(NOT_FOUND))?;
    caller.may(&Action::RevokeKey { owner })?;
    if api.directory.remove_key(id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::plain(NOT_FOUND))
    }
}

/// Whose key it is, looked for among the keys that the caller may see.
async fn owner_of(api: &Api, caller: &Caller, id: KeyId) -> Result<Option<UserId>, Problem> {
    let everyone = caller.may(&Action::ReadPeople).is_ok();
    let owners = if everyone {
        api.directory.people().await?.iter().map(|person| person.id).collect()
    } else {
        vec![caller.subject]
    };
    for owner in owners {
        if api.directory.keys(owner).await?.iter().any(|key| key.id == id) {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}
