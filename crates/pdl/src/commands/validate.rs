//! `pdl validate`.

use std::path::PathBuf;

use anyhow::Result;
use pdl_console::{ExitStatus, counted, say};
use pdl_curriculum::validate::{ValidateParameters, Validated, validate};

use crate::context::{Context, say_json};
use crate::preconditions::Requirements;

/// Arguments of `pdl validate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The manifest: its folder, or its manifest.json or manifest.parquet.
    file: PathBuf,
    #[command(flatten)]
    parameters: ValidateParameters,
}

impl Args {
    /// No curation folder is needed around a manifest.
    pub(crate) fn requirements(&self) -> Requirements<'_> {
        Requirements::manifest(&self.file)
    }
}

/// Checks a manifest and the files that it names.
///
/// # Errors
/// `ExitStatus::Differs` when anything differs from what it states.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    let checked = validate(&args.file, args.parameters, &context.display)?;
    let Validated { schema_version, cases, differences } = &checked;
    if context.json {
        say_json(&serde_json::json!({
            "manifest": args.file, "schema_version": schema_version, "cases": cases, "differences": differences,
        }))?;
    } else {
        for difference in differences {
            let case = difference.case_id.as_ref().map_or(String::new(), |case| format!("{case}: "));
            say(&format!("{case}{} [{}]", difference.message, difference.code));
        }
    }
    if !differences.is_empty() {
        let message = format!("the manifest is invalid: {}", counted(differences.len(), "difference"));
        return Err(ExitStatus::Differs.error(message).into());
    }
    if !context.json {
        let (version, cases) = (schema_version.unwrap_or_default(), counted(*cases, "case"));
        say(&format!("valid manifest of version {version} with {cases}: {}", args.file.display()));
    }
    Ok(ExitStatus::Done)
}
