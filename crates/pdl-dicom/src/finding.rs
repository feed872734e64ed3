//! What a person should know about something that was read.

/// Something odd about a series or a label object, with figures and without a patient's data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// A short fixed name to group by, such as "gantry-tilt".
    pub code: &'static str,
    /// The whole sentence, with figures.
    pub message: String,
}

impl Finding {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
