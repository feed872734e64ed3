//! nibabel's own test files: each is read as nibabel reads it, or refused with a reason.
//!
//! `PDL_NIBABEL_FILES` names the folder `nibabel` of its wheel (`just test-nibabel`). What nibabel
//! reads stands in tests/golden/data/nibabel_files.json, what came of each file here in
//! tests/golden/data/nibabel_outcomes.tsv; with `PDL_UPDATE_OUTCOMES` set the latter is made anew.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pdl_findings::Code;
use pdl_io::{ReadError, read_image};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    files: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct File {
    blake3: Option<String>,
    #[serde(default)]
    affine: Vec<f64>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/data").join(name)
}

/// The error without its path, which is not the same everywhere.
fn reason(error: &ReadError, path: &Path) -> String {
    error.to_string().replace(&format!(": {}", path.display()), "")
}

/// What comes of one file; panics when a volume is not the one that nibabel reads.
fn outcome(path: &Path, theirs: &File) -> String {
    if pdl_dicom::is_dicom(path).unwrap() {
        return "DICOM, which is read by the folder".to_owned();
    }
    let image = match read_image(path) {
        Ok(image) => image,
        Err(error) => return format!("refused: {}", reason(&error, path)),
    };
    let bytes: Vec<u8> = image.volume.voxels.iter().flat_map(|v| v.to_le_bytes()).collect();
    let digest = blake3::hash(&bytes).to_hex().to_string();
    assert_eq!(Some(digest), theirs.blake3, "{}: its voxels are not those of nibabel", path.display());
    let [x, y, z] = image.volume.grid.shape;
    // Without sform and qform nibabel makes an affine up, mirrored and centred; here it is said
    // that there is none.
    if image.findings.iter().any(|finding| finding.code == Code::NoTransform) {
        return format!(
            "its voxels are read as nibabel reads them, without a place in the world: {x} x {y} x {z}"
        );
    }
    for (ours, theirs) in image.volume.grid.affine.to_row_major().iter().zip(&theirs.affine) {
        assert!((ours - theirs).abs() < 1e-4, "{}: its affine is not that of nibabel", path.display());
    }
    format!("read as nibabel reads it: {x} x {y} x {z}")
}

#[test]
fn every_file_is_read_as_nibabel_reads_it_or_refused() {
    let Some(folder) = std::env::var_os("PDL_NIBABEL_FILES").map(PathBuf::from) else { return };
    let known: Golden =
        serde_json::from_slice(&std::fs::read(golden("nibabel_files.json")).unwrap()).unwrap();
    let mut table = String::new();
    for (name, theirs) in &known.files {
        let path = folder.join(name);
        assert!(path.is_file(), "it is not in this version of nibabel: {name}");
        writeln!(table, "{name}\t{}", outcome(&path, theirs)).unwrap();
    }
    let path = golden("nibabel_outcomes.tsv");
    if std::env::var_os("PDL_UPDATE_OUTCOMES").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (ours, expected) in table.lines().zip(expected.lines()) {
        assert_eq!(ours, expected);
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}
