//! What a folder holds, as a map in memory, and what may become of two changes of it. Judges what landed; knows nothing
//! of git, of overlays or of how we merge.

use std::collections::{BTreeMap, BTreeSet};

use workspace::FileMode;

/// A file: its mode and what it holds.
pub(super) type File = (FileMode, Vec<u8>);

/// All files of a folder.
pub(super) type Folder = BTreeMap<String, File>;

/// A change and the folder it comes to.
#[derive(Debug)]
pub(super) struct Sides<'a> {
    /// What the change was made from.
    pub(super) base: &'a Folder,
    /// What the agent left.
    pub(super) ours: &'a Folder,
    /// The folder as it stood when the change landed.
    pub(super) theirs: &'a Folder,
}

impl Sides<'_> {
    /// The folder afterwards, if both changed different things; `None` if somebody may have to decide.
    pub(super) fn merged(&self) -> Option<Folder> {
        let (ours, theirs) = (changed(self.base, self.ours), changed(self.base, self.theirs));
        let in_doubt = ours.iter().any(|path| {
            theirs.contains(path)
                || (self.ours.contains_key(*path)
                    && theirs
                        .iter()
                        .any(|their| self.theirs.contains_key(*their) && meet(path, their)))
        });
        if in_doubt {
            return None;
        }
        let mut merged = self.theirs.clone();
        for path in ours {
            match self.ours.get(path) {
                Some(file) => merged.insert(path.clone(), file.clone()),
                None => merged.remove(path),
            };
        }
        Some(merged)
    }

    /// Insists that `landed` is the one folder that both changes make, or, where both touched the same file and were
    /// merged all the same, that each word of either stands there as both want it, once, and nothing else.
    pub(super) fn check_landed(&self, landed: &Folder) {
        if let Some(merged) = self.merged() {
            return assert_same(landed, &merged, "two changes of different files");
        }
        let places = [self.base, self.ours, self.theirs, landed].map(places);
        let words: BTreeSet<&Vec<u8>> = places.iter().flat_map(BTreeMap::keys).collect();
        for word in words {
            let none = Vec::new();
            let at = [0, 1, 2, 3].map(|side| places[side].get(word).unwrap_or(&none).as_slice());
            let is_there =
                |place: &String, landed: &String| place == landed || self.one_moved(place, landed);
            check_word(at, &is_there, &String::from_utf8_lossy(word));
        }
        for (path, (mode, _)) in landed {
            let modes = [self.base, self.ours, self.theirs].map(|side| side.get(path));
            if let [Some(base), Some(ours), Some(theirs)] = modes {
                assert_eq!(Some(*mode), three_way(base.0, ours.0, theirs.0), "mode of {path}");
            }
        }
    }

    /// Whether one of both may have moved what stood at `place`; then what the other wrote there follows.
    fn one_moved(&self, place: &String, to: &String) -> bool {
        [self.ours, self.theirs].into_iter().any(|side| {
            self.base.contains_key(place)
                && !side.contains_key(place)
                && !self.base.contains_key(to)
                && side.contains_key(to)
        })
    }
}

/// What stands if one of two changed it; `None` if both did, each in another way.
fn three_way<T: PartialEq + Copy>(base: T, ours: T, theirs: T) -> Option<T> {
    if ours == base || ours == theirs {
        Some(theirs)
    } else if theirs == base {
        Some(ours)
    } else {
        None
    }
}

/// The paths of which the two folders differ.
pub(super) fn changed<'a>(before: &'a Folder, after: &'a Folder) -> BTreeSet<&'a String> {
    let paths = before.keys().chain(after.keys());
    paths.filter(|path| before.get(*path) != after.get(*path)).collect()
}

/// Whether no folder can hold both paths on every file system: one is above the other, or they differ only in case.
pub(super) fn meet(one: &str, other: &str) -> bool {
    let mut names = one.split('/').zip(other.split('/'));
    names
        .find(|(one, other)| one != other)
        .is_none_or(|(one, other)| one.to_lowercase() == other.to_lowercase())
}

/// Insists that a word stands where one of both sides wants it and the other does not mind.
fn check_word(
    [base, ours, theirs, landed]: [&[String]; 4],
    is_there: &dyn Fn(&String, &String) -> bool,
    word: &str,
) {
    let times = match [base, ours, theirs].map(<[String]>::len) {
        // Both brought it: one took back what took it away, the other had kept a copy.
        [0, ours, theirs] => ours + theirs,
        [base, ours, theirs] => base.max(ours).max(theirs),
    };
    assert!(landed.len() <= times, "{word:?} landed at {landed:?}");
    let known = |landed: &String| ours.iter().chain(theirs).any(|place| is_there(place, landed));
    assert!(
        times > 1 || base.is_empty() || landed.iter().all(known),
        "{word:?} landed at {landed:?}"
    );
    let [base, ours, theirs, landed] = match [base, ours, theirs, landed].map(<[String]>::len) {
        // Some of a proposal was approved, and with it a copy of what stays elsewhere.
        lengths if lengths.iter().any(|length| *length > 1) => return,
        _ => [base, ours, theirs, landed].map(<[String]>::first),
    };
    // Moved by one into a file that it made new, taken away by the other: nobody can tell.
    let moved = |side: Option<&String>| side.is_some() && base.is_some() && side != base;
    if !(moved(ours) && theirs.is_none() || moved(theirs) && ours.is_none()) {
        let stands = three_way(base.is_some(), ours.is_some(), theirs.is_some());
        assert_eq!(Some(landed.is_some()), stands, "whether {word:?} stands there");
    }
    if let (Some(base), Some(ours), Some(theirs), Some(landed)) = (base, ours, theirs, landed)
        && let Some(place) = three_way(base, ours, theirs)
    {
        assert!(is_there(place, landed), "{word:?} stands at {landed}, not at {place}");
    }
}

/// Where each word stands. Words are lines of a text, and all of a binary or of a link; no agent writes one twice.
fn places(folder: &Folder) -> BTreeMap<Vec<u8>, Vec<String>> {
    let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (path, file) in folder {
        for word in words(file) {
            places.entry(word).or_default().push(path.clone());
        }
    }
    places
}

/// The words of a file.
pub(super) fn words((mode, content): &File) -> Vec<Vec<u8>> {
    if *mode == FileMode::Link || content.contains(&0) {
        return vec![content.clone()];
    }
    content.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// The words of a whole folder.
pub(super) fn all_words(folder: &Folder) -> BTreeSet<Vec<u8>> {
    folder.values().flat_map(words).collect()
}

/// Insists that two folders are the same, and shows the first difference.
pub(super) fn assert_same(found: &Folder, expected: &Folder, what: &str) {
    for path in changed(expected, found) {
        let show = |file: Option<&File>| {
            file.map(|(mode, content)| (*mode, String::from_utf8_lossy(content).into_owned()))
        };
        let (found, expected) = (show(found.get(path)), show(expected.get(path)));
        assert_eq!(found, expected, "{what}: {path:?}");
    }
}
