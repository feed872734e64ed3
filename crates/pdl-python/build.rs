//! Copies what maturin puts into the wheel beside the code to where it looks for that.

use std::path::Path;
use std::{env, fs, io};

/// Of the repository: the cohorts that `pdl.samples` offers, and the licences; with their places in
/// the wheel.
const FILES: [(&str, &str); 4] = [
    ("sample-data/ct", "sample_data/ct"),
    ("sample-data/mr", "sample_data/mr"),
    ("LICENSE-APACHE", "licenses/LICENSE-APACHE"),
    ("LICENSE-MIT", "licenses/LICENSE-MIT"),
];

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let Some(out) = env::var_os("OUT_DIR") else { return Ok(()) };
    for (from, to) in FILES {
        let from = root.join(from);
        println!("cargo:rerun-if-changed={}", from.display());
        copy(&from, &Path::new(&out).join(to))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_file() {
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        return fs::copy(from, to).map(|_| ());
    }
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::read_dir(from)?.try_for_each(|entry| {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))
    })
}
