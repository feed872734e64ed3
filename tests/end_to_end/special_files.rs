//! FIFOs, sockets and devices are never opened, links that lead outside are told, circles end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pdl_cohort::attributes::Status;
use pdl_cohort::table::cases::Cases;
use pdl_tests::pdl;

use crate::{cohort_of, folder};

/// A run that hangs is ended after this time.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs the program, which must end by itself; returns its exit code and what it printed.
fn ended(words: &[&str]) -> (Option<i32>, String) {
    let place = folder();
    let [out, err] = ["out", "err"].map(|name| place.path().join(name));
    let file = |path: &PathBuf| Stdio::from(fs::File::create(path).unwrap());
    let mut run =
        pdl().args(words).stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err)).spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > LONGEST {
            run.kill().unwrap();
            panic!("pdl {words:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    (status.code(), [out, err].map(|path| fs::read_to_string(path).unwrap()).concat())
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_no_file_is_never_opened() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..6);
    let replace = |name: &str, by: &dyn Fn(&Path)| {
        let path = cohort.path().join(name);
        fs::remove_file(&path).unwrap();
        by(&path);
    };
    replace("images/ct_02.nii.gz", &make_fifo);
    replace("labels/ct_03.nii.gz", &make_fifo);
    replace("images/ct_04.nii.gz", &|path| symlink("/dev/zero", path).unwrap());
    let (code, told) = ended(&["index", text(cohort.path()), "--out", text(out.path())]);
    assert_eq!(code, Some(0), "{told}");
    let rejected: Vec<(String, String)> = Cases::read(out.path())
        .unwrap()
        .rows
        .into_iter()
        .filter(|row| row.status == Status::Rejected)
        .map(|row| (row.case_id, row.findings[0].message.clone()))
        .collect();
    let ids: Vec<&str> = rejected.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["ct_02", "ct_03", "ct_04"], "{told}");
    for ((_, message), what) in rejected.iter().zip(["a FIFO", "a FIFO", "a device"]) {
        assert!(message.contains(what) && message.contains("never opened"), "{message}");
    }
    // As a table, as a list, and as settings.
    for name in ["table.csv", "table.parquet", "list.json", "pdl.toml"] {
        make_fifo(&cohort.path().join(name));
    }
    let new = folder();
    for name in ["table.csv", "table.parquet", "list.json"] {
        let table = cohort.path().join(name);
        let (code, told) = ended(&["index", text(&table), "--out", text(new.path())]);
        assert!(code == Some(1) && told.contains("a FIFO"), "{name}: {told}");
        let (code, _) = ended(&["init", text(&table), "--out", text(&new.path().join("init"))]);
        assert_eq!(code, Some(1), "{name}");
    }
    let settings = cohort.path().join("pdl.toml");
    let (code, told) =
        ended(&["index", text(cohort.path()), "--out", text(new.path()), "--config", text(&settings)]);
    assert_eq!(code, Some(1), "{told}");
}

#[test]
fn what_is_no_file_in_a_curation_folder_is_never_opened() {
    let out = folder();
    let cohort = cohort_of(&out.path().join("cohort"), 0..8);
    let settings = "[audit]\nduplicate_ssim = 1.0\n"; // so few voxels make patients look like one
    fs::write(out.path().join("pdl.toml"), settings).unwrap();
    crate::curate(&cohort, out.path(), &["--proxy-size", "16", "--no-report"]);
    let out = out.path();
    for (file, words) in [
        ("proxies/00000.arrow", &["compare", text(out)][..]),
        ("proxies/00000.arrow", &["matrix", text(out)]),
        ("plan.json", &["prepare", text(out)]),
        ("pdl.toml", &["rank", text(out)]),
    ] {
        let kept = out.join("kept");
        fs::rename(out.join(file), &kept).unwrap();
        make_fifo(&out.join(file));
        let (code, told) = ended(words);
        assert!(code == Some(1) && told.contains("a FIFO, which is never opened"), "{words:?}: {told}");
        fs::rename(kept, out.join(file)).unwrap();
    }
}

#[test]
fn every_file_of_a_folder_of_volumes_is_accounted_for() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..4);
    let below = |name: &str| cohort.path().join(name);
    fs::copy(below("images/ct_01.nii.gz"), below("images/not-in-the-table.nii.gz")).unwrap();
    fs::write(below("images/._ct_01.nii.gz"), "").unwrap();
    fs::write(below("notes.txt"), "notes").unwrap();
    fs::write(below("images/ct_02.nii.gz"), "damaged").unwrap();
    make_fifo(&below("pipe"));
    // A header whose voxels lie beside it.
    let image = pdl_io::read_image(&below("images/ct_03.nii.gz")).unwrap().volume;
    let [nx, ny, nz] = image.grid.shape;
    let spacing = image.grid.spacing_mm();
    // MetaImage is LPS.
    let lps = |[x, y, z]: [f64; 3]| format!("{} {} {z}", -x, -y);
    let direction = |axis: usize| lps(image.grid.affine.step_mm(axis).map(|step| step / spacing[axis]));
    let header = format!(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n\
         TransformMatrix = {} {} {}\nOffset = {}\nDimSize = {nx} {ny} {nz}\nElementSpacing = {} {} {}\n\
         ElementType = MET_FLOAT\nElementDataFile = voxels.bin\n",
        direction(0),
        direction(1),
        direction(2),
        lps(image.grid.affine.origin_mm()),
        spacing[0],
        spacing[1],
        spacing[2],
    );
    fs::write(below("images/ct_03.mhd"), header).unwrap();
    let voxels: Vec<u8> = image.voxels.iter().flat_map(|voxel| voxel.to_le_bytes()).collect();
    fs::write(below("images/voxels.bin"), voxels).unwrap();
    fs::remove_file(below("images/ct_03.nii.gz")).unwrap();
    let table = fs::read_to_string(below("cohort.csv")).unwrap();
    fs::write(below("cohort.csv"), table.replace("images/ct_03.nii.gz", "images/ct_03.mhd")).unwrap();

    for run in 0..2 {
        let (code, told) = ended(&["index", text(cohort.path()), "--out", text(out.path())]);
        assert_eq!(code, Some(0), "{told}");
        let summary = pdl().args(["summary", text(out.path()), "--files", "--json"]).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&summary.stdout).unwrap();
        let skipped = serde_json::json!({
            "description": 1, "hidden": 1, "not-a-volume": 1, "not-in-cohort": 1, "special-file": 1,
        });
        let files = serde_json::json!({ "image": 4, "label": 3, "rejected": 2, "skipped": skipped });
        assert_eq!(json["files"], files, "run {run}");
    }
    let rows = pdl_cohort::table::sources::read(out.path()).unwrap();
    let listed: usize = rows.iter().map(|row| row.image.len() + row.label.len()).sum();
    assert_eq!(listed, pdl_dicom::files_below(cohort.path()).unwrap().len() + 1, "and the FIFO");
}

#[test]
fn a_tree_of_dicom_files_tells_links_and_what_is_no_file() {
    let (place, out, keys, other) = (folder(), folder(), folder(), folder());
    let tree = place.path().join("tree");
    let names = ["Heart".to_owned()];
    crate::tiny::write_dicom(&tree.join("a"), 1, &names, &|_, _| ());
    crate::tiny::write_dicom(&other.path().join("b"), 2, &names, &|_, _| ());
    symlink(other.path(), tree.join("link")).unwrap();
    symlink("..", tree.join("a/up")).unwrap();
    symlink("self", tree.join("self")).unwrap();
    make_fifo(&tree.join("a/pipe.dcm"));
    make_fifo(&tree.join("pipe"));
    let key = keys.path().join("key");
    let words = ["index", text(&tree), "--out", text(out.path()), "--pseudonym-key", text(&key)];
    let (code, told) = ended(&words);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("the cohort has FIFOs, sockets or devices, which were not opened: 2"), "{told}");
    assert!(told.contains("links that lead out of it, and were read: 1"), "{told}");
    assert_eq!(Cases::read(out.path()).unwrap().usable().count(), 2);
    let init = folder();
    assert_eq!(ended(&["init", text(&tree), "--out", text(init.path())]).0, Some(0));
}

#[test]
fn images_that_are_links_out_of_the_cohort_are_told() {
    let (place, out) = (folder(), folder());
    let (cohort, other) = (place.path().join("cohort"), place.path().join("other"));
    fs::create_dir_all(&other).unwrap();
    cohort_of(&cohort, 0..4);
    let moved = |name: &str| {
        let (path, target) = (cohort.join(name), other.join(name.replace('/', "-")));
        fs::rename(&path, &target).unwrap();
        symlink(target, path).unwrap();
    };
    moved("images/ct_01.nii.gz");
    moved("labels/ct_02.nii.gz");
    symlink("ct_03.nii.gz", cohort.join("images/inside.nii.gz")).unwrap();
    let (code, told) = ended(&["index", text(&cohort), "--out", text(out.path())]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("links that lead out of it, and were read: 2"), "{told}");
    assert_eq!(Cases::read(out.path()).unwrap().usable().count(), 4);
}
