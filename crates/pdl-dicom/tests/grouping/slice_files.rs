//! Writes series of small slices and says what they are read as.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use pdl_dicom::{ReadOptions, Scan, SeriesImage, read_series};
use tempfile::TempDir;

use crate::objects::{self, grey_pixels, put_all, write};

const COLUMNS: u16 = 4;

const ROWS: u16 = 3;

/// One file: its place, its first pixel (the others grow from it), and what else its header says.
#[derive(Clone)]
pub struct Slice {
    pub place: [f64; 3],
    pub first_pixel: u16,
    pub size: [u16; 2],
    pub elements: Vec<(Tag, VR, String)>,
}

pub fn slice(number: usize, height: f64, first_pixel: u16) -> Slice {
    let size = [COLUMNS, ROWS];
    let slice = Slice { place: [10.0, 20.0, height], first_pixel, size, elements: Vec::new() };
    slice
        .with(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE)
        .with(tags::SOP_INSTANCE_UID, VR::UI, format!("1.2.3.{number}"))
        .with(tags::STUDY_INSTANCE_UID, VR::UI, "1.2")
        .with(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.1")
        .with(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.9")
        .with(tags::MODALITY, VR::CS, "CT")
        .with(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL")
        .with(tags::INSTANCE_NUMBER, VR::IS, number.to_string())
        .with(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0")
        .with(tags::PIXEL_SPACING, VR::DS, "2\\3")
        .with(tags::SLICE_THICKNESS, VR::DS, "3")
}

impl Slice {
    /// Sets an attribute; an empty text removes it.
    pub fn with(mut self, tag: Tag, vr: VR, value: impl Into<String>) -> Self {
        self.elements.retain(|(own, ..)| *own != tag);
        self.elements.push((tag, vr, value.into()));
        self
    }

    pub fn acquisition(self, number: usize) -> Self {
        self.with(tags::ACQUISITION_NUMBER, VR::IS, number.to_string())
    }

    pub fn mr(self) -> Self {
        self.with(tags::MODALITY, VR::CS, "MR")
            .with(tags::SOP_CLASS_UID, VR::UI, uids::MR_IMAGE_STORAGE)
            .with(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\M\\ND")
    }

    fn write(&self, folder: &TempDir, name: &str) {
        let mut object = InMemDicomObject::new_empty();
        for (tag, vr, value) in self.elements.iter().filter(|(.., value)| !value.is_empty()) {
            object.put_str(*tag, *vr, value.clone());
        }
        let [x, y, z] = self.place;
        object.put_str(tags::IMAGE_POSITION_PATIENT, VR::DS, format!("{x}\\{y}\\{z}"));
        let [columns, rows] = self.size;
        put_all(&mut object, grey_pixels(self.size, [16, 16], true));
        let pixels: Vec<u16> = (0..columns * rows).map(|pixel| self.first_pixel + pixel).collect();
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())));
        write(object, &folder.path().join(name));
    }
}

pub fn written(slices: &[Slice]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (number, slice) in slices.iter().enumerate() {
        slice.write(&folder, &format!("{number:03}.dcm"));
    }
    folder
}

pub fn scanned(slices: &[Slice]) -> (TempDir, Scan) {
    let folder = written(slices);
    let scan = objects::scanned(folder.path());
    (folder, scan)
}

/// For every volume the first pixels of its slices in their order, or why it is refused.
pub fn volumes(slices: &[Slice]) -> Vec<Result<Vec<f32>, String>> {
    let (_folder, scan) = scanned(slices);
    let first_pixels = |image: SeriesImage| {
        let [columns, rows, _] = image.volume.grid.shape;
        image.volume.voxels.iter().copied().step_by(columns * rows).collect()
    };
    let read = |series| read_series(series, ReadOptions::default());
    scan.series.iter().map(|series| read(series).map(first_pixels).map_err(|error| error.reason())).collect()
}

/// Findings of all volumes, as "code: message".
pub fn findings(slices: &[Slice]) -> Vec<String> {
    let (_folder, scan) = scanned(slices);
    let of_image = |series| read_series(series, ReadOptions::default()).map(|image| image.findings);
    let all = scan.series.iter().flat_map(|series| of_image(series).unwrap_or_default());
    all.map(|finding| format!("{}: {}", finding.code, finding.message)).collect()
}

pub fn told(slices: &[Slice], code: &str) -> Vec<String> {
    findings(slices).into_iter().filter(|finding| finding.starts_with(code)).collect()
}

/// First pixels of a stack that are 10 apart.
pub fn tens(first: u16, count: u16) -> Result<Vec<f32>, String> {
    Ok((0..count).map(|slice| f32::from(first + 10 * slice)).collect())
}

pub fn refusal(slices: &[Slice], words: &[&str]) {
    let volumes = volumes(slices);
    let [Err(reason)] = &volumes[..] else { panic!("not refused: {volumes:?}") };
    for word in words {
        assert!(reason.contains(word), "{word} is not in: {reason}");
    }
}

/// A stack of `count` slices, 3 mm apart, from `height` on.
pub fn stack(first_number: usize, height: f64, first_pixel: u16, count: u16) -> Vec<Slice> {
    let at = |n: u16| slice(first_number + usize::from(n), height + 3.0 * f64::from(n), first_pixel + 10 * n);
    (0..count).map(at).collect()
}

/// The same, changed.
pub fn each(slices: Vec<Slice>, change: impl Fn(usize, Slice) -> Slice) -> Vec<Slice> {
    slices.into_iter().enumerate().map(|(number, slice)| change(number, slice)).collect()
}

/// Two phases, the second of which lies this much higher.
pub fn shifted(shift: f64) -> Vec<Slice> {
    [stack(1, 0.0, 100, 6), stack(7, shift, 1000, 6)].concat()
}

/// A stack of 12 slices, 3 mm apart, of which every second one was acquired first.
pub fn in_two_passes() -> Vec<Slice> {
    each(stack(1, 0.0, 100, 12), |n, slice| {
        let time = if n % 2 == 0 { "101500" } else { "101700" };
        slice.mr().with(tags::ACQUISITION_TIME, VR::TM, time)
    })
}

/// Four positions with three phases each; `change` is given position and phase.
pub fn cine(change: impl Fn(usize, usize, Slice) -> Slice) -> Vec<Slice> {
    let place = |n: usize| (n / 3, n % 3);
    (0..12)
        .map(|n| {
            let (position, phase) = place(n);
            let first_pixel = (100 + 10 * position + 1000 * phase) as u16;
            let slice = slice(n + 1, 8.0 * position as f64, first_pixel);
            change(position, phase, slice.mr().with(tags::SLICE_THICKNESS, VR::DS, "8"))
        })
        .collect()
}
