//! Parameters of the rank stage.

use clap::Parser;
use pdl_cohort::attributes::Modality;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CurriculumError;
use crate::metrics::Metrics;
use crate::pacing::parameters::{Pacing, Preset, Share};

/// How the similarities to all other training cases become a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreBy {
    /// Mean similarity to all other training cases.
    Mean,
    /// Median similarity to all other training cases.
    Median,
    /// Similarity to the medoid, the training case with the largest mean.
    Medoid,
    /// Mean similarity to the cases of --reference.
    Reference,
    /// Mean similarity to the --neighbours nearest training cases.
    Knn,
}

/// Order in which the training cases become active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Largest score first, as published.
    Typical,
    /// Smallest score first.
    Atypical,
    /// Random, by the hash of --order-seed and case id.
    Random,
    /// Greedily selects the case farthest from those selected, starting with the most typical one
    /// (k-centre greedy).
    KCentre,
    /// Greedily selects the case that most raises the similarity of all cases to their nearest
    /// selected one.
    FacilityLocation,
    /// Greedily selects the largest w x score - (1 - w) x similarity to the nearest selected case;
    /// w is --mmr-weight.
    Mmr,
    /// Communities of similar cases in proportion; within each, cases with the most edges first.
    Community,
    /// Values of --stratify-by in proportion; within each, typical first.
    Stratified,
    /// Values of --stratify-by (labels when not given) in proportion and patients in turn; within
    /// each, by the hash of --order-seed and case id: stratified random draws.
    RandomStratified,
}

impl Order {
    /// Whether it reads single pairs, and so needs one metric.
    fn needs_one_metric(self) -> bool {
        matches!(self, Order::KCentre | Order::FacilityLocation | Order::Mmr | Order::Community)
    }

    /// Whether it balances the values of a column.
    fn balances(self) -> bool {
        matches!(self, Order::Stratified | Order::RandomStratified)
    }
}

/// Column of label values in `cases.parquet`, by which random draws are stratified by default.
const LABELS: &str = "labels";

/// Metric, score, order, pacing and tuning subset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct RankParameters {
    /// Metrics by which cases are ranked: ssim, mse, psnr, uqi, ... Several metrics are combined by
    /// mean rank. PSNR orders pairs exactly as MSE does.
    #[arg(long, default_value = "ssim", value_name = "METRIC[,METRIC]")]
    pub metric: Metrics,
    /// How the similarities to the other training cases become a score.
    #[arg(long, value_enum, default_value_t = ScoreBy::Mean)]
    pub score: ScoreBy,
    /// Column that is the score instead of similarities: of results.parquet, or of numbers of
    /// cases.parquet. --order typical begins with the largest value, --order atypical with the
    /// smallest. Training cases without a value come last. results.parquet is written by `pdl
    /// import-results` and `pdl-fit train --folds all`. Similarities when not given.
    #[arg(long, value_name = "COLUMN", help_heading = "Score")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Case ids of the training cases that --score reference compares with; required by it.
    #[arg(long, value_delimiter = ',', value_name = "CASE[,CASE]", help_heading = "Score")]
    pub reference: Vec<String>,
    /// Number of nearest neighbours for --score knn and for outliers.
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Score")]
    pub neighbours: usize,
    /// Order in which training cases become active.
    #[arg(long, value_enum, default_value_t = Order::Typical)]
    pub order: Order,
    /// Seed of --order random and random-stratified.
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Order")]
    pub order_seed: u64,
    /// Weight of the score against novelty in --order mmr, from 0 to 1.
    #[arg(long, default_value_t = 0.5, value_name = "WEIGHT", help_heading = "Order")]
    pub mmr_weight: f64,
    /// Fraction of all pairs, the most similar ones, that are edges for --order community, from 0
    /// to 1.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE", help_heading = "Order")]
    pub edge_share: f64,
    /// Column of cases.parquet that --order stratified and random-stratified balance; required by
    /// the former.
    #[arg(long, value_name = "COLUMN", help_heading = "Order")]
    pub stratify_by: Option<String>,
    /// Number or percentage of training cases to rank; the others stay in the manifest without a
    /// rank. Duplicates by image file are excluded first.
    #[arg(long, value_name = "CASES|SHARE")]
    pub keep: Option<Share>,
    /// Exclude all but one of the training cases with at least this SSIM to each other; the one
    /// with the most annotated labels stays. Default: exclude none.
    #[arg(long, value_name = "SSIM", help_heading = "Duplicates and outliers")]
    pub near_duplicate: Option<f64>,
    /// Interquartile ranges above the third quartile beyond which a case is an outlier, by its mean
    /// distance to its nearest neighbours. Outliers are listed, never excluded.
    #[arg(long, default_value_t = 1.5, value_name = "FACTOR", help_heading = "Duplicates and outliers")]
    pub outlier_fence: f64,
    /// How the number of active cases grows.
    #[arg(long, value_enum, default_value_t = Pacing::Fixed)]
    pub pacing: Pacing,
    /// Published number of epochs between stages: 10 for ct, 20 for mr. Default: by the modality.
    #[arg(long, value_enum, help_heading = "Pacing")]
    pub preset: Option<Preset>,
    /// Number or percentage of training cases that are active at first.
    #[arg(long, default_value = "20%", value_name = "CASES|SHARE", help_heading = "Pacing")]
    pub start: Share,
    /// Number or percentage of training cases that join at each further stage (fixed).
    #[arg(long, default_value = "20%", value_name = "CASES|SHARE", help_heading = "Pacing")]
    pub add: Share,
    /// Epochs between stages (fixed, two-stage). Default: 10 for CT, 20 for other modalities, as
    /// published.
    #[arg(long, value_name = "EPOCHS", help_heading = "Pacing")]
    pub every: Option<u32>,
    /// Total number of epochs, for polynomial, exponential, logarithmic and step pacing.
    #[arg(long, default_value_t = 100, value_name = "EPOCHS", help_heading = "Pacing")]
    pub epochs: u32,
    /// Fraction of --epochs after which all cases are active, for the same pacings.
    #[arg(long, default_value_t = 0.8, value_name = "SHARE", help_heading = "Pacing")]
    pub full_at: f64,
    /// Exponent of polynomial pacing: 0.5, 1, 2 or any positive number.
    #[arg(long, default_value_t = 1.0, value_name = "P", help_heading = "Pacing")]
    pub power: f64,
    /// Number or percentage of the most typical training cases from which the tuning subset is
    /// drawn.
    #[arg(long, default_value = "40%", value_name = "CASES|SHARE", help_heading = "Tuning subset")]
    pub tune_from: Share,
    /// Draw every N-th of them for the tuning subset.
    #[arg(long, default_value_t = 2, value_name = "N", help_heading = "Tuning subset")]
    pub tune_step: u32,
    /// Number or percentage of training cases in the tuning subset, evenly spaced, instead of
    /// --tune-step.
    #[arg(long, value_name = "CASES|SHARE", help_heading = "Tuning subset")]
    pub tune_size: Option<Share>,
}

impl Default for RankParameters {
    /// The defaults of the flags.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct NoFlags {
            #[command(flatten)]
            parameters: RankParameters,
        }
        NoFlags::parse_from(["pdl"]).parameters
    }
}

impl RankParameters {
    /// Epochs between stages: as given, else the preset's, else as published for the modality: 10
    /// for CT, and 20 for MR and for modalities that the publication does not cover.
    pub fn every(&self, modality: Modality) -> u32 {
        let preset = self.preset.unwrap_or(if modality == Modality::CT { Preset::Ct } else { Preset::Mr });
        self.every.unwrap_or(preset.epochs())
    }

    /// The column of `cases.parquet` whose values the order balances.
    pub(crate) fn stratum_column(&self) -> Option<&str> {
        let default = (self.order == Order::RandomStratified).then_some(LABELS);
        self.stratify_by.as_deref().or(default)
    }

    /// # Errors
    /// [`CurriculumError::InvalidOption`] when a value is out of range or contradicts another.
    pub(crate) fn check(&self) -> Result<(), CurriculumError> {
        let one_metric = self.metric.all().len() == 1;
        let by_reference = self.score == ScoreBy::Reference;
        let rules = [
            (
                self.order.needs_one_metric() && !one_metric,
                "metric",
                "this order reads single pairs: expected one metric, found several",
            ),
            (
                by_reference && self.reference.is_empty(),
                "reference",
                "the score `reference` needs at least one case",
            ),
            (
                !by_reference && !self.reference.is_empty(),
                "reference",
                "allowed with the score `reference` only",
            ),
            (
                self.by.is_some()
                    && !matches!(self.order, Order::Typical | Order::Atypical | Order::Stratified),
                "by",
                "allowed with the orders `typical`, `atypical` and `stratified` only, as others need similarities",
            ),
            (self.neighbours == 0, "neighbours", "expected a positive integer, found 0"),
            (!(0.0..=1.0).contains(&self.mmr_weight), "mmr_weight", "expected a number from 0 to 1"),
            (
                !(self.edge_share > 0.0 && self.edge_share <= 1.0),
                "edge_share",
                "expected a number above 0 and at most 1",
            ),
            (
                self.order == Order::Stratified && self.stratify_by.is_none(),
                "stratify_by",
                "the order `stratified` needs a column",
            ),
            (
                !self.order.balances() && self.stratify_by.is_some(),
                "stratify_by",
                "allowed with the orders `stratified` and `random-stratified` only",
            ),
            (
                self.near_duplicate.is_some_and(|ssim| !(0.0..=1.0).contains(&ssim)),
                "near_duplicate",
                "expected an SSIM from 0 to 1",
            ),
            (
                self.outlier_fence.is_nan() || self.outlier_fence < 0.0,
                "outlier_fence",
                "expected a number of at least 0",
            ),
            (self.epochs == 0, "epochs", "expected a positive integer, found 0"),
            (
                !(self.full_at > 0.0 && self.full_at <= 1.0),
                "full_at",
                "expected a number above 0 and at most 1",
            ),
            (!(self.power > 0.0 && self.power.is_finite()), "power", "expected a positive number"),
            (self.tune_step == 0, "tune_step", "expected a positive integer, found 0"),
        ];
        match rules.into_iter().find(|(broken, ..)| *broken) {
            Some((_, name, problem)) => {
                Err(CurriculumError::InvalidOption { name, problem: problem.to_owned() })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use pdl_similarity::metrics::Metric;

    #[test]
    fn presets_are_those_of_the_publication_and_what_is_typed_wins() {
        let with = |preset, every| RankParameters { preset, every, ..RankParameters::default() };
        assert_eq!(with(None, None).every(Modality::CT), 10);
        assert_eq!(with(None, None).every(Modality::MR), 20);
        assert_eq!(with(Some(Preset::Ct), None).every(Modality::MR), 10);
        assert_eq!(with(Some(Preset::Mr), Some(3)).every(Modality::CT), 3);
    }

    #[test]
    fn choices_that_contradict_each_other_are_refused() {
        let defaults = RankParameters::default;
        assert!(defaults().check().is_ok());
        let metric: Metrics = "ssim,uqi".parse().unwrap();
        for (wrong, word) in [
            (RankParameters { order: Order::Mmr, metric, ..defaults() }, "expected one metric"),
            (RankParameters { score: ScoreBy::Reference, ..defaults() }, "invalid reference"),
            (RankParameters { order: Order::Stratified, ..defaults() }, "invalid stratify_by"),
            (
                RankParameters { by: Some("dice".to_owned()), order: Order::KCentre, ..defaults() },
                "invalid by",
            ),
            (RankParameters { mmr_weight: f64::NAN, ..defaults() }, "invalid mmr_weight"),
            (RankParameters { full_at: 0.0, ..defaults() }, "invalid full_at"),
        ] {
            let refusal = wrong.check().unwrap_err().to_string();
            assert!(refusal.contains(word), "{refusal}");
        }
    }

    #[test]
    fn parameters_of_earlier_versions_are_read() {
        let text =
            r#"{"metric": "mse", "start": "20%", "add": 3, "every": 10, "tune_from": "40%", "tune_step": 2}"#;
        let read: RankParameters = serde_json::from_str(text).unwrap();
        let expected = RankParameters {
            metric: Metric::Mse.into(),
            add: Share::Cases(3),
            every: Some(10),
            ..RankParameters::default()
        };
        assert_eq!(read, expected);
    }
}
