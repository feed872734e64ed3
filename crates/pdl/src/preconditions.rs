//! Whether the folders that a command was given can be what it takes them for.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use pdl_cohort::{cases, layout, tree};
use pdl_console::suggest;
use pdl_curriculum::manifest;
use pdl_prepare::{prepare, proxies};
use pdl_similarity::pairs;

use crate::cli::Command;
use crate::settings;

/// Folders of a cohort in which its files lie.
const COHORTS_OWN: [&str; 6] = ["", "images", "labels", "imagesTr", "labelsTr", "imagesTs"];

/// OUT and COHORT cannot be what was typed.
#[derive(Debug)]
pub(crate) struct PreconditionError(String);

impl std::fmt::Display for PreconditionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PreconditionError {}

/// Of a command that reads a cohort: the cohort is there, and OUT is none of its own folders.
pub(crate) fn check_cohort(cohort: &Path, out: &Path) -> Result<()> {
    if !cohort.exists() {
        bail!("there is no such file or folder{}: {}", neighbours(cohort), cohort.display());
    }
    let out = real(out);
    for name in COHORTS_OWN.iter().filter(|_| cohort.is_dir()) {
        if real(&cohort.join(name)) == out {
            let what = if name.is_empty() {
                "the cohort itself".to_owned()
            } else {
                format!("the cohort's {name}/")
            };
            return Err(PreconditionError(format!(
                "--out must be a folder of its own, and this is {what}; choose another, such as {}-pdl: {}",
                cohort.display().to_string().trim_end_matches('/'),
                out.display()
            ))
            .into());
        }
    }
    Ok(())
}

/// A path without links, of which the end need not be there yet.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => real(parent).join(name),
        _ => path,
    }
}

/// What lies beside a path that does not exist and is spelt much like it.
fn neighbours(path: &Path) -> String {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return String::new() };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    suggest::question(&name.to_string_lossy(), names.iter().map(String::as_str))
}

/// Of a command that works on a curation folder: it is one, and holds what the command reads.
pub(crate) fn check_curated(out: &Path, command: &Command) -> Result<()> {
    if !out.exists() {
        bail!(
            "there is no such curation folder{}; make one with `pdl curate COHORT --out {1}`: {1}",
            neighbours(out),
            out.display()
        );
    }
    if !out.is_dir() {
        bail!(
            "this is a file, and no curation folder, which `pdl curate COHORT --out OUT` makes: {}",
            out.display()
        );
    }
    if let Command::Export { .. } = command {
        // A fold's folder holds a manifest and no cases.
        return if out.join(manifest::INFO_FILE).is_file() { Ok(()) } else { Err(lacking(out, &MANIFEST)) };
    }
    needs(command).iter().find(|made| !made.is_in(out)).map_or(Ok(()), |made| Err(lacking(out, made)))
}

/// Something that a stage leaves in a curation folder.
struct Made {
    name: &'static str,
    what: &'static str,
    by: &'static str,
}

impl Made {
    fn is_in(&self, out: &Path) -> bool {
        let alone = self.name == pairs::FOLDER && prepare::read(out).is_ok_and(|rows| rows.len() < 2);
        alone || out.join(self.name).exists()
    }
}

const CASES: Made = Made { name: cases::FILE, what: "cases", by: "index" };
const PREPARED: Made = Made { name: prepare::FILE, what: "prepared cases", by: "prepare" };
const PROXIES: Made = Made { name: proxies::FOLDER, what: "proxies", by: "prepare" };
const PAIRS: Made = Made { name: pairs::FOLDER, what: "pairs", by: "compare" };
const MANIFEST: Made = Made { name: manifest::INFO_FILE, what: "manifest", by: "rank" };

/// What a command reads, in the order in which it is made.
fn needs(command: &Command) -> &'static [Made] {
    match command {
        Command::Prepare { .. } | Command::Report { .. } | Command::Summary { .. } => &[CASES],
        Command::View { .. } => &[CASES, PREPARED],
        // Machines that only compute tiles may have been given nothing else.
        Command::Compare { .. } | Command::Tile { .. } => &[PROXIES],
        Command::Rank { .. }
        | Command::Audit { .. }
        | Command::Matrix { .. }
        | Command::Similar { .. }
        | Command::Duplicates { .. } => &[CASES, PREPARED, PROXIES, PAIRS],
        _ => &[],
    }
}

fn lacking(out: &Path, made: &Made) -> anyhow::Error {
    if out.join(cases::FILE).is_file() {
        let Made { what, by, .. } = made;
        let shown = out.display();
        return anyhow::anyhow!(
            "there are no {what} in this curation folder yet; `pdl {by} {shown}` makes them: {shown}"
        );
    }
    anyhow::anyhow!(no_curation(out))
}

/// What a folder without cases seems to be, and what to do.
pub(crate) fn no_curation(out: &Path) -> String {
    let shown = out.display();
    let around = out.ancestors().skip(1).find(|folder| folder.join(cases::FILE).is_file());
    let seems = if !out.exists() {
        format!("there is nothing{}; `pdl curate COHORT --out {shown}` makes it", neighbours(out))
    } else if let Some(around) = around.filter(|around| !around.as_os_str().is_empty()) {
        format!("it lies in the curation folder {0}: give {0}", around.display())
    } else if out.join(settings::FILE).is_file() {
        format!("it holds settings, but no cases yet: `pdl curate COHORT --out {shown}` makes them")
    } else if is_cohort(out) {
        let plain = shown.to_string();
        format!(
            "it seems to be a cohort: `pdl curate {shown} --out OUT`, with a new folder such as {}-pdl as OUT, makes one",
            plain.trim_end_matches('/')
        )
    } else if std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none()) {
        format!("it is empty: `pdl curate COHORT --out {shown}` fills it")
    } else {
        "`pdl curate COHORT --out OUT` makes one; give that OUT here".to_owned()
    };
    format!("this is no curation folder; {seems}: {shown}")
}

fn is_cohort(folder: &Path) -> bool {
    !tree::is_curation(folder)
        && (layout::find(folder, &BTreeSet::new()).is_ok()
            || !pdl_cohort::pairing::pair(folder).pairs.is_empty())
}
