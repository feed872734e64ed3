//! Classical multidimensional scaling (Torgerson 1952): points on a plane whose distances
//! approximate those between the cases.
//!
//! The doubly centred matrix of squared distances, times -1/2, is the matrix of inner products of
//! the points; its two largest eigenvalues and their eigenvectors give the plane. They are computed
//! by block power iteration with a Rayleigh-Ritz step (Saad 2011, Numerical Methods for Large
//! Eigenvalue Problems, chapter 5).

use rayon::prelude::*;

/// Vectors of the block: two are wanted, the others speed up their convergence.
const BLOCK: usize = 8;

/// Maximum number of iterations. A plane that has not converged by then is good enough for a plot.
const MOST_ITERATIONS: usize = 300;

/// Convergence: relative change of both eigenvalues.
const SETTLED: f64 = 1e-9;

/// The cases as points on a plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Coordinates of each case; the first axis has the larger variance.
    pub points: Vec<[f64; 2]>,
    /// Fraction of the sum of all eigenvalues that each axis explains.
    pub explained: [f64; 2],
}

/// Embeds `n` cases by their squared distances, row by row (`n` x `n`, symmetric, 0 on the
/// diagonal). Each axis is oriented so that the case farthest from the centre, of equals the first,
/// is positive.
///
/// # Panics
/// When there are not `n` x `n` distances.
pub fn plane(squared: &[f64], n: usize) -> Embedding {
    assert_eq!(squared.len(), n * n, "a square matrix");
    let products = products(squared, n);
    let trace: f64 = (0..n).map(|i| products[i * n + i]).sum();
    if n < 2 || trace <= 0.0 {
        return Embedding { points: vec![[0.0; 2]; n], explained: [0.0; 2] };
    }
    let (values, vectors) = largest(&products, n);
    let axis = |k: usize| -> Vec<f64> {
        let (Some(value), Some(vector)) = (values.get(k), vectors.get(k)) else { return vec![0.0; n] };
        let scale = value.max(0.0).sqrt();
        let turn = if turned(vector) { -scale } else { scale };
        vector.iter().map(|v| v * turn).collect()
    };
    let (first, second) = (axis(0), axis(1));
    let explained = [0, 1].map(|k| values.get(k).map_or(0.0, |value| (value / trace).max(0.0)));
    Embedding { points: first.into_iter().zip(second).map(|(x, y)| [x, y]).collect(), explained }
}

/// Whether the entry of largest magnitude, of equals (up to rounding) the first, is negative.
fn turned(vector: &[f64]) -> bool {
    let mut largest = 0.0_f64;
    for &value in vector {
        if value.abs() > largest.abs() * (1.0 + 1e-6) {
            largest = value;
        }
    }
    largest < 0.0
}

/// -1/2 J D J, where J centres.
fn products(squared: &[f64], n: usize) -> Vec<f64> {
    let means: Vec<f64> = squared.chunks(n.max(1)).map(|row| row.iter().sum::<f64>() / n as f64).collect();
    let all = means.iter().sum::<f64>() / n.max(1) as f64;
    let mut products = vec![0.0; n * n];
    products.par_chunks_mut(n.max(1)).enumerate().for_each(|(i, row)| {
        for (j, value) in row.iter_mut().enumerate() {
            *value = -0.5 * (squared[i * n + j] - means[i] - means[j] + all);
        }
    });
    products
}

/// The largest eigenvalues, descending, and their eigenvectors.
fn largest(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let block = BLOCK.min(n);
    let mut vectors: Vec<Vec<f64>> = (0..block).map(|k| start(k, n)).collect();
    orthonormalise(&mut vectors);
    let mut values = vec![0.0; block];
    for _ in 0..MOST_ITERATIONS {
        let images: Vec<Vec<f64>> = vectors.iter().map(|vector| product(matrix, vector)).collect();
        let small: Vec<Vec<f64>> =
            vectors.iter().map(|v| images.iter().map(|image| dot(v, image)).collect()).collect();
        let (found, turn) = jacobi(small);
        let change = (0..block.min(2)).map(|k| (found[k] - values[k]).abs()).fold(0.0, f64::max);
        values = found;
        vectors = (0..block).map(|k| combination(&images, turn.iter().map(|row| row[k]))).collect();
        orthonormalise(&mut vectors);
        if change <= SETTLED * values[0].abs() {
            break;
        }
    }
    (values, vectors)
}

/// A start vector with quasi-random entries, the same in every run.
fn start(k: usize, n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + k * 104_729 + 1) as f64 * 0.618_033_988_749_895).fract() - 0.5).collect()
}

fn product(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
    matrix.par_chunks(vector.len()).map(|row| dot(row, vector)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn combination(vectors: &[Vec<f64>], weights: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for (vector, weight) in vectors.iter().zip(weights) {
        sum.iter_mut().zip(vector).for_each(|(sum, v)| *sum += weight * v);
    }
    sum
}

/// Gram-Schmidt, twice against rounding; a vector that vanishes stays zero.
fn orthonormalise(vectors: &mut [Vec<f64>]) {
    for k in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(k);
        let own = &mut rest[0];
        for other in before.iter().chain(before.iter()) {
            let share = dot(own, other);
            own.iter_mut().zip(other).for_each(|(v, o)| *v -= share * o);
        }
        let length = dot(own, own).sqrt();
        if length > 0.0 {
            own.iter_mut().for_each(|v| *v /= length);
        }
    }
}

/// All eigenvalues of a small symmetric matrix, descending, and its eigenvectors as columns (Jacobi
/// rotations).
fn jacobi(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    const SWEEPS: usize = 50;
    let n = a.len();
    let mut v: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..SWEEPS {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j].powi(2)).sum();
        if off == 0.0 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut v, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j][j].total_cmp(&a[i][i]));
    let values = order.iter().map(|&i| a[i][i]).collect();
    (values, v.iter().map(|row| order.iter().map(|&i| row[i]).collect()).collect())
}

/// One rotation, which makes `a[p][q]` zero.
fn rotate(a: &mut [Vec<f64>], v: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cos = 1.0 / t.hypot(1.0);
    let sin = t * cos;
    for row in a.iter_mut().chain(v.iter_mut()) {
        let (x, y) = (row[p], row[q]);
        (row[p], row[q]) = (cos * x - sin * y, sin * x + cos * y);
    }
    let (before, from_q) = a.split_at_mut(q); // p < q
    for (above, below) in before[p].iter_mut().zip(from_q[0].iter_mut()) {
        let (x, y) = (*above, *below);
        (*above, *below) = (cos * x - sin * y, sin * x + cos * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squared(points: &[[f64; 3]]) -> Vec<f64> {
        let one = |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
        points.iter().flat_map(|a| points.iter().map(move |b| one(a, b))).collect()
    }

    #[test]
    fn points_of_a_plane_keep_their_distances() {
        let points: Vec<[f64; 3]> =
            (0..40).map(|i| [f64::from(i % 7) * 2.0, f64::from(i / 7), 0.0]).collect();
        let distances = squared(&points);
        let plane = plane(&distances, points.len());
        assert!((plane.explained[0] + plane.explained[1] - 1.0).abs() < 1e-9, "{:?}", plane.explained);
        let flat: Vec<[f64; 3]> = plane.points.iter().map(|[x, y]| [*x, *y, 0.0]).collect();
        let again = squared(&flat);
        let worst = distances.iter().zip(&again).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-6, "{worst}");
    }

    /// Values of `scikit-bio` 0.7.4 (`skbio.stats.ordination.pcoa`); see
    /// tests/golden/scripts/pcoa.py.
    #[test]
    fn a_plane_agrees_with_scikit_bio() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/golden/data/pcoa.json")).unwrap();
        let numbers = |key: &str| -> Vec<f64> { serde_json::from_value(golden[key].clone()).unwrap() };
        let (distances, x, y, explained) =
            (numbers("distances"), numbers("x"), numbers("y"), numbers("kept"));
        let squares: Vec<f64> = distances.iter().map(|d| d * d).collect();
        let plane = plane(&squares, x.len());
        assert!(
            (plane.explained[0] - explained[0]).abs() < 1e-6
                && (plane.explained[1] - explained[1]).abs() < 1e-6
        );
        for (k, golden) in [x, y].into_iter().enumerate() {
            let own: Vec<f64> = plane.points.iter().map(|point| point[k]).collect();
            let sign = if own[0] * golden[0] < 0.0 { -1.0 } else { 1.0 };
            let worst = own.iter().zip(golden).map(|(a, b)| (a - sign * b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-5, "axis {k}: {worst}");
        }
    }

    #[test]
    fn one_case_and_equal_cases_lie_in_one_place() {
        assert_eq!(plane(&[0.0], 1).points, [[0.0, 0.0]]);
        assert_eq!(plane(&[0.0; 9], 3), Embedding { points: vec![[0.0; 2]; 3], explained: [0.0; 2] });
    }
}
