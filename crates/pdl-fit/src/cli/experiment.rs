//! What the commands share that make many runs: the file of rows, the limit, and the report.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pdl_console::{note, say};
use pdl_curriculum::format_versions;
use pdl_curriculum::manifest::EXPERIMENTS_FOLDER;
use pdl_report::ReportParameters;
use pdl_store::progress::Silent;
use pdl_store::safe_path::SafePath;
use pdl_store::{json, table};

use crate::cli::display::show_runs;
use crate::error::Result;
use crate::experiment::planned::RunMaker;
use crate::experiment::rows::RowFile;
use crate::plan::settings::parse_memory;

/// Arguments about runs.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// File of the rows of finished runs (JSON Lines). A run whose row it has is not made again.
    /// Processes with the same file share the work: start the command more than once, each with a
    /// part of the cores (OMP_NUM_THREADS) [default: OUT/comparison/runs.jsonl].
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    runs: Option<PathBuf>,
    /// Start no run after this many seconds; the command then ends with exit code 8, and the same
    /// command resumes. Without it all runs are made.
    #[arg(long, value_name = "SECONDS", help_heading = "Run")]
    limit_seconds: Option<u64>,
    /// Skip the comparison of files with the hashes in the manifest, which saves time.
    #[arg(long, help_heading = "Run")]
    trust_files: bool,
    /// Memory limit, such as 8GiB, as in `pdl-fit train` [default: half of the free memory].
    #[arg(long, value_name = "SIZE", value_parser = parse_memory, help_heading = "Run")]
    memory: Option<u64>,
    /// Print the result as JSON.
    #[arg(long, help_heading = "Run")]
    pub(crate) json: bool,
}

impl RunArgs {
    /// Calls `work` with the maker of runs of the curation folder `out`; also returns the folder of
    /// experiments.
    pub(crate) fn with_maker<T>(
        &self,
        out: &Path,
        work: impl FnOnce(&mut RunMaker<'_>) -> Result<T>,
    ) -> Result<(PathBuf, T)> {
        let folder = SafePath::new(out, EXPERIMENTS_FOLDER)?.create()?;
        let limit = self.limit_seconds.map(Duration::from_secs);
        let mut watch = show_runs;
        let mut maker = RunMaker {
            rows: RowFile::new(self.runs.clone(), &folder)?,
            trust_files: self.trust_files,
            memory: self.memory,
            deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
            trained: 0,
            watch: &mut watch,
        };
        let result = work(&mut maker)?;
        note(&format!("{} runs were trained now; rows: {}", maker.trained, maker.rows.path().display()));
        Ok((folder, result))
    }
}

/// Refuses a curation folder that a newer version wrote, or that holds a newer version's results of
/// the same command (JSON and Parquet).
pub(crate) fn refuse_newer(out: &Path, (document, rows): (&str, &str), supported: u32) -> Result<()> {
    format_versions::check(out)?;
    let folder = out.join(EXPERIMENTS_FOLDER);
    json::refuse_newer(&folder.join(document), supported)?;
    Ok(table::refuse_newer(&folder.join(rows), supported)?)
}

/// Writes the report of the cohort, which shows the result.
pub(crate) fn write_report(out: &Path) {
    match pdl_report::report(out, &ReportParameters::default(), &Silent) {
        Ok(_) => say(&format!("wrote {}", out.join(pdl_report::FILE).display())),
        Err(error) => note(&format!("warning: the report was not written: {error}")),
    }
}
