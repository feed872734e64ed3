//! A cohort whose folder was moved or renamed since the last run: its cases are known by the
//! contents of their files.

use std::path::PathBuf;

use pdl_store::{StoreError, fault, hash};

use crate::cohort_paths::Place;
use crate::table::cases::Cases;
use crate::table::sources::SourceRow;

/// Images that are compared with their hashes before a folder counts as moved.
const COMPARED: usize = 3;

/// Whether the folder of an earlier run is gone, and the cohort of this one has its images.
///
/// # Errors
/// [`StoreError`] if an error of the machine prevents a file from being read.
pub(crate) fn is_moved(before: &Cases, place: &Place) -> Result<bool, StoreError> {
    let was = place.out.join(&before.cohort);
    if fault::exists(&was).map_err(StoreError::io("look at the folder", &was))? {
        return Ok(false);
    }
    let is_folder = place.out.join(&place.cohort).is_dir();
    let [was, is] = [&before.cohort, &place.cohort].map(|cohort| folder(cohort, is_folder));
    let images = before
        .usable()
        .filter_map(|row| Some((place.out.join(renamed(&row.image, was, is)?), row.image_blake3.as_str())));
    let images: Vec<(PathBuf, &str)> = images.take(COMPARED).collect();
    for (path, blake3) in &images {
        let is_there = fault::is_file(path).map_err(StoreError::io("look at the file", path))?;
        if !is_there || hash::of_file(path)? != *blake3 {
            return Ok(false);
        }
    }
    Ok(!images.is_empty())
}

/// Gives an earlier run, and what its volumes were made from, the new name of the cohort.
pub(crate) fn rename(before: &mut Cases, sources: &mut [SourceRow], place: &Place) {
    let is_folder = place.out.join(&place.cohort).is_dir();
    let cohort = std::mem::replace(&mut before.cohort, place.cohort.clone());
    let [was, is] = [&cohort, &place.cohort].map(|cohort| folder(cohort, is_folder));
    let rename = |path: &mut String| {
        if let Some(new) = renamed(path, was, is) {
            *path = new;
        }
    };
    for row in sources {
        row.image.iter_mut().chain(&mut row.label).for_each(rename);
    }
    for row in &mut before.rows {
        rename(&mut row.image);
        row.label.iter_mut().for_each(rename);
        row.channels.iter_mut().for_each(|channel| rename(&mut channel.image));
    }
}

/// The folder of a cohort, which may be a table in it.
fn folder(cohort: &str, is_folder: bool) -> &str {
    if is_folder { cohort } else { cohort.rsplit_once('/').map_or("", |(folder, _)| folder) }
}

fn renamed(path: &str, was: &str, is: &str) -> Option<String> {
    let below = path.strip_prefix(was)?.strip_prefix('/')?;
    Some(format!("{is}/{below}"))
}
