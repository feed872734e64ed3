//! Scores and orders against a NumPy reference, apricot-select and networkx
//! (tests/golden/scripts/ranking.py).

use std::collections::BTreeMap;
use std::path::Path;

use pdl_curriculum::community::{Graph, louvain, threshold};
use pdl_curriculum::manifest::Manifest;
use pdl_curriculum::pairwise::{PairwiseSimilarity, SimilarityMatrix};
use pdl_curriculum::{order, prune, score, subset_selection};
use pdl_similarity::metrics::Metric;
use pdl_store::StoreError;
use pdl_tests::{real, root, run_ok};
use serde::Deserialize;

use crate::{cohort_of, curate, folder};

#[derive(Deserialize)]
struct Golden {
    made_up: Answers,
    hippocampus: Answers,
}

#[derive(Deserialize)]
struct Answers {
    orders: BTreeMap<String, Vec<usize>>,
    graph: GoldenGraph,
    outliers: Outliers,
    #[serde(default)]
    scores: BTreeMap<String, Vec<f64>>,
    #[serde(default)]
    stands_for: Vec<Option<usize>>,
}

#[derive(Deserialize)]
struct GoldenGraph {
    threshold: f32,
    modularity: f64,
    degree: Vec<usize>,
}

#[derive(Deserialize)]
struct Outliers {
    limit: f64,
    cases: Vec<usize>,
}

fn golden() -> Golden {
    pdl_store::json::read(&root().join("tests/golden/data/ranking.json")).unwrap()
}

/// The matrix that `made_up` of the script makes, value by value.
struct MadeUp(Vec<[f64; 3]>);

impl MadeUp {
    fn new(cases: usize) -> Self {
        let mut state: u64 = 1;
        let mut next = || {
            state = (state * 1_103_515_245 + 12345) % (1 << 31);
            ((state >> 8) % 1000) as f64 / 1000.0
        };
        let point = |case: usize| [0, 1, 2].map(|axis| next() + (((case % 4) >> axis) % 2) as f64 * 0.75);
        Self((0..cases).map(point).collect())
    }
}

impl PairwiseSimilarity for MadeUp {
    fn cases(&self) -> usize {
        self.0.len()
    }

    fn for_each(&self, _: Metric, mut visit: impl FnMut(usize, usize, f32)) -> Result<(), StoreError> {
        for b in 0..self.0.len() {
            for a in 0..b {
                let square = |axis: usize| (self.0[a][axis] - self.0[b][axis]).powi(2);
                visit(a, b, (1.0 / (1.0 + 4.0 * (square(0) + square(1) + square(2)))) as f32);
            }
        }
        Ok(())
    }
}

#[test]
fn scores_and_orders_are_those_of_the_reference() {
    const METRIC: Metric = Metric::Ssim;
    let golden = golden().made_up;
    let made_up = MadeUp::new(60);
    let mean = score::mean(&made_up, METRIC).unwrap();
    let median = score::median(&made_up, METRIC).unwrap();
    let nearest = score::nearest(&made_up, METRIC, 5).unwrap();
    for (name, ours) in [("mean", &mean), ("median", &median), ("knn", &nearest)] {
        let theirs = &golden.scores[name];
        assert_eq!(ours.len(), theirs.len());
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-12), "{name}: {ours:?}, {theirs:?}");
    }
    let matrix = SimilarityMatrix::read(&made_up, METRIC).unwrap();
    let unit = matrix.clone().into_unit(METRIC);
    let medoid = score::medoid(&made_up, METRIC).unwrap();
    let to =
        |references: &[usize]| order::typical_first(&score::reference(&made_up, METRIC, references).unwrap());
    let orders = [
        ("mean", order::typical_first(&mean)),
        ("median", order::typical_first(&median)),
        ("medoid", to(&[medoid])),
        ("reference", to(&[3])),
        ("references", to(&[3, 7])),
        ("knn", order::typical_first(&nearest)),
        ("atypical", order::atypical_first(&mean)),
        ("k-centre", subset_selection::k_centre(&matrix, order::typical_first(&mean)[0])),
        ("facility-location", subset_selection::facility_location(&unit)),
        ("mmr", subset_selection::maximal_marginal_relevance(&unit, &mean, 0.5)),
    ];
    assert_eq!(orders.len(), golden.orders.len());
    for (name, ours) in orders {
        assert_eq!(ours, golden.orders[name], "{name}");
    }

    let edge = threshold(&made_up, METRIC, 0.1).unwrap().unwrap();
    assert_eq!(edge, golden.graph.threshold);
    let graph = Graph::read(&made_up, METRIC, edge).unwrap();
    let modularity = graph.modularity(&louvain(&graph));
    assert!(modularity >= 0.99 * golden.graph.modularity, "{modularity} against {}", golden.graph.modularity);
    assert!((0..60).all(|case| graph.degree(case) == golden.graph.degree[case]));

    let distances = prune::distances(&made_up, METRIC, 5, 1.5).unwrap().unwrap();
    assert!((distances.limit - golden.outliers.limit).abs() < 1e-12);
    let far: Vec<usize> = (0..60).filter(|case| distances.of_cases[*case] > distances.limit).collect();
    assert_eq!(far, golden.outliers.cases);
}

/// The manifest after `pdl rank` with these flags.
fn ranked(out: &Path, flags: &[&str]) -> Manifest {
    let mut words = vec!["rank", out.to_str().unwrap()];
    words.extend(flags);
    run_ok(&words);
    Manifest::open(out).unwrap()
}

#[test]
fn a_real_cohort_is_ranked_as_by_the_reference() {
    let Some(cohort) = real("hippocampus-mr") else { return };
    let out = folder();
    let out = out.path();
    curate(&cohort, out, &["--val-share", "0", "--test-share", "0", "--proxy-size", "32"]);
    let golden = golden().hippocampus;
    let mut ids: Vec<String> = Manifest::open(out).unwrap().rows.into_iter().map(|row| row.case_id).collect();
    ids.sort();
    assert_eq!(ids.len(), 180);
    let number = |id: &String| ids.binary_search(id).unwrap();
    let both = format!("{},{}", ids[3], ids[7]);
    let settings: [(&str, &[&str]); 17] = [
        ("mean", &[]),
        ("median", &["--score", "median"]),
        ("medoid", &["--score", "medoid"]),
        ("reference", &["--score", "reference", "--reference", &ids[3]]),
        ("references", &["--score", "reference", "--reference", &both]),
        ("knn", &["--score", "knn"]),
        ("atypical", &["--order", "atypical"]),
        ("k-centre", &["--order", "k-centre"]),
        ("facility-location", &["--order", "facility-location"]),
        ("mmr", &["--order", "mmr"]),
        ("mse", &["--metric", "mse"]),
        ("uqi", &["--metric", "uqi"]),
        ("psnr", &["--metric", "psnr"]),
        ("ssim,mse", &["--metric", "ssim,mse"]),
        ("random", &["--order", "random", "--order-seed", "3"]),
        ("stratified", &["--order", "stratified", "--stratify-by", "voxel_type"]),
        ("mse k-centre", &["--metric", "mse", "--order", "k-centre"]),
    ];
    for (name, flags) in settings {
        let manifest = ranked(out, flags);
        let order: Vec<usize> = manifest.training().iter().map(|row| number(&row.case_id)).collect();
        assert_eq!(order, golden.orders[name], "{name}");
    }
    let manifest = ranked(out, &["--metric", "mse", "--order", "facility-location"]);
    let order: Vec<usize> = manifest.training().iter().map(|row| number(&row.case_id)).collect();
    assert_eq!(order, golden.orders["mse facility-location"]);
    assert_eq!(golden.orders.len(), settings.len() + 1);

    let manifest = ranked(out, &["--order", "community"]);
    let communities = manifest.info.ranking.communities.as_ref().unwrap();
    assert!((communities.threshold - golden.graph.threshold).abs() < 1e-6);
    let least = 0.99 * golden.graph.modularity;
    assert!(communities.modularity >= least, "{} against {least}", communities.modularity);
    // Inside each community by degree, then id; the communities in proportion.
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for row in manifest.training() {
        members.entry(row.group.as_deref().unwrap()).or_default().push(number(&row.case_id));
    }
    assert_eq!(members.len(), communities.count);
    for cases in members.values() {
        let key = |case: &usize| (std::cmp::Reverse(golden.graph.degree[*case]), *case);
        assert!(cases.windows(2).all(|w| key(&w[0]) < key(&w[1])), "{cases:?}");
    }

    let outliers = &manifest.info.ranking.outliers;
    assert_eq!(outliers.iter().map(|o| number(&o.case_id)).collect::<Vec<_>>(), golden.outliers.cases);
    assert!((manifest.info.ranking.outlier_limit.unwrap() - golden.outliers.limit).abs() < 1e-6);

    let manifest = ranked(out, &["--near-duplicate", "0.6", "--keep", "50%"]);
    for row in &manifest.rows {
        let expected =
            golden.stands_for[number(&row.case_id)].map(|other| format!("a duplicate of {}", ids[other]));
        let beyond = row.left_out.as_deref() == Some("beyond the 90 cases kept");
        assert!(row.left_out == expected || (expected.is_none() && beyond), "{}", row.case_id);
    }
    assert_eq!(manifest.training().len(), 90);
}

#[test]
fn what_is_left_out_has_no_rank_and_says_why() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..12);
    // The same image under another name, of the same patient so that both are on one side.
    let table = cohort.path().join("cohort.csv");
    let text = std::fs::read_to_string(&table).unwrap();
    let first = text.lines().nth(1).unwrap().to_owned();
    let twin = first.replacen("ct_01", "ct_99", 1);
    std::fs::copy(cohort.path().join("images/ct_01.nii.gz"), cohort.path().join("images/ct_99.nii.gz"))
        .unwrap();
    std::fs::write(&table, format!("{text}{twin}\n")).unwrap();
    curate(cohort.path(), out.path(), &["--proxy-size", "16", "--val-share", "0", "--test-share", "0"]);
    assert_eq!(Manifest::open(out.path()).unwrap().training().len(), 13, "nothing is left out unasked");

    for order in ["typical", "random", "facility-location"] {
        let manifest = ranked(out.path(), &["--keep", "50%", "--order", order, "--tune-size", "3"]);
        let training = manifest.training();
        assert_eq!(training.len(), 7, "half of 13, rounded up");
        assert_eq!(manifest.info.stages.last().unwrap().active_cases, 7);
        assert_eq!(manifest.rows.len(), 13, "all cases stay in the manifest");
        assert_eq!(manifest.rows.iter().filter(|row| row.tune).count(), 3);
        assert!(manifest.rows.iter().all(|row| row.rank.is_some() != row.left_out.is_some()));
        assert!(manifest.rows.iter().all(|row| row.rank.is_some() == row.stage.is_some()));
        assert!(manifest.rows.iter().all(|row| row.rank.is_some() || !row.tune));
        let twin = manifest.rows.iter().find(|row| row.case_id == "ct_99").unwrap();
        assert_eq!(twin.left_out.as_deref(), Some("a duplicate of ct_01"));
        let ranking = &manifest.info.ranking;
        assert_eq!((ranking.ranked, ranking.duplicates, ranking.beyond_keep, ranking.tune), (7, 1, 5, 3));
    }
}

#[test]
fn every_order_holds_every_training_case_once_and_repeats_its_bytes() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..12);
    curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    let orders =
        ["typical", "atypical", "random", "k-centre", "facility-location", "mmr", "community", "stratified"];
    for order in orders {
        let mut flags = vec!["--order", order, "--pacing", "polynomial", "--power", "2", "--threads", "1"];
        if order == "stratified" {
            flags.extend(["--stratify-by", "labels"]);
        }
        let manifest = ranked(out.path(), &flags);
        let ranks: Vec<Option<u32>> = manifest.training().iter().map(|row| row.rank).collect();
        let cases =
            manifest.rows.iter().filter(|row| row.split == pdl_cohort::attributes::Split::Train).count();
        assert_eq!(ranks, (1..=cases as u32).map(Some).collect::<Vec<_>>(), "{order}");
        assert!(
            manifest.rows.iter().all(|row| row.group.is_some()
                == (row.rank.is_some() && ["community", "stratified"].contains(&order)))
        );
        let bytes = |name: &str| std::fs::read(out.path().join(name)).unwrap();
        let before = [bytes("manifest.parquet"), bytes("manifest.json")];
        *flags.last_mut().unwrap() = if order == "stratified" { "labels" } else { "2" };
        ranked(out.path(), &flags);
        assert!(before == [bytes("manifest.parquet"), bytes("manifest.json")], "{order}");
    }
}

#[test]
fn choices_that_cannot_be_are_refused_in_words() {
    let out = crate::curated("mr");
    let held_out =
        Manifest::open(out).unwrap().rows.iter().find(|row| row.rank.is_none()).unwrap().case_id.clone();
    let out = out.to_str().unwrap();
    for (flags, word) in [
        (&["--order", "mmr", "--metric", "ssim,mse"][..], "expected one metric"),
        (&["--order", "stratified", "--stratify-by", "hospital"], "cases.parquet has no column hospital"),
        (&["--score", "reference", "--reference", &held_out], "expected a training case of the curriculum"),
        (&["--pacing", "step", "--full-at", "1.5"], "invalid full_at"),
    ] {
        let output = pdl_tests::run(&[&["rank", out], flags].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && told.contains(word), "{flags:?}: {told}");
    }
}

/// A manifest that pdl 0.1.0 wrote before cases could be left out.
#[test]
fn a_manifest_of_version_1_is_read() {
    let manifest = Manifest::open(&root().join("tests/manifests/version-1")).unwrap();
    assert_eq!(manifest.info.schema_version, 1);
    assert_eq!(manifest.training().len(), 18);
    assert_eq!(manifest.training()[0].case_id, "ct_02");
    assert_eq!(manifest.info.stages.len(), 5);
    assert_eq!(manifest.info.parameters.metric.to_string(), "ssim");
    assert!(manifest.rows.iter().all(|row| row.left_out.is_none()));
}
