//! Words in the names of files and folders that identify images and label maps.

/// A folder of the archives that macOS makes, which holds twins of all files.
pub(crate) const MAC_FOLDER: &str = "__MACOSX";

/// Words in a path that make a file a label map.
const LABEL_WORDS: [&str; 23] = [
    "annotation",
    "annotations",
    "contour",
    "contours",
    "ground",
    "gt",
    "label",
    "labels",
    "labelstr",
    "lbl",
    "mask",
    "masks",
    "msk",
    "roi",
    "rois",
    "seg",
    "segmentation",
    "segmentations",
    "segs",
    "structure",
    "structures",
    "truth",
    "groundtruth",
];

/// Words in a path that mean only that a file is an image.
const IMAGE_WORDS: [&str; 17] = [
    "ct", "data", "dcm", "dicom", "image", "images", "imagestr", "imaging", "img", "imgs", "mr", "mri",
    "scan", "scans", "vol", "volume", "volumes",
];

/// Names of an image's kind among several of one patient, in the order of their channels.
const SEQUENCES: [&str; 28] = [
    "ct", "ctres", "mr", "mri", "t1", "t1n", "t1w", "t1c", "t1ce", "t1gd", "t1post", "t2", "t2w", "t2f",
    "flair", "pd", "dwi", "adc", "swi", "dce", "ktrans", "inphase", "outphase", "pt", "pet", "suv", "cbct",
    "bold",
];

/// Whether a word, in lower case, makes a file a label map.
pub(crate) fn is_label_word(word: &str) -> bool {
    LABEL_WORDS.contains(&word)
}

/// Whether a word, in lower case, means only that a file is an image.
pub(crate) fn is_image_word(word: &str) -> bool {
    IMAGE_WORDS.contains(&word)
}

/// Whether a folder is one of label maps by its name, such as "masks" or "Part1_GroundTruth".
pub(crate) fn is_label_folder(name: &str) -> bool {
    words(name).iter().any(|word| is_label_word(word))
}

/// Whether a folder is one of images by its name, and none of label maps, such as "img" or
/// "Training_Data".
pub(crate) fn is_image_folder(name: &str) -> bool {
    !is_label_folder(name) && words(name).iter().any(|word| is_image_word(word) || is_sequence(word))
}

/// Whether a word, in lower case, names a modality or a sequence.
pub(crate) fn is_sequence(word: &str) -> bool {
    SEQUENCES.contains(&word)
}

/// The key by which the channels of a cohort are sorted: known names in their usual order, then
/// others in that of the alphabet.
pub(crate) fn channel_order(name: &str) -> (usize, String) {
    let lower = name.to_lowercase();
    let place = SEQUENCES.iter().position(|known| *known == lower).unwrap_or(SEQUENCES.len());
    (place, lower)
}

/// The words of a name in lower case: maximal runs of letters and digits.
pub(crate) fn words(name: &str) -> Vec<String> {
    let lower = name.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether a name means only that a file is a label map, such as "seg" or "tumor_segmentation".
pub(crate) fn is_label_name(name: &str) -> bool {
    const OF_WHAT: [&str; 4] = ["lesion", "lesions", "tumor", "tumour"];
    let words = words(name);
    words.iter().any(|word| is_label_word(word))
        && words.iter().all(|word| is_label_word(word) || OF_WHAT.contains(&word.as_str()))
}

/// Whether a name means that a file is an image, and at most of which kind, such as "imaging" or
/// "t1ce".
pub(crate) fn is_image_name(name: &str) -> bool {
    let words = words(name);
    !words.is_empty() && words.iter().all(|word| is_image_word(word) || is_sequence(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_stand_in_the_usual_order_and_unknown_ones_behind() {
        let mut names = ["seq9", "flair", "T2", "t1ce", "Another", "t1"];
        names.sort_by_key(|name| channel_order(name));
        assert_eq!(names, ["t1", "t1ce", "T2", "flair", "Another", "seq9"]);
    }

    #[test]
    fn names_are_those_of_label_maps_or_of_images() {
        assert!(is_label_name("tumor_segmentation") && is_label_name("seg") && !is_label_name("scan_seg"));
        assert!(is_image_name("CT scan") && is_image_name("t1ce") && !is_image_name("liver"));
    }
}
