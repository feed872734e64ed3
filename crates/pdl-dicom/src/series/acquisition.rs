//! The acquisition of a series: attributes of its header, besides the geometry, that may be stored.
//!
//! A list of allowed technical attributes. Free text (descriptions, protocol names, comments) is
//! not among them, since it may hold names and dates.

use std::collections::BTreeMap;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use pdl_store::memory::MemoryLimit;
use pdl_store::printable::one_line;

use crate::file::{Extent, open, text};
use crate::{DicomError, Series};

/// Keywords of the attributes that may be stored, ascending.
pub const KEYWORDS: [&str; 9] = [
    "BodyPartExamined",
    "ConvolutionKernel",
    "EchoTime",
    "KVP",
    "MagneticFieldStrength",
    "Manufacturer",
    "ManufacturerModelName",
    "RepetitionTime",
    "ScanningSequence",
];

const TAGS: [Tag; KEYWORDS.len()] = [
    tags::BODY_PART_EXAMINED,
    tags::CONVOLUTION_KERNEL,
    tags::ECHO_TIME,
    tags::KVP,
    tags::MAGNETIC_FIELD_STRENGTH,
    tags::MANUFACTURER,
    tags::MANUFACTURER_MODEL_NAME,
    tags::REPETITION_TIME,
    tags::SCANNING_SEQUENCE,
];

/// The values of `keywords`, a subset of [`KEYWORDS`], in the first file of a series; `None` if
/// absent.
///
/// # Errors
/// [`DicomError`] if the file can no longer be read.
pub fn acquisition<'k>(
    series: &Series,
    keywords: impl IntoIterator<Item = &'k str>,
) -> Result<BTreeMap<String, Option<String>>, DicomError> {
    let Some(first) = series.files.first() else { return Ok(BTreeMap::new()) };
    let object = open(first, Extent::Header, &MemoryLimit::free().alone())?;
    let value = |keyword: &str| {
        let place = KEYWORDS.binary_search(&keyword).ok()?;
        Some(one_line(&text(&object, TAGS[place]))).filter(|value| !value.is_empty())
    };
    Ok(keywords.into_iter().map(|keyword| (keyword.to_owned(), value(keyword))).collect())
}

/// SeriesDescription and ProtocolName of the first file of a series. They may hold names and dates:
/// for comparison with what the user asks for alone, never to be shown or kept.
///
/// # Errors
/// [`DicomError`] when the file cannot be read any more.
pub fn descriptions(series: &Series) -> Result<[String; 2], DicomError> {
    let Some(first) = series.files.first() else { return Ok([String::new(), String::new()]) };
    let object = open(first, Extent::Header, &MemoryLimit::free().alone())?;
    Ok([tags::SERIES_DESCRIPTION, tags::PROTOCOL_NAME].map(|tag| text(&object, tag)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
    use dicom_dictionary_std::StandardDataDictionary;

    #[test]
    fn keywords_are_ascending_and_those_of_the_tags() {
        assert!(KEYWORDS.is_sorted());
        for (keyword, tag) in KEYWORDS.iter().zip(TAGS) {
            assert_eq!(StandardDataDictionary.by_tag(tag).map(|entry| entry.alias()), Some(*keyword));
        }
    }
}
