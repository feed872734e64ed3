//! Several images a row of a cohort's table: a list in the column `image`, or a column `image_NAME`
//! for each channel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use pdl_io::{is_volume_name, split_frame};
use serde::Deserializer;
use serde::de::{Error, SeqAccess, Visitor};

/// What the name of a channel's column begins with.
const PREFIX: &str = "image_";

/// The name of the first channel where a table has a column `image` beside those of other channels.
const FIRST: &str = "image";

/// The channels that a table's columns name, in their order.
#[derive(Debug, Default)]
pub(super) struct ImageColumns {
    /// For each its name, and its value in every row.
    columns: Vec<(String, Vec<Option<String>>)>,
}

/// Whether a column may be one of images, by its name.
pub(super) fn may_be_images(column: &str) -> bool {
    column.len() > PREFIX.len() && column.starts_with(PREFIX)
}

impl ImageColumns {
    /// Takes a column of such a name if all its values, blank ones aside, are names of volumes.
    pub(super) fn take(&mut self, column: &str, values: Vec<Option<String>>) {
        let is_volume = |value: &String| is_volume_name(split_frame(value).0);
        let mut stated = values.iter().flatten().peekable();
        if stated.peek().is_some() && stated.all(is_volume) {
            self.columns.push((column[PREFIX.len()..].to_owned(), values));
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The images of each row by the numbers of their channels, and the names of the channels.
    /// `images` is the column `image`: the first channel's, unless it repeats one of the others.
    pub(super) fn channels(
        &self,
        images: &[Option<String>],
    ) -> (Vec<BTreeMap<u32, String>>, BTreeMap<u32, String>) {
        let repeats = |(row, image): (usize, &Option<String>)| match image {
            Some(image) => self.columns.iter().any(|(_, values)| values[row].as_ref() == Some(image)),
            None => true,
        };
        let first = (!images.iter().enumerate().all(repeats)).then_some((FIRST, images));
        let further = self.columns.iter().map(|(name, values)| (name.as_str(), values.as_slice()));
        let columns: Vec<(&str, &[Option<String>])> = first.into_iter().chain(further).collect();
        let of_row = |row: usize| {
            let value = |(number, (_, values)): (u32, &(&str, &[Option<String>]))| {
                values[row].clone().map(|value| (number, value))
            };
            (0..).zip(&columns).filter_map(value).collect()
        };
        let names = (0..).zip(columns.iter().map(|(name, _)| (*name).to_owned())).collect();
        ((0..images.len()).map(of_row).collect(), names)
    }
}

/// The images of a value that lists several, as JSON: `["a_T1.nii.gz", "a_T2.nii.gz"]`.
pub(super) fn listed(value: &str) -> Option<Vec<String>> {
    serde_json::from_str::<Vec<String>>(value).ok().filter(|list| !list.is_empty())
}

/// Reads a text, or a list of texts, which becomes JSON; blank ones are none.
pub(super) fn one_or_list<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = from.deserialize_option(OneOrList)?;
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

struct OneOrList;

impl<'de> Visitor<'de> for OneOrList {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path of an image, or a list of paths")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts: Vec<String> = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        serde_json::to_string(&texts).map(Some).map_err(A::Error::custom)
    }
}

/// Paths of channels, which are relative to `folder`, where there are several.
pub(super) fn paths(folder: &Path, channels: BTreeMap<u32, String>) -> BTreeMap<u32, PathBuf> {
    channels.into_iter().map(|(number, path)| (number, folder.join(path))).collect()
}

/// The names of files that several columns share are of no use to tell channels apart.
pub(super) fn are_distinct(channels: &BTreeMap<u32, String>) -> bool {
    channels.values().collect::<BTreeSet<_>>().len() == channels.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|value| Some((*value).to_owned()).filter(|value| !value.is_empty())).collect()
    }

    #[test]
    fn columns_of_images_are_channels_in_their_order_and_others_are_not() {
        let mut columns = ImageColumns::default();
        columns.take("image_CT", column(&["a_ct.nii.gz", "b_ct.nii.gz"]));
        columns.take("image_id", column(&["1", "2"]));
        columns.take("image_PT", column(&["a_pt.nii.gz#1", ""]));
        let (rows, names) = columns.channels(&column(&["", ""]));
        assert_eq!(names.values().collect::<Vec<_>>(), ["CT", "PT"]);
        assert_eq!(rows[0].values().collect::<Vec<_>>(), ["a_ct.nii.gz", "a_pt.nii.gz#1"]);
        assert_eq!(rows[1].len(), 1);
        // A column image that repeats one of them is what an export of pdl has.
        let (_, names) = columns.channels(&column(&["a_ct.nii.gz", "b_ct.nii.gz"]));
        assert_eq!(names.len(), 2);
        let (rows, names) = columns.channels(&column(&["a_mr.nii.gz", "b_mr.nii.gz"]));
        assert_eq!((names[&0].as_str(), names.len(), rows[0][&0].as_str()), ("image", 3, "a_mr.nii.gz"));
    }

    #[test]
    fn a_list_is_one_of_json() {
        assert_eq!(listed(r#"["a.nii", "b.nii"]"#).unwrap(), ["a.nii", "b.nii"]);
        assert!(listed("a.nii").is_none() && listed("[]").is_none());
    }
}
