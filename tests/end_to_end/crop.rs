//! Cropped cases: the box is that of the body, and everything comes back to where it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pdl_cohort::table::cases::Cases;
use pdl_io::nifti;
use pdl_prepare::crop::Crop;
use pdl_prepare::plan;
use pdl_prepare::prepared_row::{self, PreparedRow};
use pdl_prepare::proxies::Proxies;
use pdl_volume::{Affine, Grid, LabelMap, Orientation, Volume, VoxelBox};

use crate::folder;

const SHAPE: [usize; 3] = [24, 22, 20];
const CASES: usize = 5;
/// Air becomes 0 in the proxies, and nothing else does.
const WINDOW: [&str; 3] = ["--normalise", "window", "--intensity-window=-1000,300"];

/// The body of a case in RAS+ voxels; even, so that voxels of 2 mm lie alike in it and in the whole
/// image.
fn body(case: usize) -> VoxelBox {
    VoxelBox { start: [4 + 2 * (case % 3), 2, 2 + 2 * (case % 2)], shape: [12, 16, 14] }
}

/// Bodies of 40 HU with a bright organ in air, stored left, posterior, superior. The last case has
/// a label in the air.
fn cohort(folder: &Path) {
    let grid = Grid::new(SHAPE, Affine::from_orientation(Orientation::RAS, [1.0; 3], SHAPE));
    let mirrored = Grid::new(SHAPE, Affine::from_orientation("LPS".parse().unwrap(), [1.0; 3], SHAPE));
    let mut table = "case_id,image,label,patient,modality\n".to_owned();
    fs::create_dir_all(folder).unwrap();
    for case in 0..CASES {
        let body = body(case);
        let VoxelBox { start: [x, y, z], .. } = body;
        let organ = VoxelBox { start: [x + 4, y + 4, z + 4], shape: [4, 6, 6] };
        let inside = |part: &VoxelBox, i: usize| part.holds([i % 24, i / 24 % 22, i / (24 * 22)]);
        let image = |i| match (inside(&organ, i), inside(&body, i)) {
            (true, _) => 200.0 + (i % 7) as f32,
            (_, true) => 40.0 + (i % 5) as f32,
            _ => -1000.0,
        };
        let stray = VoxelBox { start: [0, 10, 10], shape: [2; 3] };
        let label = |i| if case == CASES - 1 && inside(&stray, i) { 2 } else { u16::from(inside(&organ, i)) };
        let image = Volume::new(grid, (0..grid.len()).map(image).collect::<Vec<f32>>()).unwrap();
        let labels = LabelMap::new(grid, (0..grid.len()).map(label).collect()).unwrap();
        let name = |kind: &str| folder.join(format!("{kind}{case}.nii.gz"));
        nifti::write_image(&name("image"), &image.stored_as(mirrored).unwrap()).unwrap();
        nifti::write_labels(&name("label"), &labels.stored_as(mirrored).unwrap()).unwrap();
        table += &format!("c{case},image{case}.nii.gz,label{case}.nii.gz,p{case},CT\n");
    }
    fs::write(folder.join("cohort.csv"), table).unwrap();
}

/// Prepares at 2 mm, and gives the rows and what was said.
fn prepared(out: &Path, flags: &[&str]) -> (Vec<PreparedRow>, String) {
    let fixed = ["prepare", out.to_str().unwrap(), "--spacing", "2,2,2", "--proxy-size", "8"];
    let words = [&fixed[..], &WINDOW[..], flags].concat();
    let output = pdl_tests::run(&words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    (prepared_row::read(out).unwrap(), said)
}

/// A prepared label map on the stored grid in RAS+ order: each of its voxels is 2 x 2 x 2 stored
/// ones.
fn on_stored_grid(out: &Path, row: &PreparedRow, stored: &Grid) -> Vec<u16> {
    let map = pdl_io::read_labels(&out.join(row.label.as_ref().unwrap())).unwrap().map;
    let part = VoxelBox::filled_by(stored, &map.grid).expect("a part of the stored grid");
    assert_eq!(part.shape, map.grid.shape.map(|n| 2 * n));
    let ([nx, ny, _], [mx, my, _]) = (part.shape, map.grid.shape);
    let value = |i: usize| map.voxels[i % nx / 2 + mx * (i / nx % ny / 2 + my * (i / (nx * ny) / 2))];
    part.put_back((0..part.len()).map(value).collect(), stored.shape, 0)
}

fn dice(a: &[u16], b: &[u16], label: u16) -> f64 {
    let count = |map: &[u16]| map.iter().filter(|value| **value == label).count();
    let both = a.iter().zip(b).filter(|(a, b)| **a == label && **b == label).count();
    2.0 * both as f64 / (count(a) + count(b)) as f64
}

/// When each prepared file and each file of proxies was written.
fn written(out: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let folders = ["prepared/images", "prepared/labels", "proxies"];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(out.join(folder)).unwrap());
    entries
        .map(|entry| entry.unwrap())
        .map(|e| (e.path(), e.metadata().unwrap().modified().unwrap()))
        .collect()
}

#[test]
fn a_body_is_cropped_to_and_its_labels_come_back_where_they_were() {
    let folder = folder();
    let (source, out) = (folder.path().join("cohort"), folder.path().join("out"));
    cohort(&source);
    pdl_tests::run_ok(&["index", source.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let (whole, _) = prepared(&out, &[]);
    let cases = Cases::read(&out).unwrap();
    let grid = |row: &PreparedRow| {
        cases.rows.iter().find(|case| case.case_id == row.case_id).unwrap().grid().unwrap().to_ras()
    };
    let back = |rows: &[PreparedRow]| rows.iter().map(|row| on_stored_grid(&out, row, &grid(row))).collect();
    let uncropped: Vec<Vec<u16>> = back(&whole);
    let air = |out: &Path| {
        let proxies = Proxies::open(out).unwrap();
        (0..CASES).map(|row| proxies.voxels(row).iter().filter(|v| **v == 0.0).count()).collect::<Vec<_>>()
    };
    assert!(whole.iter().all(|row| row.crop_shape_xyz == [24, 22, 20] && row.crop_labelled_outside == 0));
    assert!(air(&out).iter().all(|voxels| *voxels > 100));

    let (rows, said) = prepared(&out, &["--crop", "body"]);
    assert_eq!(plan::read(&out).unwrap().crop, Crop::Body);
    assert!(said.contains("in 1 of 5 cases labels extend beyond the box"), "{said}");
    assert!(said.contains("[crop-extended]"), "{said}");
    for (case, row) in rows.iter().enumerate() {
        let last = case == CASES - 1;
        let expected = if last {
            body(case).joined(&VoxelBox { start: [0, 10, 10], shape: [2; 3] })
        } else {
            body(case)
        };
        assert_eq!(row.crop_start_xyz, expected.start.map(|n| n as u32), "{}", row.case_id);
        assert_eq!(row.crop_shape_xyz, expected.shape.map(|n| n as u32), "{}", row.case_id);
        assert_eq!(row.shape, expected.shape.map(|n| n as u32 / 2), "{}", row.case_id);
        assert_eq!(row.crop_labelled_outside, if last { 8 } else { 0 });
    }
    assert_eq!(air(&out)[..CASES - 1], [0; CASES - 1], "a box grid is the body's own");

    // Labels that went through the preparation and back are as good with the crop as without.
    let cropped: Vec<Vec<u16>> = back(&rows);
    assert_eq!(cropped, uncropped);
    for (row, map) in rows.iter().zip(&cropped) {
        let source = cases.rows.iter().find(|case| case.case_id == row.case_id).unwrap();
        let drawn = pdl_io::read_labels(&out.join(source.label.as_ref().unwrap())).unwrap().map.to_ras();
        assert_eq!(dice(map, &drawn.voxels, 1), 1.0, "{}", row.case_id);
    }

    let before = written(&out);
    let _ = prepared(&out, &["--crop", "body"]);
    assert_eq!(written(&out), before, "nothing is made twice");
    let (again, _) = prepared(&out, &[]);
    assert_eq!(again, whole, "without the option all is as it was");
}

#[test]
fn a_field_of_view_is_taken_and_recorded() {
    let folder = folder();
    let (source, out) = (folder.path().join("cohort"), folder.path().join("out"));
    cohort(&source);
    pdl_tests::run_ok(&["index", source.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let flags = ["--crop", "body", "--grid", "fov", "--field-of-view", "16,16,16"];
    let (_, said) = prepared(&out, &flags);
    assert!(said.contains("are padding"), "bodies are shorter: {said}");
    assert_eq!(plan::read(&out).unwrap().proxies.fov_mm, Some([16.0; 3]));
    // 12 x 16 x 14 mm in cells of 2 mm, each body in the middle: a cell is padding on both sides of
    // x.
    let proxies = Proxies::open(&out).unwrap();
    let first = proxies.voxels(0);
    assert!(first.chunks(8).all(|row| row[0] == 0.0 && row[7] == 0.0));
    assert!(first.chunks(8).any(|row| row[1..7].iter().all(|v| *v > 0.0)));
    let refused = pdl_tests::run(&["prepare", out.to_str().unwrap(), "--field-of-view", "16,16,16"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--grid fov"));
}
