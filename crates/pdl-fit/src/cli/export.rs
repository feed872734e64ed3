//! `pdl-fit export`: a trained network as TorchScript.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::{ExitStatus, say};
use pdl_fit::inference::Model;
use pdl_fit::model::{TORCHSCRIPT_FILE, write_torchscript};
use pdl_fit::plan::DeviceChoice;

/// Arguments of `pdl-fit export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of a finished run, such as OUT/runs/pdl-seed1.
    run: PathBuf,
    /// File to write [default: RUN/network.pt].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus> {
    let model = Model::load(&args.run, DeviceChoice::Cpu, None)?;
    let path = args.out.clone().unwrap_or_else(|| args.run.join(TORCHSCRIPT_FILE));
    write_torchscript(&model, &path)?;
    let plan = model.record.plan.network;
    let axes = if plan.dims == 2 { "y, x" } else { "z, y, x" };
    let names: Vec<String> = model.record.structures().into_iter().map(|label| label.name).collect();
    let outputs = match model.record.regions.as_slice() {
        [] => format!("background, {}", names.join(", ")),
        _ => format!("regions, each with a sigmoid: {}", names.join(", ")),
    };
    say(&format!("wrote {}", path.display()));
    say(&format!(
        "input: prepared images, float32 (N, 1, {axes}) in RAS+ order, sides multiples of {}",
        plan.stride()
    ));
    say(&format!("output: logits (N, {}, {axes}): {outputs}", plan.classes));
    Ok(ExitStatus::Done)
}
