//! The program `pdl`; everything is in the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    pdl::run(std::env::args_os()).into()
}
