//! NIfTI files of fractions: uint16 with a slope, half the size of float32.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, catch_panic};
use pdl_volume::{Grid, Volume};

/// The stored number of the fraction 1.
const WHOLE: f32 = 65_535.0;
/// Bytes of the header with the mark that no extension follows.
const HEADER: usize = 352;
/// NIfTI's number of uint16.
const UINT16: i16 = 512;

/// Writes fractions from 0 to 1 as uint16 `.nii.gz` with the slope 1/65535, which readers apply
/// (`scl_slope`): every value is right within 1/131070.
///
/// # Errors
/// [`StoreError`] if the file cannot be written.
pub fn write_fractions(path: impl Into<SafePath>, fractions: &Volume<f32>) -> Result<(), StoreError> {
    let path = path.into();
    let full = path.full();
    let failed = || StoreError::io("write the volume", &full);
    atomic::write_with(path, |temporary| {
        let file = std::fs::File::create(temporary).map_err(failed())?;
        let file = std::io::BufWriter::new(file);
        let stream = catch_panic::or_out_of_memory(|| Ok(GzEncoder::new(file, Compression::fast())));
        let mut stream = stream.map_err(failed())?;
        stream.write_all(&header(&fractions.grid)).map_err(failed())?;
        let [nx, ny, _] = fractions.grid.shape;
        let mut bytes = Vec::new();
        for plane in fractions.voxels.chunks((nx * ny).max(1)) {
            bytes.clear();
            bytes.extend(plane.iter().flat_map(|fraction| stored(*fraction).to_le_bytes()));
            stream.write_all(&bytes).map_err(failed())?;
        }
        stream.finish().and_then(|mut file| file.flush()).map_err(failed())
    })
}

fn stored(fraction: f32) -> u16 {
    (fraction.clamp(0.0, 1.0) * WHOLE).round() as u16
}

/// The header of a NIfTI-1 file in one part, little-endian, with the grid's affine as sform.
fn header(grid: &Grid) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &348_i32.to_le_bytes());
    put(40, &3_u16.to_le_bytes());
    for axis in 0..7 {
        let voxels = grid.shape.get(axis).copied().unwrap_or(1) as u16;
        let spacing = grid.spacing_mm().get(axis).copied().unwrap_or(1.0) as f32;
        put(42 + 2 * axis, &voxels.to_le_bytes());
        put(80 + 4 * axis, &spacing.to_le_bytes());
    }
    put(70, &UINT16.to_le_bytes());
    put(72, &16_i16.to_le_bytes()); // bits a voxel
    put(76, &1_f32.to_le_bytes()); // qfac
    put(108, &(HEADER as f32).to_le_bytes());
    put(112, &(1.0 / WHOLE).to_le_bytes());
    put(123, &[2]); // millimetres
    put(124, &1_f32.to_le_bytes()); // largest value to display
    put(254, &1_i16.to_le_bytes()); // sform
    for (row, values) in grid.affine.rows().iter().enumerate().take(3) {
        for (column, value) in values.iter().enumerate() {
            put(280 + 16 * row + 4 * column, &(*value as f32).to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_image;
    use pdl_volume::{Affine, Orientation};

    #[test]
    fn fractions_are_read_within_half_a_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heart.nii.gz");
        let shape = [4, 3, 5];
        let orientation: Orientation = "PLI".parse().unwrap();
        let grid = Grid::new(shape, Affine::from_orientation(orientation, [2.7, 3.1, 1.5], shape));
        let volume = Volume::new(grid, (0..60).map(|v| v as f32 / 59.0).collect()).unwrap();
        write_fractions(&path, &volume).unwrap();
        let read = read_image(&path).unwrap();
        assert_eq!((read.voxel_type.as_str(), read.volume.grid.shape), ("uint16", shape));
        assert!(read.volume.grid.affine.corner_distance_mm(&grid.affine, shape) < 1e-5);
        let farthest = read.volume.voxels.iter().zip(&volume.voxels).map(|(a, b)| (a - b).abs());
        assert!(farthest.fold(0.0, f32::max) <= 0.5 / WHOLE + 1e-7);
        assert_eq!((read.volume.voxels[0], read.volume.voxels[59]), (0.0, 1.0));
        assert_eq!([stored(-1.0), stored(2.0), stored(0.5)], [0, 65_535, 32_768]);
    }
}
