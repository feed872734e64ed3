//! What segmentations and structure sets say of their labels: which frames they were drawn on, how
//! they lie, what is background, and in which characters names are written.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

mod objects;

use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use pdl_dicom::{Mask, ReadOptions, Scan, Segmentation, SeriesImage, StructureSet, read_series};
use pdl_store::memory::MemoryLimit;

use objects::{Element, grey_pixels, group, item, scanned, sequence, text, word, write};

/// Columns, rows and slices of the image, which begins at (10, 20, 0), voxels of 3 x 2 x 5 mm.
const SHAPE: [usize; 3] = [3, 2, 4];
const SIZE: [u16; 2] = [3, 2];

/// A CT series in a file for each slice.
fn series(folder: &Path) {
    for number in 0..SHAPE[2] {
        let mut elements = grey_pixels(SIZE, [16, 16], false);
        elements.extend([
            text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
            text(tags::SOP_INSTANCE_UID, VR::UI, &format!("1.2.{number}")),
            text(tags::SERIES_INSTANCE_UID, VR::UI, "1.1"),
            text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.9"),
            text(tags::MODALITY, VR::CS, "CT"),
            text(tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("10\\20\\{}", 5 * number)),
            text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
            text(tags::PIXEL_SPACING, VR::DS, "2\\3"),
            text(tags::SLICE_THICKNESS, VR::DS, "5"),
            DataElement::new(
                tags::PIXEL_DATA,
                VR::OW,
                PrimitiveValue::U16(vec![7; SHAPE[0] * SHAPE[1]].into()),
            ),
        ]);
        write(item(elements), &folder.join(format!("{number}.dcm")));
    }
}

/// How the frames of a segmentation lie: orientation, spacing and size, and the position of each.
struct Frames<'a> {
    orientation: &'a str,
    spacing: &'a str,
    size: [usize; 2],
    positions: &'a [&'a str],
}

fn segmentation(folder: &Path, frames: &Frames<'_>, pixels: Vec<u8>, further: Vec<Element>) {
    let frame = |position: &&str| {
        let place = text(tags::IMAGE_POSITION_PATIENT, VR::DS, position);
        let segment = word(tags::REFERENCED_SEGMENT_NUMBER, 1);
        item(vec![
            group(tags::PLANE_POSITION_SEQUENCE, vec![place]),
            group(tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![segment]),
        ])
    };
    let shared = item(vec![
        group(
            tags::PLANE_ORIENTATION_SEQUENCE,
            vec![text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, frames.orientation)],
        ),
        group(tags::PIXEL_MEASURES_SEQUENCE, vec![text(tags::PIXEL_SPACING, VR::DS, frames.spacing)]),
    ]);
    let mut elements = grey_pixels(frames.size.map(|side| side as u16), [8, 8], false);
    elements.extend([
        text(tags::SOP_CLASS_UID, VR::UI, uids::SEGMENTATION_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.3"),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.9"),
        text(tags::SEGMENTATION_TYPE, VR::CS, "BINARY"),
        text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.positions.len().to_string()),
        sequence(tags::SEGMENT_SEQUENCE, vec![segment(1, "liver", None)]),
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]),
        sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames.positions.iter().map(frame).collect()),
        DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels)),
    ]);
    elements.extend(further); // which win
    write(item(elements), &folder.join("seg.dcm"));
}

fn segment(number: u16, name: &str, code: Option<&str>) -> InMemDicomObject {
    let mut elements = vec![word(tags::SEGMENT_NUMBER, number), text(tags::SEGMENT_LABEL, VR::LO, name)];
    elements.extend(code.map(|code| {
        let coded =
            vec![text(tags::CODE_VALUE, VR::SH, code), text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM")];
        group(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, coded)
    }));
    item(elements)
}

const AXIAL: Frames<'static> = Frames {
    orientation: "1\\0\\0\\0\\1\\0",
    spacing: "2\\3",
    size: [3, 2],
    positions: &["10\\20\\0", "10\\20\\5", "10\\20\\10", "10\\20\\15"],
};

fn image(scan: &Scan, number: usize) -> SeriesImage {
    read_series(&scan.series[number], ReadOptions::default()).unwrap()
}

fn codes(mask: &Mask) -> Vec<&'static str> {
    mask.findings.iter().map(|finding| finding.code.as_str()).collect()
}

/// The flags of all voxels of the image, x fastest.
fn flags(mask: &Mask) -> Vec<u8> {
    let empty = vec![false; SHAPE[0] * SHAPE[1]];
    let slices = (0..SHAPE[2]).map(|slice| mask.slices.get(&slice).unwrap_or(&empty));
    slices.flatten().map(|flag| u8::from(*flag)).collect()
}

/// A mask that no flip and no permutation of its axes leaves as it is.
fn wanted() -> Vec<u8> {
    (0..SHAPE[0] * SHAPE[1] * SHAPE[2])
        .map(|voxel| u8::from([0, 1, 3, 6, 13, 20, 23].contains(&voxel)))
        .collect()
}

/// What a segmentation stores of `wanted`, when its frames, rows and columns are these voxels.
fn stored(frames: usize, [columns, rows]: [usize; 2], voxel: impl Fn([usize; 3]) -> [usize; 3]) -> Vec<u8> {
    let at = |[x, y, z]: [usize; 3]| wanted()[x + SHAPE[0] * (y + SHAPE[1] * z)];
    let pixels = (0..frames).flat_map(|f| (0..rows).flat_map(move |r| (0..columns).map(move |c| [c, r, f])));
    pixels.map(|pixel| at(voxel(pixel))).collect()
}

#[test]
fn frames_that_are_turned_over_or_lie_across_the_slices_are_placed() {
    let sagittal = ["10\\20\\0", "13\\20\\0", "16\\20\\0"];
    for (name, frames, pixels) in [
        ("as the image", AXIAL, stored(4, [3, 2], |[c, r, f]| [c, r, f])),
        (
            "rows and columns backwards",
            Frames {
                orientation: "-1\\0\\0\\0\\-1\\0",
                positions: &["16\\22\\0", "16\\22\\5", "16\\22\\10", "16\\22\\15"],
                ..AXIAL
            },
            stored(4, [3, 2], |[c, r, f]| [2 - c, 1 - r, f]),
        ),
        (
            "rows for columns",
            Frames { orientation: "0\\1\\0\\1\\0\\0", spacing: "3\\2", size: [2, 3], ..AXIAL },
            stored(4, [2, 3], |[c, r, f]| [r, c, f]),
        ),
        (
            "sagittal frames, upwards",
            Frames { orientation: "0\\1\\0\\0\\0\\1", spacing: "5\\2", size: [2, 4], positions: &sagittal },
            stored(3, [2, 4], |[c, r, f]| [f, c, r]),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        series(folder.path());
        segmentation(folder.path(), &frames, pixels, Vec::new());
        let scan = scanned(folder.path());
        let image = image(&scan, 0);
        let segments = Segmentation::read(&scan.labels[0].path).unwrap();
        let mask = segments.mask(1, &image.stack).unwrap();
        assert_eq!(flags(&mask), wanted(), "{name}");
        assert_eq!(codes(&mask), [""; 0], "{name}");
    }
}

#[test]
fn frames_on_another_grid_are_refused_and_those_beyond_the_image_are_cut() {
    let mask = |frames: &Frames<'_>, pixels: Vec<u8>| {
        let folder = tempfile::tempdir().unwrap();
        series(folder.path());
        segmentation(folder.path(), frames, pixels, Vec::new());
        let scan = scanned(folder.path());
        let image = image(&scan, 0);
        Segmentation::read(&scan.labels[0].path).unwrap().mask(1, &image.stack)
    };
    for frames in [
        Frames { spacing: "2\\2", ..AXIAL },
        Frames { orientation: "0.8\\0.6\\0\\-0.6\\0.8\\0", ..AXIAL },
        Frames { positions: &["11\\20\\0"], ..AXIAL },
        Frames { positions: &["10\\20\\2"], ..AXIAL },
    ] {
        let error = mask(&frames, vec![1; 6 * frames.positions.len()]).unwrap_err().reason();
        assert!(error.contains("do not fit the image"), "{error}");
    }
    // A frame above the image, and one between its slices that holds nothing.
    let frames = Frames { positions: &["10\\20\\15", "10\\20\\20", "10\\20\\7"], ..AXIAL };
    let found = mask(&frames, [vec![1; 12], vec![0; 6]].concat()).unwrap();
    assert_eq!(found.counts().into_iter().collect::<Vec<_>>(), [(3, 6)]);
    assert_eq!(codes(&found), ["label-beyond-image"]);
}

#[test]
fn the_background_of_a_label_map_is_no_segment_and_undescribed_values_are_told() {
    let names = |padding: Option<u16>, segments: Vec<InMemDicomObject>, pixels: Vec<u8>| {
        let folder = tempfile::tempdir().unwrap();
        series(folder.path());
        let mut further = vec![
            text(tags::SEGMENTATION_TYPE, VR::CS, "LABELMAP"),
            sequence(tags::SEGMENT_SEQUENCE, segments),
        ];
        further.extend(padding.map(|value| word(tags::PIXEL_PADDING_VALUE, value)));
        segmentation(folder.path(), &AXIAL, pixels, further);
        let scan = scanned(folder.path());
        let object = Segmentation::read(&scan.labels[0].path).unwrap();
        let stack = image(&scan, 0).stack;
        let count = |number: u16| object.mask(number, &stack).unwrap().count();
        let counts: Vec<(u16, usize)> = object.segments.iter().map(|s| (s.number, count(s.number))).collect();
        (scan.labels[0].names.clone(), counts, object.undescribed().unwrap().map(|finding| finding.message))
    };
    let pixels = [vec![3; 10], vec![1; 6], vec![7; 8]].concat();
    let background = || segment(3, "rest", None);
    let (liver, spleen) = (segment(1, "liver", None), segment(7, "spleen", None));
    let two = (vec!["liver".to_owned(), "spleen".to_owned()], vec![(1, 6), (7, 8)], None);
    assert_eq!(names(Some(3), vec![background(), liver.clone(), spleen.clone()], pixels.clone()), two);
    let coded = segment(3, "rest", Some("125040"));
    assert_eq!(names(None, vec![coded, liver.clone(), spleen.clone()], pixels.clone()), two);
    let (found, counts, told) = names(None, vec![liver.clone(), spleen], pixels.clone());
    assert_eq!((found, counts), (two.0, two.1));
    assert!(told.unwrap().contains("3 (10 pixels)"));
    // A segment may be numbered 0 where another value is the background.
    let zero = segment(0, "spleen", None);
    let pixels = pixels.into_iter().map(|value| if value == 7 { 0 } else { value }).collect();
    assert_eq!(names(Some(3), vec![zero, liver], pixels).1, [(0, 8), (1, 6)]);
}

#[test]
fn fractions_of_half_and_more_are_inside_and_told() {
    let folder = tempfile::tempdir().unwrap();
    series(folder.path());
    let further =
        vec![text(tags::SEGMENTATION_TYPE, VR::CS, "FRACTIONAL"), word(tags::MAXIMUM_FRACTIONAL_VALUE, 200)];
    let pixels = [vec![0, 1, 99, 100, 150, 200], vec![0; 18]].concat();
    segmentation(folder.path(), &AXIAL, pixels, further);
    let scan = scanned(folder.path());
    let mask = Segmentation::read(&scan.labels[0].path).unwrap().mask(1, &image(&scan, 0).stack).unwrap();
    assert_eq!(flags(&mask)[..6], [0, 0, 0, 1, 1, 1]);
    assert_eq!(codes(&mask), ["fractional-segment"]);
    assert!(
        mask.findings[0].message.contains("4 of its pixels") && mask.findings[0].message.contains("3 pixels")
    );
}

/// A multi-frame CT of two temporal positions at the same places.
fn two_phases(folder: &Path) {
    let frame = |number: usize| {
        let phase = DataElement::new(
            tags::TEMPORAL_POSITION_INDEX,
            VR::UL,
            dicom_value!(U32, [(number / SHAPE[2]) as u32 + 1]),
        );
        let place = format!("10\\20\\{}", 5 * (number % SHAPE[2]));
        item(vec![
            group(tags::PLANE_POSITION_SEQUENCE, vec![text(tags::IMAGE_POSITION_PATIENT, VR::DS, &place)]),
            group(tags::FRAME_CONTENT_SEQUENCE, vec![phase]),
        ])
    };
    let shared = item(vec![
        group(
            tags::PLANE_ORIENTATION_SEQUENCE,
            vec![text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0")],
        ),
        group(
            tags::PIXEL_MEASURES_SEQUENCE,
            vec![text(tags::PIXEL_SPACING, VR::DS, "2\\3"), text(tags::SLICE_THICKNESS, VR::DS, "5")],
        ),
    ]);
    let frames = 2 * SHAPE[2];
    let values: Vec<u16> = (0..frames * SHAPE[0] * SHAPE[1]).map(|voxel| voxel as u16).collect();
    let mut elements = grey_pixels(SIZE, [16, 16], false);
    elements.extend([
        text(tags::SOP_CLASS_UID, VR::UI, uids::ENHANCED_CT_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.1"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "1.1"),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.9"),
        text(tags::MODALITY, VR::CS, "CT"),
        text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.to_string()),
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]),
        sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, (0..frames).map(frame).collect()),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(values.into())),
    ]);
    write(item(elements), &folder.join("enhanced.dcm"));
}

/// A structure's name, and its contours: the height of each, and the frame that it names.
type Drawn<'a> = (&'a str, &'a [(u16, Option<u16>)]);

/// A structure set of squares: for each structure its name and its contours, by height and the
/// frame that they name.
fn structure_set(folder: &Path, name: &str, structures: &[Drawn<'_>], further: Vec<Element>) {
    let contour = |(height, frame): &(u16, Option<u16>)| {
        let points = format!("9\\19\\{height}\\12\\19\\{height}\\12\\21\\{height}\\9\\21\\{height}");
        let mut elements = vec![
            text(tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, "CLOSED_PLANAR"),
            text(tags::CONTOUR_DATA, VR::DS, &points),
        ];
        elements.extend(frame.map(|frame| {
            let named = vec![
                text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, "1.2.1"),
                text(tags::REFERENCED_FRAME_NUMBER, VR::IS, &frame.to_string()),
            ];
            group(tags::CONTOUR_IMAGE_SEQUENCE, named)
        }));
        item(elements)
    };
    let number = |place: usize| text(tags::ROI_NUMBER, VR::IS, &(place + 1).to_string());
    let roi = |(place, (name, _)): (usize, &Drawn<'_>)| {
        item(vec![
            number(place),
            text(tags::ROI_NAME, VR::LO, name),
            text(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, "1.9"),
        ])
    };
    let drawn = |(place, (_, contours)): (usize, &Drawn<'_>)| {
        item(vec![
            text(tags::REFERENCED_ROI_NUMBER, VR::IS, &(place + 1).to_string()),
            sequence(tags::CONTOUR_SEQUENCE, contours.iter().map(contour).collect()),
        ])
    };
    let mut elements = vec![
        text(tags::SOP_CLASS_UID, VR::UI, uids::RT_STRUCTURE_SET_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.4"),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.9"),
        sequence(tags::STRUCTURE_SET_ROI_SEQUENCE, structures.iter().enumerate().map(roi).collect()),
        sequence(tags::ROI_CONTOUR_SEQUENCE, structures.iter().enumerate().map(drawn).collect()),
    ];
    elements.extend(further);
    write(item(elements), &folder.join(name));
}

/// The slices that each structure has on a volume.
fn slices(scan: &Scan, volume: usize) -> Vec<(String, Vec<usize>)> {
    let (labels, _) = scan.labels_of_series();
    let images = scan.images_of_series(&labels);
    let limit = MemoryLimit::free();
    let path = &scan.labels[labels[volume][0]].path;
    let set = StructureSet::read_of_volume(path, &images[volume], &limit.alone()).unwrap();
    let stack = image(scan, volume).stack;
    let slices = |region: &pdl_dicom::Region| region.mask(&stack).unwrap().slices.into_keys().collect();
    set.regions.iter().map(|region| (region.name.clone(), slices(region))).collect()
}

#[test]
fn contours_belong_to_the_volume_whose_frames_they_name() {
    let folder = tempfile::tempdir().unwrap();
    two_phases(folder.path());
    structure_set(folder.path(), "rs.dcm", &[("liver", &[(5, Some(2)), (10, Some(3))])], Vec::new());
    let scan = scanned(folder.path());
    assert_eq!(scan.series.len(), 2);
    assert_eq!(scan.labels_of_series(), (vec![vec![0], vec![]], vec![]), "the second phase is not named");

    let both: &[Drawn<'_>] =
        &[("liver", &[(0, Some(1)), (5, Some(6))]), ("spine", &[(10, Some(7)), (15, None)])];
    structure_set(folder.path(), "rs.dcm", both, Vec::new());
    let scan = scanned(folder.path());
    assert_eq!(scan.labels_of_series().0, [[0], [0]]);
    let named =
        |liver: Vec<usize>, spine: Vec<usize>| [("liver".to_owned(), liver), ("spine".to_owned(), spine)];
    assert_eq!(slices(&scan, 0), named(vec![0], vec![3]));
    assert_eq!(slices(&scan, 1), named(vec![1], vec![2, 3]), "a contour that names nothing is of both");
}

#[test]
fn names_are_shown_in_their_script_and_steer_no_terminal() {
    for (declared, bytes, shown) in [
        ("GB18030", &b"\xb8\xce\xd4\xe0"[..], "肝脏"),
        ("\\ISO 2022 IR 58", b"\x1b$)A\xb8\xce\xd4\xe0", "肝脏"),
        ("\\ISO 2022 IR 87", b"\x1b$B4N\x1b(B", "肝"),
        ("", b"\x1b[31mliver", "\u{fffd}31mliver"),
        ("ISO_IR 192", "Fígado".as_bytes(), "Fígado"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        series(folder.path());
        let further = vec![text(tags::SPECIFIC_CHARACTER_SET, VR::CS, declared)];
        structure_set(folder.path(), "rs.dcm", &[("twelve bytes", &[(5, None)])], further);
        // Written as they are, whatever the writer makes of characters.
        let path = folder.path().join("rs.dcm");
        let mut file = std::fs::read(&path).unwrap();
        let at = file.windows(12).position(|part| part == b"twelve bytes").unwrap();
        let mut name = bytes.to_vec();
        name.resize(12, b' ');
        file[at..at + 12].copy_from_slice(&name);
        std::fs::write(&path, file).unwrap();
        assert_eq!(scanned(folder.path()).labels[0].names, [shown], "{declared}");
    }
}

#[test]
fn a_single_frame_may_be_described_by_the_shared_groups_alone() {
    let folder = tempfile::tempdir().unwrap();
    series(folder.path());
    let place = text(tags::IMAGE_POSITION_PATIENT, VR::DS, "10\\20\\5");
    let axes = text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, AXIAL.orientation);
    let shared = item(vec![
        group(tags::PLANE_POSITION_SEQUENCE, vec![place]),
        group(tags::PLANE_ORIENTATION_SEQUENCE, vec![axes]),
        group(tags::PIXEL_MEASURES_SEQUENCE, vec![text(tags::PIXEL_SPACING, VR::DS, AXIAL.spacing)]),
        group(tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![word(tags::REFERENCED_SEGMENT_NUMBER, 1)]),
    ]);
    let frames = Frames { positions: &["10\\20\\5"], ..AXIAL };
    let further = vec![
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]),
        sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, Vec::new()),
    ];
    segmentation(folder.path(), &frames, vec![1, 0, 1, 1, 0, 0], further);
    let scan = scanned(folder.path());
    let mask = Segmentation::read(&scan.labels[0].path).unwrap().mask(1, &image(&scan, 0).stack).unwrap();
    assert_eq!(mask.counts().into_iter().collect::<Vec<_>>(), [(1, 3)]);
}
