//! However a volume is stored, the same comes of it.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use pdl_volume::{Affine, AxisCode, Grid, Orientation, Volume};

use crate::folder;

const SHAPE: [usize; 3] = [14, 12, 10];
const SPACING: [f64; 3] = [1.5, 1.5, 3.0];

fn orientations() -> Vec<Orientation> {
    use AxisCode::{Anterior, Inferior, Left, Posterior, Right, Superior};
    let codes = [Right, Left, Anterior, Posterior, Superior, Inferior];
    let all =
        codes.into_iter().flat_map(|a| codes.map(|b| [a, b])).flat_map(|[a, b]| codes.map(|c| [a, b, c]));
    all.filter_map(Orientation::new).collect()
}

/// The same voxels in the world, stored along other axes.
fn stored<T: Copy>(volume: &Volume<T>, orientation: Orientation) -> Volume<T> {
    let plan = orientation.to_ras();
    let mut shape = [0; 3];
    for (world, (axis, _)) in plan.into_iter().enumerate() {
        shape[axis] = SHAPE[world];
    }
    let at = |index: usize| {
        let place = [index % shape[0], index / shape[0] % shape[1], index / (shape[0] * shape[1])];
        let world: [usize; 3] = std::array::from_fn(|world| {
            let (axis, flipped) = plan[world];
            if flipped { shape[axis] - 1 - place[axis] } else { place[axis] }
        });
        volume.voxels[world[0] + SHAPE[0] * (world[1] + SHAPE[1] * world[2])]
    };
    let voxels = (0..volume.voxels.len()).map(at).collect();
    let mut steps = [[0.0; 3]; 3];
    let mut corner = [0.0; 3];
    for (world, (axis, flipped)) in plan.into_iter().enumerate() {
        steps[axis] = volume.grid.affine.step_mm(world).map(|v| if flipped { -v } else { v });
        corner[world] = if flipped { SHAPE[world] as f64 - 1.0 } else { 0.0 };
    }
    Volume { grid: Grid::new(shape, Affine::from_columns(steps, volume.grid.affine.apply(corner))), voxels }
}

/// Gives a file that has an sform alone a qform alone, as nifti1.h's nifti_mat44_to_quatern makes
/// it.
fn with_qform_alone(path: &Path, affine: &Affine) {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    let spacing = affine.spacing_mm();
    // r[column][row]
    let mut r = [0, 1, 2].map(|axis| affine.step_mm(axis).map(|v| v / spacing[axis]));
    let [a, b, c] = r;
    let det = a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
        + a[2] * (b[0] * c[1] - b[1] * c[0]);
    if det < 0.0 {
        r[2] = r[2].map(|v| -v);
    }
    let m = |row: usize, column: usize| r[column][row];
    // The largest of the four parts is found first, the others from it.
    let squares = [
        1.0 + m(0, 0) + m(1, 1) + m(2, 2),
        1.0 + m(0, 0) - m(1, 1) - m(2, 2),
        1.0 - m(0, 0) + m(1, 1) - m(2, 2),
        1.0 - m(0, 0) - m(1, 1) + m(2, 2),
    ];
    let largest = (0..4).max_by(|i, j| squares[*i].total_cmp(&squares[*j])).unwrap();
    let p = 0.5 * squares[largest].sqrt();
    let q = 0.25 / p;
    let [w, x, y, z] = match largest {
        0 => [p, q * (m(2, 1) - m(1, 2)), q * (m(0, 2) - m(2, 0)), q * (m(1, 0) - m(0, 1))],
        1 => [q * (m(2, 1) - m(1, 2)), p, q * (m(0, 1) + m(1, 0)), q * (m(0, 2) + m(2, 0))],
        2 => [q * (m(0, 2) - m(2, 0)), q * (m(0, 1) + m(1, 0)), p, q * (m(1, 2) + m(2, 1))],
        _ => [q * (m(1, 0) - m(0, 1)), q * (m(0, 2) + m(2, 0)), q * (m(1, 2) + m(2, 1)), p],
    };
    let sign = if w < 0.0 { -1.0 } else { 1.0 };
    let mut put = |at: usize, value: f64| bytes[at..at + 4].copy_from_slice(&(value as f32).to_le_bytes());
    put(76, if det < 0.0 { -1.0 } else { 1.0 });
    for (place, value) in [x, y, z].into_iter().enumerate() {
        put(256 + 4 * place, sign * value);
        put(268 + 4 * place, affine.origin_mm()[place]);
    }
    bytes[252..256].copy_from_slice(&[1, 0, 0, 0]);
    bytes[280..328].fill(0);
    let mut stream =
        flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), flate2::Compression::fast());
    stream.write_all(&bytes).unwrap();
    stream.finish().unwrap();
}

#[test]
fn all_48_ways_to_store_a_volume_prepare_to_the_same_bytes() {
    let (cohort, out) = (folder(), folder());
    let grid = Grid::new(
        SHAPE,
        Affine::from_columns([[1.5, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 0.0, 3.0]], [-7.25, 30.5, 12.0]),
    );
    assert_eq!(grid.spacing_mm(), SPACING);
    let noise = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 20) as f32;
    let image = Volume { grid, voxels: (0..grid.len()).map(noise).collect() };
    let labels = Volume {
        grid,
        voxels: (0..grid.len()).map(|i| u16::from(i % 3 == 0) + u16::from(i > 700)).collect(),
    };
    let mut table = "image,label,patient,modality\n".to_owned();
    let mut names = Vec::new();
    for orientation in orientations() {
        for form in ["sform", "qform"] {
            let name = format!("{orientation}_{form}");
            let [image_name, label_name] = ["image", "label"].map(|kind| format!("{name}.{kind}.nii.gz"));
            let (image, labels) = (stored(&image, orientation), stored(&labels, orientation));
            pdl_io::nifti::write_image(&cohort.path().join(&image_name), &image).unwrap();
            pdl_io::nifti::write_labels(&cohort.path().join(&label_name), &labels).unwrap();
            if form == "qform" {
                for name in [&image_name, &label_name] {
                    with_qform_alone(&cohort.path().join(name), &image.grid.affine);
                }
            }
            table += &format!("{image_name},{label_name},{name},MR\n");
            names.push(name);
        }
    }
    assert_eq!(names.len(), 96);
    fs::write(cohort.path().join("cohort.csv"), table).unwrap();
    let (cohort, out) = (cohort.path().to_str().unwrap(), out.path());
    pdl_tests::run_ok(&["index", cohort, "--out", out.to_str().unwrap()]);
    pdl_tests::run_ok(&["prepare", out.to_str().unwrap()]);
    for kind in ["images", "labels"] {
        let mut files: Vec<_> = fs::read_dir(out.join("prepared").join(kind))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert_eq!(files.len(), 96);
        let first = fs::read(&files[0]).unwrap();
        for file in &files {
            assert!(fs::read(file).unwrap() == first, "{} is not {}", file.display(), files[0].display());
        }
    }
}
