//! The fragments of compressed pixels, frame by frame (DICOM PS3.5, A.4).

use std::borrow::Cow;
use std::ops::Range;

use dicom_core::value::{InMemFragment, Value};
use dicom_dictionary_std::tags;
use dicom_encoding::adapters::{PixelDataObject, RawPixelData};
use dicom_object::DefaultDicomObject;

use crate::pixels::codestream;

/// Why fragments cannot be assigned to frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FragmentError {
    /// The pixels are not stored in fragments.
    #[error("its pixels are not stored as its transfer syntax states")]
    NotEncapsulated,
    /// Fewer fragments than frames.
    #[error("it holds fewer compressed frames than it declares")]
    TooFew,
    /// More fragments than frames, and no table of the first fragments.
    #[error(
        "it holds {fragments} fragments of compressed pixels for {frames} frames, and neither an offset table nor the \
         fragments themselves show where each frame begins"
    )]
    Unassigned { fragments: usize, frames: usize },
}

/// The fragments of every frame: by count where there are as many, else by the offset table, basic
/// or extended, else by where streams begin.
pub(crate) fn of_frames(
    object: &DefaultDicomObject,
    frames: u32,
) -> Result<Vec<Range<usize>>, FragmentError> {
    let fragments = fragments(object).ok_or(FragmentError::NotEncapsulated)?;
    let frames = frames as usize;
    if fragments.len() < frames {
        return Err(FragmentError::TooFew);
    }
    let starts = match (fragments.len() == frames, frames) {
        (true, _) => Some((0..frames).collect()),
        (false, 1) => Some(vec![0]),
        _ => by_offsets(fragments, &offsets(object), frames).or_else(|| by_streams(fragments, frames)),
    };
    let starts = starts.ok_or(FragmentError::Unassigned { fragments: fragments.len(), frames })?;
    let ends = starts.iter().skip(1).copied().chain([fragments.len()]);
    Ok(starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect())
}

/// The bytes of a frame: without a copy where they are one fragment.
pub(crate) fn frame<'a>(object: &'a DefaultDicomObject, range: &Range<usize>) -> Option<Cow<'a, [u8]>> {
    let own = fragments(object)?.get(range.clone())?;
    Some(match own {
        [one] => Cow::Borrowed(one.as_slice()),
        several => Cow::Owned(several.concat()),
    })
}

/// All fragments except empty ones at the end.
fn fragments(object: &DefaultDicomObject) -> Option<&[InMemFragment]> {
    let Value::PixelSequence(sequence) = object.get(tags::PIXEL_DATA)?.value() else { return None };
    let all = sequence.fragments();
    let used = all.iter().rposition(|fragment| !fragment.is_empty()).map_or(0, |last| last + 1);
    all.get(..used)
}

/// Offsets of frames, in bytes from the first fragment's item; empty without an offset table.
fn offsets(object: &DefaultDicomObject) -> Vec<u64> {
    let basic = match object.get(tags::PIXEL_DATA).map(|element| element.value()) {
        Some(Value::PixelSequence(sequence)) => sequence.offset_table(),
        _ => &[],
    };
    if !basic.is_empty() {
        return basic.iter().map(|offset| u64::from(*offset)).collect();
    }
    let extended = object.get(tags::EXTENDED_OFFSET_TABLE).and_then(|element| element.to_bytes().ok());
    let words = extended.iter().flat_map(|bytes| bytes.chunks_exact(8));
    words.filter_map(|word| word.first_chunk().map(|word| u64::from_le_bytes(*word))).collect()
}

/// Bytes of an item's tag and length.
const ITEM_HEADER: u64 = 8;

/// The first fragment of every frame as a table has it; `None` if it does not fit the fragments.
fn by_offsets(fragments: &[InMemFragment], offsets: &[u64], frames: usize) -> Option<Vec<usize>> {
    let mut place = 0;
    let places: Vec<u64> = fragments
        .iter()
        .map(|fragment| {
            let start = place;
            place += fragment.len() as u64 + ITEM_HEADER;
            start
        })
        .collect();
    let starts: Vec<usize> =
        offsets.iter().map(|offset| places.binary_search(offset).ok()).collect::<Option<_>>()?;
    let ascend = starts.windows(2).all(|pair| pair[0] < pair[1]);
    (starts.len() == frames && starts.first() == Some(&0) && ascend).then_some(starts)
}

/// The fragments that begin a stream, when there are as many as frames.
fn by_streams(fragments: &[InMemFragment], frames: usize) -> Option<Vec<usize>> {
    let begins = |number: &usize| codestream::begins(&fragments[*number]);
    let starts: Vec<usize> = (0..fragments.len()).filter(begins).collect();
    (starts.len() == frames && starts.first() == Some(&0)).then_some(starts)
}

/// An object as codecs want it: with one frame, in one fragment.
pub(crate) struct OneFrame<'a> {
    pub object: &'a DefaultDicomObject,
    pub bytes: &'a [u8],
}

impl PixelDataObject for OneFrame<'_> {
    fn transfer_syntax_uid(&self) -> &str {
        self.object.transfer_syntax_uid()
    }

    fn rows(&self) -> Option<u16> {
        self.object.rows()
    }

    fn cols(&self) -> Option<u16> {
        self.object.cols()
    }

    fn samples_per_pixel(&self) -> Option<u16> {
        self.object.samples_per_pixel()
    }

    fn bits_allocated(&self) -> Option<u16> {
        self.object.bits_allocated()
    }

    fn bits_stored(&self) -> Option<u16> {
        self.object.bits_stored()
    }

    fn photometric_interpretation(&self) -> Option<&str> {
        self.object.photometric_interpretation()
    }

    fn number_of_frames(&self) -> Option<u32> {
        Some(1)
    }

    fn number_of_fragments(&self) -> Option<u32> {
        Some(1)
    }

    fn fragment(&self, fragment: usize) -> Option<Cow<'_, [u8]>> {
        (fragment == 0).then_some(Cow::Borrowed(self.bytes))
    }

    fn offset_table(&self) -> Option<Cow<'_, [u32]>> {
        Some(Cow::Borrowed(&[]))
    }

    fn raw_pixel_data(&self) -> Option<RawPixelData> {
        let fragments = std::iter::once(self.bytes.to_vec()).collect();
        Some(RawPixelData { fragments, offset_table: std::iter::empty().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(bytes: usize) -> Vec<u8> {
        let mut fragment = vec![0xff, 0xd8, 0xff];
        fragment.resize(bytes, 0x11);
        fragment
    }

    #[test]
    fn a_table_that_fits_the_fragments_parts_them() {
        let fragments = [vec![1; 10], vec![2; 6], vec![3; 4]];
        assert_eq!(by_offsets(&fragments, &[0, 18], 2), Some(vec![0, 1]));
        assert_eq!(by_offsets(&fragments, &[0, 32], 2), Some(vec![0, 2]));
        for wrong in [&[0, 17][..], &[18, 0], &[18, 32], &[0], &[0, 0], &[]] {
            assert_eq!(by_offsets(&fragments, wrong, 2), None, "{wrong:?}");
        }
    }

    #[test]
    fn without_a_table_frames_begin_where_streams_do() {
        let fragments = [stream(10), vec![2; 6], stream(4), vec![3; 4], vec![4; 4]];
        assert_eq!(by_streams(&fragments, 2), Some(vec![0, 2]));
        assert_eq!(by_streams(&fragments, 3), None);
        assert_eq!(by_streams(&fragments[1..], 1), None);
    }
}
