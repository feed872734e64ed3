//! Pacing: how many cases train at which epoch.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of cases, or a share of them: "12" or "20%".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "ShareText", into = "String")]
pub enum Share {
    /// So many cases.
    Cases(usize),
    /// So many percent of the cases.
    Percent(f64),
}

impl Share {
    /// How many of `all` cases that is: rounded up, at least one, at most all.
    pub fn of(self, all: usize) -> usize {
        let count = match self {
            Share::Cases(n) => n,
            // A hair less than the product, so that 20% of 5 is 1 whatever the rounding of 0.2.
            Share::Percent(p) => (p / 100.0 * all as f64 - 1e-9).ceil() as usize,
        };
        count.max(1).min(all)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("'{text}' is neither a number of cases, such as 12, nor a share, such as 20%");
        let share = match text.trim().strip_suffix('%') {
            Some(percent) => Share::Percent(percent.trim().parse().map_err(|_| wrong())?),
            None => Share::Cases(text.trim().parse().map_err(|_| wrong())?),
        };
        match share {
            Share::Cases(0) => Err(wrong()),
            Share::Percent(p) if !(p > 0.0 && p <= 100.0) => Err(wrong()),
            share => Ok(share),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Share::Cases(n) => write!(f, "{n}"),
            Share::Percent(p) => write!(f, "{p}%"),
        }
    }
}

/// How a share may stand in a file: `12`, `"12"` or `"20%"`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum ShareText {
    Cases(usize),
    Text(String),
}

impl TryFrom<ShareText> for Share {
    type Error = String;

    fn try_from(text: ShareText) -> Result<Self, Self::Error> {
        match text {
            ShareText::Cases(n) => n.to_string().parse(),
            ShareText::Text(text) => text.parse(),
        }
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

/// A stage of the curriculum: from its first epoch on, the first `active_cases` of the ranking train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// Number of the stage, from 0.
    pub stage: u32,
    /// The epoch at which it begins, from 0; an epoch is one pass over the active cases.
    pub first_epoch: u32,
    /// Cases that train.
    pub active_cases: u32,
}

/// The published pacing: begin with `start` cases and add `add` more after every `every` epochs until all are in.
///
/// ```
/// use pdl_curriculum::pace::{Share, fixed};
/// let stages = fixed(10, Share::Percent(20.0), Share::Cases(4), 10);
/// let active: Vec<u32> = stages.iter().map(|stage| stage.active_cases).collect();
/// assert_eq!(active, [2, 6, 10]);
/// assert_eq!(stages[2].first_epoch, 20);
/// ```
pub fn fixed(cases: usize, start: Share, add: Share, every: u32) -> Vec<Stage> {
    let add = add.of(cases).max(1);
    let mut stages = Vec::new();
    let mut active = start.of(cases);
    loop {
        let stage = stages.len() as u32;
        stages.push(Stage { stage, first_epoch: stage * every.max(1), active_cases: active as u32 });
        if active >= cases {
            return stages;
        }
        active = (active + add).min(cases);
    }
}

/// The stage at which the case of `rank` (1 is first) joins.
pub fn stage_of(rank: u32, stages: &[Stage]) -> u32 {
    stages.iter().find(|stage| rank <= stage.active_cases).map_or(0, |stage| stage.stage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_read_and_written() {
        assert_eq!("20%".parse(), Ok(Share::Percent(20.0)));
        assert_eq!("12".parse(), Ok(Share::Cases(12)));
        assert_eq!(Share::Percent(12.5).to_string(), "12.5%");
        assert_eq!(Share::Percent(20.0).of(5), 1);
        assert_eq!(Share::Percent(20.0).of(126), 26);
        for wrong in ["", "0", "0%", "101%", "x", "-3", "nan%"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn pacing_never_shrinks_and_reaches_all(
            cases in 1_usize..2000, start in 1_usize..3000, add in 0.1_f64..100.0, every in 0_u32..50
        ) {
            let stages = fixed(cases, Share::Cases(start), Share::Percent(add), every);
            prop_assert!(stages.windows(2).all(|w| w[0].active_cases < w[1].active_cases));
            prop_assert!(stages.windows(2).all(|w| w[0].first_epoch < w[1].first_epoch));
            prop_assert_eq!(stages.last().map(|stage| stage.active_cases as usize), Some(cases));
            for rank in 1..=cases as u32 {
                let stage = stage_of(rank, &stages) as usize;
                prop_assert!(rank <= stages[stage].active_cases);
                prop_assert!(stage == 0 || rank > stages[stage - 1].active_cases);
            }
        }
    }
}
