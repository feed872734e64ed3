//! Dice + cross-entropy loss for partially annotated cases.
//!
//! If a label is not annotated, "background" in the label map means "background or that label". The
//! probability of such a background is the sum over background and the labels that are not
//! annotated (marginal loss: Fang and Yan 2020, arXiv 2001.07482), and the Dice term ignores those
//! labels.

use tch::{Kind, Reduction, Tensor};

use crate::data::case::IGNORED;
use crate::error::Result;

/// Smoothing term that keeps the Dice of an absent label finite (nnU-Net).
const SMOOTHING: f64 = 1e-5;

/// Mean cross-entropy over all voxels plus one minus the mean soft Dice, a scalar.
///
/// `logits` (N, C, spatial ...) with background as channel 0; `target` (N, spatial ...) int64
/// channel indices; `annotated` (N, C) float, 1 where the case was annotated for the channel's
/// label and for background. Dice sums over the whole batch, as single planes often lack a label,
/// and averages over the labels that are annotated in at least one case of the batch. Voxels whose
/// target is [`IGNORED`] count in neither term.
///
/// # Errors
/// [`crate::FitError::Torch`] if libtorch fails.
pub fn dice_cross_entropy(logits: &Tensor, target: &Tensor, annotated: &Tensor) -> Result<Tensor> {
    let all_annotated = annotated.f_min()?.f_double_value(&[])? > 0.5;
    let log_p = logits.f_log_softmax(1, Kind::Float)?;
    let log_p = if all_annotated { log_p } else { merge_unknown(&log_p, annotated)? };
    if target.f_max()?.f_double_value(&[])? < f64::from(IGNORED) {
        let cross_entropy = log_p.f_nll_loss_nd::<Tensor>(target, None, Reduction::Mean, -100)?;
        let dice = soft_dice(&log_p.f_exp()?, target, annotated, None)?;
        return Ok(cross_entropy.f_sub(&dice)?.f_add_scalar(1.0)?);
    }
    let known = target.f_ne(i64::from(IGNORED))?;
    let target = target.f_mul(&known.f_to_kind(Kind::Int64)?)?;
    let known = known.f_to_kind(Kind::Float)?;
    let each = log_p.f_nll_loss_nd::<Tensor>(&target, None, Reduction::None, -100)?;
    let count = known.f_sum(Kind::Float)?.f_clamp_min(1.0)?;
    let cross_entropy = each.f_mul(&known)?.f_sum(Kind::Float)?.f_div(&count)?;
    let dice = soft_dice(&log_p.f_exp()?, &target, annotated, Some(&known.f_unsqueeze(1)?))?;
    Ok(cross_entropy.f_sub(&dice)?.f_add_scalar(1.0)?)
}

/// Deep-supervision loss over several levels, the finest first, each on its own grid. The weight
/// halves from level to level; the weights sum to 1 (nnU-Net). Targets of coarser grids are sampled
/// by nearest neighbour.
///
/// # Errors
/// [`crate::FitError::Torch`] if libtorch fails.
pub fn supervised(logits: &[Tensor], target: &Tensor, annotated: &Tensor) -> Result<Tensor> {
    let all: f64 = (0..logits.len()).map(|level| 0.5_f64.powi(level as i32)).sum();
    let mut total = Tensor::f_zeros([0; 0], (Kind::Float, target.device()))?;
    for (level, logits) in logits.iter().enumerate() {
        let loss = dice_cross_entropy(logits, &coarser(target, &logits.size()[2..])?, annotated)?;
        total = total.f_add(&loss.f_mul_scalar(0.5_f64.powi(level as i32) / all)?)?;
    }
    Ok(total)
}

/// Target (N, spatial ...) on a grid of these sides.
fn coarser(target: &Tensor, sides: &[i64]) -> Result<Tensor> {
    if &target.size()[1..] == sides {
        return Ok(target.shallow_clone());
    }
    let target = target.f_unsqueeze(1)?.f_to_kind(Kind::Uint8)?;
    let coarse = match sides.len() {
        2 => target.f_upsample_nearest2d(sides, None, None)?,
        _ => target.f_upsample_nearest3d(sides, None, None, None)?,
    };
    Ok(coarse.f_squeeze_dim(1)?.f_to_kind(Kind::Int64)?)
}

/// Log-probabilities (N, C, spatial ...) whose channel 0 is background or any label that is not
/// annotated.
fn merge_unknown(log_p: &Tensor, annotated: &Tensor) -> Result<Tensor> {
    let channels = log_p.size()[1];
    let shape = broadcast_shape(log_p, annotated);
    // Channels with a probability of their own: annotated labels, but not background.
    let own = annotated.f_gt(0.5)?.f_view(shape.as_slice())?;
    let background = Tensor::f_zeros_like(&own.f_narrow(1, 0, 1)?)?;
    let own = Tensor::f_cat(&[background, own.f_narrow(1, 1, channels - 1)?], 1)?;
    let merged = log_p.f_masked_fill(&own, f64::NEG_INFINITY)?.f_logsumexp([1], true)?;
    Ok(Tensor::f_cat(&[merged, log_p.f_narrow(1, 1, channels - 1)?], 1)?)
}

/// Mean over the annotated labels of 2
/// P T
///  / (
/// P
///  +
/// T
/// ), without background; 1 if no label counts.
fn soft_dice(p: &Tensor, target: &Tensor, annotated: &Tensor, known: Option<&Tensor>) -> Result<Tensor> {
    let channels = p.size()[1];
    let truth = p.f_zeros_like()?.f_scatter_value(1, &target.f_unsqueeze(1)?, 1.0)?;
    let counted = annotated.f_view(broadcast_shape(p, annotated).as_slice())?;
    let counted = match known {
        Some(known) => counted.f_mul(known)?,
        None => counted,
    };
    let per_channel: Vec<i64> = [0].into_iter().chain(2..p.dim() as i64).collect();
    let sum = |t: Tensor| -> Result<Tensor> {
        Ok(t.f_sum_dim_intlist(per_channel.as_slice(), false, Kind::Float)?.f_narrow(0, 1, channels - 1)?)
    };
    let p = p.f_mul(&counted)?;
    let both = sum(p.f_mul(&truth)?)?; // p is 0 where nothing is counted
    let sizes = sum(p.f_add(&truth.f_mul(&counted)?)?)?;
    let dice = (both.f_mul_scalar(2.0)?.f_add_scalar(SMOOTHING)?).f_div(&sizes.f_add_scalar(SMOOTHING)?)?;
    let weight = annotated.f_amax([0], false)?.f_narrow(0, 1, channels - 1)?;
    let labels = weight.f_sum(Kind::Float)?.f_double_value(&[])?;
    if labels < 0.5 {
        return Ok(dice.f_sum(Kind::Float)?.f_mul_scalar(0.0)?.f_add_scalar(1.0)?);
    }
    Ok(dice.f_mul(&weight)?.f_sum(Kind::Float)?.f_div_scalar(labels)?)
}

/// Shape (N, C, 1 ...) with the rank of `like`.
fn broadcast_shape(like: &Tensor, annotated: &Tensor) -> Vec<i64> {
    annotated.size().into_iter().chain(std::iter::repeat_n(1, like.dim() - 2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn example() -> (Tensor, Tensor) {
        tch::manual_seed(3);
        let target = Tensor::randint(3, [2, 5, 7], (Kind::Int64, Device::Cpu));
        (Tensor::randn([2, 3, 5, 7], FLOAT).set_requires_grad(true), target)
    }

    fn value(loss: &Tensor) -> f64 {
        loss.double_value(&[])
    }

    /// Reference implementation of Dice + cross-entropy with all labels annotated.
    fn plain(logits: &Tensor, target: &Tensor) -> f64 {
        let p = logits.softmax(1, Kind::Double).detach();
        let (mut cross_entropy, mut dice) = (0.0, 0.0);
        let (mut both, mut sizes) = ([0.0; 3], [0.0; 3]);
        for n in 0..2 {
            for (y, x) in (0..5).flat_map(|y| (0..7).map(move |x| (y, x))) {
                let t = target.int64_value(&[n, y, x]);
                cross_entropy -= p.double_value(&[n, t, y, x]).ln() / 70.0;
                for c in 0..3 {
                    let q = p.double_value(&[n, c, y, x]);
                    both[c as usize] += if c == t { q } else { 0.0 };
                    sizes[c as usize] += q + if c == t { 1.0 } else { 0.0 };
                }
            }
        }
        for c in 1..3 {
            dice += 2.0 * both[c] / sizes[c] / 2.0;
        }
        cross_entropy + 1.0 - dice
    }

    #[test]
    fn equals_the_plain_loss_when_all_is_annotated() {
        let (logits, target) = example();
        let loss = dice_cross_entropy(&logits, &target, &Tensor::ones([2, 3], FLOAT)).unwrap();
        assert!((value(&loss) - plain(&logits, &target)).abs() < 1e-5);
    }

    #[test]
    fn coarser_levels_count_half_as_much() {
        let (logits, target) = example();
        let annotated = Tensor::ones([2, 3], FLOAT);
        let coarse = Tensor::zeros([2, 3, 2, 3], FLOAT);
        let nearest = coarser(&target, &[2, 3]).unwrap();
        assert_eq!(nearest.int64_value(&[1, 1, 2]), target.int64_value(&[1, 2, 4]));
        let both =
            supervised(&[logits.shallow_clone(), coarse.shallow_clone()], &target, &annotated).unwrap();
        let alone = |l: &Tensor, t: &Tensor| value(&dice_cross_entropy(l, t, &annotated).unwrap());
        let expected = (2.0 * alone(&logits, &target) + alone(&coarse, &nearest)) / 3.0;
        assert!((value(&both) - expected).abs() < 1e-5);
    }

    #[test]
    fn the_merged_background_is_background_alone_when_all_is_annotated() {
        let (logits, _) = example();
        let log_p = logits.log_softmax(1, Kind::Float);
        let merged = merge_unknown(&log_p, &Tensor::ones([2, 3], FLOAT)).unwrap();
        assert!(value(&(merged - log_p).abs().max()) < 1e-6);
    }

    #[test]
    fn an_unannotated_label_is_as_good_as_background() {
        let (logits, target) = example();
        let target = &target * target.ne(2); // label 2 was not looked for
        let annotated = Tensor::from_slice(&[1.0_f32, 1.0, 0.0, 1.0, 1.0, 0.0]).view([2, 3]);
        let loss = dice_cross_entropy(&logits, &target, &annotated).unwrap();
        let gradient = Tensor::run_backward(&[&loss], &[&logits], false, false).remove(0);
        // Moving probability between background and label 2 changes nothing, so the gradients of
        // the two logits have the ratio of their probabilities, and label 2 is not pushed to
        // background.
        let p = logits.softmax(1, Kind::Float);
        let ratio = |t: &Tensor| t.select(1, 0) * p.select(1, 2) - t.select(1, 2) * p.select(1, 0);
        assert!(value(&ratio(&gradient).abs().max()) < 1e-6);
        let pushed = gradient.select(1, 2).masked_select(&target.eq(0));
        assert!(value(&pushed.max()) <= 0.0, "descent never lowers label 2 where the map says background");
    }

    #[test]
    fn a_label_that_was_looked_for_and_is_absent_is_punished() {
        let (logits, target) = example();
        let target = &target * target.ne(2); // label 2 was looked for, and no voxel has it
        let loss = dice_cross_entropy(&logits, &target, &Tensor::ones([2, 3], FLOAT)).unwrap();
        let gradient = Tensor::run_backward(&[&loss], &[&logits], false, false).remove(0);
        assert!(value(&gradient.select(1, 2).min()) > 0.0, "descent lowers label 2 everywhere");
    }

    #[test]
    fn voxels_that_say_nothing_are_in_no_term() {
        let (logits, target) = example();
        let annotated = Tensor::ones([2, 3], FLOAT);
        // Of two halves that are learnt from alone, the other is ignored.
        let ignored = target.narrow(2, 0, 4).full_like(i64::from(IGNORED));
        let half = Tensor::cat(&[&ignored, &target.narrow(2, 4, 3)], 2);
        let whole = dice_cross_entropy(&logits, &half, &annotated).unwrap();
        let alone = dice_cross_entropy(&logits.narrow(3, 4, 3), &target.narrow(2, 4, 3), &annotated).unwrap();
        assert!((value(&whole) - value(&alone)).abs() < 1e-5);
        let gradient = Tensor::run_backward(&[&whole], &[&logits], false, false).remove(0);
        assert_eq!(value(&gradient.narrow(3, 0, 4).abs().max()), 0.0);
        let nothing = target.full_like(i64::from(IGNORED));
        assert!(value(&dice_cross_entropy(&logits, &nothing, &annotated).unwrap()).is_finite());
    }

    #[test]
    fn a_batch_without_any_annotated_label_has_no_dice_term() {
        let (logits, target) = example();
        let annotated = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 1.0, 0.0, 0.0]).view([2, 3]);
        let loss = dice_cross_entropy(&logits, &target.zeros_like(), &annotated).unwrap();
        assert!(value(&loss).abs() < 1e-5);
    }
}
