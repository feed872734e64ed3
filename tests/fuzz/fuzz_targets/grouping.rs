//! DICOM files of any kind together: grouped into series, matched with labels, read as volumes.
#![no_main]

use std::collections::BTreeSet;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use pdl_fuzz::{OF_A_DATA_SET, bounded, parts, read};

fuzz_target!(|data: &[u8]| {
    let files = parts(data);
    bounded(data.len(), OF_A_DATA_SET, || {
        let (scan, _, bytes) = read(&files);
        let mut seen: BTreeSet<&PathBuf> = scan.series.iter().flat_map(|series| &series.files).collect();
        seen.extend(scan.skipped.iter().flat_map(|aside| &aside.files));
        seen.extend(scan.labels.iter().map(|label| &label.path));
        assert_eq!(seen.len(), files.len(), "a file is lost");
        let (labels, orphans) = scan.labels_of_series();
        assert_eq!(labels.len(), scan.series.len());
        assert!(orphans.len() <= scan.labels.len());
        bytes
    });
});
