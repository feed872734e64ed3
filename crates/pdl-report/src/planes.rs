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

/// Colours of contours, by the index of a label among those of the cohort: the palette of Okabe and
/// Ito, which is safe for colour-blind readers, without the two that are dark on grey.
pub const COLOURS: [[u8; 3]; 6] =
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [213, 94, 0], [204, 121, 167]];

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
