//! Dates and times of headers as seconds (DICOM PS3.5, 6.2: DA, TM and DT).

use dicom_core::Tag;
use dicom_object::InMemDicomObject;

use crate::file::text;

pub(crate) const SECONDS_A_DAY: f64 = 86_400.0;

/// Seconds of the day from a time such as 101530.25, also in ACR-NEMA's form 10:15:30.
pub(crate) fn time(text: &str) -> Option<f64> {
    let text: String = text.trim().chars().filter(|c| *c != ':').collect();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if ![2, 4, 6].contains(&whole.len()) || !is_number(whole) || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let part = |at: usize| whole.get(at..at + 2).map_or(Some(0.0), |part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (part(0)?, part(2)?, part(4)?);
    let fraction = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
    (hours < 24.0 && minutes < 60.0 && seconds < 61.0)
        .then_some(hours * 3600.0 + minutes * 60.0 + seconds + fraction)
}

/// Days since 1970-01-01 of a date such as 20240102, also in ACR-NEMA's form 2024.01.02.
pub(crate) fn date(text: &str) -> Option<i64> {
    let text: String = text.trim().chars().filter(|c| *c != '.').collect();
    if text.len() != 8 || !is_number(&text) {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March, so that a leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468)
}

/// Seconds since 1970 of a date and time such as 20240102101530.25+0100, and the offset of its zone
/// from UTC in seconds, if stated.
pub(crate) fn date_time(text: &str) -> Option<(f64, Option<f64>)> {
    let text = text.trim();
    let zone = text.rfind(['+', '-']).filter(|at| *at >= 8);
    let (local, zone) = text.split_at_checked(zone.unwrap_or(text.len()))?;
    let (day, clock) = local.split_at_checked(8)?;
    let seconds =
        date(day)? as f64 * SECONDS_A_DAY + if clock.is_empty() { return None } else { time(clock)? };
    Some((seconds, offset(zone)))
}

/// Seconds ahead of UTC of a zone such as +0100.
pub(crate) fn offset(text: &str) -> Option<f64> {
    let text = text.trim();
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let digits = text.strip_prefix(['+', '-'])?;
    (digits.len() == 4 && is_number(digits)).then(|| time(digits)).flatten().map(|seconds| sign * seconds)
}

/// Seconds since 1970 of a moment with separate date and time; the first of `dates` that is present
/// counts.
pub(crate) fn of(object: &InMemDicomObject, dates: &[Tag], clock: Tag) -> Option<f64> {
    let day = dates.iter().find_map(|tag| date(&text(object, *tag)))?;
    Some(day as f64 * SECONDS_A_DAY + time(&text(object, clock))?)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_seconds() {
        assert_eq!(
            [date("19700101"), date("20000229"), date("2024.01.02")],
            [Some(0), Some(11_016), Some(19_724)]
        );
        assert_eq!([date(""), date("20241301"), date("2024010")], [None; 3]);
        let times = ["000000", "10", "1015", "101530.25", "10:15:30", "235960"].map(time);
        let expected = [0.0, 36_000.0, 36_900.0, 36_930.25, 36_930.0, 86_400.0].map(Some);
        assert_eq!(times, expected);
        assert_eq!(["", "250000", "1", "10153a", "101530.x"].map(time), [None; 5]);
        let day = 19_724.0 * SECONDS_A_DAY;
        assert_eq!(date_time("20240102101530.25"), Some((day + 36_930.25, None)));
        assert_eq!(date_time("20240102101530+0130"), Some((day + 36_930.0, Some(5_400.0))));
        assert_eq!(date_time("20240102101530-0500"), Some((day + 36_930.0, Some(-18_000.0))));
        assert_eq!([date_time("20240102"), date_time("2024"), date_time("")], [None; 3]);
    }
}
