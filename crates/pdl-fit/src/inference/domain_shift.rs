//! Domain shift: warnings if an image differs from the training cases. The image is segmented
//! nevertheless.

use pdl_cohort::attributes::Modality;
use pdl_prepare::fingerprint::{Fingerprint, Spread};
use pdl_prepare::normalise::Normalisation;
use pdl_prepare::plan::Plan;
use pdl_volume::Volume;
use pdl_volume::statistics::percentiles;

/// A size is unusual if it exceeds those of all training cases by more than this factor.
const FACTOR: f64 = 1.5;
/// Minimum fraction of the training cases' intensity range that an image must cover.
const COVERED: f64 = 0.5;
/// Intensities below this are typical of CT only.
const AIR: f64 = -500.0;
/// Largest number of distinct values of a label map.
const MOST_LABELS: usize = 32;

/// Differences between an image in its stored form and the training cases in `plan`, one sentence
/// each.
pub(crate) fn findings(image: &Volume<f32>, plan: &Plan) -> Vec<String> {
    let grid = image.grid.to_ras();
    let spacing = grid.spacing_mm();
    let extent = std::array::from_fn(|axis| grid.shape[axis] as f64 * spacing[axis]);
    let Fingerprint { spacing_mm, extent_mm, .. } = &plan.fingerprint;
    let sizes = [size("its voxels measure", spacing, spacing_mm, 2), size("it covers", extent, extent_mm, 0)];
    let values = label_values(&image.voxels).or_else(|| intensities(&image.voxels, plan));
    sizes.into_iter().flatten().chain(values).collect()
}

/// A warning if the voxel values are those of a label map.
fn label_values(voxels: &[f32]) -> Option<String> {
    let mut values: Vec<f32> = Vec::new();
    for voxel in voxels {
        if !values.contains(voxel) {
            values.push(*voxel);
            if voxel.fract() != 0.0 || *voxel < 0.0 || values.len() > MOST_LABELS {
                return None;
            }
        }
    }
    Some(format!("its voxels have {} whole values alone, as those of a label map: is it one?", values.len()))
}

/// A warning if a size along x, y or z (RAS+, mm) is outside the range of the training cases.
fn size(what: &str, of: [f64; 3], expected: &[Spread; 3], places: usize) -> Option<String> {
    let far = |(size, spread): (&f64, &Spread)| *size > FACTOR * spread.max || *size < spread.min / FACTOR;
    of.iter().zip(expected).any(far).then(|| {
        let of = of.map(|size| format!("{size:.places$}")).join(" x ");
        let ranges: Vec<String> =
            expected.iter().map(|s| format!("{:.places$} to {:.places$}", s.min, s.max)).collect();
        format!("{what} {of} mm (x, y, z); of the training cases {}", ranges.join(" x "))
    })
}

/// A warning if the intensities do not match the training cases' labels or their modality.
fn intensities(voxels: &[f32], plan: &Plan) -> Option<String> {
    let [darkest, low, high] = percentiles(voxels, [0.0, 0.5, 99.5]);
    let modality = plan.modality;
    if modality != Modality::CT && darkest <= AIR {
        return Some(format!(
            "its darkest voxel is {darkest:.0}, as in CT; the network was trained on {modality}"
        ));
    }
    // If each image is scaled by its own intensities, their unit does not matter.
    let absolute =
        matches!(plan.normalisation, Normalisation::CohortForeground { .. } | Normalisation::Window { .. });
    let expected = &plan.fingerprint.foreground;
    let covered = (high.min(expected.p99_5) - low.max(expected.p00_5)) / (expected.p99_5 - expected.p00_5);
    (absolute && (darkest > expected.p00_5 || covered < COVERED)).then(|| {
        format!(
            "its intensities are {low:.0} to {high:.0} (percentiles 0.5 and 99.5); what is labelled in the training \
             cases ({modality}) has {:.0} to {:.0}: is it of another modality, or in other units?",
            expected.p00_5, expected.p99_5
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_map_among_the_images_is_seen() {
        assert!(label_values(&[0.0, 1.0, 2.0, 1.0]).unwrap().contains("3 whole values"));
        assert_eq!(label_values(&[0.0, 1.5]), None);
        assert_eq!(label_values(&(0..40).map(|v| v as f32).collect::<Vec<_>>()), None);
    }
}
