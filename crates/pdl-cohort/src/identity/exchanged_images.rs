//! Cases whose images were those of other cases in the last run: files that exchanged their names.

use std::collections::HashMap;

use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;

use crate::table::case_row::CaseRow;
use crate::table::cases::Cases;

/// Finding about cases that have the image of another case of `before` that is still there, whose
/// own image is another one now. Splits go by the names of cases: an image may have left the split
/// in which it was.
pub(crate) fn finding(rows: &[CaseRow], before: &Cases) -> Option<Finding> {
    let were: HashMap<&str, &CaseRow> = before.usable().map(|row| (row.case_id.as_str(), row)).collect();
    let of_image: HashMap<&str, &CaseRow> = before
        .usable()
        .filter(|row| !row.image_blake3.is_empty())
        .map(|row| (row.image_blake3.as_str(), row))
        .collect();
    let now: HashMap<&str, &CaseRow> = rows.iter().map(|row| (row.case_id.as_str(), row)).collect();
    let has_changed = |row: &CaseRow| {
        let is_other = |was: &&CaseRow| was.image_blake3 != row.image_blake3;
        were.get(row.case_id.as_str()).is_some_and(is_other)
    };
    let taken_from = |row: &CaseRow| -> Option<&CaseRow> {
        let owner = *of_image.get(row.image_blake3.as_str())?;
        let left = now.get(owner.case_id.as_str()).is_some_and(|row| has_changed(row));
        (has_changed(row) && left).then_some(owner)
    };
    let exchanged: Vec<(&CaseRow, &CaseRow)> =
        rows.iter().filter(|row| row.is_usable()).filter_map(|row| Some((row, taken_from(row)?))).collect();
    let moved = exchanged.iter().filter(|(row, owner)| row.split != owner.split).count();
    let message = format!(
        "{} the image that another case had in the last run, as when files exchange their names; {moved} of these images \
         are in another split now, as splits go by the names of cases",
        match exchanged.len() {
            1 => "1 case has".to_owned(),
            several => format!("{} have", counted(several, "case")),
        }
    );
    (!exchanged.is_empty()).then(|| Finding::new(Code::ImagesExchanged, message))
}
