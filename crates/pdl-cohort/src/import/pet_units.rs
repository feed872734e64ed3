//! Which unit the PET values of a cohort are in: decided at its first index, so that a case that
//! joins later re-scales no other.

use std::collections::BTreeMap;

use pdl_dicom::{PetError, PetScale, PetUnit, Series};
use pdl_findings::{Code, Finding};

use crate::attributes::{Modality, PetUnits};
use crate::table::cases::Cases;

impl PetUnits {
    /// The unit to which the reader of a series converts.
    pub(crate) fn scale(self) -> PetScale {
        match self {
            Self::Suv => PetScale::SuvBw,
            Self::Bqml => PetScale::Bqml,
            Self::Stored => PetScale::Stored,
        }
    }
}

/// The unit of a cohort's PET values, with the reason.
#[derive(Debug)]
pub(crate) struct PetDecision {
    pub units: PetUnits,
    /// Whether the user requested it.
    asked: bool,
    /// Number of series stored in each unit.
    stored: BTreeMap<PetUnit, usize>,
    /// Reasons why SUV cannot be computed, each with its number of series.
    without_suv: BTreeMap<String, usize>,
}

impl PetDecision {
    /// For the PET series that become cases; `None` if there are none. The user's request takes
    /// precedence, then the decision of an earlier run, then SUV if it can be computed for every
    /// series.
    pub(crate) fn new<'a>(
        asked: Option<PetUnits>,
        before: Option<&Cases>,
        series: impl Iterator<Item = &'a Series>,
    ) -> Option<Self> {
        let (mut stored, mut without_suv) = (BTreeMap::new(), BTreeMap::new());
        for series in series {
            let Some(unit) = series.pet_unit() else { continue };
            *stored.entry(unit).or_default() += 1;
            if let Err(error) = series.pet_factors(PetScale::SuvBw) {
                *without_suv.entry(error.to_string()).or_default() += 1;
            }
        }
        if stored.is_empty() {
            return None;
        }
        let decided = before.and_then(decided_before);
        let possible = if without_suv.is_empty() { PetUnits::Suv } else { PetUnits::Stored };
        let units = asked.or(decided).unwrap_or(possible);
        Some(Self { units, asked: asked.is_some(), stored, without_suv })
    }

    /// The unit to which the reader of a series converts.
    pub(crate) fn scale(&self) -> PetScale {
        self.units.scale()
    }

    /// Finding about a series that cannot be converted to the cohort's unit.
    pub(crate) fn refusal(&self, series: &Series) -> Option<Finding> {
        let error: PetError = series.pet_factors(self.scale()).err()?;
        let unit = match self.units {
            PetUnits::Suv => "SUVbw",
            PetUnits::Bqml | PetUnits::Stored => "Bq/ml",
        };
        Some(Finding::new(Code::OtherPetUnit, format!("{error}: the cohort's PET values are in {unit}")))
    }

    /// Finding about values that stay as stored: the reason, unless the user requested it, and
    /// whether they are in several units.
    pub(crate) fn finding(&self) -> Option<Finding> {
        if self.units != PetUnits::Stored || self.asked && self.stored.len() == 1 {
            return None;
        }
        let all: usize = self.stored.values().sum();
        let units: Vec<String> = self.stored.iter().map(|(unit, n)| format!("{n} in {unit}")).collect();
        let mut message = format!("the PET values of {all} series are kept as stored: {}", units.join(", "));
        if self.stored.len() > 1 {
            message += ", which cannot be compared";
        }
        let lacking: usize = self.without_suv.values().sum();
        if !self.asked && lacking > 0 {
            let most = self.without_suv.iter().max_by_key(|(_, count)| **count);
            let why = most.map(|(why, _)| why.as_str()).unwrap_or_default();
            message += &format!("; SUVbw cannot be computed for {lacking} of them ({why})");
        } else if !self.asked {
            message += "; the first index decided so, as SUVbw could not be computed for all";
        }
        Some(Finding::new(Code::PetUnits, message))
    }
}

/// The decision of an earlier run. Runs that recorded none used stored values.
fn decided_before(before: &Cases) -> Option<PetUnits> {
    let has_pet = || before.usable().any(|row| row.modality == Modality::PT);
    before.pet_units.or_else(|| has_pet().then_some(PetUnits::Stored))
}
