//! Fills `corpus/` from the repository's own samples: `cargo run --package pdl-fuzz-seed`.

use std::fs;
use std::path::{Path, PathBuf};

use dicom_core::value::{DataSetSequence, PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject, open_file};

/// Slices of a series that go into one input.
const SLICES: [usize; 3] = [14, 15, 16];
/// Contours that are kept of each structure: inputs are short.
const CONTOURS: usize = 3;
/// The longest inputs of the fuzzer, bytes.
const LONGEST: usize = 65_536;
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

#[path = "../../src/kinds.rs"]
mod kinds;

use kinds::{CURATION, DATASETS, RUN, TABLES, VOLUMES};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(out.join(target)).expect("a folder for the corpus");
        fs::write(out.join(target).join(name), bytes).expect("a seed");
    };
    for path in files(&root.join("tests/golden/data/formats")) {
        let name = name_of(&path);
        let Some(kind) = place_of_ending(&VOLUMES[..5], &name) else { continue };
        write("volume", &name, &of_kind(kind, &fs::read(&path).expect("a sample")));
    }
    for path in files(&root.join("tests/golden/data/stacks")) {
        let slice = if path.is_dir() { files(&path).swap_remove(0) } else { path.clone() };
        let kind = place_of_ending(&VOLUMES, &name_of(&slice)).unwrap_or(place(&VOLUMES, "a.tif"));
        write("volume", &name_of(&path), &of_kind(kind, &fs::read(&slice).expect("a sample")));
    }
    for path in files(&root.join("tests/golden/data/tables")) {
        let kind = place(&TABLES, "table/a.parquet");
        write("cohort_table", &name_of(&path), &of_kind(kind, &fs::read(&path).expect("a sample")));
    }
    let table = fs::read(root.join("sample-data/ct/cohort.csv")).expect("a sample");
    write("cohort_table", "cohort.csv", &of_kind(place(&TABLES, "table/a.csv"), &table));
    write("cohort_table", "same.csv", &of_kind(place(&TABLES, "table/same.csv"), b"a,b\np1,p2\np2,p3\n"));
    let list = br#"{"training": [{"image": "a.nii", "label": "b.nii", "site": "x"}], "validation": [], "testing": []}"#;
    write("cohort_table", "datalist.json", &of_kind(place(&TABLES, "table/a.json"), list));
    write("dataset", "datalist.json", &of_kind(place(&DATASETS, "monai/list.json"), list));
    let description =
        br#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "numTraining": 1,
        "file_ending": ".nii.gz", "dataset": {"c": {"images": ["a.nii.gz"], "label": "b.nii.gz"}}}"#;
    write("dataset", "dataset.json", &of_kind(place(&DATASETS, "nnunet/dataset.json"), description));
    let folds = br#"[{"train": ["b"], "val": ["case"]}, {"train": ["case"], "val": ["b"]}]"#;
    write("dataset", "splits.json", &of_kind(place(&DATASETS, "nnunet/splits_final.json"), folds));
    write("settings", "sections", SETTINGS);
    let journal = br#"{"unit":"case","key":"key","files":[],"value":{"status":"ok"}}"#;
    write("curation", "journal", &of_kind(place(&CURATION, ".pdl/index.jsonl"), journal));
    write("run_record", "checkpoint", &of_kind(place(&RUN, "checkpoint.safetensors"), &safetensors()));
    // What `just curate` and `just fit` made of a sample, too, where they have run.
    for folder in ["tests/manifests/version-1", "tests/manifests/version-2", "out/ct", "out/mr"] {
        let folder = root.join(folder);
        write_files(&folder, &CURATION, |name, bytes| write("curation", name, bytes));
        for run in folder.join("runs").read_dir().into_iter().flatten().flatten() {
            write_files(&run.path(), &RUN, |name, bytes| write("run_record", name, bytes));
        }
    }
    for (name, layers) in [("one layer", 1), ("layers first", 2), ("layers last", 3)] {
        write("seg_nrrd", name, &slicer_segmentation(layers));
    }
    let series = root.join("sample-data/dicom/ct_01");
    let slices: Vec<DefaultDicomObject> = SLICES
        .iter()
        .map(|number| open_file(series.join(format!("CT.{number:03}.dcm"))).expect("a slice"))
        .collect();
    let mut set = open_file(series.join("RTSTRUCT.dcm")).expect("a structure set");
    shorten(&mut set);
    let set = encoded(&set, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    for (name, syntax) in [
        ("explicit", uids::EXPLICIT_VR_LITTLE_ENDIAN),
        ("implicit", uids::IMPLICIT_VR_LITTLE_ENDIAN),
        ("big-endian", BIG_ENDIAN),
        ("deflated", uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN),
        ("rle", uids::RLE_LOSSLESS),
    ] {
        let images: Vec<Vec<u8>> = slices.iter().map(|slice| image(slice, syntax)).collect();
        write("grouping", name, &joined([set.clone()].iter().chain(&images)));
        write("rtstruct", name, &joined([set.clone()].iter().chain(&images)));
        for kind in ["BINARY", "FRACTIONAL", "LABELMAP"] {
            let set = encoded(&segmentation(&slices, kind), uids::EXPLICIT_VR_LITTLE_ENDIAN);
            write("seg", &format!("{name}-{kind}"), &joined([set].iter().chain(&images)));
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// The file as an input of its kind.
fn of_kind(kind: usize, file: &[u8]) -> Vec<u8> {
    [&[kind as u8][..], file].concat()
}

fn place(kinds: &[&str], name: &str) -> usize {
    kinds.iter().position(|kind| *kind == name).expect("a kind of the target")
}

fn place_of_ending(kinds: &[&str], name: &str) -> Option<usize> {
    kinds.iter().rposition(|kind| kind.rsplit_once("a.").is_some_and(|(_, ending)| name.ends_with(ending)))
}

/// Writes the files of these kinds that a folder has and that are short enough.
fn write_files(folder: &Path, kinds: &[&str], write: impl Fn(&str, &[u8])) {
    for (kind, name) in kinds.iter().enumerate() {
        let Ok(content) = fs::read(folder.join(name)) else { continue };
        if content.len() < LONGEST {
            let seed = folder.join(name).to_string_lossy().replace(['/', '.'], "-");
            write(&seed, &of_kind(kind, &content));
        }
    }
}

/// A key of each section, with values of every type.
const SETTINGS: &[u8] = b"[run]\nthreads = 2\nmemory = \"2GiB\"\n[index]\nmodality = \"CT\"\n[prepare]\nspacing = [1.0, 1.0, 2.5]\n\
    [compare]\nmetrics = [\"ssim\", \"mse\"]\n[rank]\nmetric = \"mse\"\nstart = \"20%\"\n[audit]\nduplicate_ssim = 0.9\n\
    [labels]\n1 = \"liver\"\n";

/// A checkpoint with a state that is no state, and a history.
fn safetensors() -> Vec<u8> {
    let head = br#"{"state":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"history":{"dtype":"F64","shape":[1,8],"data_offsets":[2,66]}}"#;
    [&(head.len() as u64).to_le_bytes()[..], head, b"{}", &[0; 64]].concat()
}

/// A small segmentation of 3-D Slicer, of three segments: in one layer, in two that stand before
/// the axes of space, or in two behind them.
fn slicer_segmentation(kind: usize) -> Vec<u8> {
    let steps = "(2,0,0) (0,2,0) (0,0,3)";
    let (layers, sizes, directions) = match kind {
        1 => (1, "4 3 2".to_owned(), steps.to_owned()),
        2 => (2, "2 4 3 2".to_owned(), format!("none {steps}")),
        _ => (2, "4 3 2 2".to_owned(), format!("{steps} none")),
    };
    let mut file = format!(
        "NRRD0004\ntype: unsigned char\ndimension: {}\nspace: left-posterior-superior\nsizes: {sizes}\n\
         space directions: {directions}\nencoding: raw\nspace origin: (1,2,3)\n",
        sizes.split(' ').count()
    );
    for (number, name) in ["liver", "tumour", "cyst"].into_iter().enumerate() {
        let (value, layer) = (number / layers + 1, number % layers);
        file += &format!("Segment{number}_ID:=s{number}\nSegment{number}_Name:={name}\n");
        file += &format!("Segment{number}_LabelValue:={value}\nSegment{number}_Layer:={layer}\n");
    }
    let voxels = (0..24 * layers).map(|voxel| (voxel % 7 / 2) as u8);
    (file + "\n").into_bytes().into_iter().chain(voxels).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the samples").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Files of one input, each behind its length.
fn joined<'a>(files: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    files.flat_map(|file| [&(file.len() as u16).to_le_bytes()[..], file].concat()).collect()
}

fn encoded(object: &InMemDicomObject, syntax: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let meta = FileMetaTableBuilder::new().transfer_syntax(syntax);
    object.clone().with_meta(meta).expect("a meta group").write_all(&mut bytes).expect("a file in memory");
    assert!(bytes.len() <= usize::from(u16::MAX), "{} bytes do not fit", bytes.len());
    bytes
}

fn image(slice: &InMemDicomObject, syntax: &str) -> Vec<u8> {
    if syntax != uids::RLE_LOSSLESS {
        return encoded(slice, syntax);
    }
    let mut slice = slice.clone();
    let pixels = slice.element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes").into_owned();
    let planes: Vec<Vec<u8>> =
        [1, 0].iter().map(|byte| literal(pixels.iter().skip(*byte).step_by(2).copied().collect())).collect();
    let offsets = [2_u32, 64, 64 + planes[0].len() as u32];
    let mut fragment: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    fragment.resize(64, 0);
    fragment.extend(planes.concat());
    let value = Value::from(PixelFragmentSequence::new_fragments(vec![fragment]));
    slice.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
    encoded(&slice, syntax)
}

/// Run lengths without runs (PS3.5, annex G).
fn literal(plane: Vec<u8>) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        plane.chunks(128).flat_map(|part| [&[(part.len() - 1) as u8][..], part].concat()).collect();
    if bytes.len() % 2 == 1 {
        bytes.push(0x80);
    }
    bytes
}

fn shorten(set: &mut InMemDicomObject) {
    let regions = set.element(tags::ROI_CONTOUR_SEQUENCE).expect("contours").items().expect("items").to_vec();
    let shortened = regions.into_iter().map(|mut region| {
        let contours = region.element(tags::CONTOUR_SEQUENCE).expect("contours").items().expect("items");
        let middle = contours.len() / 2;
        let kept = contours.iter().skip(middle).take(CONTOURS).cloned().collect();
        region.put(sequence(tags::CONTOUR_SEQUENCE, kept));
        region
    });
    set.put(sequence(tags::ROI_CONTOUR_SEQUENCE, shortened.collect()));
}

fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::SQ, Value::from(DataSetSequence::from(items)))
}

fn group(sequence_tag: Tag, elements: Vec<DataElement<InMemDicomObject>>) -> DataElement<InMemDicomObject> {
    sequence(sequence_tag, vec![InMemDicomObject::from_element_iter(elements)])
}

/// A segmentation of two segments on these slices.
fn segmentation(slices: &[DefaultDicomObject], kind: &str) -> InMemDicomObject {
    let copy = |slice: &InMemDicomObject, tag: Tag| slice.element(tag).expect("an attribute").clone();
    let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let word = |tag, value: u16| DataElement::new(tag, VR::US, dicom_value!(U16, [value]));
    let first = &slices[0];
    let side = |tag| first.element(tag).expect("a side").to_int::<usize>().expect("a number");
    let pixels = side(tags::ROWS) * side(tags::COLUMNS);
    let segments: &[u16] = if kind == "LABELMAP" { &[0] } else { &[1, 2] };
    let frames: Vec<(u16, &DefaultDicomObject)> =
        segments.iter().flat_map(|segment| slices.iter().map(move |slice| (*segment, slice))).collect();
    let bits = if kind == "BINARY" { 1 } else { 8 };
    let inside = |segment: u16, at: usize| at % pixels / 97 % 3 == usize::from(segment);
    let bytes: Vec<u8> = match kind {
        "BINARY" => {
            let flag = |at: usize| inside(frames[at / pixels].0, at);
            let all = pixels * frames.len();
            (0..all)
                .step_by(8)
                .map(|at| {
                    (0..8).fold(0, |byte, bit| byte | u8::from(at + bit < all && flag(at + bit)) << bit)
                })
                .collect()
        }
        "LABELMAP" => (0..pixels * frames.len()).map(|at| (at % pixels / 97 % 3) as u8).collect(),
        _ => (0..pixels * frames.len())
            .map(|at| if inside(frames[at / pixels].0, at) { 200 } else { 9 })
            .collect(),
    };
    let named = |number: u16| {
        let name = format!("segment {number}");
        InMemDicomObject::from_element_iter([
            word(tags::SEGMENT_NUMBER, number),
            text(tags::SEGMENT_LABEL, VR::LO, &name),
        ])
    };
    let of_frame = |(segment, slice): &(u16, &DefaultDicomObject)| {
        InMemDicomObject::from_element_iter([
            group(tags::PLANE_POSITION_SEQUENCE, vec![copy(slice, tags::IMAGE_POSITION_PATIENT)]),
            group(
                tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                vec![word(tags::REFERENCED_SEGMENT_NUMBER, *segment)],
            ),
        ])
    };
    let shared = InMemDicomObject::from_element_iter([
        group(tags::PLANE_ORIENTATION_SEQUENCE, vec![copy(first, tags::IMAGE_ORIENTATION_PATIENT)]),
        group(
            tags::PIXEL_MEASURES_SEQUENCE,
            vec![copy(first, tags::PIXEL_SPACING), copy(first, tags::SLICE_THICKNESS)],
        ),
    ]);
    InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, uids::SEGMENTATION_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3"),
        text(tags::MODALITY, VR::CS, "SEG"),
        text(tags::SEGMENTATION_TYPE, VR::CS, kind),
        copy(first, tags::FRAME_OF_REFERENCE_UID),
        copy(first, tags::ROWS),
        copy(first, tags::COLUMNS),
        text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.len().to_string()),
        word(tags::SAMPLES_PER_PIXEL, 1),
        word(tags::BITS_ALLOCATED, bits),
        word(tags::BITS_STORED, bits),
        word(tags::HIGH_BIT, bits - 1),
        word(tags::PIXEL_REPRESENTATION, 0),
        word(tags::MAXIMUM_FRACTIONAL_VALUE, 255),
        sequence(tags::SEGMENT_SEQUENCE, vec![named(1), named(2)]),
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]),
        sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames.iter().map(of_frame).collect()),
        DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(bytes)),
    ])
}
