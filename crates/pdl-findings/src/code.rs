//! The codes of all findings, each with its severity, an explanation and advice.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The consequence of a finding for its case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record; needs no attention.
    Note,
    /// The case is used, and a person should check it.
    Warning,
    /// The case is not used.
    Rejection,
}

impl Severity {
    /// Name in tables: "note", "warning" or "rejection".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Rejection => "rejection",
        }
    }
}

/// A text that is not the code of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode(pub String);

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown finding code \"{}\": it may come from a newer version of pdl", self.0)
    }
}

impl std::error::Error for UnknownCode {}

/// Defines [`Code`] from rows of variant, text, severity, explanation and advice, so that each is
/// complete.
macro_rules! codes {
    ($($variant:ident = $text:literal, $severity:ident, $explanation:literal, $advice:literal;)*) => {
        /// The kind of a finding. Variants are in the order of their texts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $explanation] $variant,)*
        }

        impl Code {
            /// All codes, in the order of their texts.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The text in files, reports and messages, such as "no-label".
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The consequence for a case with such a finding.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }

            /// What the finding means, in one sentence.
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
        "The folder keeps its rule of annotated labels, which differs from the default.",
        "Use the default with `--replan`, or state the rule with `--annotated`.";
    BurnedInAnnotation = "burned-in-annotation", Warning,
        "The files state that text is burned into the pixels.",
        "Check the case in `pdl view`: exclude it if a name can be read.";
    CarriedColumn = "carried-column", Warning,
        "A column of `--carry` has a different value for most patients.",
        "Omit the column if its values can identify patients.";
    CaseIdChanged = "case-id-changed", Warning,
        "A case has another id than in the last run.",
        "The message states the reason; results under the old id are computed again.";
    CaseIdShared = "case-id-shared", Warning,
        "The table of an earlier run had one id for several cases; each now has its own.",
        "Results of these cases are computed again; earlier trainings used one of them in place of the others.";
    ChannelGridMismatch = "channel-grid-mismatch", Rejection,
        "A channel is on another grid than the first channel.",
        "Resample it with `--resample-channels`, or register the images first.";
    ChannelResampled = "channel-resampled", Note,
        "A channel was on another grid than the first channel and was resampled to it (`--resample-channels`).",
        "Check it in `pdl view --channel NAME`: resampling aligns grids, not anatomy.";
    ChannelsUnknown = "channels-unknown", Warning,
        "More channels are named than any case has images.",
        "Add their files, or correct `channel_names` in `dataset.json`.";
    CoarseProxies = "coarse-proxies", Warning,
        "Cases of two patients are very similar, but their proxies are too small to tell one image from two.",
        "Compare by larger proxies (`--proxy-size 64`), or look at the pair in `pdl view`.";
    ConstantImage = "constant-image", Rejection,
        "Every voxel of the image has the same value.",
        "Check the source file; the export of the image has failed.";
    ContourVolume = "contour-volume", Warning,
        "The mask of a structure differs in volume from its contours.",
        "Check the structure in `pdl view`; contours may be missing, or smaller than the voxels.";
    ContoursFinerThanSlices = "contours-finer-than-slices", Warning,
        "A structure is drawn on planes closer together than the slices; on each slice the nearest one was used.",
        "Check that the structure set belongs to this series.";
    ContoursOffSeries = "contours-off-series", Warning,
        "Contours of a structure belong to no slice of its image series and were skipped.",
        "Check that the structure set belongs to this series.";
    ContoursOffSlice = "contours-off-slice", Warning,
        "Contours of a structure lie between slices and were drawn on the nearest one.",
        "Check the structure in `pdl view`; the set may have been made on another series.";
    CropExtended = "crop-extended", Warning,
        "The crop of some cases was extended so that no label is cut off.",
        "New images have no labels to extend the crop by: use a crop that holds the labels by itself.";
    DamagedContours = "damaged-contours", Warning,
        "Contours of a structure have no points, too few or invalid ones, and were skipped.",
        "Check the structure in the planning system, and export it again.";
    Drift = "drift", Warning,
        "Test cases are less similar to the training cases than a random division of the patients makes them.",
        "Check sites, scanners and protocols of the splits, or stratify by them (`--stratify`).";
    DuplicateImage = "duplicate-image", Warning,
        "The image equals that of another case, voxel for voxel.",
        "Remove one of the two, or join their patients (`--same-patient`).";
    EmptyLabel = "empty-label", Rejection,
        "The label map has background only, and no label is annotated in the case.",
        "Annotate the case, exclude it, or state with `--annotated all` that it is a negative.";
    FewGroups = "few-groups", Warning,
        "There are too few groups to hold any out.",
        "Group by another column, or omit `--group-by`.";
    FewPatients = "few-patients", Warning,
        "There are too few patients to hold any out for validation and test.",
        "Add patients, or state the splits in a column `split`.";
    FilesSetAside = "files-set-aside", Note,
        "Files of a DICOM tree belong to no case.",
        "`sources.parquet` lists them, each with the reason.";
    FilesUnused = "files-unused", Note,
        "Tables or lists beside the cohort's images may state patients or splits, and are not read.",
        "Write what they state into a cohort.csv with the columns image, label, patient and split.";
    FoldsGiven = "folds-given", Note,
        "A datalist assigns its cases to folds.",
        "The column `fold` has them; `pdl import --fold K` holds one of them out for validation.";
    FractionalSegment = "fractional-segment", Note,
        "A segmentation has fractions; one half of the maximum and more is inside.",
        "Compare the structure's volume with the expected one.";
    GantryTilt = "gantry-tilt", Note,
        "The slices are tilted (gantry tilt) and were resampled to a regular grid.",
        "Nothing; the message states the angle.";
    GridMismatch = "grid-mismatch", Rejection,
        "The label map is on another grid than its image.",
        "Check that the two belong together; `--resample-labels` resamples the label map.";
    GroupDivided = "group-divided", Warning,
        "Patients of one group are in several splits.",
        "State one split for the whole group in the table's column `split`, or index again without these splits.";
    ImagesExchanged = "images-exchanged", Warning,
        "Cases have images that were those of other cases in the last run, as when files exchange their names.",
        "Undo the change of names; or delete `cases.parquet` to divide all patients again.";
    ImagesUnused = "images-unused", Note,
        "Images of the cohort belong to no case.",
        "Add them in a table, with columns such as `image_FLAIR`, if they should.";
    ImplausibleSize = "implausible-size", Rejection,
        "The size of the image or of its voxels is implausible for a body.",
        "The header may state lengths in a wrong unit: correct its spacing.";
    Inverted = "inverted", Note,
        "Pixels are dark where their values are large (MONOCHROME1); the stored values are kept.",
        "Exclude the case, or invert it, if the other cases are MONOCHROME2.";
    JoinedSeries = "joined-series", Warning,
        "Series of one slice position each were joined to one volume.",
        "Check the volume: the scanner exported each slice as a separate series.";
    LabelAbsent = "label-absent", Warning,
        "Labels are absent from some cases; the message states whether they count as annotated there.",
        "State with `--annotated` or a column `labels_annotated` which labels are annotated.";
    LabelAbsentInGroup = "label-absent-in-group", Warning,
        "A whole site, source or folder never has a label that counts as annotated there.",
        "If nobody looked for it, state that with `--annotated by-COLUMN` or a column `labels_annotated`.";
    LabelAffineReplaced = "label-affine-replaced", Warning,
        "The label map states another grid than its image; the image's affine was used (`--copy-affine`).",
        "Check the position of the labels in `pdl view`.";
    LabelBeyondImage = "label-beyond-image", Warning,
        "Part of a segmentation is outside its image and was cut off.",
        "Check that the segmentation belongs to this series.";
    LabelDisagrees = "label-disagrees", Warning,
        "Labels differ from what similar cases lead one to expect: in side, place or size, or by being there or not.",
        "Look at them in `pdl view`; write yes or no into the column right of `label-review.csv`.";
    LabelIgnored = "label-ignored", Note,
        "Voxels of one label are ignored in fingerprint, loss and metrics.",
        "Nothing, if intended; else rename the label: `ignore` in `dataset.json` is nnU-Net's label to ignore.";
    LabelNamesJoined = "label-names-joined", Warning,
        "Structures whose names are equal, or differ only in case and spaces, are one label.",
        "If they are different structures, rename them, or assign them with `--structures`.";
    LabelNamesMissing = "label-names-missing", Warning,
        "Some label maps of the cohort name their labels and others do not.",
        "Check that the values of those without names mean what `[labels]` says.";
    LabelNamesSimilar = "label-names-similar", Warning,
        "Names of labels differ only in spaces, hyphens and underscores, and are different labels.",
        "Join them with `--structures` if they are one structure.";
    LabelNotAnnotated = "label-not-annotated", Warning,
        "The label map has a label that the table does not list as annotated.",
        "Correct the column `labels_annotated`, or remove the label.";
    LabelOutsideImage = "label-outside-image", Rejection,
        "The whole label map is outside its image.",
        "Check that the two belong together, and their affines.";
    LabelOutsideRegions = "label-outside-regions", Warning,
        "Labels belong to none of the cohort's regions, which a network learns instead of labels.",
        "Add them to a region (`--regions`, `dataset.json`), or exclude them with `--structures`.";
    LabelResampled = "label-resampled", Note,
        "The label map was on another grid and was resampled to that of its image.",
        "Compare the volumes before and after in the message.";
    LabelRounded = "label-rounded", Warning,
        "Voxels of the label map were close to integers and were rounded.",
        "Nothing; save label maps as integers without scaling. `--round-labels` sets the maximum distance.";
    LabelShrunk = "label-shrunk", Warning,
        "A label has less than half of its volume left at the target spacing.",
        "Prepare at a finer `--spacing`; `labels` in `prepared.parquet` lists the remaining volume of each label.";
    LabelValueSets = "label-value-sets", Warning,
        "Label maps of the cohort have different sets of values, and these have no names.",
        "Check that each value is the same structure in every case: name the values in `[labels]`, or map them with `--structures`.";
    LabelValuesByName = "label-values-by-name", Note,
        "Files have different label values for one structure; labels are identified by the names in the files.",
        "Nothing; `cases.parquet` lists the value of each name in the cohort.";
    LabelVanished = "label-vanished", Warning,
        "A label has no voxel left at the target spacing: it is not learnt from the case.",
        "Prepare at a finer `--spacing`; `labels` in `prepared.parquet` lists the remaining volume of each label.";
    LabelVoxelsUnnamed = "label-voxels-unnamed", Warning,
        "Voxels have a value of none of the file's segments; they became background.",
        "Check the segmentation in the program that wrote it.";
    LabelsJoined = "labels-joined", Note,
        "Several structure sets or segmentations of the series hold different structures; all are used.",
        "Nothing, if they belong together; else remove the others.";
    LabelsUnknown = "labels-unknown", Warning,
        "Names, or a column `labels_annotated`, refer to label values that no case has.",
        "Correct the values in `pdl.toml`, `dataset.json` or the table.";
    LinkOutside = "link-outside", Note,
        "Files or folders of the cohort are links that lead out of it; they are read.",
        "Nothing, unless the links are not your own.";
    LoneLabel = "lone-label", Warning,
        "A label occurs in one case only, or is missing from one case only.",
        "Check the case: its label may have a wrong value.";
    MaskAsImage = "mask-as-image", Rejection,
        "An unlabelled series is probably a mask that was saved as an image: it has few values, and the grid of another series of its study.",
        "Convert it to DICOM SEG or NIfTI and state image and label in a table.";
    MissingChannel = "missing-channel", Rejection,
        "The case lacks an image of a channel that other cases have.",
        "Add the file, or select one channel of every case with `--channel`.";
    MissingContours = "missing-contours", Warning,
        "A structure has no contour or frame on some slices between its first and its last.",
        "Check whether the structure is incomplete.";
    MissingImages = "missing-images", Warning,
        "A structure set or segmentation refers to images of the series that are not there.",
        "Export the series again: its first or last slices may be missing.";
    MissingParts = "missing-parts", Warning,
        "Some files of an object that is stored in several files (a concatenation) are not there.",
        "Export the series again: its first or last slices may be missing.";
    MissingSlice = "missing-slice", Warning,
        "A slice of the series is missing and was interpolated from its neighbours.",
        "Export the series again.";
    ModalityGuessed = "modality-guessed", Warning,
        "The modality is not stated; it was guessed from the intensities.",
        "State it with `--modality` or a column `modality`.";
    NameCharacters = "name-characters", Warning,
        "The character set of a structure's name is not declared or invalid.",
        "Check the name; rename the structure with `--structures`.";
    NameMasked = "name-masked", Note,
        "A structure's name contained a person's name, id or date from the headers, which was masked.",
        "Rename the structure with `--structures`.";
    NameNotText = "name-not-text", Rejection,
        "The path of a file is not UTF-8, so that it cannot be written into a table.",
        "Rename the file, or the folder in the message.";
    NarrowWindow = "narrow-window", Warning,
        "The labels' intensities cover too little of the images' range; proxies use each image's own range instead.",
        "Check the training images; `--normalise window` with `--intensity-window` uses a wider range.";
    NegativeCase = "negative-case", Note,
        "The label map has background only; the case counts as annotated for every label and without any.",
        "Nothing, if that is so; else state with `--annotated` or a column `labels_annotated` which labels are annotated.";
    NoContours = "no-contours", Note,
        "A structure set names a structure without contours.",
        "Nothing, unless the structure should have contours.";
    NoImage = "no-image", Rejection,
        "A label has no image.",
        "Add the image, or check the names of the files.";
    NoLabel = "no-label", Warning,
        "An image has no label: it is prepared and compared, and no network is trained on it.",
        "Annotate the case (`pdl select` ranks the cases to annotate next), or check the names of the files.";
    NoPatientId = "no-patient-id", Warning,
        "The DICOM files have no PatientID; each study counts as a patient.",
        "State the patients in a table (`cohort.csv`).";
    NoSopClass = "no-sop-class", Note,
        "The DICOM file has no SOP class; its kind was derived from its contents.",
        "Nothing, unless the case looks wrong.";
    NoStackSpacing = "no-stack-spacing", Rejection,
        "A stack of slices has no spacing.",
        "State it in mm with `--stack-spacing X,Y,Z` or a column `stack_spacing`.";
    NoSuchChannel = "no-such-channel", Rejection,
        "The case lacks the selected channel.",
        "Select another with `--channel`, or add the file.";
    NoTransform = "no-transform", Warning,
        "The header has no orientation; RAS was assumed.",
        "Check left and right in `pdl view`, or state them with `--orientation`.";
    NormalisationStated = "normalisation-stated", Warning,
        "The channel names of `dataset.json` state a normalisation of intensities that is not followed, such as noNorm.",
        "State one with `--normalise`; pdl has none that keeps intensities as they are.";
    NotFinite = "not-finite", Rejection,
        "Voxels are NaN or infinite.",
        "Check the source file; the conversion of the image has failed.";
    NotHounsfield = "not-hounsfield", Warning,
        "The intensities of a CT are not Hounsfield units.",
        "Export it again with its rescale slope and intercept, or exclude it.";
    ObliqueContours = "oblique-contours", Warning,
        "Contours of a structure are oblique to the slices and were skipped.",
        "Check the structure in the planning system; it may have been drawn on another series.";
    OddHeader = "odd-header", Warning,
        "The header violates its format's rules, but could be read.",
        "Check the case in `pdl view`.";
    OnePatientTwoIds = "one-patient-two-ids", Warning,
        "Two cases with the same image have different patient ids.",
        "Join the patients with `--same-patient`, or correct the table.";
    OneSlice = "one-slice", Warning,
        "The series has a single slice.",
        "Check that the series is complete.";
    OpenContours = "open-contours", Warning,
        "Contours of a structure are not closed and were skipped.",
        "Check the structure in the planning system.";
    OrientationOverridden = "orientation-overridden", Note,
        "`--orientation` replaced the orientation that the header states.",
        "Check left and right in `pdl view`.";
    OtherFrameOfReference = "other-frame-of-reference", Warning,
        "A structure is in another frame of reference than the image; the message states whether it was skipped.",
        "Use the structure set that was drawn on this series, or register the two.";
    OtherHandedness = "other-handedness", Warning,
        "The image is stored mirrored compared with nearly all others.",
        "Check left and right: a converter may have flipped it.";
    OtherModality = "other-modality", Rejection,
        "The case is of another modality than the cohort.",
        "Curate each modality by itself.";
    OtherPetUnit = "other-pet-unit", Rejection,
        "The PET values of the case cannot be converted to the unit of the cohort.",
        "Correct the attribute in the message, or curate the cohort again with `--pet-units stored`.";
    OtherUnit = "other-unit", Warning,
        "The image's header states lengths in another unit than mm; they were converted.",
        "Check the spacing.";
    Outliers = "outliers", Warning,
        "Training cases are dissimilar to all others.",
        "Check them in the report; they stay in the curriculum.";
    OverlappingContours = "overlapping-contours", Warning,
        "Contours of one structure overlap partly on a slice and were united.",
        "Check in `pdl view` that none of them was meant as a hole.";
    OverlappingStructures = "overlapping-structures", Warning,
        "Structures overlap; shared voxels were assigned to one of them.",
        "State the order with `--structures`.";
    PaddedProxies = "padded-proxies", Warning,
        "Some cases are much smaller than the grid on which cases are compared.",
        "Check whether these images show the same region as the others.";
    PatientAssumed = "patient-assumed", Warning,
        "The patient is not stated; the case counts as a separate patient.",
        "Add a column `patient` if a patient has several images.";
    PatientByName = "patient-by-name", Warning,
        "Patients are those that the names of the images state.",
        "Check them; a table with a column `patient` states others.";
    PetUnits = "pet-units", Warning,
        "PET values stay in the files' units, as not all can be converted to SUVbw.",
        "Correct the attributes in the message, exclude the cases, or state `--pet-units`.";
    PicturesUnread = "pictures-unread", Warning,
        "The cohort's folder has pictures of formats that are not read, such as GIF.",
        "Convert them to PNG without loss, if they are images or label maps.";
    PixelSizeAssumed = "pixel-size-assumed", Warning,
        "The pixel size of 2-D images is not stated; 1 mm was assumed.",
        "State it with `--stack-spacing X,Y,1` if distances in mm matter.";
    PlanDrift = "plan-drift", Warning,
        "The training cases have changed since the plan was made, and a new plan would differ.",
        "Keep the plan, or make a new one with `--replan`.";
    PlanWithoutLabels = "plan-without-labels", Warning,
        "No training case has a label: the plan's intensities are those of whole bodies.",
        "Annotate some cases (`pdl select` lists them), then use `--replan` once.";
    PsnrRepeatsMse = "psnr-repeats-mse", Note,
        "PSNR orders pairs exactly as MSE does.",
        "Do not count it as an additional metric.";
    RankedWithoutValue = "ranked-without-value", Warning,
        "Cases are ranked by a column in which some training cases have no value; these come last.",
        "Import the results of all training cases, or exclude the others with `--keep`.";
    RareLabel = "rare-label", Warning,
        "A label occurs in few cases of a split.",
        "Interpret its Dice there with care, or stratify by labels.";
    RepeatedContours = "repeated-contours", Note,
        "Contours of a structure occur twice on a slice and count once.",
        "Nothing.";
    RepeatedFile = "repeated-file", Note,
        "Files of the series occur twice; one of each was read.",
        "Nothing.";
    RepeatedSlice = "repeated-slice", Warning,
        "Slices of the series are duplicated under different UIDs, voxel for voxel; one of each was read.",
        "Check the export of the series: slices may have been sent twice.";
    SamePatient = "same-patient", Warning,
        "Two patients are probably one and were joined, or left in two splits that the table states.",
        "Check the pair; `same-patient.csv` records the decision.";
    SecondaryCapture = "secondary-capture", Warning,
        "Files of a DICOM tree are secondary captures, such as photographs of screens; they are not read.",
        "Their pixels may show names: exclude them before you share the tree.";
    SeveralFiles = "several-files", Rejection,
        "Several files could be the image or the label of the case.",
        "State one of them in `cohort.csv`.";
    SeveralLabels = "several-labels", Warning,
        "Several structure sets or segmentations belong to the series and share structures; the latest of each counts.",
        "Check that the latest is the one you mean; else remove it.";
    ShapeMismatch = "shape-mismatch", Rejection,
        "The label map has another number of voxels than its image.",
        "Check that the two belong together; `--resample-labels` resamples the label map.";
    ShearedAxes = "sheared-axes", Warning,
        "The axes of an image are not at right angles, and are treated as if they were.",
        "Resample the image and its label map to a grid with right angles.";
    SizeDiffers = "size-differs", Warning,
        "The image and its voxels are several times larger or smaller than those of the other cases.",
        "The header may give lengths in another unit than mm: check its spacing.";
    SliceNumbersDiffer = "slice-numbers-differ", Warning,
        "The slices of an image and of its label map have different numbers and were matched in order.",
        "Check the case in `pdl view`: the label map may be shifted by some slices.";
    SlicesRescaled = "slices-rescaled", Note,
        "The slices of an MR volume have different slopes, which were applied.",
        "Nothing; `--mr-rescale` applies those of all MR volumes.";
    SmallGroup = "small-group", Warning,
        "A group of cases is missing from a split, or rare in it.",
        "Stratify by the column (`--stratify-by`).";
    SmallSplit = "small-split", Warning,
        "A split has too few cases for reliable figures.",
        "Add patients, or change the fractions of the splits.";
    SmallStratum = "small-stratum", Warning,
        "A stratum has too few patients to be in every split.",
        "Stratify by fewer columns.";
    SpecialFile = "special-file", Warning,
        "The cohort's folder has FIFOs, sockets or devices, which are never opened.",
        "Remove them from the cohort.";
    SplitKept = "split-kept", Note,
        "Patients keep their splits; the options apply to new patients only.",
        "Delete `cases.parquet` to divide all patients again.";
    SplitMoved = "split-moved", Warning,
        "A patient's cases moved to another split.",
        "Figures of earlier trainings are no longer comparable for them.";
    SplitSeries = "split-series", Note,
        "The series holds several volumes and was split.",
        "Check that the parts are what you expect (phases, echoes).";
    StackAxesAssumed = "stack-axes-assumed", Warning,
        "The orientation of a stack of slices is not stated; LPS was assumed.",
        "State it with `--stack-axes`.";
    StackBesideVolume = "stack-beside-volume", Rejection,
        "The folder has both a stack of slices and a volume.",
        "State one of the two in `cohort.csv`.";
    StructuresUnmatched = "structures-unmatched", Warning,
        "No structure matches a pattern of `--structures`.",
        "Correct the pattern; the message lists the names that occur.";
    TooLarge = "too-large", Rejection,
        "The case needs more memory than the limit.",
        "Raise the limit (`--memory`) if the volume has that size; else its header is wrong.";
    TransformsDisagree = "transforms-disagree", Warning,
        "sform and qform of the NIfTI file differ; the sform was used.",
        "Check left and right in `pdl view`.";
    UnassignedContours = "unassigned-contours", Warning,
        "Contours of a structure set belong to none of its structures and were skipped.",
        "Export the structure set again.";
    UnevenSpacing = "uneven-spacing", Warning,
        "The slices are unevenly spaced and were resampled to an even spacing.",
        "Check that no slice is missing.";
    UnitOffset = "unit-offset", Warning,
        "The intensities differ from those of the other cases by a constant offset.",
        "The file may lack its rescale intercept (HU): export it again.";
    UnreadableDicom = "unreadable-dicom", Rejection,
        "The DICOM files of the case cannot be read.",
        "The message states the cause; export the series again.";
    UnreadableImage = "unreadable-image", Rejection,
        "The image cannot be read.",
        "The message states the cause.";
    UnreadableLabel = "unreadable-label", Rejection,
        "The label map cannot be read.",
        "The message states the cause; `--round-labels` allows values farther from integers.";
    UnusableStructure = "unusable-structure", Warning,
        "A structure is invalid and was skipped.",
        "The message states the cause.";
    VolumesBesideDicom = "volumes-beside-dicom", Note,
        "A folder that was read as a DICOM tree also has volumes, which were not read.",
        "Curate them separately.";
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
        json_schema!({ "description": "The kind of a finding.", "type": "string", "enum": texts })
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
