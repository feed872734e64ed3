//! Pairs of images and labels in folders, tables and lists, and in trees of empty files in the
//! layouts of public data sets.

use super::*;
use std::fs;

/// A tree of these files, empty ones where no text is given.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn of_names(names: &[&str]) -> tempfile::TempDir {
    tree(&names.iter().map(|name| (*name, "")).collect::<Vec<_>>())
}

fn found(root: &tempfile::TempDir) -> Layout {
    find(root.path(), &BTreeSet::new()).unwrap()
}

/// Id, patient, image and label of each case, paths without the cohort's.
fn cases(layout: &Layout, root: &tempfile::TempDir) -> Vec<[String; 4]> {
    let below = |path: &Option<PathBuf>| {
        let path = path.as_deref().unwrap_or(Path::new(""));
        path.strip_prefix(root.path()).unwrap_or(path).to_string_lossy().into_owned()
    };
    let one = |found: &DiscoveredCase| {
        let patient = found.patient.clone().unwrap_or_default();
        [found.case_id.clone(), patient, below(&found.image), below(&found.label)]
    };
    layout.cases.iter().map(one).collect()
}

fn names(layout: &Layout) -> Vec<&str> {
    layout.channel_names.values().map(String::as_str).collect()
}

#[test]
fn masks_of_bids_go_with_the_image_of_their_space_and_session() {
    let root = tree(&[
        ("dataset_description.json", "{}"),
        ("participants.tsv", "participant_id\tage\tsite\nsub-01\t47\tnorth\nsub-02\tn/a\tsouth\n"),
        ("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", ""),
        ("sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz", ""),
        ("sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz", ""),
        ("sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz", ""),
        ("derivatives/m/sub-01/ses-1/anat/sub-01_ses-1_space-T1w_label-lesion_mask.nii.gz", ""),
        ("derivatives/m/sub-01/ses-1/anat/sub-01_ses-1_space-T1w_desc-brain_mask.nii.gz", ""),
        ("derivatives/m/sub-01/ses-2/anat/sub-01_ses-2_space-T1w_label-lesion_mask.nii.gz", ""),
    ]);
    let layout = find(root.path(), &BTreeSet::from(["age".to_owned()])).unwrap();
    assert_eq!(layout.kind, "BIDS");
    let mask = |ses: u8| {
        format!("derivatives/m/sub-01/ses-{ses}/anat/sub-01_ses-{ses}_space-T1w_label-lesion_mask.nii.gz")
    };
    let t1w = |sub: u8, ses: u8| format!("sub-0{sub}/ses-{ses}/anat/sub-0{sub}_ses-{ses}_T1w.nii.gz");
    let case = |id: &str, patient: &str, image: String, label: String| {
        [id.to_owned(), patient.to_owned(), image, label]
    };
    assert_eq!(
        cases(&layout, &root),
        [
            case("sub-01_ses-1", "sub-01", t1w(1, 1), mask(1)),
            case("sub-01_ses-2", "sub-01", t1w(1, 2), mask(2)),
            case("sub-02_ses-1", "sub-02", t1w(2, 1), String::new()),
        ]
    );
    assert_eq!(layout.cases[0].structures.keys().collect::<Vec<_>>(), ["lesion"]);
    assert!(layout.cases.iter().all(|found| found.channels.is_empty()));
    assert_eq!(layout.cases[0].origins["site"], "north");
    assert_eq!(layout.cases[0].carried["age"].as_deref(), Some("47"));
    assert_eq!(layout.cases[2].carried["age"], None);
    assert!(layout.findings[0].message.contains("FLAIR (1)"), "{:?}", layout.findings);
    let error = find(root.path(), &BTreeSet::from(["hospital".to_owned()])).unwrap_err().to_string();
    assert!(error.contains("no column hospital") && error.contains("age"), "{error}");
    assert!(found(&root).cases[0].carried.is_empty());
}

#[test]
fn versions_of_a_bids_mask_are_the_users_to_choose() {
    let root = of_names(&[
        "sub-01/anat/sub-01_T1w.nii",
        "sub-01/anat/sub-01_desc-auto_dseg.nii",
        "sub-01/anat/sub-01_desc-manual_dseg.nii",
        "sub-02/anat/sub-02_T1w.nii",
        "sub-02/anat/sub-02_dseg.nii",
    ]);
    let layout = found(&root);
    assert_eq!(layout.cases.iter().map(|found| found.refused).collect::<Vec<_>>(), [true, false]);
    assert!(layout.cases[0].findings[0].message.contains("desc-auto_dseg, desc-manual_dseg"));
}

#[test]
fn a_bids_mask_in_its_own_space_lies_on_the_images_of_its_session() {
    let root = of_names(&["sub-01/anat/sub-01_FLAIR.nii", "d/sub-01/anat/sub-01_space-orig_dseg.nii"]);
    let layout = found(&root);
    assert_eq!(
        cases(&layout, &root)[0][2..],
        ["sub-01/anat/sub-01_FLAIR.nii", "d/sub-01/anat/sub-01_space-orig_dseg.nii"]
    );
}

#[test]
fn folders_that_are_called_like_images_and_masks_pair() {
    for [images, labels] in [["images", "masks"], ["img", "label"], ["Training_Data", "Part1_GroundTruth"]] {
        let root =
            of_names(&[&format!("{images}/a.nii"), &format!("{labels}/a.nii"), &format!("{images}/b.nii")]);
        let layout = found(&root);
        assert_eq!(layout.cases.iter().map(|found| found.label.is_some()).collect::<Vec<_>>(), [true, false]);
    }
    let raters = of_names(&["images/a.nii", "labels_rater1/a.nii", "labels_rater2/a.nii"]);
    let error = find(raters.path(), &BTreeSet::new()).unwrap_err();
    assert!(matches!(error, CohortError::FoldersUnpaired { .. }), "{error}");
    let others = of_names(&["images/img1.nii", "labels/lab1.nii"]);
    let error = find(others.path(), &BTreeSet::new()).unwrap_err().to_string();
    assert!(error.contains("name each label map like its image"), "{error}");
}

#[test]
fn names_pair_whatever_their_spelling() {
    let root = of_names(&[
        "images/Jo\u{308}rg.nii",
        "labels/J\u{f6}rg.nii",
        "images/Case1_0000.nii",
        "labels/case1.nii",
    ]);
    assert!(found(&root).cases.iter().all(|found| found.image.is_some() && found.label.is_some()));
}

#[test]
fn held_out_images_without_label_maps_are_told() {
    let root =
        of_names(&["imagesTr/a_0000.nii", "labelsTr/a.nii", "imagesTs/b_0000.nii", "imagesTs/c_0000.nii"]);
    let layout = found(&root);
    assert_eq!((layout.cases.len(), layout.findings[0].code), (1, Code::ImagesUnused));
    assert!(layout.findings[0].message.starts_with("2 images in imagesTs/"), "{:?}", layout.findings);
    let root =
        of_names(&["imagesTr/a_0000.nii", "labelsTr/a.nii", "imagesVal/b_0000.nii", "labelsVal/b.nii"]);
    let splits: Vec<_> = found(&root).cases.iter().map(|found| found.split).collect();
    assert_eq!(splits, [Some(Split::Train), Some(Split::Val)]);
}

#[test]
fn the_cases_that_dataset_json_lists_are_read_with_their_channels_and_splits_are_told() {
    let json = r#"{"channel_names": {"0": "CT", "1": "PT"}, "labels": {"background": 0, "liver": 1},
        "dataset": {"p1": {"images": ["x/a.nii", "x/b.nii"], "label": "y/a.nii"}}}"#;
    let root = tree(&[
        ("dataset.json", json),
        ("x/a.nii", ""),
        ("x/b.nii", ""),
        ("y/a.nii", ""),
        ("splits_final.json", "[]"),
    ]);
    let layout = found(&root);
    assert_eq!(cases(&layout, &root), [["p1", "", "x/a.nii", "y/a.nii"].map(str::to_owned)]);
    assert_eq!((names(&layout), layout.cases[0].channels.len()), (vec!["CT", "PT"], 2));
    assert_eq!(layout.findings[0].code, Code::FoldsGiven);
    let above = tree(&[("Dataset001_X/dataset.json", json), ("Dataset001_X/imagesTr/a_0000.nii", "")]);
    let error = find(above.path(), &BTreeSet::new()).unwrap_err().to_string();
    assert!(error.contains("data sets of their own (Dataset001_X)"), "{error}");
}

#[test]
fn tables_with_other_separators_and_names_are_read_or_refused_with_the_cause() {
    let of_table = |name: &str, text: &str| {
        let root = tree(&[(name, text), ("a.nii", ""), ("b.nii", "")]);
        let path = root.path().join(name);
        find(&path, &BTreeSet::new()).map(|layout| layout.cases)
    };
    for separator in [";", "\t"] {
        let text = ["image,label,patient_id", "a.nii,b.nii,p1"].join("\n").replace(',', separator);
        let found = of_table("cohort.tsv", &text).unwrap();
        assert_eq!((found[0].patient.as_deref(), found[0].label.is_some()), (Some("p1"), true));
    }
    let error = of_table("cohort.csv", "image,mask\na.nii,b.nii\n").unwrap_err().to_string();
    assert!(error.contains("call it label instead of mask"), "{error}");
    let root = tree(&[("cohort.csv", "image,label\nx/a.nii,x/b.nii\n")]);
    let error = found(&root).check_any_file(root.path()).unwrap_err();
    assert!(matches!(error, CohortError::NoFiles { .. }), "{error}");
}

#[test]
fn images_of_isles_are_channels() {
    let files = |n: u8| {
        let name = format!("sub-strokecase000{n}/ses-0001");
        let stem = format!("sub-strokecase000{n}_ses-0001");
        [
            format!("{name}/dwi/{stem}_dwi.nii.gz"),
            format!("{name}/dwi/{stem}_adc.nii.gz"),
            format!("{name}/anat/{stem}_FLAIR.nii.gz"),
            format!("derivatives/{name}/{stem}_msk.nii.gz"),
        ]
    };
    let files: Vec<String> = (1..3).flat_map(files).collect();
    let root = of_names(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let layout = found(&root);
    assert_eq!((names(&layout), layout.modality), (vec!["FLAIR", "dwi", "adc"], Some(Modality::MR)));
    assert_eq!(layout.cases.iter().map(|found| found.channels.len()).collect::<Vec<_>>(), [3, 3]);
}

#[test]
fn a_folder_of_masks_makes_structures_and_the_table_beside_gives_the_split() {
    let mut files = vec![("meta.csv", "image_id;age;institute;split\ns0000;3;A;test\ns0001;4;B;train\n")];
    files.extend(
        [
            "s0000/ct.nii.gz",
            "s0000/segmentations/liver.nii.gz",
            "s0000/segmentations/aorta.nii.gz",
            "s0001/ct.nii.gz",
            "s0001/segmentations/liver.nii.gz",
        ]
        .map(|name| (name, "")),
    );
    let root = tree(&files);
    let layout = found(&root);
    assert_eq!(layout.cases[0].structures.keys().collect::<Vec<_>>(), ["aorta", "liver"]);
    assert_eq!(cases(&layout, &root)[1], ["s0001", "", "s0001/ct.nii.gz", "s0001/segmentations"]);
    assert_eq!([0, 1].map(|n| layout.cases[n].split), [Some(Split::Test), Some(Split::Train)]);
    assert_eq!(layout.cases[0].modality, Some(Modality::CT));
}

#[test]
fn sequences_in_a_cases_folder_are_channels_and_visits_are_of_one_patient() {
    let files =
        |name: &str| ["t1n", "t1c", "t2w", "t2f", "seg"].map(|kind| format!("{name}/{name}-{kind}.nii.gz"));
    let mut files: Vec<String> = ["BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000"]
        .iter()
        .flat_map(|n| files(n))
        .collect();
    let all = of_names(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let layout = found(&all);
    assert_eq!(names(&layout), ["t1n", "t1c", "t2w", "t2f"]);
    let patients: Vec<_> = layout.cases.iter().map(|found| found.patient.as_deref().unwrap()).collect();
    assert_eq!(patients, ["BraTS-GLI-00001", "BraTS-GLI-00001", "BraTS-GLI-00002"]);
    assert_eq!(layout.label_names[&3], "enhancing tumour");
    files.retain(|name| !name.ends_with("00001-001-t2f.nii.gz"));
    let lacking = of_names(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let numbers = |case: usize| found(&lacking).cases[case].channels.keys().copied().collect::<Vec<_>>();
    assert_eq!([numbers(0), numbers(1)], [vec![0, 1, 2, 3], vec![0, 1, 2]]);
    // A file without a known name makes it another layout.
    files.push("BraTS-GLI-00002-000/other.nii.gz".to_owned());
    let other = of_names(&files.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(matches!(find(other.path(), &BTreeSet::new()), Err(CohortError::NotACohort { .. })));
}

#[test]
fn kits_and_lits_pair_as_they_come() {
    let kits = of_names(&[
        "dataset/case_00000/imaging.nii.gz",
        "dataset/case_00000/segmentation.nii.gz",
        "dataset/case_00000/instances/kidney_instance-1_annotation-1.nii.gz",
        "dataset/case_00001/imaging.nii.gz",
        "dataset/case_00001/segmentation.nii.gz",
    ]);
    let layout = found(&kits);
    let case = |n: u8| [format!("case_0000{n}"), format!("case-0000{n}")];
    assert_eq!(
        cases(&layout, &kits).iter().map(|c| [c[0].clone(), c[1].clone()]).collect::<Vec<_>>(),
        [case(0), case(1)]
    );
    assert_eq!(layout.label_names[&3], "cyst");
    let lits = of_names(&[
        "Training Batch 1/volume-0.nii",
        "Training Batch 1/segmentation-0.nii",
        "Training Batch 2/volume-10.nii",
        "Training Batch 1/segmentation-10.nii",
        "test/test-volume-0.nii",
    ]);
    let layout = found(&lits);
    assert_eq!(
        cases(&layout, &lits)[1],
        ["volume-10", "", "Training Batch 2/volume-10.nii", "Training Batch 1/segmentation-10.nii"]
    );
    assert_eq!(layout.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::ImagesUnused]);
    let btcv = of_names(&["img/img0001.nii.gz", "label/label0001.nii.gz", "img/img0002.nii.gz"]);
    assert_eq!(found(&btcv).cases.len(), 2);
}

#[test]
fn held_out_folders_keep_their_split_and_amos_its_two_modalities() {
    let root = tree(&[
        (
            "dataset.json",
            r#"{"name": "AMOS", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "spleen"}}"#,
        ),
        ("imagesTr/amos_0001.nii.gz", ""),
        ("labelsTr/amos_0001.nii.gz", ""),
        ("imagesTr/amos_0507.nii.gz", ""),
        ("labelsTr/amos_0507.nii.gz", ""),
        ("imagesVa/amos_0008.nii.gz", ""),
        ("labelsVa/amos_0008.nii.gz", ""),
        ("imagesTs/amos_0010.nii.gz", ""),
    ]);
    let layout = found(&root);
    let told =
        |found: &DiscoveredCase| (found.case_id.clone(), found.split.unwrap(), found.modality.unwrap());
    let told: Vec<_> = layout.cases.iter().map(told).collect();
    assert_eq!(
        told,
        [
            ("amos_0001".to_owned(), Split::Train, Modality::CT),
            ("amos_0008".to_owned(), Split::Val, Modality::CT),
            ("amos_0507".to_owned(), Split::Train, Modality::MR),
        ]
    );
    fs::create_dir(root.path().join("labelsTs")).unwrap();
    fs::write(root.path().join("labelsTs/amos_0010.nii.gz"), "").unwrap();
    assert_eq!(found(&root).cases[2].split, Some(Split::Test));
}

#[test]
fn channels_of_imagestr_go_by_number_or_name() {
    let named = of_names(&["imagesTr/C-1__CT.nii.gz", "imagesTr/C-1__PT.nii.gz", "labelsTr/C-1.nii.gz"]);
    let layout = found(&named);
    assert_eq!((names(&layout), layout.modality), (vec!["CT", "PT"], Some(Modality::CT)));
    assert!(layout.cases[0].image.as_ref().unwrap().ends_with("imagesTr/C-1__CT.nii.gz"));
    let behind = of_names(&["images/a.nii.gz", "labels/a_seg.nii.gz", "images/b.nii.gz", "labels/b.nii.gz"]);
    assert!(found(&behind).cases.iter().all(|found| found.image.is_some() && found.label.is_some()));
}

#[test]
fn flat_pictures_are_2d_cases_where_labels_have_their_names_and_slices_else() {
    let set = of_names(&["imagesTr/a_0000.png", "labelsTr/a.png", "imagesTr/b_0000.png", "labelsTr/b.png"]);
    assert_eq!(cases(&found(&set), &set).iter().map(|case| case[0].clone()).collect::<Vec<_>>(), ["a", "b"]);
    let slices = of_names(&["images/slice_1.png", "images/slice_2.png", "labels/other_1.png"]);
    let error = find(slices.path(), &BTreeSet::new()).unwrap_err().to_string();
    assert!(error.contains("images/ has single slices"), "{error}");
}

#[test]
fn dicom_series_pair_with_masks_near_them() {
    let dicom = format!("{}DICM", "\0".repeat(128));
    let series = |n: u8| format!("case{n}/dicom/1.dcm");
    let root = tree(&[
        (&series(1), &dicom),
        ("case1/mask.nii.gz", ""),
        (&series(2), &dicom),
        ("case2/segs/liver.nii.gz", ""),
        ("case2/segs/spleen.nii.gz", ""),
        ("case3/DICOM_anon/i1.dcm", &dicom),
        ("case3/Ground/liver_GT_000.png", ""),
    ]);
    let layout = found(&root);
    assert!(layout.is_of_dicom() && layout.dicom_files.is_empty());
    let told: Vec<[String; 4]> = cases(&layout, &root);
    assert_eq!(told[0], ["case1", "case1", "case1/dicom", "case1/mask.nii.gz"]);
    assert_eq!(layout.cases[1].structures.keys().collect::<Vec<_>>(), ["liver", "spleen"]);
    assert_eq!(told[2], ["case3", "case3", "case3/DICOM_anon", "case3/Ground"]);
    // Volumes apart from a tree of DICOM are none of its labels.
    let apart = tree(&[(&series(1), &dicom), (&series(2), &dicom), ("beside.nii.gz", "")]);
    assert_eq!(found(&apart).dicom_files.len(), 3);
}

#[test]
fn a_table_names_channels_structures_and_folders_of_masks() {
    let table = "image_T1,image_T2,label_liver,label_spleen,label_blake3\n\
                 a1.nii,a2.nii,la.nii,sa.nii,0af3\nb1.nii,,lb.nii,,77\n";
    let root = tree(&[("cohort.csv", table)]);
    let layout = found(&root);
    assert_eq!((names(&layout), layout.modality), (vec!["T1", "T2"], Some(Modality::MR)));
    let counts = |found: &DiscoveredCase| (found.channels.len(), found.structures.len());
    assert_eq!(layout.cases.iter().map(counts).collect::<Vec<_>>(), [(2, 2), (1, 1)]);
    let both = tree(&[("cohort.csv", "image,label,label_liver\na.nii,b.nii,c.nii\n")]);
    let error = find(both.path(), &BTreeSet::new()).unwrap_err().to_string();
    assert!(error.contains("row 1") && error.contains("label_liver"), "{error}");
    let folder = tree(&[
        ("cohort.csv", "image,label\np1/scan.nrrd,p1\n"),
        ("p1/scan.nrrd", ""),
        ("p1/heart.nrrd", ""),
        ("p1/cord.nrrd", ""),
    ]);
    assert_eq!(found(&folder).cases[0].structures.keys().collect::<Vec<_>>(), ["cord", "heart"]);
}

#[test]
fn a_datalist_keeps_folds_and_its_labelled_test_cases() {
    let text = r#"{"training": [{"image": ["a.nii", "b.nii"], "label": "l.nii", "fold": 1},
                                {"image": ["c.nii", "d.nii"], "label": "m.nii", "fold": 0}],
                   "testing": [{"image": ["e.nii", "f.nii"], "label": "n.nii"}, "g.nii", {"image": "h.nii"}]}"#;
    let root = tree(&[
        ("list.json", text),
        ("plain.json", r#" [{"image": "a.nii", "label": "l.nii", "fold:": 1}]"#),
    ]);
    let layout = find(&root.path().join("list.json"), &BTreeSet::new()).unwrap();
    let told = |found: &DiscoveredCase| (found.split, found.carried["fold"].clone(), found.channels.len());
    assert_eq!(
        layout.cases.iter().map(told).collect::<Vec<_>>(),
        [(None, Some("1".to_owned()), 2), (None, Some("0".to_owned()), 2), (Some(Split::Test), None, 2),]
    );
    let codes: Vec<Code> = layout.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::ImagesUnused, Code::FoldsGiven]);
    let plain = find(&root.path().join("plain.json"), &BTreeSet::new()).unwrap();
    assert_eq!(plain.cases.len(), 1);
    assert!(plain.findings[0].message.contains("\"fold:\""), "{:?}", plain.findings);
}

fn touch(path: PathBuf) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"").unwrap();
}

fn ids(layout: &Layout) -> Vec<&str> {
    layout.cases.iter().map(|found| found.case_id.as_str()).collect()
}

#[test]
fn folders_pair_by_name_and_keep_what_has_no_partner() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["images/a.nii.gz", "images/b.nii", "images/._a.nii.gz", "labels/a.nii.gz", "labels/c.nii.gz"]
    {
        touch(folder.path().join(name));
    }
    let layout = find(folder.path(), &BTreeSet::new()).unwrap();
    assert_eq!(ids(&layout), ["a", "b", "c"]);
    let has = |f: &DiscoveredCase| (f.image.is_some(), f.label.is_some());
    assert_eq!(
        layout.cases.iter().map(has).collect::<Vec<_>>(),
        [(true, true), (true, false), (false, true)]
    );
}

#[test]
fn nnunet_channels_belong_to_one_case() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["imagesTr/p_0000.nii.gz", "imagesTr/p_0001.nii.gz", "labelsTr/p.nii.gz"] {
        touch(folder.path().join(name));
    }
    fs::write(
        folder.path().join("dataset.json"),
        r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "tumour": 1}}"#,
    )
    .unwrap();
    let layout = find(folder.path(), &BTreeSet::new()).unwrap();
    assert_eq!(ids(&layout), ["p"]);
    assert_eq!(layout.cases[0].channels.len(), 2);
    assert_eq!(layout.modality, Some(Modality::MR));
    assert_eq!(layout.label_names, BTreeMap::from([(1, "tumour".to_owned())]));
}

#[test]
fn a_table_gives_patients_and_splits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cohort.csv");
    fs::write(
        &path,
        "image, label,patient,site,split\nx/a.1.nii.gz,y/a.nii.gz,p1,here,test\nx/b.nii.gz,,p2,,\n",
    )
    .unwrap();
    let layout = find(folder.path(), &BTreeSet::new()).unwrap();
    assert_eq!(ids(&layout), ["a_1", "b"]);
    assert_eq!(layout.cases[0].patient.as_deref(), Some("p1"));
    assert_eq!(layout.cases[0].split, Some(Split::Test));
    assert_eq!(layout.cases[1].label, None);
}

#[test]
fn columns_that_are_asked_for_are_carried_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("cohort.csv");
    fs::write(&table, "image,label,site,born,dose\na.nii,b.nii, here ,1950-01-02,007\nc.nii,d.nii,,,\n")
        .unwrap();
    let list = folder.path().join("list.json");
    fs::write(
        &list,
        r#"{"training": [{"image": "a.nii", "site": "here", "dose": "007", "age": 7}, {"image": "c.nii"}]}"#,
    )
    .unwrap();
    let carry = BTreeSet::from(["dose".to_owned(), "site".to_owned()]);
    for path in [&table, &list] {
        let layout = find(path, &carry).unwrap();
        let text = |case: usize, column: &str| layout.cases[case].carried[column].as_deref();
        assert_eq!((text(0, "site"), text(0, "dose"), text(1, "site")), (Some("here"), Some("007"), None));
        assert!(layout.cases.iter().all(|found| found.carried.len() == 2));
        let error = find(path, &BTreeSet::from(["hospital".to_owned()])).unwrap_err().to_string();
        assert!(error.contains("no column hospital") && !error.contains("007"), "{error}");
    }
}

#[test]
fn equal_names_in_two_folders_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.csv");
    fs::write(&path, "image,label\nx/a.nii.gz,l/x.nii.gz\ny/a.nii.gz,l/y.nii.gz\n").unwrap();
    let layout = find(&path, &BTreeSet::new()).unwrap();
    assert_eq!(ids(&layout), ["x", "y"]);
}

#[test]
fn a_datalist_with_validation_keeps_its_split() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("datalist.json");
    let text = r#"{"training": [{"image": "./a.nii.gz", "label": "./la.nii.gz", "fold": 0}],
                   "validation": [{"image": ["./b.nii.gz"], "label": "./lb.nii.gz"}],
                   "testing": ["./c.nii.gz"]}"#;
    fs::write(&path, text).unwrap();
    let splits: Vec<_> =
        find(&path, &BTreeSet::new()).unwrap().cases.iter().map(|found| found.split).collect();
    assert_eq!(splits, [Some(Split::Train), Some(Split::Val)]);
}
