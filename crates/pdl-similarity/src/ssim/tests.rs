//! The passes against the definitions of the metrics, and every instruction set against every
//! other.

use proptest::prelude::*;

use super::driver::{Pass, sums};
use super::memory_layout::Chunked;
use super::{Kernel, Similarity, SsimWindow, VolumeView};
use crate::isa::Isa;

fn compare(window: SsimWindow, shape: [usize; 3], a: &[f32], b: &[f32]) -> Similarity {
    Kernel::new(window, shape, 1.0, Isa::Auto).unwrap().compare(a, b)
}

/// The definitions of SSIM and UQI, window by window and in two passes, in float64.
fn by_definition(window: SsimWindow, shape: [usize; 3], a: &[f32], b: &[f32]) -> (f64, f64) {
    let [nz, ny, nx] = shape;
    let weights = window.weights();
    let side = weights.len();
    let deep = if nz == 1 { vec![1.0] } else { weights.clone() };
    let cells: Vec<(usize, f64)> = (0..deep.len())
        .flat_map(|z| (0..side).flat_map(move |y| (0..side).map(move |x| (z, y, x))))
        .map(|(z, y, x)| ((z * ny + y) * nx + x, deep[z] * weights[y] * weights[x]))
        .collect();
    let factor = window.covariance_factor(cells.len());
    let (mut ssim, mut uqi, mut windows) = (0.0, 0.0, 0.0);
    for z in 0..=nz - deep.len() {
        for (y, x) in (0..=ny - side).flat_map(|y| (0..=nx - side).map(move |x| (y, x))) {
            let at = (z * ny + y) * nx + x;
            let mean = |v: &[f32]| cells.iter().map(|(i, w)| w * f64::from(v[at + i])).sum::<f64>();
            let (ma, mb) = (mean(a), mean(b));
            let co = |p: &[f32], mp: f64, q: &[f32], mq: f64| {
                let term =
                    |(i, w): &(usize, f64)| w * (f64::from(p[at + i]) - mp) * (f64::from(q[at + i]) - mq);
                cells.iter().map(term).sum::<f64>() * factor
            };
            let constant = |v: &[f32]| cells.iter().all(|(i, _)| v[at + i] == v[at]);
            let (va, vb, cov) = (co(a, ma, a, ma), co(b, mb, b, mb), co(a, ma, b, mb));
            ssim +=
                (2.0 * ma * mb + 1e-4) * (2.0 * cov + 9e-4) / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4));
            let means = ma * ma + mb * mb;
            let luminance = if means > 0.0 { 2.0 * ma * mb / means } else { 1.0 };
            uqi += match (constant(a), constant(b)) {
                (true, true) => luminance,
                (false, false) => luminance * 2.0 * cov / (va + vb),
                _ => 0.0,
            };
            windows += 1.0;
        }
    }
    (ssim / windows, uqi / windows)
}

#[test]
fn a_plane_is_one_across_any_axis() {
    let [a, b] = [1, 2].map(|seed| noise(seed, [1, 14, 13], 2));
    for window in [SsimWindow::Uniform, SsimWindow::Gaussian] {
        let expected = compare(window, [1, 14, 13], &a, &b);
        for shape in [[14, 1, 13], [14, 13, 1]] {
            assert_eq!(compare(window, shape, &a, &b), expected, "{window} {shape:?}");
        }
        assert!(Kernel::new(window, [1, 14, 1], 1.0, Isa::Auto).is_err());
    }
}

/// Noise; `dark` of ten planes along x are 0, so that some windows are constant.
fn noise(seed: u64, shape: [usize; 3], dark: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    (0..shape.iter().product())
        .map(|i: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (state >> 40) as f32 / (1 << 24) as f32;
            if i % shape[2] * 10 < dark * shape[2] { 0.0 } else { value }
        })
        .collect()
}

const WINDOWS: [SsimWindow; 2] = [SsimWindow::Uniform, SsimWindow::Gaussian];

#[test]
fn a_side_shorter_than_the_window_is_refused() {
    let error = Kernel::new(SsimWindow::Gaussian, [64, 64, 10], 1.0, Isa::Auto).unwrap_err();
    assert!(error.to_string().contains("at least 11 voxels"), "{error}");
}

#[test]
fn constant_windows_follow_their_own_rule() {
    let shape = [7, 7, 7];
    let uqi = |a: &[f32], b: &[f32]| compare(SsimWindow::Uniform, shape, a, b).uqi;
    let (flat, half) = (vec![0.5; 343], vec![0.25; 343]);
    assert!((uqi(&flat, &half) - 2.0 * 0.5 * 0.25 / (0.25 + 0.0625)).abs() < 1e-6);
    assert_eq!(uqi(&vec![0.0; 343], &vec![0.0; 343]), 1.0);
    assert_eq!(uqi(&flat, &noise(3, shape, 0)), 0.0);
}

#[test]
fn a_stride_takes_every_other_window() {
    // Volumes with a period of two voxels: all windows that the stride takes equal the first one.
    let shape = [17, 18, 19];
    let period = |seed: u64| -> Vec<f32> {
        let tile = noise(seed, [2, 2, 2], 0);
        let at = |i: usize| (i / (18 * 19) % 2 * 2 + i / 19 % 18 % 2) * 2 + i % 19 % 2;
        (0..shape.iter().product()).map(|i: usize| tile[at(i)]).collect()
    };
    let (a, b) = (period(1), period(2));
    for window in WINDOWS {
        let kernel = Kernel::new(window, shape, 1.0, Isa::Auto).unwrap();
        let strided = kernel.clone().with_stride(2);
        let one = strided.compare(&a, &b);
        assert_eq!(one.mse, kernel.compare(&a, &b).mse);
        assert_eq!(strided.windows(), kernel.inner.iter().map(|n| n.div_ceil(2)).product::<usize>());
        let sum = one.ssim;
        let (expected, _) =
            by_definition(window, window_shape(window), &corner(&a, window), &corner(&b, window));
        assert!((sum - expected).abs() < 1e-6, "{sum} against {expected}");
    }
}

fn window_shape(window: SsimWindow) -> [usize; 3] {
    [window.side(); 3]
}

/// The first window of a volume of 17 x 18 x 19.
fn corner(voxels: &[f32], window: SsimWindow) -> Vec<f32> {
    let n = window.side();
    (0..n * n * n).map(|i| voxels[(i / (n * n) * 18 + i / n % n) * 19 + i % n]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn equals_the_definition(
        seed: u64,
        window in 0_usize..2,
        z in prop_oneof![Just(1_usize), 11_usize..17],
        y in 11_usize..27,
        x in 11_usize..27,
        dark in 0_usize..10,
    ) {
        let (window, shape) = (WINDOWS[window], [z, y, x]);
        let (a, b) = (noise(seed, shape, dark), noise(!seed, shape, dark / 2));
        let result = compare(window, shape, &a, &b);
        let (ssim, uqi) = by_definition(window, shape, &a, &b);
        prop_assert!((result.ssim - ssim).abs() < 1e-6, "SSIM {} against {ssim}", result.ssim);
        prop_assert!((result.uqi - uqi).abs() < 1e-5, "UQI {} against {uqi}", result.uqi);
        let squares: f64 = a.iter().zip(&b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        let mse = squares / a.len() as f64;
        prop_assert!((result.mse - mse).abs() <= 5e-7 * mse, "MSE {} against {mse}", result.mse);
    }

    #[test]
    fn symmetric_and_one_with_itself(seed: u64, window in 0_usize..2, flat: bool, dark in 0_usize..10) {
        let shape = if flat { [1, 13, 12] } else { [12, 13, 11] };
        let (a, b) = (noise(seed, shape, dark), noise(!seed, shape, 0));
        let window = WINDOWS[window];
        prop_assert_eq!(compare(window, shape, &a, &b), compare(window, shape, &b, &a));
        let same = compare(window, shape, &a, &a);
        prop_assert_eq!(same, Similarity { mse: 0.0, psnr: f64::INFINITY, ssim: 1.0, uqi: 1.0 });
    }

    /// Bit for bit: the instruction set, the lanes' neighbours and the number of threads change
    /// nothing.
    #[test]
    fn neither_instructions_nor_neighbours_nor_threads_change_a_bit(
        seed: u64,
        window in 0_usize..2,
        masked: bool,
        dark in 0_usize..10,
    ) {
        let shape = [19, 23, 31];
        let volumes: Vec<Vec<f32>> = (0..19).map(|i| noise(seed ^ i, shape, dark)).collect();
        let body = |v: &Vec<f32>| pdl_volume::body::body(v, shape, [0.0, 1.0]).into_iter().map(f32::from).collect();
        let bodies: Vec<Vec<f32>> = volumes.iter().map(body).collect();
        let pass = if masked { Pass::Bodies } else { Pass::Windows };
        let sums = |isa: Isa, a: &[usize], b: &[usize]| {
            let kernel = Kernel::new(WINDOWS[window], shape, 1.0, isa).unwrap();
            let chunked = Chunked::new(&kernel, volumes.len(), true, |i| (&volumes[i], &bodies[i]));
            let view = |i: &usize| VolumeView {
                voxels: &volumes[*i],
                chunked: chunked.view(&kernel, *i),
                body: &bodies[*i],
                labels: None,
            };
            let (a, b): (Vec<_>, Vec<_>) = (a.iter().map(view).collect(), b.iter().map(view).collect());
            sums(&kernel, pass, &a, &b, |_, _| true)
        };
        let all: Vec<usize> = (0..19).collect();
        let expected = sums(Isa::Scalar, &[3, 5], &all);
        for isa in Isa::available() {
            prop_assert_eq!(&sums(isa, &[3, 5], &all), &expected, "{}", isa);
        }
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for (i, a) in [3, 5].into_iter().enumerate() {
            for b in [0, 7, 18] {
                let alone = one.install(|| sums(Isa::Auto, &[a], &[b]));
                prop_assert_eq!(alone[0], expected[i * 19 + b]);
            }
        }
    }

    /// Only voxels inside both bodies count, and windows whose centre is.
    #[test]
    fn bodies_leave_out_what_lies_outside_one_of_them(seed: u64) {
        let shape = [15, 14, 20];
        let (a, b) = (noise(seed, shape, 0), noise(!seed, shape, 0));
        let kernel = Kernel::new(SsimWindow::Uniform, shape, 1.0, Isa::Auto).unwrap();
        let at = |i: usize| [i / (14 * 20), i / 20 % 14, i % 20];
        let mask = |inside: &dyn Fn([usize; 3]) -> bool| -> Vec<f32> {
            (0..a.len()).map(|i| if inside(at(i)) { 1.0 } else { 0.0 }).collect()
        };
        let bodies = [mask(&|[z, _, _]| z >= 3), mask(&|[z, _, _]| z < 10)];
        let chunked = Chunked::new(&kernel, 2, true, |i| ([&a, &b][i], &bodies[i]));
        let view = |i: usize, voxels| VolumeView {
            voxels,
            chunked: chunked.view(&kernel, i),
            body: &bodies[i],
            labels: None,
        };
        let masked = sums(&kernel, Pass::Bodies, &[view(0, &a)], &[view(1, &b)], |_, _| true)[0];
        // Windows with centre planes 3 to 9 are those of the planes 0 to 12 alone.
        let part = [13, 14, 20];
        let slab = Kernel::new(SsimWindow::Uniform, part, 1.0, Isa::Auto).unwrap();
        let whole = slab.compare(&a[..13 * 280], &b[..13 * 280]);
        let masked_similarity = kernel.similarity(&masked);
        prop_assert_eq!(masked.windows, (7 * 8 * 14) as f64);
        prop_assert!((masked_similarity.ssim - whole.ssim).abs() < 1e-6);
        prop_assert!((masked_similarity.uqi - whole.uqi).abs() < 1e-6);
        prop_assert_eq!(masked.voxels, (7 * 280) as f64);
        let inside = 3 * 280..10 * 280;
        let squares: f64 = inside.map(|i| (f64::from(a[i]) - f64::from(b[i])).powi(2)).sum();
        prop_assert!((masked.squares / squares - 1.0).abs() < 1e-6);
    }

    /// The pass without windows sums the same squares.
    #[test]
    fn squares_alone_are_the_same_squares(seed: u64, near: bool) {
        let shape = [12, 17, 33];
        let a = noise(seed, shape, 2);
        let b = if near { a.iter().map(|v| v + 1e-6).collect() } else { noise(!seed, shape, 0) };
        let kernel = Kernel::new(SsimWindow::Uniform, shape, 1.0, Isa::Auto).unwrap();
        let view = |voxels| VolumeView { voxels, ..VolumeView::default() };
        let alone = sums(&kernel, Pass::Squares, &[view(&a)], &[view(&b)], |_, _| true);
        let squares: f64 = a.iter().zip(&b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        prop_assert!((alone[0].squares / squares - 1.0).abs() < 1e-6);
    }
}
