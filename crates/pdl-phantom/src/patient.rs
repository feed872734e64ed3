//! The patients: the distance and direction of each from the mean patient.

use crate::random::RandomSource;

/// How a patient differs from the mean one: 0 is the mean, about 1 is common, 2 and more is rare.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traits {
    /// Small to tall: all lengths.
    pub stature: f64,
    /// Lean to obese: fat and girth.
    pub habitus: f64,
    /// Deflated to hyperinflated lungs: height of the diaphragm, width and density of the lungs.
    pub inflation: f64,
    /// Small to large heart.
    pub heart_size: f64,
    /// From a heart in the midline to one far left and low.
    pub heart_shift: f64,
    /// Sideways curvature of the spine, either way.
    pub scoliosis: f64,
    /// Flat to rounded back.
    pub kyphosis: f64,
    /// Chest turned and sheared, either way.
    pub skew: f64,
}

/// Number of traits.
const TRAITS: usize = 8;

/// Beyond this the solids would no longer nest.
const LARGEST_TRAIT: f64 = 2.4;

/// The root mean square of the traits of the most typical and of the least typical patient.
const DISTANCES: [f64; 2] = [0.15, 1.75];

/// The patients of a cohort. Their distance from the mean patient is a spectrum, dense near the
/// mean and thin far from it, in random order; the direction is random.
pub fn patients(source: &mut RandomSource, count: usize) -> Vec<Traits> {
    let mut order: Vec<(f64, usize)> = (0..count).map(|rank| (source.uniform(), rank)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let last = count.saturating_sub(1).max(1) as f64;
    order
        .into_iter()
        .map(|(_, rank)| {
            let place = rank as f64 / last;
            at_distance(source, DISTANCES[0] + (DISTANCES[1] - DISTANCES[0]) * place * place)
        })
        .collect()
}

/// Patients who all differ from the mean patient by the same root mean square of their traits, each
/// in a random way.
pub fn patients_at(source: &mut RandomSource, count: usize, distance: f64) -> Vec<Traits> {
    (0..count).map(|_| at_distance(source, distance)).collect()
}

/// Random traits whose root mean square is `distance` (a little less where one is cut off).
fn at_distance(source: &mut RandomSource, distance: f64) -> Traits {
    let direction: [f64; TRAITS] = std::array::from_fn(|_| source.normal());
    let square = direction.iter().map(|v| v * v).sum::<f64>() / TRAITS as f64;
    let scale = distance / square.sqrt().max(0.1);
    let [stature, habitus, inflation, heart_size, heart_shift, scoliosis, kyphosis, skew] =
        direction.map(|v| (v * scale).clamp(-LARGEST_TRAIT, LARGEST_TRAIT));
    Traits { stature, habitus, inflation, heart_size, heart_shift, scoliosis, kyphosis, skew }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_patients_are_near_the_mean() {
        let all = patients(&mut RandomSource::new(1, 1), 20);
        let distance = |t: &Traits| {
            let parts = [t.stature, t.habitus, t.inflation, t.heart_size, t.heart_shift];
            (parts.iter().map(|v| v * v).sum::<f64>() / 5.0).sqrt()
        };
        let near = all.iter().filter(|traits| distance(traits) < 0.9).count();
        assert!((10..20).contains(&near), "{near} of 20");
    }
}
