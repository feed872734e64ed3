//! Stacks of slices give what the same volumes give in NIfTI, once it is said how they lie.

use std::fs::{self, File};
use std::path::Path;

use pdl_cohort::attributes::Status;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_io::nifti;
use pdl_prepare::proxies::Proxies;
use pdl_tests::{files, run, run_ok};
use pdl_volume::{Affine, Grid, LabelMap, Volume};
use tiff::encoder::{TiffEncoder, colortype::Gray16};

use crate::privacy::{no_file_says, no_word_of};
use crate::{curate, folder};

const SHAPE: [usize; 3] = [14, 12, 10];
const SPACING: [f64; 3] = [0.7, 1.5, 3.0];
const SPACING_TEXT: &str = "0.7,1.5,3";

/// A volume of whole numbers that no other `seed` has, and its labels.
fn volumes(seed: usize, axes: &str) -> (Volume<f32>, LabelMap) {
    let grid = Grid::new(SHAPE, Affine::from_orientation(axes.parse().unwrap(), SPACING, SHAPE));
    let noise = |i: usize| (((i + 7919 * seed) as u32).wrapping_mul(2_654_435_761) >> 17) as f32;
    let label = |i: usize| u16::from(i.is_multiple_of(3)) + u16::from(i > 700);
    let voxels = |count: usize| 0..count;
    (
        Volume { grid, voxels: voxels(grid.len()).map(noise).collect() },
        LabelMap { grid, voxels: voxels(grid.len()).map(label).collect() },
    )
}

/// Values of each slice, row by row.
fn slices(voxels: &[u16]) -> impl Iterator<Item = &[u16]> {
    voxels.chunks(SHAPE[0] * SHAPE[1])
}

fn write_png(path: &Path, slice: &[u16]) {
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), SHAPE[0] as u32, SHAPE[1] as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    let bytes: Vec<u8> = slice.iter().flat_map(|value| value.to_be_bytes()).collect();
    encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
}

/// A folder of slices with numbers that the alphabet would put into another order.
fn write_folder(folder: &Path, voxels: &[u16]) {
    fs::create_dir_all(folder).unwrap();
    for (number, slice) in slices(voxels).enumerate() {
        write_png(&folder.join(format!("slice{}.png", number + 1)), slice);
    }
}

fn write_pages(path: &Path, voxels: &[u16]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    for slice in slices(voxels) {
        encoder.write_image::<Gray16>(SHAPE[0] as u32, SHAPE[1] as u32, slice).unwrap();
    }
}

fn whole_numbers(volume: &Volume<f32>) -> Vec<u16> {
    volume.voxels.iter().map(|v| *v as u16).collect()
}

/// Four cases in folders and files of pages, below images/ and labels/.
fn write_stacks(cohort: &Path, axes: &str) {
    for seed in 1..=4 {
        let (image, labels) = volumes(seed, axes);
        let at = |kind: &str, ending: &str| cohort.join(kind).join(format!("case_{seed}{ending}"));
        match seed % 2 {
            0 => write_pages(&at("images", ".tif"), &whole_numbers(&image)),
            _ => write_folder(&at("images", ""), &whole_numbers(&image)),
        }
        match seed {
            3 => write_pages(&at("labels", ".tiff"), &labels.voxels),
            _ => write_folder(&at("labels", ""), &labels.voxels),
        }
    }
}

fn rows(out: &Path) -> Vec<CaseRow> {
    Cases::read(out).unwrap().rows
}

fn codes(row: &CaseRow) -> Vec<&str> {
    row.findings.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn stacks_prepare_to_the_bytes_of_the_same_volumes_in_nifti() {
    let (cohort, out, other, other_out) = (folder(), folder(), folder(), folder());
    write_stacks(cohort.path(), "RPI");
    for seed in 1..=4 {
        let (image, labels) = volumes(seed, "RPI");
        let at = |kind: &str| other.path().join(kind).join(format!("case_{seed}.nii.gz"));
        for kind in ["images", "labels"] {
            fs::create_dir_all(other.path().join(kind)).unwrap();
        }
        nifti::write_image(&at("images"), &image).unwrap();
        nifti::write_labels(&at("labels"), &labels).unwrap();
    }
    let flags = ["--modality", "MR", "--proxy-size", "12", "--no-report"];
    let stated = [&flags[..], &["--stack-spacing", SPACING_TEXT, "--stack-axes", "RPI"]].concat();
    curate(cohort.path(), out.path(), &stated);
    curate(other.path(), other_out.path(), &flags);
    let found = rows(out.path());
    assert_eq!(found.len(), 4);
    for (row, other) in found.iter().zip(rows(other_out.path())) {
        assert_eq!(
            (codes(row), &row.affine, &row.labels),
            (vec!["patient-assumed"], &other.affine, &other.labels),
            "{row:?}"
        );
        assert_eq!(row.image, format!("volumes/images/{}.nii.gz", row.case_id));
    }
    assert!(files(&out.path().join("prepared")) == files(&other_out.path().join("prepared")));
    // Not the files themselves: their footers hold hashes of what they were made from.
    let [proxies, others] = [&out, &other_out].map(|out| Proxies::open(out.path()).unwrap());
    assert_eq!(proxies.case_ids, others.case_ids);
    assert!((0..4).all(|row| proxies.voxels(row) == others.voxels(row)));
    let before = files(out.path());
    let again = curate(cohort.path(), out.path(), &stated);
    assert!(again.contains("nothing to do") && files(out.path()) == before, "{again}");
}

#[test]
fn without_a_spacing_stacks_are_rejected_with_what_to_do_and_assumed_axes_are_told() {
    let (cohort, out) = (folder(), folder());
    write_stacks(cohort.path(), "LPS");
    let words = ["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let told = String::from_utf8_lossy(&run(&words).stderr).into_owned();
    assert!(told.contains("--stack-spacing X,Y,Z"), "{told}");
    assert!(rows(out.path()).iter().all(|row| codes(row) == ["no-stack-spacing"]));

    run_ok(&[&words[..], &["--stack-spacing", SPACING_TEXT, "--modality", "MR"]].concat());
    for row in rows(out.path()) {
        assert_eq!(
            (row.orientation.as_str(), codes(&row)),
            ("LPS", vec!["stack-axes-assumed", "patient-assumed"])
        );
        assert!((0..3).all(|axis| (row.spacing_mm[axis] - SPACING[axis]).abs() < 1e-6));
    }
    for (flags, problem) in [
        (["--stack-spacing", "1,1"], "--stack-spacing: expected three lengths in mm"),
        (["--stack-axes", "LPX"], "--stack-axes: expected an orientation"),
    ] {
        let refused = run(&[&words[..], &flags].concat());
        assert!(String::from_utf8_lossy(&refused.stderr).contains(problem), "{flags:?}");
    }
    let (sample, out) = (pdl_tests::sample("mr"), folder());
    let words = ["index", sample.to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let refused = run(&[&words[..], &["--stack-spacing", SPACING_TEXT]].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("of this cohort is a stack of slices"));
}

#[test]
fn a_table_states_spacing_and_axes_case_by_case_and_other_volumes_stay_where_they_are() {
    let (cohort, out) = (folder(), folder());
    write_stacks(cohort.path(), "LPS");
    let (image, labels) = volumes(9, "LPS");
    nifti::write_image(&cohort.path().join("whole.nii.gz"), &image).unwrap();
    nifti::write_labels(&cohort.path().join("whole_labels.nii.gz"), &labels).unwrap();
    let table = "case_id,image,label,stack_spacing,stack_axes\n\
                 a,images/case_1,labels/case_1,0.7 1.5 3,LPS\n\
                 b,images/case_2.tif,labels/case_2,,RPI\n\
                 c,whole.nii.gz,whole_labels.nii.gz,,\n\
                 d,images/case_3,whole_labels.nii.gz,1 1 1,LPS\n";
    fs::write(cohort.path().join("cohort.csv"), table).unwrap();
    let words = ["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    run_ok(&[&words[..], &["--stack-spacing", "2,2,5", "--modality", "MR"]].concat());
    let found = rows(out.path());
    let of =
        |row: usize| (found[row].orientation.as_str(), found[row].spacing_mm.clone(), codes(&found[row]));
    let close =
        |row: usize, spacing: [f64; 3]| (0..3).all(|axis| (of(row).1[axis] - spacing[axis]).abs() < 1e-6);
    assert!(of(0).0 == "LPS" && close(0, SPACING), "{:?}", of(0));
    assert!(of(1).0 == "RPI" && close(1, [2.0, 2.0, 5.0]), "{:?}", of(1));
    assert!(found[2].image.ends_with("whole.nii.gz") && close(2, SPACING), "{:?}", found[2]);
    assert_eq!(of(3).2, ["stack-beside-volume"]);
    let kept: Vec<String> = files(&out.path().join("volumes")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(kept, ["images/a.nii.gz", "images/b.nii.gz", "labels/a.nii.gz", "labels/b.nii.gz"]);

    fs::write(cohort.path().join("cohort.csv"), table.replace("0.7 1.5 3", "0.7 1.5")).unwrap();
    let refused = run(&words);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("row 1: stack_spacing '0.7 1.5'"), "{told}");
}

#[test]
fn a_slice_that_changes_comes_or_goes_is_noticed() {
    let (cohort, out) = (folder(), folder());
    write_stacks(cohort.path(), "LPS");
    let words = ["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let words =
        [&words[..], &["--stack-spacing", SPACING_TEXT, "--stack-axes", "LPS", "--modality", "MR"]].concat();
    run_ok(&words);
    let first = |out: &Path| rows(out).into_iter().find(|row| row.case_id == "case_1").unwrap();
    let before = first(out.path());
    let [image, label] = ["images", "labels"].map(|kind| cohort.path().join(kind).join("case_1"));

    write_png(&image.join("slice10.png"), &[1; SHAPE[0] * SHAPE[1]]);
    run_ok(&words);
    let changed = first(out.path());
    assert_ne!(changed.image_blake3, before.image_blake3);
    assert_eq!(changed.label_blake3, before.label_blake3);

    for folder in [&image, &label] {
        write_png(&folder.join("slice11.png"), &[1; SHAPE[0] * SHAPE[1]]);
    }
    run_ok(&words);
    assert_eq!(first(out.path()).shape, [14, 12, 11]);

    fs::remove_file(image.join("slice5.png")).unwrap();
    run_ok(&words);
    let message = first(out.path()).findings[0].message.clone();
    assert!(message.contains("slices are missing: after number 4, the slice 4 of 10, comes 6"), "{message}");

    fs::remove_file(image.join("slice11.png")).unwrap();
    write_png(&image.join("slice5.png"), &[1; SHAPE[0] * SHAPE[1]]);
    run_ok(&words);
    let row = first(out.path());
    assert_eq!((row.status, codes(&row)), (Status::Rejected, vec!["shape-mismatch"]));
}

#[test]
fn a_stack_under_a_pseudonym_leaves_no_word_of_its_name() {
    let (cohort, out, keys) = (folder(), folder(), folder());
    for (kind, voxels) in
        [("images", whole_numbers(&volumes(1, "LPS").0)), ("labels", volumes(1, "LPS").1.voxels)]
    {
        write_folder(&cohort.path().join(kind).join("DOE-JANE"), &voxels);
        write_folder(&cohort.path().join(kind).join("ROE-RICHARD"), &voxels);
    }
    fs::remove_file(cohort.path().join("images/ROE-RICHARD/slice5.png")).unwrap();
    let key = keys.path().join("key");
    let words = ["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let flags = ["--pseudonyms", "--pseudonym-key", key.to_str().unwrap(), "--stack-spacing", SPACING_TEXT];
    let output = run(&[&words[..], &flags].concat());
    assert!(output.status.success());
    let told = [output.stdout, output.stderr].concat();
    let planted = ["DOE", "JANE", "ROE", "RICHARD"].map(str::to_owned).into();
    no_word_of(&planted, &String::from_utf8_lossy(&told), "the output");
    assert!(no_file_says(&planted, out.path()) > 0);
    assert_eq!(rows(out.path()).iter().filter(|row| row.is_usable()).count(), 1);
}

#[test]
fn init_pairs_folders_of_slices_and_leaves_columns_for_what_they_do_not_say() {
    let (cohort, out) = (folder(), folder());
    for seed in 1..=3 {
        let (image, labels) = volumes(seed, "LPS");
        let patient = cohort.path().join(format!("patient_{seed}"));
        write_folder(&patient.join("mr"), &whole_numbers(&image));
        write_pages(&patient.join("mr_seg.tif"), &labels.voxels);
    }
    let out_text = out.path().join("out");
    let out_text = out_text.to_str().unwrap();
    let told = run_ok(&["init", cohort.path().to_str().unwrap(), "--out", out_text]);
    assert!(told.contains("3 images with labels") && told.contains("3 patients"), "{told}");
    assert!(told.contains("--stack-spacing X,Y,Z"), "{told}");
    let table = format!("{out_text}/cohort.csv");
    let text = fs::read_to_string(&table).unwrap();
    assert!(text.starts_with("case_id,image,label,patient,stack_spacing,stack_axes\n"), "{text}");
    fs::write(&table, text.replace("1,,\n", "1,0.7 1.5 3,LPS\n")).unwrap();
    run_ok(&["index", &table, "--out", out_text, "--stack-spacing", "1,1,1", "--modality", "MR"]);
    let found = rows(Path::new(out_text));
    let spacings: Vec<f64> = found.iter().map(|row| (row.spacing_mm[2] * 10.0).round()).collect();
    assert_eq!(spacings, [30.0, 10.0, 10.0]);
    assert!(found.iter().all(CaseRow::is_usable));
}

#[test]
fn slices_that_lie_loose_are_no_cohort_and_the_error_says_where_they_belong() {
    let (cohort, out) = (folder(), folder());
    for kind in ["images", "labels"] {
        write_folder(&cohort.path().join(kind), &volumes(1, "LPS").1.voxels);
    }
    let refused = run(&["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("as in images/CASE/slice_001.png"), "{told}");
}
