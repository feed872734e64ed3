//! Export of a trained network as TorchScript, which libtorch and Python's `torch.jit.load` run
//! without pdl.
//!
//! The module takes prepared images, float32 (N, 1, y, x) or (N, 1, z, y, x) in RAS+ orientation
//! whose sides are multiples of [`NetworkPlan::stride`](crate::model::unet::NetworkPlan::stride),
//! and returns logits (N, classes, ...) on the same grid. Images larger than the patch size are
//! segmented by [`sliding_window`](crate::inference::sliding_window). `run.json` of the run has the
//! preparation of images and the label of each channel.

use std::path::Path;

use tch::{CModule, Kind, Tensor};

use crate::error::{FitError, Result};
use crate::inference::model::Model;
use crate::model::device::ComputeDevice;
use crate::model::unet::UNet;
use crate::model::weights::Weights;

/// Default name of the file in a run's folder.
pub const FILE: &str = "network.pt";

/// Writes the network of a run as TorchScript, atomically.
///
/// # Errors
/// [`FitError`] if libtorch cannot trace the network or the file cannot be written.
pub fn write(model: &Model, path: &Path) -> Result<()> {
    let (net, weights) = model.network();
    let module = traced(net, weights)?;
    pdl_store::atomic::write_with(path, |temporary| Ok(module.save(temporary)?))
}

/// Traces the network on one image. Constants of the trace, such as the padding of odd sides, are
/// those of this image, so its sides are multiples of the stride.
fn traced(net: &UNet, weights: &Weights) -> Result<CModule> {
    // they become constants, which have no gradients
    let (plan, weights) = (net.plan(), weights.frozen()?);
    let side = 2 * plan.stride() as i64;
    let shape: Vec<i64> = [1, plan.inputs].into_iter().chain(vec![side; plan.dims]).collect();
    let image = Tensor::f_zeros(shape, ComputeDevice::CPU.options(Kind::Float))?;
    let mut problem: Option<FitError> = None;
    let mut forward = |images: &[Tensor]| match net.forward_traced(&weights, &images[0]) {
        Ok(logits) => vec![logits],
        Err(error) => {
            problem = Some(error);
            vec![images[0].shallow_clone()]
        }
    };
    let module = CModule::create_by_tracing("pdl_network", "forward", &[image], &mut forward);
    match problem {
        Some(error) => Err(error), // it also ended the tracing, which says no more than that
        None => Ok(module?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unet::{NetworkPlan, Norm};
    use tch::{Device, IValue};

    /// Largest difference of the logits after a round trip through the file, for images of other
    /// sizes than the traced one.
    fn difference(plan: NetworkPlan, shape: &[i64]) -> f64 {
        let net = UNet::new(plan);
        let weights = Weights::new(net.parameters(), 5, ComputeDevice::CPU).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.pt");
        traced(&net, &weights).unwrap().save(&path).unwrap();
        let module = CModule::load(&path).unwrap();
        let n: i64 = shape.iter().product();
        let images = Tensor::arange(n, (Kind::Float, Device::Cpu)).sin().view(shape);
        let IValue::Tensor(logits) = module.forward_is(&[IValue::Tensor(images.shallow_clone())]).unwrap()
        else {
            panic!("no tensor came out")
        };
        let apart = |a: &Tensor, b: &Tensor| {
            assert_eq!(a.size(), b.size());
            (a - b).abs().max().double_value(&[])
        };
        // libtorch's norms have fewer digits than those of this crate.
        assert!(apart(&logits, &net.forward(&weights, &images).unwrap()) < 1e-4);
        apart(&logits, &net.forward_traced(&weights, &images).unwrap())
    }

    #[test]
    fn gives_the_logits_of_the_network() {
        let plane = NetworkPlan::plain(2, 4, 3, 3);
        assert!(difference(plane, &[2, 1, 36, 20]) < 1e-5);
        let other = NetworkPlan { norm: Norm::Batch, residual: true, deep_supervision: true, ..plane };
        assert!(difference(other, &[1, 1, 8, 44]) < 1e-5);
        let thick =
            NetworkPlan { first_halved: [1, 0, 0], halvings: [1, 2, 2], ..NetworkPlan::plain(3, 4, 3, 2) };
        assert!(difference(thick, &[1, 1, 4, 12, 8]) < 1e-5);
    }
}
