//! A segmentation, laid on series: the first file of an input is the segmentation, the others are
//! the slices.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pdl_dicom::Segmentation;
use pdl_fuzz::{OF_A_DATA_SET, bounded, file, parts, read};

fuzz_target!(|data: &[u8]| {
    let files = parts(data);
    let Some((set, slices)) = files.split_first() else { return };
    let path = file("set.dcm", set);
    bounded(data.len(), OF_A_DATA_SET, || {
        let (_, images, bytes) = read(slices);
        let Ok(set) = Segmentation::read(&path) else { return bytes };
        let _ = set.stack();
        for image in &images {
            for segment in &set.segments {
                let Ok(mask) = set.mask(segment.number, &image.stack) else { continue };
                let (labels, _) = pdl_dicom::paint(&image.stack, [(1, &mask)]);
                let placed = image.place_labels(labels).expect("a label for every pixel");
                assert_eq!(placed.voxels.len(), image.volume.voxels.len());
            }
        }
        bytes
    });
});
