//! Checks the promises of [`Backend`], with real boxes and the real worker.

mod field;
mod lifetime;
mod walls;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::port::Backend;
use field::Field;

/// What a backend is checked on.
#[async_trait]
pub trait Ground: Debug + Send + Sync {
    /// The backend, as a server that has just been started makes it: it knows of no box.
    async fn backend(&self) -> Arc<dyn Backend>;

    /// An empty folder, for checkouts.
    fn folder(&self) -> &Path;

    /// Everything on this machine that belongs to a box of this backend: folders, processes, mounts,
    /// cgroups. Empty when no box lives.
    fn left(&self) -> Vec<String>;
}

/// Checks every promise.
///
/// # Panics
/// When a promise is broken.
pub async fn backend(ground: &dyn Ground) {
    let field = Field::new(ground).await;
    lifetime::a_box_runs_an_agent_until_it_is_stopped(&field).await;
    lifetime::a_killed_box_leaves_nothing(&field).await;
    lifetime::a_start_that_fails_leaves_nothing(&field).await;
    lifetime::a_start_that_is_given_up_leaves_nothing(&field).await;
    lifetime::a_box_is_adopted_with_its_agent(&field).await;
    lifetime::a_sweep_removes_what_is_not_kept(&field).await;
    walls::changes_are_found_per_mount_and_never_in_the_checkout(&field).await;
    walls::the_session_is_there_before_the_agent_and_after_the_box(&field).await;
    walls::the_doors_lead_from_the_box_to_the_gate(&field).await;
    walls::a_frozen_box_stands_still(&field).await;
    walls::untrusted_input_runs_behind_walls_or_not_at_all(&field).await;
    walls::memory_is_limited(&field).await;
    walls::processes_are_limited(&field).await;
    field.nothing_is_left().await;
}
