//! Duplicates up to flips and a small shift: a file written again with its voxels flipped or
//! shifted under an unchanged affine, which reorientation cannot undo.
//!
//! Comparing every pair under eight flips and many shifts would cost a hundred times what `pdl
//! compare` does. So each case gets a descriptor that flips do not change and small shifts hardly
//! (`spectrum`), and only its nearest neighbours by descriptor are aligned and compared voxel by
//! voxel (`align`).
//!
//! A cohort's own template ([`align_group`]) gives affine maps between any two of its cases. Images
//! of one person are aligned to each other rigidly ([`rigid_neighbours`]).

mod agreement;
mod align;
mod gauss_newton;
mod motion;
mod rigid_motion;
mod rigid_pairs;
mod rigid_target;
mod shrink;
mod spectrum;
mod template;
mod unit_affine;

use std::collections::BTreeSet;

use pdl_prepare::proxies::Proxies;
use rayon::prelude::*;

use crate::SimilarityError;
use crate::isa::Isa;
use crate::ssim::window::SsimWindow;
use align::Aligner;
pub use motion::Motion;
pub use rigid_motion::RigidMotion;
pub use rigid_pairs::{ALIGNED, RigidPair, rigid_neighbours};
use spectrum::Spectra;
pub use template::{GroupAlignment, UnitBox, align_group, value_at};
pub use unit_affine::UnitAffine;

/// Nearest neighbours by descriptor to which a case is aligned.
const NEIGHBOURS: usize = 8;

/// Pairs to align before the memory of their proxies is released.
const PAIRS_AT_A_TIME: usize = 512;

/// Two cases, the alignment of the second to the first, and their similarity after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlignedPair {
    /// Row number in the proxies.
    pub a: usize,
    /// Row number in the proxies, larger than `a`.
    pub b: usize,
    /// Flips and shift of the second case.
    pub motion: Motion,
    /// SSIM of the overlap. Each volume is shifted half the way, so that interpolation smooths both
    /// equally.
    pub ssim: f32,
}

/// Aligns every case to its nearest neighbours by descriptor; pairs in ascending order of row
/// numbers. Only pairs for which `wanted` is true (called with row numbers, the smaller first) are
/// considered.
///
/// # Errors
/// [`SimilarityError::WindowTooLarge`] when the proxies are smaller than the window.
pub fn aligned_neighbours(
    proxies: &Proxies,
    window: SsimWindow,
    wanted: impl Fn(usize, usize) -> bool + Sync,
) -> Result<Vec<AlignedPair>, SimilarityError> {
    let aligner = Aligner::new(proxies.shape_zyx, window, Isa::Auto)?;
    let spectra = Spectra::of(proxies);
    let near = |case: usize| {
        let nearest = spectra.nearest(case, NEIGHBOURS, |other| wanted(case.min(other), case.max(other)));
        nearest.into_iter().map(move |other| (case.min(other), case.max(other))).collect::<Vec<_>>()
    };
    let pairs: BTreeSet<(usize, usize)> = (0..proxies.len()).into_par_iter().flat_map_iter(near).collect();
    let pairs: Vec<(usize, usize)> = pairs.into_iter().collect();
    let mut aligned = Vec::with_capacity(pairs.len());
    for some in pairs.chunks(PAIRS_AT_A_TIME) {
        let align = |&(a, b): &(usize, usize)| -> Result<AlignedPair, SimilarityError> {
            let (motion, ssim) = aligner.align(proxies.voxels(a), proxies.voxels(b))?;
            Ok(AlignedPair { a, b, motion, ssim })
        };
        aligned.extend(some.par_iter().map(align).collect::<Result<Vec<_>, _>>()?);
        some.iter().for_each(|(a, b)| [a, b].into_iter().for_each(|row| proxies.release(*row..*row + 1)));
    }
    Ok(aligned)
}
