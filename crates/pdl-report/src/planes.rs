//! Anatomical planes of a volume, and contours of its labels.
//!
//! Volumes are RAS+. Pictures follow the radiological convention: the patient's right is on the
//! left of axial and coronal pictures; anterior is at the top of axial and on the left of sagittal
//! ones; superior is at the top.

/// The orientation of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnatomicalPlane {
    /// Seen from the feet.
    Axial,
    /// Seen from the front.
    Coronal,
    /// Seen from the left.
    Sagittal,
}

impl AnatomicalPlane {
    /// All three, in the order in which they are shown.
    pub const ALL: [AnatomicalPlane; 3] =
        [AnatomicalPlane::Axial, AnatomicalPlane::Coronal, AnatomicalPlane::Sagittal];

    /// Volume axes (0, 1, 2 for x, y, z) along the picture's columns, along its rows, and
    /// perpendicular to it. Both picture axes run against the volume's, since x grows to the right,
    /// y to the front and z upwards.
    pub fn axes(self) -> [usize; 3] {
        match self {
            AnatomicalPlane::Axial => [0, 1, 2],
            AnatomicalPlane::Coronal => [0, 2, 1],
            AnatomicalPlane::Sagittal => [1, 2, 0],
        }
    }

    /// Letters at the left, right, top and bottom of the picture.
    pub fn letters(self) -> [char; 4] {
        match self {
            AnatomicalPlane::Axial => ['R', 'L', 'A', 'P'],
            AnatomicalPlane::Coronal => ['R', 'L', 'S', 'I'],
            AnatomicalPlane::Sagittal => ['A', 'P', 'S', 'I'],
        }
    }
}

/// Colours of contours. Any two are at least 54 apart in CIELAB (CIE 1976), and each is at least 38
/// from every grey, so that contours show on images and legends on light and dark pages. The first
/// ones are the farthest apart.
const CONTOUR_COLOURS: [[u8; 3]; 12] = [
    [255, 170, 0],
    [17, 85, 238],
    [0, 238, 221],
    [255, 0, 119],
    [0, 255, 0],
    [255, 0, 255],
    [0, 153, 221],
    [255, 34, 0],
    [255, 170, 255],
    [153, 85, 51],
    [51, 119, 51],
    [187, 221, 51],
];

/// Colour of the contour of a label, by its index among those of the cohort. Colours repeat from
/// the thirteenth label on, where [`contour_pixel`] draws dashes.
pub fn contour_colour(index: usize) -> [u8; 3] {
    CONTOUR_COLOURS[index % CONTOUR_COLOURS.len()]
}

/// Colour of a contour at pixel (x, y) of a picture; `None` in the gaps of a dashed contour. Dashes
/// are longer for each repetition of the colours.
pub fn contour_pixel(index: usize, x: usize, y: usize) -> Option<[u8; 3]> {
    let dash = 3 * (index / CONTOUR_COLOURS.len());
    // x + 2 y changes along a contour of any direction.
    let gap = dash > 0 && (x + 2 * y) / dash % 2 == 1;
    (!gap).then(|| contour_colour(index))
}

/// For each axis the slice with most labelled voxels, of equals the middle one; the middle slice
/// without labels. `labels` has x fastest.
pub fn fullest(labels: &[u16], shape: [usize; 3]) -> [usize; 3] {
    let mut counts = shape.map(|n| vec![0_u64; n]);
    for (row, values) in labels.chunks(shape[0].max(1)).enumerate() {
        let (y, z) = (row % shape[1].max(1), row / shape[1].max(1));
        let mut own = 0;
        for (x, _) in values.iter().enumerate().filter(|(_, value)| **value != 0) {
            counts[0][x] += 1;
            own += 1;
        }
        counts[1][y] += own;
        counts[2][z] += own;
    }
    counts.map(|counts| {
        let most = counts.iter().copied().max().unwrap_or(0);
        let best: Vec<usize> = (0..counts.len()).filter(|i| counts[*i] == most).collect();
        best.get(best.len() / 2).copied().unwrap_or(0)
    })
}

/// For each pixel (`width` x any height) whether it lies on the inner border of its label.
pub fn outlines(labels: &[u16], width: usize) -> Vec<bool> {
    let at = |i: isize, j: isize| -> u16 {
        if i < 0 || i >= width as isize || j < 0 {
            return 0;
        }
        labels.get(j as usize * width + i as usize).copied().unwrap_or(0)
    };
    let is_border = |place: usize| {
        let (i, j) = ((place % width) as isize, (place / width) as isize);
        let own = at(i, j);
        own != 0 && [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)].iter().any(|&(i, j)| at(i, j) != own)
    };
    (0..labels.len()).map(is_border).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_planes_hold_the_label() {
        let shape = [4, 5, 6];
        let mut labels = vec![0; 120];
        for (x, y, z) in [(1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3)] {
            labels[x + 4 * (y + 5 * z)] = 7;
        }
        assert_eq!(fullest(&labels, shape), [1, 2, 3]);
        assert_eq!(fullest(&[0; 120], shape), [2, 2, 3]);
    }

    /// CIELAB of an sRGB colour under D65.
    fn lab(rgb: [u8; 3]) -> [f64; 3] {
        let linear = rgb.map(|c| match f64::from(c) / 255.0 {
            c if c <= 0.04045 => c / 12.92,
            c => ((c + 0.055) / 1.055).powf(2.4),
        });
        let rows = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]];
        let white = [0.9505, 1.0, 1.089];
        let [x, y, z] = std::array::from_fn(|i| {
            let value: f64 = rows[i].iter().zip(linear).map(|(a, b)| a * b).sum();
            match value / white[i] {
                t if t > 0.008_856 => t.cbrt(),
                t => 7.787 * t + 16.0 / 116.0,
            }
        });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn contours_of_twelve_labels_stay_apart_on_any_grey() {
        let distance = |a: [u8; 3], b: [u8; 3]| {
            let (a, b) = (lab(a), lab(b));
            (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt()
        };
        for (i, &colour) in CONTOUR_COLOURS.iter().enumerate() {
            assert!(CONTOUR_COLOURS[..i].iter().all(|&other| distance(colour, other) >= 54.0), "{i}");
            assert!((0..=255).all(|grey| distance(colour, [grey; 3]) >= 37.9), "{i}");
        }
    }

    #[test]
    fn contours_beyond_the_twelfth_label_are_dashed() {
        let drawn = |index| (0..60).filter(|&x| contour_pixel(index, x, 7).is_some()).count();
        assert_eq!([drawn(0), drawn(11), drawn(12), drawn(24)], [60, 60, 30, 30]);
        assert_eq!(contour_colour(12), contour_colour(0));
        assert_ne!(contour_pixel(12, 3, 0), contour_pixel(24, 3, 0), "dashes differ in length");
    }

    #[test]
    fn outlines_are_the_inner_border() {
        #[rustfmt::skip]
        let labels = [
            0, 0, 0, 0, 0,
            0, 1, 1, 1, 0,
            0, 1, 1, 1, 2,
            0, 1, 1, 1, 0,
        ];
        let border = outlines(&labels, 5);
        let drawn: Vec<usize> = (0..20).filter(|i| border[*i]).collect();
        assert_eq!(drawn, [6, 7, 8, 11, 13, 14, 16, 17, 18]); //  all but the middle of label 1
    }
}
