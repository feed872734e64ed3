//! The files of images that consist of several channels, by the channels' numbers or names.
//!
//! `CASE_0001.nii.gz` is channel 1 of CASE (nnU-Net); `CASE_T2.nii.gz`, `CASE-T2.nii.gz` and
//! `CASE/T2.nii.gz` are the channel of the name T2, whatever the case of its letters. Where
//! channels are colours, `CASE_0000.png` alone holds them all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pdl_io::stem;

/// Digits of a channel's number in a name.
const DIGITS: usize = 4;

/// The files of one image. A single file without a channel in its name holds all, as frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelFiles {
    /// Path without channel and ending, such as `folder/CASE`.
    pub image: PathBuf,
    /// One file for each channel in the network's order; `None` if it is missing.
    pub files: Vec<Option<PathBuf>>,
    /// Files of the image beyond those of the channels: two of one channel, or one of none.
    pub others: Vec<PathBuf>,
}

impl ChannelFiles {
    /// The files in the network's order of channels.
    ///
    /// # Errors
    /// A sentence on what is missing, or too many.
    pub fn complete(&self, channels: &ChannelNames<'_>) -> Result<Vec<PathBuf>, String> {
        if let ([file], true) = (self.others.as_slice(), self.files.iter().all(Option::is_none)) {
            return Ok(frames(file, channels));
        }
        let missing: Vec<String> = (0..)
            .zip(&self.files)
            .filter(|(_, file)| file.is_none())
            .map(|(place, _)| format!("{0} (_{1:04} or _{0})", channels.names[place], channels.number(place)))
            .collect();
        let count = channels.names.len();
        if !missing.is_empty() {
            return Err(format!("of {count} channels it lacks {}", missing.join(", ")));
        }
        if let Some(other) = self.others.first() {
            let name = other.file_name().unwrap_or_default().to_string_lossy();
            let number = numbered(stem(&name)).map(|(_, number)| number);
            return Err(match number.filter(|number| channels.place(*number).is_none()) {
                Some(_) => format!(
                    "{name} is a file of a channel that the network does not take: it takes {count} ({})",
                    channels.names.join(", ")
                ),
                None => format!("{name} is a second file of one of its {count} channels"),
            });
        }
        Ok(self.files.iter().flatten().cloned().collect())
    }
}

/// The channels of a network, and the numbers that files have for them.
#[derive(Clone, Copy, Debug)]
pub struct ChannelNames<'a> {
    /// In the network's order.
    pub names: &'a [String],
    /// In the same order; 0, 1, 2 ... where it is empty.
    pub numbers: &'a [u32],
    /// Whether they are the colours of pictures.
    pub colours: bool,
}

impl ChannelNames<'_> {
    /// The number of the channel at a place in the network's order.
    fn number(&self, place: usize) -> usize {
        self.numbers.get(place).map_or(place, |number| *number as usize)
    }

    /// The place of the channel of this number; nothing where the network takes none of it.
    fn place(&self, number: usize) -> Option<usize> {
        (0..self.names.len()).find(|place| self.number(*place) == number)
    }
}

/// The frames of a file with all channels of an image, as `FILE#0`, `FILE#1` ...
fn frames(file: &Path, channels: &ChannelNames<'_>) -> Vec<PathBuf> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let frame = |place: usize| file.with_file_name(format!("{name}#{}", channels.number(place)));
    (0..channels.names.len()).map(frame).collect()
}

/// Groups files into images of these channels, by their paths. Of a cohort whose channels were
/// chosen by number, files of other numbers are passed over; else they are a fault of their image.
pub fn grouped(paths: &[PathBuf], channels: &ChannelNames<'_>) -> Vec<ChannelFiles> {
    let mut images: BTreeMap<PathBuf, ChannelFiles> = BTreeMap::new();
    let further: BTreeSet<PathBuf> =
        paths.iter().filter_map(|path| image_of_number(path, |n| n > 0)).collect();
    let own = |number: usize| channels.place(number).is_some();
    let of_own: BTreeSet<PathBuf> = paths.iter().filter_map(|path| image_of_number(path, own)).collect();
    for path in paths {
        let first = image_of_number(path, |number| number == 0);
        let in_colour = first.filter(|image| channels.colours && !further.contains(image));
        if in_colour.is_none() && is_of_other_number(path, channels) {
            continue;
        }
        let found = if in_colour.is_some() { None } else { channel_of(path, channels) };
        // A channel that the network does not take, beside those that it takes.
        let surplus = image_of_number(path, |number| !own(number)).filter(|image| of_own.contains(image));
        let whole = || in_colour.or(surplus).unwrap_or_else(|| without_ending(path));
        let image = found.as_ref().map_or_else(whole, |(image, _)| image.clone());
        let entry = images.entry(image.clone()).or_insert_with(|| ChannelFiles {
            image,
            files: vec![None; channels.names.len()],
            others: Vec::new(),
        });
        match found.map(|(_, channel)| &mut entry.files[channel]) {
            Some(file @ None) => *file = Some(path.clone()),
            _ => entry.others.push(path.clone()),
        }
    }
    images.into_values().collect()
}

/// The case and the number of the channel in a name such as `CASE_0001`.
fn numbered(name: &str) -> Option<(&str, usize)> {
    let (case, number) = name.rsplit_once('_').filter(|(_, number)| number.len() == DIGITS)?;
    Some((case, number.parse().ok()?))
}

/// The image of a file with such a channel's number in its name.
fn image_of_number(path: &Path, is_right: impl Fn(usize) -> bool) -> Option<PathBuf> {
    let image = without_ending(path);
    let name = image.file_name()?.to_string_lossy().into_owned();
    let (case, _) = numbered(&name).filter(|(_, number)| is_right(*number))?;
    Some(image.with_file_name(case))
}

/// Whether a file is that of a channel, by its number, that was left out of some.
fn is_of_other_number(path: &Path, channels: &ChannelNames<'_>) -> bool {
    let image = without_ending(path);
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let is_chosen = !channels.numbers.is_empty();
    is_chosen && numbered(&name).is_some_and(|(_, number)| channels.place(number).is_none())
}

/// The image and the place of the channel that a file's name tells.
fn channel_of(path: &Path, channels: &ChannelNames<'_>) -> Option<(PathBuf, usize)> {
    let image = without_ending(path);
    let name = image.file_name()?.to_string_lossy().into_owned();
    let by_number = numbered(&name).and_then(|(case, number)| Some((case, channels.place(number)?)));
    if let Some((case, place)) = by_number {
        return Some((image.with_file_name(case), place));
    }
    let lower = name.to_lowercase();
    let of_name = |(number, channel): (usize, &String)| {
        let before = lower.strip_suffix(&channel.to_lowercase())?;
        if before.is_empty() {
            return Some((image.parent()?.to_owned(), number));
        }
        let case = before.strip_suffix(['_', '-', '.', ' ']).filter(|case| !case.is_empty())?;
        Some((image.with_file_name(name.get(..case.len())?), number))
    };
    // `CASE_t1ce` ends with no other name than `t1ce`; of `T2` and `FLAIR_T2` the longer one holds.
    let longest_first = |(number, channel): &(usize, &String)| (std::cmp::Reverse(channel.len()), *number);
    let mut by_length: Vec<(usize, &String)> = channels.names.iter().enumerate().collect();
    by_length.sort_by_key(longest_first);
    by_length.into_iter().find_map(of_name)
}

fn without_ending(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(stem(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn complete(files: &[&str], channels: &[&str]) -> Vec<(String, Result<Vec<String>, String>)> {
        of_numbers(files, channels, &[], false)
    }

    fn of_numbers(
        files: &[&str],
        channels: &[&str],
        numbers: &[u32],
        colours: bool,
    ) -> Vec<(String, Result<Vec<String>, String>)> {
        let (paths, channels): (Vec<PathBuf>, _) =
            (files.iter().map(PathBuf::from).collect(), names(channels));
        let channels = ChannelNames { names: &channels, numbers, colours };
        let text = |path: &PathBuf| path.display().to_string();
        let of_image = |image: &ChannelFiles| {
            let files = image.complete(&channels).map(|files| files.iter().map(text).collect());
            (text(&image.image), files)
        };
        grouped(&paths, &channels).iter().map(of_image).collect()
    }

    #[test]
    fn a_channel_that_the_network_does_not_take_is_named() {
        let found = complete(&["p_0000.nii.gz", "p_0001.nii.gz", "p_0002.nii.gz"], &["CT", "PT"]);
        let [(image, Err(problem))] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(image, "p");
        assert!(
            problem.contains(
                "p_0002.nii.gz is a file of a channel that the network does not take: it takes 2 (CT, PT)"
            ),
            "{problem}"
        );
    }

    #[test]
    fn channels_are_found_by_number_name_and_folder() {
        let found = complete(
            &[
                "a/p_0001.nii.gz",
                "a/p_0000.nii.gz",
                "b/q-pt.nii.gz",
                "b/q-CT.nii.gz",
                "c/r/PT.nrrd",
                "c/r/ct.nrrd",
            ],
            &["CT", "PT"],
        );
        let expected = [
            ("a/p", ["a/p_0000.nii.gz", "a/p_0001.nii.gz"]),
            ("b/q", ["b/q-CT.nii.gz", "b/q-pt.nii.gz"]),
            ("c/r", ["c/r/ct.nrrd", "c/r/PT.nrrd"]),
        ];
        let expected = expected.map(|(image, files)| (image.to_owned(), Ok(names(&files))));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_missing_or_twice_is_named() {
        let found = complete(&["p_0000.nii.gz", "r_0000.nii", "r_CT.nii", "r_PT.nii"], &["CT", "PT"]);
        let problems: Vec<String> =
            found.into_iter().map(|(image, files)| image + ": " + &files.unwrap_err()).collect();
        assert_eq!(problems[0], "p: of 2 channels it lacks PT (_0001 or _PT)");
        assert_eq!(problems[1], "r: r_CT.nii is a second file of one of its 2 channels");
    }

    #[test]
    fn a_file_without_a_channel_holds_all_as_frames() {
        let found = complete(&["a/q.nii.gz"], &["CT", "PT"]);
        assert_eq!(found, [("a/q".to_owned(), Ok(names(&["a/q.nii.gz#0", "a/q.nii.gz#1"])))]);
    }

    #[test]
    fn chosen_channels_keep_the_numbers_of_their_files() {
        let files = ["p_0000.nii", "p_0001.nii", "p_0002.nii", "p_0003.nii", "q.nii"];
        let found = of_numbers(&files, &["SUV", "CTres"], &[3, 1], false);
        let expected = [("p", ["p_0003.nii", "p_0001.nii"]), ("q", ["q.nii#3", "q.nii#1"])];
        assert_eq!(found, expected.map(|(image, files)| (image.to_owned(), Ok(names(&files)))));
        let found = of_numbers(&files[..4], &["T1", "T2"], &[0, 1], false);
        assert_eq!(found, [("p".to_owned(), Ok(names(&["p_0000.nii", "p_0001.nii"])))]);
    }

    #[test]
    fn a_picture_in_colour_holds_all_channels_whatever_its_number() {
        let files = ["p_0000.png", "q.png", "r_0000.png", "r_0001.png"];
        let found = of_numbers(&files, &["blue", "green"], &[2, 1], true);
        assert_eq!(found[0], ("p".to_owned(), Ok(names(&["p_0000.png#2", "p_0000.png#1"]))));
        assert_eq!(found[1], ("q".to_owned(), Ok(names(&["q.png#2", "q.png#1"]))));
        assert!(found[2].1.as_ref().is_err_and(|problem| problem.contains("it lacks blue")), "{found:?}");
    }

    #[test]
    fn the_longest_name_of_a_channel_holds() {
        let found = complete(&["p_t1.nii", "p_t1ce.nii", "p_ce_t1.nii"], &["t1", "t1ce", "ce_t1"]);
        assert_eq!(found, [("p".to_owned(), Ok(names(&["p_t1.nii", "p_t1ce.nii", "p_ce_t1.nii"])))]);
    }
}
