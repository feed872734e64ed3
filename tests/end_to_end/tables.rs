//! Tables and lists of cohorts from other programs: their columns have types of many kinds.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Int8Array, Int64Array, LargeStringArray, RecordBatch, StringArray,
    StringViewArray, UInt32Array,
};
use pdl_cohort::table::cases::Cases;
use pdl_store::table;
use pdl_tests::{run, run_ok};
use serde_json::json;

use crate::{cohort_of, folder};

/// Id and patient of each case of a cohort, by image.
fn ids_and_patients(cohort: &Path) -> Vec<(String, String, String)> {
    let out = folder();
    run_ok(&["index", cohort.to_str().unwrap(), "--out", out.path().to_str().unwrap()]);
    let rows = Cases::read(out.path()).unwrap().rows;
    let name = |image: &str| Path::new(image).file_name().unwrap().to_string_lossy().into_owned();
    let mut found: Vec<_> =
        rows.into_iter().map(|row| (name(&row.image), row.case_id, row.patient_id)).collect();
    found.sort();
    found
}

fn write(path: &Path, columns: &[(&str, ArrayRef)]) {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    fs::write(path, table::encode(path, &batch, table::properties(Vec::new()).build()).unwrap()).unwrap();
}

#[test]
fn columns_of_any_type_are_read_as_their_text_in_csv() {
    let cohort = folder();
    cohort_of(cohort.path(), 0..3);
    let files = |kind: &str| -> Vec<String> { (1..=3).map(|n| format!("{kind}/ct_0{n}.nii.gz")).collect() };
    let (images, labels) = (files("images"), files("labels"));
    let path = cohort.path().join("cohort.parquet");
    let of_csv = |patients: &[&str; 3]| {
        let csv = cohort.path().join("cohort.csv");
        let rows = (0..3).map(|n| format!("{},{},{},{}\n", images[n], labels[n], patients[n], 901 + n));
        fs::write(&csv, format!("image,label,patient,case_id\n{}", rows.collect::<String>())).unwrap();
        ids_and_patients(&csv)
    };
    let bytes = |texts: &[String]| -> ArrayRef {
        Arc::new(BinaryArray::from_iter_values(texts.iter().map(String::as_bytes)))
    };
    let numbers: ArrayRef = Arc::new(UInt32Array::from(vec![901, 902, 903]));
    let patients: [(ArrayRef, [&str; 3]); 6] = [
        (Arc::new(Int64Array::from(vec![Some(7), None, Some(-12)])), ["7", "", "-12"]),
        (Arc::new(Int8Array::from(vec![7, 7, 8])), ["7", "7", "8"]),
        (Arc::new(Date32Array::from(vec![0, 1, 2])), ["1970-01-01", "1970-01-02", "1970-01-03"]),
        (Arc::new(LargeStringArray::from(vec!["007", " 8 ", ""])), ["007", "8", ""]),
        (Arc::new(StringViewArray::from(vec![Some("a"), None, Some("b")])), ["a", "", "b"]),
        (bytes(&["x", "y", "x"].map(str::to_owned)), ["x", "y", "x"]),
    ];
    for (column, texts) in patients {
        let as_bytes = texts[0] == "x";
        let column_of = |texts: &[String]| -> ArrayRef {
            if as_bytes { bytes(texts) } else { Arc::new(StringArray::from(texts.to_vec())) }
        };
        let columns = [
            ("image", column_of(&images)),
            ("label", column_of(&labels)),
            ("patient", column),
            ("case_id", Arc::clone(&numbers)),
        ];
        write(&path, &columns);
        assert_eq!(ids_and_patients(&path), of_csv(&texts), "{texts:?}");
    }

    // Bytes that are no text are nobody's name.
    let odd: ArrayRef = Arc::new(BinaryArray::from_iter_values([&b"\xff"[..], b"\xfe", b"a"]));
    let image: ArrayRef = Arc::new(StringArray::from(images.clone()));
    write(&path, &[("image", image), ("patient", odd)]);
    let out = folder();
    let output = run(&["index", path.to_str().unwrap(), "--out", out.path().join("o").to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("the column patient"), "{told}");
}

#[test]
fn a_datalist_may_state_ids_and_patients_as_numbers_or_texts() {
    let cohort = folder();
    cohort_of(cohort.path(), 0..3);
    let item = |n: usize, case: serde_json::Value, patient: serde_json::Value| {
        json!({ "image": format!("images/ct_0{n}.nii.gz"), "label": format!("labels/ct_0{n}.nii.gz"),
            "case_id": case, "patient": patient })
    };
    let list = cohort.path().join("list.json");
    let items =
        [item(1, json!(11), json!(7)), item(2, json!("b"), json!("7")), item(3, json!(null), json!(null))];
    fs::write(&list, json!({ "training": items }).to_string()).unwrap();
    let expected =
        [("ct_01.nii.gz", "11", "7"), ("ct_02.nii.gz", "b", "7"), ("ct_03.nii.gz", "ct_03", "ct_03")];
    let expected = expected.map(|(image, id, patient)| (image.to_owned(), id.to_owned(), patient.to_owned()));
    assert_eq!(ids_and_patients(&list), expected);

    let twice = [item(1, json!("a"), json!(1)), item(2, json!("a"), json!(2))];
    fs::write(&list, json!(twice).to_string()).unwrap();
    let out = folder();
    let output = run(&["index", list.to_str().unwrap(), "--out", out.path().join("o").to_str().unwrap()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("have the same case_id, a"), "{told}");
}

#[test]
fn a_folder_around_the_table_is_no_image() {
    let cohort = folder();
    cohort_of(cohort.path(), 0..2);
    let table = cohort.path().join("below/t.csv");
    fs::create_dir(table.parent().unwrap()).unwrap();
    let images = cohort.path().canonicalize().unwrap();
    let around = ["/".to_owned(), "..".to_owned(), "../below/../..".to_owned(), images.display().to_string()];
    for path in around {
        for row in [format!("{path},"), format!("../images/ct_01.nii.gz,{path}")] {
            fs::write(&table, format!("image,label\n../images/ct_02.nii.gz,../labels/ct_02.nii.gz\n{row}\n"))
                .unwrap();
            let out = folder();
            let output =
                run(&["index", table.to_str().unwrap(), "--out", out.path().join("o").to_str().unwrap()]);
            let told = String::from_utf8_lossy(&output.stderr);
            let is_told =
                told.contains("row 2: expected the folder of one image, found one around the table");
            assert!(output.status.code() == Some(1) && is_told, "{row}: {told}");
        }
    }
}
