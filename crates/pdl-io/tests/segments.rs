//! Segmentations of 3-D Slicer: names, values and layers from the header, labels from the voxels.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::fs;
use std::path::PathBuf;

use pdl_io::{LabelSegment, ReadError, SegmentLabels, read_segments, segments_of};
use pdl_store::memory::MemoryLimit;

const SPACE: &str = "space: left-posterior-superior\nspace origin: (1,2,3)\nencoding: raw\n";
const PLAIN: &str = "sizes: 2 1 3\nspace directions: (2,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\n";
const LAYERS_FIRST: &str =
    "sizes: 2 2 1 3\nspace directions: none (2,0,0) (0,2,0) (0,0,3)\nkinds: list domain domain domain\n";
const LAYERS_LAST: &str =
    "sizes: 2 1 3 2\nspace directions: (2,0,0) (0,2,0) (0,0,3) none\nkinds: domain domain domain list\n";

/// A file of a test's own.
struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn file(axes: &str, pairs: &[u8], voxels: &[u8]) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.seg.nrrd");
    let dimension = axes.lines().next().unwrap().split_whitespace().count() - 1;
    let head =
        format!("NRRD0004\n# a comment: x:=y\ntype: unsigned char\ndimension: {dimension}\n{axes}{SPACE}");
    fs::write(&path, [head.as_bytes(), pairs, b"\n", voxels].concat()).unwrap();
    File { _folder: folder, path }
}

fn segments(file: &File) -> Result<Option<Vec<LabelSegment>>, String> {
    let read = segments_of(&file.path, &MemoryLimit::free().alone());
    read.map_err(|unread| unread.error.reason())
}

/// With labels in the order of the names' alphabet, from 1; those that begin with "_" are left out.
fn read(file: &File) -> Result<SegmentLabels, ReadError> {
    let mut names: Vec<String> =
        segments(file).unwrap_or_default().unwrap_or_default().into_iter().map(|s| s.name).collect();
    names.sort();
    let label = |segment: &LabelSegment| {
        let place = names.iter().position(|name| *name == segment.name)?;
        (!segment.name.starts_with('_')).then_some(place as u16 + 1)
    };
    read_segments(&file.path, &label, &MemoryLimit::free().alone()).map_err(|unread| unread.error)
}

#[test]
fn segments_have_the_names_and_values_of_the_header() {
    let pairs = "Segment0_Name:=tumour\nSegment0_LabelValue:=7\nSegment3_Name:=Hüfte \u{1b}links\nSegment3_LabelValue:=2\n\
                 Segment3_Layer:=0\nSegmentation_ReferenceImageExtentOffset:=0 0 0\n";
    let file = file(PLAIN, pairs.as_bytes(), &[0, 7, 2, 2, 9, 9]);
    let found = segments(&file).unwrap().unwrap();
    let told: Vec<(&str, u16, usize)> = found.iter().map(|s| (s.name.as_str(), s.value, s.layer)).collect();
    assert_eq!(told, [("tumour", 7, 0), ("Hüfte links", 2, 0)]);
    let labels = read(&file).unwrap();
    assert_eq!(labels.map.voxels, [0, 2, 1, 1, 0, 0]);
    assert_eq!(labels.map.grid.shape, [2, 1, 3]);
    assert_eq!(labels.map.grid.affine.origin_mm(), [-1.0, -2.0, 3.0]);
    let [unnamed] = labels.findings.as_slice() else { panic!("{:?}", labels.findings) };
    assert_eq!(unnamed.code.as_str(), "label-voxels-unnamed");
    assert!(unnamed.message.contains("9 (2 voxels)"), "{}", unnamed.message);
    assert!(labels.overlaps.is_empty());
}

#[test]
fn layers_may_stand_before_or_behind_the_axes_of_space_and_overlap() {
    let pairs = b"Segment0_Name:=liver\nSegment0_LabelValue:=1\nSegment0_Layer:=0\nSegment1_Name:=tumour\n\
                  Segment1_LabelValue:=1\nSegment1_Layer:=1\nSegment2_Name:=_cyst\nSegment2_LabelValue:=2\nSegment2_Layer:=1\n";
    let (liver, tumour) = ([1, 1, 1, 0, 0, 1], [0, 1, 2, 1, 0, 0]);
    let first: Vec<u8> = liver.iter().zip(tumour).flat_map(|(a, b)| [*a, b]).collect();
    let last = [liver, tumour].concat();
    for (axes, voxels) in [(LAYERS_FIRST, first), (LAYERS_LAST, last)] {
        let labels = read(&file(axes, pairs, &voxels)).unwrap();
        // By the alphabet _cyst is 1 and left out, the liver 2 and the tumour 3.
        assert_eq!(labels.map.voxels, [2, 3, 2, 3, 0, 2], "{axes}");
        assert_eq!(labels.map.grid.shape, [2, 1, 3]);
        assert_eq!(labels.map.grid.spacing_mm(), [2.0, 2.0, 3.0]);
        assert_eq!(labels.overlaps.into_iter().collect::<Vec<_>>(), [((2, 3), 1)]);
        assert_eq!(labels.findings, []);
    }
}

#[test]
fn what_older_files_leave_open_is_what_they_meant() {
    // A layer of ones for each segment.
    let pairs = b"Segment0_ID:=a\nSegment1_ID:=b\nSegment1_Name:=bone\n";
    let labels = read(&file(LAYERS_LAST, pairs, &[1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])).unwrap();
    assert_eq!(labels.map.voxels, [1, 0, 2, 0, 0, 0]);
    assert_eq!(labels.findings.len(), 1, "a segment that is called by its ID: {:?}", labels.findings);
    // A single segment.
    let labels = read(&file(PLAIN, b"Segment0_Name:=bone\n", &[0, 1, 1, 0, 0, 0])).unwrap();
    assert_eq!(labels.map.voxels, [0, 1, 1, 0, 0, 0]);
    // Names in Latin-1.
    let file = file(PLAIN, b"Segment0_Name:=H\xfcfte\n", &[0; 6]);
    assert_eq!(segments(&file).unwrap().unwrap()[0].name, "Hüfte");
}

#[test]
fn what_names_no_segments_is_none() {
    for pairs in
        [&b""[..], b"Segmentation_MasterRepresentation:=Binary labelmap\n", b"SegmentX_Name:=liver\n"]
    {
        assert_eq!(segments(&file(PLAIN, pairs, &[0; 6])), Ok(None));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    assert!(matches!(segments_of(&path, &MemoryLimit::free().alone()), Ok(None)), "only NRRD is looked at");
}

#[test]
fn segments_that_cannot_be_told_apart_are_refused_with_the_cause() {
    for (axes, pairs, cause) in [
        (
            PLAIN,
            "Segment0_Name:=a\nSegment0_LabelValue:=1\nSegment1_Name:=b\nSegment1_LabelValue:=1\n",
            "'a' and 'b' have one",
        ),
        (
            PLAIN,
            "Segment0_Name:=a\nSegment1_Name:=b\nSegment1_LabelValue:=1\n",
            "has no label value of its segment 'a'",
        ),
        (PLAIN, "Segment0_Name:=a\nSegment0_LabelValue:=0\n", "the label value 0, which is background"),
        (PLAIN, "Segment0_Name:=a\nSegment0_LabelValue:=70000\n", "label value of a segment is '70000'"),
        (
            LAYERS_FIRST,
            "Segment0_Name:=a\nSegment0_LabelValue:=1\nSegment0_Layer:=2\n",
            "in layer 2, of 2 from 0",
        ),
    ] {
        let file = file(axes, pairs.as_bytes(), &[0; 12]);
        assert!(segments(&file).is_err_and(|error| error.contains(cause)), "{cause}: {:?}", segments(&file));
        assert!(read(&file).is_err_and(|error| error.reason().contains(cause)), "{cause}");
    }
}

#[test]
fn voxels_that_are_no_labels_or_missing_are_refused() {
    let pairs = b"Segment0_Name:=a\nSegment0_LabelValue:=1\n";
    let cut = file(LAYERS_FIRST, pairs, &[1; 11]);
    assert!(matches!(read(&cut), Err(ReadError::Truncated { .. })));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.seg.nrrd");
    let head =
        format!("NRRD0004\ntype: float\nendian: little\ndimension: 3\n{PLAIN}{SPACE}Segment0_Name:=a\n\n");
    let voxels: Vec<u8> = [0.0_f32, 1.0, 0.5, 1.0, 0.0, -1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(&path, [head.as_bytes(), &voxels].concat()).unwrap();
    let read =
        read_segments(&path, &|_| Some(1), &MemoryLimit::free().alone()).map_err(|unread| unread.error);
    assert!(read.is_err_and(|error| error.reason().contains("one is 0.5 (2 such voxels)")));
}
