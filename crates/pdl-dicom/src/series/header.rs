//! The header of one file, frame by frame.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, InMemDicomObject};
use pdl_store::file_state::FileState;

use crate::DicomError;
use crate::file::functional_groups::Groups;
use crate::file::{exactly, items, number, text};
use crate::pixels::TruncatedPixels;
use crate::pixels::pet::PetHeader;
use crate::series::concatenation::ConcatenationPart;
use crate::series::frame_attributes::FrameAttributes;
use crate::series::geometry::Plane;
use crate::series::mosaic::{self, Mosaic};
use pdl_findings::{Code, Finding, SkipReason};

/// Defined terms of RescaleType (0028,1054) for other than Hounsfield units, and what they stand
/// for.
const RESCALE_TYPES: [(&str, &str); 6] = [
    ("OD", "optical densities"),
    ("MGML", "milligrams per millilitre"),
    ("Z_EFF", "effective atomic numbers"),
    ("ED", "electron densities"),
    ("EDW", "normalised electron densities"),
    ("PCT", "percentages"),
];

/// The frames of one file and whose they are.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub path: PathBuf,
    /// Before it was read.
    pub state: FileState,
    pub patient_id: String,
    pub study_uid: String,
    pub series_uid: String,
    /// SeriesNumber, as it is written.
    pub series_number: String,
    pub frame_of_reference: String,
    pub modality: String,
    pub frames: Vec<Frame>,
    /// Set when the file cannot hold the pixels of its frames.
    pub shortfall: Option<TruncatedPixels>,
    pub findings: Vec<Finding>,
    /// Its place among the files of one object.
    pub concatenation: Option<ConcatenationPart>,
}

/// One plane of pixels.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// The file, by its number in the series.
    pub file: usize,
    /// The frame of the file, from 0.
    pub number: u32,
    /// Column and row of its first pixel inside the stored frame: not (0, 0) for a tile of a
    /// mosaic.
    pub offset: [usize; 2],
    /// Columns and rows of the stored frame.
    pub stored_size: [usize; 2],
    pub plane: Plane,
    /// Thickness, mm, if stated.
    pub thickness: Option<f64>,
    /// RescaleSlope and RescaleIntercept.
    pub rescale: Option<[f64; 2]>,
    /// RealWorldValueSlope and RealWorldValueIntercept.
    pub real_world: Option<[f64; 2]>,
    /// PET attributes of its file.
    pub pet: Option<Arc<PetHeader>>,
    /// SOPInstanceUID of its object.
    pub instance: String,
    /// Place in the order of its series (InstanceNumber, and the number of the frame in its
    /// object).
    pub order: Option<f64>,
    /// SpacingBetweenSlices, mm, if stated.
    pub stated_step: Option<f64>,
    /// Whether its object calls itself a mosaic and does not say of what.
    pub unread_mosaic: bool,
    /// Attributes that may distinguish it from frames of other volumes.
    pub attributes: FrameAttributes,
}

/// The role of a file.
pub(crate) enum Role {
    /// Frames of a volume.
    Image,
    /// RTSTRUCT.
    StructureSet,
    /// DICOM SEG.
    Segmentation,
    /// A photograph of a screen, a scanned form and the like.
    SecondaryCapture,
    /// Not used, with the reason.
    Skipped(SkipReason),
}

/// The role of a file; without a SOP class, by its modality and content.
pub(crate) fn role(object: &InMemDicomObject) -> Role {
    let class = text(object, tags::SOP_CLASS_UID);
    let modality = text(object, tags::MODALITY);
    match class.as_str() {
        uids::RT_STRUCTURE_SET_STORAGE => return Role::StructureSet,
        uids::SEGMENTATION_STORAGE | uids::LABEL_MAP_SEGMENTATION_STORAGE => return Role::Segmentation,
        _ if class.starts_with("1.2.840.10008.5.1.4.1.1.7") => return Role::SecondaryCapture,
        _ if class.starts_with("1.2.840.10008.5.1.4.1.1.88") => return Role::Skipped(SkipReason::Report),
        _ => {}
    }
    match modality.as_str() {
        "RTSTRUCT" => return Role::StructureSet,
        "SEG" if is_image_of_segments(object, &class) => return Role::Skipped(SkipReason::MaskImage),
        "SEG" => return Role::Segmentation,
        "SR" => return Role::Skipped(SkipReason::Report),
        _ => {}
    }
    if object.get(tags::DIRECTORY_RECORD_SEQUENCE).is_some() {
        return Role::Skipped(SkipReason::Dicomdir);
    }
    if object.get(tags::ROWS).is_none() || object.get(tags::COLUMNS).is_none() {
        return Role::Skipped(SkipReason::NoImage);
    }
    if text(object, tags::IMAGE_TYPE).split('\\').any(|part| part.trim() == "LOCALIZER") {
        return Role::Skipped(SkipReason::Scout);
    }
    match modality.as_str() {
        "CT" | "MR" | "PT" => Role::Image,
        _ => Role::Skipped(SkipReason::OtherModality),
    }
}

/// Whether an object of modality SEG is an image of another SOP class, without segments.
fn is_image_of_segments(object: &InMemDicomObject, class: &str) -> bool {
    !class.is_empty() && object.get(tags::SEGMENT_SEQUENCE).is_none() && object.get(tags::ROWS).is_some()
}

impl Header {
    /// Study, patient and series of the file, without frames.
    pub(crate) fn identity(path: &Path, object: &InMemDicomObject, state: FileState) -> Self {
        Self {
            path: path.to_owned(),
            state,
            patient_id: text(object, tags::PATIENT_ID),
            study_uid: text(object, tags::STUDY_INSTANCE_UID),
            series_uid: text(object, tags::SERIES_INSTANCE_UID),
            series_number: text(object, tags::SERIES_NUMBER),
            frame_of_reference: text(object, tags::FRAME_OF_REFERENCE_UID),
            modality: text(object, tags::MODALITY),
            frames: Vec::new(),
            shortfall: None,
            findings: Vec::new(),
            concatenation: None,
        }
    }

    /// The frames of an image.
    ///
    /// # Errors
    /// [`DicomError::Unsupported`] when its place in the patient is not stated.
    pub(crate) fn of_image(
        path: &Path,
        object: &DefaultDicomObject,
        state: FileState,
    ) -> Result<Self, DicomError> {
        let mut header = Self::identity(path, object, state);
        if text(object, tags::SOP_CLASS_UID).is_empty() {
            let message =
                format!("its files have no SOP class; read as {} images by their modality", header.modality);
            header.findings.push(Finding::new(Code::NoSopClass, message));
        }
        if text(object, tags::BURNED_IN_ANNOTATION) == "YES" {
            let message = "its files state that text is burned into the pixels (BurnedInAnnotation YES): they may show \
                           names";
            header.findings.push(Finding::new(Code::BurnedInAnnotation, message));
        }
        header.concatenation = ConcatenationPart::of(object);
        header.shortfall = TruncatedPixels::of(path, object, state.size);
        let mut frames = frames_of(path, object)?;
        match header.modality.as_str() {
            "PT" => add_pet(object, &mut frames),
            "CT" => header.findings.extend(not_hounsfield(object, &frames)),
            _ => (),
        }
        header.frames = match mosaic::find(object) {
            Some(mosaic) => tiles(path, &frames, &mosaic)?,
            None => frames,
        };
        Ok(header)
    }
}

/// The finding about a CT whose header shows that its values are not Hounsfield units.
fn not_hounsfield(object: &InMemDicomObject, frames: &[Frame]) -> Option<Finding> {
    let known = rescale_type(object);
    let message = match RESCALE_TYPES.iter().find(|(term, _)| *term == known) {
        Some((term, what)) => {
            format!("its header says that its values are {what} (RescaleType {term}), not Hounsfield units")
        }
        None => {
            let unsigned = number(object, tags::PIXEL_REPRESENTATION) == Some(0.0);
            let raised = |frame: &Frame| {
                frame.rescale.is_none_or(|[slope, intercept]| slope >= 0.0 && intercept >= 0.0)
            };
            let lowest = "its header gives its values neither a sign nor an offset: none can be below 0, where the HU of air, \
                          lung and fat are";
            let turned = frames.iter().find_map(|frame| frame.rescale.filter(|[slope, _]| *slope < 0.0));
            match turned {
                Some([slope, _]) => format!(
                    "its header multiplies its values by {slope} (RescaleSlope), so that dense tissue has the lowest ones"
                ),
                None => (unsigned && frames.iter().all(raised)).then(|| lowest.to_owned())?,
            }
        }
    };
    Some(Finding::new(Code::NotHounsfield, message))
}

/// RescaleType of the frames, else of the object; empty where it is not stated.
fn rescale_type(object: &InMemDicomObject) -> String {
    let of_groups = |groups: &InMemDicomObject| {
        let item = items(groups, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE).first()?;
        Some(text(item, tags::RESCALE_TYPE)).filter(|kind| !kind.is_empty())
    };
    let group = |tag| items(object, tag).first().and_then(of_groups);
    group(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
        .or_else(|| group(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE))
        .unwrap_or_else(|| text(object, tags::RESCALE_TYPE))
}

/// Adds what an object says of PET values to each of its frames.
fn add_pet(object: &InMemDicomObject, frames: &mut [Frame]) {
    let pet = Arc::new(PetHeader::of(object));
    let nothing = InMemDicomObject::new_empty();
    let shared = items(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first().unwrap_or(&nothing);
    let per_frame = items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    for frame in frames {
        frame.pet = Some(match per_frame.get(frame.number as usize) {
            Some(own) => Arc::new(pet.of_frame(&Groups { frame: own, shared, object })),
            None => pet.clone(),
        });
    }
}

/// More than an object has frames.
const FRAMES_OF_AN_INSTANCE: f64 = 4_294_967_296.0;

/// All frames of an object, functional groups included.
pub(crate) fn frames_of(path: &Path, object: &InMemDicomObject) -> Result<Vec<Frame>, DicomError> {
    frames_where(path, object, |_| Some(None))
}

/// The frames of an object for which `wanted` is given their number and returns something: the
/// plane on which one lies that does not state its own, if that is known.
///
/// # Errors
/// As [`frames_of`], for the frames that are wanted.
pub(crate) fn frames_where(
    path: &Path,
    object: &InMemDicomObject,
    wanted: impl Fn(usize) -> Option<Option<Plane>>,
) -> Result<Vec<Frame>, DicomError> {
    if object.get(tags::TOTAL_PIXEL_MATRIX_COLUMNS).is_some() {
        let problem =
            "its frames are tiles of a slide (whole slide imaging), which are no slices of a volume";
        return Err(DicomError::unsupported(path, problem));
    }
    let nothing = InMemDicomObject::new_empty();
    let shared = items(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first().unwrap_or(&nothing);
    let per_frame = items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    if per_frame.is_empty() {
        let frames = number(object, tags::NUMBER_OF_FRAMES).unwrap_or(1.0);
        if frames > 1.0 {
            let problem = "several frames without functional groups: their places are not stated";
            return Err(DicomError::unsupported(path, problem));
        }
        let of = |known| frame(path, 0, Groups { frame: object, shared, object }, known);
        return wanted(0).map(of).into_iter().collect();
    }
    let Some(declared) = number(object, tags::NUMBER_OF_FRAMES) else {
        let problem = format!("it does not state its number of frames, and describes {}", per_frame.len());
        return Err(DicomError::damaged(path, problem));
    };
    if declared != per_frame.len() as f64 {
        let problem = format!("it declares {declared} frames and describes {}", per_frame.len());
        return Err(DicomError::damaged(path, problem));
    }
    let of = |(own, n): (&InMemDicomObject, u32)| {
        Some(frame(path, n, Groups { frame: own, shared, object }, wanted(n as usize)?))
    };
    per_frame.iter().zip(0..).filter_map(of).collect()
}

/// A frame; `known` is the plane on which it lies where it does not state that itself.
fn frame(
    path: &Path,
    number_in_file: u32,
    groups: Groups<'_>,
    known: Option<Plane>,
) -> Result<Frame, DicomError> {
    let plane = plane(path, &groups, known)?;
    let real_world = groups.find(tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE, |o| {
        let slope =
            number(o, tags::REAL_WORLD_VALUE_SLOPE).filter(|slope| slope.is_finite() && *slope != 0.0);
        slope.map(|slope| [slope, number(o, tags::REAL_WORLD_VALUE_INTERCEPT).unwrap_or(0.0)])
    });
    if let Some(problem) = plane.problem() {
        return Err(DicomError::damaged(path, problem));
    }
    Ok(Frame {
        file: 0,
        number: number_in_file,
        offset: [0, 0],
        stored_size: plane.size,
        plane,
        thickness: groups.find(tags::PIXEL_MEASURES_SEQUENCE, |o| number(o, tags::SLICE_THICKNESS)),
        rescale: rescale(&groups),
        real_world,
        pet: None,
        instance: instance(path, groups.object),
        order: number(groups.object, tags::INSTANCE_NUMBER)
            .map(|instance| instance * FRAMES_OF_AN_INSTANCE + f64::from(number_in_file)),
        stated_step: groups
            .find(tags::PIXEL_MEASURES_SEQUENCE, |o| number(o, tags::SPACING_BETWEEN_SLICES))
            .map(f64::abs),
        unread_mosaic: mosaic::is_named(groups.object),
        attributes: FrameAttributes::read(&groups),
    })
}

/// The plane of a frame; what it does not state is taken from `known`.
fn plane(path: &Path, groups: &Groups<'_>, known: Option<Plane>) -> Result<Plane, DicomError> {
    let missing = |what: &str| DicomError::unsupported(path, format!("its {what} is not stated"));
    let unplaced = |what: &str, count: &str, (sequence, tag)| match groups.text(sequence, tag) {
        None => missing(what),
        Some(_) => DicomError::damaged(path, format!("its {what} is stated, but not as {count} numbers")),
    };
    let side = |tag| number(groups.object, tag).filter(|n| *n >= 1.0).map(|n| n as usize);
    let columns = side(tags::COLUMNS).ok_or_else(|| missing("number of columns"))?;
    let rows = side(tags::ROWS).ok_or_else(|| missing("number of rows"))?;
    // Pixels of another image cannot be those of a frame of another size.
    let known = known.filter(|known| known.size == [columns, rows]);
    let position = groups.find(tags::PLANE_POSITION_SEQUENCE, |o| exactly(o, tags::IMAGE_POSITION_PATIENT));
    let orientation =
        groups.find(tags::PLANE_ORIENTATION_SEQUENCE, |o| exactly::<6>(o, tags::IMAGE_ORIENTATION_PATIENT));
    let spacing = groups.find(tags::PIXEL_MEASURES_SEQUENCE, |o| exactly::<2>(o, tags::PIXEL_SPACING));
    let directions = orientation.map(|o| ([o[0], o[1], o[2]], [o[3], o[4], o[5]]));
    let directions = directions.or_else(|| known.map(|known| (known.along_row, known.along_column)));
    let (along_row, along_column) = directions.ok_or_else(|| {
        let attribute = (tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT);
        unplaced("orientation (ImageOrientationPatient)", "six", attribute)
    })?;
    let steps = spacing.map(|[between_rows, between_columns]| [between_columns, between_rows]);
    let spacing = steps.or_else(|| known.map(|known| known.spacing)).ok_or_else(|| {
        let attribute = (tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING);
        unplaced("pixel spacing (PixelSpacing)", "two", attribute)
    })?;
    let position = position.or_else(|| known.map(|known| known.position)).ok_or_else(|| {
        let attribute = (tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT);
        unplaced("position (ImagePositionPatient)", "three", attribute)
    })?;
    Ok(Plane { position, along_row, along_column, spacing, size: [columns, rows] })
}

/// RescaleSlope and RescaleIntercept of a frame, if one is stated; NaN where it is stated, but not
/// as a number.
fn rescale(groups: &Groups<'_>) -> Option<[f64; 2]> {
    groups.find(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, |o| {
        let of = |tag| number(o, tag).or_else(|| (!text(o, tag).is_empty()).then_some(f64::NAN));
        let (slope, intercept) = (of(tags::RESCALE_SLOPE), of(tags::RESCALE_INTERCEPT));
        (slope.is_some() || intercept.is_some()).then(|| [slope.unwrap_or(1.0), intercept.unwrap_or(0.0)])
    })
}

/// UID, or its path if it has none.
fn instance(path: &Path, object: &InMemDicomObject) -> String {
    let uid = text(object, tags::SOP_INSTANCE_UID);
    if uid.is_empty() { path.to_string_lossy().into_owned() } else { uid }
}

/// The slices of a mosaic, each a frame of its own.
fn tiles(path: &Path, frames: &[Frame], mosaic: &Mosaic) -> Result<Vec<Frame>, DicomError> {
    let [whole] = frames else {
        return Err(DicomError::unsupported(path, "a mosaic of several frames"));
    };
    let tiles = mosaic.tiles(&whole.plane);
    let tiles =
        tiles.ok_or_else(|| DicomError::damaged(path, "its mosaic does not divide into its slices"))?;
    Ok(tiles
        .into_iter()
        .map(|(offset, plane)| Frame { offset, plane, unread_mosaic: false, ..whole.clone() })
        .collect())
}
