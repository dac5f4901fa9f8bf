//! Every route of the server, as data. What is not in this table is not reachable, and what is in
//! it asks [`trust::authorize()`] before its handler runs.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use engine::port::Scope;
use model::{Role, Trigger, UserId};
use trust::Action;

use crate::access::{Desk, identify};
use crate::api::{Api, Parts};
use crate::problem::{Form, METHOD, NOT_FOUND, Problem, in_words};
use crate::workspace::{diff, files, history, invites, knowledge, members, own, remote, upload};
use crate::{admin, catalog, chat, dispatches, events, git, invocations, keys, login, pages};
use crate::{permissions, proposals, security, sessions, usage, workspace};

/// The method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Asks for something to be done.
    Post,
    /// Writes what is sent in its place.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// The method as it is written in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// What a route asks of [`trust::authorize()`].
///
/// Before the handler, the question is put for what is the caller's own: so a key without the scope
/// is refused first. A handler that meets a thing of somebody puts it again with its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Nothing: open to everybody, and tells nothing.
    Open,
    /// To learn who one is.
    ReadSelf,
    /// To learn what there is to choose from.
    ReadCatalog,
    /// To read dispatches.
    ReadDispatch,
    /// To see what models used.
    ReadUsage,
    /// To steer dispatches.
    SteerDispatch,
    /// To start dispatches.
    StartDispatch,
    /// To read a workspace.
    ReadWorkspace,
    /// To change the files of a workspace.
    WriteWorkspace,
    /// To decide proposals.
    DecideProposal,
    /// To say what a workspace is for.
    ConfigureWorkspace,
    /// To make a workspace.
    CreateWorkspace,
    /// To have a workspace among one's own, or not any more.
    UseWorkspace,
    /// To see the members of a workspace.
    ReadMembers,
    /// To decide who is a member of a workspace.
    ManageMembers,
    /// To look at an invitation, or to follow it.
    AnswerInvite,
    /// To see who there is.
    ReadPeople,
    /// To add a person.
    AddPerson,
    /// To see keys.
    ReadKeys,
    /// To make a key.
    MintKey,
    /// To make a key void.
    RevokeKey,
    /// To say what a test of a runner found.
    TestRunner,
}

impl Asks {
    /// The question for what is `subject`'s own; none where nothing is asked.
    fn of(self, subject: UserId) -> Option<Action> {
        let owner = subject;
        let role = Some(Role::Owner);
        Some(match self {
            Self::Open => return None,
            Self::ReadSelf => Action::ReadSelf,
            Self::ReadCatalog => Action::ReadCatalog,
            Self::ReadDispatch => Action::ReadDispatch { owner },
            Self::ReadUsage => Action::ReadUsage { owner },
            Self::SteerDispatch => Action::SteerDispatch { owner },
            Self::StartDispatch => {
                Action::StartDispatch { subject, trigger: Trigger::Message, mounts: vec![] }
            }
            Self::ReadWorkspace => Action::ReadWorkspace { role },
            Self::WriteWorkspace => Action::WriteWorkspace { role },
            Self::DecideProposal => Action::DecideProposal { role },
            Self::ConfigureWorkspace => Action::ConfigureWorkspace { role },
            Self::CreateWorkspace => Action::CreateWorkspace { owner },
            Self::UseWorkspace => Action::UseWorkspace { role },
            Self::ReadMembers => Action::ReadMembers { role },
            Self::ManageMembers => Action::ManageMembers { role },
            Self::AnswerInvite => Action::AnswerInvite,
            Self::ReadPeople => Action::ReadPeople,
            Self::AddPerson => Action::AddPerson,
            Self::ReadKeys => Action::ReadKeys { owner },
            Self::MintKey => Action::MintKey { owner, scopes: [Scope::Read].into() },
            Self::RevokeKey => Action::RevokeKey { owner },
            Self::TestRunner => Action::TestRunner,
        })
    }
}

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, with `{name}` for the parts that vary.
    pub path: &'static str,
    /// What it asks.
    pub asks: Asks,
    serve: fn(MethodFilter) -> MethodRouter<Api>,
}

macro_rules! routes {
    ($($method:ident $path:literal $asks:ident => $handler:path;)*) => {
        /// Every route there is.
        pub const ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            asks: Asks::$asks,
            serve: |method| on(method, $handler),
        }),*];
    };
}

routes! {
    Get    "/health"                          Open          => catalog::health;
    Get    "/"                                Open          => pages::index;
    Get    "/login"                           Open          => pages::index;
    Get    "/chat"                            Open          => pages::index;
    Get    "/chat/{*rest}"                    Open          => pages::index;
    Get    "/dispatches"                      Open          => pages::index;
    Get    "/dispatches/{*rest}"              Open          => pages::index;
    Get    "/inbox"                           Open          => pages::index;
    Get    "/inbox/{*rest}"                   Open          => pages::index;
    Get    "/workspace"                       Open          => pages::index;
    Get    "/workspace/{*rest}"               Open          => pages::index;
    Get    "/keys"                            Open          => pages::index;
    Get    "/favicon.svg"                     Open          => pages::icon;
    Get    "/assets/{name}"                   Open          => pages::asset;
    Get    "/auth/login"                      Open          => login::is_in;
    Post   "/auth/login"                      Open          => login::log_in;
    Post   "/auth/logout"                     Open          => login::log_out;
    Post   "/auth/links"                      MintKey       => login::link;
    Get    "/auth/me"                         ReadSelf      => catalog::me;
    Get    "/auth/keys"                       ReadKeys      => keys::list;
    Post   "/auth/keys"                       MintKey       => keys::mint;
    Delete "/auth/keys/{id}"                  RevokeKey     => keys::revoke;
    Get    "/agent/models"                    ReadCatalog   => catalog::models;
    Get    "/agent/runners"                   ReadCatalog   => catalog::runners;
    Post   "/agent/chat"                      StartDispatch => chat::say;
    Post   "/agent/chat/stop"                 SteerDispatch => chat::stop;
    Post   "/agent/chat/reset"                SteerDispatch => chat::reset;
    Get    "/agent/sessions"                  ReadDispatch  => sessions::list;
    Get    "/agent/sessions/{id}/history"     ReadDispatch  => sessions::history;
    Post   "/agent/invocations"               StartDispatch => invocations::dispatch;
    Get    "/agent/usage"                     ReadUsage     => usage::usage;
    Get    "/agent/dispatches"                ReadDispatch  => dispatches::list;
    Get    "/agent/dispatches/{id}"           ReadDispatch  => dispatches::show;
    Get    "/agent/dispatches/{id}/events"    ReadDispatch  => events::events;
    Post   "/agent/dispatches/{id}/cancel"    SteerDispatch => dispatches::cancel;
    Post   "/agent/dispatches/{id}/resume"    SteerDispatch => dispatches::resume;
    Get    "/agent/workspaces"                ReadWorkspace => workspace::list;
    Get    "/agent/workspace/tree"            ReadWorkspace => files::tree;
    Get    "/agent/workspace/file"            ReadWorkspace => files::read;
    Put    "/agent/workspace/file"            WriteWorkspace => files::write;
    Delete "/agent/workspace/file"            WriteWorkspace => files::delete;
    Post   "/agent/workspace/upload"          WriteWorkspace => upload::upload;
    Get    "/agent/workspace/git"             ReadWorkspace => history::git;
    Get    "/agent/workspace/log"             ReadWorkspace => history::log;
    Get    "/agent/workspace/diff"            ReadWorkspace => diff::of_commit;
    Get    "/agent/dispatches/{id}/diff"      ReadDispatch  => diff::of_dispatch;
    Post   "/agent/workspace/revert"          WriteWorkspace => history::revert;
    Post   "/agent/workspace/init"            WriteWorkspace => own::init;
    Post   "/agent/workspace/new"             CreateWorkspace => own::create;
    Get    "/agent/workspace/attached"        ReadWorkspace => own::attached;
    Post   "/agent/workspace/attach"          CreateWorkspace => remote::attach;
    Post   "/agent/workspace/swap"            CreateWorkspace => remote::swap;
    Post   "/agent/workspace/publish"         ConfigureWorkspace => remote::publish;
    Post   "/agent/workspace/push"            WriteWorkspace => remote::push;
    Post   "/agent/workspace/pull"            WriteWorkspace => remote::pull;
    Post   "/agent/workspace/activate"        UseWorkspace  => own::activate;
    Post   "/agent/workspace/deactivate"      UseWorkspace  => own::deactivate;
    Post   "/agent/workspace/purpose"         ConfigureWorkspace => own::purpose;
    Get    "/agent/workspace/members"         ReadMembers   => members::list;
    Post   "/agent/workspace/members/{user}"  ManageMembers => members::set_role;
    Delete "/agent/workspace/members/{user}"  ManageMembers => members::remove;
    Post   "/agent/workspace/leave"           UseWorkspace  => members::leave;
    Post   "/agent/workspace/invites"         ManageMembers => invites::create;
    Get    "/agent/workspace/invites"         ManageMembers => invites::list;
    Delete "/agent/workspace/invites/{id}"    ManageMembers => invites::remove;
    Get    "/agent/workspace/invites/preview" AnswerInvite  => invites::preview;
    Post   "/agent/workspace/invites/accept"  AnswerInvite  => invites::accept;
    Get    "/agent/workspace/search"          ReadWorkspace => knowledge::search;
    Get    "/agent/workspace/links"           ReadWorkspace => knowledge::links;
    Get    "/agent/workspace/graph"           ReadWorkspace => knowledge::graph;
    Get    "/agent/workspace/check"           ReadWorkspace => knowledge::check;
    Get    "/git/{workspace}/info/refs"       ReadWorkspace => git::refs;
    Post   "/git/{workspace}/git-upload-pack" ReadWorkspace => git::upload_pack;
    Post   "/git/{workspace}/git-receive-pack" WriteWorkspace => git::receive_pack;
    Get    "/agent/permissions"               ReadDispatch  => permissions::list;
    Post   "/agent/dispatches/{id}/permissions/{ask}" SteerDispatch => permissions::answer;
    Post   "/agent/dispatches/{id}/rerun"     SteerDispatch => dispatches::rerun;
    Get    "/agent/proposals"                 ReadWorkspace => proposals::list;
    Get    "/agent/proposals/{id}"            ReadWorkspace => proposals::show;
    Post   "/agent/proposals/{id}/approve"    DecideProposal => proposals::approve;
    Post   "/agent/proposals/{id}/deny"       DecideProposal => proposals::deny;
    Get    "/admin/users"                     ReadPeople    => admin::people;
    Post   "/admin/users"                     AddPerson     => admin::add_person;
    Get    "/admin/users/{id}/tokens"         ReadKeys      => admin::keys;
    Post   "/admin/users/{id}/tokens"         MintKey       => admin::mint_key;
    Post   "/admin/runners/{name}/test"       TestRunner    => catalog::tested;
    Delete "/admin/tokens/{id}"               RevokeKey     => admin::revoke_key;
}

impl Route {
    fn desk(&self) -> Desk {
        match self.path {
            path if path.starts_with("/admin/") => Desk::Admin,
            path if path.starts_with("/git/") => Desk::Git,
            _ => Desk::Public,
        }
    }
}

/// The server as a service: the table, behind the checks that hold for every request.
pub fn router(parts: Parts) -> Router {
    let api = Api::new(parts);
    let base = api.base_path.clone();
    let mut router = Router::new();
    for route in ROUTES {
        let guard = middleware::from_fn_with_state((api.clone(), route), guard);
        router = router.route(route.path, (route.serve)(route.method.filter()).layer(guard));
    }
    let router = router
        .fallback(async || Problem::plain(NOT_FOUND))
        .method_not_allowed_fallback(async || Problem::plain(METHOD));
    let router = match base.as_str() {
        "" => router,
        base => Router::new().nest(base, router).fallback(async || Problem::plain(NOT_FOUND)),
    };
    router.layer(middleware::from_fn_with_state(api.clone(), front)).with_state(api)
}

/// What holds for every request, known route or not.
async fn front(State(api): State<Api>, request: Request, next: Next) -> Response {
    let of_git = request.uri().path().starts_with("/git/");
    let form = if of_git { Form::Words } else { Form::asked(request.headers()) };
    let admitted = api.hosts.admit(request.uri(), request.headers());
    let response = match admitted {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    security::with_headers(in_words(response, form))
}

/// Finds out who asks, and asks whether they may.
async fn guard(
    State((api, route)): State<(Api, &'static Route)>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    if route.asks != Asks::Open {
        let caller = identify(&api, &parts, route.desk()).await?;
        if let Some(action) = route.asks.of(caller.subject) {
            caller.may(&action)?;
        }
        parts.extensions.insert(caller);
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}
