//! Grouping of the frames of a series: an input is a set of headers, ten bytes a slice.
#![no_main]

use std::collections::BTreeSet;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use pdl_dicom::{ReadOptions, Scan, read_series, scan};
use pdl_fuzz::{file, headers};

/// Most slices of a set.
const MOST: usize = 24;

/// The files of every volume, and those that are set aside.
fn grouping(scan: &Scan) -> (BTreeSet<Vec<PathBuf>>, BTreeSet<Vec<PathBuf>>) {
    let volumes = scan.series.iter().map(|series| series.files.clone()).collect();
    (volumes, scan.skipped.iter().map(|aside| aside.files.clone()).collect())
}

fuzz_target!(|data: &[u8]| {
    let slices = data.chunks_exact(headers::BYTES).take(MOST);
    let mut files: Vec<PathBuf> = slices
        .enumerate()
        .map(|(number, slice)| file(&format!("{number:02}.dcm"), &headers::slice(number, slice)))
        .collect();
    let first = scan(&files, &|| ()).expect("files that can be read");
    let mut seen: Vec<&PathBuf> = first.series.iter().flat_map(|series| &series.files).collect();
    seen.extend(first.skipped.iter().flat_map(|aside| &aside.files));
    seen.sort();
    assert_eq!(seen, files.iter().collect::<Vec<_>>(), "a file is lost or in two volumes");
    assert!(first.skipped.iter().all(|aside| !aside.cause.words().is_empty()));
    for series in &first.series {
        let _ = read_series(series, ReadOptions::default());
    }
    let turned = data.first().map_or(0, |byte| usize::from(*byte) % files.len().max(1));
    files.reverse();
    files.rotate_left(turned);
    let second = scan(&files, &|| ()).expect("files that can be read");
    assert_eq!(grouping(&first), grouping(&second), "the order of files counts");
});
