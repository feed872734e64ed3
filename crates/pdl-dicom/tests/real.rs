//! Real scanners' files against what other programs make of them: `dicom.json` and `tilt.json` of
//! tests/golden, each by the script of its name.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pdl_dicom::{
    LabelKind, Mask, ReadOptions, Scan, Segmentation, SeriesImage, Stack, StructureSet, files_below,
    read_series, scan,
};
use pdl_volume::{Affine, Volume};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    volumes: BTreeMap<String, Block>,
    segments: BTreeMap<String, Block>,
    contours: BTreeMap<String, Contours>,
}

/// A volume in the orientation closest to RAS+.
#[derive(Deserialize)]
struct Block {
    shape: [usize; 3],
    affine: Vec<f64>,
    sums: Vec<f64>,
    blake3: String,
}

#[derive(Deserialize)]
struct Contours {
    counts: BTreeMap<usize, usize>,
    blake3: String,
    dcmrtstruct2nii: Witness,
}

/// Another program's mask: pixels of its slices, and how many lie on an edge, and how many of those
/// it takes.
#[derive(Deserialize)]
struct Witness {
    counts: BTreeMap<usize, usize>,
    on_an_edge: usize,
    on_an_edge_and_taken: usize,
}

/// rt-utils's masks, which hold all pixels on an edge, too.
#[derive(Deserialize)]
struct RtUtils {
    contours: BTreeMap<String, Inclusive>,
}

#[derive(Deserialize)]
struct Inclusive {
    counts: BTreeMap<usize, usize>,
    /// The mask that the likeness was measured against.
    by_exact_arithmetic: String,
    inclusive_rule: Likeness,
    exclusive_rule: Likeness,
}

/// Dice, and the volume of the mask by exact arithmetic as a share of the other program's.
#[derive(Debug, Deserialize)]
struct Likeness {
    dice: f64,
    volume: f64,
}

/// The tilted series on a straight grid: per slice the sum and the first moments along columns and
/// rows.
#[derive(Deserialize)]
struct Tilt {
    shape: [usize; 3],
    step_mm: f64,
    sums: Vec<f64>,
    moments_x: Vec<f64>,
    moments_y: Vec<f64>,
}

fn read_golden<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn golden() -> Golden {
    read_golden("dicom.json")
}

/// A folder of the real DICOM sets, or nothing when `PDL_REAL_DATA` is not set.
fn real(set: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("PDL_REAL_DATA")?).join("dicom").join(set);
    assert!(folder.exists(), "PDL_REAL_DATA is set, but this is not there: {}", folder.display());
    Some(folder)
}

fn scanned(path: &Path) -> Scan {
    let files = if path.is_file() { vec![path.to_owned()] } else { files_below(path).unwrap() };
    scan(&files, &|| ()).unwrap()
}

fn images(path: &Path) -> Vec<SeriesImage> {
    scanned(path).series.iter().map(|series| read_series(series, ReadOptions::default()).unwrap()).collect()
}

fn codes(image: &SeriesImage) -> Vec<&'static str> {
    image.findings.iter().map(|finding| finding.code.as_str()).collect()
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn close(volume: &Volume<f32>, golden: &Block, name: &str) {
    let expected = Affine::from_row_major(&golden.affine).unwrap();
    let distance = volume.grid.affine.corner_distance_mm(&expected, golden.shape);
    assert!(
        distance < 1e-4,
        "{name}: corners lie {distance} mm apart: {:?} {expected:?}",
        volume.grid.affine
    );
}

fn equal(volume: &Volume<f32>, golden: &Block, name: &str) {
    let ras = volume.to_ras();
    assert_eq!(ras.grid.shape, golden.shape, "{name}");
    let slice = golden.shape[0] * golden.shape[1];
    let sums: Vec<f64> =
        ras.voxels.chunks(slice).map(|slice| slice.iter().map(|v| f64::from(*v)).sum()).collect();
    assert_eq!(sums, golden.sums, "{name}: sums of slices");
    let bytes: Vec<u8> = ras.voxels.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(digest(&bytes), golden.blake3, "{name}: hash of voxels");
    close(&ras, golden, name);
}

#[test]
fn series_equal_what_simpleitk_reads() {
    let golden = golden();
    for name in [
        "lung-ct-rtstruct",
        "jpeg2000-ct",
        "segmentation/ct-3slice",
        "segmentation/24x38x3/image",
        "segmentation/23x38x3/image",
        "segmentation/24x38x3/multiframe",
        "segmentation/23x38x3/multiframe",
    ] {
        let Some(folder) = real(name) else { return };
        let images = images(&folder);
        assert_eq!(images.len(), 1, "{name}");
        equal(&images[0].volume, &golden.volumes[name], name);
    }
}

#[test]
fn files_without_a_sop_class_are_read_with_a_finding() {
    let Some(folder) = real("jpeg2000-ct") else { return };
    assert_eq!(codes(&images(&folder)[0]), ["no-sop-class"]);
}

#[test]
fn every_transfer_syntax_gives_the_reference_volume() {
    let golden = golden();
    for number in 1..=9 {
        let name = format!("transfer-syntaxes/In/{number}.dcm");
        let Some(path) = real(&name) else { return };
        let scan = scanned(&path);
        let read = read_series(&scan.series[0], ReadOptions::default());
        match read {
            Ok(image) => equal(&image.volume, &golden.volumes[&name], &name),
            Err(error) => {
                assert!(!cfg!(feature = "jpeg-ls") && [7, 8].contains(&number), "{name}: {error}");
                assert!(error.to_string().contains("feature jpeg-ls"), "{error}");
            }
        }
    }
}

#[test]
fn enhanced_mr_holds_the_reference_integers() {
    let golden = golden();
    for number in 1..=4 {
        let name = format!("enhanced-mr/In/Siemens/XA10/6_{number}.dcm");
        let Some(path) = real(&name) else { return };
        let images = images(&path);
        assert_eq!(images.len(), 1, "{name}");
        equal(&images[0].volume, &golden.volumes[&name], &name);
    }
    let name = "enhanced-mr/In/Philips/IM_0027_fMAP.dcm";
    let Some(path) = real(name) else { return };
    let images = images(&path);
    assert_eq!(images.len(), 2, "magnitude and field map are two volumes");
    for part in ["magnitude", "field map"] {
        let block = &golden.volumes[&format!("{name} {part}")];
        let same = |image: &&SeriesImage| {
            let bytes: Vec<u8> = image.volume.to_ras().voxels.iter().flat_map(|v| v.to_le_bytes()).collect();
            digest(&bytes) == block.blake3
        };
        let image = images.iter().find(same).unwrap_or_else(|| panic!("no volume is the {part}"));
        equal(&image.volume, block, part);
    }
}

#[test]
fn a_tilted_series_is_straightened_and_says_so() {
    let Some(folder) = real("tilted-ct") else { return };
    let images = images(&folder);
    assert_eq!(images.len(), 1);
    let image = &images[0];
    let message =
        |code: &str| &image.findings.iter().find(|finding| finding.code.as_str() == code).unwrap().message;
    assert!(message("gantry-tilt").contains("18.5 degrees"), "{}", message("gantry-tilt"));
    assert!(
        message("uneven-spacing").contains("13 x 4.00, 1 x 1.08, 13 x 7.00 mm"),
        "{}",
        message("uneven-spacing")
    );
    let grid = image.volume.grid;
    let cosine: f64 = (0..3).map(|r| grid.affine.step_mm(1)[r] * grid.affine.step_mm(2)[r]).sum();
    assert!(cosine.abs() < 1e-6, "the grid is straight");
    let golden: Tilt = read_golden("tilt.json");
    assert!((grid.spacing_mm()[2] - golden.step_mm).abs() < 1e-4, "{:?}", grid.spacing_mm());
    assert_eq!(grid.shape, golden.shape);
    let [columns, rows, _] = grid.shape;
    // float32 rounds a voxel of 1500 by up to 6e-5: the mean of a slice agrees far closer than
    // that.
    let close = |ours: f64, theirs: f64, weights: usize| (ours - theirs).abs() < 1e-4 * weights as f64;
    for (z, slice) in image.volume.voxels.chunks(columns * rows).enumerate() {
        let (mut sum, mut along_x, mut along_y) = (0.0, 0.0, 0.0);
        for (pixel, value) in slice.iter().enumerate() {
            let value = f64::from(*value);
            sum += value;
            along_x += value * (pixel % columns) as f64;
            along_y += value * (pixel / columns) as f64;
        }
        assert!(close(sum, golden.sums[z], slice.len()), "slice {z}: {sum}, not {}", golden.sums[z]);
        assert!(close(along_x, golden.moments_x[z], slice.len() * columns / 2), "slice {z}: along columns");
        assert!(close(along_y, golden.moments_y[z], slice.len() * rows / 2), "slice {z}: along rows");
    }
}

/// A mask on its stack as a volume of 0 and 1.
fn volume(mask: &Mask, stack: &Stack) -> Volume<f32> {
    let (labels, _) = pdl_dicom::paint(stack, [(1, mask)]);
    Volume::new(stack.grid().unwrap(), labels.into_iter().map(f32::from).collect()).unwrap()
}

/// Places of the ones of a volume in the world (0.01 mm), by which masks on different grids are
/// compared.
fn equal_segment(mask: &Volume<f32>, golden: &Block, name: &str) {
    let ras = mask.to_ras();
    assert_eq!(ras.grid.shape, golden.shape, "{name}");
    let bytes: Vec<u8> = ras.voxels.iter().map(|v| *v as u8).collect();
    assert_eq!(digest(&bytes), golden.blake3, "{name}: hash of mask");
    close(&ras, golden, name);
}

#[test]
fn every_segment_equals_its_nrrd() {
    let golden = golden();
    let mut compared = 0;
    for file in ["24x38x3/seg/label.seg", "23x38x3/seg/label.seg", "liver.dcm", "partial_overlaps.dcm"] {
        let Some(path) = real(&format!("segmentation/{file}")) else { return };
        let object = Segmentation::read(&path).unwrap();
        let stack = object.stack().unwrap();
        for segment in &object.segments {
            let name = format!("segmentation/{file} {}", segment.number);
            let mask = object.mask(segment.number, &stack).unwrap();
            equal_segment(&volume(&mask, &stack), &golden.segments[&name], &name);
            compared += 1;
        }
    }
    assert_eq!(compared, golden.segments.len());
}

#[test]
fn contours_fill_what_exact_arithmetic_fills() {
    let Some(folder) = real("lung-ct-rtstruct") else { return };
    let golden = golden();
    let scan = scanned(&folder);
    assert_eq!((scan.series.len(), scan.labels.len()), (1, 1));
    assert_eq!(scan.labels[0].kind, LabelKind::StructureSet);
    assert_eq!(scan.labels_of_series(), (vec![vec![0]], vec![]));
    let image = read_series(&scan.series[0], ReadOptions::default()).unwrap();
    let set = StructureSet::read(&scan.labels[0].path).unwrap();
    assert_eq!(set.regions.len(), golden.contours.len());
    let rtutils: RtUtils = read_golden("rtutils.json");
    for region in &set.regions {
        let mask = region.mask(&image.stack).unwrap();
        let expected = &golden.contours[&region.name];
        assert_eq!(mask.counts(), expected.counts, "{}", region.name);
        let (labels, _) = pdl_dicom::paint(&image.stack, [(1, &mask)]);
        let bytes: Vec<u8> = labels.iter().map(|v| *v as u8).collect();
        assert_eq!(digest(&bytes), expected.blake3, "{}", region.name);
        // rt-utils takes the edges as pdl does; the figures are of the very mask that is made here.
        let theirs = &rtutils.contours[&region.name];
        println!(
            "{}: inclusive {:?}, exclusive {:?}",
            region.name, theirs.inclusive_rule, theirs.exclusive_rule
        );
        assert_eq!(digest(&bytes), theirs.by_exact_arithmetic, "{}", region.name);
        let Likeness { dice, volume: share } = theirs.inclusive_rule;
        assert!(dice >= 0.98 && (share - 1.0).abs() <= 0.02, "{}", region.name);
        let volume = |counts: &BTreeMap<usize, usize>| counts.values().sum::<usize>() as f64;
        let share = volume(&mask.counts()) / volume(&theirs.counts);
        assert!((share - 1.0).abs() < 0.02, "{}: {share}", region.name);
        // dcmrtstruct2nii takes the edges of one side only; in all else the two agree, slice by
        // slice.
        let theirs = &expected.dcmrtstruct2nii;
        let pixels = |counts: &BTreeMap<usize, usize>| counts.values().sum::<usize>();
        let untaken = theirs.on_an_edge - theirs.on_an_edge_and_taken;
        assert_eq!(pixels(&mask.counts()), pixels(&theirs.counts) + untaken, "{}", region.name);
        assert!(mask.counts().keys().eq(theirs.counts.keys()), "{}: slices", region.name);
    }
}
