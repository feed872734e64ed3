//! Series that hold several volumes.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use crate::slice_files::{Slice, cine, each, shifted, slice, stack, tens, told, volumes};

#[test]
fn a_derived_stack_of_its_own_is_split_off() {
    let derived = each(stack(20, 0.0, 1000, 4), |n, mut slice| {
        slice.place[2] = 5.0 * n as f64;
        slice.with(tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY\\MPR")
    });
    let slices = [stack(1, 0.0, 100, 8), derived].concat();
    assert_eq!(volumes(&slices), [tens(1000, 4), tens(100, 8)]);
    let told = told(&slices, "split-series");
    assert_eq!(
        told[0],
        "split-series: its series has 2 volumes, distinguished by image type; this is number 1, of 4 slices"
    );
    assert_eq!(told.len(), 2);
}

#[test]
fn phases_that_are_shifted_are_split_by_their_acquisition() {
    for shift in [0.0, 0.02, 0.4, 1.0, 1.5, 2.9, 4.5] {
        let slices = each(shifted(shift), |n, slice| slice.acquisition(1 + n / 6));
        assert_eq!(volumes(&slices), [tens(100, 6), tens(1000, 6)], "{shift} mm");
        assert_eq!(told(&slices, "split-series").len(), 2, "{shift} mm");
    }
}

#[test]
fn phases_that_are_shifted_are_split_by_the_order_of_the_series() {
    for shift in [0.0, 0.02, 0.4, 1.0, 1.5, 2.9] {
        assert_eq!(volumes(&shifted(shift)), [tens(100, 6), tens(1000, 6)], "{shift} mm");
    }
}

#[test]
fn phases_go_by_their_rank_at_each_position() {
    let of_trigger = cine(|position, phase, slice| {
        slice
            .with(
                tags::TRIGGER_TIME,
                VR::DS,
                format!("{:.2}", phase as f64 * (34.0 + 0.7 * position as f64) + 1.5),
            )
            .with(tags::ACQUISITION_TIME, VR::TM, format!("1015{position:02}.00"))
    });
    let of_time = cine(|position, phase, slice| {
        slice.with(tags::ACQUISITION_TIME, VR::TM, format!("1015{:02}", 10 * position + 2 * phase))
    });
    let of_percentage = cine(|_, phase, slice| {
        slice.with(tags::NOMINAL_PERCENTAGE_OF_CARDIAC_PHASE, VR::FL, "").with(
            tags::TRIGGER_TIME,
            VR::DS,
            (33 * phase).to_string(),
        )
    });
    for (slices, by) in
        [(of_trigger, "trigger time"), (of_time, "acquisition time"), (of_percentage, "trigger time")]
    {
        assert_eq!(volumes(&slices), [tens(100, 4), tens(1100, 4), tens(2100, 4)], "{by}");
        let told = told(&slices, "split-series");
        assert!(
            told[2].contains(&format!("3 volumes, distinguished by {by}; this is number 3, of 4 slices")),
            "{told:?}"
        );
    }
}

#[test]
fn an_acquisition_for_each_slab_does_not_tear_phases() {
    let slices = cine(|position, phase, slice| {
        slice.acquisition(1 + position / 2).with(
            tags::TRIGGER_TIME,
            VR::DS,
            (40 * phase + position).to_string(),
        )
    });
    assert_eq!(volumes(&slices), [tens(100, 4), tens(1100, 4), tens(2100, 4)]);
}

#[test]
fn phases_that_show_the_same_air_stay_two() {
    let slices = each(shifted(0.0), |n, mut slice| {
        slice.first_pixel = if n % 6 == 0 { 0 } else { slice.first_pixel };
        slice.acquisition(1 + n / 6)
    });
    let volumes = volumes(&slices);
    assert_eq!(volumes.len(), 2);
    assert!(volumes.iter().all(|volume| volume.as_ref().unwrap().len() == 6));
}

#[test]
fn diffusion_is_split_by_b_value_and_direction() {
    let directions = ["", "0\\0\\1", "0\\1\\0", "1\\0\\0"];
    let slices: Vec<Slice> = (0..16)
        .map(|n| {
            let (position, direction) = (n / 4, n % 4);
            let slice = slice(n, 3.0 * position as f64, (100 + 10 * position + 1000 * direction) as u16).mr();
            let b_value = if direction == 0 { "0" } else { "800" };
            slice.with(Tag(0x0019, 0x100C), VR::IS, b_value).with(tags::MANUFACTURER, VR::LO, "SIEMENS").with(
                tags::DIFFUSION_GRADIENT_ORIENTATION,
                VR::DS,
                directions[direction],
            )
        })
        .collect();
    assert_eq!(volumes(&slices), [tens(100, 4), tens(1100, 4), tens(2100, 4), tens(3100, 4)]);
    assert!(told(&slices, "split-series")[3].contains("b-value and diffusion direction"));
}

#[test]
fn phases_may_lack_slices_and_reach_over_different_regions() {
    let mut slices = each([stack(1, 0.0, 100, 6), stack(11, 6.0, 1000, 12)].concat(), |n, slice| {
        slice.acquisition(1 + n / 6)
    });
    slices.iter_mut().skip(6).for_each(|slice| *slice = slice.clone().acquisition(2));
    assert_eq!(volumes(&slices), [tens(100, 6), tens(1000, 12)]);
    slices.remove(9);
    assert_eq!(volumes(&slices).len(), 2);
    assert_eq!(told(&slices, "missing-slice").len(), 1);
}

#[test]
fn slabs_that_overlap_are_two_and_slabs_that_follow_each_other_are_one() {
    let slabs = |second: f64| {
        each([stack(1, 0.0, 100, 6), stack(7, second, 160, 6)].concat(), |n, slice| {
            slice.acquisition(1 + n / 6)
        })
    };
    assert_eq!(volumes(&slabs(18.0)), [tens(100, 12)]);
    assert_eq!(volumes(&slabs(16.0)).len(), 1, "one uneven stack");
    assert_eq!(volumes(&slabs(14.0)), [tens(100, 6), tens(160, 6)]);
    assert_eq!(volumes(&slabs(12.0)), [tens(100, 6), tens(160, 6)]);
}

#[test]
fn two_geometries_of_several_slices_are_told() {
    let coronal = each(stack(20, 0.0, 1000, 3), |n, mut slice| {
        slice.place = [10.0, 3.0 * n as f64, 60.0];
        slice.with(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\0\\-1")
    });
    let slices = [stack(1, 0.0, 100, 6), coronal].concat();
    assert_eq!(volumes(&slices).len(), 2);
    assert!(told(&slices, "split-series").iter().all(|told| told.contains("distinguished by geometry")));
}

#[test]
fn kernels_at_the_same_positions_and_temporal_positions_are_split() {
    for (tag, vr, values) in [
        (tags::CONVOLUTION_KERNEL, VR::SH, ["B30f", "B70f"]),
        (tags::TEMPORAL_POSITION_IDENTIFIER, VR::IS, ["1", "2"]),
        (tags::KVP, VR::DS, ["80", "140"]),
        (tags::CONTRAST_BOLUS_AGENT, VR::LO, ["", "IV"]),
    ] {
        let slices = each(shifted(0.0), |n, slice| {
            let number = (2 * (n % 6) + n / 6).to_string();
            slice.with(tag, vr, values[n / 6]).with(tags::INSTANCE_NUMBER, VR::IS, number)
        });
        assert_eq!(volumes(&slices), [tens(100, 6), tens(1000, 6)], "{}", values[1]);
    }
}

#[test]
fn phases_with_a_tilted_gantry_are_two() {
    let slices = each(shifted(0.0), |n, mut slice| {
        slice.place[1] += (n % 6) as f64;
        slice.acquisition(1 + n / 6)
    });
    assert_eq!(volumes(&slices).len(), 2);
    assert_eq!(told(&slices, "gantry-tilt").len(), 2);
}

#[test]
fn stacks_side_by_side_are_two() {
    let slices = each(shifted(0.0), |n, mut slice| {
        slice.place[0] += if n < 6 { 0.0 } else { 120.0 };
        slice
    });
    assert_eq!(volumes(&slices), [tens(100, 6), tens(1000, 6)]);
}

#[test]
fn magnitude_and_phase_are_never_mixed() {
    let slices = each(stack(1, 0.0, 100, 8), |n, slice| {
        let kind = if n == 3 { "ORIGINAL\\PRIMARY\\P\\ND" } else { "ORIGINAL\\PRIMARY\\M\\ND" };
        slice.mr().with(tags::IMAGE_TYPE, VR::CS, kind)
    });
    assert_eq!(volumes(&slices).len(), 2);
}

#[test]
fn phases_whose_times_are_equal_go_by_the_order_of_the_series() {
    let equal = |position: usize, phase: usize| if position == 2 { phase.min(1) } else { phase };
    let slices = cine(|position, phase, slice| {
        slice.with(tags::TRIGGER_TIME, VR::DS, (40 * equal(position, phase)).to_string())
    });
    assert_eq!(volumes(&slices), [tens(100, 4), tens(1100, 4), tens(2100, 4)]);
    let backwards = each(slices, |n, slice| {
        slice.with(tags::INSTANCE_NUMBER, VR::IS, (3 * (n / 3) + 2 - n % 3).to_string())
    });
    assert!(volumes(&backwards)[0].is_err(), "the order runs against the times");
    assert_eq!(volumes(&backwards).len(), 1, "no phase is read of a series in doubt");
    let untold = cine(|_, _, slice| slice);
    assert_eq!(volumes(&untold), [tens(100, 4), tens(1100, 4), tens(2100, 4)]);
}

#[test]
fn phases_go_by_delays_of_any_gating() {
    for tag in [
        tags::NOMINAL_CARDIAC_TRIGGER_DELAY_TIME,
        tags::ACTUAL_CARDIAC_TRIGGER_DELAY_TIME,
        tags::NOMINAL_RESPIRATORY_TRIGGER_DELAY_TIME,
        tags::ACTUAL_RESPIRATORY_TRIGGER_DELAY_TIME,
        tags::TEMPORAL_POSITION_TIME_OFFSET,
    ] {
        let slices = cine(|position, phase, slice| {
            let drift = if tag == tags::TEMPORAL_POSITION_TIME_OFFSET { 0 } else { position };
            let slice = slice.with(tags::INSTANCE_NUMBER, VR::IS, "");
            slice.with(tag, VR::DS, (300 * phase + drift).to_string())
        });
        assert_eq!(volumes(&slices), [tens(100, 4), tens(1100, 4), tens(2100, 4)], "{tag}");
    }
}

#[test]
fn stations_that_are_shifted_in_their_plane_are_two() {
    let slices = each(stack(1, 0.0, 100, 10), |n, mut slice| {
        slice.place[1] += if n < 5 { 0.0 } else { 9.0 };
        slice
    });
    assert_eq!(volumes(&slices), [tens(100, 5), tens(150, 5)]);
    assert!(told(&slices, "split-series")[0].contains("distinguished by place in the plane"));
}

#[test]
fn frames_of_reference_of_one_series_are_told() {
    let slices = each(stack(1, 0.0, 100, 8), |n, slice| {
        slice.with(tags::FRAME_OF_REFERENCE_UID, VR::UI, if n < 4 { "1.2.8" } else { "1.2.9" })
    });
    assert_eq!(volumes(&slices), [tens(100, 4), tens(140, 4)]);
    let told = told(&slices, "split-series");
    assert!(told.len() == 2 && told[0].contains("images in 2 frames of reference"), "{told:?}");
}
