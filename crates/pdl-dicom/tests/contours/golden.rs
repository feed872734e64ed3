//! Made structures against plastimatch and dcmrtstruct2nii: `contours.json`, by the script of that
//! name in tests/golden.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::series::{Slices, region};

#[derive(Deserialize)]
struct Golden {
    geometry: Geometry,
    structures: BTreeMap<String, Structure>,
}

#[derive(Deserialize)]
struct Geometry {
    columns: u16,
    rows: u16,
    slices: u16,
    origin: [f64; 3],
    spacing: [f64; 2],
    step: f64,
}

/// A structure and the mask that its witnesses make of it.
#[derive(Deserialize)]
struct Structure {
    witnesses: Vec<String>,
    contours: Vec<Vec<[f64; 3]>>,
    counts: BTreeMap<usize, usize>,
    blake3: String,
}

#[test]
fn masks_equal_those_of_plastimatch_and_dcmrtstruct2nii() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data/contours.json");
    let golden: Golden = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let Geometry { columns, rows, slices, origin: [x, y, z], spacing, step } = golden.geometry;
    let slices = Slices {
        size: [columns, rows],
        spacing,
        thickness: step,
        orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        positions: (0..slices).map(|slice| [x, y, z + f64::from(slice) * step]).collect(),
    };
    let stack = slices.read().stack;
    let mut witnesses: BTreeMap<String, usize> = BTreeMap::new();
    for (name, expected) in golden.structures {
        let mask = region(expected.contours).mask(&stack).unwrap();
        assert_eq!(mask.counts(), expected.counts, "{name}");
        let (labels, _) = pdl_dicom::paint(&stack, [(1, &mask)]);
        let bytes: Vec<u8> = labels.iter().map(|v| *v as u8).collect();
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), expected.blake3, "{name}");
        expected.witnesses.into_iter().for_each(|witness| *witnesses.entry(witness).or_default() += 1);
    }
    let expected = [("dcmrtstruct2nii", 12), ("plastimatch", 14), ("plastimatch --xor-contours", 12)];
    assert!(witnesses.iter().map(|(name, times)| (name.as_str(), *times)).eq(expected), "{witnesses:?}");
}
