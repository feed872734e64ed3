//! The page: a template, its style and scripts, and the data as JSON, in one file.
//!
//! Everything from the cohort enters the page as JSON with `<`, `>` and `&` escaped, and from there
//! the document as text, never as markup. For browsers that run no scripts the main figures and
//! findings are in the page itself, with the same three characters as entities.

use serde::Serialize;

use crate::Result;
use crate::cohort::CohortSummary;
use pdl_store::plural::counted;

/// The page with placeholders.
const TEMPLATE: &str = include_str!("../assets/page.html");
const STYLE: &str = include_str!("../assets/page.css");

/// Observable Plot and D3 from npm; `assets/vendor/fetch.py` has their versions and hashes.
const VENDOR: [&str; 2] =
    [include_str!("../assets/vendor/d3.min.js"), include_str!("../assets/vendor/plot.umd.min.js")];

/// Licences of the libraries, which must accompany them.
const LICENCES: [&str; 2] =
    [include_str!("../assets/vendor/d3.LICENSE"), include_str!("../assets/vendor/plot.LICENSE")];

/// The page's own scripts, in the order in which they run.
const SCRIPTS: [&str; 10] = [
    include_str!("../assets/base.js"),
    include_str!("../assets/summary.js"),
    include_str!("../assets/curriculum.js"),
    include_str!("../assets/heatmap.js"),
    include_str!("../assets/map.js"),
    include_str!("../assets/pairs.js"),
    include_str!("../assets/audit.js"),
    include_str!("../assets/training.js"),
    include_str!("../assets/experiments.js"),
    include_str!("../assets/table.js"),
];

/// The page as HTML.
///
/// # Errors
/// [`crate::ReportError::Data`] when the data cannot be encoded as JSON.
pub fn html(data: &impl Serialize, summary: &CohortSummary) -> Result<String> {
    let data = escaped(&serde_json::to_string(data)?);
    let scripts = SCRIPTS.concat();
    let vendor = VENDOR.join("\n");
    let licences = LICENCES.join("\n").replace("--", "- -");
    let parts = [
        ("{{title}}", &title(summary)),
        ("{{style}}", &STYLE.to_owned()),
        ("{{licences}}", &licences),
        ("{{vendor}}", &vendor),
        ("{{without_scripts}}", &without_scripts(summary)),
        ("{{data}}", &data),
        ("{{scripts}}", &scripts),
    ];
    let mut page = String::with_capacity(data.len() + vendor.len() + scripts.len() + 65536);
    let mut rest = TEMPLATE;
    // Placeholders are filled from first to last; inserted text is not scanned again.
    while let Some((at, key, text)) = parts
        .iter()
        .filter_map(|(key, text)| Some((rest.find(key)?, *key, *text)))
        .min_by_key(|found| found.0)
    {
        page.push_str(&rest[..at]);
        page.push_str(text);
        rest = &rest[at + key.len()..];
    }
    page.push_str(rest);
    Ok(page)
}

/// Escapes JSON for a script element.
fn escaped(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// Cohort and findings, for browsers that run no scripts.
fn without_scripts(summary: &CohortSummary) -> String {
    let CohortSummary { found, unlabelled, rejected, failed, splits, findings, .. } = summary;
    let splits = splits.iter().map(|(split, cases, patients)| {
        format!("{split:?}: {} of {}", counted(*cases, "case"), counted(*patients, "patient"))
    });
    let unlabelled = if *unlabelled > 0 { format!("{unlabelled} unlabelled, ") } else { String::new() };
    let found = counted(*found, "case");
    let figures = [format!("{found} found, {unlabelled}{rejected} rejected, {failed} failed")]
        .into_iter()
        .chain(splits);
    let findings = findings.iter().map(|group| {
        let (case, message) = group.examples.first().map_or(("", ""), |(case, message)| (case, message));
        let of = if group.cases > 0 {
            format!(" ({}; first {case})", counted(group.cases, "case"))
        } else {
            String::new()
        };
        format!("{}{of}: {message}", group.code)
    });
    let list =
        |lines: Vec<String>| lines.iter().map(|line| format!("<li>{}</li>", text(line))).collect::<String>();
    format!("<ul>{}</ul><h2>Findings</h2><ul>{}</ul>", list(figures.collect()), list(findings.collect()))
}

/// Escapes text for the document.
fn text(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Holds numbers and modalities only.
fn title(summary: &CohortSummary) -> String {
    let kinds: Vec<String> =
        summary.modalities.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let kinds = if kinds.is_empty() { "no".to_owned() } else { kinds.join(" and ") };
    let cases: usize = summary.modalities.values().sum();
    let word = if cases == 1 { "case" } else { "cases" };
    format!("{kinds} {word} of {}", counted(summary.patients, "patient"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cohort::FindingGroup;

    #[test]
    fn what_a_cohort_says_cannot_become_markup() {
        let summary = CohortSummary {
            found: 1,
            rejected: 0,
            unlabelled: 0,
            failed: 0,
            patients: 1,
            modalities: [("CT".to_owned(), 1)].into(),
            splits: Vec::new(),
            labels: vec![(1, "</script><script>alert(1)</script> {{vendor}} & <!--".to_owned())],
            carried: Vec::new(),
            findings: vec![FindingGroup {
                code: "lone-label".to_owned(),
                stage: "index",
                cases: 1,
                examples: vec![("a".to_owned(), "<script> &".to_owned())],
            }],
        };
        let page = html(&summary, &summary).unwrap();
        assert!(!page.contains("<script>alert"));
        assert!(page.contains("\\u003c/script\\u003e\\u003cscript\\u003ealert(1)"));
        assert!(page.contains("{{vendor}}"), "a place's name in the data stays as it is");
        assert!(page.contains("<li>lone-label (1 case; first a): &lt;script&gt; &amp;</li>"));
        assert!(page.contains("<title>pdl: 1 CT case of 1 patient</title>"));
        let open = page.matches("<script").count();
        assert_eq!(open, page.matches("</script>").count());
    }
}
