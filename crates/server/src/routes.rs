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
use crate::openapi::Operation;
use crate::problem::{Form, METHOD, NOT_FOUND, Problem, in_words};
use crate::workspace::{diff, files, history, invites, knowledge, members, own, remote, upload};
use crate::{admin, catalog, chat, dispatches, endpoints, events, git, invocations, keys, login};
use crate::{
    openapi, pages, permissions, proposals, recording, security, sessions, usage, workspace,
};

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
    /// To delete a workspace.
    DeleteWorkspace,
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
    /// To see one's model endpoints.
    ReadEndpoints,
    /// To keep, try or remove a model endpoint.
    KeepEndpoint,
    /// To say what a test of a runner found.
    TestRunner,
}

impl Asks {
    /// The question for what is `subject`'s own; none where nothing is asked.
    pub(crate) fn of(self, subject: UserId) -> Option<Action> {
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
            Self::DeleteWorkspace => Action::DeleteWorkspace { role },
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
            Self::ReadEndpoints => Action::ReadEndpoints { owner },
            Self::KeepEndpoint => Action::KeepEndpoint { owner },
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
    /// What it does, in a sentence or two.
    pub about: &'static str,
    /// The name of its handler, as `files::tree`.
    pub(crate) handler: &'static str,
    /// Tells what its handler takes and gives.
    pub(crate) tells: fn(&mut Operation<'_>),
    serve: fn(MethodFilter) -> MethodRouter<Api>,
}

macro_rules! routes {
    ($($(#[doc = $about:literal])* $method:ident $path:literal $asks:ident => $handler:path;)*) => {
        /// Every route there is.
        pub const ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            asks: Asks::$asks,
            about: concat!($($about),*),
            handler: stringify!($handler),
            tells: |to| openapi::tell($handler, to),
            serve: |method| on(method, $handler),
        }),*];
    };
}

routes! {
    /// This description.
    Get    "/openapi.json"                    Open          => openapi::show;
    /// Whether the server lives.
    Get    "/health"                          Open          => catalog::health;
    /// The workbench.
    Get    "/"                                Open          => pages::index;
    /// The workbench, where a browser is logged in.
    Get    "/login"                           Open          => pages::index;
    /// The workbench, at a new conversation.
    Get    "/chat"                            Open          => pages::index;
    /// The workbench, at a conversation.
    Get    "/chat/{*rest}"                    Open          => pages::index;
    /// The workbench, at the list of dispatches.
    Get    "/dispatches"                      Open          => pages::index;
    /// The workbench, at a dispatch.
    Get    "/dispatches/{*rest}"              Open          => pages::index;
    /// The workbench, at what waits for a person.
    Get    "/inbox"                           Open          => pages::index;
    /// The workbench, at a proposal.
    Get    "/inbox/{*rest}"                   Open          => pages::index;
    /// The workbench, at one's home.
    Get    "/workspace"                       Open          => pages::index;
    /// The workbench, at a workspace.
    Get    "/workspace/{*rest}"               Open          => pages::index;
    /// The workbench, at one's keys.
    Get    "/keys"                            Open          => pages::index;
    /// The picture of the workbench.
    Get    "/favicon.svg"                     Open          => pages::icon;
    /// A file that the workbench loads.
    Get    "/assets/{name}"                   Open          => pages::asset;
    /// Whether the browser is logged in.
    Get    "/auth/login"                      Open          => login::is_in;
    /// Log a browser in with the token of a link; gives it its cookie.
    Post   "/auth/login"                      Open          => login::log_in;
    /// Make the browser's cookie void.
    Post   "/auth/logout"                     Open          => login::log_out;
    /// Make a link that logs a browser of yours in, once: `<url>/login#<token>`.
    Post   "/auth/links"                      MintKey       => login::link;
    /// Who you are, and what your key may do.
    Get    "/auth/me"                         ReadSelf      => catalog::me;
    /// Your keys.
    Get    "/auth/keys"                       ReadKeys      => keys::list;
    /// Make a key of yours; this answer alone shows it.
    Post   "/auth/keys"                       MintKey       => keys::mint;
    /// Make a key of yours void at once.
    Delete "/auth/keys/{id}"                  RevokeKey     => keys::revoke;
    /// Your model endpoints, without their keys, and which hosts the server calls.
    Get    "/auth/endpoints"                  ReadEndpoints => endpoints::list;
    /// A model endpoint of yours.
    Get    "/auth/endpoints/{name}"           ReadEndpoints => endpoints::show;
    /// Keep a model endpoint for your own dispatches. Its key is never shown again; without one, it keeps
    /// the one that it has.
    Put    "/auth/endpoints/{name}"           KeepEndpoint  => endpoints::put;
    /// Remove a model endpoint and destroy its key: what uses it ends.
    Delete "/auth/endpoints/{name}"           KeepEndpoint  => endpoints::remove;
    /// Ask a model endpoint for a word, and say what is wrong.
    Post   "/auth/endpoints/{name}/test"      KeepEndpoint  => endpoints::test;
    /// Which model answers where.
    Get    "/agent/models"                    ReadCatalog   => catalog::models;
    /// What drives agents, and what each passed.
    Get    "/agent/runners"                   ReadCatalog   => catalog::runners;
    /// The servers of tools that agents may be given, and what may be called of each.
    Get    "/agent/tools"                     ReadCatalog   => catalog::tools;
    /// Say something in a conversation; the answer is the turn as it goes on. A repeated `turn_id`
    /// never runs twice.
    Post   "/agent/chat"                      StartDispatch => chat::say;
    /// Stop the running turn of a conversation, which goes on.
    Post   "/agent/chat/stop"                 SteerDispatch => chat::stop;
    /// End living sandboxes; what is said next begins in a fresh one.
    Post   "/agent/chat/reset"                SteerDispatch => chat::reset;
    /// Your conversations, the most lately active first.
    Get    "/agent/sessions"                  ReadDispatch  => sessions::list;
    /// What was said in a conversation.
    Get    "/agent/sessions/{id}/history"     ReadDispatch  => sessions::history;
    /// Start a dispatch, as `unit.v1`.
    Post   "/agent/invocations"               StartDispatch => invocations::dispatch;
    /// What models used, and what it cost, added up.
    Get    "/agent/usage"                     ReadUsage     => usage::usage;
    /// What ran, newest first.
    Get    "/agent/dispatches"                ReadDispatch  => dispatches::list;
    /// A dispatch, and where it stands.
    Get    "/agent/dispatches/{id}"           ReadDispatch  => dispatches::show;
    /// All that a dispatch said or did, and then live: as server-sent events, or one JSON object a
    /// line.
    Get    "/agent/dispatches/{id}/events"    ReadDispatch  => events::events;
    /// What models were asked and answered in a recorded dispatch, one JSON object a line.
    Get    "/agent/dispatches/{id}/recording" ReadDispatch  => recording::recording;
    /// End a dispatch. What is over stays as it is.
    Post   "/agent/dispatches/{id}/cancel"    SteerDispatch => dispatches::cancel;
    /// Continue the conversation of a dispatch that is over, in a fresh sandbox.
    Post   "/agent/dispatches/{id}/resume"    SteerDispatch => dispatches::resume;
    /// The workspaces that you are a member of, your home first.
    Get    "/agent/workspaces"                ReadWorkspace => workspace::list;
    /// The files of a workspace.
    Get    "/agent/workspace/tree"            ReadWorkspace => files::tree;
    /// A file of a workspace; with `raw=1` its bytes.
    Get    "/agent/workspace/file"            ReadWorkspace => files::read;
    /// Write a file of a workspace.
    Put    "/agent/workspace/file"            WriteWorkspace => files::write;
    /// Delete a file of a workspace.
    Delete "/agent/workspace/file"            WriteWorkspace => files::delete;
    /// Write several files of a workspace as one commit.
    Post   "/agent/workspace/upload"          WriteWorkspace => upload::upload;
    /// The newest commits of a workspace at a glance.
    Get    "/agent/workspace/git"             ReadWorkspace => history::git;
    /// The commits of a workspace, newest first.
    Get    "/agent/workspace/log"             ReadWorkspace => history::log;
    /// What a commit changed.
    Get    "/agent/workspace/diff"            ReadWorkspace => diff::of_commit;
    /// What a dispatch committed, by workspace.
    Get    "/agent/dispatches/{id}/diff"      ReadDispatch  => diff::of_dispatch;
    /// Take a commit back by a new one.
    Post   "/agent/workspace/revert"          WriteWorkspace => history::revert;
    /// See to it that a workspace has what a template begins with.
    Post   "/agent/workspace/init"            WriteWorkspace => own::init;
    /// Make a workspace.
    Post   "/agent/workspace/new"             CreateWorkspace => own::create;
    /// Delete a workspace for good, with its history, its proposals and the conversations at home there.
    Delete "/agent/workspace"                 DeleteWorkspace => own::delete;
    /// Which workspaces are part of conversations that name none.
    Get    "/agent/workspace/attached"        ReadWorkspace => own::attached;
    /// Make a workspace that follows an outside repository.
    Post   "/agent/workspace/attach"          CreateWorkspace => remote::attach;
    /// Let the workspace that follows an outside repository take the place of another one.
    Post   "/agent/workspace/swap"            CreateWorkspace => remote::swap;
    /// Push a workspace to an outside repository, which it follows from then on.
    Post   "/agent/workspace/publish"         ConfigureWorkspace => remote::publish;
    /// Push to the repository that a workspace follows, fast-forward only.
    Post   "/agent/workspace/push"            WriteWorkspace => remote::push;
    /// Take in what the repository has that a workspace follows, fast-forward only.
    Post   "/agent/workspace/pull"            WriteWorkspace => remote::pull;
    /// Make a workspace part of conversations that name none.
    Post   "/agent/workspace/activate"        UseWorkspace  => own::activate;
    /// Take a workspace out of conversations that name none.
    Post   "/agent/workspace/deactivate"      UseWorkspace  => own::deactivate;
    /// Say in one line what a workspace is for.
    Post   "/agent/workspace/purpose"         ConfigureWorkspace => own::purpose;
    /// Who the members of a workspace are.
    Get    "/agent/workspace/members"         ReadMembers   => members::list;
    /// Say what a member is.
    Post   "/agent/workspace/members/{user}"  ManageMembers => members::set_role;
    /// Remove a member.
    Delete "/agent/workspace/members/{user}"  ManageMembers => members::remove;
    /// Leave a workspace.
    Post   "/agent/workspace/leave"           UseWorkspace  => members::leave;
    /// Make an invitation; this answer alone shows its token.
    Post   "/agent/workspace/invites"         ManageMembers => invites::create;
    /// The invitations that can still be followed.
    Get    "/agent/workspace/invites"         ManageMembers => invites::list;
    /// Take an invitation back.
    Delete "/agent/workspace/invites/{id}"    ManageMembers => invites::remove;
    /// What an invitation is to. Grants nothing.
    Get    "/agent/workspace/invites/preview" AnswerInvite  => invites::preview;
    /// Follow an invitation.
    Post   "/agent/workspace/invites/accept"  AnswerInvite  => invites::accept;
    /// Pages by what they say.
    Get    "/agent/workspace/search"          ReadWorkspace => knowledge::search;
    /// Where a page links to, and what links to it.
    Get    "/agent/workspace/links"           ReadWorkspace => knowledge::links;
    /// Pages, and the links between them.
    Get    "/agent/workspace/graph"           ReadWorkspace => knowledge::graph;
    /// What breaks the Open Knowledge Format, and links that lead nowhere.
    Get    "/agent/workspace/check"           ReadWorkspace => knowledge::check;
    /// Git's own: what there is to fetch, or to push to.
    Get    "/git/{workspace}/info/refs"       ReadWorkspace => git::refs;
    /// Git's own: fetch.
    Post   "/git/{workspace}/git-upload-pack" ReadWorkspace => git::upload_pack;
    /// Git's own: push.
    Post   "/git/{workspace}/git-receive-pack" WriteWorkspace => git::receive_pack;
    /// The questions of agents that wait for a person.
    Get    "/agent/permissions"               ReadDispatch  => permissions::list;
    /// Answer a question of an agent.
    Post   "/agent/dispatches/{id}/permissions/{ask}" SteerDispatch => permissions::answer;
    /// Start a dispatch again as it was, in a new conversation.
    Post   "/agent/dispatches/{id}/rerun"     SteerDispatch => dispatches::rerun;
    /// What waits for a decision, newest first.
    Get    "/agent/proposals"                 ReadWorkspace => proposals::list;
    /// A proposal, and what it would change now.
    Get    "/agent/proposals/{id}"            ReadWorkspace => proposals::show;
    /// Take what was chosen of a proposal into the workspace, once.
    Post   "/agent/proposals/{id}/approve"    DecideProposal => proposals::approve;
    /// Turn a proposal down.
    Post   "/agent/proposals/{id}/deny"       DecideProposal => proposals::deny;
    /// The people there are.
    Get    "/admin/users"                     ReadPeople    => admin::people;
    /// Add a person with a home workspace, or find the one with this mail address.
    Post   "/admin/users"                     AddPerson     => admin::add_person;
    /// The keys of a person.
    Get    "/admin/users/{id}/tokens"         ReadKeys      => admin::keys;
    /// Make a key for a person; this answer alone shows it.
    Post   "/admin/users/{id}/tokens"         MintKey       => admin::mint_key;
    /// Keep what a test of a runner found.
    Post   "/admin/runners/{name}/test"       TestRunner    => catalog::tested;
    /// Make a key void at once.
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
        .fallback(pages::nowhere)
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
