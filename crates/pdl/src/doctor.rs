//! What `pdl doctor` checks: this machine, and a curation folder.

pub(crate) mod curation;
pub(crate) mod machine;

use serde::Serialize;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Ok,
    /// Worth knowing; nothing is broken.
    Note,
    /// Something will fail, or results are inconsistent.
    Wrong,
}

/// A check of the machine or of a curation folder.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// Such as `memory` or the name of a stage.
    pub name: &'static str,
    pub state: State,
    /// The result in words, and what to do.
    pub text: String,
}

impl Check {
    pub(crate) fn new(name: &'static str, state: State, text: impl Into<String>) -> Self {
        Self { name, state, text: text.into() }
    }
}
