//! `pdl audit`: what is said of leaks, and the one round in which `pdl curate` mends them.

use std::path::Path;

use anyhow::Result;
use pdl_cohort::same_patient::SamePatient;
use pdl_curriculum::audit::{Audit, FILE, Link, Moved, Reason, SAME_PATIENT_FILE};

use crate::display::note;

/// Leaks that are named one by one; the rest is counted.
const NAMED: usize = 10;

/// Training and held-out cases are joined.
#[derive(Debug)]
pub(crate) struct LeakError {
    leaks: usize,
}

impl std::fmt::Display for LeakError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pairs of cases join two splits; {FILE} lists them", self.leaks)
    }
}

impl std::error::Error for LeakError {}

/// # Errors
/// [`LeakError`] when anything joins two splits.
pub(crate) fn refuse_leaks<'a>(audits: impl Iterator<Item = &'a Audit>) -> Result<()> {
    match audits.map(|audit| audit.leaks).max() {
        Some(leaks) if leaks > 0 => Err(LeakError { leaks }.into()),
        _ => Ok(()),
    }
}

/// Leaks and findings on stderr.
pub(crate) fn warnings(out: &Path, audit: &Audit) {
    for link in audit.links.iter().filter(|link| link.is_leak()).take(NAMED) {
        note(&format!("leak: {}", link_text(link)));
    }
    if audit.leaks > NAMED {
        note(&format!("leak: and {} more", audit.leaks - NAMED));
    }
    if audit.links.iter().any(|link| link.is_leak() && link.patient_a != link.patient_b) {
        let list = out.join(SAME_PATIENT_FILE);
        note(&format!(
            "to take these patients as one: pdl index COHORT --out {} --same-patient {}",
            out.display(),
            list.display()
        ));
    }
    for finding in &audit.findings {
        note(&format!("warning: {} [{}]", finding.message, finding.code));
    }
}

fn link_text(link: &Link) -> String {
    let why = match link.reason {
        Reason::SamePatient => "are of one patient".to_owned(),
        Reason::SameFile => "are one file".to_owned(),
        Reason::SameImage => "are nearly one image".to_owned(),
        Reason::StandsOut => "are more alike than either is to anybody else".to_owned(),
        Reason::MovedImage => format!("are nearly one image{}", motion_text(link.moved.as_ref())),
    };
    let ssim = link.ssim.map_or(String::new(), |ssim| format!(" (SSIM {ssim:.3})"));
    format!("{} ({}) and {} ({}) {why}{ssim}", link.case_a, link.split_a, link.case_b, link.split_b)
}

/// How the second image lies over the first.
fn motion_text(moved: Option<&Moved>) -> String {
    let Some(Moved { flipped, shift_mm: [x, y, z], ssim }) = moved else { return String::new() };
    let flip = if flipped.is_empty() { String::new() } else { format!("flipped along {flipped} and ") };
    format!(" once one is {flip}shifted by {x:.1}, {y:.1}, {z:.1} mm, to an SSIM of {ssim:.3}")
}

/// One line about the audit.
pub(crate) fn line(audit: &Audit) -> String {
    let joined = audit.links.len() - audit.leaks;
    let drift = audit.drift.map_or(String::new(), |drift| format!("; drift p = {:.3}", drift.p_value));
    format!("{} pairs join two splits, {joined} join two patients of one split{drift}", audit.leaks)
}

/// The patients that the audit found to be one, when some of them are in two splits.
pub(crate) fn to_join(audit: &Audit) -> Option<SamePatient> {
    let two_patients = || audit.links.iter().filter(|link| link.patient_a != link.patient_b);
    two_patients().any(Link::is_leak).then(|| {
        two_patients().map(|link| (link.patient_a.clone(), link.patient_b.clone())).collect::<SamePatient>()
    })
}
