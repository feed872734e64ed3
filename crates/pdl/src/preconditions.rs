//! Requirements of a command: its folders exist and have the files that it reads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use pdl_cohort::discover::{self, walk};
use pdl_cohort::table::cases::{self, Cases};
use pdl_console::{ExitStatus, suggest};
use pdl_curriculum::{format_versions, manifest};
use pdl_prepare::{prepared_row, proxies};
use pdl_similarity::pairs;
use pdl_store::fault;

use crate::output::case_list;
use crate::settings;

/// Folders of a cohort in which its files lie; the first is the cohort itself.
const COHORT_FOLDERS: [&str; 6] = ["", "images", "labels", "imagesTr", "labelsTr", "imagesTs"];

/// The requirements of a command.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Requirements<'a> {
    /// The folder whose `pdl.toml` holds the settings; without it a command reads none.
    pub out: Option<&'a Path>,
    /// A cohort that must exist; `out` must not be one of its own folders.
    pub cohort: Option<&'a Path>,
    /// `out` must be a curation folder that holds these, in the order in which stages write them.
    pub curated: Option<&'static [StageOutput]>,
    /// Threads are started.
    pub threads: bool,
    /// No other run may write to `out` at the same time.
    pub lock: bool,
    /// When interrupted, the command can be resumed by running it again.
    pub resumes: bool,
}

impl<'a> Requirements<'a> {
    /// Requirements of a command that runs stages, and so writes to `out`.
    pub(crate) fn stages(out: &'a Path, curated: Option<&'static [StageOutput]>) -> Self {
        Self { out: Some(out), cohort: None, curated, threads: true, lock: true, resumes: true }
    }

    /// Requirements of a command that reads a curation folder.
    pub(crate) fn curated(out: &'a Path, made: &'static [StageOutput]) -> Self {
        Self { out: Some(out), curated: Some(made), threads: true, ..Self::default() }
    }

    /// Requirements of a command that reads a manifest, wherever it lies.
    pub(crate) fn manifest(path: &'a Path) -> Self {
        Self { out: Some(path), threads: true, ..Self::default() }
    }

    /// Checks the folders, and that no newer pdl wrote a file of `out`.
    ///
    /// # Errors
    /// An error that names the missing files and the command that writes them, or the newer
    /// version.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(out) = self.out else { return Ok(()) };
        if let Some(cohort) = self.cohort {
            check_cohort(cohort, out)?;
            format_versions::check(out)?;
        }
        self.curated.map_or(Ok(()), |made| check_curated(out, made))
    }
}

/// An output of a stage in a curation folder.
#[derive(Clone, Copy, Debug)]
pub struct StageOutput {
    name: &'static str,
    what: &'static str,
    by: &'static str,
}

impl StageOutput {
    /// A cohort of one case has no pairs.
    fn is_in(&self, out: &Path) -> bool {
        let alone = self.name == pairs::FOLDER && prepared_row::read(out).is_ok_and(|rows| rows.len() < 2);
        alone || out.join(self.name).exists()
    }
}

/// The table of cases, which `index` writes.
pub const CASES: StageOutput = StageOutput { name: cases::FILE, what: "cases", by: "index" };
/// The table of the prepared volumes, which `prepare` writes.
pub const PREPARED: StageOutput =
    StageOutput { name: prepared_row::FILE, what: "prepared cases", by: "prepare" };
/// The volumes on the comparison grid, which `prepare` writes.
pub const PROXIES: StageOutput = StageOutput { name: proxies::FOLDER, what: "proxies", by: "prepare" };
/// The pairs of a cohort of two or more cases, which `compare` writes.
pub const PAIRS: StageOutput = StageOutput { name: pairs::FOLDER, what: "pairs", by: "compare" };
/// The curriculum, which `rank` writes.
pub const MANIFEST: StageOutput = StageOutput { name: manifest::INFO_FILE, what: "manifest", by: "rank" };
/// Files of every stage up to `compare`.
pub const PAIRED: &[StageOutput] = &[CASES, PREPARED, PROXIES, PAIRS];

/// Checks the folders of a command that reads a cohort.
///
/// # Errors
/// When the cohort does not exist; [`ExitStatus::Usage`] when OUT is one of its own folders.
pub(crate) fn check_cohort(cohort: &Path, out: &Path) -> Result<()> {
    let seen = fault::exists(cohort);
    if !seen.with_context(|| format!("cannot look at the cohort: {}", cohort.display()))? {
        bail!("cannot find the cohort{}: {}", neighbours(cohort), cohort.display());
    }
    let out = real(out);
    for name in COHORT_FOLDERS.iter().filter(|_| cohort.is_dir()) {
        if real(&cohort.join(name)) == out {
            let what =
                if name.is_empty() { "the cohort".to_owned() } else { format!("{name}/ of the cohort") };
            let other = format!("{}-pdl", cohort.display().to_string().trim_end_matches('/'));
            let message = format!(
                "--out must be a folder of its own, but this is {what}; choose another, such as {other}: {}",
                out.display()
            );
            return Err(ExitStatus::Usage.error(message).into());
        }
    }
    Ok(())
}

/// The path with links resolved; its end need not exist.
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

/// A question that names similar paths beside one that does not exist; may be empty.
fn neighbours(path: &Path) -> String {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return String::new() };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    suggest::question(&name.to_string_lossy(), names.iter().map(String::as_str))
}

/// A question, or the semicolon that ends the clause if there is none.
fn or_semicolon(question: String) -> String {
    if question.is_empty() { ";".to_owned() } else { question }
}

/// Checks that `out` is a curation folder that holds these, in the order in which stages write
/// them, and that no newer pdl wrote one of its files.
///
/// # Errors
/// What is missing and which command makes it, or the newer version.
pub fn check_curated(out: &Path, made: &[StageOutput]) -> Result<()> {
    if !out.exists() {
        bail!(
            "cannot find the curation folder{} `pdl curate COHORT --out {1}` makes it: {1}",
            or_semicolon(neighbours(out)),
            out.display()
        );
    }
    if !out.is_dir() {
        bail!(
            "expected a curation folder, as `pdl curate COHORT --out OUT` makes it, found a file: {}",
            out.display()
        );
    }
    format_versions::check(out)?;
    let Some(StageOutput { what, by, .. }) = made.iter().find(|made| !made.is_in(out)) else { return Ok(()) };
    let shown = out.display();
    if out.join(cases::FILE).is_file() {
        bail!("this curation folder has no {what} yet; `pdl {by} {shown}` makes them: {shown}");
    }
    bail!("{}", no_curation(out))
}

/// Describes a folder without cases, and what to do.
pub(crate) fn no_curation(out: &Path) -> String {
    let shown = out.display();
    let around = out.ancestors().skip(1).find(|folder| folder.join(cases::FILE).is_file());
    let seems = if !out.exists() {
        format!(
            "it does not exist{} `pdl curate COHORT --out {shown}` makes it",
            or_semicolon(neighbours(out))
        )
    } else if let Some(around) = around.filter(|around| !around.as_os_str().is_empty()) {
        format!("it lies inside the curation folder {0}: use {0}", around.display())
    } else if out.join(settings::FILE).is_file() {
        format!("it holds settings, but no cases yet: `pdl curate COHORT --out {shown}` makes them")
    } else if is_cohort(out) {
        let plain = shown.to_string();
        format!(
            "it seems to be a cohort: `pdl curate {shown} --out OUT` makes one in a new folder OUT, such as {}-pdl",
            plain.trim_end_matches('/')
        )
    } else if std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none()) {
        format!("it is empty: `pdl curate COHORT --out {shown}` fills it")
    } else {
        "`pdl curate COHORT --out OUT` makes one; use that OUT here".to_owned()
    };
    format!("not a curation folder; {seems}: {shown}")
}

fn is_cohort(folder: &Path) -> bool {
    !walk::is_curation(folder).unwrap_or(true)
        && (discover::find(folder, &BTreeSet::new()).is_ok()
            || discover::pairing::pair(folder).is_ok_and(|paired| !paired.pairs.is_empty()))
}

/// Checks that a curation folder has a usable case of this id.
///
/// # Errors
/// When there is no such case, with similar ids; or it was rejected, with the reasons.
pub fn check_case(out: &Path, case: &str) -> Result<()> {
    let cases = Cases::read(out)?;
    let Some(row) = cases.rows.iter().find(|row| row.case_id == case) else {
        let near = suggest::question(case, cases.usable().map(|row| row.case_id.as_str()));
        bail!(
            "there is no case '{case}'{2} `pdl summary {0} --cases` lists all {1}: {0}",
            out.display(),
            cases.rows.len(),
            or_semicolon(near)
        );
    };
    if !row.is_usable() {
        bail!("case '{case}' was rejected: {}", case_list::reasons(row));
    }
    Ok(())
}
