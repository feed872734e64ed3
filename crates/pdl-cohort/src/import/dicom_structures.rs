//! Structures of DICOM label files on the slices of their image.

use pdl_dicom::{
    DicomError, LabelFile, LabelKind, Mask, MaskedName, Segmentation, SeriesImage, StructureSet, VolumeImages,
};
use pdl_findings::{Code, Finding};
use pdl_store::memory::MemoryShare;

/// A structure of a label file.
pub(crate) struct StructureMask<'a> {
    /// Name with people's names masked.
    pub name: String,
    /// Name as stored in the file; never shown.
    pub original: String,
    /// Whether it has a contour or a frame.
    pub has_shape: bool,
    /// Computes its pixels on the slices of the image.
    pub mask: Box<dyn Fn() -> Result<Mask, DicomError> + 'a>,
}

/// The structures of a label file on the slices of an image; adds findings about the file to
/// `findings`.
///
/// # Errors
/// [`DicomError`] if the file cannot be read.
pub(crate) fn structures_of<'a>(
    label: &'a LabelFile,
    images: &VolumeImages,
    image: &'a SeriesImage,
    (while_read, memory): (&MemoryShare<'_>, &'a MemoryShare<'a>),
    findings: &mut Vec<Finding>,
) -> Result<Vec<StructureMask<'a>>, DicomError> {
    let take = move |bytes| {
        let no_memory = |source| DicomError::Memory { path: label.path.clone(), source };
        memory.take(bytes).map_err(no_memory)
    };
    Ok(match label.kind {
        LabelKind::StructureSet => {
            let set = StructureSet::read_of_volume(&label.path, images, while_read)
                .map_err(|error| error.of_labels("structure set"))?;
            findings.extend(set.findings);
            let drawn = |mut region: pdl_dicom::Region| -> StructureMask<'a> {
                let MaskedName { text, masked } = label.shown(&region.original);
                (region.name, region.masked) = (text, masked);
                let (name, original) = (region.name.clone(), region.original.clone());
                let has_shape = !region.contours.is_empty() || !region.skipped.is_empty();
                let mask = move || {
                    take(region.mask_bytes(&image.stack))?;
                    region.mask(&image.stack)
                };
                StructureMask { name, original, has_shape, mask: Box::new(mask) }
            };
            set.regions.into_iter().map(drawn).collect()
        }
        LabelKind::Segmentation => {
            let mut object = Segmentation::read_of_volume(&label.path, images, while_read)
                .map_err(|error| error.of_labels("segmentation"))?;
            findings.extend(object.undescribed().map_err(|error| error.of_labels("segmentation"))?);
            if object.is_foreign {
                findings.extend(in_other_frame(&label.names));
            }
            for segment in &mut object.segments {
                let MaskedName { text, masked } = label.shown(&segment.original);
                (segment.name, segment.masked) = (text, masked);
            }
            let object = std::sync::Arc::new(object);
            let drawn = |segment: &pdl_dicom::Segment| -> StructureMask<'a> {
                let (object, number) = (object.clone(), segment.number);
                let mask = move || {
                    take(object.mask_bytes(number, &image.stack))?;
                    object.mask(number, &image.stack)
                };
                // A segment without a pixel is annotated and absent.
                let (name, original) = (segment.name.clone(), segment.original.clone());
                StructureMask { name, original, has_shape: false, mask: Box::new(mask) }
            };
            object.segments.iter().map(drawn).collect()
        }
    })
}

/// Finding about segments whose coordinates are in another frame of reference than the image.
fn in_other_frame(names: &[String]) -> Option<Finding> {
    let message = format!(
        "segments name its images, and are placed by their own positions in another frame of reference: {}",
        names.join(", ")
    );
    (!names.is_empty()).then(|| Finding::new(Code::OtherFrameOfReference, message))
}
