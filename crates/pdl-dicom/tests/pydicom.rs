//! pydicom's own test files: each is read as pydicom reads it, or set aside or refused with a
//! reason.
//!
//! `PDL_PYDICOM_FILES` names the folder `pydicom/data` of its wheel (`just test-pydicom`). What
//! pydicom reads stands in tests/golden/data/pydicom_files.json, what came of each file here in
//! tests/golden/data/pydicom_outcomes.tsv; with `PDL_UPDATE_OUTCOMES` set the latter is made anew.
//! Some files are JPEG-LS, hence the feature.
#![cfg(feature = "jpeg-ls")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pdl_dicom::{LabelKind, ReadOptions, Segmentation, StructureSet, read_series, scan};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    files: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct File {
    blake3: Option<String>,
    #[serde(default)]
    position: Vec<f64>,
    #[serde(default)]
    orientation: Vec<f64>,
    #[serde(default)]
    spacing: Vec<f64>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data").join(name)
}

/// Outcome of one file; panics when a volume is not the one that pydicom reads.
fn outcome(path: &Path, theirs: &File) -> String {
    let scan = scan(&[path.to_owned()], &|| ()).unwrap();
    if let Some(aside) = scan.skipped.first() {
        return format!("set aside: {}", aside.cause.words());
    }
    if let Some(label) = scan.labels.first() {
        let read = match label.kind {
            LabelKind::StructureSet => {
                StructureSet::read(path).map(|set| format!("{} structures", set.regions.len()))
            }
            LabelKind::Segmentation => {
                Segmentation::read(path).map(|set| format!("{} segments", set.segments.len()))
            }
        };
        return read.unwrap_or_else(|error| format!("refused: {}", error.reason()));
    }
    let series = scan.series.first().expect("a file is an image, a label or set aside");
    let image = match read_series(series, ReadOptions { mr_rescale: true, ..ReadOptions::default() }) {
        Ok(image) => image,
        Err(error) => return format!("refused: {}", error.reason()),
    };
    let bytes: Vec<u8> = image.volume.voxels.iter().flat_map(|v| v.to_le_bytes()).collect();
    let digest = blake3::hash(&bytes).to_hex().to_string();
    assert_eq!(Some(digest), theirs.blake3, "{}: its voxels are not those of pydicom", path.display());
    let close = |ours: [f64; 3], theirs: [f64; 3]| ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-4);
    let lps = |[x, y, z]: [f64; 3]| [-x, -y, z];
    if let (&[x, y, z], &[a, b, c, d, e, f], &[between_rows, between_columns]) =
        (&theirs.position[..], &theirs.orientation[..], &theirs.spacing[..])
    {
        let affine = image.volume.grid.affine;
        assert!(close(lps(affine.origin_mm()), [x, y, z]), "{}: origin", path.display());
        assert!(
            close(lps(affine.step_mm(0)), [a, b, c].map(|v| v * between_columns)),
            "{}: along a row",
            path.display()
        );
        assert!(
            close(lps(affine.step_mm(1)), [d, e, f].map(|v| v * between_rows)),
            "{}: along a column",
            path.display()
        );
    }
    let [x, y, z] = image.volume.grid.shape;
    format!("read as pydicom reads it: {x} x {y} x {z}")
}

#[test]
fn every_file_is_read_as_pydicom_reads_it_or_refused() {
    let Some(folder) = std::env::var_os("PDL_PYDICOM_FILES").map(PathBuf::from) else { return };
    let known: Golden =
        serde_json::from_slice(&std::fs::read(golden("pydicom_files.json")).unwrap()).unwrap();
    let mut table = String::new();
    for (name, theirs) in &known.files {
        let path = folder.join(name);
        assert!(path.is_file(), "it is not in this version of pydicom: {name}");
        writeln!(table, "{name}\t{}", outcome(&path, theirs)).unwrap();
    }
    let path = golden("pydicom_outcomes.tsv");
    if std::env::var_os("PDL_UPDATE_OUTCOMES").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (ours, expected) in table.lines().zip(expected.lines()) {
        assert_eq!(ours, expected);
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}
