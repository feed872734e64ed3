//! What can be typed.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use pdl_cohort::parameters::IndexParameters;
use pdl_curriculum::audit::AuditParameters;
use pdl_curriculum::parameters::RankParameters;
use pdl_prepare::plan::PrepareParameters;
use pdl_report::ReportParameters;
use pdl_shell::Shell;
use pdl_similarity::matrix::MatrixFormat;
use pdl_similarity::metrics::Metric;
use pdl_similarity::parameters::CompareParameters;
use serde::{Deserialize, Serialize};

use crate::doctor::DoctorArgs;
use crate::export::ExportParameters;
use crate::folds::FoldParameters;
use crate::import::ImportParameters;
use crate::init::InitArgs;
use crate::validate::{DiffArgs, ValidateArgs};

/// Prepares, compares and ranks the cases of a medical image segmentation cohort.
///
/// A curation folder OUT holds one cohort of one modality and what each stage made of it. Every stage can be
/// stopped at any moment and run again: it skips what is valid.
///
/// Exit codes: 0 done (also when single cases were rejected; they are listed), 1 error, 2 wrong usage,
/// 3 something joins two splits, 4 a case cannot be used and --strict was given, 5 a manifest is not what it says
/// (validate) or has moved cases between splits (diff), 7 the machine failed (disk, network file system, open files,
/// memory): no case is rejected or removed for that, 130 stopped by Ctrl-C.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Topics: pdl help geometry, similarity, curriculum, formats, privacy, dicom, splits, frameworks, \
options, cluster, measured"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub run: RunParameters,
    /// Settings file; else OUT/pdl.toml where there is one. Flags win over it.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Every command")]
    pub config: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long, global = true, help_heading = "Every command")]
    pub json: bool,
}

/// How to run; changes nothing in what is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RunParameters {
    /// Stop with exit code 4 when a case cannot be used.
    #[arg(long, global = true, help_heading = "Every command")]
    pub strict: bool,
    /// Hash every file again instead of trusting unchanged size, time and inode.
    #[arg(long, global = true, help_heading = "Every command")]
    pub verify: bool,
    /// Threads to use; 0 takes one for each core.
    #[arg(long, global = true, default_value_t = 0, value_name = "N", help_heading = "Every command")]
    pub threads: usize,
    /// Most memory to use, such as 8GiB; half of what is free when not given. A case that needs
    /// more is rejected.
    #[arg(long, global = true, value_name = "SIZE", help_heading = "Every command")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at a cohort and write OUT/pdl.toml, every option explained; of volumes in no known layout also a
    /// cohort.csv that pairs them by name. Overwrites nothing.
    Init(InitArgs),
    /// All stages: index, prepare, compare, rank, audit; then report.html.
    Curate {
        /// The cohort: a folder of volumes or of DICOM files, a CSV or Parquet table, or a MONAI datalist.
        cohort: PathBuf,
        /// The curation folder.
        #[arg(long, value_name = "OUT")]
        out: PathBuf,
        /// Leave report.html out.
        #[arg(long)]
        no_report: bool,
        /// A table of patients that are one (columns patient_a, patient_b), such as OUT/same-patient.csv; "no" in its column
        /// `same` says that two are two, whatever their images say. Kept: it need not be given again.
        #[arg(long, value_name = "FILE")]
        same_patient: Option<PathBuf>,
        #[command(flatten)]
        stages: StageParameters,
    },
    /// Find, check and split the cases of a cohort: cases.parquet.
    Index {
        /// The cohort: a folder of volumes or of DICOM files, a CSV or Parquet table, or a MONAI datalist.
        cohort: PathBuf,
        /// The curation folder.
        #[arg(long, value_name = "OUT")]
        out: PathBuf,
        /// A table of patients that are one (columns patient_a, patient_b), such as OUT/same-patient.csv; "no" in its column
        /// `same` says that two are two, whatever their images say. Kept: it need not be given again.
        #[arg(long, value_name = "FILE")]
        same_patient: Option<PathBuf>,
        #[command(flatten)]
        parameters: IndexParameters,
    },
    /// Normalise and resample every case: plan.json, prepared/, proxies/.
    Prepare {
        /// The curation folder.
        out: PathBuf,
        /// Prepare on the cluster of this scheduler, by pdl-cluster; every machine sees OUT, and the volumes of its cases,
        /// under the same path. On this machine when not given.
        #[arg(long, value_name = "HOST:PORT")]
        cluster: Option<String>,
        #[command(flatten)]
        parameters: PrepareParameters,
        #[command(flatten)]
        replan: Replan,
    },
    /// Compare every case with every other: pairs/.
    Compare {
        /// The curation folder.
        out: PathBuf,
        /// Compute on the cluster of this scheduler, by pdl-cluster; every machine sees OUT under the same path. On this
        /// machine when not given.
        #[arg(long, value_name = "HOST:PORT")]
        cluster: Option<String>,
        #[command(flatten)]
        parameters: CompareParameters,
    },
    /// Rank the training cases and pace them into stages: manifest.parquet, .jsonl, .json.
    Rank {
        /// The curation folder.
        out: PathBuf,
        #[command(flatten)]
        parameters: RankParameters,
        #[command(flatten)]
        folds: FoldParameters,
    },
    /// Compute one tile of the pair matrix, so that any scheduler can drive many; `compare` then finds them done.
    Tile {
        /// The curation folder.
        out: PathBuf,
        /// Which block of rows, from 0.
        #[arg(long)]
        row: usize,
        /// Which block of columns, from 0; no less than the row.
        #[arg(long)]
        col: usize,
        #[command(flatten)]
        parameters: CompareParameters,
    },
    /// Write the square matrix of one metric.
    Matrix {
        /// The curation folder.
        out: PathBuf,
        /// Which metric.
        #[arg(long, value_enum, default_value_t = Metric::Ssim)]
        metric: Metric,
        /// How to write it.
        #[arg(long, value_enum, default_value_t = MatrixFormat::Npy)]
        format: MatrixFormat,
        /// The file to write; OUT/METRIC.FORMAT when not given.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Print the cases that are most and least like a case.
    Similar {
        /// The curation folder.
        out: PathBuf,
        /// The case.
        case: String,
        /// Which metric.
        #[arg(long, value_enum, default_value_t = Metric::Ssim)]
        metric: Metric,
        /// How many of each.
        #[arg(long, default_value_t = 5, value_name = "N")]
        count: usize,
    },
    /// Print groups of cases that are nearly the same.
    Duplicates {
        /// The curation folder.
        out: PathBuf,
        /// Which metric.
        #[arg(long, value_enum, default_value_t = Metric::Ssim)]
        metric: Metric,
        /// How alike two cases must be to count: at least this, or at most this for MSE.
        #[arg(long, default_value_t = 0.98, value_name = "VALUE")]
        threshold: f32,
        /// Look also for pairs that are copies but for flips along any axes and a shift of up to an eighth of a side,
        /// and so reach the threshold (SSIM).
        #[arg(long)]
        invariant: bool,
    },
    /// Look for leaks between splits, rare labels and drift: audit.json, same-patient.csv.
    Audit {
        /// The curation folder.
        out: PathBuf,
        #[command(flatten)]
        parameters: AuditParameters,
    },
    /// Show the cohort in one page: report.html, which needs no network.
    Report {
        /// The curation folder.
        out: PathBuf,
        #[command(flatten)]
        parameters: ReportParameters,
    },
    /// Write a picture of a case: three planes, labels outlined, as stored (above) and as prepared (below).
    View {
        /// The curation folder.
        out: PathBuf,
        /// The case.
        case: String,
        /// The PNG to write; OUT/views/CASE.png when not given, which kitty, Ghostty, iTerm2 and WezTerm also show.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Print the cohort on one screen: splits, labels, findings, audit.
    Summary {
        /// The curation folder.
        out: PathBuf,
        /// List every case as well: its split, whether it is used, and what was found of it.
        #[arg(long)]
        cases: bool,
    },
    /// Print the help of a command, or of a topic: geometry, similarity, curriculum, formats, privacy, dicom, splits,
    /// frameworks, options, cluster, measured.
    Help {
        /// The command or the topic; without it the whole program.
        word: Option<String>,
    },
    #[command(flatten)]
    Shell(Shell),
    /// Check this machine, and what a curation folder holds: stages that are missing or out of date, failures. Exit
    /// code 1 when something is wrong.
    Doctor(DoctorArgs),
    /// Write the manifest in the form that another framework reads.
    Export {
        /// The curation folder, or the folder of a fold in it: OUT/folds/K.
        out: PathBuf,
        #[command(flatten)]
        parameters: ExportParameters,
    },
    /// Check a manifest: its form, splits, ranks and stages, and that the files it names are there, unchanged and in
    /// its folder. A line for each difference; exit code 5 when there is one.
    Validate(ValidateArgs),
    /// Tell what changed from one manifest to another: cases added, removed, moved between splits (exit code 5),
    /// prepared anew, and ranks.
    Diff(DiffArgs),
    /// Take a MONAI datalist or an nnU-Net raw dataset as a cohort: cohort.csv, dataset.json. Volumes stay where they
    /// are.
    Import {
        #[command(flatten)]
        parameters: ImportParameters,
    },
    /// Print the settings that flags and pdl.toml give, as a pdl.toml.
    Config {
        /// The curation folder.
        out: PathBuf,
        #[command(flatten)]
        stages: StageParameters,
    },
}

/// The options of all stages.
#[derive(Debug, Args)]
pub(crate) struct StageParameters {
    #[command(flatten, next_help_heading = "Index")]
    pub index: IndexParameters,
    #[command(flatten, next_help_heading = "Prepare")]
    pub prepare: PrepareParameters,
    #[command(flatten)]
    pub replan: Replan,
    #[command(flatten, next_help_heading = "Compare")]
    pub compare: CompareParameters,
    #[command(flatten, next_help_heading = "Rank")]
    pub rank: RankParameters,
    #[command(flatten, next_help_heading = "Audit")]
    pub audit: AuditParameters,
}

/// Whether to keep the plan there is.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Replan {
    /// Make a new plan from the training cases there are now, instead of keeping the one there is.
    #[arg(long)]
    pub replan: bool,
}

/// The folder of a command that has none.
static NOWHERE: std::sync::LazyLock<PathBuf> = std::sync::LazyLock::new(PathBuf::new);

impl Command {
    /// The curation folder; of an import, the folder it writes.
    pub(crate) fn out(&self) -> &PathBuf {
        match self {
            Command::Curate { out, .. }
            | Command::Index { out, .. }
            | Command::Prepare { out, .. }
            | Command::Compare { out, .. }
            | Command::Rank { out, .. }
            | Command::Tile { out, .. }
            | Command::Matrix { out, .. }
            | Command::Similar { out, .. }
            | Command::Duplicates { out, .. }
            | Command::Audit { out, .. }
            | Command::Report { out, .. }
            | Command::View { out, .. }
            | Command::Summary { out, .. }
            | Command::Export { out, .. }
            | Command::Config { out, .. } => out,
            Command::Validate(args) => args.path(),
            Command::Diff(args) => args.path(),
            Command::Import { parameters } => &parameters.dest,
            Command::Init(args) => &args.out,
            Command::Doctor(args) => args.out.as_ref().unwrap_or(&NOWHERE),
            Command::Help { .. } | Command::Shell(_) => &NOWHERE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// Words by which a help says what holds without the flag.
    const WITHOUT: [&str; 10] = [
        "when not given",
        "ithout",
        "else",
        "where ",
        "for files whose",
        "default:",
        "must be given",
        "instead of",
        "need not be given",
        "No other",
    ];

    #[test]
    fn every_flag_says_what_it_does_and_what_holds_without_it() {
        let mut cli = Cli::command();
        cli.build();
        let mut bad = Vec::new();
        for command in cli.get_subcommands().chain([&cli]) {
            for arg in
                command.get_arguments().filter(|arg| !["help", "version"].contains(&arg.get_id().as_str()))
            {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let takes_value = arg.get_action().takes_values();
                let told = !arg.get_default_values().is_empty()
                    || arg.is_required_set()
                    || WITHOUT.iter().any(|word| help.contains(word));
                if help.len() < 8 || takes_value && !told {
                    bad.push(format!("{} {}: {help}", command.get_name(), arg.get_id()));
                }
            }
        }
        assert!(bad.is_empty(), "these say nothing of their default: {bad:#?}");
    }

    #[test]
    fn short_help_is_short() {
        let mut bad = Vec::new();
        for command in pdl_shell::command::<Cli>().get_subcommands() {
            for arg in command.get_arguments() {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                if help.len() > 150 {
                    bad.push(format!("{} {}: {help}", command.get_name(), arg.get_id()));
                }
            }
        }
        assert!(bad.is_empty(), "the first sentence of these is long: {bad:#?}");
    }

    #[test]
    fn a_flag_that_takes_a_quantity_names_its_unit() {
        // The name that stands for the value says what is counted or measured; the last ones have no unit.
        let units = [
            "MM", "CASES", "EPOCHS", "SHARE", "SIZE", "VOXELS", "FACTOR", "WEIGHT", "SSIM", "N", "P", "VALUE",
        ];
        let mut cli = Cli::command();
        cli.build();
        let mut bad = Vec::new();
        for command in cli.get_subcommands() {
            for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
                let number = |value: &std::ffi::OsStr| {
                    value
                        .to_string_lossy()
                        .split(',')
                        .all(|part| part.trim_end_matches('%').parse::<f64>().is_ok())
                };
                let quantity = arg.get_default_values().iter().any(|value| number(value));
                let names = arg.get_value_names().unwrap_or_default();
                let named = names
                    .iter()
                    .any(|name| name.split(['|', ',', '[', ']']).any(|word| units.contains(&word)));
                if quantity && !named {
                    bad.push(format!("{} {}: {names:?}", command.get_name(), arg.get_id()));
                }
            }
        }
        assert!(bad.is_empty(), "these name no unit: {bad:#?}");
    }
}
