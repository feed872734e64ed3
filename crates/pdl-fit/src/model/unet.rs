//! U-Net (Ronneberger et al. 2015). Each level has two blocks of convolution, norm and leaky ReLU,
//! with an optional residual connection around both (He et al. 2016). Max-pooling leads down,
//! transposed convolution up; skip connections concatenate. The head is a convolution with a 1-wide
//! kernel; deep supervision adds one at every coarser level but the coarsest (Lee et al. 2015).
//! Kernels and strides adapt to anisotropic voxels (Isensee et al. 2021).

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::error::Result;
use crate::model::device::ComputeDevice;
use crate::model::instance_norm::{self, EPSILON, SLOPE, ScaleShift, Tape};
use crate::model::weights::{Init, Parameter, Role, Weights};

/// Momentum of a batch norm's running statistics (PyTorch's default).
const BATCH_MOMENTUM: f64 = 0.1;

/// Normalisation layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Instance norm: statistics of each sample and channel (Ulyanov et al. 2016).
    Instance,
    /// Batch norm: statistics of each channel over the batch (Ioffe and Szegedy 2015); faster on a
    /// CPU.
    Batch,
}

/// Architecture of a U-Net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkPlan {
    /// Spatial dimensions: 2 for planes (y, x), 3 for volumes (z, y, x).
    pub dims: usize,
    /// Channels of the finest level, doubled at each coarser level.
    pub width: i64,
    /// Number of levels, the finest included.
    pub depth: usize,
    /// Input channels.
    pub inputs: i64,
    /// Output channels: background and one for each label.
    pub classes: i64,
    /// Normalisation layer.
    pub norm: Norm,
    /// Whether each block's input is added to its output.
    pub residual: bool,
    /// Whether coarser levels of the decoder contribute to the loss.
    pub deep_supervision: bool,
    /// Along z, y, x: the first level (0 is the finest) that is halved on the way down. Kernels
    /// along the axis are 1 wide above that level and 3 wide from it on.
    pub first_halved: [usize; 3],
    /// Along z, y, x: number of halvings.
    pub halvings: [usize; 3],
}

impl NetworkPlan {
    /// A network with one input channel and instance norm whose axes are all halved at every level.
    pub fn plain(dims: usize, width: i64, depth: usize, classes: i64) -> Self {
        Self {
            dims,
            width,
            depth,
            inputs: 1,
            classes,
            norm: Norm::Instance,
            residual: false,
            deep_supervision: false,
            first_halved: [0; 3],
            halvings: [depth - 1; 3],
        }
    }

    /// Channels of a level; level 0 is the finest.
    pub fn channels(&self, level: usize) -> i64 {
        self.width << level
    }

    /// Largest downsampling factor of an axis. Sides that are multiples of it need no padding.
    pub fn stride(&self) -> usize {
        1 << self.axes().map(|axis| self.halvings[axis]).max().unwrap_or(0)
    }

    /// Spatial axes of the network as indices of (z, y, x).
    pub(crate) fn axes(&self) -> std::ops::Range<usize> {
        3 - self.dims..3
    }

    /// Downsampling factor of each axis between `level` and the next coarser one.
    pub fn strides(&self, level: usize) -> Vec<i64> {
        let halved = |axis: usize| {
            (self.first_halved[axis]..self.first_halved[axis] + self.halvings[axis]).contains(&level)
        };
        self.axes().map(|axis| if halved(axis) { 2 } else { 1 }).collect()
    }

    /// Kernel size of a level along each axis.
    pub fn kernel(&self, level: usize) -> Vec<i64> {
        self.axes().map(|axis| if level >= self.first_halved[axis] { 3 } else { 1 }).collect()
    }
}

/// Forward pass of a U-Net; [`Weights`] hold the values of its parameters.
#[derive(Clone, Copy, Debug)]
pub struct UNet {
    plan: NetworkPlan,
    /// Number format of convolutions; `None`: that of their input.
    convolution_kind: Option<Kind>,
}

impl UNet {
    /// A U-Net of this architecture.
    pub fn new(plan: NetworkPlan) -> Self {
        Self { plan, convolution_kind: None }
    }

    /// The U-Net with the number format of convolutions that suits `device`.
    #[must_use]
    pub fn on(self, device: ComputeDevice) -> Self {
        self.with_convolutions_in(device.convolution_kind())
    }

    /// The U-Net with convolutions in another number format; activations and norms keep theirs.
    #[must_use]
    pub(crate) fn with_convolutions_in(self, convolution_kind: Option<Kind>) -> Self {
        Self { convolution_kind, ..self }
    }

    /// The architecture.
    pub fn plan(&self) -> &NetworkPlan {
        &self.plan
    }

    /// All parameters, in a fixed order.
    pub fn parameters(&self) -> Vec<Parameter> {
        let plan = &self.plan;
        let mut all = Vec::new();
        let mut inputs = plan.inputs;
        for level in 0..plan.depth {
            self.declare_level(&mut all, "encoder", level, inputs);
            inputs = plan.channels(level);
        }
        for level in (0..plan.depth - 1).rev() {
            let (fine, coarse) = (plan.channels(level), plan.channels(level + 1));
            let name = format!("decoder.{level}.up.weight");
            // A transposed kernel is (in, out, ...): each output voxel sees one tap of every input
            // channel.
            let kernel = shape(coarse, fine, &plan.strides(level));
            declare(&mut all, name, kernel, Init::He, Role::InnerTransposed);
            self.declare_level(&mut all, "decoder", level, 2 * fine);
        }
        for level in self.heads() {
            let name = head_name(level);
            let kernel = shape(plan.classes, plan.channels(level), &vec![1; plan.dims]);
            declare(&mut all, format!("{name}.weight"), kernel, Init::He, Role::Outer);
            declare(&mut all, format!("{name}.bias"), vec![plan.classes], Init::Constant(0.0), Role::Outer);
        }
        all
    }

    /// Levels with a head: the finest, and with deep supervision all but the coarsest.
    fn heads(&self) -> std::ops::Range<usize> {
        0..if self.plan.deep_supervision { (self.plan.depth - 1).max(1) } else { 1 }
    }

    fn declare_level(&self, all: &mut Vec<Parameter>, half: &str, level: usize, inputs: i64) {
        let plan = &self.plan;
        let outputs = plan.channels(level);
        let reads_image = half == "encoder" && level == 0;
        let first = if reads_image { Role::Outer } else { Role::Inner };
        for (block, (inputs, role)) in [(inputs, first), (outputs, Role::Inner)].into_iter().enumerate() {
            let part = |part: &str| format!("{half}.{level}.{block}.{part}");
            declare(all, part("conv.weight"), shape(outputs, inputs, &plan.kernel(level)), Init::He, role);
            declare(all, part("norm.weight"), vec![outputs], Init::Constant(1.0), Role::Outer);
            declare(all, part("norm.bias"), vec![outputs], Init::Constant(0.0), Role::Outer);
            if plan.norm == Norm::Batch {
                for (figure, value) in [("norm.mean", 0.0), ("norm.variance", 1.0)] {
                    let init = Init::Constant(value);
                    let (name, shape, role) = (part(figure), vec![outputs], Role::Outer);
                    all.push(Parameter { name, shape, init, trained: false, role });
                }
            }
        }
        if plan.residual && inputs != outputs {
            let kernel = shape(outputs, inputs, &vec![1; plan.dims]);
            declare(all, format!("{half}.{level}.shortcut.weight"), kernel, Init::He, first);
        }
    }

    /// Logits (N, classes, spatial ...) of images (N, inputs, spatial ...), channels-last. Every
    /// side must be at least the network's stride. Batch norms use their running statistics.
    ///
    /// # Errors
    /// [`crate::FitError`] if the weights belong to another network or memory is exhausted.
    pub fn forward(&self, weights: &Weights, images: &Tensor) -> Result<Tensor> {
        self.applied(weights, images, Mode::Applied)
    }

    /// Like [`UNet::forward`], with libtorch's operations only, for tracing.
    ///
    /// # Errors
    /// As [`UNet::forward`].
    pub fn forward_traced(&self, weights: &Weights, images: &Tensor) -> Result<Tensor> {
        self.applied(weights, images, Mode::Traced)
    }

    fn applied(&self, weights: &Weights, images: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let pass = Pass { net: self, plan: &self.plan, weights, mode };
        pass.logits(images, 0..1)?.pop().ok_or_else(|| missing("head"))
    }

    /// Logits of all levels with a head, the finest first, each on its own grid. Batch norms use
    /// the batch's statistics and update their running ones. [`Weights::gradient`] needs the tape.
    ///
    /// # Errors
    /// As [`UNet::forward`].
    pub fn forward_training(&self, weights: &Weights, images: &Tensor, tape: &Tape) -> Result<Vec<Tensor>> {
        let pass = Pass { net: self, plan: &self.plan, weights, mode: Mode::Training(tape) };
        let mut logits = pass.logits(images, self.heads())?;
        logits.reverse();
        Ok(logits)
    }
}

fn declare(all: &mut Vec<Parameter>, name: String, shape: Vec<i64>, init: Init, role: Role) {
    all.push(Parameter { name, shape, init, trained: true, role });
}

fn shape(outputs: i64, inputs: i64, kernel: &[i64]) -> Vec<i64> {
    [outputs, inputs].iter().chain(kernel).copied().collect()
}

fn head_name(level: usize) -> String {
    if level == 0 { "head".to_owned() } else { format!("head.{level}") }
}

fn missing(name: &str) -> crate::FitError {
    crate::FitError::Weights { name: name.to_owned(), shape: vec![] }
}

/// One forward pass.
struct Pass<'a> {
    net: &'a UNet,
    plan: &'a NetworkPlan,
    weights: &'a Weights,
    mode: Mode<'a>,
}

/// Purpose of a forward pass.
#[derive(Clone, Copy)]
enum Mode<'a> {
    /// Training: norms are recorded on this tape.
    Training(&'a Tape),
    /// Inference.
    Applied,
    /// Inference with operations that libtorch can trace.
    Traced,
}

impl Pass<'_> {
    /// Logits of the levels `heads`, the coarsest first.
    fn logits(&self, images: &Tensor, heads: std::ops::Range<usize>) -> Result<Vec<Tensor>> {
        let mut x = self.level("encoder", 0, images)?;
        let mut skips = Vec::new();
        for level in 1..self.plan.depth {
            let pooled = self.pool(&x, level - 1)?;
            skips.push(x);
            x = self.level("encoder", level, &pooled)?;
        }
        let mut logits = Vec::new();
        for (level, skip) in skips.iter().enumerate().rev() {
            let raised = self.upsample(&x, level, skip)?;
            x = self.level("decoder", level, &Tensor::f_cat(&[&raised, skip], 1)?)?;
            if heads.contains(&level) {
                logits.push(self.head(&x, level)?);
            }
        }
        if skips.is_empty() {
            logits.push(self.head(&x, 0)?);
        }
        Ok(logits)
    }

    fn head(&self, x: &Tensor, level: usize) -> Result<Tensor> {
        let name = head_name(level);
        let kernel = self.weights.get(&format!("{name}.weight"))?;
        self.convolve(x, kernel, Some(self.weights.get(&format!("{name}.bias"))?))
    }

    fn level(&self, half: &str, level: usize, x: &Tensor) -> Result<Tensor> {
        let name = format!("{half}.{level}");
        if !self.plan.residual {
            let y = self.block(&format!("{name}.0"), x, true)?;
            return self.block(&format!("{name}.1"), &y, true);
        }
        // Two parts of the graph use it: the first convolution and the shortcut.
        let x = &self.branch(x)?;
        let y = self.block(&format!("{name}.0"), x, true)?;
        let y = self.block(&format!("{name}.1"), &y, false)?;
        let same = x.size()[1] == y.size()[1];
        let mut y = if same {
            y.f_add(x)?
        } else {
            y.f_add(&self.convolve(x, self.weights.get(&format!("{name}.shortcut.weight"))?, None)?)?
        };
        // Another level and a head may use it, each in its own part of the graph.
        self.branch(&y.f_leaky_relu_()?)
    }

    /// Whether [`crate::model::instance_norm`] normalises these activations, which cuts the graph.
    fn has_own_norm(&self, x: &Tensor) -> bool {
        self.plan.norm == Norm::Instance
            && !matches!(self.mode, Mode::Traced)
            && (ComputeDevice::of(x), x.kind()) == (ComputeDevice::CPU, Kind::Float)
    }

    /// Cuts the graph for activations that several of its parts use.
    fn branch(&self, x: &Tensor) -> Result<Tensor> {
        match self.mode {
            Mode::Training(tape) if self.has_own_norm(x) => tape.branch(x),
            _ => Ok(x.shallow_clone()),
        }
    }

    /// Convolution and norm, with leaky ReLU if `leaky`.
    fn block(&self, name: &str, x: &Tensor, leaky: bool) -> Result<Tensor> {
        let get = |part: &str| self.weights.get(&format!("{name}.{part}"));
        let x = self.convolve(x, get("conv.weight")?, None)?;
        let (scale, shift) = (get("norm.weight")?, get("norm.bias")?);
        if self.has_own_norm(&x) {
            let tape = if let Mode::Training(tape) = self.mode { Some(tape) } else { None };
            let slope = if leaky { SLOPE } else { 1.0 };
            let affine = ScaleShift { scale: scale.shallow_clone(), shift: shift.shallow_clone(), slope };
            return instance_norm::forward(&x, affine, tape);
        }
        let mut y = match (self.plan.norm, self.mode) {
            // One group per channel is instance norm; unlike f_instance_norm it preserves
            // channels-last memory.
            (Norm::Instance, _) => x.f_group_norm(x.size()[1], Some(scale), Some(shift), EPSILON, true)?,
            (Norm::Batch, mode) => {
                let (mean, variance) = (Some(get("norm.mean")?), Some(get("norm.variance")?));
                let training = matches!(mode, Mode::Training(_));
                x.f_batch_norm(
                    Some(scale),
                    Some(shift),
                    mean,
                    variance,
                    training,
                    BATCH_MOMENTUM,
                    EPSILON,
                    true,
                )?
            }
        };
        Ok(if leaky { y.f_leaky_relu_()? } else { y })
    }

    /// Convolution with zero padding that preserves every side.
    fn convolve(&self, x: &Tensor, kernel: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let one = vec![1; self.plan.dims];
        let padding: Vec<i64> = kernel.size()[2..].iter().map(|side| side / 2).collect();
        self.in_convolution_kind(x, kernel, bias, |x, kernel, bias| {
            Ok(match self.plan.dims {
                2 => x.f_conv2d(kernel, bias, &one, &padding, &one, 1)?,
                _ => x.f_conv3d(kernel, bias, &one, &padding, &one, 1)?,
            })
        })
    }

    /// A convolution in the number format of [`UNet::on`]; its output has that of `x`.
    fn in_convolution_kind(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        bias: Option<&Tensor>,
        convolution: impl Fn(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Some(kind) = self.net.convolution_kind else { return convolution(x, kernel, bias) };
        let bias = bias.map(|bias| bias.f_to_kind(kind)).transpose()?;
        let y = convolution(&x.f_to_kind(kind)?, &kernel.f_to_kind(kind)?, bias.as_ref())?;
        Ok(y.f_to_kind(x.kind())?)
    }

    fn pool(&self, x: &Tensor, level: usize) -> Result<Tensor> {
        let n = self.plan.dims;
        let (zero, one, stride) = (vec![0; n], vec![1; n], self.plan.strides(level));
        Ok(match n {
            2 => x.f_max_pool2d(&stride, &stride, &zero, &one, false)?,
            _ => x.f_max_pool3d(&stride, &stride, &zero, &one, false)?,
        })
    }

    /// Transposed convolution to the sides of `like`; the last voxels of odd sides get zeros.
    fn upsample(&self, x: &Tensor, level: usize, like: &Tensor) -> Result<Tensor> {
        let kernel = self.weights.get(&format!("decoder.{level}.up.weight"))?;
        let n = self.plan.dims;
        let (zero, one, stride) = (vec![0; n], vec![1; n], self.plan.strides(level));
        let odd: Vec<i64> = like.size()[2..].iter().zip(&stride).map(|(side, by)| side % by).collect();
        self.in_convolution_kind(x, kernel, None, |x, kernel, bias| {
            Ok(match n {
                2 => x.f_conv_transpose2d(kernel, bias, &stride, &zero, &odd, 1, &one)?,
                _ => x.f_conv_transpose3d(kernel, bias, &stride, &zero, &odd, 1, &one)?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::model::memory_format;
    use crate::optim::loss;

    fn images(sides: &[i64]) -> Tensor {
        images_of(1, sides)
    }

    fn images_of(inputs: i64, sides: &[i64]) -> Tensor {
        let shape: Vec<i64> = [2, inputs].iter().chain(sides).copied().collect();
        tch::manual_seed(1);
        let values = Tensor::randn([shape.iter().product::<i64>()], (Kind::Float, Device::Cpu));
        memory_format::from_channels_last(&values, &shape).unwrap()
    }

    fn logits_shape(plan: NetworkPlan, sides: &[i64]) -> (Vec<i64>, Vec<i64>) {
        let net = UNet::new(plan);
        let weights = Weights::new(net.parameters(), 1, ComputeDevice::CPU).unwrap();
        let logits = net.forward(&weights, &images(sides)).unwrap();
        (logits.size(), logits.stride())
    }

    #[test]
    fn logits_have_the_shape_of_the_images_for_odd_sides_too() {
        for (dims, depth, sides) in
            [(2, 3, vec![36, 52]), (2, 3, vec![35, 51]), (2, 4, vec![9, 17]), (2, 1, vec![5, 3])]
        {
            let expected: Vec<i64> = [2, 3].iter().chain(&sides).copied().collect();
            let plan = NetworkPlan::plain(dims, 4, depth, 3);
            assert_eq!(logits_shape(plan, &sides).0, expected);
            let other = NetworkPlan { norm: Norm::Batch, residual: true, deep_supervision: true, ..plan };
            assert_eq!(logits_shape(other, &sides).0, expected);
        }
        assert_eq!(logits_shape(NetworkPlan::plain(3, 4, 2, 3), &[5, 6, 7]).0, [2, 3, 5, 6, 7]);
    }

    #[test]
    fn thick_slices_are_halved_later() {
        let plain = NetworkPlan::plain(3, 4, 4, 3);
        let plan = NetworkPlan { first_halved: [2, 0, 0], halvings: [1, 3, 3], ..plain };
        assert_eq!(plan.strides(0), [1, 2, 2]);
        assert_eq!(plan.strides(2), [2, 2, 2]);
        assert_eq!((plan.kernel(1), plan.kernel(2)), (vec![1, 3, 3], vec![3, 3, 3]));
        assert_eq!(logits_shape(plan, &[3, 17, 24]).0, [2, 3, 3, 17, 24]);
    }

    #[test]
    fn memory_stays_channels_last() {
        for norm in [Norm::Instance, Norm::Batch] {
            let plan = |dims| NetworkPlan { norm, ..NetworkPlan::plain(dims, 4, 2, 3) };
            assert_eq!(logits_shape(plan(2), &[6, 8]).1, [3 * 48, 1, 3 * 8, 3]);
            assert_eq!(logits_shape(plan(3), &[4, 6, 8]).1, [3 * 192, 1, 3 * 48, 3 * 8, 3]);
        }
    }

    #[test]
    fn deep_supervision_gives_the_logits_of_coarser_levels() {
        let plan = NetworkPlan { deep_supervision: true, ..NetworkPlan::plain(2, 4, 3, 3) };
        let net = UNet::new(plan);
        let weights = Weights::new(net.parameters(), 1, ComputeDevice::CPU).unwrap();
        let logits = net.forward_training(&weights, &images(&[16, 24]), &Tape::default()).unwrap();
        let sizes: Vec<Vec<i64>> = logits.iter().map(Tensor::size).collect();
        assert_eq!(sizes, [vec![2, 3, 16, 24], vec![2, 3, 8, 12]]);
        assert!(logits[0].equal(&net.forward(&weights, &images(&[16, 24])).unwrap()));
    }

    /// Loss and gradient of one training step. In float64 the norms are libtorch's, whose graph has
    /// no cuts.
    fn step(plan: NetworkPlan, sides: &[i64], kind: Kind) -> (f64, Tensor) {
        let net = UNet::new(plan);
        let weights = Weights::new(net.parameters(), 3, ComputeDevice::CPU).unwrap().to_kind(kind).unwrap();
        let shape: Vec<i64> = [2].iter().chain(sides).copied().collect();
        tch::manual_seed(2);
        let target = Tensor::randint(plan.classes, shape.as_slice(), (Kind::Int64, Device::Cpu));
        let annotated = Tensor::ones([2, plan.classes], (Kind::Float, Device::Cpu));
        let (images, tape) = (images_of(plan.inputs, sides), Tape::default());
        let logits = net.forward_training(&weights, &images.to_kind(kind), &tape).unwrap();
        let loss = loss::supervised(&logits, &target, &annotated, &[]).unwrap();
        (loss.double_value(&[]), weights.gradient(&loss, tape).unwrap().to_kind(Kind::Double))
    }

    /// Compared with libtorch's automatic differentiation in float64, to 1e-4 of the gradient norm,
    /// for every combination of norm, residual blocks, deep supervision and dimensions; a first
    /// level as wide as the image has an identity shortcut.
    #[test]
    fn gradients_are_those_of_libtorch_for_every_network() {
        let both = [false, true];
        for (dims, sides) in [(2, vec![19, 24]), (3, vec![8, 11, 12])] {
            for (norm, inputs) in [(Norm::Instance, 1), (Norm::Instance, 4), (Norm::Batch, 1)] {
                for (residual, deep) in both.into_iter().flat_map(|r| both.map(|deep| (r, deep))) {
                    let plain = NetworkPlan::plain(dims, 4, 3, 3);
                    let plan = NetworkPlan { norm, inputs, residual, deep_supervision: deep, ..plain };
                    let (loss, ours) = step(plan, &sides, Kind::Float);
                    let (exact, theirs) = step(plan, &sides, Kind::Double);
                    let apart = ((&ours - &theirs).norm() / theirs.norm()).double_value(&[]);
                    assert!(apart < 1e-4, "{plan:?}: {apart:.1e}");
                    assert!((loss - exact).abs() < 1e-5, "{plan:?}: {loss} {exact}");
                }
            }
        }
    }

    #[test]
    fn batch_norms_learn_their_figures_in_training_only() {
        let net = UNet::new(NetworkPlan { norm: Norm::Batch, ..NetworkPlan::plain(2, 4, 1, 2) });
        let weights = Weights::new(net.parameters(), 1, ComputeDevice::CPU).unwrap();
        let mean = || weights.get("encoder.0.0.norm.mean").unwrap().abs().sum(Kind::Double).double_value(&[]);
        let _ = net.forward(&weights, &images(&[8, 8])).unwrap();
        assert_eq!(mean(), 0.0);
        let tape = Tape::default();
        let logits = net.forward_training(&weights, &images(&[8, 8]), &tape).unwrap();
        assert!(mean() > 0.0);
        let gradient = weights.gradient(&logits[0].sum(Kind::Float), tape).unwrap();
        assert_eq!(gradient.size(), weights.flat().size(), "figures without a gradient count as zero");
    }
}
