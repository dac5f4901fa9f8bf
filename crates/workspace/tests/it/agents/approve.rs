//! People decide about proposals: what lands is what they chose, once.

use std::{collections::BTreeSet, thread};

use workspace::{
    Approval, Choice, ChoiceError, CommitId, FileChoice, FileEntry, FileMode, FilePatch, Landing,
    Line, PatchBody, Review, Reviewed, Side, Take,
};

use super::{
    model::{File, Folder, Sides, all_words, assert_same},
    world::{Proposal, World, folder_of},
};

/// What a person takes of a proposal. Numbers choose, bit by bit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decision {
    All,
    Files(u32),
    Hunks(u32),
    Content,
    Deny,
}

impl World {
    /// A proposal is decided; `meanwhile`, somebody may write to a file of the folder after the choice and before it
    /// lands.
    pub(super) fn decide(&mut self, nth: usize, decision: Decision, meanwhile: Option<&str>) {
        if self.proposals.is_empty() {
            return;
        }
        let proposal = self.proposals.remove(nth % self.proposals.len());
        let review = self.house.repository.review(proposal.commit, self.house.head()).unwrap();
        let text = self.words.line();
        let Some(choice) = choose(&review, decision, &text) else { return };
        let by = self.person();
        let name = format!("prp_{}", by.trailers[0].value());
        let head = self.house.head();
        let approval =
            Approval { held: proposal.commit, head, choice: &choice, by: &by, name: &name };
        let prepared = match self.house.repository.prepare(&approval).unwrap() {
            Ok(prepared) => prepared,
            Err(error) => return self.check_refused(&proposal, &error),
        };
        let ready = self.check_ready(&proposal, &review, &choice, prepared);
        let base = self.folder().clone();
        if let Some(path) = meanwhile {
            self.write(path, None);
        }
        let repository = &self.house.repository;
        let landings: Vec<Landing> = thread::scope(|scope| {
            let land = || repository.land(prepared, &by).unwrap();
            let twice = [scope.spawn(land), scope.spawn(land)];
            twice.into_iter().map(|landing| landing.join().unwrap()).collect()
        });
        let sides = Sides { base: &base, ours: &ready, theirs: self.folder() };
        match landings.as_slice() {
            [Landing::Landed(commit), Landing::Before(again)]
            | [Landing::Before(again), Landing::Landed(commit)] => {
                assert_eq!(commit, again);
                let merged = sides.merged().expect("landed on what changed since");
                let folder = folder_of(repository, *commit);
                assert_same(&folder, &merged, "an approval that landed");
                let new = all_words(&ready);
                self.approve_words(&mut new.difference(&all_words(&base)).cloned().collect());
                self.take_in(*commit, &by, folder);
            }
            [Landing::Moved(_), Landing::Moved(_)] => {
                assert!(meanwhile.is_some() && sides.merged().is_none(), "nothing had moved");
                assert_eq!(self.house.head(), self.history.last().unwrap().commit);
            }
            other => panic!("landed otherwise than once: {other:?}"),
        }
        self.house.repository.forget_approval(&name).unwrap();
    }

    /// Nothing happened, and for a reason.
    fn check_refused(&self, proposal: &Proposal, error: &ChoiceError) {
        let (base, ours) = (&proposal.base, &proposal.ours);
        let merged = Sides { base, ours, theirs: self.folder() }.merged();
        match error {
            ChoiceError::Conflicts(_) => assert_eq!(merged, None),
            // Also where only another part of the proposal, that was not chosen, would make room.
            ChoiceError::InTheWay(_) | ChoiceError::Nothing | ChoiceError::Twice(_) => {}
            other => panic!("refused: {other}"),
        }
        assert_eq!(self.house.head(), self.history.last().unwrap().commit);
    }

    /// What was made ready is the folder with what was chosen, and nothing else of the proposal.
    fn check_ready(
        &self,
        proposal: &Proposal,
        review: &Review,
        choice: &Choice,
        prepared: CommitId,
    ) -> Folder {
        let repository = &self.house.repository;
        let ready = folder_of(repository, prepared);
        let Choice::Files(choices) = choice else {
            let (base, ours) = (&proposal.base, &proposal.ours);
            Sides { base, ours, theirs: self.folder() }.check_landed(&ready);
            return ready;
        };
        let mut expected = self.folder().clone();
        for one in choices {
            let file = review.files.iter().find(|file| file.patch.path.as_str() == one.path);
            let patch = &file.unwrap().patch;
            let before = expected.remove(patch.from.as_ref().unwrap_or(&patch.path).as_str());
            match &one.take {
                Take::Whole => {
                    let Some(after) = patch.after else { continue };
                    let content = repository.blob(after.blob).unwrap();
                    expected.insert(one.path.clone(), (after.mode, content));
                }
                Take::Hunks(chosen) => {
                    if let Some(file) = with_hunks(before, patch, chosen) {
                        expected.insert(one.path.clone(), file);
                    }
                }
                Take::Content(content) => {
                    let mode = before.map_or(FileMode::Plain, |(mode, _)| mode);
                    expected.insert(one.path.clone(), (mode, content.clone()));
                }
            }
        }
        assert_same(&ready, &expected, "what was chosen");
        ready
    }
}

/// A file after some of its hunks, as its lines say; `None` if all of it goes.
fn with_hunks(before: Option<File>, patch: &FilePatch, chosen: &BTreeSet<usize>) -> Option<File> {
    let PatchBody::Text(hunks) = &patch.body else { panic!("hunks of what is no text") };
    if patch.after.is_none() && chosen.len() == hunks.len() {
        return None;
    }
    let (mode, content) = before.unwrap_or((FileMode::Plain, Vec::new()));
    let text = String::from_utf8(content).unwrap();
    let before: Vec<&str> = text.lines().collect();
    let (mut after, mut at) = (Vec::new(), 0);
    for (number, hunk) in hunks.iter().enumerate() {
        let of = |side| move |line: &&Line| line.side == Side::Kept || line.side == side;
        let removed = hunk.lines.iter().filter(of(Side::Removed)).count();
        let start = if removed == 0 { hunk.before_start } else { hunk.before_start - 1 };
        after.extend(before[at..start].iter().map(|line| (*line).to_owned()));
        let side = if chosen.contains(&number) { Side::Added } else { Side::Removed };
        after.extend(hunk.lines.iter().filter(of(side)).map(|line| line.text.clone()));
        at = start + removed;
    }
    after.extend(before[at..].iter().map(|line| (*line).to_owned()));
    let text: String = after.into_iter().map(|line| line + "\n").collect();
    Some((mode, text.into_bytes()))
}

/// What of a review a decision takes; `None` if nothing can be.
fn choose(review: &Review, decision: Decision, text: &str) -> Option<Choice> {
    let takes: Vec<FileChoice> = match decision {
        Decision::Deny => return None,
        Decision::All => return Some(Choice::All),
        Decision::Files(bits) => {
            let chosen =
                review.files.iter().enumerate().filter(|(at, _)| bits >> (at % 32) & 1 == 1);
            chosen.map(|(_, file)| take(file, Take::Whole)).collect()
        }
        Decision::Hunks(bits) => review.files.iter().filter_map(|file| hunks(file, bits)).collect(),
        Decision::Content => {
            let mut texts = review.files.iter().filter(|file| is_text(file));
            texts
                .next()
                .map(|file| take(file, Take::Content(text.as_bytes().to_vec())))
                .into_iter()
                .collect()
        }
    };
    (!takes.is_empty()).then_some(Choice::Files(takes))
}

fn take(file: &Reviewed, take: Take) -> FileChoice {
    FileChoice { path: file.patch.path.to_string(), take }
}

fn hunks(file: &Reviewed, bits: u32) -> Option<FileChoice> {
    let PatchBody::Text(hunks) = &file.patch.body else { return None };
    let chosen: BTreeSet<usize> =
        (0..hunks.len()).filter(|number| bits >> (number % 32) & 1 == 1).collect();
    (!chosen.is_empty() && is_text(file)).then(|| take(file, Take::Hunks(chosen)))
}

/// Whether a file is text on both sides, so that some of it can be taken.
fn is_text(file: &Reviewed) -> bool {
    let is_link = |entry: &FileEntry| matches!(entry.mode, FileMode::Link | FileMode::Submodule);
    let sides = [file.patch.before, file.patch.after];
    matches!(file.patch.body, PatchBody::Text(_)) && !sides.iter().flatten().any(is_link)
}
