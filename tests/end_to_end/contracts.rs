//! Names and types that other programs rely on: a change here breaks its users.

use std::fs::{self, File};
use std::path::Path;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::FileReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pdl_tests::root;
use serde_json::Value;

use crate::curated;

/// "name type", with a question mark where nulls are allowed.
fn columns(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{} {}", field.name(), type_text(field))).collect()
}

fn type_text(field: &Field) -> String {
    let name = match field.data_type() {
        DataType::List(item) => format!("list<{}>", type_text(item)),
        DataType::FixedSizeList(item, n) => format!("list<{}>[{n}]", type_text(item)),
        DataType::Struct(fields) => {
            let parts: Vec<String> =
                fields.iter().map(|f| format!("{} {}", f.name(), type_text(f))).collect();
            format!("struct<{}>", parts.join(", "))
        }
        other => other.to_string().to_lowercase(),
    };
    if field.is_nullable() { format!("{name}?") } else { name }
}

fn parquet_columns(path: &Path) -> Vec<String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    columns(builder.schema())
}

#[test]
fn cases_table() {
    let expected = [
        "case_id utf8",
        "patient_id utf8",
        "modality utf8",
        "split utf8",
        "image utf8",
        "label utf8?",
        "shape list<uint32>",
        "spacing_mm list<float64>",
        "affine list<float64>",
        "orientation utf8",
        "voxel_type utf8",
        "labels list<struct<value uint16, voxels uint64>>",
        "labels_annotated list<uint16>",
        "intensity_min float64",
        "intensity_max float64",
        "intensity_mean float64",
        "intensity_std float64",
        "intensity_p00_5 float64",
        "intensity_p99_5 float64",
        "image_blake3 utf8",
        "label_blake3 utf8?",
        "status utf8",
        "findings list<struct<code utf8, message utf8>>",
        "channels list<struct<name utf8, image utf8, image_blake3 utf8, modality utf8, voxel_type utf8, \
         intensity_min float64, intensity_max float64, intensity_mean float64, intensity_std float64, \
         intensity_p00_5 float64, intensity_p99_5 float64>>",
    ];
    assert_eq!(parquet_columns(&curated("ct").join("cases.parquet")), expected);
}

#[test]
fn pairs_table() {
    let expected = [
        "a uint32",
        "b uint32",
        "case_a utf8",
        "case_b utf8",
        "mse float32",
        "psnr float32",
        "ssim float32",
        "uqi float32",
    ];
    for part in fs::read_dir(curated("ct").join("pairs")).unwrap() {
        let path = part.unwrap().path();
        assert_eq!(parquet_columns(&path), expected);
        let metadata = pdl_store::table::read_metadata(&path, 1).unwrap();
        for fact in ["pdl.window", "pdl.data_range", "pdl.grid", "pdl.key", "pdl.parameters"] {
            assert!(metadata.contains_key(fact), "{fact}");
        }
    }
}

#[test]
fn manifest_table() {
    let expected = [
        "case_id utf8",
        "patient_id utf8",
        "modality utf8",
        "split utf8",
        "rank uint32?",
        "score float64?",
        "stage uint32?",
        "tune boolean",
        "labels_annotated list<uint16>",
        "image utf8",
        "label utf8",
        "image_blake3 utf8",
        "label_blake3 utf8",
        "group utf8?",
        "left_out utf8?",
        "images list<utf8>",
        "images_blake3 list<utf8>",
    ];
    assert_eq!(parquet_columns(&curated("ct").join("manifest.parquet")), expected);
}

#[test]
fn prepared_table() {
    let expected = [
        "case_id utf8",
        "image utf8",
        "label utf8?",
        "shape list<uint32>",
        "spacing_mm list<float64>",
        "crop_start_xyz list<uint32>",
        "crop_shape_xyz list<uint32>",
        "crop_labelled_outside uint64",
        "labels list<struct<value uint16, voxels uint64, kept float64>>",
        "image_blake3 utf8",
        "label_blake3 utf8?",
        "images list<utf8>",
        "images_blake3 list<utf8>",
    ];
    assert_eq!(parquet_columns(&curated("ct").join("prepared.parquet")), expected);
}

#[test]
fn proxies_file() {
    let file = File::open(curated("ct").join("proxies/00000.arrow")).unwrap();
    let reader = FileReader::try_new(file, None).unwrap();
    assert_eq!(columns(&reader.schema()), ["case_id utf8", "voxels list<float32>[262144]"]);
    let schema = reader.schema();
    assert_eq!(schema.metadata()["shape"], "[64,64,64]");
    assert!(schema.metadata().contains_key("grid") && schema.metadata().contains_key("mapping"));
    for batch in reader {
        let batch = batch.unwrap();
        let lists = batch.column(1).to_data();
        let voxels = lists.child_data()[0].buffers()[0].typed_data::<f32>();
        assert!(voxels.iter().all(|v| (0.0..=1.0).contains(v)));
    }
}

#[test]
fn json_files_fit_their_schemas() {
    let check = |value: &Value, schema: &str| {
        let text = fs::read_to_string(root().join(format!("schemas/{schema}.schema.json"))).unwrap();
        let validator = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
        let errors: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{schema}: {errors:?}");
        assert!(
            validator.validate(&Value::String("nonsense".to_owned())).is_err(),
            "{schema} accepts anything"
        );
    };
    for name in ["ct", "mr"] {
        let out = curated(name);
        let read = |file: &str| fs::read_to_string(out.join(file)).unwrap();
        check(&serde_json::from_str(&read("fingerprint.json")).unwrap(), "fingerprint");
        check(&serde_json::from_str(&read("plan.json")).unwrap(), "plan");
        check(&serde_json::from_str(&read("audit.json")).unwrap(), "audit");
        check(&serde_json::from_str(&read("manifest.json")).unwrap(), "manifest-info");
        for line in read("manifest.jsonl").lines() {
            check(&serde_json::from_str(line).unwrap(), "manifest");
        }
    }
    let failures = serde_json::json!([{ "case_id": "a", "stage": "prepare", "message": "why" }]);
    check(&failures, "failures");
}

#[test]
fn the_lines_are_the_tables_rows() {
    let out = curated("ct");
    let manifest = pdl_curriculum::manifest::Manifest::open(out).unwrap();
    let lines: Vec<_> = fs::read_to_string(out.join("manifest.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<pdl_curriculum::manifest::ManifestRow>(line).unwrap())
        .collect();
    assert_eq!(lines, manifest.rows);
    for row in &manifest.rows {
        assert_eq!(pdl_store::hash::of_file(&out.join(&row.image)).unwrap(), row.image_blake3);
        assert_eq!(pdl_store::hash::of_file(&out.join(&row.label)).unwrap(), row.label_blake3);
    }
}
