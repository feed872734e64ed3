//! `pdl-fit`: trains a segmentation network on a curation folder, and applies it.

use std::process::ExitCode;

fn main() -> ExitCode {
    pdl_fit::main()
}
