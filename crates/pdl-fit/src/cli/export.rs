//! `pdl-fit export`: a trained network as TorchScript or ONNX.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use pdl_console::{ExitStatus, say};

use crate::inference::model::Model;
use crate::model::device::DeviceChoice;
use crate::model::onnx::{FILE as ONNX_FILE, write as write_onnx};
use crate::model::torchscript::{FILE as TORCHSCRIPT_FILE, write as write_torchscript};

/// Arguments of `pdl-fit export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a finished run, such as OUT/runs/pdl-seed1.
    run: PathBuf,
    /// File format.
    #[arg(long, value_enum, default_value_t = Format::Torchscript)]
    format: Format,
    /// File to write [default: RUN/network.pt, or RUN/network.onnx].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Form of an exported network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// TorchScript, for torch.jit.load of Python and for libtorch.
    Torchscript,
    /// ONNX with operator set 17, for onnxruntime and other runtimes.
    Onnx,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus> {
    let model = Model::load(&args.run, DeviceChoice::Cpu, None)?;
    let (file, write): (_, fn(&Model, &Path) -> crate::error::Result<()>) = match args.format {
        Format::Torchscript => (TORCHSCRIPT_FILE, write_torchscript),
        Format::Onnx => (ONNX_FILE, write_onnx),
    };
    let path = args.out.clone().unwrap_or_else(|| args.run.join(file));
    write(&model, &path)?;
    let plan = model.record.plan.network;
    let axes = if plan.dims == 2 { "y, x" } else { "z, y, x" };
    let names: Vec<String> = model.record.structures().into_iter().map(|label| label.name).collect();
    let outputs = match model.record.regions.as_slice() {
        [] => format!("background, {}", names.join(", ")),
        _ => format!("regions, each with a sigmoid: {}", names.join(", ")),
    };
    say(&format!("wrote {}", path.display()));
    say(&format!(
        "input: prepared images, float32 (N, {}, {axes}) in RAS+ order, sides multiples of {}",
        plan.inputs,
        plan.stride()
    ));
    say(&format!("output: logits (N, {}, {axes}): {outputs}", plan.classes));
    Ok(ExitStatus::Done)
}
