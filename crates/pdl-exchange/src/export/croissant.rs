//! Croissant 1.1 (MLCommons): a JSON-LD description of the manifest and the prepared volumes.
//!
//! The description holds the manifest's SHA-256, and the manifest the BLAKE3 of every volume, so
//! the description covers all files.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use pdl_cohort::attributes::Split;
use pdl_curriculum::manifest::TABLE_FILE;
use pdl_store::{StoreError, atomic, json, paths};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::ExchangeError;
use crate::export::context::ExportContext;
use crate::export::files::TransferMode;

/// Prefixes and terms of Croissant's specification (as mlcroissant 1.1.1 writes them).
const CONTEXT: &str = include_str!("croissant-context.json");

/// Fields of the record set: column of the manifest, Croissant's data type, description.
const FIELDS: [(&str, &str, &str); 12] = [
    ("case_id", "sc:Text", "Id of the case."),
    ("patient_id", "sc:Text", "Id of the patient."),
    ("modality", "sc:Text", "Imaging modality: CT, MR, PT or OT."),
    ("split", "sc:Text", "train, val or test; the same for all cases of a patient."),
    ("rank", "sc:Integer", "Rank in the curriculum, from 1; training cases only, unless they are excluded."),
    ("score", "sc:Float", "Score of the ranking; larger is more typical of the training cases."),
    ("stage", "sc:Integer", "Stage, from 0, at which the case joins; ranked cases only."),
    ("tune", "sc:Boolean", "Whether the case belongs to the tuning subset."),
    ("image", "sc:Text", "Path of the image (NIfTI), relative to the manifest."),
    ("label", "sc:Text", "Path of the label map (NIfTI), relative to the manifest."),
    ("image_blake3", "sc:Text", "BLAKE3 of the image's file."),
    ("label_blake3", "sc:Text", "BLAKE3 of the label map's file."),
];

/// Writes `croissant.json` and, unless the volumes are referenced, `manifest.parquet` beside it.
pub(crate) fn write(export: &ExportContext<'_>) -> Result<Vec<String>, ExchangeError> {
    let source = export.out.join(TABLE_FILE);
    let mut lists = vec!["croissant.json".to_owned()];
    let folder = if export.transfer == TransferMode::Reference {
        format!("{}/", paths::relative(export.dest, export.out))
    } else {
        let table = fs::read(&source).map_err(StoreError::io("read the manifest", &source))?;
        atomic::write_if_changed(&export.dest.join(TABLE_FILE), &table)?;
        lists.push(TABLE_FILE.to_owned());
        String::new()
    };
    let path = export.dest.join("croissant.json");
    let context =
        serde_json::from_str(CONTEXT).map_err(|source| StoreError::Json { path: path.clone(), source })?;
    json::write(&path, &description(export, &folder, &sha256(&source)?, &context))?;
    Ok(lists)
}

fn sha256(path: &Path) -> Result<String, StoreError> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).map_err(StoreError::io("read the manifest", path))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match io::Read::read(&mut file, &mut buffer).map_err(StoreError::io("read the manifest", path))? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// `folder` leads from the description to the manifest; empty, or with a trailing slash.
fn description(export: &ExportContext<'_>, folder: &str, sha256: &str, context: &Value) -> Value {
    let info = &export.manifest.info;
    let labels: Vec<String> =
        info.labels.iter().map(|label| format!("{} {}", label.value, label.name)).collect();
    let [train, val, test] = [Split::Train, Split::Val, Split::Test].map(|split| export.of(split).count());
    let stages: Vec<String> = info
        .stages
        .iter()
        .map(|stage| format!("{} from epoch {}", stage.active_cases, stage.first_epoch))
        .collect();
    let volumes = |id: &str, what: &str| {
        json!({
            "@type": "cr:FileSet",
            "@id": id,
            "name": id,
            "description": what,
            "encodingFormat": "application/gzip",
            "includes": format!("{folder}prepared/{id}/*.nii.gz"),
        })
    };
    let field = |(column, kind, what): &(&str, &str, &str)| {
        json!({
            "@type": "cr:Field",
            "@id": format!("cases/{column}"),
            "name": column,
            "description": what,
            "dataType": kind,
            "source": {"fileObject": {"@id": "manifest"}, "extract": {"column": column}},
        })
    };
    let images = ("images", "sc:Text", "Paths of the images of all channels, relative to the manifest.");
    let several = export.has_channels().then(|| {
        let mut images = field(&images);
        let names: Vec<String> = export.channels().map(|(_, name)| name).collect();
        images["repeated"] = true.into();
        images["description"] =
            format!("Paths of the images of the channels {}, relative to the manifest.", names.join(", "))
                .into();
        images
    });
    json!({
        "@context": context,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": "pdl",
        "description": format!(
            "{} volumes prepared for segmentation by pdl, with a curriculum: {train} training, {val} validation and \
             {test} test cases. Labels: 0 background, {}. Training cases by stage: {}.",
            info.modality, labels.join(", "), stages.join(", "),
        ),
        "version": format!("1.0.0+{}", &info.hashes.manifest[..12.min(info.hashes.manifest.len())]),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "manifest",
                "name": TABLE_FILE,
                "description": "A row per case, training cases in the order of their ranks.",
                "contentUrl": format!("{folder}{TABLE_FILE}"),
                "encodingFormat": "application/x-parquet",
                "sha256": sha256,
            },
            volumes("images", "The prepared images, NIfTI-1."),
            volumes("labels", "The prepared label maps, NIfTI-1."),
        ],
        "recordSet": [{
            "@type": "cr:RecordSet",
            "@id": "cases",
            "name": "cases",
            "description": "The cases, training cases in the order of their ranks.",
            "key": {"@id": "cases/case_id"},
            "field": FIELDS.iter().map(field).chain(several).collect::<Vec<_>>(),
        }],
    })
}
