//! What joins two splits is found, said with exit code 3, and mended where the cohort leaves the
//! split to pdl.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pdl_cohort::table::cases::Cases;
use pdl_curriculum::audit::{Audit, Reason};
use pdl_curriculum::label_audit::{LabelDecision, LabelReason, REVIEW_FILE};
use pdl_io::nifti;
use pdl_tests::{real, run};

use crate::{cohort_of, folder};

fn audit_of(out: &Path) -> Audit {
    pdl_store::json::read(&out.join("audit.json")).unwrap()
}

/// Exit code of `pdl curate`, and all that it says.
fn curated_with_code(cohort: &Path, out: &Path, flags: &[&str]) -> (i32, String) {
    let mut words = vec!["curate", cohort.to_str().unwrap(), "--out", out.to_str().unwrap()];
    words.extend(flags);
    let output = run(&words);
    let told = [output.stderr, output.stdout].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&told).into_owned())
}

/// A copy of an image with noise of this share of its range added, the same every time.
fn noisy_copy(image: &Path, to: &Path, share: f32) {
    let mut volume = pdl_io::read_image(image).unwrap().volume;
    let (low, high) = volume.voxels.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let mut state = 1_u64;
    for voxel in &mut volume.voxels {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *voxel += ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 2.0 * share * (high - low);
    }
    nifti::write_image(to, &volume).unwrap();
}

#[test]
fn a_copy_under_a_new_name_ends_in_the_split_of_its_original() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..20);
    let table = cohort.path().join("cohort.csv");
    let mut text = std::fs::read_to_string(&table).unwrap();
    for case in 1..=10 {
        let image = |name: &str| cohort.path().join(format!("images/{name}.nii.gz"));
        let (original, copy) = (format!("ct_{case:02}"), format!("copy_{case:02}"));
        if case % 2 == 0 {
            std::fs::copy(image(&original), image(&copy)).unwrap();
        } else {
            noisy_copy(&image(&original), &image(&copy), 0.01);
        }
        text += &format!("images/{copy}.nii.gz,labels/{original}.nii.gz,stranger_{case:02},CT\n");
    }
    let columns = text.lines().next().unwrap().to_owned();
    assert!(columns.starts_with("image,label,patient,modality"), "{columns}");
    std::fs::write(&table, &text).unwrap();

    let (code, told) = curated_with_code(cohort.path(), out.path(), &[]);
    assert!(code == 0 && told.contains("they are merged"), "{code}: {told}");
    assert!(told.contains("stranger_02") && told.contains("copy_02 and ct_02 are the same file"), "{told}");
    let cases = Cases::read(out.path()).unwrap();
    let by_id: BTreeMap<&str, _> = cases.rows.iter().map(|row| (row.case_id.as_str(), row)).collect();
    for case in 1..=10 {
        let (original, copy) =
            (by_id[format!("ct_{case:02}").as_str()], by_id[format!("copy_{case:02}").as_str()]);
        assert_eq!((&original.patient_id, original.split), (&copy.patient_id, copy.split), "{case}");
        assert!(copy.findings.iter().any(|finding| finding.code.as_str() == "same-patient"));
    }
    assert_eq!(audit_of(out.path()).leaks, 0);

    let before = pdl_tests::files(out.path());
    let (code, _) = curated_with_code(cohort.path(), out.path(), &[]);
    assert_eq!(code, 0, "what was joined stays joined");
    assert!(before == pdl_tests::files(out.path()));

    // The list says what was joined and why, and takes a no for an answer.
    let list = out.path().join("same-patient.csv");
    let text = std::fs::read_to_string(&list).unwrap();
    assert_eq!(text.lines().count(), 11, "{text}");
    assert!(text.lines().skip(1).all(|line| line.contains(",yes,\"taken as one, in ")), "{text}");
    let refused: Vec<String> =
        text.lines()
            .map(|line| {
                if line.starts_with("stranger_01,") { line.replace(",yes,", ",no,") } else { line.to_owned() }
            })
            .collect();
    assert_ne!(refused.join("\n"), text.trim_end());
    let own = out.path().join("decided.csv");
    std::fs::write(&own, refused.join("\n")).unwrap();
    for flags in [&["--same-patient", own.to_str().unwrap()][..], &[]] {
        let (code, told) = curated_with_code(cohort.path(), out.path(), flags);
        assert_eq!(code, 0, "{told}");
        assert!(!told.contains("they are merged"), "a no holds in later runs: {told}");
        let cases = Cases::read(out.path()).unwrap();
        let row = |case: &str| cases.rows.iter().find(|row| row.case_id == case).unwrap();
        assert_ne!(row("ct_01").patient_id, row("copy_01").patient_id);
        assert_eq!(row("ct_01").split, row("copy_01").split, "and moves nobody");
        assert_eq!(row("ct_02").patient_id, row("copy_02").patient_id);
        let text = std::fs::read_to_string(&list).unwrap();
        assert_eq!(text.lines().filter(|line| line.ends_with(",no,kept apart")).count(), 1, "{text}");
    }
}

/// A copy of an image under the same affine, its voxels flipped along some of its stored axes and
/// moved by some mm along the first; what comes in at the border is the border's voxel.
fn moved_copy(image: &Path, to: &Path, flips: [bool; 3], shift_mm: f64) {
    let mut volume = pdl_io::read_image(image).unwrap().volume;
    let [nx, ny, nz] = volume.grid.shape;
    let old = volume.voxels.clone();
    let shift = shift_mm / volume.grid.spacing_mm()[0];
    let from = |place: usize, n: usize, flipped: bool| if flipped { n - 1 - place } else { place };
    for (place, voxel) in volume.voxels.iter_mut().enumerate() {
        let (x, y, z) = (place % nx, place / nx % ny, place / (nx * ny));
        let line = (from(z, nz, flips[2]) * ny + from(y, ny, flips[1])) * nx;
        let at = (from(x, nx, flips[0]) as f64 - shift).clamp(0.0, (nx - 1) as f64);
        let (near, share) = (at as usize, (at - at.floor()) as f32);
        *voxel = old[line + near] * (1.0 - share) + old[line + (near + 1).min(nx - 1)] * share;
    }
    nifti::write_image(to, &volume).unwrap();
}

#[test]
fn flipped_and_shifted_copies_are_found_when_asked_for() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..20);
    let table = cohort.path().join("cohort.csv");
    let mut text = std::fs::read_to_string(&table).unwrap();
    // Flipped axes, and mm along the first.
    let motions = [("x", 0.0), ("y", 0.0), ("z", 0.0), ("xyz", 0.0), ("", 1.0), ("xz", 1.0)];
    let planted: Vec<(String, String)> =
        (1..=8).map(|case| (format!("ct_{case:02}"), format!("copy_{case:02}"))).collect();
    for (number, (original, copy)) in planted.iter().enumerate() {
        let [from, to] = [original, copy].map(|name| cohort.path().join(format!("images/{name}.nii.gz")));
        match motions.get(number) {
            Some((axes, mm)) => moved_copy(&from, &to, ["x", "y", "z"].map(|axis| axes.contains(axis)), *mm),
            None if number % 2 == 0 => noisy_copy(&from, &to, 0.01),
            None => std::fs::copy(&from, &to).map(drop).unwrap(),
        }
        text += &format!("images/{copy}.nii.gz,labels/{original}.nii.gz,stranger_{number:02},CT\n");
    }
    std::fs::write(&table, &text).unwrap();

    let pairs_of = |audit: &Audit| -> Vec<(String, String)> {
        audit.links.iter().map(|link| (link.case_b.clone(), link.case_a.clone())).collect()
    };
    let out_text = out.path().to_str().unwrap();
    pdl_tests::run_ok(&["index", cohort.path().to_str().unwrap(), "--out", out_text]);
    pdl_tests::run_ok(&["prepare", out_text]);
    pdl_tests::run_ok(&["compare", out_text]);
    run(&["audit", out_text]);
    let found = pairs_of(&audit_of(out.path()));
    assert!(planted[motions.len()..].iter().all(|pair| found.contains(pair)), "{found:?}");
    assert!(
        !found.contains(&planted[2]) && !found.contains(&planted[3]),
        "what is flipped looks like another image"
    );

    run(&["audit", out_text, "--invariant"]);
    let audit = audit_of(out.path());
    let mut found = pairs_of(&audit);
    found.sort();
    let mut expected = planted.clone();
    expected.sort();
    assert_eq!(found, expected, "all of them, and nothing else");
    for (number, (axes, mm)) in motions.iter().enumerate() {
        let link = audit.links.iter().find(|link| link.case_b == planted[number].0).unwrap();
        let moved = link.moved.as_ref().unwrap();
        // Some of the files store their axes in another order than x, y, z.
        assert_eq!(moved.flipped.len(), axes.len(), "{moved:?}");
        let shift_mm = moved.shift_mm.iter().map(|mm| mm * mm).sum::<f64>().sqrt();
        assert!((shift_mm - mm).abs() < 0.2, "{moved:?}");
    }
    let list = std::fs::read_to_string(out.path().join("same-patient.csv")).unwrap();
    assert_eq!(list.lines().count(), 1 + planted.len());
    assert!(list.lines().any(|line| line.contains("moved-image") && line.contains(",xyz,")), "{list}");

    let told = pdl_tests::run_ok(&["duplicates", out_text, "--invariant", "--threshold", "0.97"]);
    assert!(told.contains("copy_04 ct_04 1.000000: flipped along xyz"), "{told}");
    assert_ne!(run(&["duplicates", out_text, "--invariant", "--metric", "mse"]).status.code(), Some(0));

    let (code, told) = curated_with_code(cohort.path(), out.path(), &["--invariant"]);
    assert_eq!(code, 0, "{told}");
    let cases = Cases::read(out.path()).unwrap();
    let row = |case: &str| cases.rows.iter().find(|row| row.case_id == case).unwrap();
    for (original, copy) in &planted {
        assert_eq!(row(original).patient_id, row(copy).patient_id);
        assert_eq!(row(original).split, row(copy).split);
    }
    let one_thread = std::fs::read(out.path().join("audit.json")).unwrap();
    run(&["audit", out_text, "--invariant", "--threads", "1"]);
    assert!(one_thread == std::fs::read(out.path().join("audit.json")).unwrap());
}

#[test]
fn a_leak_of_the_users_own_split_is_told_and_left_alone() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..12);
    std::fs::copy(cohort.path().join("images/ct_02.nii.gz"), cohort.path().join("images/again.nii.gz"))
        .unwrap();
    let table = cohort.path().join("cohort.csv");
    let mut text = "image,label,patient,split\n".to_owned();
    for case in 1..=12 {
        text += &format!("images/ct_{case:02}.nii.gz,labels/ct_{case:02}.nii.gz,p{case},");
        text += ["train", "val", "train", "train"][case % 4];
        text += "\n";
    }
    text += "images/again.nii.gz,labels/ct_02.nii.gz,p13,test\n";
    std::fs::write(&table, text).unwrap();
    let (code, told) = curated_with_code(cohort.path(), out.path(), &[]);
    assert_eq!(code, 3, "{told}");
    assert!(
        told.contains("p13 is in test and p2 in train by the cohort's table")
            && told.contains("correct its column split")
            && told.contains("again (test) and ct_02 (train) are the same file"),
        "{told}"
    );
    assert!(!told.contains("just fit") && told.contains("Next: resolve the leaks"), "{told}");
    let audit = audit_of(out.path());
    assert_eq!((audit.leaks, audit.links[0].reason), (1, Reason::SameFile));
    let list = std::fs::read_to_string(out.path().join("same-patient.csv")).unwrap();
    assert!(list.lines().nth(1).unwrap().starts_with("p13,p2,again,ct_02,test,train,same-file,"), "{list}");
    assert_eq!(run(&["audit", out.path().to_str().unwrap()]).status.code(), Some(3));
    assert_eq!(run(&["rank", out.path().to_str().unwrap()]).status.code(), Some(3));
    // Nobody can say of one image that it is of two patients.
    let own = out.path().join("decided.csv");
    std::fs::write(&own, "patient_a,patient_b,same\np2,p13,no\n").unwrap();
    let (code, told) =
        curated_with_code(cohort.path(), out.path(), &["--same-patient", own.to_str().unwrap()]);
    assert!(
        code == 3 && told.contains("you keep their patients apart: exclude one of the two cases"),
        "{told}"
    );
}

#[test]
fn what_moves_with_a_joined_patient_is_told_and_so_is_a_split_that_is_missing() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..2);
    let table = cohort.path().join("cohort.csv");
    let text = "image,label,patient,split\nimages/ct_01.nii.gz,labels/ct_01.nii.gz,a,test\n\
                images/ct_02.nii.gz,labels/ct_02.nii.gz,b,\n";
    std::fs::write(&table, text).unwrap();
    let (code, told) = curated_with_code(cohort.path(), out.path(), &["--proxy-size", "16"]);
    assert!(code == 0 && told.contains("Next: there is no validation case"), "{told}");
    assert!(!told.contains("just fit") && told.contains("only 2 patients can be used"), "{told}");
    let own = out.path().join("decided.csv");
    std::fs::write(&own, "patient_a,patient_b\na,b\n").unwrap();
    let words = ["index", cohort.path().to_str().unwrap(), "--out", out.path().to_str().unwrap()];
    let output = run(&[&words[..], &["--same-patient", own.to_str().unwrap()]].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    let moved = "patient b (1 case) moved from train to test: its patient is joined with a, and the cohort's table states test";
    assert!(told.contains(moved), "{told}");
}

#[test]
fn the_samples_raise_no_alarm() {
    for name in ["ct", "mr"] {
        let audit = audit_of(crate::curated(name));
        assert_eq!(audit.leaks, 0, "{name}: {:?}", audit.links);
        assert!(!crate::curated(name).join("same-patient.csv").exists());
        let told = pdl_tests::run_ok(&[
            "duplicates",
            crate::curated(name).to_str().unwrap(),
            "--invariant",
            "--threshold",
            "0.97",
        ]);
        assert_eq!(
            told,
            "0 groups of cases with ssim >= 0.97\n0 pairs of cases with ssim >= 0.97 once the second is flipped or shifted\n"
        );
        let drift = audit.drift.unwrap();
        assert!(drift.p_value > 0.01 && drift.own_split_share < 1.0, "{drift:?}");
    }
}

/// Two patients of the sample have an SSIM of 0.965 at this size, and 0.847 at 64 voxels a side.
#[test]
fn small_proxies_join_no_two_patients() {
    let (sample, out) = (pdl_tests::sample("ct"), folder());
    let flags = ["--proxy-size", "32", "--metrics", "ssim", "--no-report"];
    let (code, told) = curated_with_code(&sample, out.path(), &flags);
    assert!(code == 0 && told.contains("[coarse-proxies]") && !told.contains("they are merged"), "{told}");
    assert!(audit_of(out.path()).links.is_empty() && !out.path().join("same-patient.csv").exists());
}

/// The table of the hippocampus cohort with absolute paths; `patients` names the columns besides
/// image and label.
fn hippocampus_table(cohort: &Path, path: &Path, patients: bool, more: &str) {
    let text = std::fs::read_to_string(cohort.join("cohort.csv")).unwrap();
    let mut table = format!("image,label{}\n", if patients { ",patient,split" } else { "" });
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        table += &format!("{0}/{1},{0}/{2}", cohort.display(), fields[0], fields[1]);
        table += &if patients { format!(",{},\n", fields[2]) } else { "\n".to_owned() };
    }
    std::fs::write(path, table + more).unwrap();
}

#[test]
fn ten_planted_leaks_of_a_real_cohort_are_found_and_nothing_else() {
    let Some(cohort) = real("hippocampus-mr") else { return };
    let (here, out) = (folder(), folder());
    let table = here.path().join("cohort.csv");
    hippocampus_table(&cohort, &table, true, "");
    let (code, told) = curated_with_code(&table, out.path(), &["--modality", "MR"]);
    assert_eq!(code, 0, "{told}");
    let audit = audit_of(out.path());
    assert!(audit.links.is_empty(), "{:?}", audit.links);
    pdl_tests::run_ok(&["audit", out.path().to_str().unwrap(), "--invariant"]);
    assert!(audit_of(out.path()).links.is_empty(), "{:?}", audit_of(out.path()).links);

    let cases = Cases::read(out.path()).unwrap();
    let training = cases.rows.iter().filter(|row| row.split == pdl_cohort::attributes::Split::Train);
    let mut more = String::new();
    let mut planted = Vec::new();
    for (number, row) in training.step_by(12).take(10).enumerate() {
        let file = |path: &str| -> PathBuf { out.path().join(path).canonicalize().unwrap() };
        let copy = here.path().join(format!("leak_{number}.nii.gz"));
        if number < 4 {
            std::fs::copy(file(&row.image), &copy).unwrap();
        } else {
            noisy_copy(&file(&row.image), &copy, 0.03);
        }
        let label = file(row.label.as_deref().unwrap());
        more += &format!("{},{},stranger_{number},test\n", copy.display(), label.display());
        planted.push((row.case_id.clone(), format!("leak_{number}")));
    }
    // The originals keep their splits by their patients; the copies are put into the test split by
    // the table.
    hippocampus_table(&cohort, &table, true, &more);
    assert_eq!(planted.len(), 10);
    let out_text = out.path().to_str().unwrap();
    let index = ["index", table.to_str().unwrap(), "--out", out_text, "--modality", "MR"];
    pdl_tests::run_ok(&index);
    pdl_tests::run_ok(&["prepare", out_text]);
    pdl_tests::run_ok(&["compare", out_text]);
    assert_eq!(run(&["audit", out_text]).status.code(), Some(3));
    let audit = audit_of(out.path());
    let found: Vec<_> = audit.links.iter().map(|link| (link.case_a.clone(), link.case_b.clone())).collect();
    assert_eq!(found, planted, "all ten, and nothing else");
    assert_eq!(audit.leaks, 10);

    let list = out.path().join("same-patient.csv");
    pdl_tests::run_ok(&[&index[..], &["--same-patient", list.to_str().unwrap()]].concat());
    assert_eq!(run(&["audit", out_text]).status.code(), Some(0));
    let cases = Cases::read(out.path()).unwrap();
    let patient = |case: &str| &cases.rows.iter().find(|row| row.case_id == case).unwrap().patient_id;
    assert!(planted.iter().all(|(original, copy)| patient(original) == patient(copy)));

    // Without the patients' names: what is reported are two sides of one person, and only some of
    // these.
    hippocampus_table(&cohort, &table, false, "");
    pdl_tests::run_ok(&index);
    pdl_tests::run_ok(&["prepare", out_text]);
    pdl_tests::run_ok(&["compare", out_text]);
    let code = run(&["audit", out_text]).status.code();
    let audit = audit_of(out.path());
    assert_eq!(code, Some(if audit.leaks > 0 { 3 } else { 0 }));
    let table = std::fs::read_to_string(cohort.join("cohort.csv")).unwrap();
    let person: BTreeMap<&str, &str> = table
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|fields| (fields[0].rsplit('/').next().unwrap().split('.').next().unwrap(), fields[2]))
        .collect();
    assert!(!audit.links.is_empty());
    for link in &audit.links {
        assert_eq!(person[link.case_a.as_str()], person[link.case_b.as_str()], "{link:?}");
        assert_eq!(link.reason, Reason::StandsOut);
    }
}

#[test]
fn a_label_with_its_sides_swapped_is_listed_first_and_the_reviewer_has_the_last_word() {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..24);
    let path = cohort.path().join("labels/ct_09.nii.gz");
    let mut map = pdl_io::read_labels(&path).unwrap().map;
    map.voxels
        .iter_mut()
        .for_each(|label| *label = [0, 2, 1].get(usize::from(*label)).copied().unwrap_or(*label));
    nifti::write_labels(&path, &map).unwrap();
    curated_with_code(cohort.path(), out.path(), &["--no-report"]);
    assert!(audit_of(out.path()).labels.is_none());
    let compared = run(&["audit", out.path().to_str().unwrap(), "--labels", "--threads", "1"]);
    let told = String::from_utf8_lossy(&compared.stderr).into_owned();
    assert!(compared.status.success() && told.contains("[label-disagrees]"), "{told}");
    let labels = audit_of(out.path()).labels.unwrap();
    let worst = &labels.labels[0];
    assert_eq!((worst.case_id.as_str(), worst.reason, labels.cases), ("ct_09", Some(LabelReason::Side), 24));
    assert!([1, 2].contains(&worst.label) && worst.flagged && worst.dice < 0.1, "{worst:?}");

    // The same bytes with any number of threads, and nothing is done twice.
    let list = out.path().join(REVIEW_FILE);
    let files = || ["audit.json", REVIEW_FILE].map(|name| std::fs::read(out.path().join(name)).unwrap());
    let before = files();
    std::fs::remove_file(out.path().join("audit.json")).unwrap();
    let words = ["audit", out.path().to_str().unwrap(), "--labels", "--threads", "2"];
    assert!(run(&words).status.success() && files() == before);
    assert!(run(&words[..2]).status.success(), "an audit without --labels keeps the comparison");
    assert_eq!(audit_of(out.path()).labels.as_ref(), Some(&labels));

    let text = std::fs::read_to_string(&list).unwrap();
    let decided = |line: &str| {
        let answer = if line.starts_with("ct_09,") { "yes" } else { "no" };
        let mut cells: Vec<&str> = line.split(',').collect();
        cells[2] = answer;
        cells.join(",")
    };
    let lines: Vec<String> =
        text.lines().enumerate().map(|(i, l)| if i == 0 { l.to_owned() } else { decided(l) }).collect();
    std::fs::write(&list, lines.join("\n") + "\n").unwrap();
    assert!(run(&words).status.success());
    let reviewed = audit_of(out.path()).labels.unwrap();
    let of_case = reviewed.labels.iter().filter(|own| own.case_id == "ct_09" && own.label < 3);
    assert!(of_case.clone().all(|own| own.decision == Some(LabelDecision::Right) && !own.flagged));
    assert_eq!(of_case.count(), 2);
    assert!(std::fs::read_to_string(&list).unwrap().contains("yes"), "decisions stay in the list");
}
