//! WebDataset's shards and Croissant's description; that the packages read them is for
//! tests/interop/frameworks.py.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use pdl_curriculum::manifest::{Manifest, ManifestRow};
use pdl_store::{hash, json};
use pdl_tests::{files, run, run_ok};
use serde_json::Value;

use crate::{curated, folder, turn};

fn shards(out: &Path, dest: &Path, flags: &[&str]) -> String {
    let words = ["export", out.to_str().unwrap(), "--to", "webdataset", "--dest", dest.to_str().unwrap()];
    let _turn = turn();
    run_ok(&[&words, flags].concat())
}

/// The members of a shard in order: name, mtime and bytes.
fn members(path: &Path) -> Vec<(String, u64, Vec<u8>)> {
    let mut tar = tar::Archive::new(std::fs::File::open(path).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, std::fs::File>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        (name, entry.header().mtime().unwrap(), bytes)
    };
    tar.entries().unwrap().map(read).collect()
}

#[test]
fn shards_hold_the_volumes_in_rank_order_and_every_split_has_its_own() {
    let (out, dest) = (curated("ct"), folder());
    shards(out, dest.path(), &["--shard-cases", "7"]);
    let manifest = Manifest::open(out).unwrap();
    let listed: Value = json::read(&dest.path().join("shards.json")).unwrap();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|s| s["file"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["train-000000.tar", "train-000001.tar", "train-000002.tar", "val-000000.tar", "test-000000.tar"]
    );
    let rows: BTreeMap<&str, &ManifestRow> =
        manifest.rows.iter().map(|row| (row.case_id.as_str(), row)).collect();
    let mut seen = Vec::new();
    for name in names {
        for sample in members(&dest.path().join(name)).chunks(3) {
            let key = sample[0].0.split('.').next().unwrap().to_owned();
            let expected =
                [format!("{key}.image.nii.gz"), format!("{key}.label.nii.gz"), format!("{key}.json")];
            assert_eq!(sample.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>(), expected);
            assert!(sample.iter().all(|(_, mtime, _)| *mtime == 0));
            let row = rows[key.as_str()];
            assert_eq!(hash::of_bytes(&sample[0].2), row.image_blake3);
            assert_eq!(hash::of_bytes(&sample[1].2), row.label_blake3);
            let said: Value = serde_json::from_slice(&sample[2].2).unwrap();
            assert_eq!(said["rank"], serde_json::to_value(row.rank).unwrap());
            assert_eq!(said["stage"], serde_json::to_value(row.stage).unwrap());
            assert_eq!(said["split"].as_str().unwrap(), name.split('-').next().unwrap());
            assert_eq!(said["labels"].as_array().unwrap().len(), manifest.info.labels.len());
            seen.push(key);
        }
    }
    let expected: Vec<&str> = manifest.training().iter().map(|row| row.case_id.as_str()).collect();
    assert_eq!(seen[..expected.len()], expected);
    assert_eq!(seen.len(), 24);
}

#[test]
fn shards_repeat_their_bytes_and_those_of_an_earlier_export_go() {
    let (out, dest) = (curated("ct"), folder());
    // every case is larger, and so has a shard of its own
    shards(out, dest.path(), &["--shard-size", "1"]);
    assert_eq!(files(dest.path()).len(), 24 + 1);
    std::fs::write(dest.path().join("mine.tar"), b"not pdl's").unwrap();
    shards(out, dest.path(), &[]);
    let before = files(dest.path());
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["mine.tar", "shards.json", "test-000000.tar", "train-000000.tar", "val-000000.tar"]);
    shards(out, dest.path(), &["--threads", "1"]);
    assert!(files(dest.path()) == before);
}

#[test]
fn options_that_a_target_does_not_have_are_refused() {
    let (out, dest) = (curated("ct"), folder());
    let (out, dest) = (out.to_str().unwrap(), dest.path().to_str().unwrap());
    for words in [["webdataset", "--by", "link"], ["csv", "--shard-cases", "3"]] {
        let _turn = turn();
        let output = run(&["export", out, "--dest", dest, "--to", words[0], words[1], words[2]]);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("webdataset"));
    }
}

#[test]
fn croissant_vouches_for_the_manifest_and_finds_the_volumes_by_its_paths() {
    let out = curated("mr");
    let manifest = Manifest::open(out).unwrap();
    for by in ["reference", "copy", "link"] {
        let dest = folder();
        let _turn = turn();
        run_ok(&[
            "export",
            out.to_str().unwrap(),
            "--to",
            "croissant",
            "--dest",
            dest.path().to_str().unwrap(),
            "--by",
            by,
        ]);
        let description: Value = json::read(&dest.path().join("croissant.json")).unwrap();
        let file = &description["distribution"][0];
        let table = dest.path().join(file["contentUrl"].as_str().unwrap());
        // By sha256sum, somebody else's program, where there is one.
        if let Ok(said) = std::process::Command::new("sha256sum").arg(&table).output() {
            assert!(String::from_utf8(said.stdout).unwrap().starts_with(file["sha256"].as_str().unwrap()));
        }
        for row in &manifest.rows {
            let folder = table.parent().unwrap();
            assert_eq!(hash::of_file(&folder.join(&row.image)).unwrap(), row.image_blake3);
            assert_eq!(hash::of_file(&folder.join(&row.label)).unwrap(), row.label_blake3);
        }
    }
}
