//! `pdl.toml`: an input is the file. What is read is written again as the same settings, and an
//! error names a line.
#![no_main]
#![allow(dead_code, reason = "the program's own modules, of which the target needs the reader")]

#[path = "../../../crates/pdl/src/config_error.rs"]
mod config_error;
#[path = "../../../crates/pdl/src/settings.rs"]
mod settings;

use clap::Args;
use libfuzzer_sys::fuzz_target;
use pdl_fuzz::file;

fuzz_target!(|data: &[u8]| {
    let path = file("pdl.toml", data);
    let Some(out) = path.parent() else { return };
    let command = settings::RunParameters::augment_args(clap::Command::new("pdl"));
    let matches = command.get_matches_from(["pdl"]);
    let Ok(read) = settings::Settings::read(None, out, &matches) else { return };
    let text = toml::to_string(&read).expect("settings can be written");
    let path = file("again.toml", text.as_bytes());
    let again = settings::Settings::read(Some(&path), out, &matches).expect("what was written is read");
    // NaN is not itself.
    assert_eq!(text, toml::to_string(&again).expect("settings can be written"));
});
