//! `pdl prepare --cluster` and `pdl compare --cluster`: hand the stage to `pdl-cluster`, which lies beside this program or
//! on the path.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use pdl_console::ExitStatus;
use pdl_prepare::plan::PrepareParameters;
use pdl_similarity::metric::Metric;
use pdl_similarity::parameters::CompareParameters;
use serde::Deserialize;

/// The program's name.
const PROGRAM: &str = "pdl-cluster";

/// Compares on the cluster of a scheduler.
///
/// # Errors
/// When there is no such program, or it fails; it has said why by then.
pub(crate) fn compare(out: &Path, parameters: &CompareParameters, scheduler: &str, json: bool) -> Result<()> {
    let mut command = Command::new(program());
    command.arg("compare").arg(out).args(["--scheduler", scheduler]).args(flags(parameters));
    if json {
        command.arg("--json");
    }
    finish(&mut command).map(|_| ())
}

/// What `pdl-cluster prepare` says of its result.
#[derive(Deserialize)]
struct Prepared {
    written: usize,
}

/// Prepares on the cluster of a scheduler; returns how many cases were written.
///
/// # Errors
/// As [`compare`].
pub(crate) fn prepare(
    out: &Path,
    parameters: &PrepareParameters,
    replan: bool,
    scheduler: &str,
) -> Result<usize> {
    let mut command = Command::new(program());
    command.arg("prepare").arg(out).args(["--scheduler", scheduler, "--json"]).stdout(Stdio::piped());
    command.arg("--options").arg(serde_json::to_string(parameters)?);
    if replan {
        command.arg("--replan");
    }
    let said = finish(&mut command)?;
    let prepared: Prepared = serde_json::from_slice(&said)
        .with_context(|| format!("{PROGRAM} gave no result: is it of the same version as pdl?"))?;
    Ok(prepared.written)
}

static WAITING: AtomicBool = AtomicBool::new(false);

/// Whether pdl-cluster is at work: it answers Ctrl-C.
pub(crate) fn is_waiting() -> bool {
    WAITING.load(Ordering::Relaxed)
}

/// Waits for the end, and returns what it wrote to a stdout that is piped.
fn finish(command: &mut Command) -> Result<Vec<u8>> {
    WAITING.store(true, Ordering::Relaxed);
    let started = command.spawn().and_then(Child::wait_with_output);
    let Output { status: ended, stdout, .. } = started.with_context(|| {
        format!("cannot start {PROGRAM}, which --cluster needs beside pdl or on the path (`just cluster` builds it)")
    })?;
    WAITING.store(false, Ordering::Relaxed);
    if ended.code() == Some(ExitStatus::Stopped.code().into()) {
        std::process::exit(ExitStatus::Stopped.code().into());
    }
    ensure!(ended.success(), "{PROGRAM} ended with {ended}");
    Ok(stdout)
}

fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name(PROGRAM));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(PROGRAM))
}

/// The parameters as they are typed.
fn flags(parameters: &CompareParameters) -> Vec<String> {
    let CompareParameters { metrics, window, stride, tile, isa } = parameters;
    let name =
        |metric: &Metric| clap::ValueEnum::to_possible_value(metric).map(|value| value.get_name().to_owned());
    let metrics: Vec<String> = metrics.iter().filter_map(name).collect();
    let flag = |name: &str, value: String| [format!("--{name}"), value];
    [
        flag("metrics", metrics.join(",")),
        flag("window", window.to_string()),
        flag("stride", stride.to_string()),
        flag("tile", tile.to_string()),
        flag("isa", isa.to_string()),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use pdl_similarity::isa::Isa;
    use pdl_similarity::window::Window;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        parameters: CompareParameters,
    }

    #[test]
    fn flags_give_the_same_parameters_again() {
        let parameters = CompareParameters {
            metrics: vec![Metric::BodySsim, Metric::Mse],
            window: Window::Gaussian,
            stride: 2,
            tile: 7,
            isa: Isa::Scalar,
        };
        let typed = std::iter::once("x".to_owned()).chain(flags(&parameters));
        assert_eq!(Flags::parse_from(typed).parameters, parameters);
    }
}
