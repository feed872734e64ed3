//! Whether the size of a grid is plausible for a body.

use pdl_volume::Grid;

/// Sides of a voxel, mm: from a micrometre, below which lies microscopy, to more than the thickest
/// slices of scouts.
pub const SIDES_MM: std::ops::RangeInclusive<f64> = 1e-3..=50.0;
/// The longest side of a volume, mm: from a millimetre, less than any animal that is scanned alive,
/// to more than twice a whole body.
const LONGEST_MM: std::ops::RangeInclusive<f64> = 1.0..=5000.0;

/// What is implausible about the size of a grid, with the likely cause; `None` if it is plausible.
pub(crate) fn problem(grid: &Grid) -> Option<String> {
    let sides = grid.spacing_mm();
    let extent: [f64; 3] = std::array::from_fn(|axis| sides[axis] * grid.shape[axis] as f64);
    let longest = extent.into_iter().fold(0.0, f64::max);
    let side = sides.into_iter().find(|side| !SIDES_MM.contains(side));
    if side.is_none() && LONGEST_MM.contains(&longest) {
        return None;
    }
    let text = |lengths: [f64; 3]| lengths.map(length).join(" x ");
    let (low, high) = match side {
        Some(_) => (length(*SIDES_MM.start()), length(*SIDES_MM.end())),
        None => (length(*LONGEST_MM.start()), length(*LONGEST_MM.end())),
    };
    let what = if side.is_some() { "a voxel's side" } else { "a volume's longest side" };
    Some(format!(
        "its voxels measure {} mm, and it {} mm, which is implausible: {what} is from {low} to {high} mm. Its header \
         may state lengths in a wrong unit",
        text(sides),
        text(extent)
    ))
}

/// Angles between axes that differ less from right ones are rounding, degrees.
const RIGHT_DEGREES: f64 = 0.5;

/// The message about a grid whose axes are not at right angles; `None` if they are.
pub(crate) fn shear(grid: &Grid) -> Option<String> {
    let (steps, sides) = ([0, 1, 2].map(|axis| grid.affine.step_mm(axis)), grid.spacing_mm());
    let off = |(a, b): (usize, usize)| {
        let product: f64 = steps[a].iter().zip(steps[b]).map(|(own, other)| own * other).sum();
        (product / (sides[a] * sides[b])).clamp(-1.0, 1.0).asin().to_degrees().abs()
    };
    let most = [(0, 1), (0, 2), (1, 2)].into_iter().map(off).fold(0.0, f64::max);
    (most > RIGHT_DEGREES).then(|| {
        format!("its axes are up to {most:.1} degrees off right angles, and are treated as if they were at right angles")
    })
}

/// A length with three figures, whatever its size.
fn length(mm: f64) -> String {
    if mm == 0.0 || (1e-3..1e6).contains(&mm) {
        let decimals = (2 - mm.max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
        let text = format!("{mm:.decimals$}");
        let trimmed =
            if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        trimmed.to_owned()
    } else {
        format!("{mm:.2e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Orientation};

    fn of(spacing: [f64; 3], shape: [usize; 3]) -> Option<String> {
        problem(&Grid::new(shape, Affine::from_orientation(Orientation::RAS, spacing, shape)))
    }

    #[test]
    fn bodies_and_small_animals_pass_and_other_units_do_not() {
        for (spacing, shape) in [
            ([0.7, 0.7, 5.0], [512, 512, 90]),
            ([4.07, 4.07, 3.0], [200, 200, 700]),     // a whole body's PET
            ([0.01, 0.01, 0.01], [1200, 1200, 1500]), // a mouse's bone
            ([1.0, 1.0, 8.0], [512, 512, 1]),
            ([1.0, 1.0, 1.0], [3, 2, 1]),
        ] {
            assert_eq!(of(spacing, shape), None);
        }
        for (spacing, shape) in [
            ([2000.0, 2000.0, 3000.0], [12, 12, 8]),    // um, read as mm
            ([0.002, 0.002, 0.003], [12, 12, 8]),       // mm, read as um
            ([0.0005, 0.0005, 0.001], [512, 512, 300]), // m, read as mm
            ([1e30, 1.0, 1.0], [3, 3, 3]),
            ([20.0, 20.0, 20.0], [512, 512, 300]),
        ] {
            assert!(of(spacing, shape).is_some(), "{spacing:?}");
        }
    }

    #[test]
    fn axes_that_are_not_at_right_angles_are_told() {
        let with = |second: [f64; 3]| {
            let steps = [[2.0, 0.0, 0.0], second, [0.0, 0.0, 3.0]];
            shear(&Grid::new([4, 4, 4], Affine::from_columns(steps, [0.0; 3])))
        };
        assert_eq!(with([0.01, 2.0, 0.0]), None);
        assert!(with([0.8, 2.5, 0.0]).unwrap().contains("up to 17.7 degrees"), "{:?}", with([0.8, 2.5, 0.0]));
        let (sine, cosine) = 0.3_f64.sin_cos();
        let turned = [[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, -2.0]];
        assert_eq!(shear(&Grid::new([4, 4, 4], Affine::from_columns(turned, [0.0; 3]))), None);
    }

    #[test]
    fn the_figures_are_told() {
        let said = of([2000.0, 2000.0, 3000.0], [12, 12, 8]).unwrap();
        assert!(said.contains("measure 2000 x 2000 x 3000 mm, and it 24000 x 24000 x 24000 mm"), "{said}");
        assert!(said.contains("a voxel's side is from 0.001 to 50 mm"), "{said}");
        let said = of([0.002, 0.002, 0.003], [12, 12, 8]).unwrap();
        assert!(said.contains("measure 0.002 x 0.002 x 0.003 mm"), "{said}");
        assert!(of([1e30, 1.0, 1.0], [3, 3, 3]).unwrap().contains("1.00e30 x 1 x 1 mm"));
    }
}
