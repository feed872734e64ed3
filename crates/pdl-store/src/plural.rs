//! Counts and nouns in messages.

/// A number and what it counts, which takes an "s" when there are several: "1 case", "2 cases".
pub fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_nothing_else_is() {
        let told = [counted(1, "case"), counted(0, "patient"), counted(10, "epoch")];
        assert_eq!(told, ["1 case", "0 patients", "10 epochs"]);
    }
}
