//! What a first start makes: a person, a home workspace, and their keys.

use std::path::Path;

use anyhow::Context;
use engine::port::{Clock, Directory, IdSource, Key, Person, Scope, Workspace};
use engine::workspaces::{SeedFile, Workspaces};
use model::{KeyId, UserId, WorkspaceId};

use crate::profile::Profile;

/// What the seeded person is called until they say otherwise.
const EMAIL: &str = "owner@remit.local";
const NAME: &str = "Owner";
const DASHBOARD: &str = include_str!("home/README.md");

/// What seeding works with.
pub(crate) struct Ground<'a> {
    pub(crate) directory: &'a dyn Directory,
    pub(crate) workspaces: &'a Workspaces,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) ids: &'a dyn IdSource,
    pub(crate) data: &'a Path,
    pub(crate) concurrent_max: u32,
}

impl Ground<'_> {
    /// Makes what is missing, and tells where the server is reached now.
    ///
    /// Every step may be repeated: a first start that was killed is finished by the next. Keys whose
    /// profile is lost cannot be shown again, so new ones are made.
    pub(crate) async fn prepare(&self, url: &str) -> anyhow::Result<(Profile, UserId)> {
        self.finish_removals().await?;
        let person = self.person().await?;
        let home = self.home(&person).await?;
        let known = Profile::read(self.data)?;
        let profile = match known {
            Some(known) => Profile { url: url.to_owned(), ..known },
            None => Profile {
                url: url.to_owned(),
                admin_key: self.key(&person, "administrator", [Scope::Admin]).await?,
                key: self.key(&person, "first key", [Scope::Agent, Scope::Read]).await?,
                workspace: home.id.to_string(),
            },
        };
        profile.write(self.data)?;
        Ok((profile, person.id))
    }

    /// Removes the folders of workspaces that an earlier server had begun to remove, or to make.
    async fn finish_removals(&self) -> anyhow::Result<()> {
        for id in self.directory.removed().await? {
            self.workspaces.remove(id).await?;
            self.directory.forget_removed(id).await?;
        }
        Ok(())
    }

    async fn person(&self) -> anyhow::Result<Person> {
        if let Some(first) = self.directory.people().await?.into_iter().next() {
            return Ok(first);
        }
        let person = Person {
            id: UserId::from_uuid(self.ids.uuid()),
            email: EMAIL.to_owned(),
            name: NAME.to_owned(),
            concurrent_max: self.concurrent_max,
            created: self.clock.now(),
        };
        Ok(self.directory.add_person(person).await?)
    }

    async fn home(&self, person: &Person) -> anyhow::Result<Workspace> {
        let known = self.directory.workspaces(person.id).await?.into_iter().next();
        let home = if let Some(home) = known {
            home
        } else {
            let home = Workspace {
                id: WorkspaceId::from_uuid(self.ids.uuid()),
                name: server::HOME.parse()?,
                owner: person.id,
                purpose: String::new(),
                created: self.clock.now(),
            };
            self.directory.add_workspace(home).await?
        };
        let dashboard = SeedFile { path: "README.md".to_owned(), content: DASHBOARD.into() };
        self.workspaces
            .create(home.id, vec![dashboard], person, self.clock.now())
            .await
            .context("cannot make the home workspace")?;
        Ok(home)
    }

    async fn key(
        &self,
        person: &Person,
        label: &str,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> anyhow::Result<String> {
        let secret = server::new_key(self.ids);
        let key = Key {
            id: KeyId::from_uuid(self.ids.uuid()),
            subject: person.id,
            label: label.to_owned(),
            scopes: scopes.into_iter().collect(),
            created: self.clock.now(),
            expires: None,
        };
        self.directory.add_key(key, server::key_hash(&secret)).await?;
        Ok(secret)
    }
}
