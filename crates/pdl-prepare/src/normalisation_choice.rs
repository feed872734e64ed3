//! Options of intensity normalisation.

use pdl_cohort::attributes::Modality;
use pdl_cohort::invalid_option::InvalidOption;
use pdl_findings::{Code, Finding};

use crate::PrepareError;
use crate::fingerprint::{ChannelFingerprint, Fingerprint};
use crate::normalise::{Mapping, Normalisation};
use crate::parameters::{NormalisationMethod, PrepareParameters};

/// MR images are normalised inside their non-zero voxels if the median case keeps less than this
/// fraction of its voxels after cropping to them (nnU-Net v2).
const NONZERO_MASK_BELOW: f64 = 0.75;

/// Width of a CT window within the images' range below which anatomies cannot be distinguished, HU.
const NARROW_HU: f64 = 200.0;

/// The same of other modalities, as a fraction of the images' own range.
const NARROW_SHARE: f64 = 0.1;

/// The part of the images' own range that the window of the labels' intensities shows, if it is too
/// narrow to distinguish anatomies.
fn narrow_window(fingerprint: &Fingerprint) -> Option<f64> {
    let [low, high] = fingerprint.image_range?;
    let foreground = &fingerprint.foreground;
    let shown = (foreground.p99_5.min(high) - foreground.p00_5.max(low)).max(0.0);
    let least = match fingerprint.modality {
        Modality::CT => NARROW_HU,
        Modality::MR | Modality::PT | Modality::OT => NARROW_SHARE * (high - low),
    };
    (shown < least).then_some(shown)
}

/// Finding about a window of the labels' intensities that shows too little of the images.
pub(crate) fn window_finding(
    now: &Fingerprint,
    mapping: Mapping,
    parameters: &PrepareParameters,
) -> Option<Finding> {
    if now.modality != Modality::CT || parameters.normalise == NormalisationMethod::Window {
        return None;
    }
    let shown = narrow_window(now)?;
    let done = match mapping {
        Mapping::ImagePercentiles => {
            "cases are compared by each image's own percentiles 0.5 and 99.5 instead"
        }
        Mapping::Range { .. } => {
            "the plan of this folder nevertheless compares cases by it, and stays unchanged without --replan"
        }
    };
    let (foreground, [low, high]) = (&now.foreground, now.image_range?);
    let message = format!(
        "the labels' intensities (percentiles 0.5 to 99.5: {:.0} to {:.0}) cover {shown:.0} HU of the images' range \
         ({low:.0} to {high:.0}): {done}. Training images are clipped to it, which hides the rest from a network: \
         `--normalise window --intensity-window LOW,HIGH` shows more",
        foreground.p00_5, foreground.p99_5
    );
    Some(Finding::new(Code::NarrowWindow, message))
}

/// The normalisation of every case, and the mapping of a proxy's intensities to [0, 1].
///
/// # Errors
/// [`PrepareError::InvalidOption`] if an option's value is invalid, or applies to another scheme
/// only.
pub(crate) fn choose(
    fingerprint: &Fingerprint,
    parameters: &PrepareParameters,
) -> Result<(Normalisation, Mapping), PrepareError> {
    let window = window(parameters)?;
    let [lower, upper] = percentiles(parameters)?;
    let f = &fingerprint.foreground;
    let mapping = match fingerprint.modality {
        Modality::CT if narrow_window(fingerprint).is_some() => Mapping::ImagePercentiles,
        Modality::CT => Mapping::Range { low: f.p00_5, high: f.p99_5 },
        Modality::MR | Modality::PT | Modality::OT => Mapping::ImagePercentiles,
    };
    let scheme = match (parameters.normalise, fingerprint.modality) {
        (NormalisationMethod::Auto, Modality::CT) => NormalisationMethod::Ct,
        (NormalisationMethod::Auto, _) => NormalisationMethod::Zscore,
        (scheme, _) => scheme,
    };
    let normalisation = match (scheme, window) {
        (NormalisationMethod::Window, Some([low, high])) => {
            return Ok((Normalisation::Window { low, high }, Mapping::Range { low, high }));
        }
        (NormalisationMethod::Window, None) => {
            return Err(wrong("normalise", "window needs --intensity-window LOW,HIGH, such as -160,240"));
        }
        (_, Some(_)) => return Err(wrong("intensity-window", "is of use with --normalise window only")),
        (NormalisationMethod::Percentile, None) => Normalisation::ImagePercentiles { lower, upper },
        (NormalisationMethod::Nyul, None) => Normalisation::Nyul { standard: fingerprint.standard_scale },
        (NormalisationMethod::Ct, None) => {
            Normalisation::CohortForeground { low: f.p00_5, high: f.p99_5, mean: f.mean, std: f.std }
        }
        (NormalisationMethod::Zscore | NormalisationMethod::Auto, None) => {
            Normalisation::ImageZScore { nonzero_mask: fingerprint.nonzero_box_share < NONZERO_MASK_BELOW }
        }
    };
    Ok((normalisation, mapping))
}

/// Like [`choose`], of a channel after the first. A scheme for the units of the first channel
/// (`ct`, `window`) applies to channels of the same modality; others get the scheme of their own
/// modality.
///
/// # Errors
/// As [`choose`].
pub(crate) fn choose_for_channel(
    fingerprint: &Fingerprint,
    channel: &ChannelFingerprint,
    parameters: &PrepareParameters,
) -> Result<(Normalisation, Mapping), PrepareError> {
    let of_channel = fingerprint.of_channel(channel);
    let by_units = matches!(parameters.normalise, NormalisationMethod::Ct | NormalisationMethod::Window);
    if !by_units || channel.modality == fingerprint.modality {
        return choose(&of_channel, parameters);
    }
    let own = PrepareParameters {
        normalise: NormalisationMethod::Auto,
        intensity_window: None,
        ..parameters.clone()
    };
    choose(&of_channel, &own)
}

fn window(parameters: &PrepareParameters) -> Result<Option<[f64; 2]>, PrepareError> {
    match parameters.intensity_window.as_deref() {
        None => Ok(None),
        Some(&[low, high]) if low.is_finite() && high.is_finite() && low < high => Ok(Some([low, high])),
        Some(_) => Err(wrong("intensity-window", "expected two intensities, the lower one first: LOW,HIGH")),
    }
}

fn percentiles(parameters: &PrepareParameters) -> Result<[f64; 2], PrepareError> {
    match *parameters.intensity_percentiles.as_slice() {
        [lower, upper] if 0.0 <= lower && lower < upper && upper <= 100.0 => Ok([lower, upper]),
        _ => Err(wrong(
            "intensity-percentiles",
            "expected two numbers from 0 to 100, the lower one first: LOW,HIGH",
        )),
    }
}

fn wrong(option: &'static str, problem: &str) -> PrepareError {
    InvalidOption::new(option, problem).into()
}
