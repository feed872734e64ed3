//! Resampling like nnU-Net v2's: its own results, of real cases that `PDL_REAL_DATA` names, and on
//! a small case.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::path::PathBuf;

use pdl_prepare::resample::shape_at;
use pdl_prepare::spline;
use pdl_volume::{Affine, Grid, Orientation, Volume, count_labels};
use serde::Deserialize;

/// What `tests/golden/scripts/nnunet.py` writes.
#[derive(Deserialize)]
struct Golden {
    sets: Vec<Set>,
}

#[derive(Deserialize)]
struct Set {
    set: String,
    spacing_mm: [f64; 3],
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    shape: [usize; 3],
    range: [f32; 2],
    samples: Vec<f32>,
    labels: std::collections::BTreeMap<u16, u64>,
}

#[test]
fn real_cases_are_resampled_as_nnunet_does() {
    let Some(data) = std::env::var_os("PDL_REAL_DATA").map(PathBuf::from) else { return };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data/nnunet.json");
    let golden: Golden = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(golden.sets.len(), 4);
    for set in golden.sets {
        let (mut near, mut all) = (0, 0);
        for case in set.cases {
            let path = |kind: &str| data.join(&set.set).join(kind).join(format!("{}.nii.gz", case.case));
            let image = pdl_io::read_image(&path("images")).unwrap().volume.to_ras();
            let labels = pdl_io::read_labels(&path("labels")).unwrap().map.to_ras();
            let shape = shape_at(&image.grid, set.spacing_mm);
            assert_eq!(shape, case.shape, "{}", case.case);
            let image = spline::resample_image(&image, shape);
            let last = (image.voxels.len() - 1) as f64;
            let points = (case.samples.len() - 1) as f64;
            for (k, expected) in case.samples.iter().enumerate() {
                let place = (k as f64 * last / points) as usize;
                near += usize::from(
                    (image.voxels[place] - expected).abs() <= 1e-3 * (case.range[1] - case.range[0]),
                );
                all += 1;
            }
            let labels = spline::resample_labels(&labels, shape);
            for (value, expected) in &case.labels {
                let found = count_labels(&labels)
                    .iter()
                    .find(|count| count.value == *value)
                    .map_or(0, |count| count.voxels);
                // A Dice of 0.999 bounds the volumes' difference by this; the script compares voxel
                // by voxel.
                assert!(
                    found.abs_diff(*expected) as f64 <= 1e-3 * (found + *expected) as f64,
                    "{} {value}: {found}, not {expected}",
                    case.case
                );
            }
        }
        assert!(near as f64 >= 0.999 * all as f64, "{}: {near} of {all} samples", set.set);
    }
}

/// scikit-image 0.26: `resize(numpy.array([0, 1, 4, 2, 7, 3.0]), (9,), order=3, mode="edge",
/// anti_aliasing=False)`.
#[test]
fn a_line_is_resampled_as_scikit_image_does() {
    let grid = Grid::new([6, 1, 1], Affine::from_orientation(Orientation::RAS, [1.0; 3], [6, 1, 1]));
    let line = Volume::new(grid, vec![0.0, 1.0, 4.0, 2.0, 7.0, 3.0]).unwrap();
    let expected: [f32; 9] =
        [0.004967072, 0.1009064, 1.600172, 3.916405, 2.664419, 2.590011, 6.551549, 5.575962, 2.572026];
    for (found, expected) in spline::resample_image(&line, [9, 1, 1]).voxels.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }
}
