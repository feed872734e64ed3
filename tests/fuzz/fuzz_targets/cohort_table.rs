//! A cohort's table or datalist: the first byte of an input chooses the kind, the rest is the file.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use pdl_cohort::discover;
use pdl_cohort::split::same_patient::SamePatient;
use pdl_fuzz::kinds::TABLES;
use pdl_fuzz::{file, kind};
use pdl_store::memory::MemoryLimit;
use pdl_store::table;

/// Far above what short inputs hold, and below the fuzzer's own limit.
const MEMORY: u64 = 256 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((name, data)) = kind(&TABLES, data) else { return };
    let path = file(name, data);
    if name.ends_with("same.csv") {
        let _ = SamePatient::read(&path);
        return;
    }
    let limit = MemoryLimit::new(MEMORY);
    for carry in [BTreeSet::new(), BTreeSet::from(["site".to_owned()])] {
        let _ = discover::find_within(&path, &carry, &limit.alone());
    }
    if name.ends_with(".parquet") {
        let _ = table::read_text(&path, "patient", &limit.alone());
    }
});
