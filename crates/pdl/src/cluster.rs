//! `--cluster`: runs `pdl-cluster`, which lies beside this program or on the path.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use pdl_console::ExitStatus;
use pdl_prepare::parameters::PrepareParameters;
use pdl_similarity::metrics::Metric;
use pdl_similarity::parameters::CompareParameters;
use serde::Deserialize;

const PROGRAM: &str = "pdl-cluster";

/// Compares on the cluster of a scheduler (HOST:PORT); `pdl-cluster` prints the result.
///
/// # Errors
/// When the program is missing or fails; it has reported why by then.
pub(crate) fn compare(
    out: &Path,
    parameters: &CompareParameters,
    scheduler: &str,
    json: bool,
) -> Result<ExitStatus> {
    let mut command = Command::new(program());
    command.arg("compare").arg(out).args(["--scheduler", scheduler]).args(flags(parameters));
    if json {
        command.arg("--json");
    }
    Ok(match run(&mut command)? {
        Some(_) => ExitStatus::Done,
        None => ExitStatus::Stopped,
    })
}

/// The result of `pdl-cluster prepare`.
#[derive(Deserialize)]
struct Prepared {
    written: usize,
}

/// Prepares on the cluster of a scheduler; returns how many cases were written, or `None` if
/// interrupted.
///
/// # Errors
/// As [`compare`].
pub(crate) fn prepare(
    out: &Path,
    parameters: &PrepareParameters,
    replan: bool,
    scheduler: &str,
) -> Result<Option<usize>> {
    let mut command = Command::new(program());
    command.arg("prepare").arg(out).args(["--scheduler", scheduler, "--json"]).stdout(Stdio::piped());
    command.arg("--options").arg(serde_json::to_string(parameters)?);
    if replan {
        command.arg("--replan");
    }
    let Some(stdout) = run(&mut command)? else { return Ok(None) };
    let prepared: Prepared = serde_json::from_slice(&stdout)
        .with_context(|| format!("cannot read the result of {PROGRAM}: use the version of pdl"))?;
    Ok(Some(prepared.written))
}

static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether `pdl-cluster` runs: it then answers Ctrl-C itself.
pub(crate) fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// Runs to the end; returns a piped stdout, or `None` if interrupted.
fn run(command: &mut Command) -> Result<Option<Vec<u8>>> {
    RUNNING.store(true, Ordering::Relaxed);
    let ended = command.spawn().and_then(Child::wait_with_output);
    RUNNING.store(false, Ordering::Relaxed);
    let Output { status, stdout, .. } = ended.with_context(|| {
        format!(
            "cannot start {PROGRAM}, which --cluster needs beside pdl or on the path; `just cluster` builds it"
        )
    })?;
    if status.code() == Some(ExitStatus::Stopped.code().into()) {
        return Ok(None);
    }
    let same = [ExitStatus::NoExecutor, ExitStatus::Machine];
    if let Some(known) = same.into_iter().find(|known| status.code() == Some(known.code().into())) {
        return Err(known.error(format!("{PROGRAM} failed")).into());
    }
    ensure!(status.success(), "{PROGRAM} failed: {status}");
    Ok(Some(stdout))
}

fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name(PROGRAM));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(PROGRAM))
}

/// The command-line flags that give these parameters.
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
    use pdl_similarity::ssim::SsimWindow;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        parameters: CompareParameters,
    }

    #[test]
    fn flags_give_the_same_parameters_again() {
        let parameters = CompareParameters {
            metrics: vec![Metric::BodySsim, Metric::Mse],
            window: SsimWindow::Gaussian,
            stride: 2,
            tile: 7,
            isa: Isa::Scalar,
        };
        let typed = std::iter::once("x".to_owned()).chain(flags(&parameters));
        assert_eq!(Flags::parse_from(typed).parameters, parameters);
    }
}
