//! A comparison as text.

use std::fmt::Write;

use crate::experiment::compare::comparison_row::ComparisonRow;
use crate::experiment::compare::ratio::{FACTOR, RatioCurve};
use crate::experiment::compare::result::Comparison;
use crate::experiment::compare::statistics::{Estimate, SeedValue, geometric_mean};
use crate::experiment::rows::Timing;

/// Tables and conclusions of a comparison.
pub fn text(comparison: &Comparison, rows: &[ComparisonRow]) -> String {
    let mut text = String::new();
    basis(comparison, &mut text);
    curves(comparison, &mut text);
    arms(comparison, rows, &mut text);
    contributions(comparison, &mut text);
    powers(comparison, &mut text);
    for curve in &comparison.curves[..2.min(comparison.curves.len())] {
        let _ = writeln!(text, "{}", verdict(curve, comparison.protocol.headline));
    }
    text
}

fn percent(level: f64) -> String {
    format!("{:.0}%", 100.0 * level)
}

/// Writes the runs, folds and seeds that the figures are based on.
fn basis(comparison: &Comparison, text: &mut String) {
    let Comparison { protocol, folds, targets, .. } = comparison;
    let plateaus: Vec<String> = targets.iter().map(|target| format!("{:.4}", target.plateau)).collect();
    let test: usize = folds.iter().map(|fold| fold.test).sum();
    let seen: usize = folds.iter().map(|fold| fold.test_seen_by_plan).sum();
    let baseline = protocol.arm(&protocol.roles.baseline_a).map_or(0, |arm| protocol.grid(arm).len());
    let more = match baseline > protocol.trials() {
        true => format!(" ({baseline} of {})", protocol.roles.baseline_a),
        false => String::new(),
    };
    let _ = writeln!(
        text,
        "protocol {}: {} folds by patient, {} seeds, {} trials of every arm on each fold{more}; {test} cases, each in \
         one test part",
        &comparison.protocol_blake3[..12.min(comparison.protocol_blake3.len())],
        protocol.folds,
        protocol.seeds.len(),
        protocol.trials()
    );
    let _ = writeln!(text, "plateaus (final test Dice of long conventional runs): {}", plateaus.join(" "));
    let _ = writeln!(
        text,
        "one plan (spacing, normalisation) serves all arms and folds; it was made from {seen} of the {test} cases"
    );
    let timings: Vec<Timing> = comparison.step_times.iter().map(|time| time.latest.timing).collect();
    let when =
        if timings.contains(&Timing::Again) { "again on request" } else { "before and after the runs" };
    let mut threads: Vec<usize> =
        comparison.step_times.iter().map(|time| time.latest.programs.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let threads: Vec<String> = threads.iter().map(usize::to_string).collect();
    let _ = writeln!(
        text,
        "seconds are steps times the time of each of {} kinds of step, measured {when} ({} threads), plus {:.1} s of \
         comparing for orders from similarities; a miss counts as twice the limit of {} s",
        timings.len(),
        threads.join(" and "),
        comparison.compare_seconds,
        comparison.limit_seconds
    );
}

/// The ratios at every level, with intervals and misses.
fn curves(comparison: &Comparison, text: &mut String) {
    let width = 20;
    let heads = comparison.protocol.levels.iter().map(|level| {
        let mark = if *level == comparison.protocol.headline { " *" } else { "" };
        format!("{:<22}", percent(*level) + mark)
    });
    let heads: Vec<String> = heads.collect();
    let _ = writeln!(text, "\n{:<width$}  {}", "ratio of seconds at", heads.join("  ").trim_end());
    for curve in &comparison.curves {
        let cells = curve.points.iter().map(|point| {
            let Estimate { mean, low, high } = point.ratio;
            let missed = match (point.slower_missed, point.faster_missed) {
                (0, 0) => String::new(),
                (slower, faster) => format!(" {slower}/{faster}"),
            };
            format!("{:<22}", format!("{mean:.2} [{low:.2}, {high:.2}]{missed}"))
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "{:<width$}  {}", curve.name, cells.join("  ").trim_end());
    }
    for RatioCurve { name, slower, faster, .. } in &comparison.curves {
        let _ = writeln!(text, "  {name}: {slower} / {faster}");
    }
    let _ = writeln!(
        text,
        "geometric means over seeds, 95% intervals over folds and seeds; * the headline; m/n: misses of either arm"
    );
}

fn arms(comparison: &Comparison, rows: &[ComparisonRow], text: &mut String) {
    let headline = comparison.protocol.headline;
    let names = comparison.dice.iter().map(|own| own.arm.chars().count());
    let width = names.max().unwrap_or(0).max(3);
    let _ = writeln!(
        text,
        "\n{:<width$}  {:>10}  {:>6}  {:>9}  difference from A",
        "arm",
        format!("s to {}", percent(headline)),
        "missed",
        "test Dice"
    );
    for own in &comparison.dice {
        let runs: Vec<&ComparisonRow> =
            rows.iter().filter(|row| row.arm == own.arm && row.level == headline).collect();
        let seconds: Vec<SeedValue> =
            runs.iter().map(|row| SeedValue { fold: row.fold, value: row.seconds }).collect();
        let seconds = geometric_mean(&seconds).map_or("-".to_owned(), |mean| format!("{:.1}", mean.mean));
        let dice = own.dice.map_or("-".to_owned(), |dice| format!("{dice:.4}"));
        let difference = own.difference.map_or(String::new(), |Estimate { mean, low, high }| {
            format!("{mean:+.4} [{low:+.4}, {high:+.4}]")
        });
        let missed = runs.iter().filter(|row| row.missed).count();
        let line = format!("{:<width$}  {seconds:>10}  {missed:>6}  {dice:>9}  {difference}", own.arm);
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn contributions(comparison: &Comparison, text: &mut String) {
    if comparison.contributions.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\nwhat each factor contributes: seconds to {} over those of {}",
        percent(comparison.protocol.headline),
        comparison.protocol.roles.best
    );
    for own in &comparison.contributions {
        let Estimate { mean, low, high } = own.point.ratio;
        let _ = writeln!(text, "  {:<10}  {mean:.2} [{low:.2}, {high:.2}]  {}", own.factor, own.arm);
    }
    let _ = writeln!(text);
}

fn powers(comparison: &Comparison, text: &mut String) {
    for curve in &comparison.curves {
        if let (Some(deviation), Some(power)) = (curve.log_deviation, curve.power) {
            let seeds = curve.points.first().map_or(0, |point| point.seeds);
            let _ = writeln!(
                text,
                "power of {}: a factor of {FACTOR} would be found with probability {power:.2} ({seeds} seeds, log ratios \
                 have a standard deviation of {deviation:.2})",
                curve.name
            );
        }
    }
}

/// The result of a ratio at the headline, in a sentence.
fn verdict(curve: &RatioCurve, headline: f64) -> String {
    let Some(point) = curve.points.iter().find(|point| point.level == headline) else {
        return String::new();
    };
    let Estimate { mean, low, high } = point.ratio;
    let what = match (low > 1.0, high < 1.0) {
        (true, _) => format!("{} is sooner than {}", curve.faster, curve.slower),
        (_, true) => format!("{} is later than {}", curve.faster, curve.slower),
        _ => format!("no difference between {} and {} is shown", curve.faster, curve.slower),
    };
    format!("{} at {}: {what} ({mean:.2} [{low:.2}, {high:.2}])", curve.name, percent(headline))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::compare::ratio::RatioPoint;

    #[test]
    fn a_verdict_claims_only_what_the_interval_shows() {
        let verdict = |low, high| {
            let ratio = Estimate { mean: 1.5, low, high };
            let point = RatioPoint { level: 0.97, ratio, slower_missed: 0, faster_missed: 0, seeds: 3 };
            let curve = RatioCurve {
                name: "product".to_owned(),
                slower: "A".to_owned(),
                faster: "best".to_owned(),
                points: vec![point],
                log_deviation: None,
                power: None,
            };
            verdict(&curve, 0.97)
        };
        assert_eq!(verdict(1.1, 2.0), "product at 97%: best is sooner than A (1.50 [1.10, 2.00])");
        assert!(verdict(0.9, 2.0).contains("no difference between best and A is shown"));
        assert!(verdict(0.3, 0.9).contains("best is later than A"));
    }
}
