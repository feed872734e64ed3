//! Datasets of MONAI and nnU-Net, imported as cohorts: the first byte of an input chooses which
//! file it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pdl_exchange::import::{ImportOptions, import};
use pdl_fuzz::kinds::DATASETS;
use pdl_fuzz::{file, kind};

/// A description, without which no folds are read, of the cases that they name.
const DESCRIPTION: &[u8] =
    br#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "numTraining": 1,
 "file_ending": ".nii.gz", "dataset": {"case": {"images": ["a.nii.gz"], "label": "b.nii.gz"}}}"#;

fuzz_target!(|data: &[u8]| {
    let Some((name, data)) = kind(&DATASETS, data) else { return };
    if name.ends_with("splits_final.json") {
        file("folds/dataset.json", DESCRIPTION);
    }
    let name = name.replace("nnunet/splits", "folds/splits");
    let path = file(&name, data);
    let Some((folder, root)) = path.parent().and_then(|folder| Some((folder, folder.parent()?))) else {
        return;
    };
    let source = if name.starts_with("monai/") { &path } else { folder };
    for channel in [None, Some("0".to_owned())] {
        let _ = import(source, &root.join("imported"), &ImportOptions { channel, fold: Some(0) });
    }
});
