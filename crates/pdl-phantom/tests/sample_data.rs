//! The bundled sample cohorts are what the generator makes, bit by bit.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use pdl_phantom::{PhantomModality, SAMPLE_CASES, SAMPLE_SEED, dicom, generate};
use pdl_volume::LabelMap;

fn sample_data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sample-data")
}

fn assert_regenerates(modality: PhantomModality) {
    let cohort = generate(modality, SAMPLE_SEED, SAMPLE_CASES).unwrap();
    let folder = sample_data().join(modality.folder());
    assert_eq!(fs::read_to_string(folder.join("cohort.csv")).unwrap(), cohort.table());
    assert_eq!(fs::read(folder.join("dataset.json")).unwrap(), cohort.dataset().unwrap());
    for case in &cohort.cases {
        let [image, label] = case.paths().map(|path| folder.join(path));
        let image = pdl_io::read_image(&image).unwrap();
        assert_eq!(image.voxel_type, "int16");
        assert_eq!(image.findings, []);
        assert!(image.volume == case.scan.image, "the image of {} differs", case.name);
        let labels = pdl_io::read_labels(&label).unwrap();
        assert!(labels.map == case.scan.labels, "the labels of {} differ", case.name);
    }
    if modality == PhantomModality::Ct {
        for case in dicom::dicom_cases(&cohort) {
            for (name, bytes) in dicom::files(case, SAMPLE_SEED).unwrap() {
                let path = sample_data().join("dicom").join(&case.name).join(name);
                assert!(fs::read(&path).unwrap() == bytes, "{} differs", path.display());
            }
        }
    }
}

#[test]
fn ct_regenerates() {
    assert_regenerates(PhantomModality::Ct);
}

#[test]
fn mr_regenerates() {
    assert_regenerates(PhantomModality::Mr);
}

/// Voxels of each label, and their mean x in RAS+ mm.
fn extents(map: &LabelMap) -> ([usize; 6], [f64; 6]) {
    let [nx, ny, _] = map.grid.shape;
    let mut voxels = [0_usize; 6];
    let mut x_mm = [0.0; 6];
    for (index, label) in map.voxels.iter().enumerate() {
        let place = [index % nx, index / nx % ny, index / (nx * ny)].map(|i| i as f64);
        voxels[usize::from(*label)] += 1;
        x_mm[usize::from(*label)] += map.grid.affine.apply(place)[0];
    }
    (voxels, std::array::from_fn(|label| x_mm[label] / voxels[label] as f64))
}

#[test]
fn left_is_left_and_every_organ_is_there() {
    // How far the heart lies to the right of the cord in the scans of each stored orientation, mm.
    let mut heart: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for modality in PhantomModality::ALL {
        let folder = sample_data().join(modality.folder()).join("labels");
        for number in 1..=SAMPLE_CASES {
            let path = folder.join(format!("{}_{number:02}.nii.gz", modality.folder()));
            let map = pdl_io::read_labels(&path).unwrap().map;
            let (voxels, x_mm) = extents(&map);
            assert!(voxels[1..].iter().all(|count| *count > 60), "{}: {voxels:?}", path.display());
            assert!(x_mm[1] < x_mm[4] && x_mm[4] < x_mm[2], "lungs and cord, {}", path.display());
            heart.entry(map.grid.orientation().to_string()).or_default().push(x_mm[3] - x_mm[4]);
        }
    }
    // Not case by case: a midline heart in a patient who lies turned may be level with the cord
    // behind it.
    for (orientation, offsets) in heart {
        let mean = offsets.iter().sum::<f64>() / offsets.len() as f64;
        assert!(mean < -5.0, "the heart leans to the left, {orientation}: {offsets:?}");
    }
}

#[test]
fn the_sample_is_small() {
    let mut folders = vec![sample_data()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                bytes += entry.metadata().unwrap().len();
            }
        }
    }
    assert!(bytes < 9 << 20, "{bytes} bytes");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_is_lost_is_an_error_and_a_closed_pipe_is_none() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let program = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_pdl-phantom"));
        program.args(["--cases", "1", "--out"]).arg(folder.path()).stderr(Stdio::null());
        program
    };
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(program().stdout(full).status().unwrap().code(), Some(7));
    let mut run = program().stdout(Stdio::piped()).spawn().unwrap();
    drop(run.stdout.take());
    assert_eq!(run.wait().unwrap().code(), Some(0));
}
