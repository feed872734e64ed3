//! Known names that an unknown one is likely to mean.

/// Minimum Jaro-Winkler similarity, from 0 to 1, at which a name is suggested.
const ALIKE: f64 = 0.8;

/// Maximum number of suggested names.
const OFFERED: usize = 3;

/// The known name most similar to `word` in spelling, if any is similar enough.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    several(word, names).into_iter().next()
}

/// Up to three known names similar to `word` in spelling, the most similar first; case is ignored.
pub fn several<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let near = |name: &str| strsim::jaro_winkler(&word, &name.to_lowercase());
    let mut alike: Vec<(f64, &str)> = names.map(|name| (near(name), name)).collect();
    alike.retain(|(near, _)| *near >= ALIKE);
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    alike.into_iter().take(OFFERED).map(|(_, name)| name).collect()
}

/// `; did you mean 'a' or 'b'?`, or an empty text.
pub fn question<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = several(word, names).iter().map(|name| format!("'{name}'")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => format!("; did you mean {last}?"),
        Some((last, others)) => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first_whatever_their_case() {
        let names = || ["ct_01", "ct_10", "liver", "Prostate"].into_iter();
        assert_eq!(several("CT_1", names()), ["ct_10", "ct_01"]);
        assert_eq!(question("prostat", names()), "; did you mean 'Prostate'?");
        assert_eq!(nearest("kidney", names()), None);
        assert_eq!(nearest("sit", ["split", "site", "labels"].into_iter()), Some("site"));
    }
}
