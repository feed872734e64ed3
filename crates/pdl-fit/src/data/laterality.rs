//! Laterality of labels, from their names.

/// The laterality in a name, and the name without it.
fn side_of(name: &str) -> (Option<Side>, String) {
    let mut side = None;
    let mut rest = Vec::new();
    for word in words(name) {
        match word.as_str() {
            "left" | "l" | "lt" | "sin" | "sinister" => side = Some(Side::Left),
            "right" | "r" | "rt" | "dex" | "dexter" => side = Some(Side::Right),
            _ => rest.push(word),
        }
    }
    (side, rest.join(" "))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The words of a name in lower case: `LungLeft`, `lung_left` and `Left Lung` have the same two.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            words.last_mut().into_iter().for_each(|word| word.extend(letter.to_lowercase()));
        }
        after_lower = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether any label may have a laterality: its name says so, or is only a number.
pub fn may_be_sided(names: &[String]) -> bool {
    names.iter().any(|name| {
        let (side, rest) = side_of(name);
        let nameless = rest.trim_start_matches("label").trim().chars().all(|c| c.is_ascii_digit());
        side.is_some() || nameless
    })
}

/// Pairs of channels (left, right; from 1) of labels whose names differ in laterality only.
pub fn pairs(names: &[String]) -> Vec<[u8; 2]> {
    let sided: Vec<(Option<Side>, String)> = names.iter().map(|name| side_of(name)).collect();
    let mut pairs = Vec::new();
    for (left, (side, name)) in sided.iter().enumerate() {
        let partner = sided.iter().position(|(other, rest)| *other == Some(Side::Right) && rest == name);
        if let (Some(Side::Left), Some(right)) = (side, partner) {
            pairs.push([left as u8 + 1, right as u8 + 1]);
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn pairs_are_found_in_all_spellings() {
        let all = names(&[
            "left lung",
            "Right Lung",
            "heart",
            "Parotid_R",
            "Parotid_L",
            "KidneyLeft",
            "KidneyRight",
        ]);
        assert_eq!(pairs(&all), [[1, 2], [5, 4], [6, 7]]);
        assert!(pairs(&names(&["left lung", "heart"])).is_empty());
    }

    #[test]
    fn labels_without_a_name_may_be_sided() {
        assert!(may_be_sided(&names(&["heart", "left lung"])));
        assert!(may_be_sided(&names(&["label 1", "label 2"])));
        assert!(!may_be_sided(&names(&["heart", "liver", "spinal cord"])));
        assert!(!may_be_sided(&names(&["anterior", "posterior"])));
    }
}
