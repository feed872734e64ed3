//! Muon (Jordan et al. 2024): the momentum of a kernel, as a matrix, is replaced by a matrix with
//! the same singular vectors whose singular values are near 1.
//!
//! A kernel (out, in, kernel axes ...) is the matrix of its outputs x everything else. The update
//! is scaled by 0.2 sqrt(longer side), so that its root mean square is near that of AdamW's
//! updates, and the same learning rates fit (Liu et al. 2025, arXiv 2502.16982).

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::model::device::ComputeDevice;
use crate::model::weights::{Parameter, Role};

/// Coefficients of the quintic Newton-Schulz iteration aX + b(XX')X + c(XX')(XX')X (Jordan et al.
/// 2024): singular values end from 0.7 to 1.2.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];
/// Newton-Schulz iterations.
const ITERATIONS: usize = 5;
/// Lower bound of the norm by which a matrix is divided before the iterations.
const LEAST_NORM: f64 = 1e-7;
/// Ratio of an update's root mean square to that of an orthogonal matrix's (Liu et al. 2025).
const SCALE: f64 = 0.2;

/// Matrix of a kernel in the flat buffer of the parameters, as it lies in memory.
///
/// Kernels are channels-last: (out, kernel axes ..., in) is already the matrix of outputs x rest;
/// (in, kernel axes ..., out) of a transposed convolution is its transpose. The order of the
/// columns does not matter, as the iteration commutes with their permutation, and with
/// transposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Matrix {
    start: i64,
    rows: i64,
    columns: i64,
}

impl Matrix {
    fn of(parameter: &Parameter, start: i64) -> Option<Self> {
        let (first, second) = (*parameter.shape.first()?, *parameter.shape.get(1)?);
        let (rows, columns) = match parameter.role {
            Role::Inner => (first, parameter.len() / first),
            Role::InnerTransposed => (parameter.len() / second, second),
            Role::Outer => return None,
        };
        Some(Self { start, rows, columns })
    }

    /// (shorter side, longer side).
    fn sides(&self) -> (i64, i64) {
        (self.rows.min(self.columns), self.rows.max(self.columns))
    }

    /// The matrix in `flat` (P) with the shorter side first, sharing memory.
    fn view(&self, flat: &Tensor) -> Result<Tensor> {
        let matrix = flat.f_narrow(0, self.start, self.rows * self.columns)?;
        let matrix = matrix.f_view([self.rows, self.columns])?;
        Ok(if self.rows > self.columns { matrix.f_transpose(0, 1)? } else { matrix })
    }
}

/// The kernels that Muon updates, and the elements of all other parameters.
#[derive(Debug)]
pub(crate) struct InnerKernels {
    /// Matrices of equal sides, which are orthogonalised in one batch.
    groups: Vec<Vec<Matrix>>,
    /// Positions (Q) in the flat buffer of the elements that belong to no inner kernel.
    others: Tensor,
}

impl InnerKernels {
    /// The inner kernels among `parameters`, which lie one after the other in the flat buffer.
    pub(crate) fn new(parameters: &[Parameter], device: ComputeDevice) -> Result<Self> {
        let mut groups: BTreeMap<(i64, i64), Vec<Matrix>> = BTreeMap::new();
        let (mut others, mut start) = (Vec::new(), 0);
        for parameter in parameters {
            let end = start + parameter.len();
            match Matrix::of(parameter, start) {
                Some(matrix) => groups.entry(matrix.sides()).or_default().push(matrix),
                None => others.extend(start..end),
            }
            start = end;
        }
        let others = device.upload(&Tensor::f_from_slice(&others)?)?;
        Ok(Self { groups: groups.into_values().collect(), others })
    }

    /// Elements (Q) of `flat` (P) that belong to no inner kernel.
    pub(crate) fn others_of(&self, flat: &Tensor) -> Result<Tensor> {
        Ok(flat.f_index_select(0, &self.others)?)
    }

    /// Overwrites the elements of `flat` (P) that belong to no inner kernel with `values` (Q).
    pub(crate) fn set_others(&self, flat: &mut Tensor, values: &Tensor) -> Result<()> {
        let _ = flat.f_index_copy_(0, &self.others, values)?;
        Ok(())
    }

    /// Replaces the inner kernels of `flat` (P) by their orthogonalised and scaled matrices.
    pub(crate) fn orthogonalise(&self, flat: &Tensor) -> Result<()> {
        for group in &self.groups {
            let views = group.iter().map(|matrix| matrix.view(flat)).collect::<Result<Vec<_>>>()?;
            let batch = newton_schulz(&Tensor::f_stack(&views, 0)?)?;
            let longer = group.first().map_or(0, |matrix| matrix.sides().1) as f64;
            let batch = batch.f_mul_scalar(SCALE * longer.sqrt())?;
            for (mut view, update) in views.into_iter().zip(batch.f_unbind(0)?) {
                view.f_copy_(&update)?;
            }
        }
        Ok(())
    }
}

/// Newton-Schulz iterations for matrices (N, shorter, longer).
fn newton_schulz(batch: &Tensor) -> Result<Tensor> {
    let [a, b, c] = COEFFICIENTS;
    let norms = batch.f_square()?.f_sum_dim_intlist([1, 2].as_slice(), true, Kind::Float)?.f_sqrt()?;
    let mut x = batch.f_div(&norms.f_clamp_min(LEAST_NORM)?)?;
    for _ in 0..ITERATIONS {
        let gram = x.f_bmm(&x.f_transpose(1, 2)?)?;
        let polynomial = gram.f_baddbmm(&gram, &gram, b, c)?;
        x = x.f_baddbmm(&polynomial, &x, a, 1.0)?;
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use tch::Device;

    use super::*;
    use crate::model::memory_format::kernel_to_flat;
    use crate::model::unet::{NetworkPlan, UNet};
    use crate::model::weights::{Init, Weights};
    use crate::optim::optimiser::{Method, Optimiser, OptimiserConfig};

    /// tests/golden/data/muon.json: three steps by tests/golden/scripts/muon.py.
    fn golden() -> Value {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data/muon.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn parameter(value: &Value) -> Parameter {
        let role = match value["role"].as_str().unwrap() {
            "inner" => Role::Inner,
            "inner-transposed" => Role::InnerTransposed,
            _ => Role::Outer,
        };
        let shape = value["shape"].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect();
        let name = value["name"].as_str().unwrap().to_owned();
        Parameter { name, shape, init: Init::Constant(0.0), trained: true, role }
    }

    /// Values of all parameters, each in C order, as a flat buffer (P).
    fn flat(parameters: &[Parameter], values: &Value) -> Tensor {
        let part = |(parameter, values): (&Parameter, &Value)| {
            let values: Vec<f32> =
                values.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            kernel_to_flat(&Tensor::from_slice(&values).view(parameter.shape.as_slice())).unwrap()
        };
        let parts: Vec<Tensor> = parameters.iter().zip(values.as_array().unwrap()).map(part).collect();
        Tensor::cat(&parts, 0)
    }

    #[test]
    fn updates_are_those_of_the_reference() {
        let golden = golden();
        let parameters: Vec<Parameter> =
            golden["parameters"].as_array().unwrap().iter().map(parameter).collect();
        let number = |name: &str| golden[name].as_f64().unwrap();
        let config = OptimiserConfig {
            method: Method::Muon,
            momentum: number("momentum"),
            weight_decay: number("weight_decay"),
            clip: number("clip"),
        };
        let weights = Weights::new(parameters.clone(), 1, ComputeDevice::CPU).unwrap();
        weights.flat().copy_(&flat(&parameters, &golden["initial"]));
        let mut optimiser = Optimiser::new(&weights, config).unwrap();
        for step in golden["steps"].as_array().unwrap() {
            let before = weights.flat().copy();
            let norm = optimiser
                .step(&weights, &flat(&parameters, &step["gradient"]), step["lr"].as_f64().unwrap())
                .unwrap();
            assert!((norm / step["norm"].as_f64().unwrap() - 1.0).abs() < 1e-5);
            let (mut start, change) = (0, weights.flat() - before);
            let expected = flat(&parameters, &step["change"]);
            for parameter in &parameters {
                let of = |t: &Tensor| t.narrow(0, start, parameter.len());
                let apart = ((of(&change) - of(&expected)).norm() / of(&expected).norm()).double_value(&[]);
                assert!(apart < 1e-4, "{}: {apart:.1e}", parameter.name);
                start += parameter.len();
            }
        }
    }

    #[test]
    fn singular_values_end_near_one() {
        tch::manual_seed(5);
        let batch = Tensor::randn([3, 16, 144], (Kind::Float, Device::Cpu));
        let (_, values, _) = newton_schulz(&batch).unwrap().svd(true, true);
        let (least, most) = (values.min().double_value(&[]), values.max().double_value(&[]));
        assert!(least > 0.6 && most < 1.3, "{least} {most}");
        assert_eq!(newton_schulz(&batch.zeros_like()).unwrap().abs().max().double_value(&[]), 0.0);
    }

    /// Everything but the first convolutions, heads, biases and norms; equal shapes share a batch.
    #[test]
    fn inner_kernels_are_those_between_the_first_convolution_and_the_heads() {
        let plan = NetworkPlan { residual: true, deep_supervision: true, ..NetworkPlan::plain(2, 4, 3, 3) };
        let parameters = UNet::new(plan).parameters();
        let inner: Vec<&str> =
            parameters.iter().filter(|p| p.role != Role::Outer).map(|p| p.name.as_str()).collect();
        let outer = ["encoder.0.0.conv.weight", "encoder.0.shortcut.weight", "head.weight", "head.1.weight"];
        let kernels = parameters.iter().filter(|p| p.shape.len() > 2).map(|p| p.name.as_str());
        assert_eq!(inner, kernels.filter(|name| !outer.contains(name)).collect::<Vec<_>>());
        let transposed = parameters.iter().filter(|p| p.role == Role::InnerTransposed);
        assert!(transposed.map(|p| p.name.as_str()).eq(["decoder.1.up.weight", "decoder.0.up.weight"]));
        let kernels = InnerKernels::new(&parameters, ComputeDevice::CPU).unwrap();
        let matrices: i64 = kernels.groups.iter().flatten().map(|m| m.rows * m.columns).sum();
        let all: i64 = parameters.iter().map(Parameter::len).sum();
        assert_eq!(matrices + kernels.others.size()[0], all);
        assert!(kernels.groups.len() < inner.len());
    }
}
