//! What `pdl doctor` checks of the machine: cores, instruction sets, memory, disk, formats,
//! libtorch.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytesize::ByteSize;
use pdl_similarity::isa::Isa;

use crate::doctor::{Check, State};

/// The version of libtorch that pdl-fit links.
const TORCH: &str = "2.13.0";

/// Free disk, in bytes, below which the check warns.
const LITTLE_DISK: u64 = 5 << 30;

/// Free memory, in bytes, below which the check warns.
const LITTLE_MEMORY: u64 = 2 << 30;

/// Checks the machine, and the disk of `folder`.
pub(crate) fn checks(folder: &Path) -> Vec<Check> {
    let mut checks = vec![version(), cores(), instructions(), memory()];
    checks.extend(disk(folder));
    checks.extend([formats(), libtorch()]);
    checks
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
            format!("{cores}; as many threads are used unless --threads is given"),
        ),
        Err(error) => Check::new("cores", State::Note, format!("unknown ({error}); give --threads")),
    }
}

fn instructions() -> Check {
    let names: Vec<String> = Isa::available().iter().map(ToString::to_string).collect();
    let fastest = names.first().map_or("none", String::as_str);
    let text =
        format!("pairs are compared with {fastest}, the fastest instruction set here: {}", names.join(", "));
    Check::new("instructions", State::Ok, text)
}

fn memory() -> Check {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let (free, total) = (system.available_memory(), system.total_memory());
    let state = if free < LITTLE_MEMORY { State::Note } else { State::Ok };
    let advice = if free < LITTLE_MEMORY { "low: end other programs; " } else { "" };
    let text = format!(
        "{} of {} free; {advice}half of it is used unless --memory is given",
        size(free),
        size(total)
    );
    Check::new("memory", state, text)
}

/// The disk of a folder; `None` if the system does not report it.
#[cfg(unix)]
fn disk(folder: &Path) -> Option<Check> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let (free, total) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    let state = if free < LITTLE_DISK { State::Note } else { State::Ok };
    let advice = if free < LITTLE_DISK { "; low: make room, or choose another --out" } else { "" };
    let text = format!(
        "{} of {} free on the disk of this folder{advice}: {}",
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

/// The libtorch that `just fit` would use: of LIBTORCH, of Python's torch, or of the cache.
fn libtorch() -> Check {
    let is_one = |folder: &Path| {
        ["so", "dylib"].iter().any(|end| folder.join("lib").join(format!("libtorch.{end}")).is_file())
    };
    let state = |version: &str| if version.starts_with(TORCH) { State::Ok } else { State::Wrong };
    if let Some(folder) = std::env::var_os("LIBTORCH").map(PathBuf::from) {
        if !is_one(&folder) {
            let text = format!(
                "pdl-fit needs libtorch, but LIBTORCH names a folder without lib/libtorch.so: correct or unset it: {}",
                folder.display()
            );
            return Check::new("libtorch", State::Wrong, text);
        }
        let version = std::fs::read_to_string(folder.join("build-version")).unwrap_or_default();
        let version = version.trim();
        return if version.is_empty() {
            let text = format!(
                "for pdl-fit: of LIBTORCH, in an unknown version ({TORCH} is needed): {}",
                folder.display()
            );
            Check::new("libtorch", State::Ok, text)
        } else {
            let advice = if version.starts_with(TORCH) {
                String::new()
            } else {
                format!("; {TORCH} is needed: unset LIBTORCH, and `just fit` fetches it")
            };
            let text = format!("for pdl-fit: {version}, of LIBTORCH{advice}: {}", folder.display());
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
            format!("for pdl-fit: fetched by `just fit`: {}", folder.display()),
        ),
        None => Check::new("libtorch", State::Note, "for pdl-fit: none yet; `just fit` fetches it"),
    }
}

/// The version of Python's torch, without loading it.
fn of_python() -> Option<String> {
    let asked = "import importlib.metadata as m; print(m.version('torch'))";
    let output = Command::new("python3").args(["-c", asked]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A libtorch in the cache folder of `crates/pdl-fit/libtorch.py`.
fn cached(is_one: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("PDL_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("pdl")))
        .or_else(|| Some(variable("HOME")?.join(".cache").join("pdl")))?;
    let folders = std::fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path());
    folders.flat_map(|folder| [folder.join("torch"), folder]).find(|folder| is_one(folder))
}
