//! Cases, a line each.

use pdl_cohort::attributes::Status;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;

/// The findings of a case in one text.
pub(crate) fn reasons(row: &CaseRow) -> String {
    row.findings.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// A line for every case: id, split, status and the codes of its findings.
pub(crate) fn lines(cases: &Cases) -> Vec<String> {
    let width = cases.rows.iter().map(|row| row.case_id.len()).max().unwrap_or(0);
    let unlabelled = cases.rows.iter().any(|row| row.status == Status::Unlabelled);
    let of_status = if unlabelled { "unlabelled" } else { "rejected" }.len();
    let line = |row: &CaseRow| {
        let codes: Vec<&str> = row.findings.iter().map(|finding| finding.code.as_str()).collect();
        let split = if row.is_usable() { row.split.to_string() } else { "-".to_owned() };
        let status = match row.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Unlabelled => "unlabelled",
            Status::Rejected => "rejected",
        };
        let line =
            format!("  {:<width$}  {split:<5}  {status:<of_status$}  {}", row.case_id, codes.join(" "));
        line.trim_end().to_owned()
    };
    cases.rows.iter().map(line).collect()
}
