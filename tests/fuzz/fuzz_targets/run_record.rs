//! A file of a run of pdl-fit, or of a comparison, that somebody else made: the first byte of an
//! input chooses which. Weights are read as checkpoints are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pdl_fit::{Protocol, read_checkpoint, read_history, read_run};
use pdl_fuzz::kinds::RUN;
use pdl_fuzz::{file, kind};

fuzz_target!(|data: &[u8]| {
    let Some((name, data)) = kind(&RUN, data) else { return };
    let path = file(&format!("{name}-run/{name}"), data);
    let Some(run) = path.parent() else { return };
    match name {
        "run.json" => drop(read_run(run)),
        "checkpoint.safetensors" => drop(read_checkpoint(run)),
        "history.parquet" => drop(read_history(run)),
        _ => drop(Protocol::read(Some(&path))),
    }
});
