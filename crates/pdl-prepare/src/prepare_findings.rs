//! Findings about the prepared cases as a whole.

use pdl_findings::{Code, Finding};

use crate::prepared_row::{FILE, PreparedRow};

/// The finding about padding. Padding is the same in every case and so raises the similarity of all
/// pairs.
pub(crate) fn padding(padded_shares: &[f64]) -> Option<Finding> {
    let mean = padded_shares.iter().sum::<f64>() / padded_shares.len().max(1) as f64;
    (mean > 0.0).then(|| {
        let message = format!(
            "{:.0}% of the proxies' voxels are padding, which makes all cases look alike; \
             `--grid box` has none",
            100.0 * mean
        );
        Finding::new(Code::PaddedProxies, message)
    })
}

/// Finding about labels outside of the crop: the labels of a new image are unknown, so its crop
/// cannot be extended for them.
pub(crate) fn crop(rows: &[PreparedRow]) -> Option<Finding> {
    let outside: Vec<&PreparedRow> = rows.iter().filter(|row| row.crop_labelled_outside > 0).collect();
    let first = outside.first()?;
    let message = format!(
        "in {} of {} cases labels extend beyond the box of `--crop` ({} voxels in {}, the first of them): the box was \
         extended, which is not possible for images without labels; \"crop_labelled_outside\" in {FILE} lists them",
        outside.len(),
        rows.len(),
        first.crop_labelled_outside,
        first.case_id
    );
    Some(Finding::new(Code::CropExtended, message))
}
