//! Label maps whose files name their labels, and those whose values nothing names: over a cohort a
//! label is what its name says, or its value, and what is doubtful is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pdl_cohort::attributes::Status;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_io::nifti;
use pdl_tests::{files, run_ok};
use pdl_volume::{Grid, LabelMap};

use crate::{cohort_of, folder};

/// A segment as a file names it: its label in the sample, its name, value and layer.
pub type Named<'a> = (u16, &'a str, u16, usize);

/// Writes labels as a segmentation of 3-D Slicer, whose layers stand before the axes of space.
pub fn write_segments(path: &Path, map: &LabelMap, segments: &[Named<'_>]) {
    let layers = segments.iter().map(|(_, _, _, layer)| layer + 1).max().unwrap();
    let [nx, ny, nz] = map.grid.shape;
    let vector = |v: [f64; 3]| format!("({},{},{})", v[0], v[1], v[2]);
    let steps: Vec<String> = (0..3).map(|axis| vector(map.grid.affine.step_mm(axis))).collect();
    let (sizes, none, kinds) = match layers {
        1 => (String::new(), "", ""),
        _ => (format!("{layers} "), "none ", "list "),
    };
    let mut header = format!(
        "NRRD0004\ntype: unsigned char\ndimension: {}\nspace: right-anterior-superior\nsizes: {sizes}{nx} {ny} {nz}\n\
         space directions: {none}{}\nkinds: {kinds}domain domain domain\nencoding: raw\nspace origin: {}\n",
        if layers == 1 { 3 } else { 4 },
        steps.join(" "),
        vector(map.grid.affine.origin_mm()),
    );
    for (number, (_, name, value, layer)) in segments.iter().enumerate() {
        header += &format!("Segment{number}_Name:={name}\nSegment{number}_LabelValue:={value}\n");
        header += &format!("Segment{number}_Layer:={layer}\n");
    }
    let stored = |label: u16, layer: usize| {
        let found = segments.iter().find(|(own, _, _, in_layer)| *own == label && *in_layer == layer);
        found.map_or(0, |(_, _, value, _)| *value as u8)
    };
    let voxels = map.voxels.iter().flat_map(|label| (0..layers).map(move |layer| stored(*label, layer)));
    let voxels: Vec<u8> = voxels.collect();
    fs::write(path, [header.as_bytes(), b"\n", &voxels].concat()).unwrap();
}

/// Cases 1 to `count` of the sample with what `write` makes of their label maps in the place of
/// these; their label maps in the sample.
fn cohort(folder: &Path, count: usize, write: impl Fn(usize, &LabelMap, &Path)) -> Vec<LabelMap> {
    cohort_of(folder, 0..count);
    let table = fs::read_to_string(folder.join("cohort.csv")).unwrap();
    fs::write(folder.join("cohort.csv"), table.replace(".nii.gz,labels", ".nii.gz,segs")).unwrap();
    fs::create_dir_all(folder.join("segs")).unwrap();
    let one = |case: usize| {
        let name = format!("ct_{:02}", case + 1);
        let map = pdl_io::read_labels(&folder.join(format!("labels/{name}.nii.gz"))).unwrap().map;
        write(case, &map, &folder.join(format!("segs/{name}")));
        let written = fs::read_dir(folder.join("segs")).unwrap().flatten().map(|entry| entry.file_name());
        let written =
            written.map(|file| file.to_string_lossy().into_owned()).find(|file| file.starts_with(&name));
        let table = fs::read_to_string(folder.join("cohort.csv")).unwrap();
        let table = table.replace(&format!("segs/{name}.nii.gz"), &format!("segs/{}", written.unwrap()));
        fs::write(folder.join("cohort.csv"), table).unwrap();
        map
    };
    (0..count).map(one).collect()
}

fn index(cohort: &Path, out: &Path, flags: &[&str]) -> Cases {
    let words = ["index", cohort.to_str().unwrap(), "--out", out.to_str().unwrap()];
    run_ok(&[&words[..], flags].concat());
    Cases::read(out).unwrap()
}

fn codes(cases: &Cases) -> Vec<&'static str> {
    let told = ["label-", "overlapping", "structures-"];
    let codes = cases.findings.iter().map(|finding| finding.code.as_str());
    codes.filter(|code| told.iter().any(|start| code.starts_with(start))).collect()
}

fn codes_of(row: &CaseRow) -> Vec<&'static str> {
    row.findings
        .iter()
        .map(|finding| finding.code.as_str())
        .filter(|code| *code != "patient-assumed")
        .collect()
}

/// The label map of a case under the names of its labels in the sample.
fn kept(out: &Path, cases: &Cases, case: usize) -> LabelMap {
    let row = &cases.rows[case];
    let map = pdl_io::read_labels(&out.join(row.label.as_ref().unwrap())).unwrap().map;
    let sample = [(1, "left lung"), (2, "right lung"), (3, "heart"), (4, "cord")];
    let of_name: BTreeMap<String, u16> = sample.map(|(label, name)| (name.to_owned(), label)).into();
    let label = |value: &u16| if *value == 0 { 0 } else { of_name[&cases.label_names[value].to_lowercase()] };
    map.map(label)
}

/// The labels of the sample up to the fourth.
fn four(map: &LabelMap) -> LabelMap {
    map.map(|label| if *label > 4 { 0 } else { *label })
}

#[test]
fn labels_of_a_cohort_are_names_whatever_values_its_files_give_them() {
    let (folder, out, by_rules) = (folder(), folder(), folder());
    let even: &[Named<'_>] =
        &[(1, "left lung", 1, 0), (2, "right lung", 2, 0), (3, "heart", 3, 0), (4, "cord", 4, 0)];
    // Other values, another order, and two layers.
    let odd: &[Named<'_>] =
        &[(4, "cord", 1, 0), (3, "Heart", 9, 0), (2, "right lung", 1, 1), (1, "left lung", 3, 1)];
    let write = |case: usize, map: &LabelMap, path: &Path| {
        let path = path.with_extension("seg.nrrd");
        write_segments(&path, map, if case.is_multiple_of(2) { even } else { odd });
    };
    let maps = cohort(folder.path(), 4, write);
    let cases = index(folder.path(), out.path(), &[]);
    for (case, map) in maps.iter().enumerate() {
        assert_eq!(codes_of(&cases.rows[case]), [""; 0], "{case}");
        let found = kept(out.path(), &cases, case);
        assert!(found.voxels == four(map).voxels, "case {case}");
        assert!(found.grid.affine.corner_distance_mm(&map.grid.affine, map.grid.shape) < 1e-3);
        assert!(cases.rows[case].image.contains("images/ct_"), "the image stays where it is");
    }
    assert!(!out.path().join("volumes/images").join("ct_01.nii.gz").exists());
    assert_eq!(codes(&cases), ["label-values-by-name", "label-names-joined"]);
    let before = files(out.path());
    index(folder.path(), out.path(), &[]);
    assert!(files(out.path()) == before, "a second run changes nothing");

    // A new name comes in; the others keep their values.
    let names = cases.label_names;
    let grown: &[Named<'_>] = &[(1, "aorta", 1, 0), (3, "heart", 2, 0)];
    write_segments(&folder.path().join("segs/ct_01.seg.nrrd"), &maps[0], grown);
    let cases = index(folder.path(), out.path(), &[]);
    assert!(names.iter().all(|known| cases.label_names.get_key_value(known.0) == Some(known)));
    let aorta = cases.label_names.iter().find(|(_, name)| *name == "aorta").unwrap();
    assert_eq!(cases.rows[0].labels.iter().map(|label| label.value).max(), Some(*aorta.0));

    // Rules choose and join, as those of structures do.
    let rules = ["--structures", "*lung=lung,heart=heart,liver=liver"];
    let cases = index(folder.path(), by_rules.path(), &rules);
    let values: Vec<u16> = cases.rows[1].labels.iter().map(|label| label.value).collect();
    assert_eq!((values, cases.label_names[&1].as_str()), (vec![1, 2], "lung"));
    assert!(codes(&cases).contains(&"structures-unmatched"));
}

#[test]
fn a_segmentation_of_a_part_of_its_image_is_placed_and_one_beside_its_voxels_is_refused() {
    let (folder, out) = (folder(), folder());
    let heart: &[Named<'_>] = &[(3, "heart", 1, 0)];
    let part = |map: &LabelMap, by: f64| {
        // Without the first two voxels along each axis, and the last along z.
        let shape = map.grid.shape;
        let own = [shape[0] - 2, shape[1] - 2, shape[2] - 3];
        let rescaled = map.grid.affine.rescaled([1.0; 3], [2.0 + by, 2.0, 2.0]);
        let at = |n: usize| {
            let [x, y, z] = [n % own[0] + 2, n / own[0] % own[1] + 2, n / (own[0] * own[1]) + 2];
            map.voxels[x + shape[0] * (y + shape[1] * z)]
        };
        LabelMap { grid: Grid::new(own, rescaled), voxels: (0..own.iter().product()).map(at).collect() }
    };
    let write = |case: usize, map: &LabelMap, path: &Path| {
        let off = if case == 2 { 0.4 } else { 0.0 };
        write_segments(&path.with_extension("seg.nrrd"), &part(map, off), heart);
    };
    let maps = cohort(folder.path(), 3, write);
    let cases = index(folder.path(), out.path(), &[]);
    let statuses: Vec<Status> = cases.rows.iter().map(|row| row.status).collect();
    assert_eq!(statuses[2], Status::Rejected);
    assert_eq!(codes_of(&cases.rows[2]), ["shape-mismatch"]);
    for (case, map) in maps.iter().enumerate().take(2) {
        let expected = map.map(|label| u16::from(*label == 3));
        let path = out.path().join(cases.rows[case].label.as_ref().unwrap());
        let found = pdl_io::read_labels(&path).unwrap().map;
        assert_eq!(found.grid.shape, map.grid.shape);
        assert!(found.voxels == expected.voxels, "case {case}");
    }
}

#[test]
fn a_segmentation_that_contradicts_itself_rejects_its_case_alone() {
    let (folder, out) = (folder(), folder());
    let write = |case: usize, map: &LabelMap, path: &Path| {
        let path = path.with_extension("seg.nrrd");
        write_segments(&path, map, &[(1, "left lung", 1, 0), (3, "heart", if case == 1 { 1 } else { 2 }, 0)]);
    };
    cohort(folder.path(), 3, write);
    let cases = index(folder.path(), out.path(), &[]);
    let usable: Vec<bool> = cases.rows.iter().map(CaseRow::is_usable).collect();
    assert_eq!(usable, [true, false, true]);
    assert_eq!(codes_of(&cases.rows[1]), ["unreadable-label"]);
    assert!(cases.rows[1].findings.iter().any(|finding| finding.message.contains("have one label value, 1")));
}

#[test]
fn values_that_nothing_names_are_told_where_they_differ() {
    let (folder, out) = (folder(), folder());
    let write = |case: usize, map: &LabelMap, path: &Path| {
        let value = if case.is_multiple_of(2) { 1 } else { 255 };
        let mask = map.map(|label| if *label == 3 { value } else { 0 });
        nifti::write_labels(&path.with_extension("nii.gz"), &mask).unwrap();
    };
    cohort(folder.path(), 4, write);
    let cases = index(folder.path(), out.path(), &[]);
    let told = cases.findings.iter().find(|finding| finding.code.as_str() == "label-value-sets").unwrap();
    assert!(told.message.contains("1 in 2 cases (ct_01), 255 in 2 cases (ct_02)"), "{}", told.message);
    assert!(cases.rows.iter().all(CaseRow::is_usable), "a finding, not a refusal");

    // Named, they are what the names say.
    fs::write(
        folder.path().join("dataset.json"),
        r#"{"labels": {"1": "heart", "255": "heart of the others"}}"#,
    )
    .unwrap();
    let cases = index(folder.path(), out.path(), &[]);
    assert_eq!(codes(&cases), ["label-absent"]);

    // Beside files that name their labels, those that do not are told.
    let map = pdl_io::read_labels(&folder.path().join("segs/ct_01.nii.gz")).unwrap().map;
    write_segments(&folder.path().join("segs/ct_01.seg.nrrd"), &map, &[(1, "heart", 5, 0)]);
    let table = fs::read_to_string(folder.path().join("cohort.csv")).unwrap();
    let table = table.replace("segs/ct_01.nii.gz", "segs/ct_01.seg.nrrd");
    fs::write(folder.path().join("cohort.csv"), table).unwrap();
    let cases = index(folder.path(), out.path(), &[]);
    assert_eq!(codes(&cases), ["label-names-missing", "label-absent"]);
    assert_eq!(cases.rows[0].labels.iter().map(|label| label.value).collect::<Vec<_>>(), [1]);
}

#[test]
fn segmentations_pair_with_images_of_their_name() {
    let (folder, out) = (folder(), folder());
    cohort(folder.path(), 2, |_, map, path| {
        write_segments(&path.with_extension("seg.nrrd"), map, &[(3, "heart", 1, 0)]);
    });
    fs::remove_file(folder.path().join("cohort.csv")).unwrap();
    fs::remove_dir_all(folder.path().join("labels")).unwrap();
    fs::rename(folder.path().join("segs"), folder.path().join("labels")).unwrap();
    let cases = index(folder.path(), out.path(), &[]);
    let ids: Vec<(&str, bool)> =
        cases.rows.iter().map(|row| (row.case_id.as_str(), row.is_usable())).collect();
    assert_eq!(ids, [("ct_01", true), ("ct_02", true)]);
}

#[test]
fn patients_in_names_of_segments_are_hidden_under_pseudonyms() {
    let (folder, out, keys) = (folder(), folder(), folder());
    let families = ["Zweistein", "Müller", "Lindqvist", "Okonkwo"];
    let write = |case: usize, map: &LabelMap, path: &Path| {
        let tumour = format!("Tumour {} 2", families[case].to_uppercase());
        let segments: [Named<'_>; 2] = [(3, "heart", 1, 0), (4, &tumour, 2, 0)];
        // The third file is refused, by a message that names its segment.
        let value = if case == 2 { 0 } else { 2 };
        let segments = [segments[0], (4, segments[1].1, value, 0)];
        write_segments(&path.with_extension("seg.nrrd"), map, &segments);
    };
    cohort(folder.path(), 4, write);
    let table = fs::read_to_string(folder.path().join("cohort.csv")).unwrap();
    let named = families.iter().enumerate().fold(table, |table, (case, family)| {
        table.replace(&format!("ct-p{:02}", case + 1), &format!("{family}^Ottilie"))
    });
    fs::write(folder.path().join("cohort.csv"), named).unwrap();
    let key = keys.path().join("key");
    let words = ["--pseudonyms", "--pseudonym-key", key.to_str().unwrap()];
    let cases = index(folder.path(), out.path(), &words);
    let names: Vec<&str> = cases.label_names.values().map(String::as_str).collect();
    assert_eq!(names, ["heart", "Tumour PATIENT 2"]);
    let rejected = cases.rows.iter().filter(|row| row.status == Status::Rejected);
    let told: Vec<&str> = rejected.flat_map(|row| &row.findings).map(|f| f.message.as_str()).collect();
    assert!(told.iter().any(|message| message.contains("'Tumour PATIENT 2'")), "{told:?}");
    let masked = |row: &&CaseRow| codes_of(row).contains(&"name-masked");
    assert_eq!(cases.rows.iter().filter(masked).count(), 3);
    let planted = families.iter().flat_map(|family| [(*family).to_owned(), family.to_uppercase()]).collect();
    crate::privacy::no_file_says(&planted, out.path());

    // Rules find the segment by the name that the file has.
    let (by_rules, all) = (crate::folder(), ["--structures", "*zweistein*=tumour"]);
    let cases = index(folder.path(), by_rules.path(), &[&words[..], &all].concat());
    assert_eq!(cases.label_names.values().collect::<Vec<_>>(), ["tumour"]);
    assert_eq!(cases.rows.iter().filter(|row| row.labels_annotated == [1]).count(), 1);
}
