//! Metrics of label maps, against what their definitions give from the files themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pdl_io::nifti;
use pdl_prepare::proxies::Proxies;
use pdl_similarity::metrics::Metric;
use pdl_similarity::pairs::Pairs;
use pdl_tests::{run, run_ok};
use pdl_volume::LabelMap;

use crate::{cohort_of, curate, folder};

/// Voxels along each side of the proxies here.
const SIDE: usize = 16;
const OF_LABELS: [Metric; 2] = [Metric::LabelDice, Metric::LabelVolume];

/// Six cases, of which the third has no heart in its label map and the fourth nothing but its
/// lungs.
fn cohort(folder: &Path) -> Vec<LabelMap> {
    cohort_of(folder, 0..6);
    let annotate = |(case, kept): (usize, &dyn Fn(u16) -> bool)| {
        let path = folder.join(format!("labels/ct_{:02}.nii.gz", case + 1));
        let mut map = pdl_io::read_labels(&path).unwrap().map;
        map.voxels.iter_mut().filter(|label| !kept(**label)).for_each(|label| *label = 0);
        nifti::write_labels(&path, &map).unwrap();
        map.into_ras()
    };
    let all = |_| true;
    let kept: [&dyn Fn(u16) -> bool; 6] = [&all, &all, &|label| label != 3, &|label| label < 3, &all, &all];
    kept.into_iter().enumerate().map(annotate).collect()
}

/// A case's labels as sets of the proxy's voxels, and their volumes in mm3.
struct Case {
    sets: BTreeMap<u16, BTreeSet<usize>>,
    volumes: BTreeMap<u16, f64>,
}

impl Case {
    fn new(map: &LabelMap) -> Self {
        let mut volumes = BTreeMap::new();
        for label in map.voxels.iter().filter(|label| **label > 0) {
            *volumes.entry(*label).or_insert(0.0) += map.grid.spacing_mm().iter().product::<f64>();
        }
        // The share of a label between the voxels about the middle of each cell.
        let at = |axis: usize, cell: usize| {
            let n = map.grid.shape[axis];
            let place = (cell as f64 + 0.5) * n as f64 / SIDE as f64 - 0.5;
            let low = place.floor();
            let voxel = |index: f64| index.clamp(0.0, n as f64 - 1.0) as usize;
            [(voxel(low), 1.0 - (place - low)), (voxel(low + 1.0), place - low)]
        };
        let [nx, ny, _] = map.grid.shape;
        let mut sets: BTreeMap<u16, BTreeSet<usize>> = BTreeMap::new();
        for cell in 0..SIDE * SIDE * SIDE {
            let [xs, ys, zs] = [at(0, cell % SIDE), at(1, cell / SIDE % SIDE), at(2, cell / (SIDE * SIDE))];
            let mut shares = BTreeMap::new();
            for (x, wx) in xs {
                for (y, wy) in ys {
                    for (z, wz) in zs {
                        *shares.entry(map.voxels[x + nx * (y + ny * z)]).or_insert(0.0) += wx * wy * wz;
                    }
                }
            }
            let label = shares.into_iter().rfind(|(label, share)| *label > 0 && *share >= 0.5 - 1e-9);
            if let Some((label, _)) = label {
                sets.entry(label).or_default().insert(cell);
            }
        }
        Self { sets, volumes }
    }
}

fn expected(a: &Case, b: &Case) -> [f64; 2] {
    let (mut dice, mut volume) = (Vec::new(), Vec::new());
    let none = BTreeSet::new();
    for (label, volume_a) in &a.volumes {
        let Some(volume_b) = b.volumes.get(label) else { continue };
        let [in_a, in_b] = [a, b].map(|case| case.sets.get(label).unwrap_or(&none));
        if in_a.len() + in_b.len() > 0 {
            dice.push(2.0 * in_a.intersection(in_b).count() as f64 / (in_a.len() + in_b.len()) as f64);
        }
        volume.push((volume_a - volume_b).abs() / (volume_a + volume_b));
    }
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    [mean(dice), mean(volume)]
}

/// The values of both metrics by case ids.
fn table(out: &Path) -> BTreeMap<(String, String), [f32; 2]> {
    let proxies = Proxies::open(out).unwrap();
    let pairs = Pairs::open(out, &proxies).unwrap();
    let mut table: BTreeMap<(String, String), [f32; 2]> = BTreeMap::new();
    for (place, metric) in OF_LABELS.into_iter().enumerate() {
        let visit = |a: u32, b: u32, value: f32| {
            let [a, b] = [a, b].map(|row| proxies.case_ids[row as usize].clone());
            table.entry((a, b)).or_default()[place] = value;
        };
        pairs.for_each(metric, visit).unwrap();
    }
    table
}

#[test]
fn curate_compares_label_maps_as_they_are_defined() {
    let (cohort_folder, out) = (folder(), folder());
    let cases: Vec<Case> = cohort(cohort_folder.path()).iter().map(Case::new).collect();
    let size = SIDE.to_string();
    let metrics = "ssim,label-dice,label-volume";
    let flags = ["--proxy-size", &size, "--metrics", metrics, "--annotated", "present"];
    curate(cohort_folder.path(), out.path(), &flags);
    let found = table(out.path());
    assert_eq!(found.len(), 15);
    let number = |case: &str| case.strip_prefix("ct_").unwrap().parse::<usize>().unwrap() - 1;
    for ((a, b), found) in &found {
        let expected = expected(&cases[number(a)], &cases[number(b)]);
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{a} {b}: {found} for {expected}");
        }
    }

    // Any blocks, threads and instructions give the same bits.
    let out = out.path().to_str().unwrap();
    for how in [["--tile", "2"], ["--threads", "1"], ["--isa", "scalar"], ["--memory", "64MiB"]] {
        let mut words = vec!["compare", out, "--metrics", metrics];
        words.extend(how);
        run_ok(&words);
        assert_eq!(table(Path::new(out)), found, "{how:?}");
    }

    // What reads the matrix takes them, too.
    assert!(run_ok(&["similar", out, "ct_01", "--metric", "label-volume"]).contains("most similar to ct_01"));
    run_ok(&["rank", out, "--metric", "label-dice,label-volume"]);
    run_ok(&["matrix", out, "--metric", "label-volume", "--format", "csv"]);
    let matrix = std::fs::read_to_string(Path::new(out).join("label_volume.csv")).unwrap();
    assert!(matrix.lines().nth(1).unwrap().starts_with("ct_01,0,"), "{matrix}");
}

#[test]
fn proxies_hold_label_maps_only_on_request() {
    let (cohort_folder, out) = (folder(), folder());
    cohort(cohort_folder.path());
    let out_text = out.path().to_str().unwrap();
    let compare = ["compare", out_text, "--metrics", "mse,label-dice"];
    run_ok(&["index", cohort_folder.path().to_str().unwrap(), "--out", out_text, "--annotated", "present"]);
    run_ok(&["prepare", out_text, "--proxy-size", "16"]);
    let plain = Proxies::open(out.path()).unwrap();
    assert!(!plain.has_labels() && plain.labels(0).is_none());
    let refused = run(&compare);
    assert!(!refused.status.success());
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("label_dice") && error.contains("proxy_labels"), "{error}");

    run_ok(&["prepare", out_text, "--proxy-size", "16", "--proxy-labels"]);
    let labelled = Proxies::open(out.path()).unwrap();
    assert!(labelled.has_labels());
    for row in 0..plain.len() {
        assert_eq!(plain.voxels(row), labelled.voxels(row));
        assert_ne!(plain.row_keys[row], labelled.row_keys[row]);
    }
    assert_eq!(labelled.labels(3).unwrap().annotated, [1, 2]);
    run_ok(&compare);
}
