//! Files that tell whose a pseudonym is are the user's alone, and lie apart from what is given
//! away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pdl_cohort::table::cases::Cases;
use pdl_cohort::table::sources;
use pdl_tests::{pdl, run, run_ok};

use crate::folder;
use crate::tiny::{put, write_dicom};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn write_cohort(tree: &Path) {
    write_dicom(tree, 1, &["Heart".to_owned()], &|_, object| {
        put(object, dicom_dictionary_std::tags::PATIENT_ID, dicom_core::VR::LO, "MRN-1");
    });
}

#[test]
fn a_key_that_others_can_read_and_files_inside_out_are_refused() {
    let place = folder();
    let (tree, out, key) = (place.path().join("tree"), place.path().join("out"), place.path().join("key"));
    write_cohort(&tree);
    let words = ["index", tree.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let with = |flags: &[&str]| {
        let output = run(&[&words[..], flags].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let key_text = key.to_str().unwrap();
    assert_eq!(with(&["--pseudonym-key", key_text]).0, Some(0));
    assert_eq!(mode(&key), 0o600);
    for wider in [0o644, 0o660, 0o604] {
        set_mode(&key, wider);
        let (code, told) = with(&["--pseudonym-key", key_text]);
        assert_eq!(code, Some(1));
        assert!(told.contains(&format!("mode {wider:04o}")) && told.contains("chmod 600"), "{told}");
    }
    set_mode(&key, 0o600);
    let inside = out.join("keys/key");
    let (code, told) = with(&["--pseudonym-key", inside.to_str().unwrap()]);
    assert!(code == Some(1) && told.contains("inside the curation folder"), "{told}");
    let mapping = out.join("mapping.csv");
    let (code, told) = with(&["--pseudonym-key", key_text, "--mapping", mapping.to_str().unwrap()]);
    assert!(code == Some(1) && told.contains("inside the curation folder"), "{told}");
    assert!(!inside.exists() && !mapping.exists());
}

#[test]
fn sources_that_others_can_read_are_narrowed() {
    let place = folder();
    let (tree, out, key) = (place.path().join("tree"), place.path().join("out"), place.path().join("key"));
    write_cohort(&tree);
    let words = ["index", tree.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let words = [&words[..], &["--pseudonym-key", key.to_str().unwrap()]].concat();
    run_ok(&words);
    let sources = out.join(sources::FILE);
    let before = fs::read(&sources).unwrap();
    for wider in [0o644, 0o666, 0o640] {
        set_mode(&sources, wider);
        run_ok(&words);
        assert_eq!((mode(&sources), fs::read(&sources).unwrap() == before), (0o600, true));
    }
}

#[test]
fn first_runs_at_once_give_a_patient_one_pseudonym() {
    let place = folder();
    let (tree, key) = (place.path().join("tree"), place.path().join("new/key"));
    write_cohort(&tree);
    let runs: Vec<_> = (0..6)
        .map(|run| {
            let out = place.path().join(format!("out{run}"));
            let mut command = pdl();
            command.args(["index", tree.to_str().unwrap(), "--out", out.to_str().unwrap()]);
            command.args(["--threads", "1", "--pseudonym-key", key.to_str().unwrap()]);
            (
                command
                    .stderr(std::process::Stdio::null())
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .unwrap(),
                out,
            )
        })
        .collect();
    let mut patients: Vec<String> = Vec::new();
    for (mut run, out) in runs {
        assert!(run.wait().unwrap().success());
        patients.push(Cases::read(&out).unwrap().rows[0].patient_id.clone());
    }
    patients.dedup();
    assert_eq!(patients.len(), 1);
}
