//! The codes of all findings, each with its severity, an explanation and advice.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What becomes of what a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record: what was done, and nothing that needs a look.
    Note,
    /// The case is used, and a person should look at it.
    Warning,
    /// The case is not used.
    Rejection,
}

impl Severity {
    /// The word for it in tables: "note", "warning" or "rejection".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Rejection => "rejection",
        }
    }
}

/// A text that is the code of no finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode(pub String);

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown finding code \"{}\": it may come from a newer version of pdl", self.0)
    }
}

impl std::error::Error for UnknownCode {}

/// Defines [`Code`] from rows of variant, text, severity, explanation and advice, so that none can
/// lack one of them.
macro_rules! codes {
    ($($variant:ident = $text:literal, $severity:ident, $explanation:literal, $advice:literal;)*) => {
        /// What a finding is about. Variants are in the order of their texts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $explanation] $variant,)*
        }

        impl Code {
            /// All codes, in the order of their texts.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The text that files, reports and messages show, such as "no-label".
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What becomes of the case that has such a finding.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What was seen, in one sentence.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation,)* }
            }

            /// What to do about it, in one sentence.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

codes! {
    AnnotationKept = "annotation-kept", Warning,
        "The folder keeps the rule by which it was made for labels that a case lacks, though the default is another.",
        "Take the default with `--replan`, or state the rule with `--annotated`.";
    BurnedInAnnotation = "burned-in-annotation", Warning,
        "The files state that text is burned into the pixels.",
        "Look at the case in `pdl view`: leave it out where a name can be read.";
    CarriedColumn = "carried-column", Warning,
        "A column that `--carry` keeps has a value of its own for most patients.",
        "Leave the column out if its values can tell who the patients are.";
    CaseIdChanged = "case-id-changed", Warning,
        "A case has another id than in the run before.",
        "The message says why; results under the old id are made again.";
    CaseIdShared = "case-id-shared", Warning,
        "The table of an earlier run gave several cases one id; each has an id of its own now.",
        "Results of these cases are made again; trainings made before hold one of them in the place of the others.";
    ChannelGridMismatch = "channel-grid-mismatch", Rejection,
        "A channel lies on another grid than the first channel.",
        "Take it all the same with `--resample-channels`, or register the images and give it again.";
    ChannelResampled = "channel-resampled", Note,
        "A channel lay on another grid than the first channel and was resampled to it, as `--resample-channels` asks.",
        "Look at it in `pdl view --channel NAME`: resampling aligns grids, not anatomy.";
    ConstantImage = "constant-image", Rejection,
        "Every voxel of the image has the same value.",
        "Look at the source file; the export of the image has failed.";
    ContourVolume = "contour-volume", Warning,
        "The mask of a structure has another volume than its contours enclose.",
        "Look at the structure in `pdl view`; contours may be missing, or smaller than the voxels.";
    ContoursFinerThanSlices = "contours-finer-than-slices", Warning,
        "A structure is drawn on planes closer together than the slices; on each slice the nearest one was used.",
        "Check that the structure set belongs to this series.";
    ContoursOffSeries = "contours-off-series", Warning,
        "Contours of a structure belong to no slice of its image series and were left out.",
        "Check that the structure set belongs to this series.";
    ContoursOffSlice = "contours-off-slice", Warning,
        "Contours of a structure lie between slices and were drawn on the nearest one.",
        "Check the structure in `pdl view`; the set may have been made on another series.";
    CropExtended = "crop-extended", Warning,
        "The crop of some cases was extended so that no label is cut off.",
        "New images have no labels to extend the crop by: use a crop that holds the labels by itself.";
    DamagedContours = "damaged-contours", Warning,
        "Contours of a structure have no points, too few or invalid ones, and were left out.",
        "Check the structure in the planning system, and export it again.";
    Drift = "drift", Warning,
        "Test cases are less similar to the training cases than a random division of the patients makes them.",
        "Check sites, scanners and protocols of the splits, or stratify by them (`--stratify`).";
    DuplicateImage = "duplicate-image", Warning,
        "The image is equal, voxel for voxel, to that of another case.",
        "Remove one of the two, or name their patients as one (`--same-patient`).";
    EmptyLabel = "empty-label", Rejection,
        "The label map holds background only, and no label was looked for in the case.",
        "Annotate the case, leave it out, or state with `--annotated all` that it is a negative.";
    FewGroups = "few-groups", Warning,
        "There are too few groups to hold any out.",
        "Group by another column, or leave `--group-by` out.";
    FewPatients = "few-patients", Warning,
        "There are too few patients to hold any out for validation and test.",
        "Add patients, or give the splits in a column `split`.";
    FilesSetAside = "files-set-aside", Note,
        "Files of a DICOM tree belong to no case.",
        "`sources.parquet` lists them, each with the reason.";
    FoldsGiven = "folds-given", Note,
        "A datalist assigns its cases to folds.",
        "The column `fold` has them; `pdl import --fold K` holds one of them out for validation.";
    FractionalSegment = "fractional-segment", Note,
        "A segmentation holds fractions; half the largest value and more is inside.",
        "Compare the structure's volume with what it should be.";
    GantryTilt = "gantry-tilt", Note,
        "The slices are tilted against the axis of the table and were resampled to a right-angled grid.",
        "Nothing; the figures say by how much.";
    GridMismatch = "grid-mismatch", Rejection,
        "The label map lies on another grid than its image.",
        "Check that the two belong together; `--resample-labels` resamples the label map.";
    GroupDivided = "group-divided", Warning,
        "Patients of one group are in several splits.",
        "State one split for the whole group in the table's column `split`, or index anew without these splits.";
    ImagesUnused = "images-unused", Note,
        "Images of the cohort are part of no case.",
        "Name them in a table, with columns such as `image_FLAIR`, if they should be.";
    ImplausibleSize = "implausible-size", Rejection,
        "The image's voxels, or the image as a whole, are larger or smaller than any body's.",
        "The header may give lengths in another unit than it says: mend its spacing.";
    Inverted = "inverted", Note,
        "Pixels are dark where their values are large (MONOCHROME1); the stored values are kept.",
        "Leave the case out, or invert it, where the other cases are MONOCHROME2.";
    JoinedSeries = "joined-series", Warning,
        "Series of one slice position each were joined to one volume.",
        "Check the volume: the scanner's export gave each slice a series of its own.";
    LabelAbsent = "label-absent", Warning,
        "Labels are absent from some cases; the message says whether they count as looked for there.",
        "State with `--annotated` or a column `labels_annotated` which labels were looked for.";
    LabelAbsentInGroup = "label-absent-in-group", Warning,
        "A whole site, source or folder never has a label that counts as looked for there.",
        "Where nobody looked for it, state that with `--annotated by-COLUMN` or a column `labels_annotated`.";
    LabelAffineReplaced = "label-affine-replaced", Warning,
        "The label map states another grid than its image and was taken voxel for voxel as the image's.",
        "Check in `pdl view` that labels lie where they should.";
    LabelBeyondImage = "label-beyond-image", Warning,
        "Part of a segmentation lies outside its image and was cut off.",
        "Check that the segmentation belongs to this series.";
    LabelDisagrees = "label-disagrees", Warning,
        "Labels differ from what similar cases lead one to expect: in side, place or size, or by being there or not.",
        "Look at them in `pdl view`; write yes or no into the column right of `label-review.csv`.";
    LabelIgnored = "label-ignored", Note,
        "Voxels of one label say nothing, and are left out of fingerprint, loss and metrics.",
        "Nothing, if that is meant; a label of another name than ignore is one of the cohort.";
    LabelNamesJoined = "label-names-joined", Warning,
        "Structures whose names are equal, or differ in case and spaces only, are one label.",
        "Rename them, or join and part them with `--structures`, if they are different things.";
    LabelNamesMissing = "label-names-missing", Warning,
        "Some label maps of the cohort name their labels and others do not.",
        "Check that the values of those without names mean what `[labels]` says.";
    LabelNamesSimilar = "label-names-similar", Warning,
        "Names of labels differ in spaces, hyphens and underscores only, and are labels of their own.",
        "Join them with `--structures` if they are one thing.";
    LabelNotAnnotated = "label-not-annotated", Warning,
        "The label map holds a label that the table does not list among those that were looked for.",
        "Correct the column `labels_annotated`, or remove the label.";
    LabelOutsideImage = "label-outside-image", Rejection,
        "The whole label map lies outside its image.",
        "Check that the two belong together, and their affines.";
    LabelOutsideRegions = "label-outside-regions", Warning,
        "Labels belong to none of the cohort's regions, which a network learns instead of labels.",
        "Add them to a region (`--regions`, `dataset.json`), or leave them out with `--structures`.";
    LabelResampled = "label-resampled", Note,
        "The label map lay on another grid and was resampled to that of its image.",
        "Compare the volumes before and after in the message.";
    LabelRounded = "label-rounded", Warning,
        "Voxels of the label map were no whole numbers, but so near to one that they were rounded.",
        "Nothing; save label maps as whole numbers without scaling. `--round-labels` says how near is near enough.";
    LabelShrunk = "label-shrunk", Warning,
        "A label has less than half of its volume left at the target spacing.",
        "Prepare at a finer `--spacing`; `labels` in `prepared.parquet` lists what is left of each label.";
    LabelValueSets = "label-value-sets", Warning,
        "Label maps of the cohort hold different values, and nothing says what these mean.",
        "Check that each value is one structure in every case: name the values in `[labels]`, or say with `--structures` what each becomes.";
    LabelValuesByName = "label-values-by-name", Note,
        "Files give one structure different label values; labels go by the names in the files.",
        "Nothing; `cases.parquet` says which value each name has in the cohort.";
    LabelVanished = "label-vanished", Warning,
        "A label has no voxel left at the target spacing: nothing of it is learnt from the case.",
        "Prepare at a finer `--spacing`; `labels` in `prepared.parquet` lists what is left of each label.";
    LabelVoxelsUnnamed = "label-voxels-unnamed", Warning,
        "Voxels have a value that none of the file's segments has; they became background.",
        "Look at the segmentation in the program that wrote it.";
    LabelsUnknown = "labels-unknown", Warning,
        "Names, or a column `labels_annotated`, are given for label values that no case has.",
        "Correct the values in `pdl.toml`, `dataset.json` or the table.";
    LinkOutside = "link-outside", Note,
        "Files or folders of the cohort are links that lead out of it; they are read.",
        "Nothing, unless the links are not yours.";
    LoneLabel = "lone-label", Warning,
        "A label occurs in one case only, or is missing from one case only.",
        "Check the case: its label may bear a wrong value.";
    MissingChannel = "missing-channel", Rejection,
        "The case lacks an image of a channel that other cases have.",
        "Add the file, or take one channel of every case with `--channel`.";
    MissingContours = "missing-contours", Warning,
        "A structure has no contour on some slices between its first and its last.",
        "Check whether the structure was left incomplete.";
    MissingSlice = "missing-slice", Warning,
        "A slice of the series is missing and was interpolated from its neighbours.",
        "Export the series again.";
    ModalityGuessed = "modality-guessed", Warning,
        "Nothing states the modality; it was guessed from the intensities.",
        "State it with `--modality` or a column `modality`.";
    NameCharacters = "name-characters", Warning,
        "The file does not say what all characters of a structure's name are.",
        "Check the name; rename the structure with `--structures`.";
    NameMasked = "name-masked", Note,
        "A structure's name held a name, an id or a date of a person that headers hold, too, which was masked.",
        "Rename the structure with `--structures`.";
    NameNotText = "name-not-text", Rejection,
        "The path of a file is not UTF-8, so that no table can hold it.",
        "Rename the file, or the folder that the message tells of.";
    NarrowWindow = "narrow-window", Warning,
        "The labels' intensities cover so little of the images' own that images were compared by their own instead.",
        "Check the training images; `--normalise window` with `--intensity-window` shows more of them.";
    NegativeCase = "negative-case", Note,
        "The label map holds background only; the case counts as searched for every label and without any.",
        "Nothing, if that is so; else say with `--annotated` or a column `labels_annotated` what was looked for.";
    NoContours = "no-contours", Note,
        "A structure set names a structure and has no contours of it.",
        "Nothing, unless the structure should be there.";
    NoImage = "no-image", Rejection,
        "A label has no image.",
        "Add the image, or check how files are named.";
    NoLabel = "no-label", Warning,
        "An image has no label: it is prepared and compared with the others, and no network is trained on it.",
        "Annotate the case (`pdl select` ranks what to annotate next), or check how files are named.";
    NoPatientId = "no-patient-id", Warning,
        "The DICOM files name no patient; each study counts as a patient.",
        "Give the patients in a table (`cohort.csv`).";
    NoSopClass = "no-sop-class", Note,
        "The DICOM file does not say what kind of object it is; it was taken for what its contents show.",
        "Nothing, unless the case looks wrong.";
    NoStackSpacing = "no-stack-spacing", Rejection,
        "A stack of slices has no voxel size.",
        "Give it in mm with `--stack-spacing X,Y,Z` or a column `stack_spacing`.";
    NoSuchChannel = "no-such-channel", Rejection,
        "The case lacks the channel that was chosen.",
        "Choose another with `--channel`, or add the file.";
    NoTransform = "no-transform", Warning,
        "The header does not say how the image lies in the patient; its axes were taken as RAS.",
        "Check left and right in `pdl view`, or state them with `--orientation`.";
    NotFinite = "not-finite", Rejection,
        "Voxels are NaN or infinite.",
        "Look at the source file; the conversion of the image has failed.";
    NotHounsfield = "not-hounsfield", Warning,
        "The intensities of a CT are no Hounsfield units.",
        "Export it again with its rescale slope and intercept, or leave it out.";
    ObliqueContours = "oblique-contours", Warning,
        "Contours of a structure lie oblique to the slices and were left out.",
        "Check the structure in the planning system; it may have been drawn on another series.";
    OddHeader = "odd-header", Warning,
        "The header breaks its format's rules in a way that could be read all the same.",
        "Check the case in `pdl view`.";
    OnePatientTwoIds = "one-patient-two-ids", Warning,
        "Two cases with the same image are of two patients.",
        "Name the patients as one with `--same-patient`, or correct the table.";
    OneSlice = "one-slice", Warning,
        "The series has a single slice.",
        "Check that the series is complete.";
    OpenContours = "open-contours", Warning,
        "Contours of a structure are not closed and were left out.",
        "Check the structure in the planning system.";
    OrientationOverridden = "orientation-overridden", Note,
        "`--orientation` replaced the orientation that the header states.",
        "Check left and right in `pdl view`.";
    OtherFrameOfReference = "other-frame-of-reference", Warning,
        "A structure is drawn in another frame of reference than the image's; the message says whether it was left out.",
        "Use the structure set that was drawn on this series, or register the two.";
    OtherHandedness = "other-handedness", Warning,
        "The image is stored mirrored against nearly all others.",
        "Check left and right: a converter may have flipped it.";
    OtherModality = "other-modality", Rejection,
        "The case is of another modality than the cohort.",
        "Curate each modality by itself.";
    OtherPetUnit = "other-pet-unit", Rejection,
        "The PET values of the case cannot be converted to the unit of the cohort.",
        "Mend the attribute that the message names, or curate the cohort anew with `--pet-units stored`.";
    OtherUnit = "other-unit", Warning,
        "The image's header gives lengths in another unit than mm; they were converted.",
        "Check that the spacing is that of the scan.";
    Outliers = "outliers", Warning,
        "Training cases are dissimilar to all others.",
        "Look at them in the report; they stay in the curriculum.";
    OverlappingContours = "overlapping-contours", Warning,
        "Contours of one structure overlap in part on a slice and were joined.",
        "Check in `pdl view` that none of them was meant as a hole.";
    OverlappingStructures = "overlapping-structures", Warning,
        "Structures overlap; voxels that both hold went to one of them.",
        "State the order with `--structures`.";
    PaddedProxies = "padded-proxies", Warning,
        "Some cases are much smaller than the grid on which cases are compared.",
        "Check whether these images show the same region as the others.";
    PatientAssumed = "patient-assumed", Warning,
        "Nothing names the patient; the case counts as a patient of its own.",
        "Give a column `patient` where a patient has several images.";
    PetUnits = "pet-units", Warning,
        "PET values are kept in the units that the files have, as not all can be converted to SUVbw.",
        "Mend the attributes that the message names, leave the cases out, or state `--pet-units`.";
    PixelSizeAssumed = "pixel-size-assumed", Warning,
        "Nothing states the size of the pixels of 2-D images; 1 mm is taken.",
        "State it with `--stack-spacing X,Y,1` if distances in mm should mean something.";
    PlanDrift = "plan-drift", Warning,
        "The training cases have changed since the plan was made, and a new plan would differ.",
        "Keep the plan, or make it anew with `--replan`.";
    PlanWithoutLabels = "plan-without-labels", Warning,
        "No training case has a label: the intensities of the plan are those of whole bodies.",
        "Annotate some cases (`pdl select` names them), then give `--replan` once.";
    PsnrRepeatsMse = "psnr-repeats-mse", Note,
        "PSNR orders pairs exactly as MSE does.",
        "Do not count it as a further metric.";
    RankedWithoutValue = "ranked-without-value", Warning,
        "Cases are ranked by a column in which some training cases have no value; these come last.",
        "Import the results of all training cases, or leave the others out with `--keep`.";
    RareLabel = "rare-label", Warning,
        "A label occurs in few cases of a split.",
        "Do not read much into its Dice there, or stratify by labels.";
    RepeatedContours = "repeated-contours", Note,
        "Contours of a structure are on a slice twice and count once.",
        "Nothing.";
    RepeatedFile = "repeated-file", Note,
        "Files of the series are there twice; one of each was read.",
        "Nothing.";
    RepeatedSlice = "repeated-slice", Warning,
        "Slices of the series are there more than once under different UIDs, voxel for voxel; one of each was read.",
        "Check the export of the series: slices may have been sent twice.";
    SamePatient = "same-patient", Warning,
        "Two patients are in all likelihood one and were joined, or were left in two splits that the table gives.",
        "Look at the pair; `same-patient.csv` takes the decision.";
    SecondaryCapture = "secondary-capture", Warning,
        "Files of a DICOM tree are secondary captures, such as photographs of screens; they are not read.",
        "Names can stand in their pixels: leave them out where you give the tree away.";
    SeveralFiles = "several-files", Rejection,
        "Several files could be the image or the label of the case.",
        "Name one of them in `cohort.csv`.";
    SeveralLabels = "several-labels", Warning,
        "Several structure sets or segmentations belong to the series; one was taken.",
        "Remove the others, or say which in a table.";
    ShapeMismatch = "shape-mismatch", Rejection,
        "The label map has another number of voxels than its image.",
        "Check that the two belong together; `--resample-labels` resamples the label map.";
    SizeDiffers = "size-differs", Warning,
        "The image and its voxels are several times larger or smaller than those of the other cases.",
        "The header may give lengths in another unit than mm: check its spacing.";
    SlicesRescaled = "slices-rescaled", Note,
        "The slices of an MR volume have slopes of their own, which were applied.",
        "Nothing; `--mr-rescale` applies those of all MR volumes.";
    SmallGroup = "small-group", Warning,
        "A group of cases is missing from a split, or rare in it.",
        "Stratify by the column (`--stratify-by`).";
    SmallSplit = "small-split", Warning,
        "A split has too few cases for its figures to mean much.",
        "Add patients, or change the split's shares.";
    SmallStratum = "small-stratum", Warning,
        "A stratum has too few patients to be in every split.",
        "Stratify by fewer properties.";
    SpecialFile = "special-file", Warning,
        "The cohort holds FIFOs, sockets or devices, which are never opened.",
        "Take them out of the cohort.";
    SplitKept = "split-kept", Note,
        "Patients keep the split that they had; what was asked for places new ones only.",
        "Delete `cases.parquet` to divide all patients anew.";
    SplitMoved = "split-moved", Warning,
        "A patient's cases moved to another split.",
        "Figures of trainings made before are no longer comparable for them.";
    SplitSeries = "split-series", Note,
        "The series holds several volumes and was split.",
        "Check that the parts are what you expect (phases, echoes).";
    StackAxesAssumed = "stack-axes-assumed", Warning,
        "Nothing says how the axes of a stack of slices lie in the patient.",
        "State them with `--stack-axes`.";
    StackBesideVolume = "stack-beside-volume", Rejection,
        "The folder holds a stack of slices beside a volume.",
        "Name one of the two in `cohort.csv`.";
    StructuresUnmatched = "structures-unmatched", Warning,
        "No structure has a name that `--structures` asks for.",
        "Correct the pattern; the message lists the names that occur.";
    TooLarge = "too-large", Rejection,
        "The case needs more memory than is allowed.",
        "Allow more (--memory) if it is a volume of that size; else its header is wrong.";
    TransformsDisagree = "transforms-disagree", Warning,
        "sform and qform of the NIfTI file differ; the sform was used.",
        "Check left and right in `pdl view`.";
    UnassignedContours = "unassigned-contours", Warning,
        "Contours of a structure set belong to none of its structures and were left out.",
        "Export the structure set again.";
    UnevenSpacing = "uneven-spacing", Warning,
        "The slices are unevenly spaced and were resampled to an even step.",
        "Check that no slice is missing.";
    UnitOffset = "unit-offset", Warning,
        "The intensities are offset by a constant against the other cases.",
        "The file may lack its rescale intercept (HU): export it again.";
    UnreadableDicom = "unreadable-dicom", Rejection,
        "The DICOM files of the case cannot be read.",
        "The message names the cause; export the series again.";
    UnreadableImage = "unreadable-image", Rejection,
        "The image cannot be read.",
        "The message names the cause.";
    UnreadableLabel = "unreadable-label", Rejection,
        "The label map cannot be read.",
        "The message names the cause; `--round-labels` takes numbers that are near to whole ones.";
    UnusableStructure = "unusable-structure", Warning,
        "A structure cannot be used and was left out.",
        "The message names the cause.";
    VolumesBesideDicom = "volumes-beside-dicom", Note,
        "Volumes lie in a folder that was read as a tree of DICOM files, and were not read.",
        "Curate them by themselves.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let found = Self::ALL.binary_search_by(|code| code.as_str().cmp(text));
        found.map(|at| Self::ALL[at]).map_err(|_| UnknownCode(text.to_owned()))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "Code".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let texts: Vec<&str> = Self::ALL.iter().map(|code| code.as_str()).collect();
        json_schema!({ "description": "What a finding is about.", "type": "string", "enum": texts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_are_found_by_their_text() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
        assert!(Code::ALL.iter().all(|&code| code.as_str().parse() == Ok(code)));
        assert_eq!("no-labels".parse::<Code>(), Err(UnknownCode("no-labels".to_owned())));
    }

    #[test]
    fn codes_travel_through_json_as_their_text() {
        let text = serde_json::to_string(&Code::GridMismatch).unwrap();
        assert_eq!(text, "\"grid-mismatch\"");
        assert_eq!(serde_json::from_str::<Code>(&text).unwrap(), Code::GridMismatch);
        let unknown = serde_json::from_str::<Code>("\"no-such-code\"").unwrap_err().to_string();
        assert!(unknown.starts_with("unknown finding code \"no-such-code\""), "{unknown}");
    }

    #[test]
    fn every_code_is_explained_in_a_sentence() {
        for code in Code::ALL {
            for text in [code.explanation(), code.advice()] {
                assert!(text.ends_with('.') && text.len() > 6, "{code}: {text}");
            }
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(code.as_str().chars().all(kebab), "{code}");
        }
    }
}
