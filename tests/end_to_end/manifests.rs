//! Manifests that are handed on: validated, and compared with what they were.

use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::{self, Manifest, ManifestInfo, ManifestRow};
use pdl_store::{hash, json, table};
use pdl_tests::{root, run, run_ok};
use serde_json::Value;

use crate::{cohort_of, curate, curated, folder};

/// A curated folder of few cases, to be damaged.
fn small() -> tempfile::TempDir {
    let (cohort, out) = (folder(), folder());
    cohort_of(cohort.path(), 0..8);
    curate(cohort.path(), out.path(), &["--proxy-size", "16"]);
    out
}

/// Exit code and stdout of `pdl validate`.
fn validated(path: &Path, flags: &[&str]) -> (i32, String) {
    let output = run(&[&["validate", path.to_str().unwrap()], flags].concat());
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// Writes other rows as the manifest's, with their hash, as a forger or a faulty program might.
pub(crate) fn forge(out: &Path, change: impl FnOnce(&mut Vec<ManifestRow>)) {
    let Manifest { mut rows, mut info } = Manifest::open(out).unwrap();
    change(&mut rows);
    for row in rows.iter_mut().filter(|row| row.images.len() == 1) {
        row.images = vec![row.image.clone()];
        row.images_blake3 = vec![row.image_blake3.clone()];
    }
    let path = out.join("manifest.parquet");
    table::write_rows(&path, &manifest::schema(), &rows, Vec::new()).unwrap();
    json::write_lines(&out.join("manifest.jsonl"), &rows).unwrap();
    info.hashes.manifest = hash::of_file(&path).unwrap();
    json::write(&out.join("manifest.json"), &info).unwrap();
}

#[test]
fn manifests_of_every_version_are_valid() {
    for version in ["version-1", "version-2"] {
        let sample = root().join("tests/manifests").join(version);
        for path in [sample.clone(), sample.join("manifest.json"), sample.join("manifest.parquet")] {
            let (code, said) = validated(&path, &["--manifest-only"]);
            assert!(code == 0 && said.contains("with 24 cases"), "{version}: {said}");
        }
        let (code, said) = validated(&sample, &[]);
        assert_eq!((code, said.matches("[missing-file]").count()), (5, 48), "its volumes are not with it");
    }
    for name in ["ct", "mr"] {
        assert_eq!(validated(curated(name), &[]).0, 0);
    }
    let output = run(&["validate", root().join("tests").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn every_difference_is_told_by_its_case() {
    let out = small();
    let out = out.path();
    let rows = Manifest::open(out).unwrap().rows;
    std::fs::write(out.join(&rows[0].image), b"other").unwrap();
    std::fs::remove_file(out.join(&rows[1].label)).unwrap();
    std::fs::write(out.join("plan.json"), b"{}").unwrap();
    let (code, said) = validated(out, &[]);
    assert_eq!(code, 5);
    let expected = [
        "plan.json has changed since the manifest was made; run `pdl rank` again [stale]".to_owned(),
        format!("{}: the image does not match its hash: {} [file-changed]", rows[0].case_id, rows[0].image),
        format!("{}: the label is missing: {} [missing-file]", rows[1].case_id, rows[1].label),
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    let (code, said) = validated(out, &["--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, said["differences"].as_array().unwrap().len()), (5, 3));
    assert_eq!(said["differences"][1]["case_id"], rows[0].case_id.as_str());
    assert_eq!(validated(out, &["--manifest-only"]).0, 0);
}

#[test]
fn rows_that_cannot_be_are_told() {
    let codes = |change: fn(&mut Vec<ManifestRow>)| {
        let out = small();
        forge(out.path(), change);
        let (code, said) = validated(out.path(), &[]);
        assert_eq!(code, 5, "{said}");
        let code = |line: &str| line.rsplit('[').next().unwrap().trim_end_matches(']').to_owned();
        said.lines().map(code).collect::<Vec<_>>()
    };
    let held_out = |rows: &[ManifestRow]| rows.iter().position(|row| row.split != Split::Train).unwrap();
    assert_eq!(held_out(&Manifest::open(small().path()).unwrap().rows), 6);
    assert_eq!(
        codes(|rows| rows[7].patient_id = rows[0].patient_id.clone()),
        ["patient-in-two-splits"],
        "a held-out case of a training patient"
    );
    assert_eq!(codes(|rows| rows[7].score = Some(0.5)), ["held-out-ranked"]);
    assert_eq!(codes(|rows| rows[1].rank = rows[0].rank), ["rank"]);
    assert_eq!(codes(|rows| rows[0].stage = Some(1)), ["stage"]);
    assert_eq!(codes(|rows| rows[0].rank = None), ["rank", "rank", "stage"]);
    assert_eq!(codes(|rows| rows[0].labels_annotated.push(99)), ["label"]);
    assert_eq!(codes(|rows| rows[1] = rows[0].clone())[0], "case-twice");
    assert_eq!(codes(|rows| rows[0].image = "/etc/hostname".to_owned()), ["outside"]);
    assert_eq!(codes(|rows| rows[0].image = "prepared/../../x.nii.gz".to_owned()), ["outside"]);
}

#[test]
fn what_lies_outside_is_followed_only_when_allowed() {
    let (out, elsewhere) = (small(), folder());
    let row = Manifest::open(out.path()).unwrap().rows[0].clone();
    let image = out.path().join(&row.image);
    let moved = elsewhere.path().join("image.nii.gz");
    std::fs::rename(&image, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &image).unwrap();
    let (code, said) = validated(out.path(), &[]);
    assert!(code == 5 && said.contains("[outside]") && said.lines().count() == 1, "{said}");
    assert_eq!(validated(out.path(), &["--allow-outside"]).0, 0);
}

#[test]
fn what_is_no_manifest_of_a_known_version_is_told_and_not_read() {
    let out = small();
    let path = out.path().join("manifest.json");
    let info: ManifestInfo = json::read(&path).unwrap();
    json::write(&path, &ManifestInfo { schema_version: 9, ..info.clone() }).unwrap();
    let (code, said) = validated(out.path(), &[]);
    assert!(code == 5 && said.contains("expected version 1 to 3, found 9 [schema]"), "{said}");
    for (version, expected) in [(0, "version 1 to 3, found 0"), (9, "version 3 or lower, found 9")] {
        json::write(&path, &ManifestInfo { schema_version: version, ..info.clone() }).unwrap();
        let refused = Manifest::open(out.path()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    let labels = info.labels.iter().chain(&info.labels[..1]).cloned().collect();
    json::write(&path, &ManifestInfo { labels, ..info.clone() }).unwrap();
    let (code, said) = validated(out.path(), &[]);
    let twice = "have the value 1";
    assert!(code == 5 && said.contains(&format!("{twice} [label]")), "{said}");
    let refused = Manifest::open(out.path()).unwrap_err().to_string();
    assert!(refused.contains(twice), "{refused}");
    std::fs::write(&path, "{\"schema_version\": 2}").unwrap();
    assert!(validated(out.path(), &[]).1.contains("does not match the schema of its version"));
    std::fs::write(&path, "nonsense").unwrap();
    assert!(validated(out.path(), &[]).1.contains("is not valid JSON"));
    json::write(&path, &info).unwrap();
    let table = out.path().join("manifest.parquet");
    let bytes = std::fs::read(&table).unwrap();
    std::fs::write(&table, &bytes[..bytes.len() / 2]).unwrap();
    let (code, said) = validated(&table, &[]);
    assert!(code == 5 && said.contains("[rows-changed]") && said.contains("[schema]"), "{said}");
}

#[test]
fn a_diff_tells_what_changed_and_ends_with_5_when_a_case_moved() {
    let (old, new) = (small(), small());
    let [old, new] = [&old, &new].map(|folder| folder.path().to_str().unwrap().to_owned());
    let said = run_ok(&["diff", &old, &new]);
    assert_eq!(
        said,
        "8 cases in both: 0 in another split, 0 of another rank, 0 prepared again; 0 added, 0 removed\n"
    );

    run_ok(&["rank", &new, "--order", "atypical"]);
    let rows = |out: &str| Manifest::open(Path::new(out)).unwrap().rows;
    let (first, last) = (rows(&old)[0].case_id.clone(), rows(&new)[0].case_id.clone());
    let changes: Value = serde_json::from_str(&run_ok(&["diff", &old, &new, "--json"])).unwrap();
    let to = |case: &str| {
        let list = changes["reranked"].as_array().unwrap();
        let own = list.iter().find(|item| item["case_id"] == case).unwrap();
        (own["from"].as_u64().unwrap(), own["to"].as_u64().unwrap())
    };
    assert_eq!((to(&first), to(&last)), ((1, 6), (6, 1)));

    let forged = Path::new(&new);
    forge(forged, |rows| {
        rows[7].split = Split::Test; // and another case of the same patient comes in its place
        let mut other = rows.pop().unwrap();
        rows[6].split = if rows[6].split == Split::Val { Split::Test } else { Split::Val };
        other.case_id = "newcomer".to_owned();
        other.split = Split::Val;
        rows.push(other);
    });
    let before = rows(&old);
    let output = run(&["diff", &format!("{old}/manifest.json"), &format!("{new}/manifest.parquet")]);
    let (told, said) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(5), "{told}");
    assert!(said.contains(&format!("MOVED: case {}: {} -> ", before[6].case_id, before[6].split)), "{said}");
    assert!(
        said.contains("added: newcomer") && said.contains(&format!("removed: {}", before[7].case_id)),
        "{said}"
    );
    assert_eq!(before[7].split, Split::Test);
    let patient = format!("MOVED: patient {}: test -> val", before[7].patient_id);
    assert!(said.contains(&patient), "{said}");
}
