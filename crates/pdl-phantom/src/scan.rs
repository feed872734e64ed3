//! A patient on the scanner: the grid, where the patient lies, and the voxels.

use pdl_volume::{Affine, Grid, LabelMap, Orientation, Volume};

use crate::PhantomError;
use crate::anatomy::Anatomy;
use crate::modality::{Chain, PhantomModality};
use crate::random::RandomSource;
use crate::solid::Point;
use crate::tissue::Tissue;

/// How patients differ from each other, and visits of one from each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VisitSettings {
    /// Root mean square of the traits of every patient: all are at the same distance from the mean
    /// patient, in different directions.
    pub distance: f64,
    /// Largest rotation of a visit about the long axis, either way, degrees.
    pub rotation_degrees: f64,
    /// Standard deviation of the noise of a visit, HU: the least and the most.
    pub noise_hu: [f64; 2],
    /// A visit's gain differs from 1 by up to this; it scales HU from air up.
    pub gain: f64,
}

impl Default for VisitSettings {
    fn default() -> Self {
        Self { distance: 0.3, rotation_degrees: 3.0, noise_hu: [2.0, 5.0], gain: 0.01 }
    }
}

/// Partial volume: each voxel is sampled at this many places along each axis.
const SAMPLES: usize = 2;

/// How a scanner is set: the stored axes, and the grid along the patient's axes.
#[derive(Clone, Copy, Debug)]
struct Protocol {
    orientation: &'static str,
    /// Voxels along right-left, front-back, head-foot.
    shape: [usize; 3],
    /// Along the same axes, mm. Multiples of 0.25, so that every coordinate is exact in float32 and
    /// short in DICOM's decimal strings.
    spacing_mm: [f64; 3],
}

/// The fourth one has pixels that are not square: a reader that swaps rows and columns is found
/// out.
const CT_PROTOCOLS: [Protocol; 6] = [
    Protocol { orientation: "LPS", shape: [54, 42, 36], spacing_mm: [6.5, 6.5, 7.5] },
    Protocol { orientation: "RAS", shape: [52, 42, 38], spacing_mm: [7.0, 7.0, 7.0] },
    Protocol { orientation: "LAS", shape: [48, 40, 40], spacing_mm: [7.5, 7.5, 6.0] },
    Protocol { orientation: "LPS", shape: [56, 40, 34], spacing_mm: [6.25, 7.0, 8.0] },
    Protocol { orientation: "PIR", shape: [56, 46, 32], spacing_mm: [6.25, 6.25, 8.5] },
    Protocol { orientation: "RPI", shape: [50, 40, 37], spacing_mm: [7.25, 7.25, 6.5] },
];

const MR_PROTOCOLS: [Protocol; 6] = [
    Protocol { orientation: "RAS", shape: [54, 44, 34], spacing_mm: [6.5, 6.5, 8.0] },
    Protocol { orientation: "LPS", shape: [50, 42, 36], spacing_mm: [7.25, 7.25, 7.5] },
    Protocol { orientation: "RSA", shape: [52, 42, 38], spacing_mm: [6.75, 7.0, 6.75] },
    Protocol { orientation: "LAS", shape: [48, 40, 32], spacing_mm: [7.5, 7.5, 8.5] },
    Protocol { orientation: "ASL", shape: [50, 46, 38], spacing_mm: [7.0, 6.25, 6.75] },
    Protocol { orientation: "LIP", shape: [52, 40, 37], spacing_mm: [7.0, 7.5, 7.0] },
];

/// A scan: an image and its exact labels, on one grid.
#[derive(Clone, Debug, PartialEq)]
pub struct PhantomScan {
    /// Whole numbers within int16: HU for CT, positive numbers for MR.
    pub image: Volume<f32>,
    /// The solid at each voxel's centre.
    pub labels: LabelMap,
}

/// The pose of the patient in scanner coordinates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pose {
    /// The patient's origin in RAS+ mm.
    position_mm: Point,
    /// Cosine and sine of the turn about the long axis.
    turn: [f64; 2],
}

impl Pose {
    fn new(source: &mut RandomSource) -> Self {
        // Half the angle's tangent gives cosine and sine by divisions alone, the same on every
        // machine.
        let t = source.between(-0.035, 0.035);
        let turn = [(1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)];
        let position_mm = [40.0, 60.0, 500.0].map(|range| quarter(source.between(-range, range)));
        Self { position_mm, turn }
    }

    /// A patient in the middle of the scanner, rotated by up to this small number of degrees either
    /// way.
    fn turned(degrees: f64, source: &mut RandomSource) -> Self {
        // The tangent of half the angle by its series, as the machine's own may differ in a bit.
        let half = degrees / 2.0 * std::f64::consts::PI / 180.0;
        let tangent = half + half * half * half / 3.0;
        let t = source.between(-tangent, tangent);
        let turn = [(1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)];
        Self { position_mm: [0.0; 3], turn }
    }

    /// A point of the scanner's world (RAS+ mm) along the patient's axes, mm.
    pub(crate) fn to_patient(self, world: Point) -> Point {
        let [x, y, z]: Point = std::array::from_fn(|axis| world[axis] - self.position_mm[axis]);
        let [cosine, sine] = self.turn;
        [cosine * x + sine * y, cosine * y - sine * x, z]
    }
}

/// Scans a patient under the protocol of this number (they recur); `source` draws position, noise
/// and bias.
///
/// # Errors
/// [`PhantomError`] when a protocol is no valid grid, which none of them is.
pub fn scan(
    modality: PhantomModality,
    anatomy: &Anatomy,
    protocol: usize,
    source: &mut RandomSource,
) -> Result<PhantomScan, PhantomError> {
    Ok(scan_at(modality, anatomy, protocol, source)?.0)
}

/// Like [`scan`], with where the patient lies.
pub(crate) fn scan_at(
    modality: PhantomModality,
    anatomy: &Anatomy,
    protocol: usize,
    source: &mut RandomSource,
) -> Result<(PhantomScan, Pose), PhantomError> {
    let pose = Pose::new(source);
    let protocols = match modality {
        PhantomModality::Ct => &CT_PROTOCOLS,
        PhantomModality::Mr => &MR_PROTOCOLS,
    };
    let grid = grid(&protocols[protocol % protocols.len()], &pose, source)?;
    let chain = Chain::new(modality, source);
    Ok((expose(&Camera { modality, anatomy, pose, grid }, &chain, None, source)?, pose))
}

/// Scans a patient by CT at one of several visits: in the middle of a grid that is the same for
/// all, turned about the long axis; `source` draws angle, noise and gain.
///
/// # Errors
/// [`PhantomError`] when the grid is invalid, which it is not.
pub fn scan_visit(
    anatomy: &Anatomy,
    settings: &VisitSettings,
    source: &mut RandomSource,
) -> Result<PhantomScan, PhantomError> {
    let VisitSettings { rotation_degrees, noise_hu: [least, most], gain, .. } = *settings;
    let pose = Pose::turned(rotation_degrees, source);
    let Protocol { orientation, shape, spacing_mm } = CT_PROTOCOLS[1];
    let grid = Grid::new(shape, Affine::from_orientation(orientation.parse()?, spacing_mm, shape));
    let chain = Chain::Ct { noise_hu: source.between(least, most) };
    let gain = source.between(1.0 - gain, 1.0 + gain);
    expose(&Camera { modality: PhantomModality::Ct, anatomy, pose, grid }, &chain, Some(gain), source)
}

/// Samples every voxel; `gain` scales HU from air up.
fn expose(
    camera: &Camera<'_>,
    chain: &Chain,
    gain: Option<f64>,
    source: &mut RandomSource,
) -> Result<PhantomScan, PhantomError> {
    const AIR_HU: f64 = -1000.0;
    let grid = camera.grid;
    let [nx, ny, nz] = grid.shape;
    let mut image = Vec::with_capacity(grid.len());
    let mut labels = Vec::with_capacity(grid.len());
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                let index = [x, y, z].map(|i| i as f64);
                labels.push(camera.tissue(index).label());
                let signal = camera.signal(index);
                let signal = gain.map_or(signal, |gain| (signal - AIR_HU) * gain + AIR_HU);
                image.push(chain.stored(signal, camera.place(index), source));
            }
        }
    }
    Ok(PhantomScan { image: Volume::new(grid, image)?, labels: Volume::new(grid, labels)? })
}

/// The protocol's grid around the patient, a little off centre.
fn grid(protocol: &Protocol, pose: &Pose, source: &mut RandomSource) -> Result<Grid, PhantomError> {
    let orientation: Orientation = protocol.orientation.parse()?;
    let world = orientation.axes().map(|code| code.world_axis());
    let shape = world.map(|axis| protocol.shape[axis]);
    let spacing = world.map(|axis| protocol.spacing_mm[axis]);
    let centred = Affine::from_orientation(orientation, spacing, shape);
    let off_centre = [8.0, 6.0, 10.0].map(|range| quarter(source.between(-range, range)));
    let origin = std::array::from_fn(|r| centred.origin_mm()[r] + pose.position_mm[r] + off_centre[r]);
    let affine = Affine::from_columns([0, 1, 2].map(|axis| centred.step_mm(axis)), origin);
    Ok(Grid::new(shape, affine))
}

/// Rounded to multiples of a quarter of a millimetre.
fn quarter(mm: f64) -> f64 {
    (mm * 4.0).round() / 4.0
}

/// Samples the anatomy at each voxel.
struct Camera<'a> {
    modality: PhantomModality,
    anatomy: &'a Anatomy,
    pose: Pose,
    grid: Grid,
}

impl Camera<'_> {
    /// The tissue at a (fractional) voxel index.
    fn tissue(&self, index: [f64; 3]) -> Tissue {
        self.anatomy.tissue(self.pose.to_patient(self.grid.affine.apply(index)))
    }

    /// The mean signal over a voxel.
    fn signal(&self, index: [f64; 3]) -> f64 {
        let mut sum = 0.0;
        for sample in 0..SAMPLES * SAMPLES * SAMPLES {
            let steps = [sample % SAMPLES, sample / SAMPLES % SAMPLES, sample / (SAMPLES * SAMPLES)];
            let at =
                std::array::from_fn(|axis| index[axis] + (steps[axis] as f64 + 0.5) / SAMPLES as f64 - 0.5);
            let tissue = self.tissue(at);
            sum += self.modality.signal(tissue) + self.of_lung(tissue, at);
        }
        sum / (SAMPLES * SAMPLES * SAMPLES) as f64
    }

    /// Lungs are denser when deflated, and denser at the back, where a patient lies on them.
    fn of_lung(&self, tissue: Tissue, index: [f64; 3]) -> f64 {
        if !matches!(tissue, Tissue::LeftLung | Tissue::RightLung) {
            return 0.0;
        }
        let front = self.grid.affine.apply(index)[1] - self.pose.position_mm[1];
        let air = self.anatomy.inflation() + front / 80.0;
        match self.modality {
            PhantomModality::Ct => -24.0 * air,
            PhantomModality::Mr => -0.012 * air,
        }
    }

    /// Position of a voxel in the field of view: -1 to 1 along right, anterior, superior.
    fn place(&self, index: [f64; 3]) -> [f64; 3] {
        let middle = self.grid.shape.map(|n| (n as f64 - 1.0) / 2.0);
        let (at, centre) = (self.grid.affine.apply(index), self.grid.affine.apply(middle));
        let corner = self.grid.affine.apply([-0.5; 3]);
        std::array::from_fn(|r| (at[r] - centre[r]) / (corner[r] - centre[r]).abs())
    }
}
