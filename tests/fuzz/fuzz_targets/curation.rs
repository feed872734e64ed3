//! A file of a curation folder that somebody else made: the first byte of an input chooses which.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pdl_cohort::table::cases::Cases;
use pdl_cohort::table::sources;
use pdl_curriculum::audit;
use pdl_curriculum::manifest::Manifest;
use pdl_curriculum::validate::{ValidateParameters, validate};
use pdl_fuzz::kinds::CURATION;
use pdl_fuzz::{file, kind};
use pdl_prepare::fingerprint::Fingerprint;
use pdl_prepare::proxies::Proxies;
use pdl_prepare::{failure, plan, prepared_row};
use pdl_report::run_history;
use pdl_store::journal::{HashCheck, Journal};
use pdl_store::progress::Silent;
use pdl_store::{json, table};

/// A record without which the history of a run is not read.
const RECORD: &[u8] = br#"{"settings": {"schedule": "curriculum", "seed": 1}, "labels": [{"name": "heart"}],
 "results": {"dice": [0.5], "dice_mean": 0.5, "training_seconds": 1.0}}"#;

fuzz_target!(|data: &[u8]| {
    let Some((name, data)) = kind(&CURATION, data) else { return };
    let folder = format!("{}/", name.replace('/', "-"));
    let path = file(&format!("{folder}{name}"), data);
    let Some(out) = path.ancestors().nth(name.split('/').count()) else { return };
    match name {
        "cases.parquet" => drop(Cases::read(out)),
        "sources.parquet" => drop(sources::read(out)),
        "prepared.parquet" => drop(prepared_row::read(out)),
        "fingerprint.json" => drop(json::read::<Fingerprint>(&path)),
        "plan.json" => drop(plan::read(out)),
        "failures.json" => drop(failure::read(out)),
        "audit.json" => drop(audit::read(out)),
        "proxies/00000.arrow" => proxies(out),
        name if name.starts_with("pairs/") => pairs(&path),
        name if name.starts_with("runs/") => {
            if name.ends_with("history.parquet") {
                file(&format!("{folder}runs/a/run.json"), RECORD);
            }
            let _ = run_history::runs(out);
        }
        name if name.starts_with(".pdl/") => {
            let Ok(journal) = Journal::<serde_json::Value>::open(out, "index", HashCheck::Content) else {
                return;
            };
            let _ = journal.find("case", "key");
        }
        _ => {
            let _ = Manifest::open(out);
            let _ = validate(out, ValidateParameters { manifest_only: true, ..Default::default() }, &Silent);
        }
    }
});

fn proxies(out: &Path) {
    let Ok(proxies) = Proxies::open(out) else { return };
    let _ = proxies.are_intensities(0..proxies.len());
    for row in 0..proxies.len() {
        let _ = (proxies.labels(row).map(|labels| labels.annotated.len()), proxies.places(row));
    }
}

/// What is read of a part file of pairs; whether they are those of the proxies is decided by keys.
fn pairs(path: &Path) {
    let _ = (table::read_metadata(path, 1), table::read_facts(path, 1), table::column_names(path));
    let Ok(batches) = table::read_batches(path, &["a", "b", "ssim"]) else { return };
    let _ = batches.map_while(Result::ok).map(|batch| batch.num_rows()).sum::<usize>();
}
