//! Who the members of a workspace are, and what they are. What changes here holds at once: a living
//! dispatch of somebody who may not go on is over when the answer comes.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::{Extension, Json};
use engine::port::{Departure, Member, MemberChange};
use model::{Role, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use trust::Action;

use super::{Place, Which};
use crate::access::Caller;
use crate::api::Api;
use crate::body;
use crate::problem::{CONFLICT, INVALID, NOT_FOUND, Problem};
use crate::views;

/// `GET /agent/workspace/members`.
pub(crate) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let read = |role| Action::ReadMembers { role };
    let place = Place::asked(&api, &caller, &uri, read).await?;
    let members = api.directory.members(place.workspace.id).await?;
    let members: Vec<Value> = members.iter().map(shown).collect();
    Ok(Json(json!({"members": members})))
}

fn shown(member: &Member) -> Value {
    json!({
        "user_id": member.person.id,
        "email": member.person.email,
        "name": member.person.name,
        "role": member.role,
        "since": views::time(member.since),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRole {
    role: Role,
}

/// `POST /agent/workspace/members/{user}`.
pub(crate) async fn set_role(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
    uri: Uri,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let manage = |role| Action::ManageMembers { role };
    let place = Place::asked(&api, &caller, &uri, manage).await?;
    let NewRole { role } = body::json(body, INVALID).await?;
    let person = who(&user)?;
    changed(api.directory.set_role(place.workspace.id, person, role).await?)?;
    ask_again(&api, person).await?;
    Ok(Json(json!({"user_id": person, "role": role})))
}

/// `DELETE /agent/workspace/members/{user}`.
pub(crate) async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(user): Path<String>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    let manage = |role| Action::ManageMembers { role };
    let place = Place::asked(&api, &caller, &uri, manage).await?;
    depart(&api, &place, who(&user)?, Departure::Removed).await
}

/// `POST /agent/workspace/leave`.
pub(crate) async fn leave(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    body: Body,
) -> Result<StatusCode, Problem> {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let which: Which = body::query(&uri)?;
    let Nothing {} = body::optional_json(body).await?;
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
) -> Result<StatusCode, Problem> {
    let (id, now) = (place.workspace.id, api.clock.now());
    changed(api.directory.remove_member(id, person, departure, now).await?)?;
    ask_again(api, person).await?;
    Ok(StatusCode::NO_CONTENT)
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
