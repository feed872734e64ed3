//! The word that somebody may have meant.

/// How alike two words must be (Jaro-Winkler).
const ALIKE: f64 = 0.8;

/// Of some words the one that is spelt most like `word`, if any is.
pub fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |name: &str| strsim::jaro_winkler(word, name);
    among.max_by(|a, b| near(a).total_cmp(&near(b))).filter(|name| near(name) >= ALIKE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_and_another_word_is_not() {
        assert_eq!(nearest("sit", ["split", "site", "labels"].into_iter()), Some("site"));
        assert_eq!(nearest("zzz", ["split", "site"].into_iter()), None);
    }
}
