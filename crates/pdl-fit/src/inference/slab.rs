//! Sums over the windows of the planes that sliding-window inference is at.

use std::collections::VecDeque;

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::inference::tiling::Tiling;
use crate::model::device::ComputeDevice;

/// Sliding buffer of planes to which windows are added. It moves along z, so that memory is bounded
/// by a window's depth or a batch of planes.
#[derive(Debug)]
pub struct Slab {
    classes: i64,
    /// Number format of the sums of probabilities.
    kind: Kind,
    device: ComputeDevice,
    /// Number of its first plane in the padded volume.
    pub first: usize,
    planes: VecDeque<PlaneSums>,
    /// Planes that are read, for those to come: new ones of this size among memory that other
    /// tensors free would spread over an ever larger heap.
    spare: Vec<PlaneSums>,
}

/// Sums over the windows of one plane of the padded volume.
#[derive(Debug)]
pub struct PlaneSums {
    /// Weighted sums of probabilities (channel, y, x).
    sums: Tensor,
    /// Sums of weights (y, x).
    weights: Tensor,
}

impl Slab {
    /// An empty buffer.
    pub fn new(classes: i64, kind: Kind, device: ComputeDevice) -> Self {
        Self { classes, kind, device, first: 0, planes: VecDeque::new(), spare: Vec::new() }
    }

    /// Appends planes up to the one before `end`.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] if libtorch fails.
    pub fn reach(&mut self, end: usize, tiling: &Tiling) -> Result<()> {
        let [_, y, x] = tiling.size.map(|n| n as i64);
        while self.first + self.planes.len() < end {
            let plane = match self.spare.pop() {
                Some(plane) => plane.cleared()?,
                None => PlaneSums {
                    sums: Tensor::f_zeros([self.classes, y, x], self.device.options(self.kind))?,
                    weights: Tensor::f_zeros([y, x], self.device.options(Kind::Float))?,
                },
            };
            self.planes.push_back(plane);
        }
        Ok(())
    }

    /// Adds the probabilities (channel, z, y, x) of the window at `start`.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] if libtorch fails.
    pub fn add(&self, start: [usize; 3], tiling: &Tiling, p: &Tensor, weight: &Tensor) -> Result<()> {
        let [depth, height, width] = tiling.window;
        let (at, size) = ([start[1], start[2]], [height, width]);
        for z in 0..depth {
            let Some(plane) = self.planes.get(start[0] + z - self.first) else { continue };
            let (p, weight) = (p.f_select(1, z as i64)?, weight.f_select(0, z as i64)?);
            let mut sums = part(&plane.sums, 1, at, size)?;
            let _ = match self.kind {
                Kind::Float => sums.f_addcmul_(&p, &weight)?,
                kind => sums.f_add_(&p.f_mul(&weight)?.f_to_kind(kind)?)?,
            };
            let _ = part(&plane.weights, 0, at, size)?.f_add_(&weight)?;
        }
        Ok(())
    }

    /// Number of planes in memory, those to be used again included.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.planes.len() + self.spare.len()
    }

    /// Takes back a plane that was removed, whose sums are read.
    pub fn take_back(&mut self, plane: PlaneSums) {
        self.spare.push(plane);
    }

    /// Removes the first plane.
    pub fn pop(&mut self) -> Option<PlaneSums> {
        let plane = self.planes.pop_front()?;
        self.first += 1;
        Some(plane)
    }
}

impl PlaneSums {
    fn cleared(mut self) -> Result<Self> {
        let _ = self.sums.f_zero_()?;
        let _ = self.weights.f_zero_()?;
        Ok(self)
    }

    /// Mean probabilities (y, x, channel) of the voxels in the volume, in C order.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] if libtorch fails.
    pub fn means(&self, tiling: &Tiling) -> Result<Vec<f32>> {
        let [_, height, width] = tiling.shape;
        let (start, size) = ([tiling.pad[1], tiling.pad[2]], [height, width]);
        let sums = part(&self.sums, 1, start, size)?.f_to_kind(Kind::Float)?;
        let means = sums.f_div(&part(&self.weights, 0, start, size)?)?;
        let means = ComputeDevice::download(&means.f_permute([1, 2, 0])?)?.f_contiguous()?;
        let mut p = vec![0.0; means.numel()];
        means.f_copy_data(&mut p, means.numel())?;
        Ok(p)
    }
}

/// View of `size` voxels from `start` on, along the axes from `axis` on.
///
/// # Errors
/// [`crate::FitError::Torch`] if libtorch fails.
pub fn part<const N: usize>(t: &Tensor, axis: i64, start: [usize; N], size: [usize; N]) -> Result<Tensor> {
    let mut view = t.shallow_clone();
    for (i, (start, size)) in start.into_iter().zip(size).enumerate() {
        view = view.f_narrow(axis + i as i64, start as i64, size as i64)?;
    }
    Ok(view)
}
