//! `/admin`: people and their keys. A key is shown once, when it is made, and stored as its hash.

use std::collections::BTreeSet;
use std::fmt::Write;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use engine::port::{IdSource, Key, Person, Scope, Workspace};
use model::{KeyId, UserId, WorkspaceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::error;
use trust::Action;

use crate::access::{Caller, key_hash};
use crate::answer::{Created, Made, NoContent};
use crate::api::Api;
use crate::body::{JsonBody, Query};
use crate::problem::{INTERNAL, INVALID, NOT_FOUND, Problem};
use crate::views::{self, KeyView, PersonView};

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

/// A person who is to be added.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPerson {
    /// Their mail address.
    email: String,
    /// What they are called; the part before the `@` where absent.
    name: Option<String>,
    /// How many dispatches of theirs may be alive at once, 1 to 10000.
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

/// People.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct People {
    users: Vec<PersonView>,
}

pub(crate) async fn people(State(api): State<Api>) -> Result<Json<People>, Problem> {
    let users = api.directory.people().await?.iter().map(views::person).collect();
    Ok(Json(People { users }))
}

/// Adds a person with a home workspace, or finds the one with this mail address.
pub(crate) async fn add_person(
    State(api): State<Api>,
    body: JsonBody<NewPerson>,
) -> Result<Made<PersonView>, Problem> {
    let person = body.read().await?.checked(&api)?;
    let id = person.id;
    let in_full = api.clone();
    let added = api.finish(async move { add(&in_full, person).await }).await??;
    let shown = views::person(&added);
    Ok(if added.id == id { Made::Now(shown) } else { Made::Before(shown) })
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

/// A key that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// What it may do: `agent`, `read`, `admin`, separated by commas or spaces; `agent` and `read`
    /// where absent.
    scopes: Option<String>,
    /// What it is for, at most 100 characters.
    label: Option<String>,
}

/// A key that was made, with what it is: shown this once.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MintedKey {
    #[serde(flatten)]
    key: KeyView,
    /// The key itself.
    token: String,
}

pub(crate) async fn mint_key(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Query(wished): Query<NewKey>,
) -> Result<Created<MintedKey>, Problem> {
    mint_for(&api, &caller, whose(&id)?, wished).await
}

/// Makes a key of `owner`, where the caller may.
pub(crate) async fn mint_for(
    api: &Api,
    caller: &Caller,
    owner: UserId,
    wished: NewKey,
) -> Result<Created<MintedKey>, Problem> {
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
    let shown = views::key(&key);
    api.directory.add_key(key, key_hash(&secret)).await?;
    Ok(Created(MintedKey { key: shown, token: secret }))
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

/// Keys.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Keys {
    pub(crate) tokens: Vec<KeyView>,
}

pub(crate) async fn keys(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Keys>, Problem> {
    let owner = whose(&id)?;
    caller.may(&Action::ReadKeys { owner })?;
    let tokens = api.directory.keys(owner).await?.iter().map(views::key).collect();
    Ok(Json(Keys { tokens }))
}

fn whose(id: &str) -> Result<UserId, Problem> {
    id.parse().map_err(|_| Problem::plain(NOT_FOUND))
}

/// Makes a key void at once, for every request after this one.
pub(crate) async fn revoke_key(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<NoContent, Problem> {
    let id: KeyId = id.parse().map_err(|_| Problem::plain(NOT_FOUND))?;
    let owner = owner_of(&api, &caller, id).await?.ok_or_else(|| Problem::plain(NOT_FOUND))?;
    caller.may(&Action::RevokeKey { owner })?;
    if api.directory.remove_key(id).await? { Ok(NoContent) } else { Err(Problem::plain(NOT_FOUND)) }
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
