//! The U-Net (Ronneberger et al. 2015), plain: per level two of 3-wide convolution, instance norm, leaky
//! ReLU; max-pooling down, transposed convolution up, skips by concatenation, a 1-wide convolution as the head.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Result;
use crate::weights::{Init, Parameter, Weights};

/// Added to the variance in instance norms.
const EPSILON: f64 = 1e-5;

/// What makes one U-Net differ from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkPlan {
    /// 2 for planes (y, x), 3 for volumes (z, y, x).
    pub dims: usize,
    /// Channels of the finest level; every level below has twice those of the one above.
    pub width: i64,
    /// Number of levels, the finest included.
    pub depth: usize,
    /// Input channels.
    pub inputs: i64,
    /// Output channels: background and one for each label.
    pub classes: i64,
}

impl NetworkPlan {
    /// Channels of a level, 0 being the finest.
    pub fn channels(&self, level: usize) -> i64 {
        self.width << level
    }

    /// The coarsest level's voxel side in voxels of the input: sizes that are multiples of it lose nothing.
    pub fn stride(&self) -> usize {
        1 << (self.depth - 1)
    }
}

/// A U-Net: knows its parameters and how they act, holds no values.
#[derive(Clone, Copy, Debug)]
pub struct UNet {
    plan: NetworkPlan,
}

impl UNet {
    /// The network of a plan.
    pub fn new(plan: NetworkPlan) -> Self {
        Self { plan }
    }

    /// Its plan.
    pub fn plan(&self) -> &NetworkPlan {
        &self.plan
    }

    /// All parameters, in a fixed order.
    pub fn parameters(&self) -> Vec<Parameter> {
        let plan = &self.plan;
        let mut all = Vec::new();
        let mut inputs = plan.inputs;
        for level in 0..plan.depth {
            self.declare_level(&mut all, &format!("encoder.{level}"), inputs, plan.channels(level));
            inputs = plan.channels(level);
        }
        for level in (0..plan.depth - 1).rev() {
            let (fine, coarse) = (plan.channels(level), plan.channels(level + 1));
            let name = format!("decoder.{level}.up.weight");
            // A transposed kernel is (in, out, ...): each output voxel sees one tap of every input channel.
            all.push(Parameter { name, shape: self.kernel_shape(coarse, fine, 2), init: Init::He });
            self.declare_level(&mut all, &format!("decoder.{level}"), 2 * fine, fine);
        }
        let head = self.kernel_shape(plan.classes, plan.width, 1);
        all.push(Parameter { name: "head.weight".into(), shape: head, init: Init::He });
        all.push(Parameter {
            name: "head.bias".into(),
            shape: vec![plan.classes],
            init: Init::Constant(0.0),
        });
        all
    }

    fn kernel_shape(&self, outputs: i64, inputs: i64, side: i64) -> Vec<i64> {
        [outputs, inputs].into_iter().chain(vec![side; self.plan.dims]).collect()
    }

    fn declare_level(&self, all: &mut Vec<Parameter>, name: &str, inputs: i64, outputs: i64) {
        for (block, inputs) in [inputs, outputs].into_iter().enumerate() {
            let part = |part: &str| format!("{name}.{block}.{part}");
            let kernel = self.kernel_shape(outputs, inputs, 3);
            all.push(Parameter { name: part("conv.weight"), shape: kernel, init: Init::He });
            all.push(Parameter {
                name: part("norm.weight"),
                shape: vec![outputs],
                init: Init::Constant(1.0),
            });
            all.push(Parameter { name: part("norm.bias"), shape: vec![outputs], init: Init::Constant(0.0) });
        }
    }

    /// Logits (N, classes, spatial ...) of images (N, inputs, spatial ...), channels-last; every spatial side
    /// is at least the plan's stride.
    ///
    /// # Errors
    /// [`crate::FitError`] when the weights are another network's or memory ends.
    pub fn forward(&self, weights: &Weights, images: &Tensor) -> Result<Tensor> {
        let mut x = self.level(weights, "encoder.0", images)?;
        let mut skips = Vec::new();
        for level in 1..self.plan.depth {
            let pooled = self.pool(&x)?;
            skips.push(x);
            x = self.level(weights, &format!("encoder.{level}"), &pooled)?;
        }
        for (level, skip) in skips.iter().enumerate().rev() {
            let name = format!("decoder.{level}");
            let raised = self.upsample(&x, weights.get(&format!("{name}.up.weight"))?, skip)?;
            x = self.level(weights, &name, &Tensor::f_cat(&[&raised, skip], 1)?)?;
        }
        self.convolve(&x, weights.get("head.weight")?, Some(weights.get("head.bias")?), 0)
    }

    fn level(&self, weights: &Weights, name: &str, x: &Tensor) -> Result<Tensor> {
        let x = self.block(weights, &format!("{name}.0"), x)?;
        self.block(weights, &format!("{name}.1"), &x)
    }

    fn block(&self, weights: &Weights, name: &str, x: &Tensor) -> Result<Tensor> {
        let get = |part: &str| weights.get(&format!("{name}.{part}"));
        let x = self.convolve(x, get("conv.weight")?, None, 1)?;
        let (scale, shift) = (get("norm.weight")?, get("norm.bias")?);
        // One group per channel is instance norm; unlike f_instance_norm it keeps channels-last memory.
        let mut x = x.f_group_norm(x.size()[1], Some(scale), Some(shift), EPSILON, true)?;
        Ok(x.f_leaky_relu_()?) // libtorch's default slope below zero: 0.01
    }

    fn convolve(&self, x: &Tensor, kernel: &Tensor, bias: Option<&Tensor>, padding: i64) -> Result<Tensor> {
        let (one, padding) = (vec![1; self.plan.dims], vec![padding; self.plan.dims]);
        Ok(match self.plan.dims {
            2 => x.f_conv2d(kernel, bias, &one, &padding, &one, 1)?,
            _ => x.f_conv3d(kernel, bias, &one, &padding, &one, 1)?,
        })
    }

    fn pool(&self, x: &Tensor) -> Result<Tensor> {
        let n = self.plan.dims;
        let (zero, one, two) = (vec![0; n], vec![1; n], vec![2; n]);
        Ok(match n {
            2 => x.f_max_pool2d(&two, &two, &zero, &one, false)?,
            _ => x.f_max_pool3d(&two, &two, &zero, &one, false)?,
        })
    }

    /// Doubles every side, to that of `like`: where that is odd, the last voxels get no input.
    fn upsample(&self, x: &Tensor, kernel: &Tensor, like: &Tensor) -> Result<Tensor> {
        let n = self.plan.dims;
        let (zero, one, two) = (vec![0; n], vec![1; n], vec![2; n]);
        let odd: Vec<i64> = like.size()[2..].iter().map(|side| side % 2).collect();
        Ok(match n {
            2 => x.f_conv_transpose2d::<Tensor>(kernel, None, &two, &zero, &odd, 1, &one)?,
            _ => x.f_conv_transpose3d::<Tensor>(kernel, None, &two, &zero, &odd, 1, &one)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;
    use tch::{Device, Kind};

    fn logits_shape(dims: usize, depth: usize, sides: &[i64]) -> (Vec<i64>, Vec<i64>) {
        let net = UNet::new(NetworkPlan { dims, width: 4, depth, inputs: 1, classes: 3 });
        let weights = Weights::new(net.parameters(), 1, Device::Cpu).unwrap();
        let shape: Vec<i64> = [2, 1].iter().chain(sides).copied().collect();
        let values = Tensor::randn([shape.iter().product::<i64>()], (Kind::Float, Device::Cpu));
        let images = layout::from_channels_last(&values, &shape).unwrap();
        let logits = net.forward(&weights, &images).unwrap();
        (logits.size(), logits.stride())
    }

    #[test]
    fn logits_have_the_shape_of_the_images_for_odd_sides_too() {
        for (dims, depth, sides) in
            [(2, 3, vec![36, 52]), (2, 3, vec![35, 51]), (2, 4, vec![9, 17]), (2, 1, vec![5, 3])]
        {
            let expected: Vec<i64> = [2, 3].iter().chain(&sides).copied().collect();
            assert_eq!(logits_shape(dims, depth, &sides).0, expected);
        }
        assert_eq!(logits_shape(3, 2, &[5, 6, 7]).0, [2, 3, 5, 6, 7]);
    }

    #[test]
    fn memory_stays_channels_last() {
        assert_eq!(logits_shape(2, 2, &[6, 8]).1, [3 * 48, 1, 3 * 8, 3]);
        assert_eq!(logits_shape(3, 2, &[4, 6, 8]).1, [3 * 192, 1, 3 * 48, 3 * 8, 3]);
    }
}
