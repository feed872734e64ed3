//! A segmentation of 3-D Slicer: an input is the file. Every voxel is background or has the label
//! of a segment that the header names, and no file takes more memory than its voxels do.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use pdl_fuzz::{OF_A_VOLUME, bounded, file, inflated};
use pdl_io::{LabelSegment, read_segments, segments_of};
use pdl_store::memory::MemoryLimit;

fuzz_target!(|data: &[u8]| {
    let path = file("a.seg.nrrd", data);
    let limit = MemoryLimit::free();
    let mut named = None;
    bounded(data.len(), OF_A_VOLUME, || {
        named = segments_of(&path, &limit.alone()).ok().flatten();
        0
    });
    let segments = named.unwrap_or_default();
    // The last segment is left out.
    let kept = segments.len().saturating_sub(1);
    let label = |segment: &LabelSegment| {
        segments[..kept].iter().position(|other| other == segment).map(|place| place as u16 + 1)
    };
    bounded(data.len().max(inflated(data)), OF_A_VOLUME, || {
        let Ok(read) = read_segments(&path, &label, &limit.alone()) else { return 0 };
        assert!(!segments.is_empty(), "a file without segments gives no labels");
        let labels = &read.map.voxels;
        assert_eq!(labels.len(), read.map.grid.len());
        let found: BTreeSet<u16> = labels.iter().copied().collect();
        assert!(found.iter().all(|label| usize::from(*label) <= kept), "{found:?} of {kept}");
        assert!(read.overlaps.keys().all(|(loser, winner)| loser < winner && found.contains(winner)));
        2 * labels.len()
    });
});
