//! Columns of a cohort's table that name a channel (`image_CT`, `image_PT`) or a structure
//! (`label_liver`), and label columns that name a folder of masks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pdl_io::{is_volume_name, split_frame, stack, stem};
use pdl_store::{StoreError, fault};

use super::table_row::Row;
use super::{DiscoveredCase, image_list};
use crate::attributes::Modality;

/// Prefix of the columns of channels.
pub(super) const IMAGE: &str = "image_";

/// Prefix of the names of columns of structures.
pub(super) const LABEL: &str = "label_";

/// The channel of the column `image` beside others.
const FIRST: &str = "image";

/// Whether a column's name is that of a channel or a structure. Its values decide whether it is
/// one: `image_blake3` is not.
pub(super) fn may_be(column: &str) -> bool {
    [IMAGE, LABEL].iter().any(|start| column.strip_prefix(start).is_some_and(|name| !name.is_empty()))
}

/// The columns of a table that name channels and structures.
#[derive(Debug, Default)]
pub(super) struct NamedColumns {
    /// Names of channels in the order of the columns; that of the column `image` first, if it has
    /// an image of its own.
    channels: Vec<String>,
    structures: Vec<String>,
}

/// The files of a row, as the table names them.
#[derive(Debug, Default)]
pub(super) struct RowPaths {
    pub image: Option<String>,
    pub label: Option<String>,
    pub channels: BTreeMap<u32, String>,
    pub structures: BTreeMap<String, String>,
}

impl NamedColumns {
    /// Selects the columns of `named` whose values are all names of volumes or stacks, or of
    /// folders that are there.
    ///
    /// # Errors
    /// [`StoreError`] if an error of the machine prevents a folder from being inspected.
    pub fn of(rows: &[Row], named: &[String], folder: &Path) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for column in named {
            let mut values = rows.iter().filter_map(|row| row.named.get(column)).peekable();
            let mut are_paths = values.peek().is_some();
            for value in values {
                are_paths = are_paths && is_path(value, folder)?;
            }
            match (are_paths, column.strip_prefix(IMAGE), column.strip_prefix(LABEL)) {
                (true, Some(name), _) => columns.channels.push(name.to_owned()),
                (true, None, Some(name)) => columns.structures.push(name.to_owned()),
                _ => {}
            }
        }
        let of_channel = |row: &Row, image: &String| {
            columns.channels.iter().any(|name| row.named.get(&format!("{IMAGE}{name}")) == Some(image))
        };
        let own = rows.iter().any(|row| row.image.as_ref().is_some_and(|image| !of_channel(row, image)));
        if own && !columns.channels.is_empty() {
            columns.channels.insert(0, FIRST.to_owned());
        }
        Ok(columns)
    }

    /// The files of a row.
    ///
    /// # Errors
    /// When it names a label map and masks of structures, or one file for two channels.
    pub fn paths(&self, row: &Row) -> Result<RowPaths, String> {
        let channel = |(number, name): (usize, &String)| {
            let own = row.named.get(&format!("{IMAGE}{name}"));
            let first = row.image.as_ref().filter(|_| number == 0 && name == FIRST);
            Some((number as u32, own.or(first)?.clone()))
        };
        let mut channels: BTreeMap<u32, String> =
            self.channels.iter().enumerate().filter_map(channel).collect();
        if self.channels.is_empty() {
            let listed = row.image.as_deref().and_then(image_list::listed);
            channels.extend((0..).zip(listed.unwrap_or_default()));
        }
        if !image_list::are_distinct(&channels) {
            return Err("it names one file for two channels".to_owned());
        }
        let image = channels.values().next().cloned().or_else(|| row.image.clone());
        if self.channels.len() < 2 && channels.len() < 2 {
            channels.clear();
        }
        let structure =
            |name: &String| Some((name.clone(), row.named.get(&format!("{LABEL}{name}"))?.clone()));
        let structures: BTreeMap<String, String> = self.structures.iter().filter_map(structure).collect();
        if let (Some(_), Some(name)) = (&row.label, structures.keys().next()) {
            return Err(format!(
                "it has a label map, and a mask in the column {LABEL}{name}: remove one of them"
            ));
        }
        let label = row.label.clone().or_else(|| structures.values().next().cloned());
        Ok(RowPaths { image, label, channels, structures })
    }

    /// Names of the channels by number; none if there is one.
    pub fn channel_names(&self) -> BTreeMap<u32, String> {
        match self.channels.len() {
            0 | 1 => BTreeMap::new(),
            _ => (0..).zip(self.channels.iter().cloned()).collect(),
        }
    }

    /// The modality that the name of the first channel states.
    pub fn modality(&self) -> Option<Modality> {
        self.channels.first()?.parse().ok().filter(|modality| *modality != Modality::OT)
    }
}

/// Whether a text is the name of a volume or of slices, or a folder below `folder`.
fn is_path(text: &str, folder: &Path) -> Result<bool, StoreError> {
    let name = text.rsplit('/').next().unwrap_or(text);
    let (name, _) = split_frame(name);
    if is_volume_name(name) || stack::is_slice_name(name) {
        return Ok(true);
    }
    let path = folder.join(text);
    fault::is_dir(&path).map_err(StoreError::io("look at the folder", &path))
}

/// If the label of a case is a folder of volumes, each of these except its own images is the mask
/// of a structure.
///
/// # Errors
/// [`StoreError`] if an error of the machine prevents the folder from being listed.
pub(super) fn take_mask_folder(found: &mut DiscoveredCase) -> Result<(), StoreError> {
    let Some(label) = found.label.clone().filter(|_| found.structures.is_empty()) else { return Ok(()) };
    let name = label.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if is_volume_name(&name)
        || !fault::is_dir(&label).map_err(StoreError::io("look at the folder", &label))?
    {
        return Ok(());
    }
    let images: Vec<&PathBuf> = found.image.iter().chain(found.channels.values()).collect();
    let mut structures = BTreeMap::new();
    for entry in fault::list(&label).map_err(StoreError::io("list the folder", &label))? {
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_volume_name(&name) && !name.starts_with('.') && !images.contains(&&path) {
            structures.insert(stem(&name).to_owned(), path);
        }
    }
    found.structures = structures;
    Ok(())
}
