//! Checks the promises of [`crate::port::Memberships`].

use model::{InviteId, Role, UserId, WorkspaceId};

use super::fixture::{Ids, at};
use crate::port::{
    Departure, Directory, Followed, Invite, KeyHash, LedgerError, MemberChange, Person, Workspace,
};

/// Checks every promise, each with a store from `fresh`, which may be shared by several.
///
/// # Panics
/// When a promise is broken.
pub async fn memberships<D: Directory>(fresh: impl AsyncFn() -> D) {
    who_makes_a_workspace_is_its_only_member(&Field::new(fresh().await).await).await;
    a_role_is_what_was_last_said(&Field::new(fresh().await).await).await;
    a_workspace_is_never_without_an_owner(&Field::new(fresh().await).await).await;
    a_workspace_goes_to_the_eldest_owner_that_is_left(&Field::new(fresh().await).await).await;
    an_invitation_lets_in_as_many_as_it_says(&Field::new(fresh().await).await).await;
    an_invitation_never_takes_a_role_away(&Field::new(fresh().await).await).await;
    an_invitation_is_over_when_it_expires_or_is_taken_back(&Field::new(fresh().await).await).await;
    a_restricted_invitation_is_for_its_addresses(&Field::new(fresh().await).await).await;
    who_was_removed_needs_a_new_invitation(&Field::new(fresh().await).await).await;
    the_invitations_of_one_who_is_no_owner_any_more_are_void(&Field::new(fresh().await).await)
        .await;
}

struct Field<D> {
    directory: D,
    ids: Ids,
    jane: Person,
    joe: Person,
    ann: Person,
    home: Workspace,
}

impl<D: Directory> Field<D> {
    async fn new(directory: D) -> Self {
        let ids = Ids::new();
        let add = async |name: &str| {
            let id = ids.user();
            let person = Person {
                id,
                email: format!("{name}.{id}@Example.org"),
                name: name.to_owned(),
                concurrent_max: 3,
                created: at(1),
            };
            directory.add_person(person).await.expect("new")
        };
        let (jane, joe, ann) = (add("jane").await, add("joe").await, add("ann").await);
        let home = workspace(&ids, &jane, "home", 2);
        let home = directory.add_workspace(home).await.expect("new");
        Self { directory, ids, jane, joe, ann, home }
    }

    fn invite(&self, role: Role, uses: u32) -> (Invite, KeyHash) {
        let id = InviteId::from_uuid(self.ids.uuid());
        let invite = Invite {
            id,
            workspace: self.home.id,
            role,
            maker: self.jane.id,
            emails: vec![],
            created: at(10),
            expires: at(100),
            uses_left: uses,
        };
        let mut hash = KeyHash([9; 32]);
        hash.0[..16].copy_from_slice(id.uuid().as_bytes());
        (invite, hash)
    }

    async fn invited(&self, invite: (Invite, KeyHash)) -> KeyHash {
        let (invite, hash) = invite;
        self.directory.add_invite(invite, hash).await.expect("new");
        hash
    }

    async fn follow(&self, hash: KeyHash, person: &Person, ms: u64) -> Followed {
        self.directory.follow_invite(hash, person.id, at(ms)).await.expect("an answer")
    }

    async fn join(&self, person: &Person, role: Role) {
        let hash = self.invited(self.invite(role, 1)).await;
        assert_eq!(self.follow(hash, person, 20).await, Followed::Joined(self.home.id, role));
    }

    async fn role(&self, person: &Person) -> Option<Role> {
        self.directory.role(self.home.id, person.id).await.expect("readable")
    }

    async fn set_role(&self, person: &Person, role: Role) -> MemberChange {
        self.directory.set_role(self.home.id, person.id, role).await.expect("an answer")
    }

    async fn remove(&self, person: &Person, departure: Departure, ms: u64) -> MemberChange {
        let removed = self.directory.remove_member(self.home.id, person.id, departure, at(ms));
        removed.await.expect("an answer")
    }

    async fn members(&self) -> Vec<(UserId, Role)> {
        let members = self.directory.members(self.home.id).await.expect("readable");
        members.into_iter().map(|member| (member.person.id, member.role)).collect()
    }

    async fn list(&self, person: &Person) -> Vec<(WorkspaceId, Role, bool)> {
        let list = self.directory.memberships(person.id).await.expect("readable");
        list.into_iter().map(|it| (it.workspace.id, it.role, it.active)).collect()
    }
}

fn workspace(ids: &Ids, of: &Person, name: &str, ms: u64) -> Workspace {
    let name = name.parse().expect("a valid name");
    Workspace { id: ids.workspace(), name, owner: of.id, purpose: String::new(), created: at(ms) }
}

async fn who_makes_a_workspace_is_its_only_member<D: Directory>(field: &Field<D>) {
    let Field { directory, ids, jane, joe, home, .. } = field;
    assert_eq!(field.role(jane).await, Some(Role::Owner));
    assert_eq!(field.role(joe).await, None);
    assert_eq!(field.members().await, [(jane.id, Role::Owner)]);
    let notes = workspace(ids, jane, "notes", 1);
    let notes = directory.add_workspace(notes).await.expect("new");
    let expected = [(notes.id, Role::Owner, false), (home.id, Role::Owner, true)];
    assert_eq!(field.list(jane).await, expected, "oldest first, the first one made is active");
    let set = async |workspace, person, active| {
        directory.set_active(workspace, person, active).await.expect("an answer")
    };
    assert!(set(notes.id, jane.id, true).await && set(home.id, jane.id, false).await);
    assert!(!set(home.id, joe.id, true).await, "who is no member has no list to change");
    let expected = [(notes.id, Role::Owner, true), (home.id, Role::Owner, false)];
    assert_eq!(field.list(jane).await, expected);
    assert!(directory.set_purpose(notes.id, "what I read").await.expect("an answer"));
    let ghost = ids.workspace();
    assert!(!directory.set_purpose(ghost, "nothing").await.expect("an answer"));
    let found = directory.workspace(notes.id).await.expect("readable").expect("there");
    assert_eq!(found.purpose, "what I read");
    assert_eq!(directory.members(ghost).await.expect("readable"), []);
    assert_eq!(directory.role(ghost, jane.id).await.expect("readable"), None);
}

async fn a_role_is_what_was_last_said<D: Directory>(field: &Field<D>) {
    let Field { jane, joe, ann, home, .. } = field;
    field.join(joe, Role::Viewer).await;
    for role in [Role::Contributor, Role::Owner, Role::Viewer] {
        assert_eq!(field.set_role(joe, role).await, MemberChange::Done);
        assert_eq!(field.role(joe).await, Some(role));
    }
    assert_eq!(field.set_role(ann, Role::Viewer).await, MemberChange::NotAMember);
    assert_eq!(field.members().await, [(jane.id, Role::Owner), (joe.id, Role::Viewer)]);
    assert_eq!(field.list(joe).await, [(home.id, Role::Viewer, false)]);
}

async fn a_workspace_is_never_without_an_owner<D: Directory>(field: &Field<D>) {
    let Field { jane, joe, .. } = field;
    field.join(joe, Role::Contributor).await;
    for role in [Role::Contributor, Role::Viewer] {
        assert_eq!(field.set_role(jane, role).await, MemberChange::LastOwner);
    }
    for departure in [Departure::Left, Departure::Removed] {
        assert_eq!(field.remove(jane, departure, 30).await, MemberChange::LastOwner);
    }
    assert_eq!(field.role(jane).await, Some(Role::Owner));
    assert_eq!(field.set_role(jane, Role::Owner).await, MemberChange::Done);
    assert_eq!(field.remove(joe, Departure::Left, 30).await, MemberChange::Done);
    assert_eq!(field.remove(joe, Departure::Left, 30).await, MemberChange::NotAMember);
}

async fn a_workspace_goes_to_the_eldest_owner_that_is_left<D: Directory>(field: &Field<D>) {
    let Field { directory, ids, jane, joe, ann, home } = field;
    let of_joe = workspace(ids, joe, "home", 1);
    let of_joe = directory.add_workspace(of_joe).await.expect("new");
    field.join(joe, Role::Owner).await;
    field.join(ann, Role::Owner).await;
    assert_eq!(field.remove(jane, Departure::Left, 30).await, MemberChange::Done);
    let found = directory.workspace(home.id).await.expect("readable").expect("there");
    assert_eq!((found.owner, found.name.as_str()), (joe.id, "home-2"), "the name was taken");
    let mut theirs = field.list(joe).await;
    theirs.sort_unstable();
    let mut expected = [(of_joe.id, Role::Owner, true), (home.id, Role::Owner, false)];
    expected.sort_unstable();
    assert_eq!(theirs, expected);
    // Who left may use the name again.
    let again = workspace(ids, jane, "home", 40);
    let made = directory.add_workspace(again.clone()).await.expect("new");
    assert_eq!(made, again);
}

async fn an_invitation_lets_in_as_many_as_it_says<D: Directory>(field: &Field<D>) {
    let Field { directory, jane, joe, ann, home, .. } = field;
    let (invite, hash) = field.invite(Role::Contributor, 1);
    assert_eq!(directory.invite(hash).await.expect("readable"), None);
    assert_eq!(field.follow(hash, joe, 20).await, Followed::Unknown);
    directory.add_invite(invite.clone(), hash).await.expect("new");
    assert_eq!(directory.invite(hash).await.expect("readable"), Some(invite.clone()));
    assert_eq!(field.role(joe).await, None, "to look at it grants nothing");
    let listed = directory.invites(home.id, at(20)).await.expect("readable");
    assert_eq!(listed, std::slice::from_ref(&invite));
    let joined = Followed::Joined(home.id, Role::Contributor);
    assert_eq!(field.follow(hash, joe, 20).await, joined);
    assert_eq!(field.follow(hash, joe, 21).await, joined, "followed again, it uses nothing up");
    assert_eq!(field.follow(hash, ann, 21).await, Followed::Over);
    assert_eq!(field.members().await, [(jane.id, Role::Owner), (joe.id, Role::Contributor)]);
    assert_eq!(directory.invites(home.id, at(20)).await.expect("readable"), []);
    let twice = directory.add_invite(invite, hash).await;
    assert!(matches!(twice, Err(LedgerError::Conflict { .. })), "{twice:?}");
}

async fn an_invitation_never_takes_a_role_away<D: Directory>(field: &Field<D>) {
    let Field { jane, joe, home, .. } = field;
    field.join(joe, Role::Viewer).await;
    let hash = field.invited(field.invite(Role::Contributor, 1)).await;
    assert_eq!(field.follow(hash, jane, 20).await, Followed::Joined(home.id, Role::Owner));
    let raised = Followed::Joined(home.id, Role::Contributor);
    assert_eq!(field.follow(hash, joe, 20).await, raised);
    assert_eq!(field.role(joe).await, Some(Role::Contributor));
}

async fn an_invitation_is_over_when_it_expires_or_is_taken_back<D: Directory>(field: &Field<D>) {
    let Field { directory, joe, home, ids, .. } = field;
    let hash = field.invited(field.invite(Role::Viewer, 5)).await;
    assert_eq!(field.follow(hash, joe, 100).await, Followed::Over);
    assert_eq!(directory.invites(home.id, at(100)).await.expect("readable"), []);
    let (invite, hash) = field.invite(Role::Viewer, 5);
    let id = invite.id;
    directory.add_invite(invite, hash).await.expect("new");
    let elsewhere = directory.remove_invite(ids.workspace(), id).await;
    assert!(!elsewhere.expect("an answer"), "it is found in its own workspace alone");
    assert!(directory.remove_invite(home.id, id).await.expect("an answer"));
    assert!(!directory.remove_invite(home.id, id).await.expect("an answer"));
    assert_eq!(field.follow(hash, joe, 20).await, Followed::Unknown);
    assert_eq!(field.role(joe).await, None);
}

async fn a_restricted_invitation_is_for_its_addresses<D: Directory>(field: &Field<D>) {
    let Field { joe, ann, home, .. } = field;
    let (invite, hash) = field.invite(Role::Viewer, 5);
    let invite = Invite { emails: vec![joe.email.to_lowercase()], ..invite };
    field.invited((invite, hash)).await;
    assert_eq!(field.follow(hash, ann, 20).await, Followed::NotForThem);
    let joined = Followed::Joined(home.id, Role::Viewer);
    assert_eq!(field.follow(hash, joe, 20).await, joined, "in any case of letters");
}

async fn who_was_removed_needs_a_new_invitation<D: Directory>(field: &Field<D>) {
    let Field { joe, ann, home, .. } = field;
    let old = field.invited(field.invite(Role::Viewer, 9)).await;
    let joined = Followed::Joined(home.id, Role::Viewer);
    assert_eq!(field.follow(old, joe, 20).await, joined);
    assert_eq!(field.remove(joe, Departure::Removed, 30).await, MemberChange::Done);
    assert_eq!(field.role(joe).await, None);
    assert_eq!(field.follow(old, joe, 31).await, Followed::NotForThem);
    let (invite, hash) = field.invite(Role::Viewer, 9);
    let new = field.invited((Invite { created: at(40), ..invite }, hash)).await;
    assert_eq!(field.follow(new, joe, 41).await, joined);
    // Who left by themselves was shut out by nobody.
    assert_eq!(field.follow(old, ann, 41).await, joined);
    assert_eq!(field.remove(ann, Departure::Left, 42).await, MemberChange::Done);
    assert_eq!(field.follow(old, ann, 43).await, joined);
}

async fn the_invitations_of_one_who_is_no_owner_any_more_are_void<D: Directory>(field: &Field<D>) {
    let Field { joe, ann, home, .. } = field;
    field.join(joe, Role::Owner).await;
    let of = |person: &Person| {
        let (invite, hash) = field.invite(Role::Viewer, 9);
        (Invite { maker: person.id, ..invite }, hash)
    };
    let first = field.invited(of(joe)).await;
    assert_eq!(field.set_role(joe, Role::Contributor).await, MemberChange::Done);
    assert_eq!(field.follow(first, ann, 30).await, Followed::Unknown);
    assert_eq!(field.set_role(joe, Role::Owner).await, MemberChange::Done);
    let second = field.invited(of(joe)).await;
    assert_eq!(field.remove(joe, Departure::Removed, 31).await, MemberChange::Done);
    assert_eq!(field.follow(second, ann, 32).await, Followed::Unknown);
    assert_eq!(field.directory.invites(home.id, at(20)).await.expect("readable"), []);
}
