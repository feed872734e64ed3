//! Export of a trained network as ONNX (operator set 17), which onnxruntime and other runtimes run
//! without pdl.
//!
//! Input `image` and output `logits` are as in [`torchscript`](crate::model::torchscript): prepared
//! images, float32 (N, inputs, y, x) or (N, inputs, z, y, x) in RAS+ orientation whose sides are
//! multiples of [`NetworkPlan::stride`](crate::model::unet::NetworkPlan::stride), and logits (N,
//! classes, ...) on the same grid. The metadata of the file have the names of the labels, the
//! window and the voxel spacing.

use std::path::Path;

use prost::Message;
use tch::Kind;

use crate::error::{FitError, Result};
use crate::inference::model::Model;
use crate::model::device::ComputeDevice;
use crate::model::instance_norm::{EPSILON, SLOPE};
use crate::model::onnx_messages::{
    Attribute, Constant, Entry, FLOAT, Graph, Model as File, Node, OperatorSet, Shape, Side, TensorType,
    Value, ValueType,
};
use crate::model::unet::{NetworkPlan, Norm};
use crate::model::weights::Weights;

/// Default name of the file in a run's folder.
pub const FILE: &str = "network.onnx";
/// Version of the file format; the first that goes with operator set 17.
const IR_VERSION: i64 = 8;
/// Version of the operators.
const OPERATORS: i64 = 17;
/// Largest file that protocol buffers allow, in bytes.
const MOST_BYTES: usize = i32::MAX as usize;
/// Bytes of a file beside its weights, at most.
const BESIDE_WEIGHTS: usize = 1 << 20;

/// Writes the network of a run as ONNX, atomically.
///
/// # Errors
/// [`FitError::InvalidFile`] if the weights exceed the 2 GiB of such a file; [`FitError`] if it
/// cannot be written.
pub fn write(model: &Model, path: &Path) -> Result<()> {
    let (net, weights) = model.network();
    let bytes = 4 * weights.flat().numel();
    if bytes > MOST_BYTES - BESIDE_WEIGHTS {
        let problem = format!("an ONNX file has at most 2 GiB, and the weights have {bytes} bytes");
        return Err(FitError::InvalidFile { problem, path: path.to_owned() });
    }
    let file = File { metadata_props: metadata(model)?, ..file(net.plan(), weights)? };
    pdl_store::atomic::write(path, &file.encode_to_vec())?;
    Ok(())
}

/// Metadata with which a program prepares images and names channels, each entry as JSON.
fn metadata(model: &Model) -> Result<Vec<Entry>> {
    let record = &model.record;
    let labels: Vec<&str> = record.labels.iter().map(|label| label.name.as_str()).collect();
    let [z, y, x] = record.plan.spacing_mm;
    let window = record.plan.schedule.window_after(record.results.steps);
    let entries = [
        ("labels", serde_json::to_string(&labels)),
        ("label_values", serde_json::to_string(model.channels.labels())),
        ("spacing_mm_xyz", serde_json::to_string(&[x, y, z])),
        ("window_zyx", serde_json::to_string(&window)),
        ("normalisation", serde_json::to_string(&record.preparation.normalisation)),
    ];
    let entry = |(key, value): (&str, serde_json::Result<String>)| {
        let value = value.map_err(FitError::InvalidSettings)?;
        Ok(Entry { key: Some(key.to_owned()), value: Some(value) })
    };
    entries.into_iter().map(entry).collect()
}

/// The network as a file without metadata.
fn file(plan: &NetworkPlan, weights: &Weights) -> Result<File> {
    let mut graph = GraphBuilder { plan, weights, graph: Graph::default() };
    graph.network("image", "logits")?;
    let graph = Graph {
        name: Some("pdl_network".to_owned()),
        input: vec![value("image", plan.inputs, plan.dims)],
        output: vec![value("logits", plan.classes, plan.dims)],
        ..graph.graph
    };
    Ok(File {
        ir_version: Some(IR_VERSION),
        producer_name: Some("pdl".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: Some(String::new()), version: Some(OPERATORS) }],
        metadata_props: Vec::new(),
    })
}

/// An input or output of `channels` channels; batch and spatial sides vary.
fn value(name: &str, channels: i64, dims: usize) -> Value {
    let varies = |name: &str| Side { value: None, name: Some(name.to_owned()) };
    let channels = Side { value: Some(channels), name: None };
    let axes = ["z", "y", "x"].into_iter().skip(3 - dims).map(varies);
    let dim = [varies("batch"), channels].into_iter().chain(axes).collect();
    let tensor = TensorType { elem_type: Some(FLOAT), shape: Some(Shape { dim }) };
    Value { name: Some(name.to_owned()), r#type: Some(ValueType { tensor: Some(tensor) }) }
}

/// A graph to which the layers of a U-Net are appended.
struct GraphBuilder<'a> {
    plan: &'a NetworkPlan,
    weights: &'a Weights,
    graph: Graph,
}

impl GraphBuilder<'_> {
    /// Appends the network from the tensor `image` to `logits`, layer by layer as
    /// [`UNet::forward`](crate::model::unet::UNet::forward) runs them.
    fn network(&mut self, image: &str, logits: &str) -> Result<()> {
        let mut x = self.level("encoder", 0, image)?;
        let mut skips = Vec::new();
        for level in 1..self.plan.depth {
            let pooled = self.pool(&x, level - 1);
            skips.push(x);
            x = self.level("encoder", level, &pooled)?;
        }
        for (level, skip) in skips.iter().enumerate().rev() {
            let raised = self.upsample(&x, level)?;
            let joined = self.append("Concat", &[&raised, skip], vec![Attribute::integer("axis", 1)]);
            x = self.level("decoder", level, &joined)?;
        }
        let y = self.convolve(&x, "head.weight", Some("head.bias"))?;
        // The name of the output is that of the last node's.
        if let Some(last) = self.graph.node.last_mut().filter(|node| node.output == [y]) {
            last.output = vec![logits.to_owned()];
        }
        Ok(())
    }

    fn level(&mut self, half: &str, level: usize, x: &str) -> Result<String> {
        let name = format!("{half}.{level}");
        let y = self.block(&format!("{name}.0"), x)?;
        let y = self.leaky_relu(&y);
        let mut y = self.block(&format!("{name}.1"), &y)?;
        if self.plan.residual {
            let shortcut = format!("{name}.shortcut.weight");
            let has_kernel = self.weights.parameters().iter().any(|parameter| parameter.name == shortcut);
            let added = if has_kernel { self.convolve(x, &shortcut, None)? } else { x.to_owned() };
            y = self.append("Add", &[&y, &added], vec![]);
        }
        Ok(self.leaky_relu(&y))
    }

    /// Convolution and norm.
    fn block(&mut self, name: &str, x: &str) -> Result<String> {
        let x = self.convolve(x, &format!("{name}.conv.weight"), None)?;
        let [scale, shift] = ["weight", "bias"].map(|part| format!("{name}.norm.{part}"));
        self.constant(&scale)?;
        self.constant(&shift)?;
        let epsilon = vec![Attribute::number("epsilon", EPSILON)];
        if self.plan.norm == Norm::Instance {
            return Ok(self.append("InstanceNormalization", &[&x, &scale, &shift], epsilon));
        }
        let [mean, variance] = ["mean", "variance"].map(|part| format!("{name}.norm.{part}"));
        self.constant(&mean)?;
        self.constant(&variance)?;
        Ok(self.append("BatchNormalization", &[&x, &scale, &shift, &mean, &variance], epsilon))
    }

    fn leaky_relu(&mut self, x: &str) -> String {
        self.append("LeakyRelu", &[x], vec![Attribute::number("alpha", SLOPE)])
    }

    /// Convolution with zero padding that preserves every side.
    fn convolve(&mut self, x: &str, kernel: &str, bias: Option<&str>) -> Result<String> {
        let sides = self.constant(kernel)?.split_off(2);
        let half: Vec<i64> = sides.iter().map(|side| side / 2).collect();
        let pads: Vec<i64> = half.iter().chain(&half).copied().collect();
        let mut inputs = vec![x, kernel];
        if let Some(bias) = bias {
            self.constant(bias)?;
            inputs.push(bias);
        }
        let attributes =
            vec![Attribute::integers("kernel_shape", &sides), Attribute::integers("pads", &pads)];
        Ok(self.append("Conv", &inputs, attributes))
    }

    fn pool(&mut self, x: &str, level: usize) -> String {
        let strides = self.plan.strides(level);
        let attributes =
            vec![Attribute::integers("kernel_shape", &strides), Attribute::integers("strides", &strides)];
        self.append("MaxPool", &[x], attributes)
    }

    /// Transposed convolution from `level` + 1 to `level`.
    fn upsample(&mut self, x: &str, level: usize) -> Result<String> {
        let kernel = format!("decoder.{level}.up.weight");
        self.constant(&kernel)?;
        let strides = self.plan.strides(level);
        let attributes =
            vec![Attribute::integers("kernel_shape", &strides), Attribute::integers("strides", &strides)];
        Ok(self.append("ConvTranspose", &[x, &kernel], attributes))
    }

    /// Appends an operator; returns the name of its output.
    fn append(&mut self, operator: &str, inputs: &[&str], attribute: Vec<Attribute>) -> String {
        let name = format!("{}_{}", operator.to_lowercase(), self.graph.node.len());
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: Some(name.clone()),
            op_type: Some(operator.to_owned()),
            attribute,
        });
        name
    }

    /// Adds a parameter as a constant; returns its shape.
    fn constant(&mut self, name: &str) -> Result<Vec<i64>> {
        let value = ComputeDevice::download(&self.weights.get(name)?.f_detach()?)?.f_to_kind(Kind::Float)?;
        let (dims, value) = (value.size(), value.f_contiguous()?);
        let mut elements = vec![0.0_f32; value.numel()];
        value.f_copy_data(&mut elements, value.numel())?;
        let raw_data = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        self.graph.initializer.push(Constant {
            dims: dims.clone(),
            data_type: Some(FLOAT),
            name: Some(name.to_owned()),
            raw_data: Some(raw_data),
        });
        Ok(dims)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::unet::UNet;

    /// tests/interop/network.py compares the logits with those of onnxruntime.
    #[test]
    fn every_tensor_is_defined_once_before_it_is_used_and_no_weight_is_left_out() {
        let plain = NetworkPlan::plain(3, 4, 3, 3);
        let thick = NetworkPlan { first_halved: [1, 0, 0], halvings: [1, 2, 2], ..plain };
        let batch = NetworkPlan { norm: Norm::Batch, residual: true, ..NetworkPlan::plain(2, 4, 3, 3) };
        let single = NetworkPlan::plain(2, 4, 1, 2);
        for plan in [plain, thick, batch, single] {
            let weights = Weights::new(UNet::new(plan).parameters(), 1, ComputeDevice::CPU).unwrap();
            let bytes = file(&plan, &weights).unwrap().encode_to_vec();
            let graph = File::decode(bytes.as_slice()).unwrap().graph.unwrap();
            let constants: Vec<&str> = graph.initializer.iter().filter_map(|c| c.name.as_deref()).collect();
            let parameters: BTreeSet<&str> =
                weights.parameters().iter().map(|parameter| parameter.name.as_str()).collect();
            assert_eq!(constants.len(), parameters.len());
            assert_eq!(constants.iter().copied().collect::<BTreeSet<_>>(), parameters);
            let mut known: BTreeSet<&str> = constants.into_iter().chain(["image"]).collect();
            for node in &graph.node {
                assert!(node.input.iter().all(|input| known.contains(input.as_str())), "{node:?}");
                assert!(node.output.iter().all(|output| known.insert(output)), "{node:?}");
            }
            assert!(known.contains("logits"));
        }
    }

    #[test]
    fn only_batch_and_sides_vary() {
        let sides = |value: Value| {
            let shape = value.r#type.unwrap().tensor.unwrap().shape.unwrap();
            shape.dim.into_iter().map(|side| side.name.unwrap_or_else(|| side.value.unwrap().to_string()))
        };
        assert!(sides(value("image", 1, 3)).eq(["batch", "1", "z", "y", "x"]));
        assert!(sides(value("logits", 5, 2)).eq(["batch", "5", "y", "x"]));
    }
}
