//! Removal of all but the largest component, of labels for which that raises Dice on validation
//! cases: the rule of nnU-Net's `determine_postprocessing`.
//!
//! First the largest component of all labels together is tried. It is applied if the mean Dice over
//! the labels rises and no label's Dice falls. Then, with several labels, each label's own largest
//! component is tried on the result, and applied if that label's Dice rises. A label's Dice is the
//! mean over the cases in which it is annotated and present in the reference or the prediction.
//! Components connect voxels by faces, edges and corners.

use std::path::Path;

use pdl_curriculum::manifest::Label;
use pdl_store::{StoreError, fault, json};
use pdl_volume::Components;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{FitError, Result};
use pdl_metrics::dice::{self, CohortDice};

/// File of the decision in a run's folder.
pub const FILE: &str = "postprocessing.json";
/// Version of the file format.
pub const SCHEMA_VERSION: u32 = 1;

/// Labels whose smaller components are removed, as requested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LargestComponent {
    /// Every component of every label is kept.
    #[default]
    None,
    /// Labels for which it raised Dice on the validation cases of the run.
    Auto,
    /// Labels of these names or values, each for itself.
    Labels(Vec<String>),
}

impl std::str::FromStr for LargestComponent {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "auto" => Ok(Self::Auto),
            names => {
                let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
                match names.iter().any(String::is_empty) {
                    true => Err("write none, auto, or names of labels with commas".to_owned()),
                    false => Ok(Self::Labels(names)),
                }
            }
        }
    }
}

/// Dice of a label on the validation cases, as predicted and with its largest component alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentTrial {
    /// Name of the label; "all labels" for all labels together, whose figures are means over the
    /// labels.
    pub name: String,
    /// Value of the label; 0 for all labels together.
    pub label: u16,
    /// Dice without the removal; null if no case counts.
    pub dice_before: Option<f64>,
    /// Dice after removal; null if no case counts.
    pub dice_after: Option<f64>,
    /// Whether all but the largest component is removed.
    pub applies: bool,
}

/// Decision on the components of a run's predictions, in `postprocessing.json` of its folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Postprocessing {
    /// Version of the file format.
    pub schema_version: u32,
    /// BLAKE3 of the weights whose predictions were compared; several if it was decided over the
    /// folds of a cross-validation.
    pub weights_blake3: Vec<String>,
    /// Number of cases on which it was decided.
    pub cases: usize,
    /// All labels together first, then the single ones in label order.
    pub trials: Vec<ComponentTrial>,
}

/// Removes components of labels from a prediction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ComponentFilter {
    /// Whether only the largest component of all labels together is kept.
    pub all_labels: bool,
    /// Channels of which only the largest component is kept, ascending; after that of all labels.
    pub channels: Vec<u8>,
}

impl ComponentFilter {
    /// The requested filter. `decided` are the decisions of the runs, if they have any.
    ///
    /// # Errors
    /// [`FitError::InvalidOption`] if no label has a name or value, or a run holds no decision, or
    /// the runs' decisions differ.
    pub fn new(
        wanted: &LargestComponent,
        labels: &[Label],
        decided: &[Option<Postprocessing>],
    ) -> Result<Self> {
        let refused = |problem: String| Err(FitError::option("largest_component", problem));
        match wanted {
            LargestComponent::None => Ok(Self::default()),
            LargestComponent::Labels(names) => {
                let channel = |name: &String| {
                    let is = |label: &Label| label.name == *name || label.value.to_string() == *name;
                    labels.iter().position(is).map(|index| index as u8 + 1)
                };
                if let Some(unknown) = names.iter().find(|name| channel(name).is_none()) {
                    let known: Vec<&str> = labels.iter().map(|label| label.name.as_str()).collect();
                    return refused(format!(
                        "expected labels of the run ({}), found {unknown}",
                        known.join(", ")
                    ));
                }
                let mut channels: Vec<u8> = names.iter().filter_map(channel).collect();
                channels.sort_unstable();
                channels.dedup();
                Ok(Self { all_labels: false, channels })
            }
            LargestComponent::Auto => {
                let Some(found) = decided.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else {
                    return refused(
                        "auto needs the decision of a validation: run `pdl-fit evaluate RUN` first"
                            .to_owned(),
                    );
                };
                let mut filters = found.iter().map(|decision| decision.filter(labels));
                let first = filters.next().unwrap_or_default();
                match filters.all(|filter| filter == first) {
                    true => Ok(first),
                    false => refused(
                        "auto: the runs' validations decided differently; name the labels, or none"
                            .to_owned(),
                    ),
                }
            }
        }
    }

    /// Whether it removes nothing.
    pub fn is_empty(&self) -> bool {
        !self.all_labels && self.channels.is_empty()
    }

    /// Turns into background what is outside the largest components of `channels` (z, y, x), a
    /// volume of `shape` (z, y, x).
    pub fn apply(&self, channels: &mut [u8], shape: [usize; 3]) {
        if self.all_labels {
            keep_largest(channels, shape, None);
        }
        for channel in &self.channels {
            keep_largest(channels, shape, Some(*channel));
        }
    }
}

/// Turns into background what is outside the largest component of a channel, or of all.
fn keep_largest(channels: &mut [u8], [nz, ny, nx]: [usize; 3], of: Option<u8>) {
    let inside = |voxel: usize| of.map_or(channels[voxel] > 0, |channel| channels[voxel] == channel);
    let components = Components::of([nx, ny, nz], inside);
    components.outside_largest().for_each(|voxel| channels[voxel] = 0);
}

impl Postprocessing {
    /// Reads the decision in a run's folder; `None` if there is none, or it is of other weights
    /// than `weights_blake3`.
    ///
    /// # Errors
    /// [`FitError`] if the file cannot be read.
    pub fn read(run: &Path, weights_blake3: &str) -> Result<Option<Self>> {
        let path = run.join(FILE);
        if !fault::is_file(&path).map_err(StoreError::io("look at the file", &path))? {
            return Ok(None);
        }
        let decision: Self = json::read_versioned(&path, SCHEMA_VERSION)?;
        let of_these = decision.weights_blake3.iter().any(|weights| weights == weights_blake3);
        Ok(of_these.then_some(decision))
    }

    /// Writes the decision to a run's folder.
    ///
    /// # Errors
    /// [`FitError`] if the file cannot be written.
    pub fn write(&self, run: &Path) -> Result<()> {
        json::write(&run.join(FILE), self)?;
        Ok(())
    }

    /// Whether it was decided over several runs, the folds of a cross-validation.
    pub fn is_joint(&self) -> bool {
        self.weights_blake3.len() > 1
    }

    /// The trials that are applied, as a filter for the channels of `labels`.
    pub fn filter(&self, labels: &[Label]) -> ComponentFilter {
        let applied: Vec<u16> =
            self.trials.iter().filter(|trial| trial.applies).map(|trial| trial.label).collect();
        let channels = labels.iter().enumerate().filter(|(_, label)| applied.contains(&label.value));
        ComponentFilter {
            all_labels: applied.contains(&0),
            channels: channels.map(|(index, _)| index as u8 + 1).collect(),
        }
    }
}

/// Dice of the validation cases with and without the removal of components, gathered case by case.
#[derive(Clone, Debug, Default)]
pub struct ComponentTrials {
    plain: Vec<Vec<Option<f64>>>,
    of_all: Vec<Vec<Option<f64>>>,
    /// Each label's own largest component, on the prediction and after that of all labels.
    of_each: [Vec<Vec<Option<f64>>>; 2],
}

impl ComponentTrials {
    /// Adds a case: its predicted channels and its reference (z, y, x) of `shape` (z, y, x), and
    /// for every channel whether it is annotated.
    pub fn add(&mut self, predicted: &[u8], truth: &[u8], annotated: &[bool], shape: [usize; 3]) {
        let dice = |channels: &[u8]| dice::per_label(channels, truth, annotated);
        let each = |channels: &[u8]| {
            let mut filtered = channels.to_vec();
            // The labels do not touch each other: what a label loses becomes background.
            (1..annotated.len()).for_each(|channel| keep_largest(&mut filtered, shape, Some(channel as u8)));
            dice(&filtered)
        };
        let mut of_all = predicted.to_vec();
        keep_largest(&mut of_all, shape, None);
        self.plain.push(dice(predicted));
        self.of_each[0].push(each(predicted));
        self.of_each[1].push(each(&of_all));
        self.of_all.push(dice(&of_all));
    }

    /// Adds the cases of another validation, such as another fold's.
    pub fn append(&mut self, other: Self) {
        self.plain.extend(other.plain);
        self.of_all.extend(other.of_all);
        let [first, second] = other.of_each;
        self.of_each[0].extend(first);
        self.of_each[1].extend(second);
    }

    /// Number of cases.
    pub fn cases(&self) -> usize {
        self.plain.len()
    }

    /// Decides, by the rule that the module describes.
    pub fn decide(&self, labels: &[Label], weights_blake3: Vec<String>) -> Postprocessing {
        let of = |cases: &[Vec<Option<f64>>]| CohortDice::of(cases.to_vec(), labels.len());
        let (plain, of_all) = (of(&self.plain), of(&self.of_all));
        let worse = plain.labels.iter().zip(&of_all.labels).any(|(before, after)| after < before);
        let all = ComponentTrial {
            name: "all labels".to_owned(),
            label: 0,
            dice_before: number(plain.mean),
            dice_after: number(of_all.mean),
            applies: of_all.mean > plain.mean && !worse,
        };
        let source = if all.applies { &of_all } else { &plain };
        let of_each = of(&self.of_each[usize::from(all.applies)]);
        let figures = source.labels.iter().zip(&of_each.labels);
        let single = labels.iter().zip(figures).map(|(label, (before, after))| ComponentTrial {
            name: label.name.clone(),
            label: label.value,
            dice_before: number(*before),
            dice_after: number(*after),
            applies: labels.len() > 1 && after > before,
        });
        let trials = [all].into_iter().chain(single).collect();
        Postprocessing { schema_version: SCHEMA_VERSION, weights_blake3, cases: self.cases(), trials }
    }
}

fn number(dice: f64) -> Option<f64> {
    (!dice.is_nan()).then_some(dice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<Label> {
        [(2, "heart"), (5, "cord")].map(|(value, name)| Label { value, name: name.to_owned() }).to_vec()
    }

    #[test]
    fn a_label_that_gains_is_filtered_and_one_that_loses_is_not() {
        let mut trials = ComponentTrials::default();
        // Heart: a false island. Cord: two pieces that are both right.
        let truth = [1, 1, 0, 0, 0, 0, 2, 0, 2, 2];
        let predicted = [1, 1, 0, 1, 0, 0, 2, 0, 2, 2];
        trials.add(&predicted, &truth, &[true; 3], [1, 1, 10]);
        let decision = trials.decide(&labels(), vec!["w".to_owned()]);
        let told: Vec<(&str, bool)> =
            decision.trials.iter().map(|trial| (trial.name.as_str(), trial.applies)).collect();
        assert_eq!(told, [("all labels", false), ("heart", true), ("cord", false)]);
        assert_eq!(decision.trials[1].dice_before, Some(0.8));
        assert_eq!(decision.trials[1].dice_after, Some(1.0));
        let filter = decision.filter(&labels());
        assert_eq!(filter, ComponentFilter { all_labels: false, channels: vec![1] });
        let mut channels = predicted;
        filter.apply(&mut channels, [1, 1, 10]);
        assert_eq!(channels, truth);
    }

    #[test]
    fn all_labels_together_come_first() {
        let mut trials = ComponentTrials::default();
        let truth = [1, 1, 2, 2, 0, 0, 0, 0, 0];
        let predicted = [1, 1, 2, 2, 0, 1, 0, 2, 2];
        trials.add(&predicted, &truth, &[true; 3], [1, 1, 9]);
        let decision = trials.decide(&labels(), Vec::new());
        assert!(decision.trials[0].applies && !decision.trials[1].applies && !decision.trials[2].applies);
        let mut channels = predicted;
        decision.filter(&labels()).apply(&mut channels, [1, 1, 9]);
        assert_eq!(channels, truth);
    }

    /// tests/golden/data/components.json: the decisions of nnU-Net's rule, by SciPy.
    #[test]
    fn decisions_are_those_of_nnunet() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data/components.json");
        let golden: serde_json::Value = json::read(&path).unwrap();
        let shape: [usize; 3] = serde_json::from_value(golden["shape"].clone()).unwrap();
        let names: Vec<Label> =
            (1..=3).map(|value| Label { value, name: format!("label {value}") }).collect();
        let maps = |value: &serde_json::Value| -> Vec<Vec<u8>> {
            let texts: Vec<String> = serde_json::from_value(value.clone()).unwrap();
            texts.iter().map(|text| text.bytes().map(|digit| digit - b'0').collect()).collect()
        };
        let cohorts = golden["cohorts"].as_array().unwrap();
        assert!(cohorts.len() >= 20);
        for cohort in cohorts {
            let (truth, predicted) = (maps(&cohort["truth"]), maps(&cohort["predicted"]));
            let mut trials = ComponentTrials::default();
            for (predicted, truth) in predicted.iter().zip(&truth) {
                trials.add(predicted, truth, &[true; 4], shape);
            }
            let filter = trials.decide(&names, Vec::new()).filter(&names);
            assert_eq!(Some(filter.all_labels), cohort["together"].as_bool());
            let single: Vec<u8> = serde_json::from_value(cohort["single"].clone()).unwrap();
            assert_eq!(filter.channels, single);
            for (mut predicted, filtered) in predicted.into_iter().zip(maps(&cohort["filtered"])) {
                filter.apply(&mut predicted, shape);
                assert!(predicted == filtered, "{filter:?}");
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_checked() {
        let filter = |text: &str| {
            let wanted: LargestComponent = text.parse().unwrap();
            ComponentFilter::new(&wanted, &labels(), &[None])
        };
        assert!(filter("none").unwrap().is_empty());
        assert_eq!(filter("cord,2").unwrap().channels, [1, 2]);
        let refusal = |text: &str| filter(text).unwrap_err().to_string();
        assert!(refusal("liver").contains("expected labels of the run (heart, cord), found liver"));
        assert!(refusal("auto").contains("needs the decision of a validation"));
        assert!("a,,b".parse::<LargestComponent>().is_err());
    }
}
