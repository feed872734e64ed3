//! A patient's anatomy as nested solids.
//!
//! Coordinates are the patient's own, in millimetres: x to the right, y to anterior, z to superior,
//! the origin in the middle of the chest.

use crate::patient::Traits;
use crate::solid::{Egg, Point, in_capsule, in_ellipse, square, squircle};
use crate::tissue::Tissue;

/// Half of the height that the curves of spine and chest are stated for, mm.
const CHEST_HALF_HEIGHT: f64 = 150.0;
/// From one vertebra to the next, mm.
const VERTEBRA_PITCH: f64 = 26.0;
/// From one rib to the next, mm.
const RIB_PITCH: f64 = 27.0;

/// One patient's solids.
#[derive(Clone, Debug)]
pub struct Anatomy {
    /// All lengths, as a multiple of the mean patient's.
    size: f64,
    fat_mm: f64,
    /// Half-widths of the body without its fat, side to side and front to back, mm.
    body: [f64; 2],
    scoliosis: f64,
    kyphosis: f64,
    skew: f64,
    left: Lung,
    right: Lung,
    heart: Egg,
    /// How well aerated the lungs are: 0 is the mean patient's.
    inflation: f64,
}

/// A lung: an elliptic cylinder with a rounded apex that stands on the diaphragm's dome.
#[derive(Clone, Copy, Debug)]
struct Lung {
    /// -1 for the patient's left, +1 for the right.
    side: f64,
    /// Half-widths away from the midline, towards it, and front to back, mm.
    lateral: f64,
    medial: f64,
    depth: f64,
    /// Rim and top of the diaphragm, and the lung's apex, mm.
    rim: f64,
    dome: f64,
    apex: f64,
}

impl Lung {
    /// Distance of the lung's axis from the midline, mm.
    const AXIS: f64 = 71.0;
    /// Height at which the lung begins to narrow towards its apex, mm.
    const SHOULDER: f64 = -25.0;

    fn new(side: f64, width: f64, traits: &Traits) -> Self {
        let i = traits.inflation;
        let breadth = width * (1.0 + 0.025 * i);
        Self {
            side,
            lateral: 57.0 * breadth,
            medial: 46.0 * breadth,
            depth: 80.0 * (1.0 + 0.02 * i) + 3.0 * traits.habitus,
            rim: -98.0 - 12.0 * i + 5.0 * traits.habitus,
            dome: (if side > 0.0 { 44.0 } else { 34.0 }) - 5.0 * i,
            apex: 116.0 + 2.0 * i,
        }
    }

    /// Distance from the lung's axis, away from the midline, mm.
    fn outward(&self, p: Point) -> f64 {
        let height = ((p[2] - Self::SHOULDER) / (self.apex - Self::SHOULDER)).max(0.0);
        self.side * p[0] - (Self::AXIS - 15.0 * height * height)
    }

    /// Height of the diaphragm at a point, mm: highest near the midline, lowest at the chest wall.
    fn diaphragm(&self, p: Point) -> f64 {
        let u = (self.side * p[0] - Self::AXIS + 25.0) / (self.lateral + 25.0);
        let v = p[1] / self.depth;
        self.rim + self.dome * (1.0 - 0.85 * (u * u + v * v).min(1.0))
    }

    fn contains(&self, p: Point) -> bool {
        if self.side * p[0] <= 0.0 || p[2] >= self.apex || p[2] <= self.diaphragm(p) {
            return false;
        }
        let height = ((p[2] - Self::SHOULDER) / (self.apex - Self::SHOULDER)).max(0.0);
        let outward = self.outward(p);
        let u = outward / if outward > 0.0 { self.lateral } else { self.medial };
        squircle(u, (p[1] + 2.0) / self.depth) < 1.0 - height * height * height
    }
}

impl Anatomy {
    /// The anatomy of a patient with these traits.
    pub fn new(traits: &Traits) -> Self {
        let heart_size = 1.0 + 0.075 * traits.heart_size;
        let shift = traits.heart_shift;
        let centre = [-21.0 - 6.0 * shift, 20.0, -38.0 - 5.0 * shift - 6.0 * traits.inflation];
        let half_lengths = [66.0, 51.0, 47.0].map(|length| length * heart_size);
        Self {
            size: 1.0 + 0.048 * traits.stature,
            fat_mm: (15.0 + 7.5 * traits.habitus).max(4.0),
            body: [153.0 + 2.5 * traits.habitus, 107.0 + 4.0 * traits.habitus],
            scoliosis: 17.0 * traits.scoliosis,
            kyphosis: 5.0 * traits.kyphosis,
            skew: 0.035 * traits.skew,
            left: Lung::new(-1.0, 0.97, traits),
            right: Lung::new(1.0, 1.02, traits),
            heart: Egg::new(centre, [-0.64, 0.5, -0.5 - 0.06 * shift], half_lengths, 0.22),
            inflation: traits.inflation,
        }
    }

    /// How well aerated the lungs are: 0 is the mean patient's, positive more air.
    pub fn inflation(&self) -> f64 {
        self.inflation
    }

    /// The tissue at a point (mm). Where solids overlap, the first in this order wins: cord, canal,
    /// arch and vertebra; oesophagus; airways; heart; vessels; lungs; abdomen; mediastinum; ribs;
    /// muscle; fat; couch; air.
    pub fn tissue(&self, point: Point) -> Tissue {
        let p = point.map(|v| v / self.size);
        let w = p[2] / CHEST_HALF_HEIGHT;
        if !self.in_body(p, w, self.fat_mm) {
            return self.around(p);
        }
        if !self.in_body(p, w, 0.0) {
            return Tissue::Fat;
        }
        let inner = self.straightened(p, w);
        self.organ(inner).unwrap_or_else(|| self.wall(p, inner, w))
    }

    /// The body is a squircle in every plane, narrower at neck and waist; fat is thicker at the
    /// belly.
    fn in_body(&self, p: Point, w: f64, fat_mm: f64) -> bool {
        let shoulder = (w - 0.4).max(0.0);
        let waist = (-w).max(0.0);
        let taper = 1.0 - 0.55 * shoulder * shoulder - 0.05 * waist * waist;
        let fat = fat_mm * (1.0 + 0.35 * waist);
        let u = p[0] / (self.body[0] * taper + fat);
        let v = (p[1] + 2.0) / (self.body[1] * taper + fat);
        squircle(u, v) < 1.0
    }

    fn around(&self, p: Point) -> Tissue {
        let top = -(self.body[1] + self.fat_mm) - 3.0;
        if p[1] < top && p[1] > top - 12.0 && p[0].abs() < 190.0 { Tissue::Couch } else { Tissue::Air }
    }

    /// From the patient's coordinates to those of a chest with a straight spine and equal sides.
    fn straightened(&self, p: Point, w: f64) -> Point {
        let sideways = self.scoliosis * (w - w * w * w);
        let backwards = self.kyphosis * (0.35 - w * w);
        let x = p[0] - sideways;
        [x * (1.0 + self.skew * p[1] / 100.0), p[1] + backwards, p[2] + self.skew * x * 0.6]
    }

    fn organ(&self, p: Point) -> Option<Tissue> {
        let axial = [p[0], p[1]];
        spine(p)
            .or_else(|| oesophagus(p).then_some(Tissue::Oesophagus))
            .or_else(|| airway(p, axial).then_some(Tissue::Airway))
            .or_else(|| self.heart.contains(p).then_some(Tissue::Heart))
            .or_else(|| vessel(p, axial).then_some(Tissue::Vessel))
            .or_else(|| self.left.contains(p).then_some(Tissue::LeftLung))
            .or_else(|| self.right.contains(p).then_some(Tissue::RightLung))
    }

    /// The tissue between the organs and the subcutaneous fat. The rib cage follows the body's
    /// outline.
    fn wall(&self, p: Point, inner: Point, w: f64) -> Tissue {
        if self.in_body(p, w, -16.0) {
            return self.between_organs(inner);
        }
        let slope = p[2] + 0.35 * p[1]; // ribs run forwards and down
        let place = slope / RIB_PITCH;
        let on_rib = place - place.floor() < 0.42;
        if on_rib && self.in_body(p, w, -8.0) { Tissue::Rib } else { Tissue::Muscle }
    }

    fn between_organs(&self, p: Point) -> Tissue {
        let right = p[0] > 0.0;
        let lung = if right { &self.right } else { &self.left };
        if p[2] <= lung.diaphragm(p) {
            return if p[0] > -18.0 { Tissue::Liver } else { Tissue::Abdomen };
        }
        if p[0].abs() < 46.0 { Tissue::Mediastinum } else { Tissue::Muscle }
    }
}

/// Cord in its canal, within the vertebral arches, behind the vertebral bodies.
fn spine(p: Point) -> Option<Tissue> {
    let axial = [p[0], p[1]];
    if !(p[1] < -36.0 && p[0].abs() < 26.0) {
        return None;
    }
    let canal = [0.0, -81.0];
    if in_ellipse(axial, canal, [8.8, 7.8]) {
        return Some(Tissue::Cord);
    }
    if in_ellipse(axial, canal, [11.5, 10.5]) {
        return Some(Tissue::Canal);
    }
    let place = p[2] / VERTEBRA_PITCH;
    let place = place - place.floor();
    let widening = 1.0 - 0.06 * p[2] / CHEST_HALF_HEIGHT; // lumbar vertebrae are larger
    if in_ellipse(axial, [0.0, -57.0], [19.5 * widening, 15.0 * widening]) {
        return Some(if place < 0.2 { Tissue::Disc } else { Tissue::Vertebra });
    }
    let arch = in_ellipse(axial, canal, [21.0, 16.5]);
    (arch && place > 0.3).then_some(Tissue::Arch)
}

/// In front of the spine, leaving the midline to the left and front as it descends.
fn oesophagus(p: Point) -> bool {
    let descent = (0.3 - p[2] / CHEST_HALF_HEIGHT).max(0.0);
    let centre = [-2.0 - 9.0 * descent * descent, -31.0 + 7.0 * descent * descent];
    p[2] > -125.0 && in_ellipse([p[0], p[1]], centre, [9.6, 8.2])
}

/// Trachea down to the carina, then a bronchus to each lung.
fn airway(p: Point, axial: [f64; 2]) -> bool {
    const CARINA: Point = [3.0, -11.0, 26.0];
    (p[2] > CARINA[2] && in_ellipse(axial, [CARINA[0], CARINA[1]], [9.0, 8.5]))
        || in_capsule(p, CARINA, [44.0, -12.0, -2.0], 6.5)
        || in_capsule(p, CARINA, [-44.0, -14.0, -6.0], 6.0)
}

/// The ascending aorta, its arch, the descending aorta left of the spine, and the superior vena
/// cava.
fn vessel(p: Point, axial: [f64; 2]) -> bool {
    let root: Point = [4.0, 16.0, -20.0];
    let front: Point = [6.0, 14.0, 48.0];
    let back: Point = [-24.0, -38.0, 48.0];
    in_capsule(p, root, front, 16.0)
        || in_capsule(p, front, back, 12.5)
        || (p[2] < back[2] && in_ellipse(axial, [back[0], back[1]], [12.5, 12.5]))
        || (p[2] > root[2] && square(p[0] - 21.0) + square(p[1] - 8.0) < square(9.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_patient_has_every_organ_in_its_place() {
        let anatomy = Anatomy::new(&Traits::default());
        assert_eq!(anatomy.tissue([-80.0, 0.0, 40.0]), Tissue::LeftLung);
        assert_eq!(anatomy.tissue([80.0, 0.0, 40.0]), Tissue::RightLung);
        assert_eq!(anatomy.tissue([-25.0, 25.0, -40.0]), Tissue::Heart);
        assert_eq!(anatomy.tissue([0.0, -81.0, 0.0]), Tissue::Cord);
        assert_eq!(anatomy.tissue([-2.0, -31.0, 60.0]), Tissue::Oesophagus);
        assert_eq!(anatomy.tissue([80.0, 0.0, -130.0]), Tissue::Liver);
        assert_eq!(anatomy.tissue([0.0, 111.0, 0.0]), Tissue::Fat);
        assert_eq!(anatomy.tissue([0.0, 200.0, 0.0]), Tissue::Air);
    }
}
