//! Growth within a run: the parts of its steps that have one patch size, resolution and batch size.

use crate::model::unet::NetworkPlan;
use crate::plan::curriculum_schedule::{PatchSpec, ResolutionPhase};
use crate::plan::network_topology::COARSEST_SIDE;
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::CurriculumSettings;
use crate::plan::speed::TimedSegment;

/// Full size of the last part of a run, and how the parts before it differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth<'a> {
    /// Shares and factors of the growth.
    pub settings: &'a CurriculumSettings,
    /// The network, whose stride patches are multiples of.
    pub network: &'a NetworkPlan,
    /// Full patch size (z, y, x) in voxels.
    pub patch: [usize; 3],
    /// Full batch size.
    pub batch: usize,
}

impl<'a> Growth<'a> {
    /// The growth of a run that is planned.
    pub fn of(settings: &'a CurriculumSettings, plan: &'a RunPlan) -> Self {
        Self { settings, network: &plan.network, patch: plan.patch, batch: plan.batch }
    }

    /// The parts of a run, in order.
    pub fn segments(&self) -> Vec<TimedSegment> {
        let (settings, smaller, pool) = (self.settings, self.smaller_patches(), self.pool());
        let batches = self.smaller_batches();
        let grown = if batches.is_empty() { 0.0 } else { settings.batch_share };
        let begins = |number: usize| grown * number as f64 / batches.len() as f64;
        let mut from: Vec<f64> = (0..batches.len())
            .map(begins)
            .chain([0.0, grown, settings.coarse_share, settings.patch_share])
            .collect();
        from.extend(smaller.iter().map(|(begins, _)| *begins));
        from.retain(|from| *from < 1.0);
        from.sort_by(f64::total_cmp);
        from.dedup();
        let spec = |from: f64| PatchSpec {
            patch: match smaller.iter().rev().find(|(begins, _)| *begins <= from) {
                Some((_, size)) if from < settings.patch_share => *size,
                _ => self.patch,
            },
            pool: if from < settings.coarse_share { pool } else { [1; 3] },
            batch: (0..batches.len())
                .rev()
                .find(|&n| begins(n) <= from && from < grown)
                .map_or(self.batch, |n| batches[n]),
        };
        from.into_iter().map(|from| TimedSegment { from, spec: spec(from) }).collect()
    }

    /// Batch sizes before the full one, doubling.
    fn smaller_batches(&self) -> Vec<usize> {
        let doubled = std::iter::successors(self.settings.batch_start, |size| Some(2 * size));
        doubled.take_while(|&size| size < self.batch).collect()
    }

    /// Pooling factors (z, y, x) of coarse patches. An axis on which the coarsest level of the
    /// network would have no voxel left is not pooled.
    fn pool(&self) -> [usize; 3] {
        let (network, factor) = (self.network, self.settings.coarse_factor);
        std::array::from_fn(|axis| {
            let least = factor << network.halvings[axis];
            let used = self.is_spatial(axis) && self.patch[axis] >= least && network.first_halved[axis] == 0;
            if used { factor } else { 1 }
        })
    }

    /// The sizes (z, y, x) of patches before they have their full size, each with its start as a
    /// fraction of the run's steps: equal differences over equal parts of `patch_share`.
    fn smaller_patches(&self) -> Vec<(f64, [usize; 3])> {
        let (small, sizes) = (self.small_patch(), self.settings.patch_steps - 1);
        let size = |number: usize| {
            std::array::from_fn(|axis| {
                let grown = small[axis] + (self.patch[axis] - small[axis]) * number / sizes;
                let fitting = grown.next_multiple_of(self.stride(axis)).min(self.patch[axis]);
                if self.is_spatial(axis) { fitting } else { 1 }
            })
        };
        let begins = |number: usize| self.settings.patch_share * number as f64 / sizes as f64;
        let mut smaller: Vec<(f64, [usize; 3])> = (0..sizes).map(|n| (begins(n), size(n))).collect();
        smaller.dedup_by_key(|(_, size)| *size);
        smaller
    }

    /// Size (z, y, x) of small patches: multiples of the network's stride.
    fn small_patch(&self) -> [usize; 3] {
        std::array::from_fn(|axis| {
            let stride = self.stride(axis);
            let least = COARSEST_SIDE * stride;
            let small = (self.patch[axis] / self.settings.patch_factor).max(least).next_multiple_of(stride);
            if self.is_spatial(axis) { small.min(self.patch[axis]) } else { 1 }
        })
    }

    fn stride(&self, axis: usize) -> usize {
        1 << self.network.halvings[axis]
    }

    /// Whether the network has the axis (z, y, x): planes have no z.
    fn is_spatial(&self, axis: usize) -> bool {
        axis >= 3 - self.network.dims
    }
}

/// First step of each part in a run of `steps` steps; parts without a step are omitted.
pub(crate) fn phases(segments: &[TimedSegment], steps: u64) -> Vec<ResolutionPhase> {
    let first = |segment: &TimedSegment| (segment.from * steps as f64).round() as u64;
    let ends = segments.iter().skip(1).map(first).chain([steps.max(1)]);
    let some = segments.iter().zip(ends).filter(|(segment, end)| first(segment) < *end);
    some.map(|(segment, _)| ResolutionPhase { first_step: first(segment), spec: segment.spec }).collect()
}

/// Patches per step, mean over the run.
pub(crate) fn patches_per_step(segments: &[TimedSegment]) -> f64 {
    let ends = segments.iter().skip(1).map(|segment| segment.from).chain([1.0]);
    segments.iter().zip(ends).map(|(segment, end)| (end - segment.from) * segment.spec.batch as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::settings::tests::settings;

    fn segments(line: &str, patch: [usize; 3], batch: usize) -> Vec<TimedSegment> {
        let network = NetworkPlan::plain(2, 16, 3, 3);
        Growth { settings: &settings(line).curriculum, network: &network, patch, batch }.segments()
    }

    /// As PGPS (arXiv 2510.23241): sizes in equal differences for equal times.
    #[test]
    fn patches_grow_linearly_to_their_full_size() {
        let parts = |line: &str| -> Vec<(f64, usize)> {
            let parts = segments(line, [1, 64, 64], 8);
            assert!(parts.iter().all(|part| part.spec.patch[1] == part.spec.patch[2]));
            parts.into_iter().map(|part| (part.from, part.spec.patch[1])).collect()
        };
        let linear = parts("--patch-share 0.75 --patch-steps 4 --patch-factor 4");
        assert_eq!(linear, [(0.0, 16), (0.25, 32), (0.5, 48), (0.75, 64)]);
        assert_eq!(parts("--patch-share 0.5"), [(0.0, 32), (0.5, 64)]);
        assert_eq!(parts("--patch-steps 4"), [(0.0, 64)]);
        // Sides stay multiples of the network's stride, 4; equal sizes are one part.
        let fine = parts("--patch-share 0.9 --patch-steps 32 --patch-factor 2");
        assert!(fine.len() <= 10 && fine.iter().all(|(_, side)| side % 4 == 0), "{fine:?}");
    }

    #[test]
    fn batches_double_while_patches_grow_finer_and_larger() {
        let (coarse, full) = ([1, 2, 2], [1; 3]);
        let parts = |line: &str| -> Vec<(f64, [usize; 3], usize)> {
            let parts = segments(line, [1, 52, 36], 20);
            assert!(parts.iter().all(|part| part.spec.patch == [1, 52, 36]));
            parts.into_iter().map(|part| (part.from, part.spec.pool, part.spec.batch)).collect()
        };
        assert_eq!(parts(""), [(0.0, full, 20)]);
        assert_eq!(parts("--coarse-share 1"), [(0.0, coarse, 20)]);
        assert_eq!(parts("--batch-start 10"), [(0.0, full, 10)]);
        assert_eq!(parts("--batch-start 20"), [(0.0, full, 20)]);
        assert_eq!(
            parts("--batch-start 5 --batch-share 0.75 --coarse-share 0.5"),
            [(0.0, coarse, 5), (0.375, coarse, 10), (0.5, full, 10), (0.75, full, 20)]
        );
        let small = segments("--patch-share 0.3 --coarse-share 0.6", [1, 52, 36], 20);
        let sides: Vec<_> = small.iter().map(|part| (part.from, part.spec.patch, part.spec.pool)).collect();
        assert_eq!(sides, [(0.0, [1, 28, 20], coarse), (0.3, [1, 52, 36], coarse), (0.6, [1, 52, 36], full)]);
    }

    #[test]
    fn segments_become_phases() {
        let spec = |batch| PatchSpec { patch: [1, 8, 8], pool: [1; 3], batch };
        let parts =
            [(0.0, 2), (0.2, 4), (0.21, 8)].map(|(from, batch)| TimedSegment { from, spec: spec(batch) });
        let firsts =
            |steps| phases(&parts, steps).iter().map(|p| (p.first_step, p.spec.batch)).collect::<Vec<_>>();
        assert_eq!(firsts(100), [(0, 2), (20, 4), (21, 8)]);
        assert_eq!(firsts(10), [(0, 2), (2, 8)]);
        assert_eq!(firsts(1), [(0, 8)]);
    }
}
