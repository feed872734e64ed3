//! Files and plans that ask for more memory than there is, or than any body needs: the case is
//! rejected by name, and the cohort goes on.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use pdl_cohort::attributes::Status;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_tests::{run, run_ok};

use crate::dicom::copy_case;
use crate::{cohort_of, folder};

/// A side of a cube of one-byte voxels that needs 192 MB as an image.
const SIDE: usize = 364;
/// Room for the sample's cases, and not for that.
const LIMIT: &str = "--memory=64MiB";

fn zeros<W: Write>(mut encoder: W) -> W {
    (0..SIDE).for_each(|_| encoder.write_all(&[0; SIDE * SIDE]).unwrap());
    encoder
}

/// A NIfTI file without compression.
fn plain(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Multiplies the steps of a NIfTI file's sform, and its offset.
fn scale(path: &Path, by: f32) {
    let mut bytes = plain(path);
    for at in (280..328).step_by(4) {
        let number = f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) * by;
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    let mut encoder = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    encoder.write_all(&bytes).unwrap();
    encoder.finish().unwrap();
}

/// Adds the images of one bad case in every format to a cohort of files, each with a label map of
/// the sample's.
fn bad_images(cohort: &Path) -> String {
    let image = |name: &str| cohort.join("images").join(name);
    let mut head = plain(&image("ct_01.nii.gz"));
    head.truncate(352);
    for axis in 0..3 {
        head[42 + 2 * axis..44 + 2 * axis].copy_from_slice(&(SIDE as u16).to_le_bytes());
    }
    head[70..74].copy_from_slice(&[2, 0, 8, 0]); // one byte a voxel
    let gzip = |head: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(head).unwrap();
        zeros(encoder).finish().unwrap()
    };
    fs::write(image("nifti.nii.gz"), gzip(&head)).unwrap();
    let mut lie = head.clone();
    lie[42..48].copy_from_slice(&[0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f]);
    fs::write(image("lie.nii"), &lie).unwrap();
    let sizes = format!("{SIDE} {SIDE} {SIDE}");
    let nrrd = format!("NRRD0004\ntype: uchar\ndimension: 3\nspacings: 1 1 1\nsizes: {sizes}\n");
    fs::write(image("nrrd.nrrd"), [format!("{nrrd}encoding: gzip\n\n").as_bytes(), &gzip(&[])].concat())
        .unwrap();
    let meta = format!("NDims = 3\nElementSpacing = 1 1 1\nElementType = MET_UCHAR\nDimSize = {sizes}\n");
    let meta = format!("{meta}CompressedData = True\nElementDataFile = LOCAL\n").into_bytes();
    let voxels = zeros(ZlibEncoder::new(Vec::new(), Compression::fast())).finish().unwrap();
    fs::write(image("meta.mha"), [meta, voxels].concat()).unwrap();
    for (name, by) in [("metres", 1000.0), ("micrometres", 0.0001), ("absurd", 1e30)] {
        fs::copy(image("ct_01.nii.gz"), image(&format!("{name}.nii.gz"))).unwrap();
        scale(&image(&format!("{name}.nii.gz")), by);
    }
    let names = ["nifti.nii.gz", "lie.nii", "nrrd.nrrd", "meta.mha"];
    let names = names.into_iter().chain(["metres.nii.gz", "micrometres.nii.gz", "absurd.nii.gz"]);
    names.map(|name| format!("images/{name},labels/ct_01.nii.gz\n")).collect()
}

/// Adds stacks of one picture of 25 million pixels.
fn bad_stacks(cohort: &Path) -> String {
    const SIDE: u32 = 5000;
    let folders = ["png", "tiff"].map(|name| cohort.join("images").join(name));
    folders.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    let mut encoder = png::Encoder::new(File::create(folders[0].join("1.png")).unwrap(), SIDE, SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    (0..SIDE).for_each(|_| stream.write_all(&[0; SIDE as usize]).unwrap());
    stream.finish().unwrap();
    // Width, height, bits, compression, meaning of 0, and one strip: where, rows and length.
    let mut tiff = b"II*\0\x08\0\0\0\x08\0".to_vec();
    let entries = [(256, SIDE), (257, SIDE), (258, 8), (259, 1), (262, 1), (273, 110), (278, SIDE)];
    for (tag, value) in entries.into_iter().chain([(279, SIDE * SIDE)]) {
        tiff.extend([&(tag as u16).to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat());
    }
    let mut file = File::create(folders[1].join("1.tif")).unwrap();
    file.write_all(&tiff).unwrap();
    file.set_len(110 + u64::from(SIDE * SIDE)).unwrap();
    fs::create_dir_all(cohort.join("labels/picture")).unwrap();
    let label = File::create(cohort.join("labels/picture/1.png")).unwrap();
    png::Encoder::new(label, 1, 1).write_header().unwrap().write_image_data(&[1]).unwrap();
    "images/png,labels/picture\nimages/tiff,labels/picture\n".to_owned()
}

/// Rows by case id.
fn row<'c>(cases: &'c Cases, case: &str) -> &'c CaseRow {
    cases.rows.iter().find(|row| row.case_id == case).unwrap_or_else(|| panic!("no row for {case}"))
}

#[track_caller]
fn rejected(cases: &Cases, case: &str, code: &str, words: &str) {
    let row = row(cases, case);
    assert_eq!(row.status, Status::Rejected, "{case}: {:?}", row.findings);
    let told =
        row.findings.iter().any(|finding| finding.code.as_str() == code && finding.message.contains(words));
    assert!(told, "{case}: {:?}", row.findings);
}

#[test]
fn one_bad_case_of_every_format_is_rejected_by_name_and_the_others_go_on() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..4);
    let good: String = (1..=4).map(|n| format!("images/ct_0{n}.nii.gz,labels/ct_0{n}.nii.gz\n")).collect();
    let table = format!("image,label\n{good}{}{}", bad_images(cohort.path()), bad_stacks(cohort.path()));
    fs::write(cohort.path().join("cohort.csv"), table).unwrap();
    let [from, to] = [cohort.path(), out.path()].map(|path| path.to_str().unwrap());
    let index = ["index", from, "--out", to, "--stack-spacing", "1,1,1", LIMIT];
    run_ok(&index);
    let cases = Cases::read(out.path()).unwrap();
    for case in ["nifti", "nrrd", "meta", "png", "tiff"] {
        rejected(&cases, case, "too-large", "of memory, and the limit is 64.0 MiB");
        rejected(&cases, case, "too-large", "allow more (--memory)");
    }
    rejected(&cases, "lie", "unreadable-image", "truncated");
    rejected(&cases, "metres", "implausible-size", "wrong unit");
    rejected(&cases, "micrometres", "implausible-size", "wrong unit");
    assert_eq!(row(&cases, "absurd").status, Status::Rejected);
    assert_eq!(cases.usable().count(), 4);
    // A refusal for want of memory is not kept: with more the same command reads the file.
    let more = ["index", from, "--out", to, "--stack-spacing", "1,1,1", "--memory=2GiB"];
    run_ok(&more);
    let cases = Cases::read(out.path()).unwrap();
    rejected(&cases, "nifti", "constant-image", "every voxel is");
    let first_look = folder();
    run_ok(&["init", from, "--out", first_look.path().to_str().unwrap(), LIMIT]);
    run_ok(&["prepare", to, "--proxy-size", "16", LIMIT]);
    assert_eq!(pdl_prepare::prepared_row::read(out.path()).unwrap().len(), 4);
}

#[test]
fn a_plan_and_options_that_cannot_be_are_one_error_and_a_case_that_grows_too_much_fails_alone() {
    let (cohort, out) = (folder(), folder());
    let from = cohort_of(cohort.path(), 0..4);
    let to = out.path().to_str().unwrap();
    run_ok(&["index", from.to_str().unwrap(), "--out", to]);
    run_ok(&["prepare", to, "--proxy-size", "16"]);
    let path = out.path().join("plan.json");
    let text = fs::read_to_string(&path).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    let error = |words: &[&str]| {
        let output = run(&[&["prepare", to][..], words].concat());
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error")).collect();
        assert_eq!(errors.len(), 1, "{text}");
        errors[0].to_owned()
    };
    assert!(error(&["--proxy-size", "16", "--spacing", "1e-9,1,1"]).contains("from 0.001 to 50 mm"));
    assert!(error(&["--proxy-size", "1024", LIMIT]).contains("the proxies are too large"));
    for side in [1e-30, 0.0, 1e30] {
        let mut plan = plan.clone();
        plan["spacing_mm"][0] = side.into();
        fs::write(&path, plan.to_string()).unwrap();
        let error = error(&["--proxy-size", "16"]);
        assert!(error.contains("the plan is invalid (spacing_mm is"), "{error}");
    }
    // A spacing that is possible, and far from that of the cases.
    let mut edited = plan;
    edited["spacing_mm"] = serde_json::json!([0.01, 0.01, 0.01]);
    fs::write(&path, edited.to_string()).unwrap();
    assert!(error(&["--proxy-size", "16"]).contains("more than 512 times as many"));
    // Within that factor, and more than the limit.
    edited["spacing_mm"] = serde_json::json!([1.0, 1.0, 1.0]);
    fs::write(&path, edited.to_string()).unwrap();
    let error = error(&["--proxy-size", "16", LIMIT]);
    assert!(error.contains("of memory, and the limit is 64.0 MiB"), "{error}");
}

#[test]
fn a_dicom_series_that_declares_too_much_is_rejected_and_the_next_is_read() {
    let (tree, out, keys) = (folder(), folder(), folder());
    copy_case("ct_01", &tree.path().join("good"), "2.25.", |_| ());
    // JPEG 2000 of 4000 x 4000 pixels a slice by header and stream, which ten kilobytes may hold.
    let side: u16 = 4000;
    copy_case("ct_04", &tree.path().join("bad"), "2.25.", |_| ());
    for entry in fs::read_dir(tree.path().join("bad")).unwrap() {
        let path = entry.unwrap().path();
        let mut object = dicom_object::open_file(&path).unwrap();
        if object.get(tags::PIXEL_DATA).is_none() {
            continue;
        }
        for tag in [tags::ROWS, tags::COLUMNS] {
            object.put(DataElement::new(tag, VR::US, dicom_value!(U16, [side])));
        }
        let words = [side, side, 0, 0, side, side, 0, 0].map(|n| u32::from(n).to_be_bytes()).concat();
        let mut stream = [&[0xff, 0x4f, 0xff, 0x51, 0, 41, 0, 0][..], &words, &[0, 1, 15, 1, 1]].concat();
        stream.resize(10_000, 0);
        let fragments = PixelFragmentSequence::new(Vec::<u32>::new(), vec![stream]);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(fragments)));
        object.update_meta(|meta| meta.transfer_syntax = uids::JPEG2000_LOSSLESS.to_owned());
        object.write_to_file(&path).unwrap();
    }
    let key = keys.path().join("key");
    let [from, to, key] = [tree.path(), out.path(), &key].map(|path| path.to_str().unwrap());
    run_ok(&["index", from, "--out", to, "--pseudonym-key", key, LIMIT]);
    let cases = Cases::read(out.path()).unwrap();
    assert_eq!(cases.rows.len(), 2);
    assert_eq!(cases.usable().count(), 1);
    let bad = cases.rows.iter().find(|row| !row.is_usable()).unwrap();
    rejected(&cases, &bad.case_id, "too-large", "of memory, and the limit is 64.0 MiB");
}

#[test]
fn tables_of_more_rows_than_there_is_memory_for_are_one_error() {
    let (tables, out) = (folder(), folder());
    let error = |name: &str| {
        let path = tables.path().join(name);
        let output = run(&["index", path.to_str().unwrap(), "--out", out.path().to_str().unwrap(), LIMIT]);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("of memory, and the limit is 64.0 MiB"), "{text}");
    };
    let field = |name| Field::new(name, DataType::Utf8, false);
    let schema = Arc::new(Schema::new(vec![field("image"), field("label")]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a.nii"; 1 << 16]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(&names), names]).unwrap();
    let file = File::create(tables.path().join("t.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, schema, None).unwrap();
    (0..4).for_each(|_| writer.write(&batch).unwrap());
    writer.close().unwrap();
    error("t.parquet");
    fs::write(tables.path().join("t.csv"), "image,label\n".to_owned() + &"a,b\n".repeat(1 << 17)).unwrap();
    error("t.csv");
    let items = vec!["{\"image\":\"a\"}"; 1 << 17].join(",");
    fs::write(tables.path().join("t.json"), format!("{{\"training\":[{items}]}}")).unwrap();
    error("t.json");
}
