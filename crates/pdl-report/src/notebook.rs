//! A cohort in the cell of a notebook: some lines of text, and thumbnails of the first cases.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::{self, Manifest};
use pdl_store::printable::escaped_lines;
use pdl_store::progress::Silent;
use pdl_store::regular_file;

use crate::Result;
use crate::report::ComparedCases;
use crate::thumbnails::Thumbnails;

/// Most cases that are drawn; a sheet of thumbnails holds them all.
const SHOWN: usize = 8;

/// HTML without scripts or links: `lines` as they stand, and three planes with label contours of
/// the first cases of the curriculum, or of the cohort where there is none.
///
/// # Errors
/// [`crate::ReportError`] when a file of the curation folder cannot be read.
pub fn html(out: &Path, lines: &[String]) -> Result<String> {
    let mut html = format!("<pre>{}</pre>", text(&lines.join("\n")));
    let Some(compared) = ComparedCases::open(out)? else { return Ok(html) };
    let cases = Cases::read(out)?;
    let is_there = regular_file::is_there(&out.join(manifest::TABLE_FILE))?;
    let manifest = is_there.then(|| Manifest::open(out)).transpose()?;
    let ranked = manifest.iter().flat_map(Manifest::training).map(|row| &row.case_id);
    let known = ranked.filter(|id| compared.ids.binary_search(id).is_ok()).take(SHOWN).cloned();
    let mut chosen: Vec<String> = known.collect();
    if chosen.is_empty() {
        chosen = compared.ids.iter().take(SHOWN).cloned().collect();
    }
    let labels: BTreeSet<u16> =
        cases.rows.iter().flat_map(|row| row.labels.iter().map(|label| label.value)).collect();
    let labels: Vec<u16> = labels.into_iter().collect();
    let drawn = compared.draw(out, &cases, &chosen, &labels, &Silent)?;
    html.push_str(&pictures(&drawn, &chosen));
    Ok(html)
}

/// The first sheet, contours on top of images, and the case ids beside it.
fn pictures(drawn: &Thumbnails, cases: &[String]) -> String {
    let Some((jpeg, png)) = drawn.sheets.first() else { return String::new() };
    let mut html = format!(
        "<div style=\"display:flex\"><div style=\"position:relative;width:{0}px\">\
         <img alt=\"axial, coronal and sagittal planes, a case in a row\" width=\"{0}\" style=\"display:block\" \
         src=\"data:image/jpeg;base64,{jpeg}\">\
         <img alt=\"label contours\" width=\"{0}\" style=\"position:absolute;left:0;top:0\" \
         src=\"data:image/png;base64,{png}\"></div><div style=\"padding-left:8px\">",
        3 * drawn.side
    );
    for case in cases {
        // Writing to a String cannot fail.
        let _ =
            write!(html, "<div style=\"height:{0}px;line-height:{0}px\">{1}</div>", drawn.side, text(case));
    }
    html.push_str("</div></div>");
    html
}

/// Text as HTML shows it, without characters that steer what shows it.
fn text(text: &str) -> String {
    escaped_lines(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_text() {
        assert_eq!(text("a<b>\n&\u{1b}"), "a&lt;b&gt;\n&amp;\\u001b");
    }

    #[test]
    fn contours_lie_on_the_images_and_each_case_beside_its_row() {
        let drawn = Thumbnails {
            side: 64,
            per_sheet: 50,
            sheets: vec![("SlBH".to_owned(), "UE5H".to_owned())],
            channels: Vec::new(),
            further_channels: Vec::new(),
        };
        let html = pictures(&drawn, &["ct_02".to_owned(), "ct_05".to_owned()]);
        assert!(html.contains("image/jpeg;base64,SlBH") && html.contains("image/png;base64,UE5H"), "{html}");
        assert_eq!(html.matches("height:64px;line-height:64px").count(), 2);
        assert!(html.find("ct_02") < html.find("ct_05"));
    }
}
