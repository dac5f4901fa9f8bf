//! Which workspaces one has, which of them are part of one's conversations, and what they are for.

use axum::extract::State;
use axum::{Extension, Json};
use engine::port::{Membership, Person, Removal, Workspace};
use engine::workspaces::SeedFile;
use engine::workspaces::files::FileWrite;
use engine::workspaces::template::Template;
use model::limit::MOUNTS_MAX;
use model::{WorkspaceId, WorkspaceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::Action;

use super::{Place, Which, WorkspaceView, hand, person, show, show_all, unknown};
use crate::access::Caller;
use crate::admin::HOME;
use crate::answer::{Created, NoContent};
use crate::api::Api;
use crate::body::{JsonBody, OptionalJson, Query};
use crate::problem::{CONFLICT, INVALID, Problem};

/// The longest purpose, in characters.
const PURPOSE_CHARS_MAX: usize = 300;
/// How many workspaces a person may have by name.
const WORKSPACES_MAX: usize = 1_000;

/// Which workspaces are part of conversations that name none.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Attached {
    active: Vec<WorkspaceView>,
    parked: Vec<WorkspaceView>,
}

/// `GET /agent/workspace/attached`.
pub(crate) async fn attached(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Attached>, Problem> {
    let all = show_all(&api, caller.subject).await?;
    let (active, parked) = all.into_iter().partition(|it| it.active);
    Ok(Json(Attached { active, parked }))
}

/// A workspace that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWorkspace {
    /// What you call it.
    name: String,
    /// One line that every agent which works there is told.
    purpose: Option<String>,
    /// `knowledge` or `plain`.
    template: Option<String>,
}

/// `POST /agent/workspace/new`. It is parked until it is activated.
pub(crate) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    body: JsonBody<NewWorkspace>,
) -> Result<Created<WorkspaceView>, Problem> {
    let NewWorkspace { name, purpose, template } = body.read().await?;
    let name = name_of(&name)?;
    let purpose = purpose.as_deref().map(checked_purpose).transpose()?.unwrap_or_default();
    let template = template_of(template.as_deref())?;
    caller.may(&Action::CreateWorkspace { owner: caller.subject })?;
    let own = api.directory.workspaces(caller.subject).await?;
    if own.iter().any(|workspace| workspace.name == name) {
        return Err(taken(&name));
    }
    has_room(&own)?;
    let made = make(&api, &caller, Wished { name, purpose, template }).await?;
    Ok(Created(show_own(&api, &caller, made.id).await?))
}

/// The caller has one of that name.
pub(super) fn taken(name: &WorkspaceName) -> Problem {
    Problem::new(CONFLICT, format!("you have a workspace `{name}` already"))
}

/// Refuses one more than a person may have.
pub(super) fn has_room(own: &[Workspace]) -> Result<(), Problem> {
    if own.len() >= WORKSPACES_MAX {
        let words = format!("you have {WORKSPACES_MAX} workspaces already");
        return Err(Problem::new(CONFLICT, words));
    }
    Ok(())
}

/// A workspace that is to be made.
pub(crate) struct Wished {
    pub(crate) name: WorkspaceName,
    pub(crate) purpose: String,
    pub(crate) template: Template,
}

/// Makes a workspace of the caller's with what its template begins with.
pub(crate) async fn make(api: &Api, caller: &Caller, wished: Wished) -> Result<Workspace, Problem> {
    let Wished { name, purpose, template } = wished;
    let (person, now) = (person(api, caller).await?, api.clock.now());
    let workspace = Workspace {
        id: WorkspaceId::from_uuid(api.ids.uuid()),
        name,
        owner: person.id,
        purpose,
        created: now,
    };
    let seeds = template.files(&workspace.name, now);
    make_with(api, person, workspace, seeds, async { Ok(()) }).await
}

/// Makes a workspace, whole or not at all: its folder first, what `fill` puts into that, then its name. What is
/// in the directory can be used; what a crash leaves is removed by the next start.
pub(super) async fn make_with(
    api: &Api,
    owner: Person,
    workspace: Workspace,
    seeds: Vec<SeedFile>,
    fill: impl Future<Output = Result<(), Problem>> + Send + 'static,
) -> Result<Workspace, Problem> {
    let all = api.clone();
    api.finish(async move {
        let id = workspace.id;
        all.directory.begin_workspace(id).await?;
        let named = async {
            all.workspaces.create(id, seeds, &owner, workspace.created).await?;
            fill.await?;
            let found = all.directory.add_workspace(workspace).await?;
            // Another one: somebody took the name a moment before.
            if found.id == id { Ok(found) } else { Err(taken(&found.name)) }
        };
        let named = named.await;
        if named.is_err() {
            all.workspaces.remove(id).await?;
            all.directory.forget_removed(id).await?;
        }
        named
    })
    .await?
}

pub(crate) async fn show_own(
    api: &Api,
    caller: &Caller,
    id: WorkspaceId,
) -> Result<WorkspaceView, Problem> {
    let known = api.directory.memberships(caller.subject).await?;
    let found = known.into_iter().find(|it| it.workspace.id == id);
    show(api, found.ok_or_else(|| unknown(&id.to_string()))?).await
}

pub(crate) fn name_of(text: &str) -> Result<WorkspaceName, Problem> {
    let name: WorkspaceName = text
        .parse()
        .map_err(|bad: model::id::BadId| Problem::new(INVALID, format!("name: {bad}")))?;
    // What reads as an id, or ends as a git folder does, could never be asked for by name.
    if text.parse::<WorkspaceId>().is_ok() || text.ends_with(".git") || text.contains(':') {
        return Err(Problem::new(INVALID, "name: not an id, without `:`, not ending in `.git`"));
    }
    Ok(name)
}

fn template_of(name: Option<&str>) -> Result<Template, Problem> {
    let Some(name) = name else { return Ok(Template::default()) };
    Template::of_name(name)
        .ok_or_else(|| Problem::new(INVALID, "template: one of knowledge, plain"))
}

pub(super) fn checked_purpose(text: &str) -> Result<String, Problem> {
    let text = text.trim().to_owned();
    if text.chars().count() > PURPOSE_CHARS_MAX || text.chars().any(char::is_control) {
        let words = format!("purpose: one line of at most {PURPOSE_CHARS_MAX} characters");
        return Err(Problem::new(INVALID, words));
    }
    Ok(text)
}

/// With what a workspace is to begin.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Init {
    /// `knowledge` or `plain`.
    template: Option<String>,
}

/// That a workspace has what a template begins with.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Initialized")]
pub(crate) struct Begun {
    workspace: WorkspaceId,
    /// Whether something was written.
    seeded: bool,
    already_initialized: bool,
}

/// `POST /agent/workspace/init`: sees to it that there is a workspace with what a template begins
/// with. Never writes over a file, and does nothing where the index is there already.
pub(crate) async fn init(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    body: OptionalJson<Init>,
) -> Result<Created<Begun>, Problem> {
    let Init { template } = body.read().await?;
    let template = template_of(template.as_deref())?;
    let known = api.directory.memberships(caller.subject).await?;
    let answer = |id: WorkspaceId, seeded: bool| {
        Ok(Created(Begun { workspace: id, seeded, already_initialized: !seeded }))
    };
    if known.is_empty() && which.workspace.is_none() {
        caller.may(&Action::CreateWorkspace { owner: caller.subject })?;
        let name = name_of(HOME)?;
        let wished = Wished { name, purpose: String::new(), template };
        return answer(make(&api, &caller, wished).await?.id, true);
    }
    let write = |role| Action::WriteWorkspace { role };
    let place = Place::find(&api, &caller, which.workspace.as_deref(), write).await?;
    let id = place.workspace.id;
    let listing = api.workspaces.listing(id, None).await?;
    let stands = |path: &str| listing.files.iter().any(|file| file.path == path);
    if stands("index.md") || (template == Template::Plain && stands("README.md")) {
        return answer(id, false);
    }
    let seeds = template.files(&place.workspace.name, api.clock.now());
    let missing = seeds.into_iter().filter(|seed| !stands(&seed.path));
    let files = missing.map(|seed| FileWrite { path: seed.path, content: Some(seed.content) });
    let by = hand(&api, &caller, "Begin this workspace's knowledge".to_owned()).await?;
    // On the revision that was looked at: nothing that came meanwhile is written over.
    super::files::change(&api, place, listing.revision, files.collect(), by).await?;
    answer(id, true)
}

/// Which workspace is meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichWorkspace {
    /// Its id or name.
    workspace: String,
}

/// `POST /agent/workspace/activate`: part of every conversation that does not say, from now on.
pub(crate) async fn activate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    body: JsonBody<WhichWorkspace>,
) -> Result<Json<WorkspaceView>, Problem> {
    set_active(&api, &caller, body.read().await?, true).await
}

/// `POST /agent/workspace/deactivate`: parked, and there all the same for who asks for it.
pub(crate) async fn deactivate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    body: JsonBody<WhichWorkspace>,
) -> Result<Json<WorkspaceView>, Problem> {
    set_active(&api, &caller, body.read().await?, false).await
}

async fn set_active(
    api: &Api,
    caller: &Caller,
    which: WhichWorkspace,
    active: bool,
) -> Result<Json<WorkspaceView>, Problem> {
    let WhichWorkspace { workspace } = which;
    let make_use = |role| Action::UseWorkspace { role };
    let place = Place::find(api, caller, Some(&workspace), make_use).await?;
    let id = place.workspace.id;
    if active {
        activate_for(api, caller, id, None).await?;
    } else if !api.directory.set_active(id, caller.subject, false).await? {
        return Err(unknown(&workspace));
    }
    Ok(Json(show_own(api, caller, id).await?))
}

/// Makes a workspace part of the caller's conversations, if there is room once another one is out of them.
pub(super) async fn activate_for(
    api: &Api,
    caller: &Caller,
    id: WorkspaceId,
    leaving: Option<WorkspaceId>,
) -> Result<(), Problem> {
    let known = api.directory.memberships(caller.subject).await?;
    let others =
        |it: &&Membership| it.active && it.workspace.id != id && Some(it.workspace.id) != leaving;
    if known.iter().filter(others).count() >= MOUNTS_MAX {
        let words = format!("{MOUNTS_MAX} workspaces are active already; deactivate one first");
        return Err(Problem::new(CONFLICT, words));
    }
    if !api.directory.set_active(id, caller.subject, true).await? {
        return Err(unknown(&id.to_string()));
    }
    Ok(())
}

/// What a workspace is to be for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPurpose {
    /// Its id or name; what the query says, or your home, where absent.
    workspace: Option<String>,
    /// One line of at most 300 characters.
    purpose: String,
}

/// What a workspace is for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Purpose {
    workspace: WorkspaceId,
    purpose: String,
}

/// `POST /agent/workspace/purpose`: one line that every agent which works there is told.
pub(crate) async fn purpose(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    body: JsonBody<NewPurpose>,
) -> Result<Json<Purpose>, Problem> {
    let NewPurpose { workspace, purpose } = body.read().await?;
    let purpose = checked_purpose(&purpose)?;
    let configure = |role| Action::ConfigureWorkspace { role };
    let key = workspace.or(which.workspace);
    let place = Place::find(&api, &caller, key.as_deref(), configure).await?;
    api.directory.set_purpose(place.workspace.id, &purpose).await?;
    Ok(Json(Purpose { workspace: place.workspace.id, purpose }))
}

/// `DELETE /agent/workspace?workspace=`: for good, with the conversations at home there. The key of one that is
/// encrypted goes first: every copy of it is lost when the answer comes.
pub(crate) async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Result<NoContent, Problem> {
    let Some(key) = which.workspace else {
        return Err(Problem::new(INVALID, "workspace: say which one is to go"));
    };
    let delete = |role| Action::DeleteWorkspace { role };
    let id = Place::find(&api, &caller, Some(&key), delete).await?.workspace.id;
    let members = api.directory.members(id).await?;
    let (all, dispatcher) = (api.clone(), api.dispatcher.clone());
    api.finish(async move {
        match all.directory.remove_workspace(id).await? {
            Removal::Done => {}
            Removal::Unknown => return Err(unknown(&key)),
            Removal::Home => {
                return Err(Problem::new(CONFLICT, "this is the home of its owner, and stays"));
            }
            Removal::Live(live) => {
                let words = format!(
                    "{live} dispatches of conversations at home there are not over; cancel them first"
                );
                return Err(Problem::new(CONFLICT, words));
            }
        }
        for member in members {
            // What lives over it elsewhere is over when this returns.
            dispatcher.ask_members_again(member.person.id).await;
        }
        all.workspaces.remove(id).await?;
        all.directory.forget_removed(id).await?;
        Ok(NoContent)
    })
    .await?
}
