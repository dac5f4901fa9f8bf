//! What differs between two states of a workspace, in the form that everybody is shown. Reads only.

use model::diff::{FileDiff, FileStatus, HunkDiff, LineDiff, LineKind};
use model::{CommitId, WorkspaceId};
use workspace::{FileMode, FilePatch, Flag, Hunk, Line, PatchBody, Side, Status};

use super::{Workspaces, WorkspacesError, theirs};

impl Workspaces {
    /// What a commit changed against its first parent; of the first commit: all that it holds.
    ///
    /// # Errors
    /// [`workspace::Error::NoCommit`] within [`WorkspacesError::Repository`].
    pub async fn commit_diff(
        &self,
        id: WorkspaceId,
        commit: &CommitId,
    ) -> Result<Vec<FileDiff>, WorkspacesError> {
        let Some(commit) = theirs(commit) else { return Ok(vec![]) };
        self.with(id, "compare a commit", move |repository| {
            let record = repository.record(commit)?;
            let before = match record.parents.first() {
                Some(parent) => repository.tree_of(*parent)?,
                None => workspace::TreeId::EMPTY,
            };
            Ok(file_diffs(&repository.patch(before, record.tree)?))
        })
        .await
    }

    /// What differs between two commits.
    pub async fn diff_between(
        &self,
        id: WorkspaceId,
        before: &CommitId,
        after: &CommitId,
    ) -> Result<Vec<FileDiff>, WorkspacesError> {
        let (Some(before), Some(after)) = (theirs(before), theirs(after)) else {
            return Ok(vec![]);
        };
        self.with(id, "compare two commits", move |repository| {
            let (before, after) = (repository.tree_of(before)?, repository.tree_of(after)?);
            Ok(file_diffs(&repository.patch(before, after)?))
        })
        .await
    }
}

/// Changed files as everybody is shown them.
pub fn file_diffs(patches: &[FilePatch]) -> Vec<FileDiff> {
    patches.iter().map(file_diff).collect()
}

/// One changed file as everybody is shown it. Whether it is in conflict, the caller knows.
pub fn file_diff(patch: &FilePatch) -> FileDiff {
    let hunks = match &patch.body {
        PatchBody::Text(hunks) => hunks.iter().enumerate().map(hunk_diff).collect(),
        PatchBody::Binary | PatchBody::TooLarge => vec![],
    };
    FileDiff {
        path: patch.path.to_string(),
        from: patch.from.as_ref().map(ToString::to_string),
        status: match patch.status() {
            Status::Added => FileStatus::Added,
            Status::Modified => FileStatus::Modified,
            Status::Deleted => FileStatus::Deleted,
            Status::Renamed => FileStatus::Renamed,
            Status::Mode => FileStatus::Mode,
        },
        old_mode: patch.before.map(|file| mode(file.mode).to_owned()),
        new_mode: patch.after.map(|file| mode(file.mode).to_owned()),
        binary: patch.body == PatchBody::Binary,
        too_large: patch.body == PatchBody::TooLarge,
        flags: patch.flags().into_iter().map(Flag::word).map(str::to_owned).collect(),
        conflict: false,
        hunks,
    }
}

fn mode(mode: FileMode) -> &'static str {
    match mode {
        FileMode::Plain => "100644",
        FileMode::Executable => "100755",
        FileMode::Link => "120000",
        FileMode::Submodule => "160000",
    }
}

fn hunk_diff((index, hunk): (usize, &Hunk)) -> HunkDiff {
    let (old_lines, new_lines) = hunk.counts();
    HunkDiff {
        index,
        old_start: hunk.before_start,
        old_lines,
        new_start: hunk.after_start,
        new_lines,
        lines: hunk.lines.iter().map(line_diff).collect(),
    }
}

fn line_diff(line: &Line) -> LineDiff {
    let kind = match line.side {
        Side::Kept => LineKind::Kept,
        Side::Removed => LineKind::Removed,
        Side::Added => LineKind::Added,
    };
    LineDiff { kind, text: line.text.clone(), no_newline: !line.ended }
}
