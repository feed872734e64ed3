//! `pdl-fit`: trains a segmentation network on a curation folder, and applies it.
//!
//! The command line ([`cli`]) runs the command that was typed. Results go to stdout, progress and
//! warnings to stderr.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
