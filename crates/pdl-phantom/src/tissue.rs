//! Tissues of the phantom, and their labels.

/// The tissue of a point; every point has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tissue {
    /// Around the body.
    Air,
    /// The scanner's couch.
    Couch,
    /// Under the skin.
    Fat,
    /// Muscle of the chest wall and back.
    Muscle,
    /// Bone of the rib cage.
    Rib,
    /// Fat and connective tissue between the lungs.
    Mediastinum,
    /// Under the right dome of the diaphragm.
    Liver,
    /// Stomach and spleen, under the left dome.
    Abdomen,
    /// Air and vessels on the left.
    LeftLung,
    /// Air and vessels on the right.
    RightLung,
    /// Trachea and main bronchi.
    Airway,
    /// Aorta and great vessels.
    Vessel,
    /// Muscle and blood, one tissue.
    Heart,
    /// Wall and content, one tissue.
    Oesophagus,
    /// The spinal cord.
    Cord,
    /// The canal around the cord.
    Canal,
    /// Bodies of the vertebrae.
    Vertebra,
    /// Arches of the vertebrae, around the canal.
    Arch,
    /// Between the bodies of the vertebrae.
    Disc,
}

/// The labels' names; the first one is label 0, the background.
pub const LABEL_NAMES: [&str; 6] =
    ["background", "left lung", "right lung", "heart", "spinal cord", "oesophagus"];

impl Tissue {
    /// The label in the label maps; 0 is background.
    pub fn label(self) -> u16 {
        match self {
            Tissue::LeftLung => 1,
            Tissue::RightLung => 2,
            Tissue::Heart => 3,
            Tissue::Cord => 4,
            Tissue::Oesophagus => 5,
            _ => 0,
        }
    }
}
