//! `pdl doctor`: whether this machine and a curation folder are fit for what comes next.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use bytesize::ByteSize;
use pdl_similarity::isa::Isa;
use serde::Serialize;
use serde_json::json;

use crate::display::say;
use crate::health;

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
    checks.extend([codecs(), libtorch()]);
    if let Some(out) = &args.out {
        checks.extend(health::of(out));
    }
    let wrong = checks.iter().filter(|check| check.state == State::Wrong).count();
    if as_json {
        say(&serde_json::to_string_pretty(&json!({ "out": args.out, "wrong": wrong, "checks": checks }))?);
    } else {
        for Check { name, state, text } in &checks {
            let mark = match state {
                State::Ok => "ok",
                State::Note => "note",
                State::Wrong => "WRONG",
            };
            say(&format!("{mark:<6} {name:<13} {text}"));
        }
    }
    anyhow::ensure!(wrong == 0, "{wrong} of {} things are wrong", checks.len());
    Ok(())
}

fn version() -> Check {
    let text =
        format!("{} on {} {}", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    Check::new("pdl", State::Ok, text)
}

fn cores() -> Check {
    match std::thread::available_parallelism() {
        Ok(cores) => Check::new("cores", State::Ok, format!("{cores} (--threads)")),
        Err(error) => Check::new("cores", State::Note, format!("not known ({error}); give --threads")),
    }
}

fn instructions() -> Check {
    let names: Vec<String> = Isa::available().iter().map(ToString::to_string).collect();
    Check::new("instructions", State::Ok, format!("{} (the first is used)", names.join(", ")))
}

fn memory() -> Check {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let (free, total) = (system.available_memory(), system.total_memory());
    let state = if free < LITTLE_MEMORY { State::Note } else { State::Ok };
    Check::new("memory", state, format!("{} free of {} (--memory)", size(free), size(total)))
}

/// The disk below a folder, where the system tells.
#[cfg(unix)]
fn disk(folder: &Path) -> Option<Check> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let (free, total) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    let state = if free < LITTLE_DISK { State::Note } else { State::Ok };
    Some(Check::new("disk", state, format!("{} free of {}: {}", size(free), size(total), folder.display())))
}

#[cfg(not(unix))]
fn disk(_: &Path) -> Option<Check> {
    None
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

fn codecs() -> Check {
    let built_in = "NIfTI, NRRD, MetaImage; DICOM uncompressed, deflated, RLE, JPEG and JPEG 2000";
    if cfg!(feature = "jpeg-ls") {
        Check::new("codecs", State::Ok, format!("{built_in}, JPEG-LS"))
    } else {
        Check::new(
            "codecs",
            State::Ok,
            format!("{built_in}; without JPEG-LS (cargo build --features jpeg-ls)"),
        )
    }
}

/// The libtorch that `just fit` would take: that of LIBTORCH, of Python's torch, or of the cache.
fn libtorch() -> Check {
    let is_one = |folder: &Path| {
        ["so", "dylib"].iter().any(|end| folder.join("lib").join(format!("libtorch.{end}")).is_file())
    };
    let state = |version: &str| if version.starts_with(TORCH) { State::Ok } else { State::Wrong };
    if let Some(folder) = std::env::var_os("LIBTORCH").map(PathBuf::from) {
        if !is_one(&folder) {
            let text = format!("LIBTORCH names a folder without lib/libtorch: {}", folder.display());
            return Check::new("libtorch", State::Wrong, text);
        }
        let version = std::fs::read_to_string(folder.join("build-version")).unwrap_or_default();
        let version = version.trim();
        return if version.is_empty() {
            let text =
                format!("of LIBTORCH, its version is not stated ({TORCH} is needed): {}", folder.display());
            Check::new("libtorch", State::Ok, text)
        } else {
            let text = format!("{version} of LIBTORCH ({TORCH} is needed): {}", folder.display());
            Check::new("libtorch", state(version), text)
        };
    }
    if let Some(version) = of_python().filter(|version| version.starts_with(TORCH)) {
        return Check::new("libtorch", State::Ok, format!("{version} of Python's torch"));
    }
    match cached(&is_one) {
        Some(folder) => Check::new("libtorch", State::Ok, format!("in the cache: {}", folder.display())),
        None => Check::new("libtorch", State::Note, "none yet; `just fit` fetches it"),
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
