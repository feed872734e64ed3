//! Fine-tuning: a run that starts with the weights of another one, which may have had other labels.
//!
//! Weights are matched by name. All but those of the heads must have the shapes that the network
//! needs. The channels of a head are matched by the names of their labels; those of labels that the
//! other run did not have keep their random initial values. A file outside of a run's folder names
//! no labels, so that heads are initialised at random.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use pdl_prepare::plan::Plan;
use pdl_store::hash;
use tch::{Kind, Tensor};

use crate::error::{FitError, Result};
use crate::experiment::run_record::{self, Initialisation, RunRecord};
use crate::model::unet::NetworkPlan;
use crate::model::weights::{Parameter, Weights, are_finite};
use crate::plan::settings::Settings;

/// Settings of the network, which a fine-tuned run shares with the one that it starts from.
const NETWORK: [&str; 6] = ["dims", "width", "depth", "norm", "residual", "deep_supervision"];
/// Ratio of spacings along an axis from which on they are reported as different.
const OTHER_SPACING: f64 = 1.1;

/// Weights of another run, or of a file.
#[derive(Debug)]
pub struct InitialWeights {
    /// File of the weights.
    path: PathBuf,
    /// BLAKE3 of the file.
    pub(crate) blake3: String,
    /// Record of the run; `None` for a file that is in no run's folder.
    record: Option<RunRecord>,
}

impl InitialWeights {
    /// Finds the weights in the folder of a finished run, or the weights file `path` itself.
    ///
    /// # Errors
    /// [`FitError::NoSuchRun`] if it is a folder without a finished run; [`FitError::Store`] if
    /// there is no such file.
    pub fn open(path: &Path) -> Result<Self> {
        let is_run = |folder: &Path| folder.join(run_record::FILE).is_file();
        let (path, record) = if path.is_dir() {
            (path.join(run_record::WEIGHTS_FILE), Some(run_record::read(path)?))
        } else {
            let folder = path.parent().unwrap_or(Path::new(""));
            let of_run = path.file_name().is_some_and(|name| name == run_record::WEIGHTS_FILE);
            let record = if of_run && is_run(folder) { Some(run_record::read(folder)?) } else { None };
            (path.to_owned(), record)
        };
        let blake3 = hash::of_file(&path)?;
        if record.as_ref().is_some_and(|record| record.results.weights_blake3 != blake3) {
            let problem = "the weights are not those of the run's record; train the run again".to_owned();
            return Err(FitError::InvalidFile { problem, path });
        }
        Ok(Self { path, blake3, record })
    }

    /// BLAKE3 of the manifest of the run.
    pub(crate) fn manifest_blake3(&self) -> Option<&str> {
        self.record.as_ref().map(|record| record.manifest_blake3.as_str())
    }

    /// `settings` with the network of the run, except for `given` names.
    ///
    /// # Errors
    /// [`FitError::InvalidSettings`] if a value has no JSON form.
    pub fn network_settings(&self, settings: &Settings, given: impl Fn(&str) -> bool) -> Result<Settings> {
        let Some(record) = &self.record else { return Ok(settings.clone()) };
        let depth = Some(record.plan.network.depth);
        let theirs = record.settings.with(|settings| settings.network.depth = depth).values()?;
        settings.changed(theirs.iter().filter(|(name, _)| NETWORK.contains(&name.as_str()) && !given(name)))
    }

    /// Overwrites `weights` (initial values of a network for labels of these names, in channel
    /// order from channel 1).
    ///
    /// # Errors
    /// [`FitError::OtherNetwork`] if the weights are of another network.
    pub(crate) fn copy_to(
        &self,
        weights: &Weights,
        network: &NetworkPlan,
        labels: &[String],
    ) -> Result<Initialisation> {
        let other = |problem: String| FitError::OtherNetwork { problem, path: self.path.clone() };
        if let Some(problem) = self.record.as_ref().and_then(|r| difference(&r.plan.network, network)) {
            return Err(other(problem));
        }
        let saved: HashMap<String, Tensor> = Tensor::read_safetensors(&self.path)?.into_iter().collect();
        let (mut heads, mut parameters) = (Vec::new(), 0);
        for parameter in weights.parameters() {
            let found = saved.get(&parameter.name);
            if parameter.is_head() {
                heads.extend(found.map(|found| (parameter, found)));
                continue;
            }
            let found = found.ok_or_else(|| other(format!("it lacks {}", parameter.name)))?;
            check_shape(parameter, found, &parameter.shape).map_err(other)?;
            self.check_finite(found)?;
            copy(weights.get(&parameter.name)?, found)?;
            parameters += 1;
        }
        let matched = self.matched_channels(labels);
        for (parameter, found) in heads {
            let channels = found.size().first().copied().unwrap_or(0);
            let expected: Vec<i64> = [channels].iter().chain(&parameter.shape[1..]).copied().collect();
            check_shape(parameter, found, &expected).map_err(other)?;
            self.check_finite(found)?;
            for (channel, theirs) in matched.iter().enumerate() {
                if let Some(theirs) = theirs.filter(|&theirs| (theirs as i64) < channels) {
                    let target = weights.get(&parameter.name)?.f_select(0, channel as i64)?;
                    copy(&target, &found.f_select(0, theirs as i64)?)?;
                }
            }
        }
        let names = |taken: bool| {
            let some = labels.iter().zip(matched.iter().skip(1));
            some.filter(|(_, theirs)| theirs.is_some() == taken).map(|(name, _)| name.clone()).collect()
        };
        Ok(Initialisation {
            run: self.record.as_ref().map(|record| record.name.clone()),
            weights_blake3: self.blake3.clone(),
            parameters,
            labels_taken: names(true),
            labels_new: names(false),
        })
    }

    /// The channel of the other run for background and each label; `None` if it has none.
    fn matched_channels(&self, labels: &[String]) -> Vec<Option<usize>> {
        let theirs = |name: &String| {
            let labels = &self.record.as_ref()?.labels;
            labels.iter().position(|label| label.name == *name).map(|place| place + 1)
        };
        let background = self.record.as_ref().map(|_| 0);
        std::iter::once(background).chain(labels.iter().map(theirs)).collect()
    }

    fn check_finite(&self, saved: &Tensor) -> Result<()> {
        if are_finite(saved)? {
            return Ok(());
        }
        let problem = "the weights contain NaN or infinity".to_owned();
        Err(FitError::InvalidFile { problem, path: self.path.clone() })
    }

    /// Differences in the preparation of images from that of the other run.
    pub(crate) fn preparation_differences(&self, plan: &Plan) -> Vec<String> {
        let Some(theirs) = self.record.as_ref().map(|record| &record.preparation) else { return Vec::new() };
        let mut differences = Vec::new();
        if theirs.modality != plan.modality {
            let (here, there) = (plan.modality, theirs.modality);
            differences.push(format!("its images are {there:?}, those of this cohort are {here:?}"));
        }
        let apart = |(a, b): (&f64, &f64)| (a / b).max(b / a) > OTHER_SPACING;
        if theirs.spacing_mm.iter().zip(&plan.spacing_mm).any(apart) {
            differences.push(format!(
                "its voxels are {} mm (x, y, z), those of this cohort are {} mm",
                sides(&theirs.spacing_mm),
                sides(&plan.spacing_mm)
            ));
        }
        if theirs.normalisation != plan.normalisation {
            differences.push("its intensities are normalised otherwise".to_owned());
        }
        differences
    }
}

fn sides(sides: &[f64]) -> String {
    let sides: Vec<String> = sides.iter().map(|side| format!("{side:.3}")).collect();
    sides.join(" x ")
}

/// A difference between two architectures, apart from heads.
fn difference(theirs: &NetworkPlan, ours: &NetworkPlan) -> Option<String> {
    let figures = |plan: &NetworkPlan| {
        [
            ("input channels", format!("{}", plan.inputs)),
            ("dimensions", format!("{}", plan.dims)),
            ("width", format!("{}", plan.width)),
            ("levels", format!("{}", plan.depth)),
            ("norm", format!("{:?}", plan.norm).to_lowercase()),
            ("residual blocks", format!("{}", plan.residual)),
            ("halvings along z, y, x", format!("{:?}", &plan.halvings[3 - plan.dims..])),
            ("first halved levels along z, y, x", format!("{:?}", &plan.first_halved[3 - plan.dims..])),
        ]
    };
    let pairs = figures(theirs).into_iter().zip(figures(ours));
    let different = pairs.filter(|(theirs, ours)| theirs != ours);
    let told: Vec<String> =
        different.map(|((name, theirs), (_, ours))| format!("{name}: {theirs}, expected {ours}")).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn check_shape(parameter: &Parameter, saved: &Tensor, expected: &[i64]) -> std::result::Result<(), String> {
    let (name, found) = (&parameter.name, saved.size());
    if found == expected && saved.kind() == Kind::Float {
        return Ok(());
    }
    Err(format!("{name}: expected float32 of shape {expected:?}, found {:?} of {found:?}", saved.kind()))
}

/// Overwrites values that may have gradients.
fn copy(target: &Tensor, values: &Tensor) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    target.shallow_clone().f_copy_(values)?;
    Ok(())
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::model::device::ComputeDevice;
    use crate::model::unet::UNet;

    fn weights(plan: NetworkPlan, seed: u64) -> Weights {
        Weights::new(UNet::new(plan).parameters(), seed, ComputeDevice::CPU).unwrap()
    }

    fn equal(a: &Weights, b: &Weights, name: &str) -> bool {
        a.get(name).unwrap().equal(b.get(name).unwrap())
    }

    #[test]
    fn a_bare_file_gives_all_but_the_heads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.safetensors");
        let (plan, more) = (NetworkPlan::plain(2, 4, 3, 3), NetworkPlan::plain(2, 4, 3, 5));
        let theirs = weights(plan, 1);
        theirs.save(&path).unwrap();
        let (ours, untouched) = (weights(more, 2), weights(more, 2));
        let labels = ["a", "b", "c", "d"].map(str::to_owned);
        let told = InitialWeights::open(&path).unwrap().copy_to(&ours, &more, &labels).unwrap();
        for parameter in ours.parameters() {
            let from = if parameter.is_head() { &untouched } else { &theirs };
            assert!(equal(&ours, from, &parameter.name), "{}", parameter.name);
        }
        assert_eq!(told.parameters, ours.parameters().len() - 2);
        assert_eq!((told.run, told.labels_taken, told.labels_new), (None, vec![], labels.to_vec()));
    }

    #[test]
    fn weights_of_another_network_are_refused_with_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.safetensors");
        let plan = NetworkPlan::plain(2, 4, 3, 3);
        weights(plan, 1).save(&path).unwrap();
        let refused = |other: NetworkPlan| {
            let open = InitialWeights::open(&path).unwrap();
            let labels = ["a", "b"].map(str::to_owned);
            match open.copy_to(&weights(other, 1), &other, &labels).unwrap_err() {
                FitError::OtherNetwork { problem, .. } => problem,
                error => panic!("{error}"),
            }
        };
        assert_eq!(
            refused(NetworkPlan { inputs: 2, ..plan }),
            "encoder.0.0.conv.weight: expected float32 of shape [4, 2, 3, 3], found Float of [4, 1, 3, 3]"
        );
        assert_eq!(
            refused(NetworkPlan { depth: 4, halvings: [3; 3], ..plan }),
            "it lacks encoder.3.0.conv.weight"
        );
        assert_eq!(
            difference(&plan, &NetworkPlan { inputs: 2, width: 8, classes: 9, ..plan }).unwrap(),
            "input channels: 1, expected 2; width: 4, expected 8"
        );
    }
}
