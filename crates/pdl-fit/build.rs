//! Writes the folder of libtorch into the binary and the tests (rpath), so that they run without
//! LD_LIBRARY_PATH, and its version into the program.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set by the build script of torch-sys, whose `links` name is tch.
    let Ok(folder) = env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    let folder = Path::new(&folder);
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", folder.display());
    if folder.join("libtorch_cuda.so").exists() {
        // No symbol of the CUDA library is referenced: it registers itself when it is loaded.
        println!("cargo::rustc-link-arg=-Wl,--no-as-needed,-ltorch_cuda,--as-needed");
    }
    if let Some(version) = libtorch_version(folder) {
        println!("cargo::rustc-env=PDL_LIBTORCH_VERSION={version}");
    }
}

/// The version in libtorch's headers.
fn libtorch_version(folder: &Path) -> Option<String> {
    let include = folder.parent()?.join("include");
    let places = ["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"];
    let header = places.iter().find_map(|place| fs::read_to_string(include.join(place)).ok())?;
    // The value may be on the next line: `#define TORCH_VERSION \`.
    let (_, rest) = header.split_once("#define TORCH_VERSION ")?;
    rest.split('"').nth(1).map(str::to_owned)
}
