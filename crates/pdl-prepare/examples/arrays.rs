//! The work between a volume's file and the array that a training loop takes, and nothing else:
//! read, turn to RAS+, resample, scale. `just bench-prepare` times it beside others that do the
//! same.
//!
//! ```text
//! arrays THREADS linear|cubic X,Y,Z FILE...
//! ```
//!
//! prints one line of JSON: the seconds that the files took, and for each its new shape and mean.
//! Files are resampled to voxels of X, Y, Z mm, linear ones without anti-aliasing, and percentiles
//! 0.5 and 99.5 become 0 and 1.
#![allow(clippy::print_stdout, reason = "a program")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pdl_prepare::normalise::{Normalisation, normalise};
use pdl_prepare::resample::{Interpolation, Window, resample_windows, shape_at};
use pdl_volume::Volume;
use rayon::prelude::*;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let mut word = |what: &str| words.next().ok_or(format!("{what} is missing"));
    let threads = word("THREADS")?.parse()?;
    let method = match word("linear or cubic")?.as_str() {
        "cubic" => Interpolation::Cubic,
        _ => Interpolation::LinearPoint,
    };
    let sides = word("X,Y,Z")?.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let spacing: [f64; 3] = sides.try_into().map_err(|_| "X,Y,Z are three lengths")?;
    let files: Vec<PathBuf> = words.map(PathBuf::from).collect();
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;

    let start = Instant::now();
    let cases: Vec<Volume<f32>> =
        files.par_iter().map(|file| array(file, spacing, method)).collect::<Result<_, _>>()?;
    let seconds = start.elapsed().as_secs_f64();
    let mean = |v: &Volume<f32>| v.voxels.iter().map(|v| f64::from(*v)).sum::<f64>() / v.voxels.len() as f64;
    let shapes: Vec<_> = cases.iter().map(|case| case.grid.shape).collect();
    let means: Vec<_> = cases.iter().map(mean).collect();
    println!("{}", serde_json::json!({ "seconds": seconds, "shapes": shapes, "means": means }));
    Ok(())
}

fn array(file: &Path, spacing: [f64; 3], method: Interpolation) -> Result<Volume<f32>, Failure> {
    let image = pdl_io::read_image(file)?.volume.into_ras();
    let shape = shape_at(&image.grid, spacing);
    let windows = std::array::from_fn(|axis| {
        let length = image.grid.shape[axis] as f64;
        Window { start: 0.0, length, voxels: shape[axis] }
    });
    let voxels = resample_windows(&image.voxels, image.grid.shape, windows, [method; 3])?;
    let mut array = Volume { grid: image.grid.resized(shape), voxels };
    normalise(&mut array, &Normalisation::ImagePercentiles { lower: 0.5, upper: 99.5 });
    Ok(array)
}
