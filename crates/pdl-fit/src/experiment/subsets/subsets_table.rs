//! Runs on subsets as text.

use std::fmt::Write;

use crate::experiment::subsets::summary::Subsets;

/// A table of Dice by order and percentage, and the verdict.
pub fn text(subsets: &Subsets) -> String {
    let mut text = String::new();
    let Subsets { steps, training_cases, test_cases, all, .. } = subsets;
    let _ = writeln!(
        text,
        "test Dice of {test_cases} cases after {steps} steps; all {training_cases} training cases: {all:.4}"
    );
    let _ = writeln!(
        text,
        "{:<18}  {:>4}  {:>5}  {:>6}  {:>6}  of random draws",
        "order", "kept", "cases", "Dice", "of all"
    );
    for random in &subsets.random {
        let of_all = format!("{:.1}%", 100.0 * random.dice / all);
        let _ = writeln!(
            text,
            "{:<18}  {:>3}%  {:>5}  {:>6.4}  {of_all:>6}  95% of {} draws' kind lie in {:.4} to {:.4}",
            "random",
            random.percent,
            random.cases,
            random.dice,
            random.draws.len(),
            random.low,
            random.high
        );
        for own in subsets.orders.iter().filter(|own| own.percent == random.percent) {
            let of_all = format!("{:.1}%", 100.0 * own.dice / all);
            let beats = if own.beats_random { ", above their interval" } else { "" };
            let _ = writeln!(
                text,
                "{:<18}  {:>3}%  {:>5}  {:>6.4}  {of_all:>6}  {} of {} are higher{beats}",
                own.order,
                own.percent,
                own.cases,
                own.dice,
                own.draws_above,
                random.draws.len()
            );
        }
    }
    subsets.left_out.iter().for_each(|why| {
        let _ = writeln!(text, "{why}");
    });
    let _ = writeln!(text, "{}", subsets.verdict);
    text
}
