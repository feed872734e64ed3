//! Random structures against exact arithmetic in integers.
//!
//! The reference states the rule anew: a region is the union of its outermost contours, each
//! without the region of the contours inside it; a pixel is in it when its centre is inside or
//! within 0.05 pixels of the boundary.

use pdl_dicom::Contour;

use crate::series::{Slices, findings, region};

/// Columns and rows.
const SIZE: [i128; 2] = [32, 28];
/// Units of a pixel's side: coordinates are multiples of 1/10000 mm, columns lie 0.75 and rows 1.25
/// mm apart, and this is a multiple of both sides.
const SIDE: i128 = 37_500;
/// Units of 1/10000 mm along columns and rows.
const MM: [i128; 2] = [5, 3];
const ORIGIN_MM: [f64; 2] = [-11.3, 7.7];
const SEEDS: u64 = 200;

/// A corner of a contour in units.
type Corner = [i128; 2];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A place in pixels, on the nearest 1/400 mm.
fn corner(pixels: [f64; 2]) -> Corner {
    [0, 1].map(|axis| {
        let step = 25 * MM[axis];
        (pixels[axis] * SIDE as f64 / step as f64).round() as i128 * step
    })
}

/// Corners around a centre, at a share of their radii.
fn star(centre: [f64; 2], radii: &[f64], share: f64, phase: f64) -> Vec<Corner> {
    let turn = std::f64::consts::TAU / radii.len() as f64;
    let place = |(number, radius): (usize, &f64)| {
        let (sine, cosine) = (turn * (number as f64 + phase)).sin_cos();
        corner([centre[0] + share * radius * cosine, centre[1] + share * radius * sine])
    };
    radii.iter().enumerate().map(place).collect()
}

/// A block whose sides pass through pixel centres, or lie exactly on the limit of what is on them.
fn block(random: &mut Random, centre: [f64; 2]) -> Vec<Corner> {
    let mut side = |about: f64, sign: f64| {
        let off = [0.0, -0.05, -0.04, -0.06, 0.5][random.below(5) as usize];
        about.round() + sign * (2.0 + random.below(5) as f64 + off)
    };
    let [x0, x1, y0, y1] =
        [side(centre[0], -1.0), side(centre[0], 1.0), side(centre[1], -1.0), side(centre[1], 1.0)];
    [[x0, y0], [x1, y0], [x1, y1], [x0, y1]].map(corner).to_vec()
}

fn radii(random: &mut Random, largest: f64) -> Vec<f64> {
    (0..5 + random.below(8)).map(|_| random.uniform(0.55, 1.0) * largest).collect()
}

/// Nested rings about a centre, from the outermost in.
fn rings(random: &mut Random, centre: [f64; 2], largest: f64) -> Vec<Vec<Corner>> {
    let (radii, phase) = (radii(random, largest), random.uniform(0.0, 1.0));
    let shares = [1.0, 0.7, 0.42, 0.2];
    shares
        .iter()
        .take(1 + random.below(4) as usize)
        .map(|share| star(centre, &radii, *share, phase))
        .collect()
}

/// A ring and its hole as one path: to the hole along a bridge, round it, and back.
fn keyhole(random: &mut Random, centre: [f64; 2], largest: f64) -> Vec<Corner> {
    let radii = radii(random, largest);
    let (outer, mut inner) = (star(centre, &radii, 1.0, 0.0), star(centre, &radii, 0.5, 0.0));
    inner.reverse();
    inner.rotate_right(1);
    [&outer[..], &outer[..1], &inner[..], &inner[..1]].concat()
}

/// A ring with holes smaller than a pixel, some of them about a pixel's centre.
fn pierced(random: &mut Random, centre: [f64; 2]) -> Vec<Vec<Corner>> {
    let mut contours = rings(random, centre, 12.0);
    for _ in 0..1 + random.below(4) {
        let mut at = |axis: usize| centre[axis] + random.uniform(-4.0, 4.0);
        let mut at = [at(0), at(1)];
        if random.below(2) == 0 {
            at = at.map(f64::round);
        }
        let radii: Vec<f64> = (0..4).map(|_| random.uniform(0.05, 0.3)).collect();
        contours.push(star(at, &radii, 1.0, 0.2));
    }
    contours
}

fn structure(random: &mut Random, kind: u64) -> Vec<Vec<Corner>> {
    let centre = |random: &mut Random| [random.uniform(6.0, 26.0), random.uniform(5.0, 23.0)];
    let middle = centre(random);
    match kind {
        0 => vec![star(middle, &radii(random, 12.0), 1.0, 0.3)],
        1 => rings(random, middle, 13.0),
        2 => vec![keyhole(random, middle, 12.0)],
        3 => {
            let pieces = 2 + random.below(3);
            (0..pieces)
                .flat_map(|_| {
                    let at = centre(random);
                    rings(random, at, 5.0)
                })
                .collect()
        }
        4 => {
            let mut both = rings(random, middle, 9.0);
            let [x, y] = both[0][0].map(|v| v as f64 / SIDE as f64);
            both.push(star([x, y], &radii(random, 6.0), 1.0, 0.1));
            both
        }
        5 => pierced(random, middle),
        _ => {
            let mut blocks = vec![block(random, middle)];
            if random.below(2) == 0 {
                let other = centre(random);
                blocks.push(block(random, other));
            }
            blocks
        }
    }
}

fn edges(corners: &[Corner]) -> Vec<[Corner; 2]> {
    let next = corners.iter().cycle().skip(1);
    let mut edges: Vec<[Corner; 2]> = corners.iter().zip(next).map(|(a, b)| [*a.min(b), *a.max(b)]).collect();
    edges.sort_unstable();
    // What is walked twice bounds nothing.
    let runs: Vec<&[[Corner; 2]]> = edges.chunk_by(|a, b| a == b).collect();
    runs.into_iter().filter(|run| run.len() % 2 == 1 && run[0][0] != run[0][1]).map(|run| run[0]).collect()
}

fn is_inside(edges: &[[Corner; 2]], [x, y]: Corner) -> bool {
    let crosses = |[a, b]: &&[Corner; 2]| {
        let (low, high) = if a[1] < b[1] { (a, b) } else { (b, a) };
        low[1] <= y && y < high[1] && (x - low[0]) * (high[1] - low[1]) > (y - low[1]) * (high[0] - low[0])
    };
    edges.iter().filter(crosses).count() % 2 == 1
}

fn is_on(edges: &[[Corner; 2]], [x, y]: Corner) -> bool {
    edges.iter().any(|[a, b]| {
        let (along, from) = ([b[0] - a[0], b[1] - a[1]], [x - a[0], y - a[1]]);
        let square = |v: Corner| v[0] * v[0] + v[1] * v[1];
        let (share, whole) = (from[0] * along[0] + from[1] * along[1], square(along));
        // Squares of distances, times the square of the edge's length where that divides them.
        match share {
            ..=0 => 400 * square(from) <= SIDE * SIDE,
            _ if share >= whole => 400 * square([x - b[0], y - b[1]]) <= SIDE * SIDE,
            _ => {
                let area = from[0] * along[1] - from[1] * along[0];
                400 * area * area <= SIDE * SIDE * whole
            }
        }
    })
}

/// Whether each pixel's centre is inside or on a contour, and whether it is inside and not on.
type Flags = Vec<[bool; 2]>;

fn flags(corners: &[Corner]) -> Flags {
    let edges = edges(corners);
    let pixel = |number: i128| {
        let centre = [number % SIZE[0] * SIDE, number / SIZE[0] * SIDE];
        let (inside, on) = (is_inside(&edges, centre), is_on(&edges, centre));
        [inside || on, inside && !on]
    };
    (0..SIZE[0] * SIZE[1]).map(pixel).collect()
}

/// Which contour lies inside which; nothing where two come so near to touching that it is a matter
/// of the breadth of an edge.
fn nesting(contours: &[Vec<Corner>]) -> Option<Vec<Vec<bool>>> {
    const STEPS: i128 = 2;
    const MARGIN: i128 = 8;
    let width = STEPS * (SIZE[0] + 2 * MARGIN);
    let lattice = |corners: &Vec<Corner>| -> Vec<bool> {
        let edges = edges(corners);
        let place = |number: i128, by: i128| (number - MARGIN * STEPS) * SIDE / STEPS + by;
        (0..width * width).map(|n| is_inside(&edges, [place(n % width, 1), place(n / width, 1)])).collect()
    };
    let lattices: Vec<Vec<bool>> = contours.iter().map(lattice).collect();
    let perimeter = |corners: &Vec<Corner>| -> f64 {
        edges(corners).iter().map(|[a, b]| ((b[0] - a[0]) as f64).hypot((b[1] - a[1]) as f64)).sum::<f64>()
            / SIDE as f64
    };
    let mut inside = vec![vec![false; contours.len()]; contours.len()];
    for a in 0..contours.len() {
        for b in (0..contours.len()).filter(|b| *b != a) {
            let count = |holds: fn(bool, bool) -> bool| {
                lattices[a].iter().zip(&lattices[b]).filter(|(a, b)| holds(**a, **b)).count()
            };
            if !lattices[a].contains(&true) {
                // Too small for the lattice: by its corners.
                let edges_of_b = edges(&contours[b]);
                let held = contours[a].iter().filter(|corner| is_inside(&edges_of_b, **corner)).count();
                if held % contours[a].len() != 0
                    || contours[a].iter().any(|corner| is_on(&edges_of_b, *corner))
                {
                    return None;
                }
                inside[a][b] = held > 0;
                continue;
            }
            let own_and_shared = [count(|a, b| a && !b), count(|a, b| a && b)];
            let areas = own_and_shared.map(|count| count as f64 / (STEPS * STEPS) as f64);
            let least = (0.12 * perimeter(&contours[a]) + 0.5).min(0.6 * (areas[0] + areas[1]));
            if areas.iter().any(|area| *area > 0.0 && *area < least) {
                return None;
            }
            inside[a][b] = own_and_shared[0] == 0;
        }
    }
    Some(inside)
}

/// The rule itself.
fn reference(members: &[usize], flags: &[Flags], inside: &[Vec<bool>]) -> Flags {
    let mut all = vec![[false; 2]; (SIZE[0] * SIZE[1]) as usize];
    for outer in members.iter().filter(|outer| !members.iter().any(|other| inside[**outer][*other])) {
        let inner: Vec<usize> = members.iter().copied().filter(|other| inside[*other][*outer]).collect();
        let hole = reference(&inner, flags, inside);
        for ((pixel, own), hole) in all.iter_mut().zip(&flags[*outer]).zip(&hole) {
            pixel[0] |= own[0] && !hole[1];
            pixel[1] |= own[1] && !hole[0];
        }
    }
    all
}

/// The contour in the patient's millimetres, as a file would have it: begun anywhere, in either
/// direction, and with or without its first point at the end.
fn written(random: &mut Random, corners: &[Corner], height: f64) -> Contour {
    let mut corners = corners.to_vec();
    let start = random.below(corners.len() as u64) as usize;
    corners.rotate_left(start);
    if random.below(2) == 0 {
        corners.reverse();
    }
    if random.below(3) == 0 {
        corners.push(corners[0]);
    }
    let mm = |corner: &Corner, axis: usize| {
        let decimal = format!("{:.4}", ORIGIN_MM[axis] + (corner[axis] / MM[axis]) as f64 / 10_000.0);
        decimal.parse::<f64>().unwrap()
    };
    let points = corners.iter().map(|corner| [mm(corner, 0), mm(corner, 1), height]).collect();
    Contour { points, exclusive: false }
}

#[test]
fn masks_of_random_structures_are_those_of_exact_arithmetic() {
    let slices = Slices {
        size: SIZE.map(|n| n as u16),
        spacing: [0.75, 1.25],
        thickness: 2.0,
        orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        positions: [0.0, 2.0, 4.0].map(|z| [ORIGIN_MM[0], ORIGIN_MM[1], z]).to_vec(),
    };
    let stack = slices.read().stack;
    let mut seen = [0; 3];
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let (contours, inside) = loop {
            let contours = structure(&mut random, seed % 7);
            if let Some(inside) = nesting(&contours) {
                break (contours, inside);
            }
        };
        let height = 2.0 + random.uniform(-0.99, 0.99);
        let mut drawn: Vec<Contour> = contours.iter().map(|c| written(&mut random, c, height)).collect();
        if random.below(3) == 0 {
            let again = random.below(contours.len() as u64) as usize;
            drawn.push(written(&mut random, &contours[again], height));
        }
        let place = random.below(drawn.len() as u64) as usize;
        drawn.rotate_left(place);
        let mut region = region(vec![]);
        region.contours = drawn;
        let mask = region.mask(&stack).unwrap();
        let flags: Vec<Flags> = contours.iter().map(|corners| flags(corners)).collect();
        let members: Vec<usize> = (0..contours.len()).collect();
        let expected: Vec<bool> = reference(&members, &flags, &inside).iter().map(|pixel| pixel[0]).collect();
        assert!(expected.contains(&true), "seed {seed}");
        assert_eq!(mask.slices.keys().copied().collect::<Vec<_>>(), [1], "seed {seed}");
        let wrong: Vec<usize> = (0..expected.len()).filter(|n| mask.slices[&1][*n] != expected[*n]).collect();
        assert!(wrong.is_empty(), "seed {seed}: pixels {wrong:?}, {:?}", findings(&mask));
        let told = findings(&mask).join(" ");
        seen[0] += usize::from(told.contains("repeated-contours"));
        seen[1] += usize::from(told.contains("overlapping-contours"));
        seen[2] += usize::from(inside.iter().flatten().any(|inside| *inside));
    }
    assert!(seen.iter().all(|times| *times >= 10), "too few of a kind: {seen:?}");
}
