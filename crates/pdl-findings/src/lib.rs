//! Findings: facts about a case or a cohort that a person should know.
//!
//! Out: [`Code`], the list of all kinds of findings, each with a [`Severity`], an explanation and
//! advice; [`Finding`], one instance, as a sentence with figures; and [`SkipReason`], why a file
//! belongs to no case. The crate lies below all readers and stages, so that a fault has one name
//! from the file in which it is detected to the tables and the report. Whether a case is rejected
//! is decided by the stages.
//!
//! ```
//! use pdl_findings::{Code, Finding, Severity};
//!
//! let finding = Finding::new(Code::EmptyLabel, "its label holds background only");
//! assert_eq!(finding.code.as_str(), "empty-label");
//! assert_eq!(finding.code.severity(), Severity::Rejection);
//! assert_eq!("empty-label".parse(), Ok(Code::EmptyLabel));
//! ```

mod code;
mod skip_reason;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use code::{Code, Severity, UnknownCode};
pub use skip_reason::SkipReason;

/// A fact about a case or a cohort that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// A short fixed name to group by, such as "no-label".
    pub code: Code,
    /// The whole sentence, with figures and without a patient's data.
    pub message: String,
}

impl Finding {
    /// A finding whose message is a sentence, with figures and without a patient's data.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
