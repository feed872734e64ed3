//! Dice + cross-entropy loss for partially annotated cases, for labels, of which a voxel has one,
//! or for regions, which may overlap.
//!
//! If a label is not annotated, "background" in the label map means "background or that label". The
//! probability of such a background is the sum over background and the labels that are not
//! annotated (marginal loss: Fang and Yan 2020, arXiv 2001.07482), and the Dice term ignores those
//! labels. A region is left out of both terms in the cases that are not annotated for all of its
//! labels.

use tch::{Kind, Reduction, Tensor};

use crate::data::case::IGNORED;
use crate::data::regions::RegionOutput;
use crate::error::Result;
use crate::model::device::ComputeDevice;

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
        let p = log_p.f_exp()?;
        let dice = soft_dice(&p, &one_hot(&p, target)?, annotated, None, Background::First)?;
        return Ok(cross_entropy.f_sub(&dice)?.f_add_scalar(1.0)?);
    }
    let known = target.f_ne(i64::from(IGNORED))?;
    let target = target.f_mul(&known.f_to_kind(Kind::Int64)?)?;
    let known = known.f_to_kind(Kind::Float)?;
    let each = log_p.f_nll_loss_nd::<Tensor>(&target, None, Reduction::None, -100)?;
    let count = known.f_sum(Kind::Float)?.f_clamp_min(1.0)?;
    let cross_entropy = each.f_mul(&known)?.f_sum(Kind::Float)?.f_div(&count)?;
    let (p, known) = (log_p.f_exp()?, known.f_unsqueeze(1)?);
    let dice = soft_dice(&p, &one_hot(&p, &target)?, annotated, Some(&known), Background::First)?;
    Ok(cross_entropy.f_sub(&dice)?.f_add_scalar(1.0)?)
}

/// Mean binary cross-entropy over all regions and voxels plus one minus the mean soft Dice, a
/// scalar: the loss of nnU-Net's region-based training (`DC_and_BCE_loss`).
///
/// `logits` (N, R, spatial ...), an output for each of `regions`; `target` (N, spatial ...) int64
/// channel indices of labels; `annotated` (N, C) float, 1 where the case was annotated for the
/// channel's label and for background. Voxels whose target is [`IGNORED`], and regions in cases
/// that are not annotated for them, count in neither term. Where a cohort has ignored voxels
/// nnU-Net adds the regions' cross-entropies instead of averaging them; here they are averaged
/// always.
///
/// # Errors
/// [`crate::FitError::Torch`] if libtorch fails.
pub fn dice_binary_cross_entropy(
    logits: &Tensor,
    target: &Tensor,
    annotated: &Tensor,
    regions: &[RegionOutput],
) -> Result<Tensor> {
    let logits = logits.f_to_kind(Kind::Float)?;
    let truth = in_regions(target, regions)?;
    let annotated = annotated_regions(annotated, regions)?;
    let known = target.f_ne(i64::from(IGNORED))?.f_to_kind(Kind::Float)?.f_unsqueeze(1)?;
    let counted = annotated.f_view(broadcast_shape(&logits, &annotated).as_slice())?.f_mul(&known)?;
    let each = logits.f_binary_cross_entropy_with_logits::<Tensor>(&truth, None, None, Reduction::None)?;
    let count = counted.f_sum(Kind::Float)?.f_clamp_min(1.0)?;
    let cross_entropy = each.f_mul(&counted)?.f_sum(Kind::Float)?.f_div(&count)?;
    let dice = soft_dice(&logits.f_sigmoid()?, &truth, &annotated, Some(&known), Background::None)?;
    Ok(cross_entropy.f_sub(&dice)?.f_add_scalar(1.0)?)
}

/// Membership (N, R, spatial ...), 1 or 0, of voxels with these channels (N, spatial ...) in each
/// region; ignored voxels are in none.
fn in_regions(target: &Tensor, regions: &[RegionOutput]) -> Result<Tensor> {
    let row = |channel: u8| regions.iter().map(move |region| f32::from(u8::from(region.contains(channel))));
    let table: Vec<f32> = (0..=IGNORED).flat_map(row).collect();
    let table = Tensor::f_from_slice(&table)?.f_view([-1, regions.len() as i64])?;
    let of_voxels = ComputeDevice::of(target).upload(&table)?.f_index_select(0, &target.f_flatten(0, -1)?)?;
    let shape: Vec<i64> = target.size().into_iter().chain([regions.len() as i64]).collect();
    Ok(of_voxels.f_view(shape.as_slice())?.f_movedim_int(-1, 1)?)
}

/// (N, R): 1 where a case is annotated for every label of a region that any case is annotated for.
/// `annotated` is (N, C).
fn annotated_regions(annotated: &Tensor, regions: &[RegionOutput]) -> Result<Tensor> {
    let channels = annotated.size()[1];
    let needs =
        |channel: i64, region: &RegionOutput| region.annotated_by.iter().any(|&by| i64::from(by) == channel);
    let needs = |channel: i64| regions.iter().map(move |region| f32::from(u8::from(needs(channel, region))));
    let table: Vec<f32> = (0..channels).flat_map(needs).collect();
    let table =
        ComputeDevice::of(annotated).upload(&Tensor::f_from_slice(&table)?.f_view([channels, -1])?)?;
    let missing = annotated.f_neg()?.f_add_scalar(1.0)?.f_matmul(&table)?;
    let is_known = table.f_sum_dim_intlist([0_i64].as_slice(), true, Kind::Float)?.f_gt(0.5)?;
    Ok(missing.f_lt(0.5)?.f_logical_and(&is_known)?.f_to_kind(Kind::Float)?)
}

/// Deep-supervision loss over several levels, the finest first, each on its own grid. The weight
/// halves from level to level; the weights sum to 1 (nnU-Net). Targets of coarser grids are sampled
/// by nearest neighbour. The outputs stand for `regions`, or for background and the labels if there
/// are none.
///
/// # Errors
/// [`crate::FitError::Torch`] if libtorch fails.
pub fn supervised(
    logits: &[Tensor],
    target: &Tensor,
    annotated: &Tensor,
    regions: &[RegionOutput],
) -> Result<Tensor> {
    let all: f64 = (0..logits.len()).map(|level| 0.5_f64.powi(level as i32)).sum();
    let mut total = Tensor::f_zeros([0; 0], ComputeDevice::of(target).options(Kind::Float))?;
    for (level, logits) in logits.iter().enumerate() {
        let target = coarser(target, &logits.size()[2..])?;
        let loss = match regions {
            [] => dice_cross_entropy(logits, &target, annotated)?,
            regions => dice_binary_cross_entropy(logits, &target, annotated, regions)?,
        };
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

/// Whether the first channel is background, which has no Dice term.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Background {
    First,
    None,
}

/// 1 where a voxel has the channel, 0 elsewhere (N, C, spatial ...).
fn one_hot(p: &Tensor, target: &Tensor) -> Result<Tensor> {
    Ok(p.f_zeros_like()?.f_scatter_value(1, &target.f_unsqueeze(1)?, 1.0)?)
}

/// Mean over the annotated channels of 2 sum(p t) / (sum(p) + sum(t)), where p and the truth t are
/// (N, C, spatial ...) and `annotated` is (N, C); 1 if no channel counts.
fn soft_dice(
    p: &Tensor,
    truth: &Tensor,
    annotated: &Tensor,
    known: Option<&Tensor>,
    background: Background,
) -> Result<Tensor> {
    let first = i64::from(background == Background::First);
    let counting = p.size()[1] - first;
    let counted = annotated.f_view(broadcast_shape(p, annotated).as_slice())?;
    let counted = match known {
        Some(known) => counted.f_mul(known)?,
        None => counted,
    };
    let per_channel: Vec<i64> = [0].into_iter().chain(2..p.dim() as i64).collect();
    let sum = |t: Tensor| -> Result<Tensor> {
        Ok(t.f_sum_dim_intlist(per_channel.as_slice(), false, Kind::Float)?.f_narrow(0, first, counting)?)
    };
    let p = p.f_mul(&counted)?;
    let both = sum(p.f_mul(truth)?)?; // p is 0 where nothing is counted
    let sizes = sum(p.f_add(&truth.f_mul(&counted)?)?)?;
    let dice = (both.f_mul_scalar(2.0)?.f_add_scalar(SMOOTHING)?).f_div(&sizes.f_add_scalar(SMOOTHING)?)?;
    let weight = annotated.f_amax([0], false)?.f_narrow(0, first, counting)?;
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
            supervised(&[logits.shallow_clone(), coarse.shallow_clone()], &target, &annotated, &[]).unwrap();
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

    fn region(channels: &[u8]) -> RegionOutput {
        RegionOutput { channels: channels.to_vec(), written: channels[0], annotated_by: channels.to_vec() }
    }

    /// Loss, gradient of the logits, of two regions of which one holds the other.
    fn of_regions(logits: &Tensor, target: &Tensor, annotated: &[f32]) -> (f64, Tensor) {
        let regions = [region(&[1, 2]), region(&[2])];
        let annotated = Tensor::from_slice(annotated).view([2, 3]);
        let loss = dice_binary_cross_entropy(logits, target, &annotated, &regions).unwrap();
        (value(&loss), Tensor::run_backward(&[&loss], &[logits], false, false).remove(0))
    }

    #[test]
    fn regions_are_left_out_where_a_label_of_them_was_not_looked_for() {
        let (logits, target) = example();
        let logits = logits.narrow(1, 0, 2).detach().set_requires_grad(true);
        let (_, gradient) = of_regions(&logits, &target, &[1.0; 6]);
        assert!(value(&gradient.abs().min()) > 0.0, "each output of each voxel is learnt from");
        // In the second case nobody looked for the label 1, which belongs to the first region.
        let (_, gradient) = of_regions(&logits, &target, &[1.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
        let of_region =
            |case: i64, region: i64| value(&gradient.select(0, case).select(0, region).abs().min());
        assert_eq!(value(&gradient.select(0, 1).select(0, 0).abs().max()), 0.0);
        assert!(of_region(0, 0) > 0.0 && of_region(0, 1) > 0.0 && of_region(1, 1) > 0.0);
        let (loss, gradient) = of_regions(&logits, &target, &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        assert_eq!((loss, value(&gradient.abs().max())), (0.0, 0.0));
    }

    #[derive(serde::Deserialize)]
    struct OfNnunet {
        shape: Vec<i64>,
        logits: Vec<f32>,
        target: Vec<i64>,
        ignore: Option<i64>,
        regions: Vec<Vec<u8>>,
        regions_class_order: Vec<u8>,
        binary_cross_entropy: f64,
        cross_entropy: Option<f64>,
        dice: f64,
        segmentation: Vec<u8>,
    }

    /// Values of nnU-Net's own classes (tests/golden/scripts/regions.py).
    #[test]
    fn losses_and_label_maps_are_those_of_nnu_net() {
        let golden = include_str!("../../../../tests/golden/data/regions.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let cases: Vec<OfNnunet> = serde_json::from_value(golden["cases"].clone()).unwrap();
        assert!(cases.len() > 3);
        for case in cases {
            let [n, channels] = [case.shape[0], case.shape[1]];
            let logits = Tensor::from_slice(&case.logits).view(case.shape.as_slice());
            let spatial: Vec<i64> = [n].iter().chain(&case.shape[2..]).copied().collect();
            let target = Tensor::from_slice(&case.target).view(spatial.as_slice());
            let target = match case.ignore {
                Some(ignore) => target.where_scalarother(&target.ne(ignore), i64::from(IGNORED)),
                None => target,
            };
            let last = case.regions.iter().flatten().copied().max().unwrap_or(channels as u8 - 1);
            let annotated = Tensor::ones([n, i64::from(last) + 1], FLOAT);
            if case.regions.is_empty() {
                let loss = value(&dice_cross_entropy(&logits, &target, &annotated).unwrap());
                let expected = case.cross_entropy.unwrap() + 1.0 - case.dice;
                assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
                continue;
            }
            let output =
                |(channels, written): (&Vec<u8>, &u8)| RegionOutput { written: *written, ..region(channels) };
            let outputs: Vec<_> = case.regions.iter().zip(&case.regions_class_order).map(output).collect();
            let loss = value(&dice_binary_cross_entropy(&logits, &target, &annotated, &outputs).unwrap());
            // With a label to ignore nnU-Net adds the regions' cross-entropies.
            let added = if case.ignore.is_some() { outputs.len() as f64 } else { 1.0 };
            let expected = case.binary_cross_entropy / added + 1.0 - case.dice;
            assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
            let p = Vec::<f32>::try_from(logits.sigmoid().movedim_int(1, -1).contiguous().view(-1)).unwrap();
            let map: Vec<u8> =
                p.chunks(outputs.len()).map(|p| crate::data::regions::channel_of(p, &outputs)).collect();
            assert_eq!(map, case.segmentation);
        }
    }
}
