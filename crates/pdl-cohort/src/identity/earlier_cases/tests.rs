use pdl_findings::Code;
use proptest::prelude::*;

use super::*;
use crate::attributes::Split;
use crate::parameters::IndexParameters;
use crate::split::assign_splits::divide;
use crate::split::same_patient::SamePatient;
use crate::table::case_row::CaseRow;

/// A case as a table has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    image: String,
    label: String,
    stated: Option<String>,
}

fn row(image: &str, stated: Option<&str>) -> Row {
    Row { image: image.to_owned(), label: format!("labels/{image}"), stated: stated.map(str::to_owned) }
}

fn place() -> Place {
    Place::at("../cohort".to_owned(), PathBuf::from("/nowhere/out"))
}

/// The cohort's layout, with the ids that it gets after `before`; and that table as it names its
/// cases then.
fn indexed(
    rows: &[Row],
    before: Option<&Cases>,
) -> Result<(Layout, Option<Cases>, Vec<Finding>), CohortError> {
    let found = |row: &Row| {
        let [image, label] = [&row.image, &row.label].map(PathBuf::from);
        DiscoveredCase {
            name: CaseLabel::of_files(row.stated.clone(), Some(&image), Some(&label)),
            image: Some(Path::new("/nowhere/cohort").join(image)),
            label: Some(Path::new("/nowhere/cohort").join(label)),
            ..DiscoveredCase::default()
        }
    };
    let mut layout = Layout { cases: rows.iter().map(found).collect(), ..Layout::default() };
    let earlier = before.map(|before| EarlierCases::new(before, Vec::new()));
    let recognised = assign(&mut layout, None, earlier.as_ref(), &place())?;
    let mut before = before.cloned();
    if let Some(before) = &mut before {
        recognised.rename(before, &layout.cases);
    }
    Ok((layout, before, recognised.findings))
}

fn case_row(id: &str, image: &str, label: &str, split: Split) -> CaseRow {
    serde_json::from_value(serde_json::json!({
        "case_id": id, "patient_id": id, "modality": "MR", "split": split, "image": image, "label": label,
        "shape": [], "spacing_mm": [], "affine": [], "orientation": "", "voxel_type": "", "labels": [],
        "labels_annotated": [], "intensity_min": 0.0, "intensity_max": 0.0, "intensity_mean": 0.0,
        "intensity_std": 0.0, "intensity_p00_5": 0.0, "intensity_p99_5": 0.0, "image_blake3": "",
        "label_blake3": null, "status": "ok", "findings": [],
    }))
    .unwrap()
}

fn table(rows: Vec<CaseRow>) -> Cases {
    Cases {
        rows,
        cohort: String::new(),
        label_names: BTreeMap::new(),
        regions: Vec::new(),
        findings: Vec::new(),
        parameters: IndexParameters::default(),
        same_patient: SamePatient::default(),
        pet_units: None,
    }
}

/// What the index stage would write.
fn curated(rows: &[Row], before: Option<&Cases>) -> Cases {
    let (layout, before, _) = indexed(rows, before).unwrap();
    let place = place();
    let row = |found: &DiscoveredCase| {
        let [image, label] =
            [&found.image, &found.label].map(|path| place.text(path.as_deref().unwrap()).unwrap());
        case_row(&found.case_id, &image, &label, Split::Train)
    };
    let mut rows: Vec<CaseRow> = layout.cases.iter().map(row).collect();
    let same = SamePatient::default();
    divide(&mut rows, &layout, before.as_ref(), &IndexParameters::default(), &same).unwrap();
    table(rows)
}

/// Id and split by the paths of a case.
fn by_files(cases: &Cases) -> BTreeMap<(String, String), (String, Split)> {
    let entry = |row: &CaseRow| {
        ((row.image.clone(), row.label.clone().unwrap_or_default()), (row.case_id.clone(), row.split))
    };
    cases.rows.iter().map(entry).collect()
}

fn ids(rows: &[Row]) -> Vec<String> {
    let (layout, ..) = indexed(rows, None).unwrap();
    layout.cases.into_iter().map(|found| found.case_id).collect()
}

/// Rows whose names are easily mixed up.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let folder = prop::sample::select(vec![
        "siteA", "sitea", "site A", "site_A", "siteB", "p01", "p02", "ct", "患者", "画像", "a-b", "a", "b",
    ]);
    let stem = prop::sample::select(vec!["image", "Image", "im age", "im_age", "a-b", "b", "山", "long", ""]);
    let ending = prop::sample::select(vec![".nii.gz", ".nii", ".nrrd", ".mha", "#1", ""]);
    let stated = prop::sample::select(vec!["a b", "a_b", "A_B", "image", "p01-p02", "山", "siteA-image", ""]);
    let one =
        (prop::collection::vec(folder, 0..4), stem, ending, prop::option::weighted(0.2, stated), 0..3_u8);
    let row = |(folders, stem, ending, stated, label): (Vec<&str>, &str, &str, Option<&str>, u8)| {
        let stem = if stem == "long" { "l".repeat(300) } else { stem.to_owned() };
        let image = folders.iter().map(|folder| format!("{folder}/")).collect::<String>() + &stem + ending;
        let label = format!("labels {label}/{image}");
        Row { image, label, stated: stated.map(str::to_owned).filter(|name| !name.is_empty()) }
    };
    prop::collection::vec(one.prop_map(row), 1..25).prop_map(|rows| {
        let mut files = BTreeSet::new();
        let mut names = BTreeSet::new();
        rows.into_iter()
            .filter(|row| {
                !row.image.is_empty()
                    && !row.image.ends_with("/")
                    && files.insert((row.image.clone(), row.label.clone()))
            })
            .filter(|row| row.stated.as_ref().is_none_or(|name| names.insert(name.clone())))
            .collect()
    })
}

proptest! {
    /// Any cohort that grows and shrinks in any order: ids are unique and fit for files, those of
    /// known cases stay with their splits, and nobody gets one of another that has just gone.
    #[test]
    fn ids_are_unique_and_stay_as_a_cohort_grows(
        (rows, runs) in rows().prop_flat_map(|rows| {
            let count = rows.len();
            let run = prop::collection::vec(prop::bool::weighted(0.7), count);
            (Just(rows).prop_shuffle(), prop::collection::vec(run, 1..5))
        }),
    ) {
        let mut before: Option<Cases> = None;
        for here in runs {
            let present = rows.iter().zip(&here).filter(|(_, here)| **here);
            let mut present: Vec<Row> = present.map(|(row, _)| row.clone()).collect();
            let now = curated(&present, before.as_ref());
            let folded: BTreeSet<String> = now.rows.iter().map(|row| row.case_id.to_lowercase()).collect();
            prop_assert_eq!(folded.len(), present.len());
            for row in &now.rows {
                let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                prop_assert!(!row.case_id.is_empty() && row.case_id.len() <= 180, "{}", &row.case_id);
                prop_assert!(row.case_id.chars().all(safe), "{}", &row.case_id);
            }
            present.reverse();
            prop_assert_eq!(by_files(&curated(&present, before.as_ref())), by_files(&now));
            if let Some(before) = &before {
                let (was, is) = (by_files(before), by_files(&now));
                for (files, old) in &was {
                    if let Some(new) = is.get(files) {
                        prop_assert_eq!(new, old);
                    }
                }
                let names: BTreeSet<&String> = present.iter().filter_map(|row| row.stated.as_ref()).collect();
                for (files, (id, _)) in is.iter().filter(|(files, _)| !was.contains_key(*files)) {
                    let taken = was.iter().find(|(_, (old, _))| old.eq_ignore_ascii_case(id));
                    // The same image in another format, or with another label map, or by the
                    // cohort's own word.
                    if let Some((old, _)) = taken {
                        prop_assert!(stem(&old.0) == stem(&files.0) || !names.is_empty(), "{} {:?} {:?}", id, old, files);
                    }
                }
            }
            before = Some(now);
        }
    }
}

#[test]
fn a_stem_is_the_id_until_others_have_it_and_then_the_folders_tell() {
    assert_eq!(ids(&[row("images/ct_05.nii.gz", None), row("images/a.1.nii", None)]), ["a_1", "ct_05"]);
    let site = |site: &str, patient: &str| row(&format!("{site}/{patient}/ct/image.nii.gz"), None);
    assert_eq!(ids(&[site("siteB", "p01"), site("siteA", "p01")]), ["siteA", "siteB"]);
    assert_eq!(
        ids(&[site("siteB", "p01"), site("siteA", "p01"), site("siteA", "p02")]),
        ["siteA-p01", "siteA-p02", "siteB-p01"]
    );
    assert_eq!(ids(&[row("x/a.nii", None), row("y/a.nii", None), row("y/b.nii", None)]), ["b", "x-a", "y-a"]);
    // The cohort's own word goes first.
    let named = ids(&[row("x/a.nii", None), row("y/b.nii", Some("a"))]);
    assert_eq!(named[0], "a");
    assert!(named[1].starts_with("a-") && named[1].len() == 10, "{named:?}");
}

#[test]
fn names_that_would_be_one_file_get_a_hash() {
    for two in [
        ["a b.nii", "a_b.nii"],
        ["A.nii", "a.nii"],
        ["山.nii", "川.nii"],
        ["x.nii.gz", "x.mha"],
        ["a/b-c.nii", "a-b/c.nii"],
    ] {
        let ids = ids(&two.map(|path| row(path, None)));
        assert_ne!(ids[0].to_lowercase(), ids[1].to_lowercase(), "{two:?}");
    }
    let stated = ids(&[row("x.nii", Some("a b")), row("y.nii", Some("a_b"))]);
    assert_eq!(stated[0], "a_b");
    let long = "l".repeat(300);
    let long = ids(&[row("x.nii", Some(&format!("{long}1"))), row("y.nii", Some(&format!("{long}2")))]);
    assert!(long[0] != long[1] && long.iter().all(|id| id.len() == 180), "{long:?}");
}

#[test]
fn the_same_files_twice_are_refused() {
    let twice = [row("x/a.nii", None), row("x/a.nii", None)];
    assert!(matches!(indexed(&twice, None), Err(CohortError::SharedId { case_id }) if case_id == "a"));
    let two_readers = [row("x/a.nii", None), Row { label: "other.nii".to_owned(), ..row("x/a.nii", None) }];
    assert_eq!(ids(&two_readers).len(), 2);
}

#[test]
fn an_id_that_two_cases_had_is_nobodys_and_their_splits_stay() {
    let rows: Vec<Row> =
        ["siteA", "siteB"].map(|site| row(&format!("{site}/p01/ct/image.nii.gz"), None)).into();
    let known = |row: &Row, id: &str, split| {
        case_row(id, &format!("../cohort/{}", row.image), &format!("../cohort/{}", row.label), split)
    };
    let before = table(rows.iter().map(|row| known(row, "image-12345678", Split::Test)).collect());
    let (_, _, findings) = indexed(&rows, Some(&before)).unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].code, Code::CaseIdShared);
    assert!(
        findings[0].message.starts_with("2 cases shared 1 id in cases.parquet"),
        "{}",
        findings[0].message
    );
    let now = curated(&rows, Some(&before));
    let named: Vec<(&str, Split)> = now.rows.iter().map(|row| (row.case_id.as_str(), row.split)).collect();
    assert_eq!(named, [("siteA", Split::Test), ("siteB", Split::Test)]);
}

#[test]
fn another_name_by_the_cohorts_own_word_keeps_the_split() {
    let before =
        table(vec![case_row("image", "../cohort/x/image.nii", "../cohort/labels/x/image.nii", Split::Val)]);
    let rows = [row("x/image.nii", Some("mine"))];
    let (_, _, findings) = indexed(&rows, Some(&before)).unwrap();
    assert_eq!(findings[0].code, Code::CaseIdChanged);
    let now = curated(&rows, Some(&before));
    assert_eq!((now.rows[0].case_id.as_str(), now.rows[0].split), ("mine", Split::Val));
}

#[test]
fn a_moved_file_keeps_its_id_and_another_of_its_name_does_not_get_it() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path = root.path().join("cohort").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let cohort = root.path().join("cohort");
    std::fs::create_dir_all(root.path().join("out")).unwrap();
    write("old/a.nii", b"the voxels");
    let place = Place::new(&cohort, &root.path().join("out"), None).unwrap();
    let mut known = case_row("a", "../cohort/old/a.nii", "../cohort/labels/a.nii", Split::Test);
    known.image_blake3 = hash::of_file(&cohort.join("old/a.nii")).unwrap();
    let earlier = EarlierCases::new(&table(vec![known]), Vec::new());
    let id = |path: &str| {
        let found = DiscoveredCase {
            name: CaseLabel::of_files(None, Some(Path::new(path)), None),
            image: Some(cohort.join(path)),
            ..DiscoveredCase::default()
        };
        let mut layout = Layout { cases: vec![found], ..Layout::default() };
        assign(&mut layout, None, Some(&earlier), &place).unwrap();
        layout.cases.remove(0).case_id
    };
    write("new/a.nii", b"the voxels");
    write("third/a.nii", b"other voxels");
    assert_eq!(id("new/a.nii"), "a");
    let other = id("third/a.nii");
    assert!(other.starts_with("a-"), "{other}");
    // Another format in the same place is the same case.
    assert_eq!(id("old/a.nii.gz"), "a");
}
