//! `plan.json`: what is done to every case.

use std::collections::BTreeSet;
use std::path::Path;

use pdl_cohort::attributes::Modality;
use pdl_cohort::invalid_option::InvalidOption;
use pdl_cohort::size_check::SIDES_MM;
use pdl_findings::{Code, Finding};
use pdl_store::{json, safe_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PrepareError;
use crate::crop::Crop;
use crate::fingerprint::Fingerprint;
use crate::normalisation_choice;
use crate::normalise::{Mapping, Normalisation};
use crate::parameters::{GridKind, PrepareParameters, Resampling};
use crate::resample::ANISOTROPY;

/// The file's name inside a curation folder.
pub const FILE: &str = "plan.json";

/// Version of the file's format.
pub const SCHEMA_VERSION: u32 = 1;

/// A figure of the fingerprint has drifted from the pinned plan when it moved by more than this
/// share.
const DRIFT: f64 = 0.1;

/// The common grid of the proxies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyPlan {
    /// Voxels along x, y, z of the RAS+ image.
    pub shape: [usize; 3],
    /// The region that a proxy covers.
    pub grid: GridKind,
    /// The common field of view along x, y, z, mm: `--field-of-view`, or the longest training
    /// extents. Null for `box`.
    pub fov_mm: Option<[f64; 3]>,
    /// How intensities become [0, 1].
    pub mapping: Mapping,
    /// Whether proxies hold label maps, too. Omitted if false, so that the keys of such proxies
    /// stay those of earlier versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub labels: bool,
}

impl ProxyPlan {
    /// Memory that a case's proxy takes until it is written, bytes: its float32 twice.
    pub(crate) fn bytes(&self) -> u64 {
        crate::source::voxels(self.shape).saturating_mul(2 * size_of::<f32>() as u64)
    }
}

/// Normalisation of one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedChannel {
    /// The channel's name.
    #[serde(deserialize_with = "safe_name::deserialize")]
    pub name: String,
    /// How its images were made.
    pub modality: Modality,
    /// How its intensities are put on a common scale.
    pub normalisation: Normalisation,
    /// How its intensities become [0, 1] in proxies.
    pub mapping: Mapping,
}

/// The preparation of every case. Axes are x, y, z of the RAS+ images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Version of this file's form.
    pub schema_version: u32,
    /// How the images were made.
    pub modality: Modality,
    /// Crop of an image before all other steps.
    #[serde(default)]
    pub crop: Crop,
    /// Voxel size of the prepared volumes along x, y, z, mm.
    pub spacing_mm: [f64; 3],
    /// How volumes are brought to that size.
    #[serde(default)]
    pub resample: Resampling,
    /// How intensities are put on a common scale.
    pub normalisation: Normalisation,
    /// The name of the first channel, where cases have several; `normalisation` and the proxies'
    /// `mapping` are its.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_channel: Option<String>,
    /// Normalisation of the channels after the first, if cases have several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_channels: Vec<PlannedChannel>,
    /// The common grid for comparison.
    pub proxies: ProxyPlan,
    /// The options it was made with; other options make a new plan.
    pub parameters: PrepareParameters,
    /// The training cases it was made from; kept while the plan is pinned.
    pub fingerprint: Fingerprint,
}

impl Plan {
    /// Plans from the training cases.
    ///
    /// # Errors
    /// [`PrepareError::InvalidOption`] if an option's value is invalid.
    pub fn new(fingerprint: &Fingerprint, parameters: &PrepareParameters) -> Result<Self, PrepareError> {
        let spacing = lengths_mm("spacing", parameters.spacing.as_deref())?;
        if spacing.is_some_and(|spacing| !is_plausible(spacing)) {
            let (low, high) = (SIDES_MM.start(), SIDES_MM.end());
            let problem = format!("expected lengths from {low} to {high} mm");
            return Err(InvalidOption::new("spacing", problem).into());
        }
        let spacing_mm = spacing.unwrap_or_else(|| target_spacing(fingerprint));
        let (normalisation, mapping) = normalisation_choice::choose(fingerprint, parameters)?;
        let further_channels = fingerprint
            .further_channels
            .iter()
            .map(|channel| {
                let (normalisation, mapping) =
                    normalisation_choice::choose_for_channel(fingerprint, channel, parameters)?;
                Ok(PlannedChannel {
                    name: channel.name.clone(),
                    modality: channel.modality,
                    normalisation,
                    mapping,
                })
            })
            .collect::<Result<_, PrepareError>>()?;
        let fov_mm = field_of_view(fingerprint, parameters)?;
        let shape = proxy_shape(fingerprint, parameters)?;
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            modality: fingerprint.modality,
            crop: parameters.crop,
            spacing_mm,
            resample: parameters.resample,
            normalisation,
            first_channel: fingerprint.first_channel.clone(),
            further_channels,
            proxies: ProxyPlan {
                shape,
                grid: parameters.grid,
                fov_mm,
                mapping,
                labels: parameters.proxy_labels,
            },
            parameters: parameters.clone(),
            fingerprint: fingerprint.clone(),
        })
    }

    /// The first invalid value of a plan that may have been edited or damaged; `None` if it is
    /// valid.
    pub fn problem(&self) -> Option<String> {
        let ProxyPlan { shape, fov_mm, mapping, .. } = &self.proxies;
        if self.schema_version != SCHEMA_VERSION {
            return Some(format!("expected version {SCHEMA_VERSION}, found {}", self.schema_version));
        }
        if !is_plausible(self.spacing_mm) {
            let (low, high) = (SIDES_MM.start(), SIDES_MM.end());
            return Some(format!(
                "spacing_mm is {:?}, expected lengths from {low} to {high} mm",
                self.spacing_mm
            ));
        }
        if shape.iter().any(|n| !PROXY_SIDES.contains(n)) {
            return Some(format!("the shape of its proxies is {shape:?}, expected numbers from 1 to 1024"));
        }
        if let Some(field) = fov_mm.filter(|fov| !fov.iter().all(|side| side.is_finite() && *side > 0.0)) {
            return Some(format!(
                "the field of view of its proxies is {field:?} mm, expected lengths above 0"
            ));
        }
        let names = self.channel_names();
        if self.first_channel.is_none() != self.further_channels.is_empty()
            || !names.iter().all(|name| safe_name::is_safe(name))
        {
            return Some(format!(
                "its channels are {names:?}, expected two or more names of letters, digits, - and _"
            ));
        }
        if fov_mm.is_some() != (self.proxies.grid == GridKind::Fov) {
            return Some(
                "its proxies need a field of view with the grid fov, and none with the grid box".to_owned(),
            );
        }
        let of_channel =
            |channel: &PlannedChannel| channel.normalisation.problem().or_else(|| channel.mapping.problem());
        let problem = self.normalisation.problem().or_else(|| mapping.problem());
        let problem = problem.or_else(|| self.further_channels.iter().find_map(of_channel));
        problem.or_else(|| self.fingerprint.problem()).map(str::to_owned)
    }

    /// Number of images of each case.
    pub fn channels(&self) -> usize {
        1 + self.further_channels.len()
    }

    /// Names of the channels, in order; empty where cases have one image.
    pub fn channel_names(&self) -> Vec<&str> {
        let further = self.further_channels.iter().map(|channel| channel.name.as_str());
        self.first_channel.as_deref().into_iter().chain(further).collect()
    }

    /// How the intensities of each channel are put on a common scale.
    pub(crate) fn normalisations(&self) -> impl Iterator<Item = &Normalisation> {
        let further = self.further_channels.iter().map(|channel| &channel.normalisation);
        std::iter::once(&self.normalisation).chain(further)
    }

    /// Memory that the proxies of a case take until they are written, bytes.
    pub(crate) fn proxy_bytes(&self) -> u64 {
        self.proxies.bytes().saturating_mul(self.channels() as u64)
    }

    /// Whether it was made for cases of the same channels.
    pub(crate) fn has_channels_of(&self, fingerprint: &Fingerprint) -> bool {
        let planned = self.further_channels.iter().map(|channel| (&channel.name, channel.modality));
        self.first_channel == fingerprint.first_channel
            && planned
                .eq(fingerprint.further_channels.iter().map(|channel| (&channel.name, channel.modality)))
    }

    /// The parts of the plan that do not follow from its own fingerprint and options, that is, were
    /// edited; `None` if none were.
    ///
    /// # Errors
    /// [`PrepareError::InvalidOption`] if its options are invalid.
    pub fn edited(&self) -> Result<Option<String>, PrepareError> {
        let names = differences(self, &Self::new(&self.fingerprint, &self.parameters)?);
        Ok((!names.is_empty()).then(|| names.join(", ")))
    }

    /// Findings about changes since the plan was pinned.
    pub fn drift(&self, now: &Fingerprint) -> Vec<Finding> {
        let old = &self.fingerprint;
        let axis = |name: &str, i: usize| format!("{name} along {}", ["x", "y", "z"][i]);
        let spacings = (0..3).map(|i| {
            (
                axis("median spacing", i),
                old.spacing_mm[i].median,
                now.spacing_mm[i].median,
                old.spacing_mm[i].median,
            )
        });
        let (f, g) = (&old.foreground, &now.foreground);
        // MR intensities have no unit, so only CT's can drift.
        let range = f.p99_5 - f.p00_5;
        let intensities = [
            ("foreground mean".to_owned(), f.mean, g.mean, range),
            ("foreground percentile 0.5".to_owned(), f.p00_5, g.p00_5, range),
            ("foreground percentile 99.5".to_owned(), f.p99_5, g.p99_5, range),
        ];
        let comparable = self.modality == Modality::CT && old.without_labels == now.without_labels;
        let intensities = intensities.into_iter().filter(|_| comparable);
        spacings
            .chain(intensities)
            .filter(|(_, old, new, scale)| (new - old).abs() > DRIFT * scale.abs())
            .map(|(what, old, new, _)| {
                let message = format!(
                    "the {what} of the training cases went from {old:.4} to {new:.4} since the plan was made; \
                     the plan stays as it is unless --replan is given"
                );
                Finding::new(Code::PlanDrift, message)
            })
            .chain(self.labels_came(now))
            .collect()
    }
}

impl Plan {
    /// Finding if training cases have labels that had none when the plan was made.
    fn labels_came(&self, now: &Fingerprint) -> Option<Finding> {
        let came = self.fingerprint.without_labels && !now.without_labels;
        let message = format!(
            "the plan was made when no training case had a label, and now {} have: intensities and spacing stay \
             unchanged without --replan, which prepares and compares all cases again",
            now.training_cases
        );
        came.then(|| Finding::new(Code::PlanDrift, message))
    }
}

/// Reads `plan.json` of a curation folder, and checks what it holds, which may have been edited.
///
/// # Errors
/// [`PrepareError::Store`] when it is missing or no such file, [`PrepareError::Plan`] when it holds
/// what cannot be.
pub fn read(out: &Path) -> Result<Plan, PrepareError> {
    let path = out.join(FILE);
    let plan: Plan = json::read_versioned(&path, SCHEMA_VERSION)?;
    match plan.problem() {
        None => Ok(plan),
        Some(problem) => Err(PrepareError::Plan { path, problem }),
    }
}

/// Whether a voxel can have these sides, mm.
pub(crate) fn is_plausible(sides: [f64; 3]) -> bool {
    sides.iter().all(|side| SIDES_MM.contains(side))
}

/// Voxels that a proxy may have along an axis.
pub(crate) const PROXY_SIDES: std::ops::RangeInclusive<usize> = 1..=1024;

/// The three lengths of an option.
fn lengths_mm(option: &'static str, lengths: Option<&[f64]>) -> Result<Option<[f64; 3]>, PrepareError> {
    match lengths {
        None => Ok(None),
        Some(&[x, y, z]) if [x, y, z].iter().all(|side| side.is_finite() && *side > 0.0) => {
            Ok(Some([x, y, z]))
        }
        Some(_) => Err(InvalidOption::new(option, "expected three lengths above 0, in mm: x,y,z").into()),
    }
}

/// The common field of view of the proxies; `None` if each covers its image's own box.
fn field_of_view(
    fingerprint: &Fingerprint,
    parameters: &PrepareParameters,
) -> Result<Option<[f64; 3]>, PrepareError> {
    let given = lengths_mm("field-of-view", parameters.field_of_view.as_deref())?;
    match (parameters.grid, given) {
        (GridKind::Fov, given) => {
            Ok(Some(given.unwrap_or_else(|| fingerprint.extent_mm.map(|extent| extent.max))))
        }
        (GridKind::Box, None) => Ok(None),
        (GridKind::Box, Some(_)) => {
            Err(InvalidOption::new("field-of-view", "needs --grid fov: a box has no field of view").into())
        }
    }
}

/// The names of the fields in which two values of one type differ.
pub(crate) fn differences<T: Serialize>(a: &T, b: &T) -> Vec<String> {
    let fields = |value: &T| match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (a, b) = (fields(a), fields(b));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

/// Median per axis; an axis more than three times coarser than the others, with a third of their
/// voxels or fewer, takes its 10th percentile, but stays coarser than the others (nnU-Net v2).
fn target_spacing(fingerprint: &Fingerprint) -> [f64; 3] {
    let mut target = fingerprint.spacing_mm.map(|spread| spread.median);
    let voxels = fingerprint.shape.map(|spread| spread.median);
    let Some(worst) = (0..3).max_by(|a, b| target[*a].total_cmp(&target[*b])) else { return target };
    let others = [(worst + 1) % 3, (worst + 2) % 3];
    let coarsest = others.map(|axis| target[axis]).into_iter().fold(0.0, f64::max);
    let fewest = others.map(|axis| voxels[axis]).into_iter().fold(f64::INFINITY, f64::min);
    if target[worst] > ANISOTROPY * coarsest && 3.0 * voxels[worst] <= fewest {
        target[worst] = fingerprint.spacing_mm[worst].p10.max(coarsest);
    }
    target
}

fn proxy_shape(
    fingerprint: &Fingerprint,
    parameters: &PrepareParameters,
) -> Result<[usize; 3], PrepareError> {
    let [x, y, z] = match *parameters.proxy_size.as_slice() {
        [n] => [n, n, n],
        [x, y, z] => [x, y, z],
        _ => {
            let problem = "expected one number, or three for x, y, z";
            return Err(InvalidOption::new("proxy-size", problem).into());
        }
    };
    if [x, y, z].iter().any(|n| !PROXY_SIDES.contains(n)) {
        return Err(InvalidOption::new("proxy-size", "expected numbers from 1 to 1024").into());
    }
    // Single pictures stay pictures: stretching one plane to many would compare it with itself.
    let mut shape = [x, y, z];
    if let Some(axis) = (0..3).rev().find(|axis| fingerprint.shape[*axis].max <= 1.0) {
        shape[axis] = 1;
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::{Foreground, Spread};
    use crate::normalisation_choice::window_finding;
    use crate::normalise::LANDMARKS;
    use crate::parameters::NormalisationMethod;

    fn fingerprint(spacing: [f64; 3], shape: [f64; 3]) -> Fingerprint {
        let spread = |v: f64| Spread { min: v, p10: v * 0.5, median: v, max: v };
        Fingerprint {
            schema_version: 1,
            modality: Modality::CT,
            training_cases: 3,
            spacing_mm: spacing.map(spread),
            shape: shape.map(spread),
            extent_mm: std::array::from_fn(|axis| spread(spacing[axis] * shape[axis])),
            foreground: Foreground { p00_5: -100.0, p99_5: 300.0, mean: 50.0, std: 40.0 },
            without_labels: false,
            nonzero_box_share: 1.0,
            image_range: None,
            standard_scale: LANDMARKS.map(|v| v / 100.0),
            first_channel: None,
            further_channels: Vec::new(),
            findings: Vec::new(),
        }
    }

    #[test]
    fn thick_slices_take_their_tenth_percentile() {
        let spacing = |s, n| Plan::new(&fingerprint(s, n), &PrepareParameters::default()).unwrap().spacing_mm;
        assert_eq!(spacing([1.0, 1.0, 5.0], [256.0, 256.0, 40.0]), [1.0, 1.0, 2.5]);
        assert_eq!(spacing([1.0, 1.0, 5.0], [256.0, 256.0, 100.0]), [1.0, 1.0, 5.0]);
        assert_eq!(spacing([1.0, 1.0, 3.0], [256.0, 256.0, 40.0]), [1.0, 1.0, 3.0]);
    }

    #[test]
    fn single_pictures_have_flat_proxies_across_any_axis() {
        for axis in 0..3 {
            let mut shape = [64.0; 3];
            shape[axis] = 1.0;
            let plan = Plan::new(&fingerprint([1.0; 3], shape), &PrepareParameters::default()).unwrap();
            let flat: Vec<usize> = (0..3).filter(|axis| plan.proxies.shape[*axis] == 1).collect();
            assert_eq!(flat, [axis]);
        }
    }

    #[test]
    fn a_plan_that_cannot_be_is_told() {
        let plan = Plan::new(&fingerprint([1.0; 3], [64.0; 3]), &PrepareParameters::default()).unwrap();
        assert_eq!(plan.problem(), None);
        let edited = |edit: &dyn Fn(&mut Plan)| {
            let mut plan = plan.clone();
            edit(&mut plan);
            plan.problem().unwrap()
        };
        for side in [1e-30, 0.0, -1.0, 1e30, 1e-4] {
            assert!(edited(&|plan| plan.spacing_mm[1] = side).starts_with("spacing_mm is"), "{side}");
        }
        assert!(edited(&|plan| plan.proxies.shape[2] = 1 << 40).contains("expected numbers from 1 to 1024"));
        assert!(edited(&|plan| plan.proxies.fov_mm = Some([1.0, 0.0, 1.0])).contains("field of view"));
        assert!(edited(&|plan| plan.proxies.fov_mm = Some([1.0; 3])).contains("grid box"));
        assert!(edited(&|plan| plan.schema_version = 7).contains("found 7"));
        let wrong = [
            Normalisation::Window { low: 1.0, high: -1.0 },
            Normalisation::Window { low: 0.0, high: 1e300 },
            Normalisation::CohortForeground { low: 5.0, high: 4.0, mean: 0.0, std: 1.0 },
            Normalisation::CohortForeground { low: 0.0, high: 4.0, mean: 0.0, std: -1.0 },
            Normalisation::ImagePercentiles { lower: -1.0, upper: 50.0 },
            Normalisation::ImagePercentiles { lower: 1.0, upper: 1e9 },
            Normalisation::Nyul { standard: LANDMARKS.map(|v| -v) },
        ];
        for scheme in wrong {
            assert!(edited(&|plan| plan.normalisation = scheme).contains("normalisation"), "{scheme:?}");
        }
        let mapping = Mapping::Range { low: 2.0, high: 1.0 };
        assert!(edited(&|plan| plan.proxies.mapping = mapping).contains("mapping"));
        assert!(edited(&|plan| plan.fingerprint.spacing_mm[0].max = -1.0).contains("fingerprint"));
        assert!(edited(&|plan| plan.fingerprint.foreground.std = 1e300).contains("fingerprint"));
        let parameters =
            PrepareParameters { spacing: Some(vec![1e-6, 1.0, 1.0]), ..PrepareParameters::default() };
        assert!(Plan::new(&fingerprint([1.0; 3], [64.0; 3]), &parameters).is_err());
    }

    #[test]
    fn an_edited_plan_is_known_by_what_differs() {
        let plan = Plan::new(&fingerprint([1.0; 3], [64.0; 3]), &PrepareParameters::default()).unwrap();
        assert_eq!(plan.edited().unwrap(), None);
        let mut edited = plan;
        edited.spacing_mm = [2.0; 3];
        edited.resample = Resampling::Nnunet;
        assert_eq!(edited.edited().unwrap().as_deref(), Some("resample, spacing_mm"));
    }

    #[test]
    fn labels_in_proxies_are_an_option_that_leaves_other_plans_as_they_were() {
        let plan = |proxy_labels| {
            let parameters = PrepareParameters { proxy_labels, ..PrepareParameters::default() };
            Plan::new(&fingerprint([1.0; 3], [64.0; 3]), &parameters).unwrap()
        };
        let (without, with) = (plan(false), plan(true));
        assert!(with.proxies.labels && !without.proxies.labels);
        assert!(!serde_json::to_string(&without).unwrap().contains("labels"));
        assert_eq!(differences(&without.parameters, &with.parameters), ["proxy_labels"]);
        assert_eq!(differences(&with.parameters, &without.parameters), ["proxy_labels"]);
    }

    #[test]
    fn every_scheme_is_planned_and_wrong_options_are_refused() {
        let plan = |change: &dyn Fn(&mut PrepareParameters)| {
            let mut parameters = PrepareParameters::default();
            change(&mut parameters);
            Plan::new(&fingerprint([1.0; 3], [64.0; 3]), &parameters)
        };
        let window = plan(&|p| {
            p.normalise = NormalisationMethod::Window;
            p.intensity_window = Some(vec![-160.0, 240.0]);
        });
        let window = window.unwrap();
        assert_eq!(window.normalisation, Normalisation::Window { low: -160.0, high: 240.0 });
        assert_eq!(window.proxies.mapping, Mapping::Range { low: -160.0, high: 240.0 });
        let scheme = |scheme| plan(&|p| p.normalise = scheme).map(|plan| plan.normalisation);
        assert_eq!(
            scheme(NormalisationMethod::Percentile).unwrap(),
            Normalisation::ImagePercentiles { lower: 0.5, upper: 99.5 }
        );
        assert_eq!(
            scheme(NormalisationMethod::Zscore).unwrap(),
            Normalisation::ImageZScore { nonzero_mask: false }
        );
        assert_eq!(
            scheme(NormalisationMethod::Nyul).unwrap(),
            Normalisation::Nyul { standard: LANDMARKS.map(|v| v / 100.0) }
        );
        assert_eq!(scheme(NormalisationMethod::Auto).unwrap(), scheme(NormalisationMethod::Ct).unwrap());
        assert!(scheme(NormalisationMethod::Window).is_err());
        assert!(plan(&|p| p.intensity_window = Some(vec![0.0, 1.0])).is_err());
        assert!(plan(&|p| p.intensity_percentiles = vec![50.0, 10.0]).is_err());
    }

    #[test]
    fn labels_of_few_intensities_do_not_decide_how_images_are_compared() {
        let mapping = |labels: [f64; 2], images: Option<[f64; 2]>| {
            let mut fingerprint = fingerprint([1.0; 3], [64.0; 3]);
            fingerprint.foreground.p00_5 = labels[0];
            fingerprint.foreground.p99_5 = labels[1];
            fingerprint.image_range = images;
            let plan = Plan::new(&fingerprint, &PrepareParameters::default()).unwrap();
            assert_eq!(plan.edited().unwrap(), None);
            let told = window_finding(&fingerprint, plan.proxies.mapping, &plan.parameters).is_some();
            let by_image = plan.proxies.mapping == Mapping::ImagePercentiles;
            assert_eq!(told, by_image, "what is not as usual is told");
            by_image
        };
        let images = Some([-1000.0, 400.0]);
        assert!(!mapping([-950.0, 150.0], images) && !mapping([-100.0, 300.0], images));
        assert!(mapping([50.0, 80.0], images), "blood");
        assert!(mapping([2500.0, 3071.0], images), "metal: wide, and beyond all that images hold");
        assert!(mapping([3071.0, 3071.0], images) && mapping([300.0, 900.0], images));
        // Plans of earlier versions know nothing of the images.
        assert!(!mapping([50.0, 80.0], None));
    }

    #[test]
    fn a_field_of_view_is_the_given_one_or_the_longest() {
        let fov = |grid, field_of_view| {
            let parameters = PrepareParameters { grid, field_of_view, ..PrepareParameters::default() };
            Plan::new(&fingerprint([2.0; 3], [64.0; 3]), &parameters).map(|plan| plan.proxies.fov_mm)
        };
        assert_eq!(fov(GridKind::Fov, None).unwrap(), Some([128.0; 3]));
        let given = Some(vec![200.0, 190.0, 150.0]);
        assert_eq!(fov(GridKind::Fov, given.clone()).unwrap(), Some([200.0, 190.0, 150.0]));
        assert_eq!(fov(GridKind::Box, None).unwrap(), None);
        assert!(fov(GridKind::Box, given).is_err(), "it would do nothing");
        assert!(fov(GridKind::Fov, Some(vec![200.0])).is_err());
        assert!(fov(GridKind::Fov, Some(vec![200.0, 0.0, 1.0])).is_err());
    }

    #[test]
    fn drift_is_told_and_small_moves_are_not() {
        let before = fingerprint([1.0; 3], [64.0; 3]);
        let plan = Plan::new(&before, &PrepareParameters::default()).unwrap();
        assert_eq!(plan.drift(&before), []);
        assert_eq!(plan.drift(&fingerprint([1.0, 1.0, 1.3], [64.0; 3])).len(), 1);
    }
}
