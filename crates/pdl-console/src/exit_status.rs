//! Exit codes, the same ones in every program.

use std::fmt;
use std::process::ExitCode;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// The command did what it was asked; single cases may have been rejected.
    Done = 0,
    /// An error ended the command.
    Failed = 1,
    /// The command line is wrong; clap ends with the same code.
    Usage = 2,
    /// Cases of two splits are duplicates or belong to one patient.
    Leak = 3,
    /// A case cannot be used, and `--strict` was given.
    Strict = 4,
    /// A manifest is invalid, or moves cases between splits.
    Differs = 5,
    /// No executor of a cluster has the instruction set of the run.
    NoExecutor = 6,
    /// The machine failed: a disk, a network file system, the limit of open files, memory. No case
    /// is rejected or removed for that; run the same command again to resume.
    Machine = 7,
    /// The time that a command was given is up; run the same command again to resume.
    Unfinished = 8,
    /// Interrupted by Ctrl-C or a request to terminate: 128 and the number of SIGINT.
    Stopped = 130,
}

impl ExitStatus {
    /// The code that the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// An error that ends the program with this status.
    pub fn error(self, message: impl Into<String>) -> StatusError {
        StatusError { status: self, message: message.into() }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        ExitCode::from(status.code())
    }
}

/// An error whose exit status is not [`ExitStatus::Failed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusError {
    /// How the program ends.
    pub status: ExitStatus,
    message: String,
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StatusError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_that_scripts_rely_on() {
        use ExitStatus::{
            Differs, Done, Failed, Leak, Machine, NoExecutor, Stopped, Strict, Unfinished, Usage,
        };
        let codes = [Done, Failed, Usage, Leak, Strict, Differs, NoExecutor, Machine, Unfinished, Stopped];
        assert_eq!(codes.map(ExitStatus::code), [0, 1, 2, 3, 4, 5, 6, 7, 8, 130]);
        assert_eq!(Leak.error("1 pair").to_string(), "1 pair");
    }
}
