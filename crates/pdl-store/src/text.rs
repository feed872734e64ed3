//! Words for what is told.

/// A number and what it counts: "1 case", "2 cases". Words that end in "s", "x", "ch" or "sh" take "es", those in a
/// consonant and "y" take "ies".
pub fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {}", plural(what)) }
}

fn plural(word: &str) -> String {
    let consonant_y = |stem: &str| !stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    match word.strip_suffix('y').filter(|stem| consonant_y(stem)) {
        Some(stem) => format!("{stem}ies"),
        None if ["s", "x", "ch", "sh"].iter().any(|ending| word.ends_with(ending)) => format!("{word}es"),
        None => format!("{word}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_nothing_else_is() {
        let told =
            [counted(1, "case"), counted(0, "patient"), counted(2, "series number"), counted(3, "copy")];
        assert_eq!(told, ["1 case", "0 patients", "2 series numbers", "3 copies"]);
    }
}
