//! Files that declare what they do not hold: refused with the cause, and without taking the memory.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod counting;

use std::fs;
use std::io::Write;

use pdl_dicom::{Scan, scan};

use counting::{measured, turn};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Writes a file with preamble, meta group and this data set, scans it and gives what came of it,
/// and the most memory that it took, bytes.
fn scanned(syntax: &str, data: &[u8]) -> (Scan, usize) {
    let mut meta = Vec::new();
    let mut uid = syntax.as_bytes().to_vec();
    if !uid.len().is_multiple_of(2) {
        uid.push(0);
    }
    meta.extend([0x02, 0x00, 0x10, 0x00, b'U', b'I', uid.len() as u8, 0]);
    meta.extend(uid);
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend([0x02, 0x00, 0x00, 0x00, b'U', b'L', 4, 0]);
    file.extend((meta.len() as u32).to_le_bytes());
    file.extend(meta);
    file.extend(data);
    scanned_file(&file)
}

fn scanned_file(bytes: &[u8]) -> (Scan, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forged");
    fs::write(&path, bytes).unwrap();
    let _turn = turn();
    // Once beforehand, for what is made on first use.
    scan(std::slice::from_ref(&path), &|| ()).unwrap();
    measured(|| scan(&[path], &|| ()).unwrap())
}

/// Scans; what comes of the file must be this, and must have taken less than 4 times its size and
/// 128 KiB.
#[track_caller]
fn refused(syntax: &str, data: &[u8], reason: &str) {
    let (scan, most) = scanned(syntax, data);
    let reasons: Vec<String> = scan.skipped.iter().map(|aside| aside.cause.words()).collect();
    assert_eq!(reasons, [reason]);
    assert!(most < 4 * data.len() + (128 << 10), "{most} bytes for {}", data.len());
}

fn explicit(group: u16, element: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(group.to_le_bytes());
    bytes.extend(element.to_le_bytes());
    bytes.extend(vr);
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(value);
    bytes
}

#[test]
fn a_length_beyond_the_file_is_refused_before_memory_is_taken() {
    let too_long =
        |tag: &str| format!("damaged DICOM (its element {tag} declares 1610612736 bytes, 4 are left)");
    let long = 0x6000_0000_u32;
    let mut data = vec![0x08, 0x00, 0x18, 0x00, b'U', b'N', 0, 0];
    data.extend(long.to_le_bytes());
    data.extend(*b"1.2.");
    refused(EXPLICIT, &data, &too_long("(0008,0018)"));
    let mut deflated = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflated.write_all(&data).unwrap();
    refused(DEFLATED, &deflated.finish().unwrap(), &too_long("(0008,0018)"));

    let mut data = vec![0x08, 0x00, 0x18, 0x00];
    data.extend(long.to_le_bytes());
    data.extend(*b"1.2.");
    refused(IMPLICIT, &data, &too_long("(0008,0018)"));
    // A sequence, and an item in it.
    let mut data = vec![0x08, 0x00, 0x40, 0x11];
    data.extend(long.to_le_bytes());
    data.extend([0; 4]);
    refused(IMPLICIT, &data, &too_long("(0008,1140)"));
    let mut data = vec![0x08, 0x00, 0x40, 0x11, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0x00, 0xe0];
    data.extend(long.to_le_bytes());
    data.extend([0; 4]);
    refused(IMPLICIT, &data, &too_long("(FFFE,E000)"));

    let mut data = vec![0x00, 0x08, 0x00, 0x18, b'U', b'N', 0, 0];
    data.extend(long.to_be_bytes());
    data.extend(*b"1.2.");
    refused(BIG_ENDIAN, &data, &too_long("(0008,0018)"));
}

#[test]
fn a_meta_group_that_breaks_off_is_refused() {
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend([0x02, 0x00, 0x02, 0x00, b'O', b'B', 0, 0, 0xff, 0xff, 0xff, 0x7f]);
    let (scan, most) = scanned_file(&file);
    assert_eq!(scan.skipped[0].cause.words(), "damaged DICOM (its file meta group is truncated)");
    assert!(most < 128 << 10, "{most} bytes");
}

#[test]
fn sequences_inside_sequences_end_somewhere() {
    let level =
        [0x08, 0x00, 0x40, 0x11, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff];
    refused(IMPLICIT, &level.repeat(100_000), "damaged DICOM (its sequences are nested more than 128 deep)");
}

#[test]
fn more_items_than_a_file_of_its_size_holds_are_refused() {
    // Items of one empty element each take some 90 times their size in memory.
    let mut data = vec![0x08, 0x00, 0x40, 0x11, 0xff, 0xff, 0xff, 0xff];
    data.extend([0xfe, 0xff, 0x00, 0xe0, 8, 0, 0, 0, 0x08, 0x00, 0x18, 0x00, 0, 0, 0, 0].repeat(400_000));
    let (scan, most) = scanned(IMPLICIT, &data);
    assert_eq!(
        scan.skipped[0].cause.words(),
        "damaged DICOM (it declares more items than a file of its size can hold)"
    );
    assert!(most < 16 * data.len() + (80 << 20), "{most} bytes");
}

#[test]
fn many_small_texts_in_one_take_no_more_than_one() {
    // 65,535 backslashes divide 65,536 empty texts, each of which would be an object of its own.
    let data: Vec<u8> = (0..64).flat_map(|i| explicit(0x0009, 0x1000 + i, b"LO", &[b'\\'; 65534])).collect();
    refused(EXPLICIT, &data, "no image");
}

#[test]
fn a_sequence_of_unknown_representation_is_passed_over() {
    // UN of undefined length holds implicit elements (PS3.5, 6.2.2), here with a sequence inside.
    let mut data = explicit(0x0008, 0x0060, b"CS", b"SR");
    data.extend([0x09, 0x00, 0x01, 0x10, b'U', b'N', 0, 0, 0xff, 0xff, 0xff, 0xff]);
    data.extend([0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]);
    data.extend([
        0x08, 0x00, 0x15, 0x11, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0x00, 0xe0, 4, 0, 0, 0, 1, 2, 3, 4,
    ]);
    data.extend([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
    data.extend([0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
    data.extend(explicit(0x0028, 0x0010, b"US", &[1, 0]));
    let (scan, _) = scanned(EXPLICIT, &data);
    assert_eq!(scan.skipped[0].cause.words(), "report");
    // Wherever inside the sequence the file breaks off.
    for cut in 23..data.len() - 18 {
        let (scan, _) = scanned(EXPLICIT, &data[..cut]);
        assert_eq!(scan.skipped.len(), 1, "{cut}");
        assert_ne!(scan.skipped[0].cause.words(), "report", "{cut}");
    }
}

#[test]
fn a_bare_data_set_is_read_in_either_byte_order() {
    let little = [explicit(0x0008, 0x0016, b"UI", b""), explicit(0x0008, 0x0060, b"CS", b"SR")].concat();
    assert_eq!(scanned_file(&little).0.skipped[0].cause.words(), "report");
    let big = [
        &[0x00, 0x08, 0x00, 0x16, b'U', b'I', 0, 0][..],
        &[0x00, 0x08, 0x00, 0x60, b'C', b'S', 0, 2, b'S', b'R'],
    ];
    assert_eq!(scanned_file(&big.concat()).0.skipped[0].cause.words(), "report");
}
