//! Cases of several images with one label map, or of one image with several label maps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::path_words::words;
use super::{FEWEST_ALIKE, FilePair, Groups, MOST_FURTHER, Words, fewer};
use crate::discover::volume_names::{channel_order, is_image_word, is_label_word, is_sequence};

/// Words that distinguish versions of a label map, and not structures.
const VERSION_WORDS: [&str; 14] = [
    "annotator",
    "auto",
    "corrected",
    "final",
    "instance",
    "manual",
    "observer",
    "old",
    "pred",
    "prediction",
    "rater",
    "reader",
    "reviewed",
    "version",
];

/// Words that the name of a structure has at most.
const MOST_OF_STRUCTURE: usize = 6;

/// A file of one kind, and those of the other kind that go with it, by their distinguishing words.
struct Family {
    file: PathBuf,
    others: Vec<(Vec<String>, PathBuf)>,
}

/// Families of files in one folder: those whose words are those of a file of the other kind and
/// further ones.
pub(super) fn in_folders(groups: &Groups) -> Vec<FilePair> {
    [1, 0].into_iter().flat_map(|one| of_families(in_folders_of(groups, one), one)).collect()
}

fn in_folders_of(groups: &Groups, one: usize) -> Vec<Family> {
    let most = if one == 0 { MOST_OF_STRUCTURE } else { MOST_FURTHER };
    let mut folders: BTreeMap<&Path, Vec<(&Words, &PathBuf)>> = BTreeMap::new();
    for (words, kinds) in groups {
        if let [path] = kinds[1 - one].as_slice() {
            folders.entry(path.parent().unwrap_or(Path::new(""))).or_default().push((words, path));
        }
    }
    let mut found = Vec::new();
    for (own, kinds) in groups {
        let [file] = kinds[one].as_slice() else { continue };
        if own.is_empty() {
            continue;
        }
        let beside = folders.get(file.parent().unwrap_or(Path::new(""))).into_iter().flatten();
        let further = beside.filter(|(other, _)| other.is_superset(own) && other.len() > own.len());
        let others: Vec<_> = further
            .filter(|(other, _)| other.len() - own.len() <= most)
            .map(|(_, path)| (distinguishing(path, own), (*path).clone()))
            .collect();
        if others.len() > 1 {
            found.push(Family { file: file.clone(), others });
        }
    }
    found
}

/// Pairs of an image and a label map of the same name in other folders.
pub(super) fn of_one_stem(groups: &Groups) -> Vec<FilePair> {
    let mut names: BTreeMap<Vec<String>, [Vec<&PathBuf>; 2]> = BTreeMap::new();
    for group in groups.values() {
        for (kind, paths) in group.iter().enumerate() {
            paths.iter().for_each(|path| names.entry(words_of_stem(path)).or_default()[kind].push(path));
        }
    }
    names.retain(|words, _| words.iter().any(|word| has_digit(word)));
    let pair = |[images, labels]: &[Vec<&PathBuf>; 2]| match (images.as_slice(), labels.as_slice()) {
        ([image], [label]) => Some(FilePair::new(image, label)),
        _ => None,
    };
    let pairs: Vec<FilePair> = names.values().filter_map(pair).collect();
    if pairs.len() < FEWEST_ALIKE { Vec::new() } else { pairs }
}

fn has_digit(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_digit())
}

/// Files of one name in other folders: an image with the label map, or with several, or several
/// images with the label map of the same words in the name of the file, or of one or two fewer.
pub(super) fn by_stem(groups: &Groups) -> Vec<FilePair> {
    let mut kinds: [BTreeMap<Words, Vec<&PathBuf>>; 2] = [BTreeMap::new(), BTreeMap::new()];
    for group in groups.values() {
        for (kind, path) in
            group.iter().enumerate().flat_map(|(kind, paths)| paths.iter().map(move |p| (kind, p)))
        {
            kinds[kind].entry(stem_words(path)).or_default().push(path);
        }
    }
    let channels = of_families(by_stem_of(&kinds, 1), 1);
    if !channels.is_empty() {
        return channels;
    }
    of_families(by_stem_of(&kinds, 0), 0)
}

fn by_stem_of(kinds: &[BTreeMap<Words, Vec<&PathBuf>>; 2], one: usize) -> Vec<Family> {
    let mut families: BTreeMap<&PathBuf, Family> = BTreeMap::new();
    for (key, paths) in &kinds[1 - one] {
        let shorter = || {
            let mut known: Vec<Words> =
                fewer(key).into_iter().filter(|key| kinds[one].contains_key(key)).collect();
            known.sort_by_key(|known| std::cmp::Reverse(known.len()));
            known.into_iter().next()
        };
        let own = if kinds[one].contains_key(key) { Some(key.clone()) } else { shorter() };
        let Some(own) = own.filter(|own| own.iter().any(|word| has_digit(word))) else { continue };
        let [file] = kinds[one][&own].as_slice() else { continue };
        let others = paths.iter().map(|path| {
            let name = distinguishing(path.file_name().map(Path::new).unwrap_or(Path::new("")), &own);
            let folder = || distinguishing(path, &own);
            (if name.is_empty() { folder() } else { name }, (*path).clone())
        });
        let family = || Family { file: file.to_path_buf(), others: Vec::new() };
        families.entry(*file).or_insert_with(family).others.extend(others);
    }
    families.into_values().collect()
}

/// The words of the name of a file that say nothing of its kind, in their order.
fn words_of_stem(path: &Path) -> Vec<String> {
    let name = path.file_name().map(Path::new).unwrap_or(Path::new(""));
    words(name).into_iter().filter(|word| !is_label_word(word) && !is_image_word(word)).collect()
}

fn stem_words(path: &Path) -> Words {
    words_of_stem(path).into_iter().collect()
}

/// The words of a path that `own` lacks, in their order, once each. Names of modalities
/// are used only if no other words remain.
fn distinguishing(path: &Path, own: &Words) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all: Vec<String> =
        words(path).into_iter().filter(|word| !own.contains(word) && !is_label_word(word)).collect();
    let mut kept: Vec<String> = all.iter().filter(|word| !is_image_word(word)).cloned().collect();
    if kept.is_empty() {
        kept = all.into_iter().filter(|word| is_sequence(word)).collect();
    }
    kept.retain(|word| seen.insert(word.clone()));
    kept
}

/// The cases of families, if their distinguishing words are the same in most of them: then they are
/// channels or structures. Words for versions of a label map do not count.
fn of_families(mut families: Vec<Family>, one: usize) -> Vec<FilePair> {
    let pairs: Vec<FilePair> = families
        .iter()
        .filter_map(|family| match family.others.as_slice() {
            [(_, other)] if one == 1 => Some(FilePair::new(other, &family.file)),
            [(_, other)] => Some(FilePair::new(&family.file, other)),
            _ => None,
        })
        .collect();
    families.retain(|family| family.others.len() > 1);
    if pairs.len() > families.len() {
        return if pairs.len() < FEWEST_ALIKE { Vec::new() } else { pairs };
    }
    drop_common_words(&mut families);
    let named: Vec<(PathBuf, BTreeMap<String, PathBuf>)> = families
        .into_iter()
        .filter_map(|Family { file, others }| {
            let count = others.len();
            let several: BTreeMap<String, PathBuf> =
                others.into_iter().map(|(words, path)| (words.join("_"), path)).collect();
            (several.len() == count && !several.contains_key("")).then_some((file, several))
        })
        .collect();
    let mut sets: BTreeMap<Vec<&String>, usize> = BTreeMap::new();
    named.iter().for_each(|(_, several)| *sets.entry(several.keys().collect()).or_default() += 1);
    let most = sets.values().copied().max().unwrap_or(0);
    let versions = one == 0 && named.iter().any(|(_, several)| several.keys().any(|name| is_version(name)));
    if most < FEWEST_ALIKE || 2 * most < named.len() || versions {
        return Vec::new();
    }
    let case = |(file, several): (PathBuf, BTreeMap<String, PathBuf>)| {
        let first = several.keys().min_by_key(|name| channel_order(name)).map(|name| several[name].clone());
        let first = first.unwrap_or_default();
        match one {
            1 => FilePair { channels: several, ..FilePair::new(&first, &file) },
            _ => FilePair { structures: several, ..FilePair::new(&file, &first) },
        }
    };
    named.into_iter().map(case).collect()
}

/// Removes the words that all names have, such as "oar" of `oar_heart` and `oar_lung`, unless a
/// name has no other.
fn drop_common_words(families: &mut [Family]) {
    let names = || families.iter().flat_map(|family| family.others.iter().map(|(words, _)| words));
    let first: Words = names().next().into_iter().flatten().cloned().collect();
    let common: Words = first.into_iter().filter(|word| names().all(|words| words.contains(word))).collect();
    if names().any(|words| words.iter().all(|word| common.contains(word))) {
        return;
    }
    for (words, _) in families.iter_mut().flat_map(|family| &mut family.others) {
        words.retain(|word| !common.contains(word));
    }
}

fn is_version(name: &str) -> bool {
    name.split('_').any(|word| {
        VERSION_WORDS.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()))
            || word.chars().all(|c| c.is_ascii_digit())
    })
}
