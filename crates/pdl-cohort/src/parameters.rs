//! Options of the index stage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Parser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CohortError;
use crate::attributes::{Modality, PetUnits};
use crate::invalid_option::InvalidOption;
use crate::labels::annotation_rule::AnnotationRule;
use crate::table::case_row;

/// Columns of a cohort's table with a fixed meaning.
const OWN_COLUMNS: [&str; 2] = ["image", "patient"];

/// Columns by which no split can be stratified.
const PATIENTS_OWN: [&str; 3] = ["case_id", "patient_id", "split"];

/// Parameters of the index stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct IndexParameters {
    /// Modality of the cohort, if its table states none; without either it is guessed from the
    /// intensities. Selects one modality of a mixed cohort.
    #[arg(long, value_enum)]
    pub modality: Option<Modality>,
    /// Directions in which the stored axes grow, such as LPS, for files whose affine is wrong;
    /// without it the affine is used.
    #[arg(long, value_name = "CODE", help_heading = "Images and labels")]
    pub orientation: Option<String>,
    /// The channel to use of cases with several, such as T1 and FLAIR: its number from 0, or its
    /// name in dataset.json or in the columns image_NAME of the cohort's table; of pictures in
    /// colour red, green or blue. All are used when not given.
    #[arg(long, value_name = "CHANNEL", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Modalities of a DICOM cohort that become channels of one case, that of the labelled series
    /// first, such as CT,PT: the series of these modalities in one study and frame of reference. A
    /// study that lacks one, or has several of one, is rejected. Without it each series is a case.
    /// Channels of files come from their names, or from the columns image_NAME of a table.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "CHANNEL,CHANNEL",
        conflicts_with = "channel",
        help_heading = "Images and labels"
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// The numbers that the chosen channels of files have in the names of these, in their order;
    /// decided by the index.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channel_numbers: Vec<u32>,
    /// Whether the channels are the colours of pictures; decided by the index.
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub colours: bool,
    /// Resample a channel that lies on another grid than the first channel, such as PET beside CT,
    /// by trilinear interpolation; without it the case is rejected.
    #[arg(long, conflicts_with = "orientation", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resample_channels: bool,
    /// The frame to use of images with several, counted from 0. Without it such images are
    /// rejected; a table may name one for each case, as in scan.nii.gz#3.
    #[arg(long, value_name = "N", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<usize>,
    /// Spacing of columns, rows and slices of stacks of slices (PNG, TIFF, JPEG) in mm, such as
    /// 0.7,0.7,2.5. The column stack_spacing of the cohort's table takes precedence; without either
    /// such cases are rejected. Their volumes are written to OUT/volumes.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "MM", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack_spacing: Option<Vec<f64>>,
    /// Directions in which columns, rows and slices of stacks of slices grow in the patient, such
    /// as RPI. The column stack_axes of the cohort's table takes precedence; without either LPS
    /// (left, posterior, superior) is assumed, with a finding.
    #[arg(long, value_name = "CODE", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack_axes: Option<String>,
    /// Fraction of the patients in the validation split.
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub val_share: f64,
    /// Fraction of the patients in the test split.
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub test_share: f64,
    /// Seed of the random assignment of patients to splits.
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Splits")]
    pub split_seed: u64,
    /// Columns by which splits and folds are stratified, such as site: columns of the cohort's
    /// table or of cases.parquet; `labels` balances the presence of every label. Patients keep the
    /// splits that they have. Not stratified when not given. To keep a site or another group whole
    /// in one split, use --group-by.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN[,COLUMN]", help_heading = "Splits")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stratify: Vec<String>,
    /// Column of the cohort's table or of cases.parquet whose groups, such as the patients of a
    /// site, are not divided by splits and folds. The fractions are then met as nearly as whole
    /// groups allow. Splits of the cohort's table take precedence. Only patients are kept whole
    /// when not given.
    #[arg(long, value_name = "COLUMN", conflicts_with = "stratify", help_heading = "Splits")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_by: Option<String>,
    /// Further columns of the cohort's table, such as site,vendor, to store in cases.parquet as
    /// text, in addition to those of --stratify. Other columns are not stored, as they may hold
    /// names, dates or numbers of patients. For a DICOM cohort: Manufacturer,
    /// ManufacturerModelName, MagneticFieldStrength, ConvolutionKernel, KVP and other keywords of
    /// the acquisition. None when not given.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN[,COLUMN]", help_heading = "Privacy")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub carry: Vec<String>,
    /// Labels to use, in order, as PATTERN=NAME (wildcards * and ?, case-insensitive; several
    /// patterns may have one name): the first name becomes label 1, a later one wins where two
    /// overlap, all others are excluded. A pattern matches structures of a DICOM cohort, segments
    /// of .seg.nrrd files, and values or names of labels in other label maps, as in
    /// 1=lung,2=lung,255=tumour; changed maps are written to OUT/volumes. If a series has several
    /// structure sets or segmentations, each structure comes from the latest that has it. When not
    /// given, label maps keep their values, and every structure of the DICOM label files is a
    /// label, in alphabetical order, where the later wins.
    #[arg(long, value_name = "PATTERN=NAME", value_delimiter = ',')]
    pub structures: Vec<String>,
    /// Which labels were annotated in a case, present or not. The column labels_annotated of the
    /// cohort's table can state them for each case (values or names separated by ; or all,
    /// or none). An annotated label without a voxel is absent; whether a label that is not
    /// annotated is present is unknown. present: the labels that the case has. all: every label of
    /// the cohort. named: those that its structure set or segmentation names. by-COLUMN: those that
    /// any case with the same value in that column has, as in by-site [default: named for DICOM and
    /// .seg.nrrd, else all; a curation folder keeps its rule].
    #[arg(long, value_name = "present|all|named|by-COLUMN", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub annotated: Option<AnnotationRule>,
    /// The label to ignore, by its value or name, such as 255 or -1: its voxels are excluded from
    /// loss, metrics and fingerprint, and it is never predicted. nnU-Net's label ignore in
    /// dataset.json needs no option. None when not given.
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true, help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// The label to ignore as it was stated, by which label files of other cohorts are read: in a
    /// curation folder `ignore` is its value after the rules for labels.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_stated: Option<String>,
    /// Regions to learn instead of labels, as NAME=LABEL+LABEL with values or names of labels, the
    /// largest first, as in tumour=1+2+3,core=2+3,enhancing=3. Each has its own output, and they
    /// may overlap. A voxel of a predicted label map gets the value of the last region that it is
    /// in: the label that no later region has, or the one stated, as in core=2+3:2. nnU-Net's
    /// regions in dataset.json are used when not given; none learns the labels instead.
    #[arg(
        long,
        value_name = "NAME=LABEL+LABEL|none",
        value_delimiter = ',',
        help_heading = "Images and labels"
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// Maximum distance from an integer at which a voxel of a label map is rounded; 0.001 when not
    /// given. Cases with voxels farther off are rejected. 0.5, the maximum, turns probability maps
    /// into masks, but a map interpolated between several labels gets wrong ones. If it is given,
    /// rounded maps are written to OUT/volumes. Not for DICOM.
    #[arg(long, value_name = "DISTANCE", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_labels: Option<f64>,
    /// Use only the structures of a DICOM cohort, or the segments of .seg.nrrd files, with these
    /// names, in this order. Names are case-insensitive, and stored as given here. All others are
    /// excluded, and no name from the files reaches OUT. Without it and --structures every
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
    /// Apply RescaleSlope and RescaleIntercept of DICOM to all MR; without it they are applied if
    /// they differ from slice to slice.
    #[arg(long, help_heading = "Images and labels")]
    pub mr_rescale: bool,
    /// Unit of the PET values of a DICOM cohort. When not given: SUV by body weight if every case
    /// of the first index has the attributes for it (unit, weight, dose, times), else as stored.
    /// The decision of the first index is kept; a later case that cannot be converted is rejected.
    #[arg(long, value_enum, value_name = "UNIT", help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pet_units: Option<PetUnits>,
    /// Resample a label map that lies on another grid than its image, label by label; without it
    /// the case is rejected. All volumes of the cohort are then written to OUT/volumes. Not for
    /// DICOM.
    #[arg(long, conflicts_with = "orientation", help_heading = "Images and labels")]
    pub resample_labels: bool,
    /// Use the image's affine for a label map of the same shape whose own affine differs; without
    /// it such cases are rejected. For label maps that were saved without origin or orientation.
    /// Each such case has a finding; check some with `pdl view`. Not for DICOM.
    #[arg(long, conflicts_with_all = ["orientation", "resample_labels"], help_heading = "Images and labels")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub copy_affine: bool,
    /// Name cases and patients of a DICOM cohort by their PatientID instead of by pseudonyms.
    #[arg(long, help_heading = "Privacy")]
    pub keep_ids: bool,
    /// Use pseudonyms for a cohort of files or a table, too: its volumes are then written to OUT
    /// under these, as those of a DICOM cohort always are.
    #[arg(long, help_heading = "Privacy")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pseudonyms: bool,
    /// The secret key of the pseudonyms, created on first use; pdl/pseudonym.key in your
    /// configuration folder when not given. Whoever has it can resolve the pseudonyms.
    #[arg(long, value_name = "FILE", help_heading = "Privacy")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pseudonym_key: Option<PathBuf>,
    /// Write a CSV file with pseudonyms and original names that only you can read (mode 0600); none
    /// when not given. Keep it apart from OUT.
    #[arg(long, value_name = "FILE", help_heading = "Privacy")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<PathBuf>,
    /// Names of labels by value, which take precedence over those of the cohort's dataset.json;
    /// `[labels]` of pdl.toml. They are stored with the cases, not with the parameters.
    #[arg(skip)]
    #[serde(skip)]
    pub label_names: BTreeMap<u16, String>,
    /// Use the default rule of `annotated` instead of that of the curation folder.
    #[arg(skip)]
    #[serde(skip)]
    pub replan: bool,
    /// Assign the splits again instead of keeping those of the curation folder, on which nothing
    /// depends yet.
    #[arg(skip)]
    #[serde(skip)]
    pub redraw: bool,
}

impl IndexParameters {
    /// The columns of the cohort's table to store: those of `carry`, and those of `stratify` and
    /// `annotated` that are not columns of `cases.parquet` anyway.
    ///
    /// # Errors
    /// [`CohortError::InvalidOption`] if the name of one is reserved, or it cannot stratify.
    pub fn carried(&self) -> Result<BTreeSet<String>, CohortError> {
        let schema = case_row::schema();
        let own = |column: &String| schema.field_with_name(column).is_ok();
        let taken = |column: &&String| own(column) || OWN_COLUMNS.contains(&column.as_str());
        if let Some(column) = self.carry.iter().find(taken) {
            let problem =
                "cases.parquet has a column of this name, or the cohort's table a fixed meaning for it";
            return Err(InvalidOption::with_value("carry", column, problem).into());
        }
        if let Some(column) = self.stratify.iter().find(|column| PATIENTS_OWN.contains(&column.as_str())) {
            let problem = "no split can be stratified by what differs from patient to patient, or by itself";
            return Err(InvalidOption::with_value("stratify", column, problem).into());
        }
        self.check_groups()?;
        let groups = self.annotated.as_ref().and_then(AnnotationRule::column).map(str::to_owned);
        let further = self.stratify.iter().chain(&groups).chain(&self.group_by).filter(|column| !own(column));
        Ok(self.carry.iter().chain(further).cloned().collect())
    }
}

impl IndexParameters {
    /// # Errors
    /// [`CohortError::InvalidOption`] if the column cannot group patients, or strata are requested,
    /// too.
    fn check_groups(&self) -> Result<(), CohortError> {
        let Some(column) = &self.group_by else { return Ok(()) };
        let problem = if PATIENTS_OWN.contains(&column.as_str()) {
            "patients are never divided, and a split is not a group"
        } else if !self.stratify.is_empty() {
            "whole groups cannot be stratified: omit --stratify"
        } else {
            return Ok(());
        };
        Err(InvalidOption::with_value("group-by", column, problem).into())
    }

    /// The value of the label to ignore, once the cohort is indexed.
    pub fn ignored_label(&self) -> Option<u16> {
        self.ignore.as_deref().and_then(|value| value.parse().ok())
    }

    /// The value to ignore, if it is one below 0, which no label has.
    pub(crate) fn ignored_below_zero(&self, dicom: bool) -> Result<Option<i32>, CohortError> {
        let value = self.ignore.as_deref().and_then(|text| text.trim().parse::<i32>().ok());
        match value.filter(|value| *value < 0) {
            Some(value) if dicom => {
                let problem = "values below 0 are for label maps in files; DICOM has none";
                Err(InvalidOption::with_value("ignore", &value, problem).into())
            }
            value => Ok(value),
        }
    }

    /// Maximum distance from an integer at which a voxel of a label map is rounded.
    pub(crate) fn rounded_within(&self, dicom: bool) -> Result<Option<f32>, CohortError> {
        let Some(distance) = self.round_labels else { return Ok(None) };
        if dicom {
            let problem = "it is for label maps in files; DICOM has whole numbers";
            return Err(InvalidOption::new("round-labels", problem).into());
        }
        if !(0.0..=0.5).contains(&distance) {
            let problem = "expected a distance from 0 to 0.5";
            return Err(InvalidOption::with_value("round-labels", &distance, problem).into());
        }
        Ok(Some(distance as f32))
    }

    /// Refuses names that are equal, and names for the labels of DICOM, which have their own.
    pub(crate) fn check_label_names(&self, dicom: bool) -> Result<(), CohortError> {
        let names = &self.label_names;
        if dicom && !names.is_empty() {
            let problem = "the labels of a DICOM cohort are named by its structures; `structures` chooses and renames \
                           them";
            return Err(CohortError::LabelNames { value: String::new(), problem: problem.to_owned() });
        }
        let mut seen = BTreeMap::new();
        for (value, name) in names {
            if *value == 0 || name.trim().is_empty() || name == "background" {
                let problem =
                    "labels are whole numbers from 1, each with a name other than 'background', which is 0";
                let value = format!("{value} = \"{name}\"");
                return Err(CohortError::LabelNames { value, problem: problem.to_owned() });
            }
            if let Some(other) = seen.insert(name.to_lowercase(), value) {
                let problem = format!(
                    "{other} and {value} have one name, '{name}'; to make them one label, state structures = \
                     [\"{other}={name}\", \"{value}={name}\"] under [index]"
                );
                return Err(CohortError::LabelNames { value: String::new(), problem });
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
