//! Slices that are one volume, whatever some of their attributes say.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use pdl_findings::SkipReason;
use std::path::PathBuf;

use crate::slice_files::{
    Slice, each, findings, in_two_passes, refusal, scanned, slice, stack, tens, told, volumes,
};

#[test]
fn a_series_for_every_slice_is_joined_and_says_so() {
    let slices = each(stack(1, 0.0, 100, 5), |n, slice| {
        slice.with(tags::SERIES_INSTANCE_UID, VR::UI, format!("1.2.1.{n}"))
    });
    assert_eq!(volumes(&slices), [tens(100, 5)]);
    let told = told(&slices, "joined-series");
    assert!(
        told[0].contains("5 series of one slice position each") && told[0].contains("3.00 mm"),
        "{told:?}"
    );
    let (_folder, scan) = scanned(&slices);
    assert_eq!(scan.series[0].series_uid, "1.2.1.0");
}

#[test]
fn a_series_for_every_slice_holds_several_times() {
    let slices: Vec<Slice> = (0..12)
        .map(|n| {
            let (position, time) = (n % 4, n / 4);
            slice(n + 1, 3.0 * position as f64, (100 + 10 * position + 1000 * time) as u16)
                .mr()
                .with(tags::SERIES_INSTANCE_UID, VR::UI, format!("1.2.1.{position}"))
                .with(tags::TEMPORAL_POSITION_IDENTIFIER, VR::IS, time.to_string())
        })
        .collect();
    assert_eq!(volumes(&slices), [tens(100, 4), tens(1100, 4), tens(2100, 4)]);
}

#[test]
fn single_slices_that_are_no_stack_stay_apart() {
    let of_heights = |heights: [f64; 4]| -> Vec<Slice> {
        let series =
            |(n, height)| slice(n, height, 100).with(tags::SERIES_INSTANCE_UID, VR::UI, format!("1.2.1.{n}"));
        heights.into_iter().enumerate().map(series).collect()
    };
    assert_eq!(volumes(&of_heights([0.0, 3.0, 6.0, 9.0])).len(), 1);
    assert_eq!(
        volumes(&of_heights([0.0, 30.0, 60.0, 90.0])).len(),
        4,
        "ten times as far apart as they are thick"
    );
    assert_eq!(volumes(&of_heights([0.0, 3.0, 8.0, 17.0])).len(), 4, "not even");
    assert_eq!(volumes(&of_heights([0.0, 3.0, 3.0, 6.0])).len(), 4, "two at one position");
    let other_frame = each(of_heights([0.0, 3.0, 6.0, 9.0]), |n, slice| {
        slice.with(tags::FRAME_OF_REFERENCE_UID, VR::UI, format!("1.2.9.{n}"))
    });
    assert_eq!(volumes(&other_frame).len(), 4);
}

#[test]
fn a_frame_of_reference_for_every_slice_is_joined_and_says_so() {
    let slices = each(stack(1, 0.0, 100, 5), |n, slice| {
        slice.with(tags::FRAME_OF_REFERENCE_UID, VR::UI, format!("1.2.9.{n}"))
    });
    assert_eq!(volumes(&slices), [tens(100, 5)]);
    assert!(told(&slices, "joined-series")[0].contains("each with a frame of reference of its own"));
}

#[test]
fn derived_slices_do_not_tear_a_ct() {
    for derived in [vec![3], vec![0, 1], vec![1, 3, 5, 7], vec![2, 3, 6]] {
        let slices = each(stack(1, 0.0, 100, 8), |n, slice| {
            let kind =
                if derived.contains(&n) { "DERIVED\\SECONDARY\\AXIAL" } else { "ORIGINAL\\PRIMARY\\AXIAL" };
            slice.with(tags::IMAGE_TYPE, VR::CS, kind)
        });
        assert_eq!(volumes(&slices), [tens(100, 8)], "{derived:?}");
        assert_eq!(findings(&slices), Vec::<String>::new());
    }
}

#[test]
fn numbers_that_are_written_otherwise_are_the_same() {
    let slices = each(stack(1, 0.0, 100, 6), |n, slice| {
        let echo = ["4.2", "4.200000", "4.19999980926514", "4.2 "][n % 4];
        slice.mr().with(tags::ECHO_TIME, VR::DS, echo).with(tags::ECHO_NUMBERS, VR::IS, ["1", "01"][n % 2])
    });
    assert_eq!(volumes(&slices), [tens(100, 6)]);
    let two = each([stack(1, 0.0, 100, 3), stack(4, 0.0, 500, 3)].concat(), |n, slice| {
        slice.mr().with(tags::ECHO_TIME, VR::DS, if n < 3 { "4.2" } else { "12" })
    });
    assert_eq!(volumes(&two), [tens(100, 3), tens(500, 3)]);
}

#[test]
fn one_stack_that_was_acquired_in_two_passes_stays_one() {
    let in_order = in_two_passes();
    let in_passes = each(in_two_passes(), |n, slice| {
        slice.with(tags::INSTANCE_NUMBER, VR::IS, (n / 2 + 6 * (n % 2)).to_string())
    });
    let triggered = each(in_two_passes(), |n, slice| {
        slice.with(tags::TRIGGER_TIME, VR::DS, if n % 2 == 0 { "12" } else { "512" })
    });
    let numbered = each(in_two_passes(), |n, slice| slice.acquisition(1 + n % 2));
    let overlapping = each(stack(1, 0.0, 100, 12), |_, slice| slice.with(tags::SLICE_THICKNESS, VR::DS, "6"));
    for (slices, name) in [
        (in_order, "in order"),
        (in_passes, "in the order of passes"),
        (triggered, "two slices a heartbeat"),
        (numbered, "an acquisition number for each pass"),
        (overlapping, "slices twice as thick as their distance"),
    ] {
        assert_eq!(volumes(&slices), [tens(100, 12)], "{name}");
    }
}

#[test]
fn a_slice_that_is_there_twice_is_dropped_and_named() {
    let mut slices = each(stack(1, 0.0, 100, 8), |n, slice| {
        slice.with(tags::ACQUISITION_TIME, VR::TM, format!("1015{n:02}.00"))
    });
    let double = slices[3]
        .clone()
        .with(tags::SOP_INSTANCE_UID, VR::UI, "1.2.0")
        .with(tags::INSTANCE_NUMBER, VR::IS, "99")
        .with(tags::ACQUISITION_TIME, VR::TM, "101640.00");
    slices.push(double);
    assert_eq!(volumes(&slices), [tens(100, 8)]);
    let expected = "repeated-slice: 1 of its 8 slices are there more than once under different UIDs, voxel for voxel (the first 9.00 mm \
                    from the first slice): one of each is read";
    assert_eq!(findings(&slices), [expected]);
    let (folder, scan) = scanned(&slices);
    assert_eq!(scan.skipped.len(), 1);
    assert_eq!(scan.skipped[0].files, [folder.path().join("008.dcm")], "the later of the two");
    assert!(scan.skipped[0].cause.words().contains("voxel for voxel"));
}

#[test]
fn a_series_that_is_there_twice_under_other_uids_is_read_once() {
    let slices = each([stack(1, 0.0, 100, 6), stack(11, 0.0, 100, 6)].concat(), |n, slice| {
        slice.acquisition(1 + n / 6)
    });
    assert_eq!(volumes(&slices), [tens(100, 6)]);
    assert!(told(&slices, "repeated-slice")[0].contains("6 of its 6 slices"));
}

#[test]
fn an_acquisition_for_each_slice_tears_nothing() {
    let slices = each(stack(1, 0.0, 100, 8), |n, slice| {
        slice.acquisition(n).with(tags::ACQUISITION_TIME, VR::TM, format!("10150{n}"))
    });
    assert_eq!(volumes(&slices), [tens(100, 8)]);
    assert_eq!(findings(&slices), Vec::<String>::new());
}

#[test]
fn a_scout_and_a_slice_of_another_size_are_skipped() {
    let scout = slice(50, 60.0, 7).with(tags::IMAGE_TYPE, VR::CS, "").with(
        tags::IMAGE_ORIENTATION_PATIENT,
        VR::DS,
        "0\\1\\0\\0\\0\\-1",
    );
    let mut larger = slice(51, 9.0, 7);
    larger.size = [8, 6];
    let slices = [stack(1, 0.0, 100, 6), vec![scout, larger]].concat();
    assert_eq!(volumes(&slices), [tens(100, 6)]);
    let (folder, scan) = scanned(&slices);
    let aside: Vec<&PathBuf> = scan.skipped.iter().flat_map(|aside| &aside.files).collect();
    assert_eq!(aside, [&folder.path().join("006.dcm"), &folder.path().join("007.dcm")]);
    let reasons: Vec<SkipReason> = scan.skipped.iter().map(|aside| aside.cause.reason()).collect();
    assert_eq!(reasons, [SkipReason::Scout, SkipReason::OtherSize]);
}

#[test]
fn a_copy_is_dropped_and_one_with_other_pixels_refused() {
    let mut slices = stack(1, 0.0, 100, 6);
    slices.push(slices[2].clone());
    assert_eq!(volumes(&slices), [tens(100, 6)]);
    assert_eq!(findings(&slices), ["repeated-file: 1 file of the series is there twice"]);
    slices[6].first_pixel = 700;
    refusal(&slices, &["up to 2 at 1 of 6, first 6.00 mm from the first slice", "their pixels differ"]);
}

#[test]
fn a_slice_that_is_missing_from_two_passes_does_not_make_them_two_stacks() {
    let mut slices = each(in_two_passes(), |n, slice| {
        slice.with(tags::INSTANCE_NUMBER, VR::IS, (n / 2 + 6 * (n % 2)).to_string())
    });
    slices.remove(10);
    assert_eq!(volumes(&slices).len(), 1);
    assert_eq!(told(&slices, "missing-slice").len(), 1);
}

#[test]
fn slices_that_share_an_instance_uid_are_not_lost() {
    let slices = each(stack(1, 0.0, 100, 6), |_, slice| slice.with(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3"));
    assert_eq!(volumes(&slices), [tens(100, 6)]);
}

#[test]
fn positions_that_are_rounded_are_even() {
    let slices = each(stack(1, 0.0, 100, 12), |n, mut slice| {
        slice.place[2] = (n as f64 * 6.25).round() / 10.0;
        slice.acquisition(1 + n % 2)
    });
    assert_eq!(volumes(&slices), [tens(100, 12)], "nothing is resampled");
    assert_eq!(findings(&slices), Vec::<String>::new());
}
