//! Series that read in two ways, and are refused with both.

use dicom_core::VR;
use dicom_dictionary_std::tags;

use crate::slice_files::{Slice, cine, each, refusal, shifted, slice, stack, tens, volumes};

#[test]
fn shifted_phases_that_only_positions_show_are_refused_with_both_readings() {
    let slices = each(shifted(0.4), |_, slice| slice.with(tags::INSTANCE_NUMBER, VR::IS, ""));
    refusal(
        &slices,
        &["12 slices", "one stack with alternating gaps", "2 interleaved even stacks", "0.40 mm"],
    );
    // Half a step: only the mean intensity goes up and down.
    let slices = each(shifted(1.5), |_, slice| slice.with(tags::INSTANCE_NUMBER, VR::IS, ""));
    refusal(
        &slices,
        &["one stack with a slice every 1.50 mm", "2 stacks of up to 6 slices, one every 3.00 mm"],
    );
}

#[test]
fn evidence_for_both_readings_is_a_doubt() {
    let slices = each(stack(1, 0.0, 100, 12), |n, slice| {
        slice.acquisition(1 + n % 2).with(tags::SLICE_THICKNESS, VR::DS, "6")
    });
    refusal(&slices, &["its 12 slices are either one stack", "distinguished by acquisition number"]);
    let contrast = each(slices, |n, mut slice| {
        slice.first_pixel += if n % 2 == 0 { 0 } else { 500 };
        slice
    });
    assert_eq!(volumes(&contrast).len(), 2, "the second phase is brighter");
}

#[test]
fn phases_of_which_a_slice_is_missing_are_refused_with_true_figures() {
    let mut slices = cine(|position, phase, slice| {
        slice.with(tags::TRIGGER_TIME, VR::DS, (40 * phase + position).to_string())
    });
    slices.remove(4);
    slices.iter_mut().for_each(|slice| slice.elements.retain(|(tag, ..)| *tag != tags::INSTANCE_NUMBER));
    refusal(&slices, &["up to 3 at 4 of 4, first 0.00 mm", "one volume of 4 slices"]);
}

#[test]
fn a_slice_that_was_repeated_with_other_pixels_is_refused_with_its_place() {
    let mut slices = stack(1, 0.0, 100, 8);
    slices.push(slice(99, 9.0, 700));
    refusal(&slices, &["up to 2 at 1 of 8, first 9.00 mm from the first slice", "their pixels differ"]);
}

/// Two stacks of six slices, 40 mm apart.
fn slabs() -> Vec<Slice> {
    [stack(1, 0.0, 100, 6), stack(7, 55.0, 200, 6)].concat()
}

#[test]
fn a_wide_gap_is_not_filled_with_slices_that_nobody_took() {
    refusal(&slabs(), &["a gap of 40.00 mm", "runs of 6, 6 slices", "separate volumes"]);
    let of_two = each(slabs(), |n, slice| slice.acquisition(1 + n / 6));
    assert_eq!(volumes(&of_two), [tens(100, 6), tens(200, 6)]);
    // A single slice far off is no volume of its own.
    let stray = [stack(1, 0.0, 100, 6), vec![slice(99, 55.0, 700).acquisition(2)]].concat();
    refusal(&stray, &["a gap of 40.00 mm", "runs of 6, 1 slices"]);
}

#[test]
fn images_at_one_position_are_not_parted_by_what_counts_slices() {
    let at_one = || (0..6).map(|n| slice(n + 1, 0.0, 100 + 10 * n as u16)).collect::<Vec<_>>();
    let both = ["its 6 images all lie at one position", "slices whose positions are wrong"];
    refusal(&at_one(), &both);
    refusal(&each(at_one(), |n, slice| slice.acquisition(n + 1)), &both);
    let timed = |n: usize, slice: Slice| slice.with(tags::ACQUISITION_TIME, VR::TM, format!("10{n:02}00"));
    refusal(&each(at_one(), timed), &both);
    let phases = |n: usize, slice: Slice| slice.with(tags::TRIGGER_TIME, VR::DS, (40 * n).to_string());
    assert_eq!(volumes(&each(at_one(), phases)).len(), 6);
}
