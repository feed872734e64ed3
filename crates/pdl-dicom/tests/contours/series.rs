//! Small CT series, and structures to draw on them.

use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use pdl_dicom::{Contour, Mask, ReadOptions, Region, SeriesImage, read_series};

use crate::objects::{grey_pixels, put_all, scanned, write};

/// FrameOfReferenceUID of all series.
pub(crate) const FRAME: &str = "1.7";

/// A series that is yet to be written.
pub(crate) struct Slices {
    /// Columns and rows.
    pub size: [u16; 2],
    /// Between columns and between rows, mm.
    pub spacing: [f64; 2],
    pub thickness: f64,
    pub orientation: [f64; 6],
    /// ImagePositionPatient of each slice.
    pub positions: Vec<[f64; 3]>,
}

/// Slices of 12 x 10 pixels of 2 mm at these heights, the first pixel's centre at (0, 0).
pub(crate) fn at(heights: &[f64]) -> Slices {
    Slices {
        size: [12, 10],
        spacing: [2.0, 2.0],
        thickness: 3.0,
        orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        positions: heights.iter().map(|z| [0.0, 0.0, *z]).collect(),
    }
}

fn decimals(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.6}")).collect::<Vec<_>>().join("\\")
}

impl Slices {
    /// Writes the series and reads it.
    pub(crate) fn read(&self) -> SeriesImage {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path(), "1.1");
        let scan = scanned(folder.path());
        assert_eq!(scan.series.len(), 1);
        read_series(&scan.series[0], ReadOptions::default()).unwrap()
    }

    /// Writes the series under this UID; its slices have UIDs that begin with it.
    pub(crate) fn write(&self, folder: &Path, series: &str) {
        for (number, position) in self.positions.iter().enumerate() {
            let mut object = self.slice(*position);
            object.put_str(tags::SOP_INSTANCE_UID, VR::UI, format!("{series}.{number}"));
            object.put_str(tags::SERIES_INSTANCE_UID, VR::UI, series);
            write(object, &folder.join(format!("{series}.{number}")));
        }
    }

    fn slice(&self, position: [f64; 3]) -> InMemDicomObject {
        let mut object = InMemDicomObject::new_empty();
        for (tag, vr, value) in [
            (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE.to_owned()),
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, FRAME.to_owned()),
            (tags::MODALITY, VR::CS, "CT".to_owned()),
            (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL".to_owned()),
            (tags::IMAGE_POSITION_PATIENT, VR::DS, decimals(&position)),
            (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, decimals(&self.orientation)),
            (tags::PIXEL_SPACING, VR::DS, decimals(&[self.spacing[1], self.spacing[0]])),
            (tags::SLICE_THICKNESS, VR::DS, decimals(&[self.thickness])),
            (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2".to_owned()),
        ] {
            object.put_str(tag, vr, value);
        }
        let [columns, rows] = self.size;
        put_all(&mut object, grey_pixels(self.size, [16, 16], true));
        let pixels = (0..columns * rows).map(|pixel| pixel % 50).collect::<Vec<u16>>();
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())));
        object
    }
}

/// A structure of these contours in the frame of reference of the series.
pub(crate) fn region(contours: Vec<Vec<[f64; 3]>>) -> Region {
    let contour = |points| Contour { points, exclusive: false };
    Region {
        number: Some(1),
        name: "tumour".to_owned(),
        frame_of_reference: FRAME.to_owned(),
        contours: contours.into_iter().map(contour).collect(),
        ..Region::default()
    }
}

/// The square around the pixels `columns` and `rows` of [`at`], half a pixel outside of their
/// centres.
pub(crate) fn square(columns: [usize; 2], rows: [usize; 2], height: f64) -> Vec<[f64; 3]> {
    let [x0, y0] = [columns[0], rows[0]].map(|low| 2.0 * low as f64 - 1.0);
    let [x1, y1] = [columns[1], rows[1]].map(|high| 2.0 * high as f64 + 1.0);
    [[x0, y0], [x1, y0], [x1, y1], [x0, y1]].map(|[x, y]| [x, y, height]).to_vec()
}

/// Pixels of each slice that has any.
pub(crate) fn counts(mask: &Mask) -> Vec<(usize, usize)> {
    mask.counts().into_iter().collect()
}

pub(crate) fn findings(mask: &Mask) -> Vec<String> {
    mask.findings.iter().map(|finding| format!("{}: {}", finding.code, finding.message)).collect()
}
