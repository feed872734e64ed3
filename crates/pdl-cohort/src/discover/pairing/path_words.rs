//! The words of a path, by which files are compared.

use std::path::Path;

use pdl_io::stem;
use unicode_normalization::UnicodeNormalization;

use crate::discover::volume_names::{is_image_word, is_label_word};

/// The words of a path in lower case, without the file's ending: maximal runs of letters and
/// digits, in which what makes a file an image or a label map stands by itself.
pub(super) fn words(path: &Path) -> Vec<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("")).to_string_lossy();
    // macOS decomposes accents, which others compose.
    let text = format!("{folder}/{}", stem(&name)).nfc().collect::<String>();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.flat_map(parts).collect()
}

/// The parts of a word: `mask` and `1` of `mask1`, `left` and `mask` of `leftMask`.
fn parts(word: &str) -> Vec<String> {
    let lower = word.to_lowercase();
    let said = |word: &str| is_label_word(word) || is_image_word(word);
    let kind = lower.trim_end_matches(|c: char| c.is_ascii_digit());
    if kind.len() < lower.len() && said(kind) {
        return vec![kind.to_owned(), lower[kind.len()..].to_owned()];
    }
    let capitals = by_capitals(word);
    if !said(&lower) && capitals.len() > 1 && capitals.iter().any(|part| is_label_word(part)) {
        return capitals;
    }
    vec![lower]
}

/// The parts of a word that begin with capitals, in lower case.
fn by_capitals(word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for c in word.chars() {
        if before.is_lowercase() && c.is_uppercase() {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(c.to_lowercase());
        }
        before = c;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_file_a_label_map_is_a_word_of_its_own() {
        assert_eq!(words(Path::new("ManualMask/P1_mask2.nii.gz")), ["manual", "mask", "p1", "mask", "2"]);
        assert_eq!(words(Path::new("labelsTr/img0007.nii")), ["labelstr", "img", "0007"]);
        assert_eq!(words(Path::new("A b/GTVp left.nii")), ["a", "b", "gtvp", "left"]);
    }
}
