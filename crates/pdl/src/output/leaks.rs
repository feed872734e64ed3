//! What the audit found, for the terminal.

use std::collections::BTreeSet;
use std::path::Path;

use pdl_cohort::split::same_patient::{PatientPair, SamePatient};
use pdl_console::{MOST_LISTED, counted, note, shorten};
use pdl_curriculum::audit::{Audit, ImageTransform, Link, Reason, SAME_PATIENT_FILE};

/// Writes leaks and findings to stderr. `indexed`: the command also indexes, so the advice names
/// `pdl curate`.
pub(crate) fn warnings(out: &Path, audit: &Audit, indexed: bool) {
    let leaks: Vec<&Link> = audit.links.iter().filter(|link| link.is_leak()).collect();
    let (listed, more) = shorten(&leaks, MOST_LISTED);
    listed.iter().for_each(|link| note(&format!("leak: {}", link_text(link))));
    if more > 0 {
        note(&format!("leak: and {more} more"));
    }
    if leaks.iter().any(|link| link.patient_a != link.patient_b) {
        note(&format!("  if the patients of a pair are one person: {}", same_patient_command(out, indexed)));
        note(
            "  (if the cohort's table gives them different splits, correct its column split first); if they are two \
             persons, write no in the column same of the list, and pass it as well",
        );
    }
    let apart = audit.links.iter().filter(|link| link.apart && !link.is_leak()).count();
    if apart > 0 {
        note(&format!(
            "note: {} of patients that you keep apart have very similar images; {SAME_PATIENT_FILE} lists them",
            counted(apart, "pair")
        ));
    }
    for finding in &audit.findings {
        note(&format!("warning: {} [{}]", finding.message, finding.code));
    }
}

/// The command that passes a curation folder's list of patients that look like one person.
fn same_patient_command(out: &Path, indexed: bool) -> String {
    let command = if indexed { "curate" } else { "index" };
    let list = out.join(SAME_PATIENT_FILE);
    format!("pdl {command} COHORT --out {} --same-patient {}", out.display(), list.display())
}

/// Which patients `pdl curate` merged, why, and how to keep them apart.
pub(crate) fn merged_lines(out: &Path, links: &[Link], merged: &SamePatient) -> Vec<String> {
    let pairs: BTreeSet<(&str, &str)> = merged.pairs().map(PatientPair::names).collect();
    let links: Vec<&Link> = links.iter().filter(|link| pairs.contains(&link.pair().names())).collect();
    let line = |link: &&Link| {
        let Link { patient_a, patient_b, case_a, case_b, .. } = *link;
        format!("  {patient_a} and {patient_b}: {case_a} and {case_b} {}", why(link))
    };
    let mut lines = vec![
        "note: some patients in two splits look like one person; they are merged, and the split is assigned again:"
            .to_owned(),
    ];
    let (listed, more) = shorten(&links, MOST_LISTED);
    lines.extend(listed.iter().map(line));
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines.push(format!(
        "  {SAME_PATIENT_FILE} lists the pairs; to keep one apart, write no there in the column same: {}",
        same_patient_command(out, true)
    ));
    lines
}

/// Why groups of more than `most` similar patients are not merged.
pub(crate) fn crowds_line(groups: usize, most: usize) -> String {
    format!(
        "warning: more than {most} patients look like one person in {}: the images are too similar to tell patients apart \
         (is --modality right?), and these patients are not merged",
        counted(groups, "group")
    )
}

fn link_text(link: &Link) -> String {
    let Link { case_a, split_a, case_b, split_b, .. } = link;
    let apart = if link.apart { "; you keep their patients apart: exclude one of the two cases" } else { "" };
    format!("{case_a} ({split_a}) and {case_b} ({split_b}) {}{apart}", why(link))
}

fn why(link: &Link) -> String {
    let why = match link.reason {
        Reason::SamePatient => "belong to one patient".to_owned(),
        Reason::SameFile => "are the same file".to_owned(),
        Reason::SameImage => "are near-duplicates".to_owned(),
        Reason::StandsOut => "are more similar than either is to any other patient".to_owned(),
        Reason::MovedImage => format!("are near-duplicates{}", motion_text(link.moved.as_ref())),
        Reason::OnePerson => "agree after rigid alignment as images of one person do".to_owned(),
    };
    let ssim = link.ssim.map_or(String::new(), |ssim| format!(" (SSIM {ssim:.3})"));
    format!("{why}{ssim}")
}

/// The flip and shift that lay the second image over the first.
fn motion_text(moved: Option<&ImageTransform>) -> String {
    let Some(ImageTransform { flipped, shift_mm: [x, y, z], ssim }) = moved else { return String::new() };
    let flip = if flipped.is_empty() { String::new() } else { format!("flipped along {flipped} and ") };
    format!(" once one is {flip}shifted by {x:.1}, {y:.1}, {z:.1} mm, with SSIM {ssim:.3}")
}

/// One line about the audit.
pub(crate) fn line(audit: &Audit) -> String {
    let apart = audit.links.iter().filter(|link| link.apart && !link.is_leak()).count();
    let joined = audit.links.len() - audit.leaks - apart;
    let apart = if apart > 0 { format!(", {apart} of patients kept apart") } else { String::new() };
    let drift = audit.drift.map_or(String::new(), |drift| format!("; drift p = {:.3}", drift.p_value));
    let labels = audit.labels.as_ref().filter(|labels| labels.flagged > 0);
    let labels =
        labels.map_or(String::new(), |labels| format!("; {} to look at", counted(labels.flagged, "label")));
    let leaks = counted(audit.leaks, "pair");
    format!("duplicates: {leaks} across splits, {joined} across patients of one split{apart}{drift}{labels}")
}
