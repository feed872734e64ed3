//! `pdl audit`: what is said of leaks, and the one round in which `pdl curate` mends them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use pdl_cohort::same_patient::{Pair, SamePatient};
use pdl_console::{counted, note};
use pdl_curriculum::audit::{Audit, FILE, Link, Moved, Reason, SAME_PATIENT_FILE};

/// Leaks that are named one by one; the rest is counted.
const NAMED: usize = 10;

/// Most patients that are taken as one unasked. Where more look like one, their images are rather too alike to tell
/// persons apart: under a normalisation that does not suit them, say, everything is one grey.
const MOST_JOINED: usize = 4;

/// Training and held-out cases are joined.
#[derive(Debug)]
pub(crate) struct LeakError {
    leaks: usize,
}

impl std::fmt::Display for LeakError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (pairs, verb) = (counted(self.leaks, "pair"), if self.leaks == 1 { "joins" } else { "join" });
        write!(f, "{pairs} of cases {verb} two splits; {FILE} lists all")
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

/// Leaks and findings on stderr; `indexed` says that the command is one that indexes, too.
pub(crate) fn warnings(out: &Path, audit: &Audit, indexed: bool) {
    let leaks = || audit.links.iter().filter(|link| link.is_leak());
    for link in leaks().take(NAMED) {
        note(&format!("leak: {}", link_text(link)));
    }
    if audit.leaks > NAMED {
        note(&format!("leak: and {} more", audit.leaks - NAMED));
    }
    if leaks().any(|link| link.patient_a != link.patient_b) {
        note(&format!("  if the patients of such a pair are one: {}", same_patient_command(out, indexed)));
        note(
            "  (where the cohort's table puts them into two splits, mend its column split first); if they are two, write no \
             in the list under same, and give it all the same",
        );
    }
    let apart = audit.links.iter().filter(|link| link.apart && !link.is_leak()).count();
    if apart > 0 {
        note(&format!(
            "note: {} of patients that you keep apart, though the images are much alike; {SAME_PATIENT_FILE} lists them",
            counted(apart, "pair")
        ));
    }
    for finding in &audit.findings {
        note(&format!("warning: {} [{}]", finding.message, finding.code));
    }
}

/// How to give a curation folder's list of patients that seem to be one.
fn same_patient_command(out: &Path, indexed: bool) -> String {
    let command = if indexed { "curate" } else { "index" };
    let list = out.join(SAME_PATIENT_FILE);
    format!("pdl {command} COHORT --out {} --same-patient {}", out.display(), list.display())
}

/// What is told when `pdl curate` has taken patients as one: which, why, and how to refuse it.
pub(crate) fn joined(out: &Path, links: &[Link], joined: &SamePatient) -> Vec<String> {
    let taken: BTreeSet<(&str, &str)> = joined.pairs().map(Pair::names).collect();
    let links: Vec<&Link> = links.iter().filter(|link| taken.contains(&link.pair().names())).collect();
    let told = |link: &&Link| {
        let Link { patient_a, patient_b, case_a, case_b, .. } = *link;
        format!("  {patient_a} and {patient_b}: {case_a} and {case_b} {}", why(link))
    };
    let mut lines = vec![
        "note: some patients in two splits seem to be one; they are taken as one now, and the split is made again:".to_owned(),
    ];
    lines.extend(links.iter().take(NAMED).map(told));
    if links.len() > NAMED {
        lines.push(format!("  and {} more", links.len() - NAMED));
    }
    lines.push(format!(
        "  {SAME_PATIENT_FILE} lists the pairs; to refuse one, write no there under same: {}",
        same_patient_command(out, true)
    ));
    lines
}

fn link_text(link: &Link) -> String {
    let Link { case_a, split_a, case_b, split_b, .. } = link;
    let refused = if link.apart { "; you keep their patients apart: leave one of both out" } else { "" };
    format!("{case_a} ({split_a}) and {case_b} ({split_b}) {}{refused}", why(link))
}

fn why(link: &Link) -> String {
    let why = match link.reason {
        Reason::SamePatient => "are of one patient".to_owned(),
        Reason::SameFile => "are one file".to_owned(),
        Reason::SameImage => "are nearly one image".to_owned(),
        Reason::StandsOut => "are more alike than either is to anybody else".to_owned(),
        Reason::MovedImage => format!("are nearly one image{}", motion_text(link.moved.as_ref())),
    };
    let ssim = link.ssim.map_or(String::new(), |ssim| format!(" (SSIM {ssim:.3})"));
    format!("{why}{ssim}")
}

/// How the second image lies over the first.
fn motion_text(moved: Option<&Moved>) -> String {
    let Some(Moved { flipped, shift_mm: [x, y, z], ssim }) = moved else { return String::new() };
    let flip = if flipped.is_empty() { String::new() } else { format!("flipped along {flipped} and ") };
    format!(" once one is {flip}shifted by {x:.1}, {y:.1}, {z:.1} mm, to an SSIM of {ssim:.3}")
}

/// One line about the audit.
pub(crate) fn line(audit: &Audit) -> String {
    let apart = audit.links.iter().filter(|link| link.apart && !link.is_leak()).count();
    let joined = audit.links.len() - audit.leaks - apart;
    let verb = |count: usize| if count == 1 { "joins" } else { "join" };
    let (leak, join) = (verb(audit.leaks), verb(joined));
    let apart = if apart > 0 { format!(", {apart} of patients kept apart") } else { String::new() };
    let drift = audit.drift.map_or(String::new(), |drift| format!("; drift p = {:.3}", drift.p_value));
    let leaks = counted(audit.leaks, "pair");
    format!("{leaks} {leak} two splits, {joined} {join} two patients of one split{apart}{drift}")
}

/// The patients that the audit found to be one, when some of them are in two splits and the user does not keep them apart.
pub(crate) fn to_join(audit: &Audit) -> Option<SamePatient> {
    let two_patients = || audit.links.iter().filter(|link| link.patient_a != link.patient_b && !link.apart);
    two_patients().any(Link::is_leak).then(|| two_patients().map(Link::pair).collect::<SamePatient>())
}

/// The names under which more patients would go than one person is likely to have.
pub(crate) fn crowds(found: &SamePatient) -> BTreeSet<String> {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    found.names().values().for_each(|name| *sizes.entry(name).or_default() += 1);
    sizes.into_iter().filter(|(_, size)| *size > MOST_JOINED).map(|(name, _)| name.to_owned()).collect()
}

/// What is said of them.
pub(crate) fn crowds_text(crowds: &BTreeSet<String>) -> String {
    format!(
        "warning: in {} more than {MOST_JOINED} patients look like one, so that their images are rather too alike to tell \
         patients apart (is --modality right?): they are left as they are",
        counted(crowds.len(), "group")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_not_one_person() {
        let pairs = [("a", "b"), ("c", "d"), ("d", "e"), ("e", "f"), ("f", "g")];
        let found: SamePatient = pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).into_iter().collect();
        let crowds = crowds(&found);
        assert_eq!(crowds, BTreeSet::from(["c".to_owned()]));
        let rest = found.without(&crowds);
        assert_eq!(rest.names().into_keys().collect::<Vec<_>>(), ["a", "b"]);
    }
}
