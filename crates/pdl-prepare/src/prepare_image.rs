//! Images as a plan makes them.

use pdl_volume::{Volume, image_on};

use crate::PrepareError;
use crate::normalise::{Normalisation, normalise};
use crate::parameters::Resampling;
use crate::plan::Plan;
use crate::resample::{checked_shape_at, resample_image};
use crate::spline;

/// An image as a plan makes it: in the orientation RAS+, cropped, normalised, at the plan's
/// spacing.
///
/// # Errors
/// [`PrepareError::Resample`] when the resampler refuses; [`PrepareError::Channels`] when the plan
/// is for several images a case.
pub fn prepare_image(image: Volume<f32>, plan: &Plan) -> Result<Volume<f32>, PrepareError> {
    let mut prepared = prepare_images(vec![image], plan)?;
    prepared.pop().ok_or(PrepareError::Channels { expected: plan.channels(), found: 0 })
}

/// Like [`prepare_image`], of all images of a case in the order of the plan's channels. Those after
/// the first are on its grid, or resampled to it. All are cropped to one box.
///
/// # Errors
/// As [`prepare_image`].
pub fn prepare_images(images: Vec<Volume<f32>>, plan: &Plan) -> Result<Vec<Volume<f32>>, PrepareError> {
    let (expected, found) = (plan.channels(), images.len());
    let mut images = images.into_iter();
    let first =
        images.next().filter(|_| expected == found).ok_or(PrepareError::Channels { expected, found })?;
    let stated = first.grid;
    let on_first = |image: Volume<f32>| match stated.coincides(&image.grid) {
        true => Volume { grid: stated, voxels: image.voxels }.into_ras(),
        false => image_on(&image, stated).0.into_ras(),
    };
    let further: Vec<Volume<f32>> = images.map(on_first).collect();
    let first = first.into_ras();
    let part = plan.crop.of_channels(&first, &further);
    std::iter::once(first)
        .chain(further)
        .zip(plan.normalisations())
        .map(|(image, normalisation)| normalised_and_resampled(part.of_volume(image), normalisation, plan))
        .collect()
}

/// One image, cropped already, normalised and at the plan's spacing.
pub(crate) fn normalised_and_resampled(
    mut image: Volume<f32>,
    normalisation: &Normalisation,
    plan: &Plan,
) -> Result<Volume<f32>, PrepareError> {
    let shape = checked_shape_at(&image.grid, plan.spacing_mm)?;
    normalise(&mut image, normalisation);
    match plan.resample {
        Resampling::Box => resample_image(image, shape),
        Resampling::Nnunet => Ok(spline::resample_image(&image, shape)),
    }
}
