//! Intensity schemes against intensity-normalization and NumPy: `tests/golden/scripts/normalise.py`
//! makes the golden values.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::path::PathBuf;

use pdl_prepare::normalise::{LANDMARKS, Normalisation, landmarks, normalise, on_unit_scale};
use pdl_volume::{Affine, Grid, Orientation, Volume};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    standard_scale: [f64; LANDMARKS.len()],
    nyul: Vec<f64>,
    percentile: Vec<f64>,
    window: Vec<f64>,
}

/// The image that the script makes of the same seed.
fn image(seed: i64) -> Volume<f32> {
    let voxel = |i: i64| {
        let noise = (i * 7919 + seed * 104_729) % 1009;
        let value = if i % 3 == 0 { noise % 7 } else { 200 * seed + noise + noise * noise % 251 };
        value as f32
    };
    let shape = [12, 10, 10];
    let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape));
    Volume::new(grid, (0..1200).map(voxel).collect()).unwrap()
}

#[test]
fn schemes_give_what_other_programs_give() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data/normalise.json");
    let golden: Golden = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();

    let parts: Vec<_> = (1..6).map(|seed| on_unit_scale(&landmarks(&image(seed).voxels)).unwrap()).collect();
    let standard = std::array::from_fn(|i| parts.iter().map(|part| part[i]).sum::<f64>() / 5.0);
    for (found, expected) in standard.into_iter().zip(golden.standard_scale) {
        assert!((found - expected).abs() < 1e-7, "{found}, not {expected}");
    }
    let schemes = [
        (Normalisation::Nyul { standard }, golden.nyul),
        (Normalisation::ImagePercentiles { lower: 0.5, upper: 99.5 }, golden.percentile),
        (Normalisation::Window { low: 100.0, high: 1000.0 }, golden.window),
    ];
    for (scheme, expected) in schemes {
        let mut image = image(4);
        normalise(&mut image, &scheme);
        assert_eq!(expected.len(), 200);
        for (found, expected) in image.voxels.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{scheme:?}: {found}, not {expected}");
        }
    }
}
