//! Which slice a contour belongs to.

use pdl_dicom::{Contour, DicomError, Region};

use crate::series::{Slices, at, counts, findings, region, square};

/// Four pixels at this height.
fn four(height: f64) -> Vec<[f64; 3]> {
    square([3, 4], [5, 6], height)
}

#[test]
fn a_single_slice_takes_contours_within_half_its_thickness_alone() {
    let image = at(&[6.0]).read();
    let near = region([4.5, 3.0, 9.0, -60.0].map(four).to_vec()).mask(&image.stack).unwrap();
    assert_eq!(counts(&near), [(0, 4)]);
    assert_eq!(
        findings(&near)[0],
        "contours-off-series: tumour: contours that belong to no slice of the series are skipped: 3 of 4 \
         (2 before the first, 1 beyond the last)"
    );
    let far = region([0.0, 3.0, 9.0, 12.0].map(four).to_vec()).mask(&image.stack).unwrap();
    assert!(counts(&far).is_empty());
}

#[test]
fn contours_where_a_slice_is_missing_or_beyond_the_ends_land_on_no_other() {
    let image = at(&[0.0, 3.0, 6.0, 12.0, 15.0]).read();
    let heights = [-3.0, -1.6, 0.2, 6.0, 9.0, 14.0, 16.4, 16.6, 18.0];
    let mask = region(heights.map(four).to_vec()).mask(&image.stack).unwrap();
    assert_eq!(counts(&mask), [(0, 4), (2, 4), (4, 4)]);
    let told = findings(&mask);
    assert!(told[0].contains("no slice of the series are skipped: 5 of 9 "), "{told:?}");
    assert!(told[0].contains("(2 before the first, 1 between slices, 2 beyond the last)"), "{told:?}");
    assert!(told.iter().any(|told| told.contains("contours are up to 1.00 mm from the slices")), "{told:?}");
    assert!(told.iter().any(|told| told.contains("no contour on 2 slices between")), "{told:?}");
    assert!(told.iter().any(|told| told.starts_with("contours-finer-than-slices: ")), "{told:?}");
}

#[test]
fn contours_slightly_off_their_slices_or_halfway_between_give_each_slice_one() {
    let image = at(&[-102.0, -99.0, -96.0, -93.0]).read();
    let off = region([-99.134, -96.134].map(four).to_vec()).mask(&image.stack).unwrap();
    assert_eq!((counts(&off), findings(&off)), (vec![(1, 4), (2, 4)], vec![]));
    // Rounding of a micrometre must not send one plane up and the next down.
    let halfway = region([-100.5004, -97.4996, -94.5].map(four).to_vec()).mask(&image.stack).unwrap();
    assert_eq!(counts(&halfway), [(0, 4), (1, 4), (2, 4)]);
    assert_eq!(
        findings(&halfway),
        [
            "contours-off-slice: tumour: its contours are up to 1.50 mm from the slices to which they were assigned"
        ]
    );
}

#[test]
fn of_planes_finer_than_the_slices_the_nearest_counts() {
    let image = at(&[0.0, 3.0, 6.0, 9.0, 12.0]).read();
    let pyramid = |k: usize| square([k, 11 - k], [k, 9 - k], 3.6 + k as f64);
    let mask = region((0..5).map(pyramid).collect()).mask(&image.stack).unwrap();
    // Planes at 3.6, 4.6, 5.6, 6.6 and 7.6 mm: the first is nearest to 3, the third to 6, the last
    // to 9.
    assert_eq!(counts(&mask), [(1, 120), (2, 48), (3, 8)]);
    assert_eq!(
        findings(&mask).last().unwrap(),
        "contours-finer-than-slices: tumour: it is drawn on 5 planes of 3 slices; the nearest to each slice \
         counts, and 2 of them do not"
    );
    // Two planes that are equally near: the lower. Pieces of one plane stay together.
    let pieces = [square([0, 1], [0, 1], 5.0), square([5, 6], [0, 1], 5.0), square([0, 4], [4, 8], 7.0)];
    let mask = region(pieces.to_vec()).mask(&image.stack).unwrap();
    assert_eq!(counts(&mask), [(2, 8)]);
}

#[test]
fn contours_on_a_tilted_gantry_lie_on_their_slices() {
    let (sine, cosine) = 20.0_f64.to_radians().sin_cos();
    let tilted = Slices {
        orientation: [1.0, 0.0, 0.0, 0.0, cosine, -sine],
        positions: (0..5).map(|slice| [0.0, 0.0, 4.0 * f64::from(slice)]).collect(),
        ..at(&[])
    };
    let image = tilted.read();
    let on_slice = |slice: f64| -> Vec<[f64; 3]> {
        let place = |[x, y, _]: [f64; 3]| [x, y * cosine, 4.0 * slice - y * sine];
        square([3, 6], [4, 7], 0.0).into_iter().map(place).collect()
    };
    let mask = region([1.0, 2.0, 3.0].map(on_slice).to_vec()).mask(&image.stack).unwrap();
    assert_eq!((counts(&mask), findings(&mask)), (vec![(1, 16), (2, 16), (3, 16)], vec![]));
    let (painted, _) = pdl_dicom::paint(&image.stack, [(1, &mask)]);
    let placed = image.place_labels(painted).unwrap();
    // The box's middle: of pixel (4.5, 5.5) of the middle slice.
    let centre = [-9.0, -11.0 * cosine, 8.0 - 11.0 * sine];
    let [nx, ny, _] = placed.grid.shape;
    let inside = (0..placed.voxels.len()).filter(|voxel| placed.voxels[*voxel] == 1);
    let places: Vec<[f64; 3]> = inside
        .map(|voxel| {
            let [x, y, z] = [voxel % nx, voxel / nx % ny, voxel / (nx * ny)].map(|n| n as f64);
            placed.grid.affine.apply([x, y, z])
        })
        .collect();
    assert!((40..=56).contains(&places.len()), "{}", places.len());
    for axis in 0..3 {
        let mean = places.iter().map(|place| place[axis]).sum::<f64>() / places.len() as f64;
        assert!((mean - centre[axis]).abs() < 1.0, "axis {axis}: {mean} and {}", centre[axis]);
    }
    // The same contours drawn upright belong to no slice.
    let upright = |slice: f64| square([3, 6], [4, 7], 4.0 * slice);
    let refused = region([1.0, 2.0].map(upright).to_vec()).mask(&image.stack).unwrap_err();
    assert!(refused.reason().contains("its contours are oblique to the slices (2 of 2)"), "{refused}");
}

#[test]
fn oblique_contours_are_left_out_or_refuse_the_structure() {
    let image = at(&[0.0, 3.0, 6.0, 9.0]).read();
    let sagittal = vec![[8.0, 4.0, 0.0], [8.0, 12.0, 0.0], [8.0, 12.0, 9.0], [8.0, 4.0, 9.0]];
    let some = region(vec![four(3.0), sagittal.clone(), four(6.0)]).mask(&image.stack).unwrap();
    assert_eq!(counts(&some), [(1, 4), (2, 4)]);
    assert!(
        findings(&some)[0]
            .starts_with("oblique-contours: tumour: contours oblique to the slices are skipped: 1 of 3,"),
        "{:?}",
        findings(&some)
    );
    let refused = region(vec![sagittal.clone(), four(3.0)]).mask(&image.stack).unwrap_err();
    assert!(matches!(refused, DicomError::LabelGrid { .. }), "{refused}");
    // A sagittal series has it on a slice.
    let sagittal_series = Slices {
        orientation: [0.0, 1.0, 0.0, 0.0, 0.0, -1.0],
        positions: [4.0, 8.0, 12.0].map(|x| [x, 0.0, 12.0]).to_vec(),
        ..at(&[])
    };
    let mask = region(vec![sagittal]).mask(&sagittal_series.read().stack).unwrap();
    assert_eq!(mask.counts().keys().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(findings(&mask), Vec::<String>::new());
}

#[test]
fn a_structure_in_another_frame_of_reference_is_refused() {
    let image = at(&[0.0, 3.0]).read();
    let in_frame = |uid: &str| Region { frame_of_reference: uid.to_owned(), ..region(vec![four(3.0)]) };
    assert!(matches!(in_frame("1.8").mask(&image.stack), Err(DicomError::OtherFrame)));
    assert_eq!(counts(&in_frame("").mask(&image.stack).unwrap()), [(1, 4)], "a set that names none");
    let empty = Region { contours: vec![], ..in_frame("1.8") };
    assert_eq!(
        findings(&empty.mask(&image.stack).unwrap()),
        ["no-contours: tumour: the structure set names it and has no contours of it"]
    );
}

#[test]
fn equal_contours_count_once_and_pieces_that_overlap_are_joined() {
    let image = at(&[0.0, 3.0, 6.0]).read();
    let mut turned = square([2, 7], [2, 7], 3.0);
    turned.rotate_left(3);
    turned.reverse();
    turned.push(turned[0]);
    let drawn =
        [square([2, 7], [2, 7], 3.0), turned, square([3, 4], [3, 4], 3.0), square([2, 3], [2, 3], 6.0)];
    let mask = region([&drawn[..], &[square([3, 4], [2, 3], 6.0)]].concat()).mask(&image.stack).unwrap();
    assert_eq!(counts(&mask), [(1, 32), (2, 6)]);
    assert_eq!(
        findings(&mask),
        [
            "repeated-contours: tumour: 1 contour equals another on its slice and does not count",
            "overlapping-contours: tumour: 2 contours on 1 slice overlap others in part and are joined",
        ]
    );
    let exclusive = |points: Vec<[f64; 3]>| Contour { points, exclusive: true };
    let contours = vec![exclusive(square([2, 3], [2, 3], 6.0)), exclusive(square([3, 4], [2, 3], 6.0))];
    let mask = Region { contours, ..region(vec![]) }.mask(&image.stack).unwrap();
    assert_eq!((counts(&mask), findings(&mask)), (vec![(2, 4)], vec![]));
}

#[test]
fn volumes_of_contours_and_mask_that_differ_are_told() {
    let image = at(&[0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 18.0]).read();
    // Half of it lies beyond the series.
    let heights: Vec<f64> = (2..14).map(|slice| 3.0 * f64::from(slice)).collect();
    let contours = heights.iter().map(|height| square([1, 10], [1, 8], *height)).collect();
    let mask = region(contours).mask(&image.stack).unwrap();
    assert_eq!(
        findings(&mask).last().unwrap(),
        "contour-volume: tumour: its contours enclose 11.520 ml and its mask holds 4.800 ml (-58%)"
    );
    // Between the pixels' centres.
    let speck = vec![[4.5, 4.5, 3.0], [5.5, 4.5, 3.0], [5.5, 5.5, 3.0], [4.5, 5.5, 3.0]];
    let mask = region(vec![speck]).mask(&image.stack).unwrap();
    assert!(counts(&mask).is_empty());
    assert_eq!(
        findings(&mask),
        [
            "contour-volume: tumour: its contours enclose 3.00 mm3 and the centre of no voxel, so that its mask is empty"
        ]
    );
    let sound =
        region([3.0, 6.0, 9.0].map(|z| square([1, 9], [1, 8], z)).to_vec()).mask(&image.stack).unwrap();
    assert_eq!(findings(&sound), Vec::<String>::new());
}

#[test]
fn contours_beyond_the_image_are_cut_off_and_told() {
    let image = at(&[0.0, 3.0, 6.0]).read();
    let wide = vec![[-9.0, 3.0, 3.0], [9.0, 3.0, 3.0], [9.0, 7.0, 3.0], [-9.0, 7.0, 3.0]];
    let mask = region(vec![wide]).mask(&image.stack).unwrap();
    assert_eq!(counts(&mask), [(1, 10)]);
    let told =
        "label-beyond-image: tumour: its contours reach beyond the image on 1 slice and are cut off there";
    assert_eq!(findings(&mask)[0], told);
}

#[test]
fn contours_whose_heights_differ_by_rounding_are_of_one_plane() {
    let image = at(&[0.0, 3.0, 6.0, 9.0]).read();
    let ring = |z: f64, off: f64| [square([1, 8], [1, 8], z), square([3, 4], [3, 4], z + off)];
    let drawn = |off: f64| region([ring(3.0, off), ring(6.0, off)].concat()).mask(&image.stack).unwrap();
    for off in [0.0, 0.1, -0.2] {
        let mask = drawn(off);
        assert_eq!((counts(&mask), findings(&mask)), (vec![(1, 60), (2, 60)], vec![]), "{off} mm");
    }
    // Further off they are planes of their own, of which the nearest counts.
    let mask = drawn(1.0);
    assert_eq!(counts(&mask), [(1, 64), (2, 64)]);
    assert!(findings(&mask)[0].starts_with("contours-finer-than-slices: "), "{:?}", findings(&mask));
}

#[test]
fn a_contour_that_runs_round_twice_counts_once() {
    let image = at(&[0.0, 3.0, 6.0]).read();
    let mut round = square([2, 7], [2, 7], 3.0);
    round.extend(square([2, 7], [2, 7], 3.0).into_iter().map(|[x, y, z]| [x + 0.02, y, z]));
    let mask = region(vec![round]).mask(&image.stack).unwrap();
    let told = "repeated-contours: tumour: 1 contour runs round more than once, which does not count";
    assert_eq!((counts(&mask), findings(&mask)), (vec![(1, 36)], vec![told.to_owned()]));
    // There and back again encloses nothing.
    let there = [[2.0, 2.0, 3.0], [9.0, 2.0, 3.0], [9.0, 9.0, 3.0], [9.0, 2.0, 3.0]];
    let mask = region(vec![there.to_vec()]).mask(&image.stack).unwrap();
    assert!(counts(&mask).is_empty());
    assert!(findings(&mask)[0].contains("the centre of no voxel"), "{:?}", findings(&mask));
}
