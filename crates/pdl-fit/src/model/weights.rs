//! Parameters of a network: named tensors that share one flat buffer, so that an optimiser step or
//! an EMA update is a few operations on one tensor.

use std::collections::HashMap;
use std::path::Path;

use tch::{Kind, Tensor};

use crate::data::random::{Purpose, Random};
use crate::error::{FitError, Result};
use crate::model::device::ComputeDevice;
use crate::model::instance_norm::Tape;
use crate::model::memory_format;

/// Initialisation of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Normal distribution with standard deviation sqrt(2 / fan-in) (He et al. 2015).
    He,
    /// All elements have this value.
    Constant(f64),
}

/// Place of a parameter in the network, by which optimisers treat it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Kernel (out, in, kernel axes ...) of a convolution between hidden activations.
    Inner,
    /// Kernel (in, out, kernel axes ...) of a transposed convolution between hidden activations.
    InnerTransposed,
    /// Kernel that reads the image or gives logits, bias, or part of a norm.
    Outer,
}

/// Declaration of one parameter of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Name, unique in the network.
    pub name: String,
    /// Shape; kernels are (out, in, kernel axes ...).
    pub shape: Vec<i64>,
    /// Initial values.
    pub init: Init,
    /// Whether the parameter has a gradient; the running statistics of a batch norm have none.
    pub trained: bool,
    /// Place in the network.
    pub role: Role,
}

impl Parameter {
    /// Number of elements.
    pub fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Whether the parameter belongs to a head, which gives logits.
    pub fn is_head(&self) -> bool {
        self.name.starts_with("head.")
    }

    /// Whether weight decay applies: to kernels, but not to biases and norms.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1
    }
}

/// Values of all parameters of a network.
#[derive(Debug)]
pub struct Weights {
    parameters: Vec<Parameter>,
    flat: Tensor,
    views: HashMap<String, Tensor>,
}

impl Weights {
    /// Initial values, which depend on `seed` alone.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn new(parameters: Vec<Parameter>, seed: u64, device: ComputeDevice) -> Result<Self> {
        let mut random = Random::new(seed, Purpose::Weights, 0);
        let mut values = Vec::new();
        parameters.iter().for_each(|parameter| initial(parameter, &mut random, &mut values));
        let flat = device.upload(&Tensor::f_from_slice(&values)?)?;
        Self::from_flat(parameters, flat)
    }

    fn from_flat(parameters: Vec<Parameter>, flat: Tensor) -> Result<Self> {
        let mut views = HashMap::new();
        let mut start = 0;
        for parameter in &parameters {
            let part = flat.f_narrow(0, start, parameter.len())?;
            let view = memory_format::kernel_from_flat(&part, &parameter.shape)?.f_detach()?;
            views.insert(parameter.name.clone(), view.f_set_requires_grad(parameter.trained)?);
            start += parameter.len();
        }
        Ok(Self { parameters, flat, views })
    }

    /// A deep copy.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn duplicate(&self) -> Result<Self> {
        Self::from_flat(self.parameters.clone(), self.flat.f_detach_copy()?)
    }

    /// A deep copy without gradients.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn frozen(&self) -> Result<Self> {
        let frozen = |parameter: &Parameter| Parameter { trained: false, ..parameter.clone() };
        Self::from_flat(self.parameters.iter().map(frozen).collect(), self.flat.f_detach_copy()?)
    }

    /// A copy in another precision.
    #[cfg(test)]
    pub(crate) fn to_kind(&self, kind: Kind) -> Result<Self> {
        Self::from_flat(self.parameters.clone(), self.flat.f_detach_copy()?.f_to_kind(kind)?)
    }

    /// All values as one tensor (P) that shares memory with the parameters.
    pub fn flat(&self) -> Tensor {
        self.flat.shallow_clone()
    }

    /// The parameters, in the order of [`Weights::flat`].
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameter `name`, sharing memory.
    ///
    /// # Errors
    /// [`FitError::Weights`] if there is none.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        self.views.get(name).ok_or_else(|| FitError::Weights { name: name.to_owned(), shape: vec![] })
    }

    /// Gradient (P) of `loss` (a scalar) in the order of [`Weights::flat`]; zero for parameters
    /// that are not trained. `tape` is that of the forward pass.
    ///
    /// # Errors
    /// [`FitError::Torch`] if libtorch fails.
    pub fn gradient(&self, loss: &Tensor, tape: Tape) -> Result<Tensor> {
        self.views.values().for_each(|leaf| leaf.shallow_clone().zero_grad());
        tape.backward(loss)?;
        let part = |p: &Parameter| {
            let gradient = self.get(&p.name)?.f_grad()?;
            match gradient.defined() {
                true => memory_format::kernel_to_flat(&gradient),
                false => {
                    Ok(Tensor::f_zeros([p.len()], ComputeDevice::of(&self.flat).options(self.flat.kind()))?)
                }
            }
        };
        let parts = self.parameters.iter().map(part).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    /// Writes all parameters as safetensors, atomically.
    ///
    /// # Errors
    /// [`FitError`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut named = Vec::new();
        for parameter in &self.parameters {
            let value = ComputeDevice::download(&self.get(&parameter.name)?.f_detach()?.f_contiguous()?)?;
            named.push((parameter.name.clone(), value));
        }
        pdl_store::atomic::write_with(path, |temporary| Ok(Tensor::write_safetensors(&named, temporary)?))
    }

    /// Reads all parameters from safetensors.
    ///
    /// # Errors
    /// [`FitError`] if the file is missing, does not match `parameters`, or holds numbers that are
    /// NaN or infinite.
    pub fn load(parameters: Vec<Parameter>, path: &Path, device: ComputeDevice) -> Result<Self> {
        let named: HashMap<String, Tensor> = Tensor::read_safetensors(path)?.into_iter().collect();
        let mut parts = Vec::new();
        for Parameter { name, shape, .. } in &parameters {
            let wrong = || FitError::Weights { name: name.clone(), shape: shape.clone() };
            let fits = |value: &&Tensor| value.size() == *shape && value.kind() == Kind::Float;
            parts.push(memory_format::kernel_to_flat(named.get(name).filter(fits).ok_or_else(wrong)?)?);
        }
        let flat = Tensor::f_cat(&parts, 0)?;
        if !are_finite(&flat)? {
            let problem = "the weights contain NaN or infinity; train the run again".to_owned();
            return Err(FitError::InvalidFile { problem, path: path.to_owned() });
        }
        let flat = device.upload(&flat)?;
        Self::from_flat(parameters, flat)
    }
}

/// Whether a tensor holds neither NaN nor infinity.
///
/// # Errors
/// [`FitError::Torch`] if libtorch fails.
pub(crate) fn are_finite(tensor: &Tensor) -> Result<bool> {
    Ok(tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1)
}

/// Appends the initial values of a parameter. libtorch's generator is not used, as all threads
/// share it.
fn initial(parameter: &Parameter, random: &mut Random, values: &mut Vec<f32>) {
    let mut value = || match parameter.init {
        Init::Constant(value) => value,
        Init::He => {
            let fan_in: i64 = parameter.shape.iter().skip(1).product();
            random.normal() * (2.0 / fan_in as f64).sqrt()
        }
    };
    values.extend((0..parameter.len()).map(|_| value() as f32));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::unet::{NetworkPlan, UNet};

    #[test]
    fn weights_survive_safetensors() {
        let plan = NetworkPlan::plain(2, 4, 2, 3);
        let parameters = UNet::new(plan).parameters();
        let weights = Weights::new(parameters.clone(), 7, ComputeDevice::CPU).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        weights.save(&path).unwrap();
        let read = Weights::load(parameters.clone(), &path, ComputeDevice::CPU).unwrap();
        assert!(read.flat().equal(&weights.flat()));
        let _ = tch::no_grad(|| weights.flat().get(5).fill_(f64::NAN));
        weights.save(&path).unwrap();
        let refused = Weights::load(parameters, &path, ComputeDevice::CPU);
        assert!(matches!(refused, Err(FitError::InvalidFile { .. })), "{refused:?}");
        let wider = UNet::new(NetworkPlan { width: 8, ..plan }).parameters();
        assert!(matches!(Weights::load(wider, &path, ComputeDevice::CPU), Err(FitError::Weights { .. })));
    }

    #[test]
    fn a_change_of_the_flat_buffer_changes_the_parameters() {
        let parameters = vec![Parameter {
            name: "a".into(),
            shape: vec![2, 3, 3, 3],
            init: Init::He,
            trained: true,
            role: Role::Inner,
        }];
        let weights = Weights::new(parameters, 1, ComputeDevice::CPU).unwrap();
        let _ = tch::no_grad(|| weights.flat().fill_(2.0));
        assert_eq!(weights.get("a").unwrap().double_value(&[1, 2, 0, 1]), 2.0);
    }
}
