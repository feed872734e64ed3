//! The pair matrix: computed in any way, the same; of changed cohorts, only what changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pdl_prepare::proxies::Proxies;
use pdl_similarity::compare::compare_with;
use pdl_similarity::metrics::{Measure, Metric, PairFacts, RequiredPasses};
use pdl_similarity::pairs::Pairs;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::journal::HashCheck;
use pdl_store::progress::{Silent, StageContext};
use pdl_tests::{files, pdl, run, run_ok};
use serde_json::Value;

use crate::{cohort_of, curated, folder};

/// The cases `cases` of the sample, with proxies of 16^3 voxels; splits come from patients, so that
/// nothing is joined by an audit.
fn prepared(cohort: &Path, out: &Path, cases: std::ops::Range<usize>) {
    cohort_of(cohort, cases);
    let out = out.to_str().unwrap();
    run_ok(&["index", cohort.to_str().unwrap(), "--out", out]);
    run_ok(&["prepare", out, "--proxy-size", "16"]);
}

/// Compares, and gives how many pairs there are and how many were computed.
fn compare(out: &Path, flags: &[&str]) -> (u64, u64) {
    let mut words = vec!["compare", out.to_str().unwrap(), "--json"];
    words.extend(flags);
    let result: Value = serde_json::from_str(&run_ok(&words)).unwrap();
    let stage = &result["compare"];
    (stage["pairs"].as_u64().unwrap(), stage["computed"].as_u64().unwrap())
}

/// Every metric of every pair, by case ids.
fn table(out: &Path, metrics: &[Metric]) -> BTreeMap<(String, String), Vec<u32>> {
    let proxies = Proxies::open(out).unwrap();
    let pairs = Pairs::open(out, &proxies).unwrap();
    let mut table: BTreeMap<(String, String), Vec<u32>> = BTreeMap::new();
    for metric in metrics {
        let visit = |a: u32, b: u32, value: f32| {
            let mut key = [a, b].map(|row| proxies.case_ids[row as usize].clone());
            key.sort();
            table.entry(key.into()).or_default().push(value.to_bits());
        };
        pairs.for_each(*metric, visit).unwrap();
    }
    table
}

#[test]
fn only_pairs_of_new_cases_are_computed() {
    let (cohort, out, fresh) = (folder(), folder(), folder());
    prepared(cohort.path(), out.path(), 0..18);
    assert_eq!(compare(out.path(), &["--tile", "7"]), (153, 153));
    prepared(cohort.path(), out.path(), 0..24);
    assert_eq!(compare(out.path(), &["--tile", "7"]), (276, 6 * 18 + 15));
    assert_eq!(compare(out.path(), &["--tile", "7"]), (276, 0));

    // The same as of a folder that had them all at once, under the same plan.
    fs::copy(out.path().join("plan.json"), fresh.path().join("plan.json")).unwrap();
    prepared(cohort.path(), fresh.path(), 0..24);
    assert_eq!(compare(fresh.path(), &["--tile", "7"]), (276, 276));
    assert_eq!(table(out.path(), &Metric::USUAL), table(fresh.path(), &Metric::USUAL));
}

#[test]
fn a_removed_case_costs_nothing_and_a_changed_one_its_own_pairs() {
    let (cohort, out) = (folder(), folder());
    prepared(cohort.path(), out.path(), 0..20);
    compare(out.path(), &["--tile", "6"]);
    let before = table(out.path(), &Metric::USUAL);
    // The first case goes: every other one gets another row number.
    prepared(cohort.path(), out.path(), 1..20);
    assert_eq!(compare(out.path(), &["--tile", "6"]), (171, 0));
    let after = table(out.path(), &Metric::USUAL);
    assert_eq!(after.len(), 171);
    assert!(after.iter().all(|(pair, values)| before[pair] == *values));
    // Tiles of another size hold the same pairs.
    assert_eq!(compare(out.path(), &["--tile", "50"]), (171, 0));
    assert_eq!(table(out.path(), &Metric::USUAL), after);
    // Another window is another comparison.
    assert_eq!(compare(out.path(), &["--tile", "50", "--window", "gaussian"]), (171, 171));
}

#[test]
fn tiles_memory_and_threads_change_no_byte() {
    let (cohort, out) = (folder(), folder());
    prepared(cohort.path(), out.path(), 0..20);
    let again = |flags: &[&str]| {
        fs::remove_dir_all(out.path().join("pairs")).unwrap();
        compare(out.path(), &[&["--tile", "8"], flags].concat());
        files(&out.path().join("pairs"))
    };
    compare(out.path(), &["--tile", "8"]);
    let expected = files(&out.path().join("pairs"));
    assert_eq!(expected.len(), 6);
    assert!(again(&["--memory", "1KiB"]) == expected);
    assert!(again(&["--threads", "1"]) == expected);
    assert!(again(&["--threads", "3", "--memory", "70MiB"]) == expected);

    // Tile by tile, in any order; then there is nothing left to compute.
    fs::remove_dir_all(out.path().join("pairs")).unwrap();
    let path = out.path().to_str().unwrap();
    for (row, col) in [(2, 2), (0, 1), (1, 2), (0, 0), (1, 1), (0, 2), (0, 2)] {
        run_ok(&["tile", path, "--row", &row.to_string(), "--col", &col.to_string(), "--tile", "8"]);
    }
    assert_eq!(compare(out.path(), &["--tile", "8"]), (190, 0));
    assert!(files(&out.path().join("pairs")) == expected);
    let wrong = run(&["tile", path, "--row", "2", "--col", "1", "--tile", "8"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("20 cases make 3 blocks"));

    // A part file that is truncated is found and made again; the others stay.
    let part = out.path().join("pairs/00000-00001.parquet");
    let bytes = fs::read(&part).unwrap();
    fs::write(&part, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(compare(out.path(), &["--tile", "8"]), (190, 64));
    assert!(files(&out.path().join("pairs")) == expected);
}

#[test]
fn instructions_change_no_value_but_are_part_of_what_a_tile_is() {
    let (cohort, out) = (folder(), folder());
    prepared(cohort.path(), out.path(), 0..12);
    compare(out.path(), &[]);
    let expected = table(out.path(), &Metric::USUAL);
    assert_eq!(compare(out.path(), &["--isa", "scalar"]), (66, 66));
    assert_eq!(table(out.path(), &Metric::USUAL), expected);
}

#[test]
fn few_metrics_bodies_and_strides_can_be_asked_for() {
    let (cohort, out) = (folder(), folder());
    prepared(cohort.path(), out.path(), 0..12);
    compare(out.path(), &[]);
    let all = table(out.path(), &[Metric::Mse]);
    assert_eq!(compare(out.path(), &["--metrics", "mse,psnr"]), (66, 66));
    for (pair, values) in table(out.path(), &[Metric::Mse]) {
        let (alone, beside) = (f32::from_bits(values[0]), f32::from_bits(all[&pair][0]));
        assert!((alone / beside - 1.0).abs() < 1e-6, "{pair:?}: {alone} and {beside}");
    }
    let refused = run(&["similar", out.path().to_str().unwrap(), "case", "--metric", "ssim"]);
    assert_eq!(refused.status.code(), Some(1));

    compare(out.path(), &["--metrics", "mse,body-mse,body-ssim"]);
    for (pair, values) in table(out.path(), &[Metric::Mse, Metric::BodyMse, Metric::BodySsim]) {
        let [whole, body, ssim] = [0, 1, 2].map(|i| f32::from_bits(values[i]));
        assert!(body > 0.0 && body != whole, "{pair:?}: MSE {body} in the bodies and {whole} in all");
        assert!(ssim > -1.0 && ssim < 1.0, "{pair:?}: {ssim}");
    }

    compare(out.path(), &["--metrics", "ssim"]);
    let full = table(out.path(), &[Metric::Ssim]);
    compare(out.path(), &["--metrics", "ssim", "--stride", "2"]);
    for (pair, values) in table(out.path(), &[Metric::Ssim]) {
        let (strided, full) = (f32::from_bits(values[0]), f32::from_bits(full[&pair][0]));
        assert!((strided - full).abs() < 0.05, "{pair:?}: {strided} for {full}");
    }
}

/// The largest difference of any voxel.
struct Largest;

impl Measure for Largest {
    fn column(&self) -> &str {
        "largest"
    }

    fn larger_is_alike(&self) -> bool {
        false
    }

    fn required_passes(&self) -> RequiredPasses {
        RequiredPasses::default()
    }

    fn value(&self, pair: &PairFacts<'_>) -> f64 {
        let differences = pair.a.voxels.iter().zip(pair.b.voxels).map(|(a, b)| (a - b).abs());
        f64::from(differences.fold(0.0, f32::max))
    }
}

#[test]
fn a_metric_of_ones_own_is_a_further_column() {
    let (cohort, out) = (folder(), folder());
    prepared(cohort.path(), out.path(), 0..10);
    let run = StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory: None };
    let parameters = CompareParameters::default();
    assert_eq!(compare_with(out.path(), &parameters, &[&Largest], run).unwrap().computed, 45);
    assert_eq!(compare_with(out.path(), &parameters, &[&Largest], run).unwrap().computed, 0);
    let (rows, _) = pdl_store::table::read_rows::<BTreeMap<String, Value>>(
        &out.path().join("pairs/00000-00000.parquet"),
        1,
    )
    .unwrap();
    let proxies = Proxies::open(out.path()).unwrap();
    for row in rows {
        let voxels = |name: &str| proxies.voxels(row[name].as_u64().unwrap() as usize);
        let pairs = voxels("a").iter().zip(voxels("b"));
        let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(row["largest"].as_f64().unwrap() as f32, largest);
    }
}

#[test]
fn the_nearest_the_duplicates_and_the_square_matrix_are_what_the_table_says() {
    let out = curated("ct").to_str().unwrap();
    let proxies = Proxies::open(curated("ct")).unwrap();
    let pairs = Pairs::open(curated("ct"), &proxies).unwrap();
    let mut values = BTreeMap::new();
    pairs
        .for_each(Metric::Ssim, |a, b, value| {
            values.insert((a as usize, b as usize), value);
        })
        .unwrap();
    let value = |a: usize, b: usize| values[&(a.min(b), a.max(b))];
    let case = 5;
    let mut others: Vec<usize> = (0..proxies.len()).filter(|other| *other != case).collect();
    others.sort_by(|a, b| value(case, *b).total_cmp(&value(case, *a)));

    let text = run_ok(&["similar", out, &proxies.case_ids[case], "--count", "3", "--json"]);
    let similar: Value = serde_json::from_str(&text).unwrap();
    let ids = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|n| n["case_id"].as_str().unwrap().to_owned()).collect()
    };
    let expected = |rows: &[usize]| rows.iter().map(|row| proxies.case_ids[*row].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&similar["nearest"]), expected(&others[..3]));
    others.reverse();
    assert_eq!(ids(&similar["farthest"]), expected(&others[..3]));

    // At the threshold of the most similar pair there is just that group.
    let (most, best) = values.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    let text = run_ok(&["duplicates", out, "--threshold", &best.to_string(), "--json"]);
    let groups: Value = serde_json::from_str(&text).unwrap();
    let cases = &groups["groups"][0]["cases"];
    assert_eq!(groups["groups"].as_array().unwrap().len(), 1);
    assert_eq!(*cases, serde_json::json!([proxies.case_ids[most.0], proxies.case_ids[most.1]]));

    let to = folder();
    let file = |name: &str| to.path().join(name).to_str().unwrap().to_owned();
    for format in ["npy", "csv", "parquet"] {
        run_ok(&["matrix", out, "--format", format, "--to", &file(&format!("m.{format}"))]);
    }
    let npy = fs::read(file("m.npy")).unwrap();
    let numbers: Vec<f32> = npy[npy.len() - 24 * 24 * 4..]
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    let csv = fs::read_to_string(file("m.csv")).unwrap();
    for (a, line) in csv.lines().skip(1).enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields[0], proxies.case_ids[a]);
        for b in 0..proxies.len() {
            let expected = if a == b { 1.0 } else { value(a, b) };
            assert_eq!(numbers[a * 24 + b], expected);
            assert_eq!(fields[b + 1].parse::<f32>().unwrap(), expected);
        }
    }
    let (rows, _) =
        pdl_store::table::read_rows::<BTreeMap<String, Value>>(Path::new(&file("m.parquet")), 1).unwrap();
    assert_eq!(rows[3][&proxies.case_ids[7]].as_f64().unwrap() as f32, value(3, 7));
}

#[test]
fn a_comparison_killed_at_any_moment_goes_on_to_the_same_bytes() {
    let (cohort, out, whole) = (folder(), folder(), folder());
    prepared(cohort.path(), out.path(), 0..24);
    prepared(cohort.path(), whole.path(), 0..24);
    compare(whole.path(), &["--tile", "3"]);
    for moment in 0..20 {
        let words = ["compare", out.path().to_str().unwrap(), "--tile", "3"];
        let mut child = pdl().args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(3 + 4 * moment));
        let _ = child.kill(); // SIGKILL; one that has ended by itself is fine
        child.wait().unwrap();
    }
    // A part that is truncated is found, too.
    let part = fs::read_dir(whole.path().join("pairs")).unwrap().next().unwrap().unwrap().file_name();
    let cut = out.path().join("pairs").join(part);
    if let Ok(bytes) = fs::read(&cut) {
        fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    }
    compare(out.path(), &["--tile", "3"]);
    assert_eq!(files(&out.path().join("pairs")), files(&whole.path().join("pairs")));
}

/// A small file system of memory of its own, filled up; nothing is tried where the system gives
/// nobody one.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_and_with_room_again_the_comparison_goes_on() {
    let own = ["--user", "--map-root-user", "--mount"];
    if !Command::new("unshare").args(own).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("not tried: no file system can be mounted here");
        return;
    }
    let (cohort, out, small, seen) = (folder(), folder(), folder(), folder());
    prepared(cohort.path(), out.path(), 0..24);
    let script = r#"
        set -e
        mount -t tmpfs -o size=8m tmpfs "$1"
        cp -r "$2"/. "$1"
        dd if=/dev/zero of="$1/filler" bs=4096 2> "$4/dd" || true
        truncate --size=-24576 "$1/filler"
        set +e; "$3" compare "$1" --tile 3 2> "$4/told"; echo $? > "$4/code"; set -e
        rm "$1/filler"
        "$3" compare "$1" --tile 3
        cp -r "$1/pairs" "$4/pairs"
    "#;
    let program = pdl().get_program().to_owned();
    let paths = [small.path(), out.path(), Path::new(&program), seen.path()];
    let run =
        Command::new("unshare").args(own).args(["bash", "-c", script, "bash"]).args(paths).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = |name: &str| fs::read_to_string(seen.path().join(name)).unwrap();
    assert_eq!(text("code").trim(), "7", "the machine's error is not the case's");
    assert!(text("told").to_lowercase().contains("no space left"), "{}", text("told"));
    compare(out.path(), &["--tile", "3"]);
    assert_eq!(files(&seen.path().join("pairs")), files(&out.path().join("pairs")));
}
