//! Against values that other people's programs made (tests/golden/scripts/make.py).

use std::collections::BTreeMap;
use std::path::Path;

use pdl_prepare::proxies::Proxies;
use pdl_similarity::isa::Isa;
use pdl_similarity::metrics::Metric;
use pdl_similarity::pairs::Pairs;
use pdl_similarity::ssim::Kernel;
use pdl_similarity::ssim::SsimWindow;
use pdl_store::hash;
use pdl_tests::{real, root, run_ok, sample};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{curate, folder};

fn golden<T: DeserializeOwned>(name: &str) -> T {
    pdl_store::json::read(&root().join("tests/golden/data").join(name)).unwrap()
}

#[derive(Deserialize)]
struct Similarities {
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    case_a: String,
    case_b: String,
    volumes: Similarity,
    planes: Similarity,
    noisy: Similarity,
}

#[derive(Deserialize)]
struct Labels {
    pairs: Vec<LabelPair>,
}

#[derive(Deserialize)]
struct LabelPair {
    case_a: String,
    case_b: String,
    label_dice: f64,
    label_volume: f64,
}

#[derive(Deserialize)]
struct Similarity {
    mse: f64,
    psnr: f64,
    ssim_uniform: f64,
    ssim_gaussian: f64,
}

impl Similarity {
    /// Holds what a kernel of each window gives against scikit-image.
    fn holds(&self, what: &str, mse: f64, psnr: f64, ssim_uniform: f64, ssim_gaussian: f64) {
        assert!((mse / self.mse - 1.0).abs() <= 1e-6, "{what}: MSE {mse} against {}", self.mse);
        assert!((psnr - self.psnr).abs() <= 1e-5, "{what}: PSNR {psnr} against {}", self.psnr);
        let uniform = (ssim_uniform - self.ssim_uniform).abs();
        assert!(uniform <= 1e-6, "{what}: SSIM {ssim_uniform} against {}", self.ssim_uniform);
        let gaussian = (ssim_gaussian - self.ssim_gaussian).abs();
        assert!(gaussian <= 1e-6, "{what}: Gaussian SSIM {ssim_gaussian} against {}", self.ssim_gaussian);
    }
}

/// As `noisy` of make.py.
fn noisy(voxels: &[f32]) -> Vec<f32> {
    let noise = |i: usize| ((i as u64 * 2_654_435_761 % (1 << 32)) as f64 / 4_294_967_296.0 - 0.5) * 1e-4;
    voxels.iter().enumerate().map(|(i, v)| v + noise(i) as f32).collect()
}

/// The tables that `pdl compare` writes with both windows, and the kernels on planes and on
/// near-duplicates, against scikit-image.
fn same_as_scikit_image(out: &Path, name: &str, count: usize) {
    let golden: Similarities = golden(name);
    assert_eq!(golden.pairs.len(), count);
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
    let (mse, psnr, uniform) = (table(Metric::Mse), table(Metric::Psnr), table(Metric::Ssim));
    run_ok(&["compare", out.to_str().unwrap(), "--window", "gaussian", "--metrics", "ssim"]);
    let gaussian = table(Metric::Ssim);
    let [nz, ny, nx] = proxies.shape_zyx;
    let compare = |shape, x: &[f32], y: &[f32]| {
        let kernel = |window| Kernel::new(window, shape, 1.0, Isa::Auto).unwrap().compare(x, y);
        (kernel(SsimWindow::Uniform), kernel(SsimWindow::Gaussian).ssim)
    };
    let middle = nz / 2 * ny * nx..(nz / 2 + 1) * ny * nx;
    for pair in golden.pairs {
        let (a, b) = (row(&pair.case_a), row(&pair.case_b));
        let key = (a.min(b), a.max(b));
        let what = format!("{} and {}", pair.case_a, pair.case_b);
        pair.volumes.holds(&what, mse[&key], psnr[&key], uniform[&key], gaussian[&key]);
        let (x, y) = (proxies.voxels(a), proxies.voxels(b));
        let (plane, gaussian) = compare([1, ny, nx], &x[middle.clone()], &y[middle.clone()]);
        pair.planes.holds(&format!("planes of {what}"), plane.mse, plane.psnr, plane.ssim, gaussian);
        let (noise, gaussian) = compare([nz, ny, nx], x, &noisy(x));
        pair.noisy.holds(&format!("noise on {}", pair.case_a), noise.mse, noise.psnr, noise.ssim, gaussian);
        let (same, gaussian) = compare([nz, ny, nx], x, x);
        assert_eq!((same.mse, same.psnr, same.ssim, gaussian), (0.0, f64::INFINITY, 1.0, 1.0));
    }
}

/// By tests/golden/scripts/labels.py.
#[test]
fn label_metrics_of_the_samples_are_simpleitks() {
    let out = folder();
    curate(&sample("ct"), out.path(), &["--metrics", "label-dice,label-volume,ssim"]);
    let proxies = Proxies::open(out.path()).unwrap();
    let pairs = Pairs::open(out.path(), &proxies).unwrap();
    let golden: Labels = golden("labels.json");
    assert_eq!(golden.pairs.len(), 20);
    let table = |metric| {
        let mut values = BTreeMap::new();
        let mut keep = |a: u32, b: u32, value: f32| {
            let [a, b] = [a, b].map(|row| proxies.case_ids[row as usize].clone());
            values.insert((a, b), f64::from(value));
        };
        pairs.for_each(metric, &mut keep).unwrap();
        values
    };
    let (dice, volume) = (table(Metric::LabelDice), table(Metric::LabelVolume));
    for LabelPair { case_a, case_b, label_dice, label_volume } in golden.pairs {
        let pair = (case_a, case_b);
        assert!((dice[&pair] - label_dice).abs() < 1e-7, "{pair:?}: {} against {label_dice}", dice[&pair]);
        assert!(
            (volume[&pair] - label_volume).abs() < 1e-7,
            "{pair:?}: {} against {label_volume}",
            volume[&pair]
        );
    }
}

#[test]
fn similarity_of_the_samples_is_scikit_images() {
    for name in ["ct", "mr"] {
        let out = folder();
        curate(&sample(name), out.path(), &[]);
        same_as_scikit_image(out.path(), &format!("similarity-sample-{name}.json"), 20);
    }
}

#[test]
fn similarity_of_real_cohorts_is_scikit_images() {
    for name in ["hippocampus-mr", "head-neck-ct"] {
        let Some(cohort) = real(name) else { return };
        let out = folder();
        curate(&cohort, out.path(), &[]);
        same_as_scikit_image(out.path(), &format!("similarity-{name}.json"), 200);
    }
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
        let volume = pdl_io::read_image(&sample("").join(&name)).unwrap().volume.to_ras();
        assert_eq!(volume.grid.shape, expected.shape, "{name}");
        for (ours, theirs) in volume.grid.affine.to_row_major().iter().zip(&expected.affine) {
            assert!((ours - theirs).abs() < 1e-4, "{name}: {ours} against {theirs}");
        }
        let bytes: Vec<u8> = volume.voxels.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(hash::of_bytes(&bytes), expected.blake3, "{name}");
    }
}
