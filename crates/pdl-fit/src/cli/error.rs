//! Errors of the library in terms of the command line.

use pdl_console::note;

use crate::error::{Difference, FitError, Record};

/// Writes an error, with the flag of an option, and what can be done about it.
pub(crate) fn report(error: &FitError) {
    match error {
        FitError::InvalidOption { name, problem } => note(&format!("error: {} {problem}", flag(name))),
        _ => pdl_console::report(error),
    }
    if let Some(hint) = hint(error) {
        note(&format!("hint: {hint}"));
    }
}

/// `--grow-share` of `grow_share`.
fn flag(option: &str) -> String {
    format!("--{}", option.replace('_', "-"))
}

/// The flags and commands that help.
fn hint(error: &FitError) -> Option<&'static str> {
    match error {
        FitError::Occupied { record: Record::Checkpoint, difference: Difference::Extension, .. } => {
            Some("finish the interrupted extension with the --extend that started it")
        }
        FitError::OtherFormat { found, supported, .. }
        | FitError::Occupied { difference: Difference::Format { found, supported }, .. }
            if found > supported =>
        {
            Some("install the version of pdl that wrote it")
        }
        FitError::OtherNetwork { .. } => Some(
            "train with the network of the weights: --dims, --width, --depth, --norm, --residual, --patch",
        ),
        FitError::Occupied { record: Record::Run | Record::Checkpoint, .. } => {
            Some("choose another --name, or train again with --force")
        }
        FitError::UnreadableRecord { record: Record::Run | Record::Checkpoint, .. }
        | FitError::OtherFormat { .. }
        | FitError::OtherManifest { record: Record::Run, .. } => Some("`pdl-fit train --force` trains again"),
        FitError::Occupied { record: Record::Tuning, .. }
        | FitError::UnreadableRecord { record: Record::Tuning, .. }
        | FitError::OtherManifest { record: Record::Tuning, .. } => {
            Some("`pdl-fit tune --force` tunes again")
        }
        FitError::InvalidStages { .. } => {
            Some("rank the cases again with `pdl rank`, or set --start, --add and --every")
        }
        FitError::NoTuningSubset => Some("`pdl rank` with another --tune-size or --tune-step chooses one"),
        FitError::NoCandidates => {
            Some("give longer lists of --lrs, --widths, --depths, --patches or --batches")
        }
        FitError::Diverged { .. } => Some("train with a lower --lr"),
        FitError::AllDiverged => Some("tune with lower --lrs"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_shown_as_flags() {
        assert_eq!(flag("grow_share"), "--grow-share");
        assert_eq!(flag("lr"), "--lr");
    }
}
