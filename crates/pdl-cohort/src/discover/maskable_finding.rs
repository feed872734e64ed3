//! Findings whose messages hold names from the cohort: those of its files, folders, keys or labels.

use pdl_findings::Finding;

use super::Layout;

/// A finding, and its message without the names, for cohorts whose patients have pseudonyms.
pub(super) struct MaskableFinding {
    pub finding: Finding,
    pub nameless: String,
}

impl Layout {
    /// Adds findings whose names are removed by [`Layout::hide_names`].
    pub(super) fn add_maskable(&mut self, findings: impl IntoIterator<Item = MaskableFinding>) {
        for MaskableFinding { finding, nameless } in findings {
            self.nameless.insert(finding.message.clone(), nameless);
            self.findings.push(finding);
        }
    }

    /// Replaces the messages that hold names by those without.
    pub(crate) fn hide_names(&mut self) {
        for finding in &mut self.findings {
            if let Some(nameless) = self.nameless.remove(&finding.message) {
                finding.message = nameless;
            }
        }
    }
}
