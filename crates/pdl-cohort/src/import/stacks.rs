//! Stacks of slices in a cohort: their spacing and axes are stated by the user, as the files have
//! none.
//!
//! The row of the cohort's table takes precedence over the parameters. Without a spacing a case is
//! rejected; without axes LPS is assumed, with a finding.

use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::{Image, Labels, ReadError, StackGeometry, Unread, stack};
use pdl_store::memory::MemoryShare;
use pdl_store::{StoreError, fault};
use pdl_volume::LabelReading;

use crate::CohortError;
use crate::discover::dicom_folder;
use crate::discover::stack_hint::{ASSUMED, StackHint};
use crate::discover::{DiscoveredCase, Layout};
use crate::invalid_option::InvalidOption;
use crate::parameters::IndexParameters;

impl Layout {
    /// Applies the parameters to the stacks of every case that its table does not describe.
    ///
    /// # Errors
    /// [`CohortError::InvalidOption`] if they are invalid, or the cohort has no stacks.
    pub(crate) fn state_stacks(&mut self, parameters: &IndexParameters) -> Result<(), CohortError> {
        let said = StackHint::of_parameters(parameters)?;
        let option = match said {
            StackHint { spacing_mm: Some(_), .. } => "stack-spacing",
            StackHint { axes: Some(_), .. } => "stack-axes",
            StackHint { spacing_mm: None, axes: None } => return Ok(()),
        };
        if !has_stacks(&self.cases)? {
            let problem = "no image or label map of this cohort is a stack of slices (a folder of PNG, TIFF or JPEG files of \
                           its own, or a TIFF file of pages)";
            return Err(InvalidOption::new(option, problem).into());
        }
        self.cases.iter_mut().for_each(|found| found.stacks = found.stacks.or(said));
        Ok(())
    }
}

/// Assumed size of pixels of 2-D images without a stated one, mm.
const PIXEL_MM: f64 = 1.0;

impl Layout {
    /// The assumed voxel size in mm if each stack without one is a 2-D image; the layout then has a
    /// finding. `None` if there are other stacks, or `parameters` state one.
    ///
    /// # Errors
    /// [`StoreError::Machine`].
    pub(crate) fn assume_pixel_size(
        &mut self,
        parameters: &IndexParameters,
    ) -> Result<Option<Vec<f64>>, StoreError> {
        let mut pictures = 0;
        let without = |found: &&DiscoveredCase| found.stacks.spacing_mm.is_none();
        for found in self.cases.iter().filter(without).filter(|_| parameters.stack_spacing.is_none()) {
            let failed = |source| StoreError::Machine { what: found.what(), path: None, source };
            for path in found.image.iter().chain(found.channels.values()).chain(&found.label) {
                match (stack::is_stack(path).map_err(failed)?, stack::is_picture(path).map_err(failed)?) {
                    (true, false) => return Ok(None),
                    (true, true) => pictures += 1,
                    _ => {}
                }
            }
        }
        if pictures == 0 {
            return Ok(None);
        }
        let message = format!(
            "2-D images of the cohort (PNG, JPEG, TIFF) state no pixel size: {PIXEL_MM} x {PIXEL_MM} mm was assumed \
             (--stack-spacing)"
        );
        self.findings.push(Finding::new(Code::PixelSizeAssumed, message));
        Ok(Some(vec![PIXEL_MM; 3]))
    }
}

/// Whether one of the cases has a stack.
///
/// # Errors
/// [`StoreError::Machine`].
pub(crate) fn has_stacks(cases: &[DiscoveredCase]) -> Result<bool, StoreError> {
    for found in cases {
        if found.has_stack()? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl DiscoveredCase {
    /// Whether its image or its label map is a stack.
    ///
    /// # Errors
    /// [`StoreError::Machine`].
    pub(crate) fn has_stack(&self) -> Result<bool, StoreError> {
        Ok(self.kinds()?.contains(&Some(true)))
    }

    /// Whether its image is a DICOM series.
    ///
    /// # Errors
    /// [`StoreError::Machine`].
    pub(crate) fn has_series(&self) -> Result<bool, StoreError> {
        let failed = |source| StoreError::Machine { what: self.what(), path: None, source };
        self.image.as_deref().map_or(Ok(false), dicom_folder::is_series).map_err(failed)
    }

    /// Whether its image and its label map are stacks; `None` for a missing one.
    fn kinds(&self) -> Result<[Option<bool>; 2], StoreError> {
        let kind = |path: &Option<PathBuf>| path.as_deref().map(stack::is_stack).transpose();
        let failed = |source| StoreError::Machine { what: self.what(), path: None, source };
        Ok([kind(&self.image).map_err(failed)?, kind(&self.label).map_err(failed)?])
    }

    /// Name in errors.
    pub(crate) fn what(&self) -> String {
        match self.case_id.as_str() {
            "" => "a case of the cohort".to_owned(), // before it has its id
            case_id => format!("case {case_id}"),
        }
    }

    /// Why its stacks cannot be used, known before one is read.
    ///
    /// # Errors
    /// [`StoreError::Machine`].
    pub(crate) fn refused_stack(&self) -> Result<Option<Finding>, StoreError> {
        let kinds = self.kinds()?;
        if !kinds.contains(&Some(true)) || self.has_series()? {
            return Ok(None);
        }
        if kinds.contains(&Some(false)) {
            let message = "one of its image and its label map is a stack of slices, which has no position, and the \
                           other is a volume: use two stacks or two volumes";
            return Ok(Some(Finding::new(Code::StackBesideVolume, message)));
        }
        if let Some(pictures) = self.pictures_of_one()? {
            let message = format!(
                "its image is one picture and its label a folder of {pictures}: expected one label map, in which each \
                 structure has a value of its own"
            );
            return Ok(Some(Finding::new(Code::SeveralFiles, message)));
        }
        let message = "a stack of slices has no spacing: state it in mm with --stack-spacing X,Y,Z (columns, rows, \
                       slices), or in a column stack_spacing of the cohort's table";
        Ok(self.stacks.spacing_mm.is_none().then(|| Finding::new(Code::NoStackSpacing, message)))
    }

    /// How many pictures are in the folder that is the label of a single picture.
    fn pictures_of_one(&self) -> Result<Option<usize>, StoreError> {
        let failed = |source| StoreError::Machine { what: self.what(), path: None, source };
        let (Some(image), Some(label)) = (self.image.as_deref(), self.label.as_deref()) else {
            return Ok(None);
        };
        let is_folder = fault::is_dir(label).map_err(failed)?;
        let [of_image, of_label] = [image, label].map(|path| stack::files_of(path).map(|files| files.len()));
        let (of_image, of_label) = (of_image.map_err(failed)?, of_label.map_err(failed)?);
        let is_film = stack::has_pages(image).map_err(failed)?;
        Ok((is_folder && of_image == 1 && !is_film && of_label > 1).then_some(of_label))
    }

    /// Finding if the axes of its stacks are assumed.
    ///
    /// # Errors
    /// [`StoreError::Machine`].
    pub(crate) fn assumed_axes(&self) -> Result<Option<Finding>, StoreError> {
        let message = format!(
            "the orientation of its slices is not stated: columns to the patient's left, rows to the back and slices \
             to the head were assumed. Check it, and state --stack-axes {ASSUMED} or the right one (or a column \
             stack_axes)"
        );
        let assumed = self.stacks.axes.is_none() && self.has_stack()?;
        Ok(assumed.then(|| Finding::new(Code::StackAxesAssumed, message)))
    }
}

impl DiscoveredCase {
    /// Finding if the slices of its image and its label map have other numbers: they are matched in
    /// order.
    ///
    /// # Errors
    /// [`StoreError::Machine`].
    pub(crate) fn slice_numbers_differ(&self) -> Result<Option<Finding>, StoreError> {
        let failed = |source| StoreError::Machine { what: self.what(), path: None, source };
        let (Some(image), Some(label)) = (&self.image, &self.label) else { return Ok(None) };
        let numbers = [image, label].map(|path| stack::slice_numbers(path));
        let [image, label] = numbers.map(|numbers| numbers.map_err(failed));
        let (Some([first, last]), Some([from, to])) = (image?, label?) else { return Ok(None) };
        // Different counts are a mismatch of shapes.
        let differ = first != from && last - first == to - from;
        let message = format!(
            "the slices of its image are numbered {first} to {last}, those of its label map {from} to {to}: they were matched in \
             order"
        );
        Ok(differ.then(|| Finding::new(Code::SliceNumbersDiffer, message)))
    }
}

/// Reads an image; a stack with the stated geometry.
pub(crate) fn read_image(path: &Path, said: StackHint, memory: &MemoryShare<'_>) -> Result<Image, Unread> {
    match geometry_of(path, said)? {
        Some(geometry) => pdl_io::read_image_stack_within(path, &geometry, memory).map_err(unread),
        None => pdl_io::try_image(path, memory),
    }
}

/// Reads a label map; a stack with the stated geometry, named segments under the file's own values.
pub(crate) fn read_labels(
    path: &Path,
    said: StackHint,
    reading: LabelReading,
    memory: &MemoryShare<'_>,
) -> Result<Labels, Unread> {
    match geometry_of(path, said)? {
        Some(geometry) => pdl_io::read_label_stack_within(path, &geometry, reading, memory).map_err(unread),
        None if pdl_io::segments_of(path, memory)?.is_some() => {
            let read = pdl_io::read_segments(path, &|segment| Some(segment.value), memory)?;
            let (map, parts, blake3, findings) = (read.map, read.parts, read.blake3, read.findings);
            Ok(Labels { map, parts, blake3, rounded: None, findings })
        }
        None => pdl_io::try_labels(path, reading, memory),
    }
}

/// The stated geometry of a stack; `None` for other files.
fn geometry_of(path: &Path, said: StackHint) -> Result<Option<StackGeometry>, Unread> {
    let Some(geometry) = said.geometry() else { return Ok(None) };
    let is_stack = stack::is_stack(path);
    let is_stack = is_stack.map_err(|source| unread(ReadError::Io { path: path.to_owned(), source }))?;
    Ok(is_stack.then_some(geometry))
}

fn unread(error: ReadError) -> Unread {
    Unread { error, files: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_states_lengths_and_axes_as_text() {
        let spacing = |text: &str| StackHint::of_texts(Some(text), None).map(|said| said.spacing_mm);
        for text in ["0.7,0.8,2.5", "0.7 0.8 2.5", "0.7, 0.8, 2.5", "0.7;0.8;2.5"] {
            assert_eq!(spacing(text), Ok(Some([0.7, 0.8, 2.5])), "{text}");
        }
        for text in ["0.7", "0.7,0.8", "1,1,1,1", "1,1,0", "1,1,-1", "1,1,inf", "1,1,NaN", "1,1,a", ""] {
            assert!(spacing(text).is_err_and(|error| error.contains("three lengths in mm")), "{text}");
        }
        assert!(StackHint::of_texts(None, Some("LPQ")).unwrap_err().contains("found 'LPQ'"));
        assert_eq!(StackHint::of_texts(None, None), Ok(StackHint::default()));
    }

    #[test]
    fn what_a_row_says_counts_before_the_parameters() {
        let row = StackHint { spacing_mm: Some([1.0; 3]), axes: None };
        let all = StackHint { spacing_mm: Some([2.0; 3]), axes: Some("RAS".parse().unwrap()) };
        assert_eq!(row.or(all), StackHint { spacing_mm: Some([1.0; 3]), axes: all.axes });
    }
}
