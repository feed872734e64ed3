//! Training on subsets of the training cases, resumed from rows.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use pdl_curriculum::manifest::Manifest;
use pdl_fit::{SubsetRow, Subsets};

fn subsets(out: &Path, flags: &[&str]) -> Output {
    let tiny = ["--width", "4", "--depth", "2", "--patch", "16,16", "--batch", "4", "--steps", "15"];
    Command::new(env!("CARGO_BIN_EXE_pdl-fit"))
        .arg("subsets")
        .arg(out)
        .args(["--keep", "20,50", "--draws", "2", "--trust-files"])
        .args(tiny)
        .args(flags)
        .output()
        .unwrap()
}

#[test]
fn subsets_are_trained_once_and_summarised() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (cohort, text) = (pdl_tests::sample("mr"), out.to_str().unwrap());
    pdl_tests::run_ok(&["curate", cohort.to_str().unwrap(), "--out", text, "--metrics", "ssim,label-dice"]);
    let refused = subsets(&out, &["--schedule", "random"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("--schedule is not for subsets"), "{told}");

    let first = subsets(&out, &["--seeds", "1", "--json"]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let both = subsets(&out, &["--seeds", "2", "--json"]);
    let told = String::from_utf8_lossy(&both.stderr).into_owned();
    // Of all cases and of four orders and two draws at two percentages, with the second seed.
    assert!(told.contains(&format!("{} runs were trained now", 1 + 2 * (4 + 2))), "{told}");
    let found: Subsets = serde_json::from_slice(&both.stdout).unwrap();
    let rows: Vec<SubsetRow> =
        pdl_store::table::read_rows(&out.join("comparison/subsets.parquet"), 1).unwrap().0;
    assert_eq!((rows.len(), found.steps, found.left_out.len()), (2 * (1 + 2 * 6), 15, 0));
    let training = Manifest::open(&out).unwrap().training().len() as u64;
    assert_eq!(found.training_cases, training);
    for row in &rows {
        let cases = (u64::from(row.percent) * training).div_ceil(100);
        assert_eq!(row.cases, cases, "{} {}%", row.order, row.percent);
    }
    let orders: BTreeSet<&str> = found.orders.iter().map(|own| own.order.as_str()).collect();
    assert_eq!(orders, BTreeSet::from(["typical", "k-centre", "facility-location", "label-k-centre"]));
    assert_eq!(found.random[0].draws.len(), 2);
    assert!(found.verdict.contains("random draws"), "{}", found.verdict);

    // Draws differ, and the splits of the curation folder stay.
    let drawn = |draw: u64| -> BTreeSet<String> {
        let manifest = Manifest::open(&out.join(format!("comparison/subset-random-50-{draw}"))).unwrap();
        manifest.training().iter().map(|row| row.case_id.clone()).collect()
    };
    assert_ne!(drawn(1), drawn(2));

    let again = subsets(&out, &["--seeds", "2"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("0 runs were trained now"));
    let told = String::from_utf8(again.stdout).unwrap();
    assert!(told.contains(&found.verdict) && told.contains("facility-location"), "{told}");
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("\"label-k-centre\""), "the report has the plot");
}
