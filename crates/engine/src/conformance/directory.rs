//! Checks the promises of [`Directory`].

use model::{KeyId, ModelApi, SecretId, WorkspaceName};

use super::fixture::{Ids, at};
use crate::port::{
    Directory, Key, KeyHash, LedgerError, Login, ModelPrice, OwnEndpoint, Person, Removal, Scope,
    Workspace,
};
use crate::remote::Remote;

/// Checks every promise, each with a directory from `fresh`, which may share its store.
///
/// # Panics
/// When a promise is broken.
pub async fn directory<D: Directory>(fresh: impl AsyncFn() -> D) {
    a_person_is_added_once_by_mail(&fresh().await).await;
    a_key_is_found_by_its_hash_until_removed(&fresh().await).await;
    a_login_is_found_by_its_hash_until_removed_or_over(&fresh().await).await;
    a_workspace_is_added_once_by_name_for_its_owner(&fresh().await).await;
    a_workspace_that_was_begun_is_to_be_removed_until_it_is_added(&fresh().await).await;
    an_id_is_given_once(&fresh().await).await;
    a_removed_workspace_is_gone_and_remembered_until_its_folder_is(&fresh().await).await;
    a_workspace_follows_what_was_said_last(&fresh().await).await;
    an_endpoint_is_its_owners_and_is_replaced_by_who_saw_it(&fresh().await).await;
}

async fn an_endpoint_is_its_owners_and_is_replaced_by_who_saw_it(directory: &impl Directory) {
    let ids = Ids::new();
    let (jane, joe) = (ids.user(), ids.user());
    let one = |url: &str, secret| OwnEndpoint {
        name: "mine".parse().expect("a name"),
        api: ModelApi::OpenaiChat,
        url: url.to_owned(),
        model: "m".to_owned(),
        models: vec!["n".to_owned()],
        runners: vec!["remit".parse().expect("a name")],
        max_tokens: Some(7),
        prices: vec![ModelPrice { models: "*".to_owned(), input: 1, cached: None, output: 2 }],
        secret,
        changed: at(3),
    };
    let (first, second) =
        (one("https://a", Some(SecretId::from_uuid(ids.uuid()))), one("https://b", None));
    let name = first.name.clone();
    let put = async |endpoint: &OwnEndpoint, before: Option<&OwnEndpoint>| {
        directory.put_endpoint(jane, endpoint.clone(), before.cloned()).await.expect("written")
    };
    assert!(!put(&first, Some(&second)).await, "it is not there");
    assert!(put(&first, None).await);
    assert!(!put(&second, None).await, "somebody did not see the first");
    assert_eq!(directory.endpoint(jane, &name).await.expect("read"), Some(first.clone()));
    assert_eq!(directory.endpoint(joe, &name).await.expect("read"), None);
    assert_eq!(directory.endpoints(joe).await.expect("read"), []);
    assert!(directory.secrets().await.expect("read").contains(&first.secret.expect("one")));
    assert!(put(&second, Some(&first)).await);
    assert!(!directory.secrets().await.expect("read").contains(&first.secret.expect("one")));
    assert_eq!(directory.endpoints(jane).await.expect("read"), std::slice::from_ref(&second));
    assert_eq!(directory.remove_endpoint(joe, &name).await.expect("done"), None);
    assert_eq!(directory.remove_endpoint(jane, &name).await.expect("done"), Some(second));
    assert_eq!(directory.remove_endpoint(jane, &name).await.expect("done"), None);
    assert_eq!(directory.endpoints(jane).await.expect("read"), []);
}

fn person(ids: &Ids, ms: u64) -> Person {
    let id = ids.user();
    Person {
        id,
        email: format!("{id}@example.org"),
        name: "Jane \u{1f600} 'Doe'".to_owned(),
        concurrent_max: 3,
        created: at(ms),
    }
}

fn key(ids: &Ids, of: &Person, ms: u64) -> (Key, KeyHash) {
    let key = Key {
        id: KeyId::from_uuid(ids.uuid()),
        subject: of.id,
        label: "laptop".to_owned(),
        scopes: vec![Scope::Agent, Scope::Admin],
        created: at(ms),
        expires: None,
    };
    let mut hash = KeyHash([7; 32]);
    hash.0[..16].copy_from_slice(key.id.uuid().as_bytes());
    (key, hash)
}

fn workspace(ids: &Ids, of: &Person, name: &str, ms: u64) -> Workspace {
    let name: WorkspaceName = name.parse().expect("a valid name");
    let purpose = "what it is for".to_owned();
    Workspace { id: ids.workspace(), name, owner: of.id, purpose, created: at(ms) }
}

async fn a_workspace_follows_what_was_said_last(directory: &impl Directory) {
    let ids = Ids::new();
    let (one, other) = (ids.workspace(), ids.workspace());
    let remote = |url: &str, branch: &str| Remote {
        url: url.parse().expect("an address"),
        branch: branch.parse().expect("a branch"),
    };
    let follows = async |workspace| directory.remote(workspace).await.expect("readable");
    assert_eq!(follows(one).await, None);
    let first = remote("https://git.example.org/a/notes.git", "main");
    directory.set_remote(one, first.clone()).await.expect("written");
    assert_eq!((follows(one).await, follows(other).await), (Some(first), None));
    let second = remote("ssh://git@[2001:db8::1]:2222/notes", "a/b");
    directory.set_remote(one, second.clone()).await.expect("written");
    assert_eq!(follows(one).await, Some(second));
}

async fn a_person_is_added_once_by_mail(directory: &impl Directory) {
    let ids = Ids::new();
    let (jane, joe) = (person(&ids, 1), person(&ids, 2));
    assert_eq!(directory.person(jane.id).await.expect("readable"), None);
    assert_eq!(directory.add_person(joe.clone()).await.expect("new"), joe);
    assert_eq!(directory.add_person(jane.clone()).await.expect("new"), jane);
    let again = Person { email: jane.email.clone(), ..person(&ids, 3) };
    assert_eq!(directory.add_person(again.clone()).await.expect("found"), jane);
    assert_eq!(directory.person(again.id).await.expect("readable"), None, "found, not added");
    assert_eq!(directory.person(jane.id).await.expect("readable"), Some(jane.clone()));
    let mut people = directory.people().await.expect("readable");
    people.retain(|person| [jane.id, joe.id].contains(&person.id));
    assert_eq!(people, [jane, joe], "oldest first");
}

async fn a_key_is_found_by_its_hash_until_removed(directory: &impl Directory) {
    let ids = Ids::new();
    let jane = directory.add_person(person(&ids, 1)).await.expect("new");
    let (first, first_hash) = key(&ids, &jane, 5);
    let (second, second_hash) = key(&ids, &jane, 4);
    let second = Key { expires: Some(at(9)), scopes: vec![], ..second };
    assert_eq!(directory.key(first_hash).await.expect("readable"), None);
    directory.add_key(first.clone(), first_hash).await.expect("new");
    directory.add_key(second.clone(), second_hash).await.expect("new");
    assert_eq!(directory.key(first_hash).await.expect("readable"), Some(first.clone()));
    assert_eq!(directory.key(second_hash).await.expect("readable"), Some(second.clone()));
    let keys = directory.keys(jane.id).await.expect("readable");
    assert_eq!(keys, [second.clone(), first.clone()], "oldest first");
    assert!(directory.remove_key(first.id).await.expect("removed"));
    assert!(!directory.remove_key(first.id).await.expect("nothing to remove"));
    assert_eq!(directory.key(first_hash).await.expect("readable"), None);
    assert_eq!(directory.keys(jane.id).await.expect("readable"), [second]);
}

async fn a_login_is_found_by_its_hash_until_removed_or_over(directory: &impl Directory) {
    let ids = Ids::new();
    let jane = directory.add_person(person(&ids, 1)).await.expect("new");
    let (_, hash) = key(&ids, &jane, 1);
    let (_, other) = key(&ids, &jane, 1);
    let login = Login {
        subject: jane.id,
        scopes: vec![Scope::Agent, Scope::Read],
        created: at(5),
        seen: at(5),
        expires: at(50),
    };
    assert_eq!(directory.login(hash).await.expect("readable"), None);
    directory.add_login(login.clone(), hash).await.expect("new");
    assert_eq!(directory.login(hash).await.expect("readable"), Some(login.clone()));
    let refused = directory.add_login(login.clone(), hash).await;
    assert!(matches!(refused, Err(LedgerError::Conflict { .. })), "{refused:?}");
    directory.see_login(hash, at(7)).await.expect("noted");
    let seen = Login { seen: at(7), ..login.clone() };
    assert_eq!(directory.login(hash).await.expect("readable"), Some(seen));
    let later = Login { created: at(51), seen: at(51), expires: at(99), ..login };
    directory.add_login(later.clone(), other).await.expect("new");
    assert_eq!(directory.login(hash).await.expect("readable"), None, "it is over");
    directory.see_login(hash, at(8)).await.expect("nothing to note");
    assert!(directory.remove_login(other).await.expect("removed"));
    assert!(!directory.remove_login(other).await.expect("nothing to remove"));
    assert_eq!(directory.login(other).await.expect("readable"), None);
}

async fn a_workspace_is_added_once_by_name_for_its_owner(directory: &impl Directory) {
    let ids = Ids::new();
    let jane = directory.add_person(person(&ids, 1)).await.expect("new");
    let joe = directory.add_person(person(&ids, 2)).await.expect("new");
    let home = workspace(&ids, &jane, "home", 3);
    let notes = workspace(&ids, &jane, "notes", 2);
    let of_joe = workspace(&ids, &joe, "home", 1);
    for new in [&home, &notes, &of_joe] {
        assert_eq!(directory.workspace(new.id).await.expect("readable"), None);
        assert_eq!(directory.add_workspace(new.clone()).await.expect("new"), *new);
        assert_eq!(directory.workspace(new.id).await.expect("readable").as_ref(), Some(new));
    }
    let again = workspace(&ids, &jane, "home", 4);
    assert_eq!(directory.add_workspace(again).await.expect("found"), home);
    let of_jane = directory.workspaces(jane.id).await.expect("readable");
    assert_eq!(of_jane, [notes, home], "oldest first");
    assert_eq!(directory.workspaces(joe.id).await.expect("readable"), [of_joe]);
}

async fn a_removed_workspace_is_gone_and_remembered_until_its_folder_is(
    directory: &impl Directory,
) {
    let ids = Ids::new();
    let jane = directory.add_person(person(&ids, 1)).await.expect("new");
    let home = directory.add_workspace(workspace(&ids, &jane, "home", 1)).await.expect("new");
    let notes = directory.add_workspace(workspace(&ids, &jane, "notes", 2)).await.expect("new");
    let removal = directory.remove_workspace(home.id).await.expect("answered");
    assert_eq!(removal, Removal::Home);
    assert_eq!(directory.workspaces(jane.id).await.expect("readable").len(), 2);
    let removal = directory.remove_workspace(notes.id).await.expect("answered");
    assert_eq!(removal, Removal::Done);
    assert_eq!(directory.workspace(notes.id).await.expect("readable"), None);
    assert_eq!(directory.workspaces(jane.id).await.expect("readable"), [home]);
    assert_eq!(directory.role(notes.id, jane.id).await.expect("readable"), None);
    assert_eq!(directory.removed().await.expect("readable"), [notes.id]);
    let removal = directory.remove_workspace(notes.id).await.expect("answered");
    assert_eq!(removal, Removal::Unknown);
    for _ in 0..2 {
        directory.forget_removed(notes.id).await.expect("written");
        assert_eq!(directory.removed().await.expect("readable"), []);
    }
    let again = workspace(&ids, &jane, "notes", 3);
    assert_eq!(
        directory.add_workspace(again.clone()).await.expect("new"),
        again,
        "the name is free"
    );
}

async fn a_workspace_that_was_begun_is_to_be_removed_until_it_is_added(directory: &impl Directory) {
    let ids = Ids::new();
    let jane = directory.add_person(person(&ids, 1)).await.expect("new");
    let notes = workspace(&ids, &jane, "notes", 1);
    let twin = workspace(&ids, &jane, "notes", 2);
    for begun in [&notes, &twin] {
        directory.begin_workspace(begun.id).await.expect("written");
        let remote = Remote {
            url: "https://git.example.org/notes.git".parse().expect("an address"),
            branch: "main".parse().expect("a branch"),
        };
        directory.set_remote(begun.id, remote).await.expect("written");
    }
    assert_eq!(directory.removed().await.expect("readable").len(), 2);
    assert_eq!(directory.add_workspace(notes.clone()).await.expect("new"), notes);
    assert_eq!(directory.add_workspace(twin.clone()).await.expect("the name is taken"), notes);
    assert_eq!(directory.removed().await.expect("readable"), [twin.id]);
    for id in [notes.id, twin.id] {
        directory.forget_removed(id).await.expect("written");
    }
    assert_eq!(directory.removed().await.expect("readable"), []);
    let follows = directory.remote(notes.id).await.expect("readable").expect("it follows");
    let followed = directory.followed(jane.id).await.expect("readable");
    assert_eq!(followed, [(notes.id, follows)], "of what is there");
    assert_eq!(directory.remote(twin.id).await.expect("readable"), None);
}

async fn an_id_is_given_once(directory: &impl Directory) {
    let ids = Ids::new();
    let jane = directory.add_person(person(&ids, 1)).await.expect("new");
    let twin = Person { id: jane.id, ..person(&ids, 2) };
    let refused = directory.add_person(twin).await;
    assert!(matches!(refused, Err(LedgerError::Conflict { .. })), "{refused:?}");
    let home = directory.add_workspace(workspace(&ids, &jane, "home", 1)).await.expect("new");
    let twin = Workspace { id: home.id, ..workspace(&ids, &jane, "other", 2) };
    let refused = directory.add_workspace(twin).await;
    assert!(matches!(refused, Err(LedgerError::Conflict { .. })), "{refused:?}");
    let (first, hash) = key(&ids, &jane, 1);
    directory.add_key(first.clone(), hash).await.expect("new");
    let (other, _) = key(&ids, &jane, 2);
    let refused = directory.add_key(other, hash).await;
    assert!(matches!(refused, Err(LedgerError::Conflict { .. })), "{refused:?}");
    assert_eq!(directory.key(hash).await.expect("readable"), Some(first));
}
