//! Who the members of a workspace are, and what they are. What changes here holds at once: a living
//! dispatch of somebody who may not go on is over when the answer comes.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use engine::port::{Departure, Member, MemberChange};
use model::{Role, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trust::Action;

use super::{Place, Which};
use crate::access::Caller;
use crate::answer::NoContent;
use crate::api::Api;
use crate::body::{JsonBody, OptionalJson, Query};
use crate::problem::{CONFLICT, INVALID, NOT_FOUND, Problem};
use crate::views::{self, Moment};

/// The members of a workspace.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Members {
    members: Vec<MemberView>,
}

/// A member of a workspace.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Member")]
struct MemberView {
    user_id: UserId,
    email: String,
    name: String,
    role: Role,
    /// When they became one.
    since: Moment,
}

/// `GET /agent/workspace/members`.
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
) -> Result<Json<Members>, Problem> {
    let read = |role| Action::ReadMembers { role };
    let place = Place::asked(&api, &caller, &which, read).await?;
    let members = api.directory.members(place.workspace.id).await?;
    Ok(Json(Members { members: members.into_iter().map(shown).collect() }))
}

fn shown(member: Member) -> MemberView {
    let Member { person, role, since } = member;
    MemberView {
        user_id: person.id,
        email: person.email,
        name: person.name,
        role,
        since: views::time(since),
    }
}

/// What a member is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRole {
    role: Role,
}

/// What a member is now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MemberRole {
    user_id: UserId,
    role: Role,
}

/// `POST /agent/workspace/members/{user}`.
pub(crate) async fn set_role(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
    Query(which): Query<Which>,
    body: JsonBody<NewRole>,
) -> Result<Json<MemberRole>, Problem> {
    let manage = |role| Action::ManageMembers { role };
    let place = Place::asked(&api, &caller, &which, manage).await?;
    let NewRole { role } = body.read().await?;
    let person = who(&user)?;
    changed(api.directory.set_role(place.workspace.id, person, role).await?)?;
    ask_again(&api, person).await?;
    Ok(Json(MemberRole { user_id: person, role }))
}

/// `DELETE /agent/workspace/members/{user}`.
pub(crate) async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
    Query(which): Query<Which>,
) -> Result<NoContent, Problem> {
    let manage = |role| Action::ManageMembers { role };
    let place = Place::asked(&api, &caller, &which, manage).await?;
    depart(&api, &place, who(&user)?, Departure::Removed).await
}

/// An empty object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Nothing {}

/// `POST /agent/workspace/leave`.
pub(crate) async fn leave(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(which): Query<Which>,
    body: OptionalJson<Nothing>,
) -> Result<NoContent, Problem> {
    let Nothing {} = body.read().await?;
    let Some(key) = which.workspace.as_deref() else {
        return Err(Problem::new(INVALID, "workspace: say which one you leave"));
    };
    let make_use = |role| Action::UseWorkspace { role };
    let place = Place::find(&api, &caller, Some(key), make_use).await?;
    depart(&api, &place, caller.subject, Departure::Left).await
}

async fn depart(
    api: &Api,
    place: &Place,
    person: UserId,
    departure: Departure,
) -> Result<NoContent, Problem> {
    let (id, now) = (place.workspace.id, api.clock.now());
    changed(api.directory.remove_member(id, person, departure, now).await?)?;
    ask_again(api, person).await?;
    Ok(NoContent)
}

/// What lives on behalf of the person is asked again, also where the caller leaves meanwhile.
async fn ask_again(api: &Api, person: UserId) -> Result<(), Problem> {
    let dispatcher = api.dispatcher.clone();
    api.finish(async move { dispatcher.ask_members_again(person).await }).await
}

fn changed(change: MemberChange) -> Result<(), Problem> {
    match change {
        MemberChange::Done => Ok(()),
        MemberChange::NotAMember => Err(Problem::new(NOT_FOUND, "there is no such member")),
        MemberChange::LastOwner => Err(Problem::new(
            CONFLICT,
            "this is the last owner; make another member an owner first",
        )),
    }
}

fn who(user: &str) -> Result<UserId, Problem> {
    user.parse().map_err(|_| Problem::new(NOT_FOUND, "there is no such member"))
}
