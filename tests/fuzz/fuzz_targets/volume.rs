//! NIfTI, NRRD and MetaImage: the first byte of an input chooses the name, the rest is the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pdl_fuzz::{OF_A_VOLUME, bounded, file, inflated};

const NAMES: [&str; 5] = ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.hdr"];

fuzz_target!(|data: &[u8]| {
    let Some((name, data)) = data.split_first() else { return };
    let path = file(NAMES[usize::from(*name) % NAMES.len()], data);
    let size = data.len().max(inflated(data));
    bounded(size, OF_A_VOLUME, || {
        let image = pdl_io::read_image(&path);
        image.map_or(0, |image| image.volume.voxels.len())
    });
    bounded(size, OF_A_VOLUME, || {
        let labels = pdl_io::read_labels(&path);
        labels.map_or(0, |labels| labels.map.voxels.len())
    });
});
