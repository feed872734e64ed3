//! Laterality of labels, from their names, or from their positions if the names do not state it.

use crate::data::case::Case;
use crate::error::Result;

/// Maximum number of training cases whose positions are read.
const MOST_CASES: usize = 40;
/// Minimum number of cases with both labels for a decision by position.
const FEWEST_CASES: usize = 3;
/// Fraction of these cases in which two labels must mirror each other, the same way round.
const AGREEMENT: f64 = 0.9;
/// Largest offset along y or z of two labels that mirror each other, as a fraction of that along x.
const OFFSET: f64 = 0.35;
/// Largest ratio of their volumes.
const VOLUME_RATIO: f64 = 1.8;
/// Smallest distance along x, as a fraction of the side of a cube of their mean volume.
const DISTANCE: f64 = 0.6;
/// Largest distance of their middle from that of the imaged body, as a fraction of the image's
/// width.
const OFF_CENTRE: f64 = 0.15;
/// Minimum length of a word without a first or last letter that states a side, as in `llung`.
const SHORTEST_WORD: usize = 3;

const LEFT: &str =
    "left l lt lft sin sinister sinistra sinistrum links linke linker gauche izquierdo izquierda izq";
const RIGHT: &str = "right r rt rgt dex dext dexter dextra dextrum destra rechts rechte rechter droit droite derecho \
                     derecha";

/// The laterality in a name, and the name without it.
fn side_of(name: &str) -> (Option<Side>, String) {
    let mut side = None;
    let mut rest = Vec::new();
    for word in words(name) {
        match word.as_str() {
            word if LEFT.split_whitespace().any(|left| left == word) => side = Some(Side::Left),
            word if RIGHT.split_whitespace().any(|right| right == word) => side = Some(Side::Right),
            _ => rest.push(word),
        }
    }
    (side, rest.join(" "))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The words of a name in lower case: `LungLeft`, `lung_left` and `Left Lung` have the same two,
/// and so have `LLung` and `L_Lung`.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        let after_lower = before.is_some_and(|before| before.is_lowercase());
        // The last capital of several begins a word: `LLung`, `GTVLeft`.
        let begins = before.is_some_and(|before| before.is_uppercase())
            && letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if !letter.is_alphanumeric() || letter.is_uppercase() && (after_lower || begins) {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            words.last_mut().into_iter().for_each(|word| word.extend(letter.to_lowercase()));
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The names of the other side that a name without a side would have if the first or last letter of
/// a word states it: of `llung` it is `rlung`, of `kidneyl` `kidneyr`.
fn by_letter(name: &str) -> Vec<Vec<String>> {
    let words = words(name);
    let mut others = Vec::new();
    for (place, word) in words.iter().enumerate().filter(|(_, word)| word.len() > SHORTEST_WORD) {
        let other = |other: String| {
            let mut words = words.clone();
            words[place] = other;
            words
        };
        others.extend(word.strip_prefix('l').map(|rest| other(format!("r{rest}"))));
        others.extend(word.strip_suffix('l').map(|rest| other(format!("{rest}r"))));
    }
    others
}

/// Whether any label may have a laterality: its name says so, or is only a number.
pub fn may_be_sided(names: &[String]) -> bool {
    !pairs(names).is_empty()
        || names.iter().any(|name| {
            let (side, rest) = side_of(name);
            let nameless = rest.trim_start_matches("label").trim().chars().all(|c| c.is_ascii_digit());
            side.is_some() || nameless
        })
}

/// Pairs of channels (left, right; from 1) of labels whose names differ in laterality only.
pub fn pairs(names: &[String]) -> Vec<[u8; 2]> {
    let sided: Vec<(Option<Side>, String)> = names.iter().map(|name| side_of(name)).collect();
    let mut pairs = Vec::new();
    for (left, (side, name)) in sided.iter().enumerate() {
        let partner = match side {
            Some(Side::Left) => {
                sided.iter().position(|(other, rest)| *other == Some(Side::Right) && rest == name)
            }
            Some(Side::Right) => None,
            None => {
                let others = by_letter(&names[left]);
                names.iter().position(|other| others.contains(&words(other)))
            }
        };
        pairs.extend(partner.map(|right| [left as u8 + 1, right as u8 + 1]));
    }
    pairs
}

/// Channels (from 1) of labels whose names state a side, but of which no other label is the
/// partner.
pub fn without_partner(names: &[String]) -> Vec<u8> {
    let paired: Vec<u8> = pairs(names).concat();
    let sided = |name: &String| side_of(name).0.is_some();
    let channels = (1..).zip(names).filter(|(channel, name)| sided(name) && !paired.contains(channel));
    channels.map(|(channel, _)| channel).collect()
}

/// Pairs of channels (left, right; from 1) of labels that mirror each other in nearly all training
/// cases, if their names state no side.
///
/// # Errors
/// As [`Case::part`].
pub fn pairs_by_position(cases: &[Case], names: &[String]) -> Result<Vec<[u8; 2]>> {
    let paired: Vec<u8> = pairs(names).concat();
    let open: Vec<usize> = (0..names.len())
        .filter(|&label| side_of(&names[label]).0.is_none() && !paired.contains(&(label as u8 + 1)))
        .collect();
    if open.len() < 2 {
        return Ok(Vec::new());
    }
    let places = cases.iter().take(MOST_CASES).map(LabelPlaces::of).collect::<Result<Vec<_>>>()?;
    let mut found: Vec<(f64, [usize; 2])> = Vec::new();
    for (number, &a) in open.iter().enumerate() {
        for &b in &open[number + 1..] {
            let mirrored: Vec<Option<Mirrored>> =
                places.iter().filter_map(|places| places.mirrored(a, b)).collect();
            let of_order = |a_is_left: bool| {
                let agreeing = mirrored.iter().flatten().filter(|pair| pair.a_is_left == a_is_left);
                let (count, sum) = agreeing.fold((0, 0.0), |(n, sum), pair| (n + 1, sum + pair.asymmetry));
                let enough =
                    mirrored.len() >= FEWEST_CASES && f64::from(count) >= AGREEMENT * mirrored.len() as f64;
                enough.then(|| sum / f64::from(count))
            };
            found.extend(of_order(true).map(|asymmetry| (asymmetry, [a, b])));
            found.extend(of_order(false).map(|asymmetry| (asymmetry, [b, a])));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut pairs: Vec<[usize; 2]> = Vec::new();
    for (_, pair) in found {
        if !pairs.iter().flatten().any(|label| pair.contains(label)) {
            pairs.push(pair);
        }
    }
    pairs.sort_unstable();
    Ok(pairs.into_iter().map(|pair| pair.map(|label| label as u8 + 1)).collect())
}

/// Positions of the labels of a case, in mm along x, y, z of its RAS+ grid.
struct LabelPlaces {
    /// For each channel from 1 its centre and its volume in mm3, if it is present.
    labels: Vec<Option<([f64; 3], f64)>>,
    /// Middle of what differs from the surround, along x.
    middle: f64,
    /// Width of the image, along x.
    width: f64,
}

/// Two labels that mirror each other in a case.
struct Mirrored {
    a_is_left: bool,
    /// How far they are from mirroring each other exactly; 0 is exact.
    asymmetry: f64,
}

impl LabelPlaces {
    fn of(case: &Case) -> Result<Self> {
        let spacing = case.grid.spacing_mm();
        let part = case.whole()?;
        let image = part.images().next().unwrap_or_default();
        let padding = case.padding.first().copied().unwrap_or(f32::NEG_INFINITY);
        let [_, ny, nx] = case.shape;
        let mut sums = vec![([0_u64; 3], 0_u64); case.annotated.len()];
        let (mut body, mut body_x) = (0_u64, 0_u64);
        for (index, (&channel, &value)) in part.target.iter().zip(image).enumerate() {
            let at = [index % nx, index / nx % ny, index / (nx * ny)];
            if value > padding {
                body += 1;
                body_x += at[0] as u64;
            }
            if let (Some((sum, count)), true) = (sums.get_mut(usize::from(channel)), channel > 0) {
                sum.iter_mut().zip(at).for_each(|(sum, at)| *sum += at as u64);
                *count += 1;
            }
        }
        let voxel = spacing.iter().product::<f64>();
        let place = |(sum, count): &([u64; 3], u64)| {
            let centre = |axis: usize| sum[axis] as f64 / *count as f64 * spacing[axis];
            (*count > 0).then(|| (std::array::from_fn(centre), *count as f64 * voxel))
        };
        Ok(Self {
            labels: sums.iter().skip(1).map(place).collect(),
            middle: body_x as f64 / body.max(1) as f64 * spacing[0],
            width: nx as f64 * spacing[0],
        })
    }

    /// Whether two labels (from 0) mirror each other; `None` if one of them is absent.
    fn mirrored(&self, a: usize, b: usize) -> Option<Option<Mirrored>> {
        let ((centre_a, volume_a), (centre_b, volume_b)) = (self.labels[a]?, self.labels[b]?);
        let [dx, dy, dz] = std::array::from_fn(|axis| (centre_b[axis] - centre_a[axis]).abs());
        let off = ((centre_a[0] + centre_b[0]) / 2.0 - self.middle).abs();
        let ratio = (volume_a / volume_b).max(volume_b / volume_a);
        let side = ((volume_a + volume_b) / 2.0).cbrt();
        let mirrored = dy.max(dz) <= OFFSET * dx
            && dx >= DISTANCE * side
            && ratio <= VOLUME_RATIO
            && off <= OFF_CENTRE * self.width;
        // x of RAS+ grows to the patient's right.
        let a_is_left = centre_a[0] < centre_b[0];
        Some(mirrored.then(|| Mirrored { a_is_left, asymmetry: (off + dy + dz) / dx + ratio.ln() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdl_volume::{Affine, Grid, Orientation, Volume};

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn pairs_are_found_in_all_spellings() {
        let all = names(&[
            "left lung",
            "Right Lung",
            "heart",
            "Parotid_R",
            "Parotid_L",
            "KidneyLeft",
            "KidneyRight",
        ]);
        assert_eq!(pairs(&all), [[1, 2], [5, 4], [6, 7]]);
        assert!(pairs(&names(&["left lung", "heart"])).is_empty());
    }

    #[test]
    fn one_letter_may_tell_a_side() {
        for (left, right) in [
            ("LLung", "RLung"),
            ("L_Lung", "R_Lung"),
            ("lung_l", "lung_r"),
            ("LungL", "LungR"),
            ("llung", "rlung"),
            ("kidneyl", "kidneyr"),
            ("upper lobel", "upper lober"),
            ("Pulmo sinister", "Pulmo dexter"),
            ("a. sinistra", "a. dextra"),
            ("poumon gauche", "poumon droit"),
            ("GTVLeft", "GTVRight"),
            ("LTLung", "RTLung"),
        ] {
            let all = names(&["heart", right, left]);
            assert_eq!(pairs(&all), [[3, 2]], "{left}");
            assert!(may_be_sided(&all), "{left}");
        }
        for others in [["liver", "spleen"], ["femoral", "renal"], ["llung", "heart"], ["lv", "rv"]] {
            assert!(pairs(&names(&others)).is_empty(), "{others:?}");
        }
        assert_eq!(without_partner(&names(&["left lung", "right lung", "left kidney"])), [3]);
    }

    #[test]
    fn labels_without_a_name_may_be_sided() {
        assert!(may_be_sided(&names(&["heart", "left lung"])));
        assert!(may_be_sided(&names(&["label 1", "label 2"])));
        assert!(!may_be_sided(&names(&["heart", "liver", "spinal cord"])));
        assert!(!may_be_sided(&names(&["anterior", "posterior"])));
    }

    /// A case of 20 x 16 x 6 voxels with cubes of 3 voxels about these middles (x, y, z), moved by
    /// `shift` along x.
    fn case(middles: &[[usize; 3]], shift: usize) -> Case {
        let shape = [20, 16, 6];
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [1.0; 3], shape));
        let mut target = vec![0; 20 * 16 * 6];
        for (channel, [x, y, z]) in (1..).zip(middles) {
            for (dx, dy, dz) in (0..27).map(|i| (i % 3, i / 3 % 3, i / 9)) {
                target[((z + dz - 1) * 16 + y + dy - 1) * 20 + x + dx - 1 + shift] = channel;
            }
        }
        let mut image = vec![1.0; 20 * 16 * 6];
        image[0] = 0.0;
        Case::new("a", Volume::new(grid, image).unwrap(), target, vec![true; middles.len() + 1])
    }

    #[test]
    fn labels_that_mirror_each_other_are_sides_whatever_they_are_called() {
        let found = |middles: &[[usize; 3]], labels: &[&str]| {
            let cases: Vec<Case> = (0..4).map(|shift| case(middles, shift % 2)).collect();
            pairs_by_position(&cases, &names(labels)).unwrap()
        };
        let lungs = [[14, 8, 3], [5, 7, 3], [10, 2, 2]];
        assert_eq!(found(&lungs, &["a", "b", "c"]), [[2, 1]], "the left one has the smaller x");
        assert_eq!(found(&lungs, &["left a", "b", "c"]), [[0; 2]; 0], "a name that states its side decides");
        assert!(found(&[[9, 3, 3], [10, 12, 3]], &["front", "back"]).is_empty());
        assert!(found(&[[3, 3, 3], [8, 3, 3]], &["a", "b"]).is_empty(), "both on one side of the body");
        // Once each way round: no sides.
        let turned = [lungs[1], lungs[0], lungs[2]];
        let cases: Vec<Case> = (0..4).map(|n| case(if n < 2 { &lungs } else { &turned }, 0)).collect();
        assert!(pairs_by_position(&cases, &names(&["a", "b", "c"])).unwrap().is_empty());
    }
}
