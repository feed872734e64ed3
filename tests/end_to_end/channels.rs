//! Cases of several images on one grid, from the index to the exports.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dicom_core::VR;
use dicom_dictionary_std::tags;
use pdl_cohort::attributes::Modality;
use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::{Manifest, ManifestRow};
use pdl_findings::Code;
use pdl_io::{nifti, read_image, read_labels};
use pdl_prepare::normalise::Normalisation;
use pdl_prepare::parameters::PrepareParameters;
use pdl_prepare::proxies::Proxies;
use pdl_prepare::{plan, prepare, remote_worker};
use pdl_similarity::metrics::{Metric, PairColumn};
use pdl_similarity::pairs::Pairs;
use pdl_store::journal::HashCheck;
use pdl_store::progress::{Silent, StageContext};
use pdl_tests::{run, run_ok, sample};
use pdl_volume::{Grid, LabelMap, Volume};

use crate::dicom::copy_case;
use crate::{curate, folder, turn};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The image that another scanner would have made: bright where something is labelled, with a
/// gradient along x that is of the case's own.
fn uptake(labels: &LabelMap, case: usize) -> Volume<f32> {
    let [nx, _, _] = labels.grid.shape;
    let value = |(i, label): (usize, &u16)| {
        let along = (i % nx) as f32 / nx as f32;
        (100.0 + 50.0 * along * (1.0 + case as f32 / 8.0) + 300.0 * f32::from(*label)).round()
    };
    Volume { grid: labels.grid, voxels: labels.voxels.iter().enumerate().map(value).collect() }
}

/// A cohort as nnU-Net has it, of the sample's first CT cases and a second channel; `grid` gives
/// that of the second.
fn pet_ct(root: &Path, cases: usize, grid: impl Fn(Grid) -> Grid) -> PathBuf {
    for folder in ["imagesTr", "labelsTr"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for case in 1..=cases {
        let (image, label) = (format!("images/ct_{case:02}.nii.gz"), format!("labels/ct_{case:02}.nii.gz"));
        fs::copy(sample("ct").join(image), root.join(format!("imagesTr/p{case}_0000.nii.gz"))).unwrap();
        fs::copy(sample("ct").join(&label), root.join(format!("labelsTr/p{case}.nii.gz"))).unwrap();
        let labels = read_labels(&sample("ct").join(label)).unwrap().map;
        let pet = uptake(&labels, case);
        let pet = pdl_volume::image_on(&pet, grid(pet.grid)).0;
        nifti::write_image(&root.join(format!("imagesTr/p{case}_0001.nii.gz")), &pet).unwrap();
    }
    let description = serde_json::json!({
        "channel_names": {"0": "CT", "1": "PET"}, "file_ending": ".nii.gz", "numTraining": cases,
        "labels": {"background": 0, "left lung": 1, "right lung": 2, "heart": 3, "spinal cord": 4, "oesophagus": 5},
    });
    fs::write(root.join("dataset.json"), description.to_string()).unwrap();
    root.to_owned()
}

fn codes(out: &Path) -> BTreeSet<Code> {
    let cases = Cases::read(out).unwrap();
    cases.rows.iter().flat_map(|row| row.findings.iter().map(|finding| finding.code)).collect()
}

fn index(cohort: &Path, out: &Path, flags: &[&str]) -> Cases {
    run(&[&["index", text(cohort), "--out", text(out)], flags].concat());
    Cases::read(out).unwrap()
}

#[test]
fn both_channels_go_from_the_files_to_the_manifest_each_by_its_own_modality() {
    let (cohort, out) = (folder(), folder());
    pet_ct(cohort.path(), 6, |grid| grid);
    curate(
        cohort.path(),
        out.path(),
        &["--spacing", "9,9,9", "--proxy-size", "16", "--val-share", "0", "--test-share", "0"],
    );
    let cases = Cases::read(out.path()).unwrap();
    for row in &cases.rows {
        assert!(row.is_usable(), "{:?}", row.findings);
        let channels: Vec<(&str, Modality)> =
            row.channels.iter().map(|channel| (channel.name.as_str(), channel.modality)).collect();
        assert_eq!(channels, [("CT", Modality::CT), ("PET", Modality::PT)]);
        assert_eq!((&row.image, &row.image_blake3), (&row.channels[0].image, &row.channels[0].image_blake3));
        assert!(row.channels[1].intensities.max > 400.0 && row.channels[1].voxel_type == "float32");
    }
    let plan = plan::read(out.path()).unwrap();
    assert!(matches!(plan.normalisation, Normalisation::CohortForeground { .. }));
    assert!(matches!(plan.further_channels[0].normalisation, Normalisation::ImageZScore { .. }));

    let manifest = Manifest::open(out.path()).unwrap();
    assert_eq!(
        (manifest.info.schema_version, manifest.info.channel_names.join(" ")),
        (3, "CT PET".to_owned())
    );
    for row in &manifest.rows {
        let id = &row.case_id;
        let names = [format!("prepared/images/{id}.nii.gz"), format!("prepared/images/{id}_PET.nii.gz")];
        assert_eq!(row.images, names);
        let [ct, pet] = [0, 1].map(|n| read_image(&out.path().join(&row.images[n])).unwrap());
        assert_eq!([&ct.blake3, &pet.blake3], [&row.images_blake3[0], &row.images_blake3[1]]);
        assert_eq!(ct.volume.grid, pet.volume.grid);
        let mean = pet.volume.voxels.iter().sum::<f32>() / pet.volume.voxels.len() as f32;
        assert!(mean.abs() < 0.2, "the PET has a mean of its own: {mean}");
        assert_ne!(ct.volume.voxels, pet.volume.voxels);
    }
    run_ok(&["validate", text(out.path())]);
    // Nothing is made anew where nothing has changed.
    let context = StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory: None };
    let again = prepare::prepare(out.path(), &plan.parameters, false, context).unwrap();
    assert_eq!((again.cases, again.written), (6, 0));

    // A file of a further channel that was changed is seen.
    fs::write(out.path().join(&manifest.rows[0].images[1]), b"x").unwrap();
    assert!(!run(&["validate", text(out.path())]).status.success());
}

#[test]
fn pairs_hold_the_mean_over_the_channels_and_each_channel() {
    let (cohort, out) = (folder(), folder());
    pet_ct(cohort.path(), 5, |grid| grid);
    curate(cohort.path(), out.path(), &["--proxy-size", "16", "--val-share", "0", "--test-share", "0"]);
    let proxies = Proxies::open(out.path()).unwrap();
    assert_eq!((proxies.channels(), proxies.channel_names.join(" ")), (2, "CT PET".to_owned()));
    let pairs = Pairs::open(out.path(), &proxies).unwrap();
    let column = |name: &str| {
        let mut values = Vec::new();
        pairs
            .for_each(name.parse::<PairColumn>().unwrap(), |_, _, value| values.push(f64::from(value)))
            .unwrap();
        values
    };
    for metric in ["mse", "ssim", "uqi"] {
        let [all, ct, pet] =
            [metric.to_owned(), format!("{metric}_CT"), format!("{metric}_PET")].map(|name| column(&name));
        for ((all, ct), pet) in all.iter().zip(&ct).zip(&pet) {
            assert!((all - (ct + pet) / 2.0).abs() < 1e-6, "{metric}: {all} {ct} {pet}");
        }
        assert!(ct != pet);
    }
    for (psnr, mse) in column("psnr").into_iter().zip(column("mse")) {
        assert!((psnr - 10.0 * (1.0 / mse).log10()).abs() < 1e-4);
    }
    // What the files say, by the definition.
    let mut of_files = Vec::new();
    for (a, b) in (0..5).flat_map(|a| (a + 1..5).map(move |b| (a, b))) {
        let squares =
            proxies.channel(a, 1).iter().zip(proxies.channel(b, 1)).map(|(a, b)| f64::from(a - b).powi(2));
        of_files.push(squares.sum::<f64>() / proxies.channel(a, 1).len() as f64);
    }
    for (expected, found) in of_files.into_iter().zip(column("mse_PET")) {
        assert!((expected - found).abs() < 1e-6);
    }
    // Any column ranks, and one that is not there is named with those that are.
    run_ok(&["rank", text(out.path()), "--metric", "ssim_PET"]);
    let similar = run_ok(&["similar", text(out.path()), "p1", "--metric", "mse_CT"]);
    assert!(similar.contains("most similar to p1 by mse_CT"), "{similar}");
    let unknown = run(&["rank", text(out.path()), "--metric", "ssim_MR"]);
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && told.contains("ssim_MR") && told.contains("ssim_PET"), "{told}");
    assert!(pairs.for_each(Metric::Ssim, |_, _, _| ()).is_ok());
}

#[test]
fn a_case_without_one_of_the_channels_is_rejected_by_its_name_and_one_can_be_chosen() {
    let (cohort, out, one) = (folder(), folder(), folder());
    pet_ct(cohort.path(), 4, |grid| grid);
    fs::remove_file(cohort.path().join("imagesTr/p3_0001.nii.gz")).unwrap();
    fs::remove_file(cohort.path().join("imagesTr/p4_0000.nii.gz")).unwrap();
    let cases = index(cohort.path(), out.path(), &[]);
    let missing = |case: usize| {
        let finding = cases.rows[case].findings.iter().find(|finding| finding.code == Code::MissingChannel);
        finding.map(|finding| finding.message.clone())
    };
    assert!(cases.rows[0].is_usable() && cases.rows[1].is_usable());
    assert!(missing(2).unwrap().contains("no image of PET"));
    assert!(missing(3).unwrap().contains("no image of CT"));
    // The file that was missing is read once it is there.
    fs::copy(cohort.path().join("imagesTr/p1_0001.nii.gz"), cohort.path().join("imagesTr/p3_0001.nii.gz"))
        .unwrap();
    let cases = index(cohort.path(), out.path(), &[]);
    assert!(cases.rows[2].findings.iter().all(|finding| finding.code != Code::MissingChannel));

    let cases = index(cohort.path(), one.path(), &["--channel", "PET"]);
    assert_eq!(cases.rows.iter().filter(|row| row.is_usable()).count(), 3);
    assert!(cases.rows.iter().all(|row| row.channels.is_empty()));
    assert!(cases.rows[0].image.ends_with("p1_0001.nii.gz"));
}

#[test]
fn a_channel_on_another_grid_is_rejected_or_resampled_on_request() {
    let (cohort, out, resampled) = (folder(), folder(), folder());
    pet_ct(cohort.path(), 3, |grid| grid.resized(grid.shape.map(|n| n / 2)));
    index(cohort.path(), out.path(), &[]);
    assert!(codes(out.path()).contains(&Code::ChannelGridMismatch));
    let cases = Cases::read(out.path()).unwrap();
    let finding =
        &cases.rows[0].findings.iter().find(|f| f.code == Code::ChannelGridMismatch).unwrap().message;
    assert!(finding.contains("channel PET") && finding.contains("--resample-channels"), "{finding}");

    let flags = ["--resample-channels", "--proxy-size", "16", "--val-share", "0", "--test-share", "0"];
    curate(cohort.path(), resampled.path(), &flags);
    assert!(codes(resampled.path()).contains(&Code::ChannelResampled));
    let manifest = Manifest::open(resampled.path()).unwrap();
    for row in &manifest.rows {
        let [ct, pet] = [0, 1].map(|n| read_image(&resampled.path().join(&row.images[n])).unwrap().volume);
        assert_eq!(ct.grid, pet.grid);
    }
    // The resampled PET is still bright where something is labelled.
    let row = &manifest.rows[0];
    let pet = read_image(&resampled.path().join(&row.images[1])).unwrap().volume;
    let labels = read_labels(&resampled.path().join(&row.label)).unwrap().map;
    let mean = |inside: bool| {
        let chosen = pet.voxels.iter().zip(&labels.voxels).filter(|(_, label)| (**label > 0) == inside);
        let values: Vec<f32> = chosen.map(|(value, _)| *value).collect();
        values.iter().sum::<f32>() / values.len() as f32
    };
    assert!(mean(true) > mean(false) + 1.0, "{} {}", mean(true), mean(false));
}

#[test]
fn tables_datalists_and_files_of_several_volumes_give_the_same_channels() {
    let cohort = folder();
    let root = pet_ct(cohort.path(), 3, |grid| grid);
    let paths = |case: usize, n: usize| format!("imagesTr/p{case}_{n:04}.nii.gz");
    let label = |case: usize| format!("labelsTr/p{case}.nii.gz");
    let mut columns = "case_id,label,image_CT,image_PET,image_note\n".to_owned();
    let mut lists = "case_id,label,image\n".to_owned();
    let mut training = Vec::new();
    for case in 1..=3 {
        let [ct, pet] = [0, 1].map(|n| paths(case, n));
        columns += &format!("p{case},{},{ct},{pet},none\n", label(case));
        lists += &format!("p{case},{},\"[\"\"{ct}\"\", \"\"{pet}\"\"]\"\n", label(case));
        training.push(
            serde_json::json!({"image": [ct, pet], "label": label(case), "case_id": format!("p{case}")}),
        );
    }
    fs::write(root.join("columns.csv"), columns).unwrap();
    fs::write(root.join("lists.csv"), lists).unwrap();
    let list = serde_json::json!({"training": training, "modality": {"0": "CT", "1": "PET"}});
    fs::write(root.join("datalist.json"), list.to_string()).unwrap();
    let hashes = |cohort: &Path| -> Vec<Vec<String>> {
        let out = folder();
        let cases = index(cohort, out.path(), &[]);
        assert!(cases.rows.iter().all(|row| row.is_usable()), "{:?}", cases.rows[0].findings);
        cases
            .rows
            .iter()
            .map(|row| row.images().into_iter().map(|(_, blake3)| blake3.to_owned()).collect())
            .collect()
    };
    let expected = hashes(&root);
    assert_eq!(expected[0].len(), 2);
    for table in ["columns.csv", "lists.csv", "datalist.json"] {
        assert_eq!(hashes(&root.join(table)), expected, "{table}");
    }
    let out = folder();
    let cases = index(&root.join("columns.csv"), out.path(), &[]);
    let names: Vec<&str> = cases.rows[0].channels.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(names, ["CT", "PET"]);
}

/// As Decathlon's files are: NIfTI-1 of four axes.
fn write_4d(path: &Path, volumes: &[Volume<f32>]) {
    let whole = folder();
    let one = whole.path().join("one.nii.gz");
    nifti::write_image(&one, &volumes[0]).unwrap();
    let mut bytes = Vec::new();
    let file = fs::File::open(&one).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut bytes).unwrap();
    bytes.truncate(352);
    bytes[40..42].copy_from_slice(&4_i16.to_le_bytes());
    bytes[48..50].copy_from_slice(&(volumes.len() as i16).to_le_bytes());
    for volume in volumes {
        volume.voxels.iter().for_each(|voxel| bytes.extend(voxel.to_le_bytes()));
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_file_of_as_many_volumes_as_dataset_json_names_channels_is_a_case_of_these() {
    let (cohort, out) = (folder(), folder());
    let root = pet_ct(cohort.path(), 3, |grid| grid);
    for case in 1..=3 {
        let files = [0, 1].map(|n| root.join(format!("imagesTr/p{case}_{n:04}.nii.gz")));
        let volumes = files.each_ref().map(|file| read_image(file).unwrap().volume);
        write_4d(&root.join(format!("imagesTr/p{case}.nii")), &volumes);
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
    }
    let last = read_image(&root.join("imagesTr/p3.nii#1")).unwrap().volume;
    write_4d(&root.join("imagesTr/p3.nii"), &[last.clone(), last.clone(), last]);
    let cases = index(&root, out.path(), &[]);
    let shown: Vec<&str> = cases.rows[0].channels.iter().map(|channel| channel.image.as_str()).collect();
    assert!(shown[0].ends_with("p1.nii#0") && shown[1].ends_with("p1.nii#1"), "{shown:?}");
    assert!(cases.rows[0].is_usable(), "{:?}", cases.rows[0].findings);
    assert!(
        cases.rows[0].channels[0].intensities.min < -900.0
            && cases.rows[0].channels[1].intensities.min >= 100.0
    );
    let refused = &cases.rows[2].findings[0];
    assert_eq!(refused.code, Code::MissingChannel);
    assert!(refused.message.contains("has 3 volumes") && refused.message.contains("CT, PET"), "{refused:?}");

    let flags = ["--proxy-size", "16", "--val-share", "0", "--test-share", "0"];
    curate(&root, out.path(), &flags);
    let row = &Manifest::open(out.path()).unwrap().rows[0];
    assert_ne!(row.images_blake3[0], row.images_blake3[1]);
    let one = folder();
    let cases = index(&root, one.path(), &["--channel", "PET"]);
    assert!(cases.rows[0].image.ends_with("p1.nii#1") && cases.rows[0].channels.is_empty());
}

#[test]
fn under_pseudonyms_all_channels_are_kept_and_no_path_of_the_cohort_is() {
    let (cohort, out, key) = (folder(), folder(), folder());
    pet_ct(cohort.path(), 4, |grid| grid);
    let key = key.path().join("key");
    pdl_tests::write_key(&key);
    let flags = [
        "--pseudonyms",
        "--pseudonym-key",
        text(&key),
        "--proxy-size",
        "16",
        "--val-share",
        "0",
        "--test-share",
        "0",
    ];
    curate(cohort.path(), out.path(), &flags);
    let cases = Cases::read(out.path()).unwrap();
    for row in &cases.rows {
        assert!(row.is_usable(), "{:?}", row.findings);
        let id = &row.case_id;
        let kept = [format!("volumes/images/{id}.nii.gz"), format!("volumes/images/{id}.PET.nii.gz")];
        assert_eq!(row.images().into_iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>(), kept);
    }
    // The second run keeps them.
    let told = run(&[&["curate", text(cohort.path()), "--out", text(out.path())][..], &flags].concat());
    assert!(told.status.success());
    assert_eq!(fs::read_dir(out.path().join("volumes/images")).unwrap().count(), 8);
}

fn image_of(dest: &Path, path: &serde_json::Value) -> Vec<f32> {
    read_image(&dest.join(path.as_str().unwrap())).unwrap().volume.voxels
}

#[test]
fn exports_hold_every_channel_in_each_frameworks_form_and_are_read_back() {
    let (cohort, out) = (folder(), folder());
    pet_ct(cohort.path(), 5, |grid| grid);
    let flags = ["--proxy-size", "16", "--val-share", "0.2", "--test-share", "0.2"];
    curate(cohort.path(), out.path(), &flags);
    let manifest = Manifest::open(out.path()).unwrap();
    let _turn = turn();
    let export = |to: &str, by: &str| {
        let dest = folder();
        run_ok(&["export", text(out.path()), "--to", to, "--dest", text(dest.path()), "--by", by]);
        dest
    };
    let voxels =
        |row: &ManifestRow, n: usize| read_image(&out.path().join(&row.images[n])).unwrap().volume.voxels;

    let dest = export("monai", "reference");
    let list: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dest.path().join("datalist.json")).unwrap()).unwrap();
    assert_eq!(list["modality"], serde_json::json!({"0": "CT", "1": "PET"}));
    let first = &list["training"][0];
    let row = manifest.rows.iter().find(|row| first["case_id"] == row.case_id.as_str()).unwrap();
    for n in 0..2 {
        assert_eq!(image_of(dest.path(), &first["image"][n]), voxels(row, n));
    }

    let dest = export("nnunet", "copy");
    let description: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dest.path().join("dataset.json")).unwrap()).unwrap();
    assert_eq!(description["channel_names"], serde_json::json!({"0": "noNorm", "1": "noNorm"}));
    for row in &manifest.rows {
        let part = if row.split == pdl_cohort::attributes::Split::Test { "imagesTs" } else { "imagesTr" };
        for n in 0..2 {
            let name = serde_json::json!(format!("{part}/{}_{n:04}.nii.gz", row.case_id));
            assert_eq!(image_of(dest.path(), &name), voxels(row, n));
        }
    }
    let again = folder();
    run_ok(&["import", text(dest.path()), "--dest", text(again.path())]);
    let table = fs::read_to_string(again.path().join("cohort.csv")).unwrap();
    assert!(table.starts_with("image,label,patient,split,case_id,image_CT,image_PET\n"), "{table}");
    let indexed = folder();
    let cases = index(again.path(), indexed.path(), &[]);
    let names: Vec<&str> = cases.rows[0].channels.iter().map(|channel| channel.name.as_str()).collect();
    assert!(
        cases.rows.iter().all(|row| row.is_usable()) && names == ["CT", "PET"],
        "{:?}",
        cases.rows[0].findings
    );

    let dest = export("torchio", "reference");
    let line = fs::read_to_string(dest.path().join("subjects.jsonl")).unwrap();
    let subject: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!(subject["image"].as_array().unwrap().len(), 2);

    let dest = export("csv", "copy");
    let table = fs::read_to_string(dest.path().join("cohort.csv")).unwrap();
    assert!(table.lines().next().unwrap().ends_with("tune,image_CT,image_PET"), "{table}");
    let indexed = folder();
    let cases = index(dest.path(), indexed.path(), &[]);
    assert!(cases.rows.iter().all(|row| row.is_usable() && row.channels.len() == 2));

    let dest = folder();
    run_ok(&["export", text(out.path()), "--to", "huggingface", "--dest", text(dest.path())]);
    let names = pdl_store::table::column_names(&dest.path().join("data/train.parquet")).unwrap();
    assert!(names.ends_with(&["image_CT".to_owned(), "image_PET".to_owned()]), "{names:?}");

    let dest = folder();
    run_ok(&["export", text(out.path()), "--to", "webdataset", "--dest", text(dest.path())]);
    let mut tar = tar::Archive::new(fs::File::open(dest.path().join("train-000000.tar")).unwrap());
    let names: Vec<String> = tar
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .take(4)
        .collect();
    let id = names[0].split('.').next().unwrap();
    let expected =
        ["image.nii.gz", "image_pet.nii.gz", "label.nii.gz", "json"].map(|ending| format!("{id}.{ending}"));
    assert_eq!(names, expected);
}

#[test]
fn a_channel_can_be_viewed_and_the_report_has_a_switch() {
    let (cohort, out) = (folder(), folder());
    pet_ct(cohort.path(), 3, |grid| grid);
    curate(cohort.path(), out.path(), &["--proxy-size", "16", "--val-share", "0", "--test-share", "0"]);
    let view = |flags: &[&str]| {
        let png = out.path().join("view.png");
        let output = run(&[&["view", text(out.path()), "p1", "--to", text(&png)][..], flags].concat());
        output.status.success().then(|| fs::read(&png).unwrap())
    };
    let (first, ct, pet) = (view(&[]), view(&["--channel", "ct"]), view(&["--channel", "PET"]));
    assert!(first.is_some() && first == ct && ct != pet);
    assert_eq!(view(&["--channel", "MR"]), None);
    run_ok(&["report", text(out.path())]);
    let page = fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(page.contains(r#""channels":["CT","PET"]"#));
}

#[test]
fn cases_prepared_on_another_machine_have_all_channels() {
    let (cohort, out) = (folder(), folder());
    pet_ct(cohort.path(), 3, |grid| grid);
    index(cohort.path(), out.path(), &["--val-share", "0", "--test-share", "0"]);
    let parameters = PrepareParameters { proxy_size: vec![16], ..Default::default() };
    let run = StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory: None };
    let remote = remote_worker::plan_remote(out.path(), &parameters, false, run).unwrap();
    let done =
        remote_worker::submit_results(out.path(), &remote.plan, &remote.cases, &remote.missing, run).unwrap();
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let prepared = prepare::prepare(out.path(), &parameters, false, run).unwrap();
    assert_eq!((prepared.cases, prepared.written), (3, 0));
    assert_eq!(Proxies::open(out.path()).unwrap().channels(), 2);
}

/// A series of another modality, of the study and in the frame of reference of the sample "ct_01".
fn second_series(to: &Path, prefix: &str) {
    copy_case("ct_01", to, prefix, |object| {
        object.put_str(tags::MODALITY, VR::CS, "MR");
        object.put_str(tags::SERIES_DESCRIPTION, VR::LO, format!("Ax T1 {prefix}"));
        for tag in [tags::STUDY_INSTANCE_UID, tags::FRAME_OF_REFERENCE_UID] {
            let Ok(element) = object.element(tag) else { continue };
            let uid = element.to_str().unwrap().replace(prefix, "2.25.");
            object.put_str(tag, VR::UI, &uid);
        }
    });
    fs::remove_file(to.join("RTSTRUCT.dcm")).unwrap();
}

#[test]
fn series_of_a_study_in_one_frame_of_reference_are_the_channels_of_a_dicom_case() {
    let (tree, keys) = (folder(), folder());
    let key = keys.path().join("key");
    pdl_tests::write_key(&key);
    copy_case("ct_01", &tree.path().join("ct"), "2.25.", |_| ());
    let indexed = |modalities: &str| {
        let out = folder();
        let cases =
            index(tree.path(), out.path(), &["--pseudonym-key", text(&key), "--channels", modalities]);
        let findings: Vec<Code> =
            cases.rows.iter().flat_map(|row| row.findings.iter().map(|f| f.code)).collect();
        (out, cases.rows, findings)
    };
    assert!(indexed("CT,MR").2.contains(&Code::MissingChannel));
    second_series(&tree.path().join("mr"), "2.26.");
    let (out, rows, findings) = indexed("CT,MR");
    assert!(rows.len() == 1 && rows[0].is_usable(), "{findings:?}");
    let id = &rows[0].case_id;
    let channels: Vec<(&str, &str, Modality)> =
        rows[0].channels.iter().map(|c| (c.name.as_str(), c.image.as_str(), c.modality)).collect();
    let [ct, mr] = [format!("volumes/images/{id}.nii.gz"), format!("volumes/images/{id}.MR.nii.gz")];
    assert_eq!(channels, [("CT", ct.as_str(), Modality::CT), ("MR", mr.as_str(), Modality::MR)]);
    let [ct, mr] = [ct, mr].map(|path| read_image(&out.path().join(path)).unwrap().volume);
    assert!(ct.grid.coincides(&mr.grid) && ct.voxels != mr.voxels, "MR has no Hounsfield units");

    // Which of two it is cannot be told, unless by what they are described as.
    second_series(&tree.path().join("again"), "2.27.");
    let (_, rows, findings) = indexed("CT,MR");
    assert!(
        findings.contains(&Code::SeveralFiles) && rows.iter().all(|row| !row.is_usable()),
        "{findings:?}"
    );
    let (out, rows, findings) = indexed("CT,T1=*t1 2.27*");
    let usable: Vec<_> = rows.iter().filter(|row| row.is_usable()).collect();
    assert!(usable.len() == 1 && usable[0].channels[1].name == "T1", "{findings:?}");
    assert_eq!(usable[0].channels[1].modality, Modality::MR);
    assert!(!fs::read(out.path().join("cases.parquet")).unwrap().windows(5).any(|text| text == b"Ax T1"));
}
