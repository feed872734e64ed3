//! NIfTI, NRRD, MetaImage and slices of stacks: the first byte of an input chooses the name, the
//! rest is the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pdl_fuzz::kinds::VOLUMES;
use pdl_fuzz::{OF_A_VOLUME, bounded, decoded_png, file, inflated, kind};
use pdl_io::{StackGeometry, read_image, read_image_stack, read_label_stack, read_labels, stack};
use pdl_volume::Orientation;

fuzz_target!(|data: &[u8]| {
    let Some((name, data)) = kind(&VOLUMES, data) else { return };
    let path = file(name, data);
    // A slice alone in its folder is a stack.
    let path = path.parent().filter(|_| name.contains('/')).map(Into::into).unwrap_or(path);
    let geometry = StackGeometry { spacing_mm: [1.0; 3], axes: Orientation::RAS };
    let Ok(is_stack) = stack::is_stack(&path) else { return };
    // Decoders of TIFF and JPEG take a plane at once: all that its bytes could stand for, at the
    // largest ratio of the format (LZW's, and one bit for a block of 8 x 8 pixels).
    let ratio = if name.ends_with(".tif") {
        4096
    } else if name.ends_with(".jpg") {
        1229
    } else {
        1
    };
    let size = (ratio * data.len()).max(inflated(data)).max(if is_stack { decoded_png(data) } else { 0 });
    // Of a stack of one slice the samples and the decoder's own copy are held beside the voxels.
    let honest = |voxels: usize| if is_stack { 4 * voxels } else { voxels };
    bounded(size, OF_A_VOLUME, || {
        let image = if is_stack { read_image_stack(&path, &geometry) } else { read_image(&path) };
        image.map_or(0, |image| honest(image.volume.voxels.len()))
    });
    bounded(size, OF_A_VOLUME, || {
        let labels = if is_stack { read_label_stack(&path, &geometry) } else { read_labels(&path) };
        labels.map_or(0, |labels| honest(labels.map.voxels.len()))
    });
});
