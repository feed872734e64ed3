//! `pdl doctor`: whether this machine and a curation folder are fit for what comes next.

pub(crate) mod curation;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use bytesize::ByteSize;
use pdl_similarity::isa::Isa;
use serde::Serialize;
use serde_json::json;

use crate::settings::FILE;
use pdl_console::say;

/// The version of torch that pdl-fit links.
const TORCH: &str = "2.13.0";

/// Free disk below which something is said.
const LITTLE_DISK: u64 = 5 << 30;

/// Free memory below which something is said.
const LITTLE_MEMORY: u64 = 2 << 30;

/// What to look at.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The curation folder; without it the machine alone is looked at.
    pub out: Option<PathBuf>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing is broken.
    Note,
    /// Wrong: something will fail, or what is there is not what it says.
    Wrong,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// What.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was seen, and what to do.
    pub text: String,
}

impl Check {
    pub(crate) fn new(name: &'static str, state: State, text: impl Into<String>) -> Self {
        Self { name, state, text: text.into() }
    }
}

/// Looks at everything; an error when something is wrong.
pub(crate) fn run(args: &DoctorArgs, as_json: bool) -> Result<()> {
    let place = args.out.as_deref().filter(|out| out.exists()).unwrap_or(Path::new("."));
    let mut checks = vec![version(), cores(), instructions(), memory()];
    checks.extend(disk(place));
    checks.extend([formats(), libtorch()]);
    let of_machine = checks.len();
    if let Some(out) = &args.out {
        checks.extend(curation::of(out));
    }
    let wrong = checks.iter().filter(|check| check.state == State::Wrong).count();
    if as_json {
        say(&serde_json::to_string_pretty(&json!({ "out": args.out, "wrong": wrong, "checks": checks }))?);
    } else {
        let (machine, folder) = checks.split_at(of_machine);
        say("this machine:");
        machine.iter().for_each(print);
        if let Some(out) = &args.out {
            say(&format!("{}:", out.display()));
            folder.iter().for_each(print);
            if folder.iter().any(|check| check.state != State::Ok)
                && out.join(pdl_cohort::cases::FILE).is_file()
            {
                say(&format!(
                    "Give these commands the flags of before, unless they stand in {}.",
                    out.join(FILE).display()
                ));
            }
        }
    }
    anyhow::ensure!(
        wrong == 0,
        "{wrong} of {} checks found something wrong, marked WRONG above",
        checks.len()
    );
    Ok(())
}

fn print(Check { name, state, text }: &Check) {
    let mark = match state {
        State::Ok => "ok",
        State::Note => "note",
        State::Wrong => "WRONG",
    };
    say(&format!("  {mark:<6} {name:<13} {text}"));
}

fn version() -> Check {
    let text = format!(
        "version {} for {} on {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    Check::new("pdl", State::Ok, text)
}

fn cores() -> Check {
    match std::thread::available_parallelism() {
        Ok(cores) => Check::new(
            "cores",
            State::Ok,
            format!("{cores} found; as many threads are used unless --threads says otherwise"),
        ),
        Err(error) => Check::new("cores", State::Note, format!("not known ({error}); give --threads")),
    }
}

fn instructions() -> Check {
    let names: Vec<String> = Isa::available().iter().map(ToString::to_string).collect();
    let fastest = names.first().map_or("none", String::as_str);
    let text = format!(
        "pairs are compared with {fastest}, the fastest of what the processor has: {}",
        names.join(", ")
    );
    Check::new("instructions", State::Ok, text)
}

fn memory() -> Check {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let (free, total) = (system.available_memory(), system.total_memory());
    let state = if free < LITTLE_MEMORY { State::Note } else { State::Ok };
    let advice = if free < LITTLE_MEMORY { "little: end other programs, or " } else { "" };
    let text = format!(
        "{} of {} are free; {advice}half of that is used unless --memory says otherwise",
        size(free),
        size(total)
    );
    Check::new("memory", state, text)
}

/// The disk below a folder, where the system tells.
#[cfg(unix)]
fn disk(folder: &Path) -> Option<Check> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let (free, total) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    let state = if free < LITTLE_DISK { State::Note } else { State::Ok };
    let advice = if free < LITTLE_DISK { "; little: make room, or choose another --out" } else { "" };
    let text = format!(
        "{} of {} are free on the disk of this folder{advice}: {}",
        size(free),
        size(total),
        folder.display()
    );
    Some(Check::new("disk", state, text))
}

#[cfg(not(unix))]
fn disk(_: &Path) -> Option<Check> {
    None
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

fn formats() -> Check {
    let built_in = "reads NIfTI, NRRD, MetaImage and DICOM (uncompressed, deflated, RLE, JPEG, JPEG 2000";
    let text = if cfg!(feature = "jpeg-ls") {
        format!("{built_in}, JPEG-LS)")
    } else {
        format!("{built_in}); for JPEG-LS build pdl with --features jpeg-ls")
    };
    Check::new("formats", State::Ok, text)
}

/// The libtorch that `just fit` would take: that of LIBTORCH, of Python's torch, or of the cache.
fn libtorch() -> Check {
    let is_one = |folder: &Path| {
        ["so", "dylib"].iter().any(|end| folder.join("lib").join(format!("libtorch.{end}")).is_file())
    };
    let state = |version: &str| if version.starts_with(TORCH) { State::Ok } else { State::Wrong };
    if let Some(folder) = std::env::var_os("LIBTORCH").map(PathBuf::from) {
        if !is_one(&folder) {
            let text = format!(
                "pdl-fit needs libtorch, and LIBTORCH names a folder without one (lib/libtorch.so): correct or unset \
                 it: {}",
                folder.display()
            );
            return Check::new("libtorch", State::Wrong, text);
        }
        let version = std::fs::read_to_string(folder.join("build-version")).unwrap_or_default();
        let version = version.trim();
        return if version.is_empty() {
            let text = format!(
                "for pdl-fit: the one that LIBTORCH names; it does not say whether it is the {TORCH} that is needed: {}",
                folder.display()
            );
            Check::new("libtorch", State::Ok, text)
        } else {
            let advice = if version.starts_with(TORCH) {
                String::new()
            } else {
                format!("; {TORCH} is needed: unset LIBTORCH, and `just fit` fetches that")
            };
            let text = format!("for pdl-fit: {version}, which LIBTORCH names{advice}: {}", folder.display());
            Check::new("libtorch", state(version), text)
        };
    }
    if let Some(version) = of_python().filter(|version| version.starts_with(TORCH)) {
        return Check::new("libtorch", State::Ok, format!("for pdl-fit: {version}, of Python's torch"));
    }
    match cached(&is_one) {
        Some(folder) => Check::new(
            "libtorch",
            State::Ok,
            format!("for pdl-fit: the one that `just fit` fetched: {}", folder.display()),
        ),
        None => Check::new("libtorch", State::Note, "for pdl-fit: none yet; `just fit` fetches it"),
    }
}

/// The version of the torch that Python finds, without loading it.
fn of_python() -> Option<String> {
    let asked = "import importlib.metadata as m; print(m.version('torch'))";
    let output = Command::new("python3").args(["-c", asked]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A libtorch in the cache folder, as `crates/pdl-fit/libtorch.py` leaves it there.
fn cached(is_one: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("PDL_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("pdl")))
        .or_else(|| Some(variable("HOME")?.join(".cache").join("pdl")))?;
    let folders = std::fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path());
    folders.flat_map(|folder| [folder.join("torch"), folder]).find(|folder| is_one(folder))
}
