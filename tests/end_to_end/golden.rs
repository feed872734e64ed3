//! Against values that other people's programs made (tests/golden/make.py).

use std::collections::BTreeMap;
use std::path::Path;

use pdl_io::nifti;
use pdl_prepare::proxies::Proxies;
use pdl_similarity::kernel::Kernel;
use pdl_similarity::pairs::{Metric, Pairs};
use pdl_similarity::window::Window;
use pdl_store::hash;
use pdl_tests::{real, root, sample};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{curate, curated, folder};

fn golden<T: DeserializeOwned>(name: &str) -> T {
    pdl_store::json::read(&root().join("tests/golden").join(name)).unwrap()
}

#[derive(Deserialize)]
struct Similarities {
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    case_a: String,
    case_b: String,
    mse: f64,
    psnr: f64,
    ssim_uniform: f64,
    ssim_gaussian: f64,
}

/// The table that `pdl compare` wrote, and the Gaussian kernel on the same proxies, against scikit-image.
fn same_as_scikit_image(out: &Path, name: &str) {
    let golden: Similarities = golden(name);
    assert_eq!(golden.pairs.len(), 20);
    let proxies = Proxies::open(out).unwrap();
    let row = |case: &str| proxies.case_ids.iter().position(|id| id == case).unwrap();
    let table = |metric| {
        let mut values = BTreeMap::new();
        let pairs = Pairs::open(out, &proxies).unwrap();
        pairs
            .for_each(metric, |a, b, value| {
                values.insert((a as usize, b as usize), f64::from(value));
            })
            .unwrap();
        values
    };
    let (mse, psnr, ssim) = (table(Metric::Mse), table(Metric::Psnr), table(Metric::Ssim));
    let kernel = Kernel::new(Window::Gaussian, proxies.shape_zyx, 1.0).unwrap();
    for pair in golden.pairs {
        let (a, b) = (row(&pair.case_a), row(&pair.case_b));
        let key = (a.min(b), a.max(b));
        let what = format!("{} and {}", pair.case_a, pair.case_b);
        assert!((mse[&key] / pair.mse - 1.0).abs() <= 1e-6, "{what}: MSE {} against {}", mse[&key], pair.mse);
        assert!((psnr[&key] - pair.psnr).abs() <= 1e-5, "{what}: PSNR {} against {}", psnr[&key], pair.psnr);
        let difference = (ssim[&key] - pair.ssim_uniform).abs();
        assert!(difference <= 1e-6, "{what}: SSIM {} against {}", ssim[&key], pair.ssim_uniform);
        let (x, y) = (proxies.voxels(a), proxies.voxels(b));
        let gaussian = kernel.compare((x, &kernel.statistics(x)), (y, &kernel.statistics(y))).ssim;
        assert!(
            (gaussian - pair.ssim_gaussian).abs() <= 1e-6,
            "{what}: {gaussian} against {}",
            pair.ssim_gaussian
        );
    }
}

#[test]
fn similarity_of_the_samples_is_scikit_images() {
    same_as_scikit_image(curated("ct"), "similarity-sample-ct.json");
    same_as_scikit_image(curated("mr"), "similarity-sample-mr.json");
}

#[test]
fn similarity_of_a_real_cohort_is_scikit_images() {
    let Some(cohort) = real("hippocampus-mr") else { return };
    let out = folder();
    curate(&cohort, out.path(), &[]);
    same_as_scikit_image(out.path(), "similarity-hippocampus-mr.json");
}

#[derive(Deserialize)]
struct Canonical {
    volumes: BTreeMap<String, CanonicalVolume>,
}

#[derive(Deserialize)]
struct CanonicalVolume {
    shape: [usize; 3],
    affine: Vec<f64>,
    blake3: String,
}

#[test]
fn volumes_and_affines_are_nibabels() {
    let golden: Canonical = golden("canonical.json");
    assert_eq!(golden.volumes.len(), 96);
    for (name, expected) in golden.volumes {
        let volume = nifti::read_image(&sample("").join(&name)).unwrap().volume.to_ras();
        assert_eq!(volume.grid.shape, expected.shape, "{name}");
        for (ours, theirs) in volume.grid.affine.to_row_major().iter().zip(&expected.affine) {
            assert!((ours - theirs).abs() < 1e-4, "{name}: {ours} against {theirs}");
        }
        let bytes: Vec<u8> = volume.voxels.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(hash::of_bytes(&bytes), expected.blake3, "{name}");
    }
}
