//! Parameters of pacing.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number or percentage of cases: "12" or "20%".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "ShareText", into = "String")]
pub enum Share {
    /// A number of cases.
    Cases(usize),
    /// A percentage of all cases.
    Percent(f64),
}

impl Share {
    /// The number of cases out of `all`: rounded up, at least one, at most all.
    pub fn of(self, all: usize) -> usize {
        let count = match self {
            Share::Cases(n) => n,
            // The margin absorbs rounding, so that 20% of 5 is 1.
            Share::Percent(p) => (p / 100.0 * all as f64 - 1e-9).ceil() as usize,
        };
        count.max(1).min(all)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!("expected a number of cases, such as 12, or a percentage, such as 20%, found '{text}'")
        };
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

/// A share in a file: `12`, `"12"` or `"20%"`.
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

/// How the number of active cases grows. N cases, T epochs in all, a the fraction of them after
/// which all cases are active, b the fraction of cases that start (Wu et al. 2021, "When do
/// curricula work?").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Pacing {
    /// --add more cases after every --every epochs, as published.
    Fixed,
    /// The first --start cases; all cases after --every epochs.
    TwoStage,
    /// b N + N (1 - b) (t / aT)^--power.
    Polynomial,
    /// b N + N (1 - b) (e^(10 t / aT) - 1) / (e^10 - 1).
    Exponential,
    /// b N + N (1 - b) (1 + 0.1 ln(t / aT + e^-10)).
    Logarithmic,
    /// b N + N floor(t / aT).
    Step,
}

/// Published number of epochs between stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 10 epochs, as published for thoracic CT.
    Ct,
    /// 20 epochs, as published for MR.
    Mr,
}

impl Preset {
    /// The number of epochs.
    pub fn epochs(self) -> u32 {
        match self {
            Preset::Ct => 10,
            Preset::Mr => 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
