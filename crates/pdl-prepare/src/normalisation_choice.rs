//! The options that say how intensities are put on a common scale.

use pdl_cohort::attributes::Modality;

use crate::PrepareError;
use crate::fingerprint::Fingerprint;
use crate::normalise::{Mapping, Normalisation};
use crate::parameters::{PrepareParameters, Scheme};

/// MR images are normalised inside their non-zero voxels when the median case keeps less than this
/// share of its voxels after cropping to them (nnU-Net v2).
const NONZERO_MASK_BELOW: f64 = 0.75;

/// What is done to the intensities of every case, and how those of a proxy become [0, 1].
///
/// # Errors
/// [`PrepareError::Option`] when an option's value cannot be, or is of use with another scheme
/// only.
pub(crate) fn choose(
    fingerprint: &Fingerprint,
    parameters: &PrepareParameters,
) -> Result<(Normalisation, Mapping), PrepareError> {
    let window = window(parameters)?;
    let [lower, upper] = percentiles(parameters)?;
    let f = &fingerprint.foreground;
    let mapping = match fingerprint.modality {
        Modality::CT => Mapping::Range { low: f.p00_5, high: f.p99_5 },
        Modality::MR | Modality::PT | Modality::OT => Mapping::ImagePercentiles,
    };
    let scheme = match (parameters.normalise, fingerprint.modality) {
        (Scheme::Auto, Modality::CT) => Scheme::Ct,
        (Scheme::Auto, _) => Scheme::Zscore,
        (scheme, _) => scheme,
    };
    let normalisation = match (scheme, window) {
        (Scheme::Window, Some([low, high])) => {
            return Ok((Normalisation::Window { low, high }, Mapping::Range { low, high }));
        }
        (Scheme::Window, None) => {
            return Err(wrong("--normalise window needs --intensity-window LOW,HIGH, such as -160,240"));
        }
        (_, Some(_)) => return Err(wrong("--intensity-window is of use with --normalise window only")),
        (Scheme::Percentile, None) => Normalisation::ImagePercentiles { lower, upper },
        (Scheme::Nyul, None) => Normalisation::Nyul { standard: fingerprint.standard_scale },
        (Scheme::Ct, None) => {
            Normalisation::CohortForeground { low: f.p00_5, high: f.p99_5, mean: f.mean, std: f.std }
        }
        (Scheme::Zscore | Scheme::Auto, None) => {
            Normalisation::ImageZScore { nonzero_mask: fingerprint.nonzero_box_share < NONZERO_MASK_BELOW }
        }
    };
    Ok((normalisation, mapping))
}

fn window(parameters: &PrepareParameters) -> Result<Option<[f64; 2]>, PrepareError> {
    match parameters.intensity_window.as_deref() {
        None => Ok(None),
        Some(&[low, high]) if low.is_finite() && high.is_finite() && low < high => Ok(Some([low, high])),
        Some(_) => Err(wrong("--intensity-window takes two intensities, the lower one first: LOW,HIGH")),
    }
}

fn percentiles(parameters: &PrepareParameters) -> Result<[f64; 2], PrepareError> {
    match *parameters.intensity_percentiles.as_slice() {
        [lower, upper] if 0.0 <= lower && lower < upper && upper <= 100.0 => Ok([lower, upper]),
        _ => Err(wrong(
            "--intensity-percentiles takes two numbers from 0 to 100, the lower one first: LOW,HIGH",
        )),
    }
}

fn wrong(message: &str) -> PrepareError {
    PrepareError::Option(message.to_owned())
}
