//! The DICOM files hold what the NIfTI files hold, read by the standard's own rules.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject, Tag, open_file};
use pdl_volume::{Affine, Grid, LabelMap, Volume};

const CASES: [&str; 2] = ["ct_01", "ct_04"];

fn sample_data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sample-data")
}

fn numbers(object: &InMemDicomObject, tag: Tag) -> Vec<f64> {
    object.element(tag).unwrap().to_multi_float64().unwrap()
}

fn string(object: &InMemDicomObject, tag: Tag) -> String {
    object.element(tag).unwrap().to_str().unwrap().trim_end_matches(['\0', ' ']).to_owned()
}

fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.element(tag).unwrap().items().unwrap()
}

/// The slices of a series, sorted along their normal (here: feet to head).
fn slices(folder: &Path) -> Vec<DefaultDicomObject> {
    let mut slices: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("CT."))
        .map(|path| open_file(path).unwrap())
        .collect();
    slices.sort_by(|a, b| height(a).total_cmp(&height(b)));
    slices
}

fn height(slice: &InMemDicomObject) -> f64 {
    numbers(slice, tags::IMAGE_POSITION_PATIENT)[2]
}

/// From LPS to RAS+ and back.
fn flipped(v: &[f64]) -> [f64; 3] {
    [-v[0], -v[1], v[2]]
}

/// The volume of a series: x along the column index, y along the row index, z along the slices.
fn volume(slices: &[DefaultDicomObject]) -> Volume<f32> {
    let first = &slices[0];
    let size = |tag| first.element(tag).unwrap().to_int::<usize>().unwrap();
    let shape = [size(tags::COLUMNS), size(tags::ROWS), slices.len()];
    let directions = numbers(first, tags::IMAGE_ORIENTATION_PATIENT);
    let between = numbers(first, tags::PIXEL_SPACING); // rows, columns
    let along = |part: &[f64], mm: f64| flipped(&part.iter().map(|v| v * mm).collect::<Vec<_>>());
    let origin = flipped(&numbers(first, tags::IMAGE_POSITION_PATIENT));
    let second = flipped(&numbers(&slices[1], tags::IMAGE_POSITION_PATIENT));
    let steps = [
        along(&directions[..3], between[1]),
        along(&directions[3..], between[0]),
        std::array::from_fn(|r| second[r] - origin[r]),
    ];
    let mut voxels = Vec::new();
    for slice in slices {
        let slope = numbers(slice, tags::RESCALE_SLOPE)[0] as f32;
        let intercept = numbers(slice, tags::RESCALE_INTERCEPT)[0] as f32;
        let stored = slice.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
        let hu = |pair: &[u8]| f32::from(u16::from_le_bytes([pair[0], pair[1]])) * slope + intercept;
        voxels.extend(stored.chunks_exact(2).map(hu));
    }
    Volume::new(Grid::new(shape, Affine::from_columns(steps, origin)), voxels).unwrap()
}

#[test]
fn the_series_hold_the_hounsfield_units_and_geometry_of_the_nifti() {
    for case in CASES {
        let slices = slices(&sample_data().join("dicom").join(case));
        let image =
            pdl_io::read_image(&sample_data().join(format!("ct/images/{case}.nii.gz"))).unwrap().volume;
        let series = volume(&slices);
        assert_eq!(series.grid, image.grid);
        assert!(series.voxels == image.voxels, "{case}");
        for slice in &slices {
            assert_eq!(
                string(slice, tags::SOP_INSTANCE_UID),
                slice.meta().media_storage_sop_instance_uid().trim_end_matches('\0')
            );
            assert_eq!(
                string(slice, tags::SERIES_INSTANCE_UID),
                string(&slices[0], tags::SERIES_INSTANCE_UID)
            );
        }
    }
}

/// Crossings of an outline by the ray from (x, y) in +x.
fn crossings(points: &[[f64; 2]], x: f64, y: f64) -> usize {
    let next = points.iter().cycle().skip(1);
    let crosses = |(a, b): (&[f64; 2], &[f64; 2])| {
        (a[1] <= y) != (b[1] <= y) && a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) > x
    };
    points.iter().zip(next).filter(|pair| crosses(*pair)).count()
}

/// Fills an RTSTRUCT's contours on the grid of its series.
fn filled(structures: &InMemDicomObject, slices: &[DefaultDicomObject], grid: Grid) -> LabelMap {
    let [nx, ny, _] = grid.shape;
    let mut voxels = vec![0; grid.len()];
    let uids: Vec<String> = slices.iter().map(|slice| string(slice, tags::SOP_INSTANCE_UID)).collect();
    for region in items(structures, tags::ROI_CONTOUR_SEQUENCE) {
        let label = region.element(tags::REFERENCED_ROI_NUMBER).unwrap().to_int::<u16>().unwrap();
        for contour in items(region, tags::CONTOUR_SEQUENCE) {
            assert_eq!(string(contour, tags::CONTOUR_GEOMETRIC_TYPE), "CLOSED_PLANAR");
            let image = &items(contour, tags::CONTOUR_IMAGE_SEQUENCE)[0];
            let uid = string(image, tags::REFERENCED_SOP_INSTANCE_UID);
            let k = uids.iter().position(|other| *other == uid).unwrap();
            let data = numbers(contour, tags::CONTOUR_DATA);
            let count = contour.element(tags::NUMBER_OF_CONTOUR_POINTS).unwrap().to_int::<usize>().unwrap();
            assert_eq!(data.len(), 3 * count);
            assert!(data.chunks_exact(3).all(|point| point[2] == height(&slices[k])));
            let points: Vec<_> = data.chunks_exact(3).map(|point| [point[0], point[1]]).collect();
            for pixel in 0..nx * ny {
                let centre = [pixel % nx, pixel / nx, k].map(|i| i as f64);
                let [x, y, _] = flipped(&grid.affine.apply(centre));
                if crossings(&points, x, y) % 2 == 1 {
                    voxels[pixel + k * nx * ny] = label;
                }
            }
        }
    }
    Volume::new(grid, voxels).unwrap()
}

#[test]
fn the_contours_fill_the_label_maps_exactly() {
    for case in CASES {
        let folder = sample_data().join("dicom").join(case);
        let slices = slices(&folder);
        let structures = open_file(folder.join("RTSTRUCT.dcm")).unwrap();
        let names: Vec<String> = items(&structures, tags::STRUCTURE_SET_ROI_SEQUENCE)
            .iter()
            .map(|region| string(region, tags::ROI_NAME))
            .collect();
        assert_eq!(names, ["left lung", "right lung", "heart", "spinal cord", "oesophagus"]);
        let labels =
            pdl_io::read_labels(&sample_data().join(format!("ct/labels/{case}.nii.gz"))).unwrap().map;
        assert!(filled(&structures, &slices, labels.grid) == labels, "{case}");
    }
}
