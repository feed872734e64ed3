//! What a user can choose about the index stage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Parser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::annotation_rule::AnnotationRule;
use crate::attributes::{Modality, PetUnits};
use crate::{CohortError, case_row};

/// Columns of a cohort's table that have a meaning of their own.
const OWN_COLUMNS: [&str; 2] = ["image", "patient"];

/// Columns by which no split can be stratified.
const PATIENTS_OWN: [&str; 3] = ["case_id", "patient_id", "split"];

/// Parameters of the index stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct IndexParameters {
    /// Modality of the cohort, where its table does not say; chooses one of a mixed cohort.
    #[arg(long, value_enum)]
    pub modality: Option<Modality>,
    /// Directions in which the stored axes grow, such as LPS, for files whose own affine is wrong.
    #[arg(long, value_name = "CODE", help_heading = "Images and labels")]
    pub orientation: Option<String>,
    /// The channel to take of cases that have several, such as T1 and FLAIR: its number from 0, or
    /// its name in dataset.json or in the columns image_NAME of the cohort's table. Without it all
    /// are used.
    #[arg(long, value_name = "CHANNEL", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Modalities of a DICOM cohort that are channels of one case, that of the labelled series
    /// first, such as CT,PT: of each study the series of these modalities in one frame of
    /// reference. A study without one, or with several of one, is rejected. Channels of files come
    /// from their names, or from the columns image_NAME of a table.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "MODALITY,MODALITY",
        conflicts_with = "channel",
        help_heading = "Images and labels"
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Modality>,
    /// Resample a channel that lies on another grid than the first channel, such as PET beside CT,
    /// by trilinear interpolation; without it the case is rejected.
    #[arg(long, conflicts_with = "orientation", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resample_channels: bool,
    /// The frame to take of images that hold several, counted from 0. Without it they are rejected;
    /// a table may name one for each case, as in scan.nii.gz#3.
    #[arg(long, value_name = "N", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<usize>,
    /// Millimetres between columns, rows and slices of stacks of slices (PNG, TIFF, JPEG), such as
    /// 0.7,0.7,2.5. What the cohort's table says (column stack_spacing) counts first; without
    /// either such cases are rejected. Their volumes are kept in OUT/volumes.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "MM", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack_spacing: Option<Vec<f64>>,
    /// Where in the patient columns, rows and slices of stacks of slices run to, such as RPI. What
    /// the cohort's table says (column stack_axes) counts first; without either they are taken as
    /// LPS (left, posterior, superior), which is told.
    #[arg(long, value_name = "CODE", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack_axes: Option<String>,
    /// Share of the patients in the validation split.
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub val_share: f64,
    /// Share of the patients in the test split.
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub test_share: f64,
    /// Seed of the random assignment of patients to splits.
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Splits")]
    pub split_seed: u64,
    /// Columns by which the split is stratified: of the cohort's table, such as site, or of
    /// cases.parquet; `labels` balances every label by its presence. A patient keeps a split that
    /// it has. Folds are stratified alike; nothing is when not given. To keep a site or another
    /// group whole in one split, use --group-by.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN[,COLUMN]")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stratify: Vec<String>,
    /// Column whose groups, such as the patients of a site, are each kept whole in one split: of
    /// the cohort's table, or of cases.parquet. Shares are then met as nearly as whole groups
    /// allow. Splits that the cohort's table gives hold all the same. Folds keep groups whole, too;
    /// only patients are kept whole when not given.
    #[arg(long, value_name = "COLUMN", conflicts_with = "stratify", help_heading = "Splits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// Further columns of the cohort's table, such as site,vendor, to keep in cases.parquet as
    /// text. No other column is, as it may hold names, dates or numbers of patients; those of
    /// --stratify are. Of a DICOM cohort: Manufacturer, ManufacturerModelName,
    /// MagneticFieldStrength, ConvolutionKernel, KVP and other keywords that say how an image was
    /// acquired. None when not given.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN[,COLUMN]", help_heading = "Privacy")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub carry: Vec<String>,
    /// Labels in order, as PATTERN=NAME (* and ? stand for anything, upper and lower case are one;
    /// several patterns may give one name): the first name becomes label 1, a later one wins where
    /// two overlap, all others are left out. A pattern stands for structures of a DICOM cohort, for
    /// segments of .seg.nrrd files, and for values or names of labels in other label maps, as in
    /// 1=lung,2=lung,255=tumour; such maps are kept in OUT/volumes. Of several structure sets or
    /// segmentations of a series each comes from the latest that has it. When not given, label
    /// maps keep their values, and of DICOM every structure of the latest is a label, in the order
    /// of the alphabet, and the later wins.
    #[arg(long, value_name = "PATTERN=NAME", value_delimiter = ',')]
    pub structures: Vec<String>,
    /// Which labels were looked for in a case. The cohort's table can say it for each (column
    /// labels_annotated: values or names with ; between them, all, or none). A label that was
    /// looked for and is not there is background; of one that was not looked for nothing is known.
    /// present: those that the case has. all: every label of the cohort. named: those that its
    /// structure set or segmentation names. by-COLUMN: those that any case with the same value of
    /// that column has, as in by-site [default: named for DICOM and .seg.nrrd, else all; a
    /// curation folder keeps its rule].
    #[arg(long, value_name = "present|all|named|by-COLUMN", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub annotated: Option<AnnotationRule>,
    /// The label of voxels that say nothing, by its value or name, such as 255: they are left out
    /// of loss, metrics and fingerprint and are never predicted. A label that dataset.json calls
    /// ignore (nnU-Net) is one by itself. None when not given.
    #[arg(long, value_name = "LABEL", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// Regions to learn instead of labels, as NAME=LABEL+LABEL with values or names of labels, the
    /// largest first, as in tumour=1+2+3,core=2+3,enhancing=3. Each gets an output of its own, and
    /// they may overlap. A voxel of a predicted label map gets the value of the last region that it
    /// is in: the label of it that no later region has, or the one that is stated, as in
    /// core=2+3:2. Regions of dataset.json (nnU-Net) are learnt by themselves; none learns its
    /// values.
    #[arg(
        long,
        value_name = "NAME=LABEL+LABEL|none",
        value_delimiter = ',',
        help_heading = "Images and labels"
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// How far a voxel of a label map may be from a whole number to be rounded to it; 0.001 when
    /// not given. At 0.5, the most, a probability map becomes a mask; between labels that touch,
    /// interpolation leaves numbers of others. Cases with numbers that are farther off are
    /// rejected. Where this is given, such maps are kept in OUT/volumes. Not for DICOM.
    #[arg(long, value_name = "DISTANCE", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_labels: Option<f64>,
    /// Use only the structures of a DICOM cohort, or the segments of .seg.nrrd files, with these
    /// names, in order, as they are written here. Upper and lower case are one. All others are left
    /// out, and no name out of the files reaches OUT. Without it, and without --structures, every
    /// structure is used.
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "structures",
        help_heading = "Privacy"
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub structures_only: Vec<String>,
    /// Apply RescaleSlope and RescaleIntercept of DICOM to all MR; without it they are applied
    /// where they differ from slice to slice.
    #[arg(long, help_heading = "Images and labels")]
    pub mr_rescale: bool,
    /// Unit of the PET values of a DICOM cohort. When not given: SUV by body weight where every
    /// case of the first index has what it takes (unit, weight, dose, times), else as stored. What
    /// the first index decides is kept; a later case that lacks it is rejected.
    #[arg(long, value_enum, value_name = "UNIT", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pet_units: Option<PetUnits>,
    /// Resample a label map that lies on another grid than its image, label by label; without it
    /// the case is rejected. All volumes of the cohort are then kept in OUT/volumes. Not for DICOM.
    #[arg(long, conflicts_with = "orientation", help_heading = "Images and labels")]
    pub resample_labels: bool,
    /// Take the voxels of a label map as those of its image, whatever its own affine says, where
    /// both have the same shape: for label maps that were saved without their origin or
    /// orientation. It is told of each; look at some in `pdl view`. Not for DICOM.
    #[arg(long, conflicts_with_all = ["orientation", "resample_labels"], help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub copy_affine: bool,
    /// Name cases and patients of a DICOM cohort by their PatientID instead of by pseudonyms.
    #[arg(long, help_heading = "Privacy")]
    pub keep_ids: bool,
    /// Give pseudonyms to a cohort that is named by files or a table, too: its volumes are then
    /// kept under these in OUT, as those of a DICOM cohort always are.
    #[arg(long, help_heading = "Privacy")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pseudonyms: bool,
    /// The secret key of the pseudonyms, made on first use; pdl/pseudonym.key in your configuration
    /// folder when not given. Who has it can tell whose a pseudonym is.
    #[arg(long, value_name = "FILE", help_heading = "Privacy")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pseudonym_key: Option<PathBuf>,
    /// Writes a CSV file that says which pseudonym is whose, for you alone (mode 0600); none
    /// when not given. Keep it apart from OUT.
    #[arg(long, value_name = "FILE", help_heading = "Privacy")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<PathBuf>,
    /// Names of labels by value, which win over those of the cohort's dataset.json; `[labels]` of
    /// pdl.toml. They are kept with the cases, not with the parameters.
    #[arg(skip)]
    #[serde(skip)]
    pub label_names: BTreeMap<u16, String>,
    /// Take the default rule of `annotated` instead of that of the curation folder.
    #[arg(skip)]
    #[serde(skip)]
    pub replan: bool,
    /// Draw the splits anew instead of keeping those of the curation folder: nothing depends on
    /// them yet.
    #[arg(skip)]
    #[serde(skip)]
    pub redraw: bool,
}

impl IndexParameters {
    /// The columns of the cohort's table to keep: those of `carry`, and those of `stratify` and
    /// `annotated` that are no columns of `cases.parquet` anyway.
    ///
    /// # Errors
    /// [`CohortError::Option`] when one of them has the name of something else, or cannot stratify.
    pub fn carried(&self) -> Result<BTreeSet<String>, CohortError> {
        let schema = case_row::schema();
        let own = |column: &String| schema.field_with_name(column).is_ok();
        let taken = |column: &&String| own(column) || OWN_COLUMNS.contains(&column.as_str());
        if let Some(column) = self.carry.iter().find(taken) {
            let problem =
                "cases.parquet has a column of this name, or the cohort's table a fixed meaning for it";
            return Err(CohortError::Option(format!("--carry {column}: {problem}")));
        }
        if let Some(column) = self.stratify.iter().find(|column| PATIENTS_OWN.contains(&column.as_str())) {
            let problem = "no split can be stratified by what differs from patient to patient, or by itself";
            return Err(CohortError::Option(format!("--stratify {column}: {problem}")));
        }
        self.check_groups()?;
        let groups = self.annotated.as_ref().and_then(AnnotationRule::column).map(str::to_owned);
        let further = self.stratify.iter().chain(&groups).chain(&self.group_by).filter(|column| !own(column));
        Ok(self.carry.iter().chain(further).cloned().collect())
    }
}

impl IndexParameters {
    /// # Errors
    /// [`CohortError::Option`] when the column can group nobody, or strata are asked for, too.
    fn check_groups(&self) -> Result<(), CohortError> {
        let Some(column) = &self.group_by else { return Ok(()) };
        let problem = if PATIENTS_OWN.contains(&column.as_str()) {
            "patients are always kept whole, and a split is no group"
        } else if !self.stratify.is_empty() {
            "whole groups cannot be stratified: leave --stratify out"
        } else {
            return Ok(());
        };
        Err(CohortError::Option(format!("--group-by {column}: {problem}")))
    }

    /// The value of the label whose voxels say nothing, once the cohort is indexed.
    pub fn ignored_label(&self) -> Option<u16> {
        self.ignore.as_deref().and_then(|value| value.parse().ok())
    }

    /// How far from a whole number a voxel of a label map may be.
    pub(crate) fn rounded_within(&self, dicom: bool) -> Result<Option<f32>, CohortError> {
        let Some(distance) = self.round_labels else { return Ok(None) };
        if dicom {
            let problem = "--round-labels: it is for label maps in files; DICOM has whole numbers";
            return Err(CohortError::Option(problem.to_owned()));
        }
        if !(0.0..=0.5).contains(&distance) {
            let problem = format!("--round-labels: expected a distance from 0 to 0.5, found {distance}");
            return Err(CohortError::Option(problem));
        }
        Ok(Some(distance as f32))
    }

    /// Refuses names that could not be told apart, and names for the labels of DICOM, which have
    /// their own.
    pub(crate) fn check_label_names(&self, dicom: bool) -> Result<(), CohortError> {
        let names = &self.label_names;
        if dicom && !names.is_empty() {
            let problem = "[labels]: the labels of a DICOM cohort are named by its structures; `structures` chooses \
                           and renames them";
            return Err(CohortError::Option(problem.to_owned()));
        }
        let mut seen = BTreeMap::new();
        for (value, name) in names {
            if *value == 0 || name.trim().is_empty() || name == "background" {
                let problem =
                    "labels are whole numbers from 1, each with a name other than 'background', which is 0";
                return Err(CohortError::Option(format!("[labels] {value} = \"{name}\": {problem}")));
            }
            if let Some(other) = seen.insert(name.to_lowercase(), value) {
                return Err(CohortError::Option(format!(
                    "[labels]: {other} and {value} have one name, '{name}'; to make them one label, state \
                     structures = [\"{other}={name}\", \"{value}={name}\"] under [index]"
                )));
            }
        }
        Ok(())
    }
}

impl Default for IndexParameters {
    /// The defaults of the flags.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct NoFlags {
            #[command(flatten)]
            parameters: IndexParameters,
        }
        NoFlags::parse_from(["pdl"]).parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(carry: &[&str], stratify: &[&str]) -> Result<Vec<String>, String> {
        let texts = |columns: &[&str]| columns.iter().map(|column| (*column).to_owned()).collect();
        let parameters =
            IndexParameters { carry: texts(carry), stratify: texts(stratify), ..Default::default() };
        parameters.carried().map(Vec::from_iter).map_err(|error| error.to_string())
    }

    #[test]
    fn only_named_columns_are_carried_and_none_under_another_ones_name() {
        assert_eq!(carried(&[], &["labels", "modality"]).unwrap(), [""; 0]);
        assert_eq!(carried(&["vendor"], &["site", "labels"]).unwrap(), ["site", "vendor"]);
        for taken in ["patient", "patient_id", "split", "image", "labels"] {
            assert!(carried(&[taken], &[]).unwrap_err().contains(&format!("--carry {taken}")));
        }
        assert!(carried(&[], &["split"]).unwrap_err().contains("--stratify split"));
        let by = |column: &str, stratify: &[&str]| {
            let stratify = stratify.iter().map(|column| (*column).to_owned()).collect();
            let group_by = Some(column.to_owned());
            IndexParameters { group_by, stratify, ..Default::default() }.carried().map(Vec::from_iter)
        };
        assert_eq!(by("site", &[]).unwrap(), ["site"]);
        assert!(by("patient_id", &[]).is_err() && by("site", &["labels"]).is_err());
    }
}
