//! An option whose value is invalid, or that contradicts another: the error of every stage.

/// An option with an invalid value, or one that contradicts another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{name}{}{value}: {problem}", if value.is_empty() { "" } else { " " })]
pub struct InvalidOption {
    /// The option's name as a flag, without the dashes (`group-by`).
    pub name: &'static str,
    /// The value, or the part of it that is invalid; empty if the problem says it.
    pub value: String,
    /// What is expected, or what it contradicts.
    pub problem: String,
}

impl InvalidOption {
    /// An option whose problem says all.
    pub fn new(name: &'static str, problem: impl Into<String>) -> Self {
        Self { name, value: String::new(), problem: problem.into() }
    }

    /// An option with this value.
    pub fn with_value(
        name: &'static str,
        value: &(impl ToString + ?Sized),
        problem: impl Into<String>,
    ) -> Self {
        Self { name, value: value.to_string(), problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_comes_first_with_its_value() {
        assert_eq!(InvalidOption::new("mapping", "needs names").to_string(), "--mapping: needs names");
        let of_value = InvalidOption::with_value("folds", &9, "there are 4 patients");
        assert_eq!(of_value.to_string(), "--folds 9: there are 4 patients");
    }
}
