//! Boxes of non-zero voxels as nnU-Net v2 finds them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::path::PathBuf;

use pdl_prepare::crop::Crop;
use pdl_volume::{Affine, Grid, Orientation, Volume};
use serde::Deserialize;

/// What `tests/golden/scripts/crop.py` writes.
#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    shape_zyx: [usize; 3],
    /// Empty where no voxel is 0.
    nonzero: Vec<usize>,
    values: Vec<f32>,
    box_zyx: [[usize; 2]; 3],
}

#[test]
fn nonzero_boxes_are_those_of_nnunet() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data/crop.json");
    let golden: Golden = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(golden.cases.len(), 6);
    for case in golden.cases {
        let [nz, ny, nx] = case.shape_zyx;
        let shape = [nx, ny, nz];
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape));
        let fill = if case.nonzero.is_empty() { case.values[0] } else { 0.0 };
        let mut voxels = vec![fill; grid.len()];
        case.nonzero.iter().zip(&case.values).for_each(|(i, value)| voxels[*i] = *value);
        let found = Crop::Nonzero.of(&Volume::new(grid, voxels).unwrap());
        let [z, y, x] = case.box_zyx;
        let expected = [x, y, z];
        assert_eq!(found.start, expected.map(|side| side[0]), "{}", case.name);
        assert_eq!(found.shape, expected.map(|side| side[1] - side[0]), "{}", case.name);
    }
}
