//! Pairs that are one image up to flips and a small shift: a file written again with its voxels mirrored or moved
//! under an unchanged affine, which reorientation cannot undo.
//!
//! Comparing every pair under eight flips and many shifts would cost a hundred times what `pdl compare` does. So
//! each case is described by what flips do not change at all and shifts hardly (`spectrum`); of these descriptions
//! each case's nearest neighbours are found, and only they are aligned and compared voxel by voxel (`align`).

mod align;
mod motion;
mod spectrum;

use std::collections::BTreeSet;

use pdl_prepare::proxies::Proxies;
use rayon::prelude::*;

use crate::SimilarityError;
use crate::isa::Isa;
use crate::ssim::window::SsimWindow;
use align::Aligner;
pub use motion::Motion;
use spectrum::Spectra;

/// Nearest neighbours, by description, to which a case is aligned.
const NEIGHBOURS: usize = 8;

/// Pairs aligned before the memory that their proxies take is let go.
const PAIRS_AT_A_TIME: usize = 512;

/// Two cases, how the second lies over the first, and how alike they are then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aligned {
    /// Row number of the first case in the proxies.
    pub a: usize,
    /// Row number of the second case in the proxies; larger than `a`.
    pub b: usize,
    /// How the second lies over the first.
    pub motion: Motion,
    /// SSIM where the two overlap, each moved half the way so that interpolation smooths both alike.
    pub ssim: f32,
}

/// Aligns every case to those that are most like it whatever flips and small shifts lie between them, by ascending
/// row numbers. Only pairs that are `wanted` (of row numbers, the smaller first) are looked at.
///
/// # Errors
/// [`SimilarityError::WindowTooLarge`] when the proxies are smaller than the window.
pub fn aligned_neighbours(
    proxies: &Proxies,
    window: SsimWindow,
    wanted: impl Fn(usize, usize) -> bool + Sync,
) -> Result<Vec<Aligned>, SimilarityError> {
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
        let align = |&(a, b): &(usize, usize)| -> Result<Aligned, SimilarityError> {
            let (motion, ssim) = aligner.align(proxies.voxels(a), proxies.voxels(b))?;
            Ok(Aligned { a, b, motion, ssim })
        };
        aligned.extend(some.par_iter().map(align).collect::<Result<Vec<_>, _>>()?);
        some.iter().for_each(|(a, b)| [a, b].into_iter().for_each(|row| proxies.release(*row..*row + 1)));
    }
    Ok(aligned)
}
