//! Small files of many formats against what other programs read from them:
//! tests/golden/data/formats, by tests/golden/scripts/formats.py.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::{Image, ReadError, is_volume_name, read_image, stem};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    files: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    shape: [usize; 3],
    affine: Vec<f64>,
    voxels: Vec<f64>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data")
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(folder().join("formats.json")).unwrap()).unwrap()
}

/// What is found where a header gives lengths in `unit`.
fn other_unit(unit: &str) -> Finding {
    Finding::new(Code::OtherUnit, format!("its header states lengths in {unit}; they are converted to mm"))
}

#[test]
fn every_format_is_read_as_others_read_it() {
    let golden = golden();
    assert!(golden.files.len() >= 13, "{:?}", golden.files.keys());
    for (name, expected) in golden.files {
        let image = read_image(&folder().join("formats").join(&name)).unwrap();
        let grid = image.volume.grid;
        assert_eq!(grid.shape, expected.shape, "{name}");
        for (ours, theirs) in grid.affine.to_row_major().iter().zip(&expected.affine) {
            assert!((ours - theirs).abs() < 1e-4, "{name}: {:?}", grid.affine);
        }
        let voxels: Vec<f64> = image.volume.voxels.iter().map(|v| f64::from(*v)).collect();
        assert_eq!(voxels, expected.voxels, "{name}");
        let odd = if name == "no-directions.mha" { 1 } else { 0 };
        assert_eq!(image.findings.len(), odd, "{name}: {:?}", image.findings);
    }
}

/// Reads `name` after a change of its bytes.
fn changed(name: &str, places: &[(usize, &[u8])]) -> Result<Image, String> {
    let mut bytes = fs::read(folder().join("formats").join(name)).unwrap();
    for (place, new) in places {
        bytes[*place..place + new.len()].copy_from_slice(new);
    }
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(name);
    fs::write(&path, bytes).unwrap();
    read_image(&path).map_err(|error| error.to_string())
}

fn odd(image: Result<Image, String>) -> String {
    match image.unwrap().findings.as_slice() {
        [Finding { code: Code::OddHeader, message }] => message.clone(),
        other => panic!("{other:?}"),
    }
}

/// nibabel refuses what is refused here, and reads the rest with the same voxels; of a file whose
/// voxels begin at 0 it takes the header for voxels.
#[test]
fn what_is_odd_about_a_header_is_said_or_refused() {
    let whole = read_image(&folder().join("formats/one.nii")).unwrap().volume;
    let sform_off = (254, &[0_u8, 0][..]);
    let qform_on = (252, &[1_u8, 0][..]);
    let nothing = [0; 48];
    let image = changed("one.nii", &[(280, &nothing)]);
    assert!(image.unwrap_err().contains("neither its sform nor its qform can be used"));
    // A half turn about z by the quaternion (0, 0, 1).
    let image = changed("one.nii", &[(280, &nothing), qform_on, (256, &[0; 8]), (264, &1_f32.to_le_bytes())]);
    assert_eq!(image.as_ref().unwrap().volume.grid.affine.step_mm(0)[1], 0.0);
    assert_eq!(odd(image), "its sform cannot be used: it is singular or not finite");
    let long = [1.0_f32.to_le_bytes(), 0.5_f32.to_le_bytes(), 0_f32.to_le_bytes()].concat();
    let told = odd(changed("one.nii", &[qform_on, (256, &long)]));
    assert_eq!(
        told,
        "its qform cannot be used: its quaternion has the squared length 1.250, at most 1 is possible"
    );
    assert!(changed("one.nii", &[qform_on, sform_off, (256, &long)]).unwrap_err().contains("neither"));

    let image = changed("one.nii", &[(72, &[8, 0])]);
    assert_eq!(image.as_ref().unwrap().volume, whole);
    assert_eq!(odd(image), "it states 8 bits per voxel, in contradiction to its type int16");

    let scaled = [2_f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat();
    assert!(changed("one.nii", &[(112, &scaled)]).unwrap_err().contains("the intercept is NaN"));

    for (offset, known) in [(0_f32, true), (348.0, false), (351.0, false), (352.0, true)] {
        let image = changed("one.nii", &[(108, &offset.to_le_bytes())]);
        assert_eq!(image.as_ref().is_ok_and(|image| image.volume == whole), known, "{offset}");
    }
    assert!(odd(changed("one.nii", &[(108, &[0; 4])])).contains("byte 352 was assumed"));
    assert!(changed("two.nii", &[(168, &[0; 8])]).is_ok());
    assert!(
        changed("two.nii", &[(168, &541_i64.to_le_bytes())])
            .unwrap_err()
            .contains("before the end of the header")
    );
    assert_eq!(odd(changed("two.nii", &[(8, &[0; 4])])), "the end of its magic number is missing");
    assert!(changed("two.nii", &[(8, b"\n\n\x1a\n")]).unwrap_err().contains("copied as text"));
}

#[test]
fn axes_that_are_not_of_space_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.nrrd");
    for (kinds, known) in
        [("domain domain domain", true), ("space space space", true), ("vector domain domain", false)]
    {
        let head = format!("NRRD0004\ntype: uchar\ndimension: 3\nkinds: {kinds}\nsizes: 1 1 2\n");
        fs::write(&path, head + "spacings: 1 1 1\nencoding: raw\n\nab").unwrap();
        assert_eq!(read_image(&path).is_ok(), known, "{kinds}");
    }
}

#[test]
fn vectors_are_told_from_frames() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.nrrd");
    let read = |kind: &str, name: &str| {
        let head = format!("NRRD0004\ntype: uchar\ndimension: 4\nkinds: {kind} domain domain domain\n");
        fs::write(&path, head + "sizes: 3 1 1 2\nspacings: 1 1 1 1\nencoding: raw\n\nabcdef").unwrap();
        read_image(&scratch.path().join(name)).map_err(|error| error.to_string())
    };
    assert!(read("vector", "a.nrrd").unwrap_err().contains("of the kind vector, 3 numbers each"));
    assert!(read("list", "a.nrrd").unwrap_err().contains("it has 3 frames"));
    for kind in ["vector", "list"] {
        let one = read(kind, "a.nrrd#1").unwrap();
        assert_eq!(one.volume.voxels, [f32::from(b'b'), f32::from(b'e')], "{kind}");
    }
}

#[test]
fn a_pair_is_named_by_either_file_and_both_are_hashed() {
    let copy = tempfile::tempdir().unwrap();
    for name in ["pair.hdr", "pair.img"] {
        fs::copy(folder().join("formats").join(name), copy.path().join(name)).unwrap();
    }
    let [by_header, by_voxels] =
        ["pair.hdr", "pair.img"].map(|name| read_image(&copy.path().join(name)).unwrap());
    assert_eq!(by_header.volume, by_voxels.volume);
    assert_eq!(by_header.parts.len(), 2);
    let voxels = copy.path().join("pair.img");
    let mut bytes = fs::read(&voxels).unwrap();
    bytes[0] ^= 1;
    fs::write(&voxels, bytes).unwrap();
    assert_ne!(read_image(&copy.path().join("pair.hdr")).unwrap().blake3, by_header.blake3);
    fs::remove_file(&voxels).unwrap();
    assert!(matches!(read_image(&copy.path().join("pair.hdr")), Err(ReadError::Invalid { .. })));
}

#[test]
fn cut_and_changed_files_are_refused_or_read_but_never_panic() {
    let scratch = tempfile::tempdir().unwrap();
    for name in golden().files.keys().filter(|name| !name.starts_with("apart") && !name.starts_with("pair")) {
        let bytes = fs::read(folder().join("formats").join(name)).unwrap();
        let path = scratch.path().join(name);
        for length in (0..bytes.len()).step_by(7) {
            fs::write(&path, &bytes[..length]).unwrap();
            let read = read_image(&path);
            // MetaImage's and NRRD's streams may lose their checksum's last bytes, not their
            // voxels.
            assert!(read.is_err() || length + 8 >= bytes.len(), "{name} cut at {length} of {}", bytes.len());
        }
        for place in (0..bytes.len().min(600)).step_by(7) {
            for value in [0, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[place] = value;
                fs::write(&path, &changed).unwrap();
                let _ = read_image(&path);
            }
        }
    }
}

#[test]
fn one_frame_of_several_is_taken_by_number() {
    let mut header = fs::read(folder().join("formats/one.nii")).unwrap();
    let voxels = header.split_off(352);
    header[40..50].copy_from_slice(&[4, 0, 3, 0, 4, 0, 5, 0, 2, 0]); // dim: 4 axes, 3 x 4 x 5 x 2
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("film.nii");
    let second: Vec<u8> = voxels.iter().rev().copied().collect();
    fs::write(&path, [header, voxels.clone(), second].concat()).unwrap();
    let error = read_image(&path).unwrap_err().to_string();
    assert!(error.contains("2 frames") && error.contains("FILE#0"), "{error}");
    let frame = |number: usize| read_image(&scratch.path().join(format!("film.nii#{number}")));
    assert_eq!(frame(0).unwrap().volume, read_image(&folder().join("formats/one.nii")).unwrap().volume);
    let last = i16::from_le_bytes([voxels[voxels.len() - 1], voxels[voxels.len() - 2]]);
    assert_eq!(frame(1).unwrap().volume.voxels[0], f32::from(last));
    assert!(frame(2).unwrap_err().to_string().contains("no frame 2"));
}

#[test]
fn what_says_nothing_of_the_world_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.nrrd");
    let text = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nspacings: 1 2 3\nencoding: raw\n\n\0\x01\x02\x03\x04\x05\x06\x07";
    fs::write(&path, text).unwrap();
    let image = read_image(&path).unwrap();
    assert!(matches!(image.findings.as_slice(), [Finding { code: Code::NoTransform, .. }]));
    assert_eq!(image.volume.grid.spacing_mm(), [1.0, 2.0, 3.0]);
    fs::write(&path, text.replace("spacings: 1 2 3\n", "data file: ../a.raw\nspacings: 1 2 3\n")).unwrap();
    assert!(matches!(read_image(&path), Err(ReadError::Unsupported { .. })));
}

/// Programs read these differently: a guess may mirror the patient.
#[test]
fn a_space_that_does_not_say_where_left_is_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.nrrd");
    for (space, known) in
        [("scanner-xyz", false), ("3D-right-handed", false), ("left-posterior-superior", true)]
    {
        let head = format!("NRRD0004\ntype: uchar\ndimension: 3\nspace: {space}\nsizes: 1 1 2\n");
        let text = head + "space directions: (1,0,0) (0,1,0) (0,0,1)\nencoding: raw\n\nab";
        fs::write(&path, text).unwrap();
        assert_eq!(read_image(&path).is_ok(), known, "{space}");
    }
}

#[test]
fn lengths_in_other_units_are_converted_and_that_is_said() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.nrrd");
    let read = |units: &str| {
        let head = "NRRD0004\ntype: uchar\ndimension: 3\nspace: right-anterior-superior\nsizes: 1 1 2\n";
        let place = "space directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (10,20,30)\n";
        fs::write(&path, format!("{head}{place}{units}encoding: raw\n\nab")).unwrap();
        let image = read_image(&path).unwrap();
        let affine = image.volume.grid.affine;
        (affine.spacing_mm(), affine.origin_mm(), image.findings)
    };
    let near = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    let plain = ([2.0, 3.0, 4.0], [10.0, 20.0, 30.0], Vec::new());
    for same in ["", "space units: \"mm\" \"mm\" \"mm\"\n", "space units: \"\" \"\" \"\"\n"] {
        assert_eq!(read(same), plain, "{same}");
    }
    for (unit, mm) in
        [("um", 1e-3), ("\u{b5}m", 1e-3), ("microns", 1e-3), ("m", 1e3), ("cm", 10.0), ("in", 25.4)]
    {
        let (sides, origin, findings) = read(&format!("space units: \"{unit}\" \"{unit}\" \"{unit}\"\n"));
        assert!(near(sides, plain.0.map(|v| v * mm)) && near(origin, plain.1.map(|v| v * mm)), "{unit}");
        assert_eq!(findings, [other_unit(unit)]);
    }
    let (sides, _, findings) = read("space units: \"cm\" \"mm\" \"um\"\n");
    assert!(near(sides, [20.0, 3.0, 4e-3]));
    assert_eq!(findings, [other_unit("cm, mm, um")]);
    let (sides, _, findings) = read("space units: \"pixel\" \"pixel\" \"pixel\"\n");
    assert_eq!(sides, plain.0);
    assert!(
        matches!(findings.as_slice(), [Finding { code: Code::OddHeader, message }] if message.contains("(pixel)"))
    );
    // NIfTI's unit stands in three bits.
    for (code, unit, mm) in [(1, "m", 1e3), (3, "um", 1e-3)] {
        let image = changed("one.nii", &[(123, &[code])]).unwrap();
        assert!(image.findings.contains(&other_unit(unit)));
        let plain = read_image(&folder().join("formats/one.nii")).unwrap().volume.grid.spacing_mm();
        let sides = image.volume.grid.spacing_mm();
        assert!(sides.iter().zip(plain).all(|(a, b)| (a - b * mm).abs() < 1e-9 * a), "{sides:?}");
    }
}

#[test]
fn names_tell_volumes_from_other_files() {
    for name in ["a.nii", "a.b.nii.gz", "a.NRRD", "a.nhdr", "a.mha", "a.mhd", "a.hdr"] {
        assert!(is_volume_name(name), "{name}");
    }
    for name in ["a.img", "a.raw", "a.zraw", "a.txt", "nii", "a.gz"] {
        assert!(!is_volume_name(name), "{name}");
    }
    assert_eq!(["a.b.nii.gz", "c.mha", "d.nii#3", "e"].map(stem), ["a.b", "c", "d", "e"]);
}

#[test]
fn numbers_that_lie_side_by_side_are_volumes_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let mha = "ObjectType = Image\nNDims = 3\nDimSize = 2 1 2\nElementNumberOfChannels = 3\nElementSpacing = 1 1 1\n\
               TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n";
    let nrrd = "NRRD0004\ntype: uchar\ndimension: 4\nspace: right-anterior-superior\nsizes: 3 2 1 2\n\
                kinds: RGB-color domain domain domain\nspace directions: none (1,0,0) (0,1,0) (0,0,1)\n\
                space origin: (0,0,0)\nencoding: raw\n\n";
    let memory = pdl_store::memory::MemoryLimit::new(1 << 20);
    let cases =
        [("a.mha", mha, "it has 3 frames"), ("a.nrrd", nrrd, "of the kind RGB-color, 3 numbers each")];
    for (name, header, why) in cases {
        let path = folder.path().join(name);
        fs::write(&path, [header.as_bytes(), &(0..12).collect::<Vec<u8>>()].concat()).unwrap();
        assert_eq!(pdl_io::volumes_in(&path, &memory.alone()).unwrap(), 3, "{name}");
        for component in 0..3_u8 {
            let image = read_image(&folder.path().join(format!("{name}#{component}"))).unwrap().volume;
            assert_eq!(image.grid.shape, [2, 1, 2], "{name}");
            assert_eq!(image.voxels, [0, 3, 6, 9].map(|first| f32::from(first + component)), "{name}");
        }
        let whole = read_image(&path).unwrap_err().to_string();
        assert!(whole.contains(why), "{whole}");
        assert!(read_image(&folder.path().join(format!("{name}#3"))).is_err());
    }
}

/// Why a file is refused.
fn refused(path: &Path, text: &str) -> String {
    fs::write(path, text).unwrap();
    read_image(path).unwrap_err().reason()
}

#[test]
fn metaimages_of_text_of_two_axes_or_without_an_origin_are_refused_as_such() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.mha");
    let usual = "NDims = 3\nBinaryData = True\nDimSize = 2 1 2\nElementSpacing = 1 1 1\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n\
                 Offset = 0 0 0\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n1 2 3 4";
    assert!(refused(&path, &usual.replace("True", "False")).contains("stored as text (BinaryData = False)"));
    let flat = usual
        .replace("NDims = 3", "NDims = 2")
        .replace("2 1 2\nElementSpacing = 1 1 1", "2 2\nElementSpacing = 1 1");
    assert!(refused(&path, &flat).contains("it has 2 axes"));
    assert!(refused(&path, &usual.replace("2 1 2", "2 1")).contains("NDims is 3, and DimSize has 2 numbers"));
    assert!(
        refused(&path, &usual.replace("Offset = 0 0", "Offset = 0 nan")).contains("origin is not finite")
    );
    fs::write(&path, usual.replace('\n', "\r\n")).unwrap();
    assert_eq!(read_image(&path).unwrap().volume.voxels, [49.0, 32.0, 50.0, 32.0]);
}

#[test]
fn vectors_of_nrrd_may_hold_blanks_and_what_contradicts_itself_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.nrrd");
    let usual = "NRRD0004\ntype: uchar\ndimension: 3\nspace: right-anterior-superior\nsizes: 1 1 2\n\
                 space directions: (2, 0, 0) (0,3 ,0) ( 0,0,4 )\nspace origin: (1, 2, 3)\nencoding: raw\n\nab";
    fs::write(&path, usual).unwrap();
    let affine = read_image(&path).unwrap().volume.grid.affine;
    assert_eq!((affine.spacing_mm(), affine.origin_mm()), ([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]));
    assert!(
        refused(&path, &usual.replace("n: 3", "n: 4")).contains("its dimension is 4, and it has 3 sizes")
    );
    assert!(refused(&path, &usual.replace("uchar", "short")).contains("does not say its byte order"));
    assert!(refused(&path, &usual.replace("(1, 2", "(nan, 2")).contains("origin is not finite"));
    let elsewhere = usual.replace("encoding: raw", "encoding: raw\ndata file: b.raw");
    assert!(refused(&path, &elsewhere).contains("the file of its voxels"));
}
