//! A file of a curation folder that somebody else made: the first byte of an input chooses which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pdl_cohort::cases::Cases;
use pdl_curriculum::manifest::Manifest;
use pdl_curriculum::validate::{ValidateParameters, validate};
use pdl_fuzz::file;
use pdl_prepare::prepare;
use pdl_prepare::proxies::Proxies;
use pdl_report::run_history;
use pdl_store::progress::Silent;

const NAMES: [&str; 10] = [
    "cases.parquet",
    "prepared.parquet",
    "manifest.parquet",
    "manifest.json",
    "manifest.jsonl",
    "plan.json",
    "failures.json",
    "proxies/00000.arrow",
    "runs/a/run.json",
    "runs/a/history.parquet",
];

fuzz_target!(|data: &[u8]| {
    let Some((name, data)) = data.split_first() else { return };
    let name = NAMES[usize::from(*name) % NAMES.len()];
    let folder = format!("{}/", name.replace('/', "-"));
    let path = file(&format!("{folder}{name}"), data);
    let Some(out) = path.ancestors().nth(name.split('/').count()) else { return };
    match name {
        "cases.parquet" => drop(Cases::read(out)),
        "prepared.parquet" => drop(prepare::read(out)),
        "plan.json" => drop(prepare::read_plan(out)),
        "failures.json" => drop(prepare::read_failures(out)),
        "proxies/00000.arrow" => {
            let Ok(proxies) = Proxies::open(out) else { return };
            let _ = proxies.are_intensities(0..proxies.len());
            for row in 0..proxies.len() {
                let _ = (proxies.labels(row).map(|labels| labels.annotated.len()), proxies.places(row));
            }
        }
        name if name.starts_with("runs/") => {
            // Both files are needed; the other is an earlier input's, or missing.
            let _ = run_history::runs(out);
        }
        _ => {
            let _ = Manifest::open(out);
            let _ = validate(out, ValidateParameters { manifest_only: true, ..Default::default() }, &Silent);
        }
    }
});
