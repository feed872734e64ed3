//! DICOM files of any kind together: grouped into series, matched with labels, read as volumes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pdl_fuzz::{OF_A_DATA_SET, bounded, parts, read};

fuzz_target!(|data: &[u8]| {
    let files = parts(data);
    bounded(data.len(), OF_A_DATA_SET, || {
        let (scan, _, bytes) = read(&files);
        let (labels, orphans) = scan.labels_of_series();
        assert_eq!(labels.len(), scan.series.len());
        assert!(orphans.len() <= scan.labels.len());
        bytes
    });
});
