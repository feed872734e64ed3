//! Names of files that are no text, or as long as file systems allow; and tables as other programs
//! write them.

use std::fs;
use std::path::{Path, PathBuf};

use pdl_cohort::attributes::Status;
use pdl_cohort::table::cases::Cases;
use pdl_store::hash;
use pdl_tests::{files, root, run, run_ok, sample};

use crate::{curate, folder};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The tables that pyarrow wrote, by `tests/golden/scripts/tables.py`.
fn tables() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("tests/golden/data/tables")).unwrap();
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Copies of some volumes of the sample.
fn volumes(to: &Path, cases: usize) {
    for part in ["images", "labels"] {
        fs::create_dir_all(to.join(part)).unwrap();
        for number in 1..=cases {
            let name = format!("{part}/ct_0{number}.nii.gz");
            fs::copy(sample("ct").join(&name), to.join(&name)).unwrap();
        }
    }
}

#[test]
fn tables_of_every_compression_are_read_alike() {
    let cohort = folder();
    volumes(cohort.path(), 6);
    let mut read = Vec::new();
    assert_eq!(tables().len(), 14);
    for table in tables() {
        let own = cohort.path().join("cohort.parquet");
        fs::copy(&table, &own).unwrap();
        let out = folder();
        run_ok(&["index", text(&own), "--out", text(out.path())]);
        let cases = Cases::read(out.path()).unwrap();
        assert_eq!(cases.usable().count(), 6, "{}", table.display());
        let facts = |row: &pdl_cohort::table::case_row::CaseRow| {
            let image = Path::new(&row.image).file_name().unwrap().to_owned();
            (row.case_id.clone(), row.patient_id.clone(), image, row.image_blake3.clone(), row.split)
        };
        read.push(cases.rows.iter().map(facts).collect::<Vec<_>>());
    }
    assert!(read.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_table_that_expands_beyond_the_memory_is_refused() {
    let cohort = folder();
    volumes(cohort.path(), 1);
    for table in tables() {
        let whole = fs::read(&table).unwrap();
        let own = cohort.path().join("cohort.parquet");
        for at in (4..whole.len()).step_by(29) {
            let mut damaged = whole.clone();
            let end = (at + 4).min(whole.len());
            damaged[at..end].copy_from_slice(&[0xff, 0xff, 0xff, 0x07][..end - at]);
            fs::write(&own, damaged).unwrap();
            let limit = pdl_store::memory::MemoryLimit::new(64 << 20);
            // no panic, and no abort
            let _ = pdl_store::table::read_text(&own, "patient", &limit.alone());
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_text_is_refused_by_name_and_the_cohort_goes_on() {
    use std::os::unix::ffi::OsStrExt;
    let odd = |bytes: &[u8]| std::ffi::OsStr::from_bytes(bytes).to_owned();
    let parent = folder();
    let cohort = parent.path().join("cohort");
    volumes(&cohort, 4);
    for part in ["images", "labels"] {
        let from = cohort.join(part).join("ct_04.nii.gz");
        fs::rename(from, cohort.join(part).join(odd(b"ct_\xff\xfe.nii.gz"))).unwrap();
    }
    let out = parent.path().join("out");
    curate(&cohort, &out, &["--proxy-size", "16"]);
    let cases = Cases::read(&out).unwrap();
    let refused: Vec<_> = cases.rows.iter().filter(|row| row.status == Status::Rejected).collect();
    assert_eq!((refused.len(), cases.usable().count()), (1, 3));
    assert_eq!(refused[0].findings[0].code.to_string(), "name-not-text");

    // Where its own volumes are kept, a case has a name of its own.
    let kept = parent.path().join("kept");
    run_ok(&["index", text(&cohort), "--out", text(&kept), "--resample-labels"]);
    assert_eq!(Cases::read(&kept).unwrap().usable().count(), 4);

    // A folder above both is not in the table.
    let deep = parent.path().join(odd(b"deep-\xff"));
    fs::create_dir(&deep).unwrap();
    volumes(&deep.join("cohort"), 3);
    let output = pdl_tests::pdl()
        .arg("curate")
        .arg(deep.join("cohort"))
        .arg("--out")
        .arg(deep.join("out"))
        .args(["--proxy-size", "16"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(Cases::read(&deep.join("out")).unwrap().usable().count(), 3);

    // One above the cohort alone is: every case is refused, with the reason.
    let out = parent.path().join("beside");
    let mut command = pdl_tests::pdl();
    command.arg("index").arg(deep.join("cohort")).arg("--out").arg(&out);
    assert!(command.output().unwrap().status.success());
    let cases = Cases::read(&out).unwrap();
    assert!(cases.rows.iter().all(|row| row.findings[0].code.to_string() == "name-not-text"));
}

#[test]
fn the_longest_names_work_to_the_end() {
    let parent = folder();
    let cohort = parent.path().join("cohort");
    volumes(&cohort, 8);
    let long = format!("{}.nii.gz", "n".repeat(248));
    for part in ["images", "labels"] {
        fs::rename(cohort.join(part).join("ct_03.nii.gz"), cohort.join(part).join(&long)).unwrap();
    }
    let out = parent.path().join("out");
    curate(&cohort, &out, &[]);
    let cases = Cases::read(&out).unwrap();
    let row = cases.usable().find(|row| row.case_id.starts_with("nnn")).unwrap();
    assert!(row.case_id.len() <= 180);
    assert_eq!(hash::of_file(&out.join(&row.image)).unwrap(), row.image_blake3);
    run_ok(&["view", text(&out), &row.case_id]);
    for to in ["monai", "nnunet", "webdataset", "csv"] {
        let dest = parent.path().join(to);
        run_ok(&["export", text(&out), "--to", to, "--dest", text(&dest)]);
        if to == "nnunet" {
            run_ok(&["export", text(&out), "--to", to, "--dest", text(&dest), "--by", "copy"]);
            assert!(files(&dest).len() > 8);
        }
    }
    let image = parent.path().join(format!("{}.npy", "m".repeat(251)));
    run_ok(&["matrix", text(&out), "--to", text(&image)]);
    assert!(image.is_file());
    let output = run(&["matrix", text(&out), "--to", text(&parent.path().join("m".repeat(256)))]);
    assert_eq!(output.status.code(), Some(1));
}
