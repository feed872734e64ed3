//! What holds for every series: no file is lost or in two volumes, the order of files does not
//! count, and a split is told.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use pdl_dicom::{Scan, files_below, scan};

use crate::slice_files::{Slice, slice, written};

/// A series of random structure: positions, phases, and attributes that follow one, both or none of
/// them; with slices missing, doubled and repeated.
fn random_series(seed: u64) -> Vec<Slice> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = move |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    let (positions, phases) = (1 + below(7), 1 + below(3));
    let shift = [0.0, 0.0, 0.02, 0.4, 1.5][below(5)];
    let attributes = [
        (tags::ACQUISITION_NUMBER, VR::IS),
        (tags::TRIGGER_TIME, VR::DS),
        (tags::ACQUISITION_TIME, VR::TM),
        (tags::ECHO_TIME, VR::DS),
        (tags::TEMPORAL_POSITION_IDENTIFIER, VR::IS),
        (tags::INSTANCE_NUMBER, VR::IS),
        (tags::SERIES_INSTANCE_UID, VR::UI),
        (tags::SLICE_THICKNESS, VR::DS),
    ];
    let rules: Vec<usize> = attributes.iter().map(|_| below(7)).collect();
    let mut slices = Vec::new();
    for phase in 0..phases {
        for position in 0..positions {
            let number = phase * positions + position;
            let height = 3.0 * position as f64 + shift * phase as f64;
            let mut slice = slice(number + 1, height, (10 * position + 100 * (phase % 2)) as u16).mr();
            for ((tag, vr), rule) in attributes.iter().zip(&rules) {
                let value = match rule {
                    0 => phase,
                    1 => position,
                    2 => number,
                    3 => position * phases + phase,
                    4 => below(3),
                    _ => continue,
                };
                let value = if *tag == tags::SERIES_INSTANCE_UID {
                    format!("1.2.{value}")
                } else {
                    value.to_string()
                };
                slice = slice.with(*tag, *vr, value);
            }
            slices.push(slice);
        }
    }
    for extra in 0..below(3) {
        let double = slices[below(slices.len())].clone();
        slices.push(double.with(tags::SOP_INSTANCE_UID, VR::UI, format!("1.2.4.{extra}")));
    }
    if below(2) == 0 {
        let other = below(slices.len());
        slices[other].first_pixel += 7;
    }
    if below(3) == 0 {
        slices.remove(below(slices.len()));
    }
    slices
}

/// The files of every volume, and those that are set aside.
fn grouping(scan: &Scan) -> (BTreeSet<Vec<PathBuf>>, BTreeSet<Vec<PathBuf>>) {
    let volumes = scan.series.iter().map(|series| series.files.clone()).collect();
    (volumes, scan.skipped.iter().map(|aside| aside.files.clone()).collect())
}

#[test]
fn every_file_is_in_one_volume_or_skipped_whatever_the_order() {
    for seed in 0..60 {
        let slices = random_series(seed);
        let folder = written(&slices);
        let mut files = files_below(folder.path()).unwrap();
        let first = scan(&files, &|| ()).unwrap();
        let mut seen: Vec<&PathBuf> = first.series.iter().flat_map(|series| &series.files).collect();
        seen.extend(first.skipped.iter().flat_map(|aside| &aside.files));
        seen.sort();
        assert_eq!(seen, files.iter().collect::<Vec<_>>(), "series {seed}: a file is lost or in two volumes");
        files.reverse();
        files.rotate_left(seed as usize % slices.len().max(1));
        let second = scan(&files, &|| ()).unwrap();
        assert_eq!(grouping(&first), grouping(&second), "series {seed}: the order of files counts");
        for series in &first.series {
            let others = first.series.iter().filter(|other| other.series_uid == series.series_uid);
            let is_told = series.findings.iter().any(|finding| finding.code.as_str() == "split-series");
            assert!(others.count() == 1 || is_told, "series {seed}: a split is not told");
        }
    }
}
