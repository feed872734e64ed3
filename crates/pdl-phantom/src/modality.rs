//! How bright each tissue is.

use crate::random::RandomSource;
use crate::tissue::Tissue;

/// How the phantoms are imaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhantomModality {
    /// Computed tomography, in Hounsfield units.
    Ct,
    /// Magnetic resonance, T1-like, with a different intensity scale for every scan.
    Mr,
}

impl PhantomModality {
    /// Both.
    pub const ALL: [PhantomModality; 2] = [PhantomModality::Ct, PhantomModality::Mr];

    /// The name in folders, files and patients' names.
    pub fn folder(self) -> &'static str {
        match self {
            PhantomModality::Ct => "ct",
            PhantomModality::Mr => "mr",
        }
    }

    /// The code in a cohort's table.
    pub fn code(self) -> &'static str {
        match self {
            PhantomModality::Ct => "CT",
            PhantomModality::Mr => "MR",
        }
    }

    /// The name in Decathlon's `dataset.json`.
    pub fn decathlon_name(self) -> &'static str {
        match self {
            PhantomModality::Ct => "CT",
            PhantomModality::Mr => "MRI",
        }
    }

    /// The signal of a tissue before scanner effects: HU, or a fraction of fat's brightness.
    pub fn signal(self, tissue: Tissue) -> f64 {
        match self {
            PhantomModality::Ct => hounsfield(tissue),
            PhantomModality::Mr => t1_brightness(tissue),
        }
    }
}

fn hounsfield(tissue: Tissue) -> f64 {
    match tissue {
        Tissue::Air => -1000.0,
        Tissue::Couch => -650.0,
        Tissue::Fat => -100.0,
        Tissue::Muscle => 42.0,
        Tissue::Rib => 430.0,
        Tissue::Mediastinum => 4.0,
        Tissue::Liver => 58.0,
        Tissue::Abdomen => 32.0,
        Tissue::LeftLung | Tissue::RightLung => -810.0,
        Tissue::Airway => -980.0,
        Tissue::Vessel => 46.0,
        Tissue::Heart => 50.0,
        Tissue::Oesophagus => 34.0,
        Tissue::Cord => 36.0,
        Tissue::Canal => 4.0,
        Tissue::Vertebra => 220.0,
        Tissue::Arch => 480.0,
        Tissue::Disc => 85.0,
    }
}

fn t1_brightness(tissue: Tissue) -> f64 {
    match tissue {
        Tissue::Air | Tissue::Airway => 0.0,
        Tissue::Couch => 0.01,
        Tissue::Fat => 1.0,
        Tissue::Muscle => 0.36,
        Tissue::Rib => 0.2,
        Tissue::Mediastinum => 0.62,
        Tissue::Liver => 0.5,
        Tissue::Abdomen => 0.33,
        Tissue::LeftLung | Tissue::RightLung => 0.09,
        Tissue::Vessel => 0.34,
        Tissue::Heart => 0.42,
        Tissue::Oesophagus => 0.38,
        Tissue::Cord => 0.46,
        Tissue::Canal => 0.17,
        Tissue::Vertebra => 0.58,
        Tissue::Arch => 0.3,
        Tissue::Disc => 0.28,
    }
}

/// The scanner's effects on the signal at one voxel.
#[derive(Clone, Debug)]
pub enum Chain {
    /// Noise of this standard deviation in HU; values stay within 12 bits as stored by CT scanners.
    Ct {
        /// Standard deviation, HU.
        noise_hu: f64,
    },
    /// Bias field, Rician noise, and a scale.
    Mr {
        /// Stored value of fat where the bias field is 1.
        scale: f64,
        /// Standard deviation of the noise of each of the two channels, as a fraction of fat's
        /// brightness.
        noise: f64,
        /// Coefficients of the bias field: constant 1, then x, y, z, xx, yy, zz, xy, with x, y, z
        /// from -1 to 1 over the field of view.
        bias: [f64; 7],
    },
}

impl Chain {
    /// The HU that 12 bits with an intercept of -1024 can hold.
    const HU_RANGE: [f64; 2] = [-1024.0, 3071.0];

    /// A scan's chain, drawn at random.
    pub fn new(modality: PhantomModality, source: &mut RandomSource) -> Self {
        match modality {
            PhantomModality::Ct => Self::Ct { noise_hu: source.between(12.0, 20.0) },
            PhantomModality::Mr => Self::Mr {
                scale: source.between(0.0, 1.0) * source.between(0.0, 1.0) * 1600.0 + 250.0,
                noise: source.between(0.025, 0.05),
                bias: std::array::from_fn(|term| {
                    let amplitude = if term < 3 { 0.22 } else { 0.14 };
                    source.between(-amplitude, amplitude)
                }),
            },
        }
    }

    /// The stored value of a voxel with this signal at this place of the field of view (-1 to 1
    /// along the patient's axes): a whole number.
    pub fn stored(&self, signal: f64, place: [f64; 3], source: &mut RandomSource) -> f32 {
        let value = match self {
            Self::Ct { noise_hu } => {
                (signal + noise_hu * source.normal()).clamp(Self::HU_RANGE[0], Self::HU_RANGE[1])
            }
            Self::Mr { scale, noise, bias } => {
                let real = signal * bias_field(bias, place) + noise * source.normal();
                let imaginary = noise * source.normal();
                scale * (real * real + imaginary * imaginary).sqrt()
            }
        };
        value.round() as f32
    }
}

/// A smooth polynomial around 1.
fn bias_field(bias: &[f64; 7], [x, y, z]: [f64; 3]) -> f64 {
    let terms = [x, y, z, x * x, y * y, z * z, x * y];
    let sum: f64 = bias.iter().zip(terms).map(|(b, term)| b * term).sum();
    (1.0 + sum).max(0.25)
}
