//! Several images a row of a cohort's table as a list in the column `image`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserializer;
use serde::de::{Error, SeqAccess, Visitor};

/// The images of a value that lists several, as JSON: `["a_T1.nii.gz", "a_T2.nii.gz"]`.
pub(super) fn listed(value: &str) -> Option<Vec<String>> {
    serde_json::from_str::<Vec<String>>(value).ok().filter(|list| !list.is_empty())
}

/// Reads a text, or a list of texts, which becomes JSON; blank ones become `None`.
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

/// Whether each channel has a file of its own.
pub(super) fn are_distinct(channels: &BTreeMap<u32, String>) -> bool {
    channels.values().collect::<BTreeSet<_>>().len() == channels.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_one_of_json() {
        assert_eq!(listed(r#"["a.nii", "b.nii"]"#).unwrap(), ["a.nii", "b.nii"]);
        assert!(listed("a.nii").is_none() && listed("[]").is_none());
    }
}
