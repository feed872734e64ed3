//! What a user can choose about the rank stage.

use pdl_cohort::attributes::Modality;
use pdl_similarity::pairs::Metric;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CurriculumError;
use crate::metrics::Metrics;
use crate::pace::{Pacing, Preset, Share};

/// How the likeness to all other training cases becomes one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreBy {
    /// The mean over all other training cases.
    Mean,
    /// The median over all other training cases.
    Median,
    /// The likeness to the medoid, the training case with the largest mean.
    Medoid,
    /// The mean likeness to the cases that --reference names.
    Reference,
    /// The mean likeness to the --neighbours most similar training cases.
    Knn,
}

/// In which order cases join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The largest score first, as published.
    Typical,
    /// The smallest score first.
    Atypical,
    /// By the hash of --order-seed and case id.
    Random,
    /// From the most typical, always the case least like the most similar one taken (k-centre greedy).
    KCentre,
    /// Always the case that most raises every case's similarity to the most similar one taken.
    FacilityLocation,
    /// Always the largest of --mmr-weight x score - (1 - it) x similarity to the most similar one taken.
    Mmr,
    /// Communities of similar cases in proportion; inside each, those with the most edges first.
    Community,
    /// The values of --stratify-by in proportion; for each, typical first.
    Stratified,
}

impl Order {
    /// Whether it looks at single pairs, and so needs one metric.
    fn needs_one_metric(self) -> bool {
        matches!(self, Order::KCentre | Order::FacilityLocation | Order::Mmr | Order::Community)
    }
}

/// Parameters of the rank stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct RankParameters {
    /// By what cases are compared: ssim, mse, psnr, uqi, or several with commas, which meet in their mean rank.
    /// PSNR repeats MSE: it orders pairs exactly alike.
    #[arg(long, default_value = "ssim", value_name = "METRIC[,METRIC]")]
    pub metric: Metrics,
    /// How the likeness to the others becomes a score.
    #[arg(long, value_enum, default_value_t = ScoreBy::Mean)]
    pub score: ScoreBy,
    /// The training cases to which --score reference compares, by case id; must be given with it.
    #[arg(long, value_delimiter = ',', value_name = "CASE[,CASE]", help_heading = "Score")]
    pub reference: Vec<String>,
    /// Nearest neighbours that --score knn and the search for outliers look at.
    #[arg(long, default_value_t = 5, value_name = "N", help_heading = "Score")]
    pub neighbours: usize,
    /// In which order cases join.
    #[arg(long, value_enum, default_value_t = Order::Typical)]
    pub order: Order,
    /// Seed of --order random.
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Order")]
    pub order_seed: u64,
    /// What the score counts against novelty in --order mmr, from 0 to 1.
    #[arg(long, default_value_t = 0.5, value_name = "WEIGHT", help_heading = "Order")]
    pub mmr_weight: f64,
    /// The most similar share of all pairs, which are the edges of --order community, from 0 to 1.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE", help_heading = "Order")]
    pub edge_share: f64,
    /// The column of the cases table that --order stratified keeps in proportion; must be given with it.
    #[arg(long, value_name = "COLUMN", help_heading = "Order")]
    pub stratify_by: Option<String>,
    /// Training cases to keep in the curriculum: a number, or a share such as 20%; the others stay in the
    /// manifest without a rank. Of cases with the same image file all but one go first.
    #[arg(long, value_name = "CASES|SHARE")]
    pub keep: Option<Share>,
    /// Leave out all but one of the training cases that are this similar (SSIM); the best annotated stays.
    /// All are kept when not given.
    #[arg(long, value_name = "SSIM", help_heading = "Duplicates and outliers")]
    pub near_duplicate: Option<f64>,
    /// Interquartile ranges above the third quartile from which on a case is listed as an outlier, by its mean
    /// distance to its nearest neighbours. Outliers are never left out.
    #[arg(long, default_value_t = 1.5, value_name = "FACTOR", help_heading = "Duplicates and outliers")]
    pub outlier_fence: f64,
    /// How the number of active cases grows.
    #[arg(long, value_enum, default_value_t = Pacing::Fixed)]
    pub pacing: Pacing,
    /// Epochs between stages as published: ct is 10, mr is 20; else by the modality.
    #[arg(long, value_enum, help_heading = "Pacing")]
    pub preset: Option<Preset>,
    /// Training cases that begin: a number, or a share such as 20%.
    #[arg(long, default_value = "20%", value_name = "CASES|SHARE", help_heading = "Pacing")]
    pub start: Share,
    /// Training cases that join at each further stage (fixed): a number, or a share such as 20%.
    #[arg(long, default_value = "20%", value_name = "CASES|SHARE", help_heading = "Pacing")]
    pub add: Share,
    /// Epochs between stages (fixed, two-stage); 10 for CT and 20 for the others when not given, as published.
    #[arg(long, value_name = "EPOCHS", help_heading = "Pacing")]
    pub every: Option<u32>,
    /// Epochs of the whole training, for the pacings that are functions of time.
    #[arg(long, default_value_t = 100, value_name = "EPOCHS", help_heading = "Pacing")]
    pub epochs: u32,
    /// The share of --epochs after which all cases are active, for the same pacings.
    #[arg(long, default_value_t = 0.8, value_name = "SHARE", help_heading = "Pacing")]
    pub full_at: f64,
    /// The power of the polynomial pacing: 0.5, 1 or 2, or any above 0.
    #[arg(long, default_value_t = 1.0, value_name = "P", help_heading = "Pacing")]
    pub power: f64,
    /// The most similar training cases from which the coarse sample for tuning is taken: a number, or a share.
    #[arg(long, default_value = "40%", value_name = "CASES|SHARE", help_heading = "Tuning subset")]
    pub tune_from: Share,
    /// Every how many of them belong to the coarse sample.
    #[arg(long, default_value_t = 2, value_name = "N", help_heading = "Tuning subset")]
    pub tune_step: u32,
    /// How large the coarse sample is, evenly spread over the same cases, instead of --tune-step: a number, or a
    /// share of the training cases.
    #[arg(long, value_name = "CASES|SHARE", help_heading = "Tuning subset")]
    pub tune_size: Option<Share>,
}

impl Default for RankParameters {
    fn default() -> Self {
        Self {
            metric: Metric::Ssim.into(),
            score: ScoreBy::Mean,
            reference: Vec::new(),
            neighbours: 5,
            order: Order::Typical,
            order_seed: 0,
            mmr_weight: 0.5,
            edge_share: 0.1,
            stratify_by: None,
            keep: None,
            near_duplicate: None,
            outlier_fence: 1.5,
            pacing: Pacing::Fixed,
            preset: None,
            start: Share::Percent(20.0),
            add: Share::Percent(20.0),
            every: None,
            epochs: 100,
            full_at: 0.8,
            power: 1.0,
            tune_from: Share::Percent(40.0),
            tune_step: 2,
            tune_size: None,
        }
    }
}

impl RankParameters {
    /// Epochs between stages: as given, else the preset's, else as published for the modality, 10 for CT and 20
    /// for MR (and for what the publication does not cover).
    pub fn every(&self, modality: Modality) -> u32 {
        let preset = self.preset.unwrap_or(if modality == Modality::CT { Preset::Ct } else { Preset::Mr });
        self.every.unwrap_or(preset.epochs())
    }

    /// # Errors
    /// [`CurriculumError::Option`] when choices contradict each other or lie out of range.
    pub(crate) fn check(&self) -> Result<(), CurriculumError> {
        let one_metric = self.metric.all().len() == 1;
        let by_reference = self.score == ScoreBy::Reference;
        let rules = [
            (
                self.order.needs_one_metric() && !one_metric,
                "this --order looks at single pairs: give one --metric",
            ),
            (by_reference && self.reference.is_empty(), "--score reference needs --reference CASE"),
            (!by_reference && !self.reference.is_empty(), "--reference goes with --score reference"),
            (self.neighbours == 0, "--neighbours must be at least 1"),
            (!(0.0..=1.0).contains(&self.mmr_weight), "--mmr-weight lies between 0 and 1"),
            (
                !(self.edge_share > 0.0 && self.edge_share <= 1.0),
                "--edge-share lies above 0 and at most at 1",
            ),
            (
                (self.order == Order::Stratified) != self.stratify_by.is_some(),
                "--order stratified and --stratify-by COLUMN go together",
            ),
            (
                self.near_duplicate.is_some_and(|ssim| !(0.0..=1.0).contains(&ssim)),
                "--near-duplicate lies between 0 and 1",
            ),
            (self.outlier_fence.is_nan() || self.outlier_fence < 0.0, "--outlier-fence must be at least 0"),
            (self.epochs == 0, "--epochs must be at least 1"),
            (!(self.full_at > 0.0 && self.full_at <= 1.0), "--full-at lies above 0 and at most at 1"),
            (!(self.power > 0.0 && self.power.is_finite()), "--power must be above 0"),
            (self.tune_step == 0, "--tune-step must be at least 1"),
        ];
        match rules.into_iter().find(|(broken, _)| *broken) {
            Some((_, rule)) => Err(CurriculumError::Option(rule.to_owned())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (RankParameters { order: Order::Mmr, metric, ..defaults() }, "one --metric"),
            (RankParameters { score: ScoreBy::Reference, ..defaults() }, "--reference"),
            (RankParameters { order: Order::Stratified, ..defaults() }, "--stratify-by"),
            (RankParameters { mmr_weight: f64::NAN, ..defaults() }, "--mmr-weight"),
            (RankParameters { full_at: 0.0, ..defaults() }, "--full-at"),
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
