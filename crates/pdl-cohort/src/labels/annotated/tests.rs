use super::*;

/// Cases with these labels, what the table says of them, and where they come from.
fn cohort(cases: &[(&[u16], Option<&str>, &str)]) -> (Vec<CaseRow>, Layout) {
    let mut layout = Layout::default();
    let mut rows = Vec::new();
    for (number, (labels, stated, source)) in cases.iter().enumerate() {
        let case_id = format!("c{number:02}");
        let labels: Vec<_> =
            labels.iter().map(|value| serde_json::json!({"value": value, "voxels": 9})).collect();
        rows.push(
            serde_json::from_value(serde_json::json!({
                "case_id": case_id, "patient_id": case_id, "modality": "CT", "split": "train",
                "image": format!("{source}/{case_id}.nii.gz"), "label": "", "shape": [], "spacing_mm": [], "affine": [],
                "orientation": "", "voxel_type": "", "labels": labels, "labels_annotated": [], "intensity_min": 0.0,
                "intensity_max": 0.0, "intensity_mean": 0.0, "intensity_std": 0.0, "intensity_p00_5": 0.0,
                "intensity_p99_5": 0.0, "image_blake3": "", "label_blake3": null, "status": "ok", "findings": [],
                "site": source,
            }))
            .unwrap(),
        );
        let annotated = stated.map(str::to_owned);
        layout.cases.push(DiscoveredCase { case_id, annotated, ..DiscoveredCase::default() });
    }
    layout.label_names = BTreeMap::from([(1, "liver".to_owned()), (2, "left lung".to_owned())]);
    (rows, layout)
}

fn chosen(rule: &str) -> ChosenRule {
    ChosenRule { rule: (!rule.is_empty()).then(|| rule.parse().unwrap()), of_folder: false }
}

/// The labels that were looked for in each case, and the codes of the cohort's findings.
fn annotated(cases: &[(&[u16], Option<&str>, &str)], rule: &str) -> (Vec<Vec<u16>>, Vec<Code>) {
    let (mut rows, layout) = cohort(cases);
    let (_, findings) = annotate(&mut rows, &layout, &chosen(rule)).unwrap();
    let labels = rows.into_iter().map(|row| row.labels_annotated).collect();
    (labels, findings.iter().map(|finding| finding.code).collect())
}

/// Two sources, of which each annotates one of two organs.
const TWO_SOURCES: [(&[u16], Option<&str>, &str); 6] = [
    (&[1], None, "a"),
    (&[1], None, "a"),
    (&[], None, "a"),
    (&[3], None, "b"),
    (&[3], None, "b"),
    (&[3], None, "b"),
];

#[test]
fn a_label_map_was_searched_for_every_label_unless_a_rule_says_otherwise() {
    let all = vec![vec![1, 3]; 6];
    assert_eq!(annotated(&TWO_SOURCES, ""), (all.clone(), vec![Code::LabelAbsent, Code::LabelAbsentInGroup]));
    assert_eq!(annotated(&TWO_SOURCES, "all").0, all);
    let present = vec![vec![1], vec![1], vec![], vec![3], vec![3], vec![3]];
    assert_eq!(annotated(&TWO_SOURCES, "present"), (present, vec![Code::LabelAbsent]));
    let by_site = vec![vec![1], vec![1], vec![1], vec![3], vec![3], vec![3]];
    assert_eq!(annotated(&TWO_SOURCES, "by-site"), (by_site, vec![Code::LabelAbsent, Code::LabelAbsent]));
    // Where every case holds every label there is nothing to say.
    let complete: [(&[u16], Option<&str>, &str); 4] = [(&[1, 3], None, "a"); 4];
    assert_eq!(annotated(&complete, ""), (vec![vec![1, 3]; 4], Vec::new()));
}

#[test]
fn a_case_without_a_label_is_a_negative_where_one_was_looked_for() {
    let status = |rule: &str| {
        let (mut rows, layout) = cohort(&TWO_SOURCES);
        annotate(&mut rows, &layout, &chosen(rule)).unwrap();
        (rows[2].status, rows[2].findings[0].code)
    };
    assert_eq!(status("all"), (Status::Warning, Code::NegativeCase));
    assert_eq!(status("by-site"), (Status::Warning, Code::NegativeCase));
    assert_eq!(status("present"), (Status::Rejected, Code::EmptyLabel));
    // A cohort without any label has no negatives.
    let (mut rows, layout) = cohort(&[(&[], None, "a"), (&[], None, "a")]);
    annotate(&mut rows, &layout, &chosen("")).unwrap();
    assert!(rows.iter().all(|row| row.status == Status::Rejected));
}

#[test]
fn what_the_table_says_of_a_case_counts_first() {
    let cases: [(&[u16], Option<&str>, &str); 6] = [
        (&[1, 2], Some("Liver; left lung"), "a"),
        (&[1], Some("1 2"), "a"),
        (&[1], Some("[1]"), "a"),
        (&[1, 2], Some("liver"), "a"),
        (&[], Some("none"), "a"),
        (&[1], Some("all"), "a"),
    ];
    let (mut rows, layout) = cohort(&cases);
    let (_, findings) = annotate(&mut rows, &layout, &chosen("present")).unwrap();
    let labels: Vec<&[u16]> = rows.iter().map(|row| row.labels_annotated.as_slice()).collect();
    assert_eq!(labels, [&[1, 2][..], &[1, 2], &[1], &[1], &[], &[1, 2]]);
    assert_eq!(rows[3].findings[0].code, Code::LabelNotAnnotated);
    assert_eq!(rows[4].status, Status::Rejected);
    let texts: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
    assert!(
        texts[0].contains("2 (left lung) from 2;") && texts[0].contains("count as annotated"),
        "{texts:?}"
    );
    assert!(texts[1].contains("2 (left lung) from 1;") && texts[1].contains("not annotated"), "{texts:?}");

    let (mut rows, layout) = cohort(&[(&[1], Some("spleen"), "a")]);
    let error = annotate(&mut rows, &layout, &chosen("")).unwrap_err().to_string();
    assert!(error.contains("case c00: labels_annotated") && error.contains("found \"spleen\""), "{error}");
    let (mut rows, layout) = cohort(&[(&[1], Some("1;7"), "a")]);
    let (_, findings) = annotate(&mut rows, &layout, &chosen("")).unwrap();
    assert_eq!((rows[0].labels_annotated.as_slice(), findings[0].code), (&[1][..], Code::LabelsUnknown));
}

#[test]
fn structures_that_a_set_does_not_name_were_not_looked_for() {
    let (mut rows, mut layout) = cohort(&[(&[1, 2], None, "a"), (&[1], None, "a"), (&[1], None, "a")]);
    layout.dicom_files = vec!["a.dcm".into()];
    layout.cases[0].named = Some(BTreeSet::from([1, 2, 9]));
    layout.cases[1].named = Some(BTreeSet::from([1, 2]));
    layout.cases[2].named = Some(BTreeSet::from([1]));
    let (rule, _) = annotate(&mut rows, &layout, &chosen("")).unwrap();
    assert_eq!(rule, AnnotationRule::Named);
    let labels: Vec<&[u16]> = rows.iter().map(|row| row.labels_annotated.as_slice()).collect();
    assert_eq!(labels, [&[1, 2][..], &[1, 2], &[1]], "named and empty is absent; 9 has no voxel anywhere");
}

#[test]
fn a_folder_keeps_its_rule_and_says_so_where_it_makes_a_difference() {
    let kept = |cases: &[(&[u16], Option<&str>, &str)]| {
        let (mut rows, layout) = cohort(cases);
        let of_folder = ChosenRule { rule: Some(AnnotationRule::Present), of_folder: true };
        annotate(&mut rows, &layout, &of_folder).unwrap()
    };
    let (rule, findings) = kept(&TWO_SOURCES);
    assert_eq!((rule, findings[0].code), (AnnotationRule::Present, Code::AnnotationKept));
    assert!(findings[0].message.contains("6 cases"), "{}", findings[0].message);
    assert_eq!(kept(&[(&[1], None, "a"), (&[1], None, "a")]), (AnnotationRule::All, Vec::new()));
}
