//! The index stage: from a cohort to `cases.parquet`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::Part;
use pdl_store::hash::Key;
use pdl_store::journal::{Journal, Stamp};
use pdl_store::memory::{MemoryError, MemoryShare, in_turns};
use pdl_store::progress::{self, StageContext};
use pdl_store::safe_path::SafePath;
use pdl_store::{StoreError, atomic, fault};
use pdl_volume::{IGNORED, LabelReading, Orientation};

use crate::CohortError;
use crate::attributes::Modality;
use crate::check::cross_case_checks;
use crate::check::extra_columns;
use crate::check::{self, Checked, StatedGrids};
use crate::cohort_paths::Place;
use crate::discover::{self, DiscoveredCase, Layout};
use crate::identity::case_id::{self, CaseLabel};
use crate::identity::earlier_cases::{self, EarlierCases, RecognisedCases};
use crate::identity::masked_texts;
use crate::identity::pseudonym_table;
use crate::identity::pseudonyms::{Naming, check_outside, key_file};
use crate::identity::relocated_cohort;
use crate::identity::settings_names;
use crate::import::channel_choice::ChannelChoice;
use crate::import::cohort_channels::CohortChannels;
use crate::import::dicom_source::{DicomSource, KnownCohort};
use crate::import::file_source::{FileLabels, FileSource};
use crate::import::stacks;
use crate::import::{self, VolumeSource};
use crate::invalid_option::InvalidOption;
use crate::labels::annotated::{ChosenRule, annotate};
use crate::labels::label_rules::LabelRules;
use crate::labels::regions;
use crate::labels::segment_labels::{self, SegmentNames};
use crate::parameters::IndexParameters;
use crate::split::assign_splits::divide;
use crate::split::same_patient::SamePatient;
use crate::table::case_row::CaseRow;
use crate::table::case_rows::row;
use crate::table::cases::{self, Cases};
use crate::table::cohort_files::{self, CohortFiles};
use crate::table::sources::{self, SourceRow};

/// nnU-Net's name of the label to ignore.
const IGNORE: &str = "ignore";

/// The result of the index stage.
#[derive(Clone, Debug)]
pub struct Indexed {
    /// The table.
    pub cases: Cases,
    /// Cases whose files were read; the others were known and unchanged.
    pub read: usize,
    /// Whether `cases.parquet` is new or changed.
    pub changed: bool,
    /// Patients whose cases changed their split, each with the reason.
    pub moved: Vec<Finding>,
    /// Cases that changed their id, each with the reason.
    pub renamed: Vec<Finding>,
}

/// Indexes the cohort at `cohort` into the curation folder `out`. The patients of `same_patient`
/// are joined or kept apart, as are those that were given to an earlier run.
///
/// # Errors
/// [`CohortError`] when there is no cohort, its table contradicts itself, or `out` cannot be
/// written. An invalid case is not an error but a rejected row.
pub fn index(
    cohort: &Path,
    out: &Path,
    parameters: &IndexParameters,
    same_patient: &SamePatient,
    run: StageContext<'_>,
) -> Result<Indexed, CohortError> {
    let hides = Cell::new(parameters.pseudonyms);
    let indexed = index_openly(cohort, out, parameters, same_patient, run, &hides);
    let own: Vec<PathBuf> =
        key_file(parameters.pseudonym_key.as_deref()).into_iter().chain(parameters.mapping.clone()).collect();
    indexed.map_err(|error| if hides.get() { error.without_patients(cohort, out, &own) } else { error })
}

/// Like [`index`], with errors that may name patients; `hides` is set where they must not.
fn index_openly(
    cohort: &Path,
    out: &Path,
    parameters: &IndexParameters,
    same_patient: &SamePatient,
    run: StageContext<'_>,
    hides: &Cell<bool>,
) -> Result<Indexed, CohortError> {
    let copy_affine = parameters.copy_affine;
    let stated = StatedGrids { orientation: orientation_of(parameters)?, copy_affine };
    let annotation = ChosenRule::new(out, parameters)?;
    let parameters = &IndexParameters { annotated: annotation.rule.clone(), ..parameters.clone() };
    let mut layout = discover::discover(cohort, &parameters.carried()?, &run.memory_limit().alone())?;
    layout.check_any_file(cohort)?;
    let pixel_size = layout.assume_pixel_size(parameters)?;
    let stack_spacing = parameters.stack_spacing.clone().or(pixel_size);
    let parameters = &IndexParameters { stack_spacing, ..parameters.clone() };
    hides.set(parameters.pseudonyms || layout.is_of_dicom() && !parameters.keep_ids);
    parameters.check_label_names(!layout.dicom_files.is_empty())?;
    let channel_files = cohort_files::channels(&layout);
    let masks = if hides.get() { masked_texts::hide(&mut layout) } else { HashMap::new() };
    layout.label_names.extend(parameters.label_names.clone());
    let mut colours = false;
    if parameters.frame.is_none() {
        layout.split_channel_files(&run.memory_limit().alone())?;
        colours = layout.split_colours(&run.memory_limit().alone())?;
        if parameters.channel.is_none() {
            layout.add_missing_channels_finding();
        }
    }
    let channel = parameters.channel.as_deref().map(|channel| layout.choose_channel(channel)).transpose()?;
    let of_channel = channel.filter(|number| layout.are_frames(*number)).map(|number| number as usize);
    if let Some(frame) = parameters.frame {
        layout.choose_frame(frame)?;
    }
    let choices = ChannelChoice::all(&parameters.channels)?;
    let channel_numbers = match choices.is_empty() || !layout.dicom_files.is_empty() {
        true => Vec::new(),
        false => layout.choose_channels(&choices)?,
    };
    layout.require_channels();
    layout.state_stacks(parameters)?;
    let mut ignore = ignored_label(&mut layout, parameters)?;
    std::fs::create_dir_all(out).map_err(StoreError::io("make the folder", out))?;
    atomic::sweep(&SafePath::root(out))?;
    let segments = segment_labels::read_headers(&layout, &run.memory_limit())?;
    let naming = naming(&layout, parameters, out, !segments.is_empty())?;
    let place = Place::new(cohort, out, naming.as_ref())?;
    let (mut before, earlier_sources) = earlier_run(&place)?;
    let earlier_names = before.as_ref().map(|before| before.label_names.clone()).unwrap_or_default();
    let rules = match layout.dicom_files.is_empty() {
        true => LabelRules::new(&parameters.structures, &layout.label_names, ignore)?,
        false => None,
    };
    let reading = LabelReading {
        round_within: parameters.rounded_within(!layout.dicom_files.is_empty())?,
        ignored: parameters.ignored_below_zero(!layout.dicom_files.is_empty())?,
    };
    let of_dataset = regions::of_dataset(&layout.regions, &parameters.regions, rules.as_ref())?;
    if !parameters.structures_only.is_empty() && segments.is_empty() && layout.dicom_files.is_empty() {
        let problem = "no label file of this cohort names its structures";
        return Err(InvalidOption::new("structures-only", problem).into());
    }
    let segments = match segments.is_empty() {
        true => None,
        false => Some(SegmentNames::new(segments, masks, &mut layout, parameters, &earlier_names)?),
    };
    let names_of_segments = segments.iter().flat_map(SegmentNames::names);
    layout.findings.extend(settings_names::finding(&place.out, names_of_segments)?);
    let files_name_labels = segments.is_some() || !layout.dicom_files.is_empty();
    let labelled = layout.cases.iter().filter(|found| found.label.is_some()).count();
    layout.findings.extend(segments.iter().flat_map(|segments| segments.findings(labelled)));
    let earlier = before.as_ref().map(|before| EarlierCases::new(before, earlier_sources.clone()));
    let (origin, recognised) = match naming {
        Some(naming) if !layout.dicom_files.is_empty() => {
            let known = KnownCohort { earlier: earlier.as_ref(), place: &place, cohort };
            let (archive, recognised) =
                DicomSource::scan(&mut layout, naming, parameters, before.as_ref(), known, run)?;
            (Some(Box::new(archive) as Box<dyn VolumeSource>), recognised)
        }
        naming => {
            if let Some(rules) = &rules {
                layout.label_names.clone_from(rules.label_names());
                ignore = rules.ignored();
            }
            let rules = rules.map(|rules| (rules, parameters.structures.clone()));
            let labels = FileLabels { segments, rules, reading };
            name_files(&mut layout, naming, labels, parameters, earlier.as_ref(), &place)?
        }
    };
    if let Some(before) = &mut before {
        recognised.rename(before, &layout.cases);
    }
    // Those of DICOM are known only now.
    let channels = CohortChannels::of(&layout, parameters.resample_channels);
    let names = &layout.label_names;
    let regions = regions::of_cohort(of_dataset, &parameters.regions, names, ignore)?;
    let modality = parameters.modality.or(choices.first().and_then(ChannelChoice::modality));
    let modality = choose_modality(&layout, modality)?;
    let files = layout.dicom_files.is_empty().then(|| CohortFiles::new(cohort, &layout, channel_files));
    let mut sources = Vec::new();
    if let Some(origin) = &origin {
        sources = import::keep(origin.as_ref(), &mut layout, &channels, modality, &place.out, run)?;
        if let Some(path) = &parameters.mapping {
            pseudonym_table::write(path, &layout.cases, origin.as_ref())?;
        }
    }

    let journal = Journal::<Checked>::open(&place.out, "index", run.hash_check)?;
    run.progress.begin("reading cases", layout.cases.len() as u64);
    let work = |found: &DiscoveredCase, memory: &MemoryShare<'_>| {
        let _item = progress::at_work(run.progress, &found.case_id);
        let result = check_once(&journal, &place, found, stated, &channels, memory)?;
        if result.is_ok() {
            run.progress.advance(1);
        }
        Ok::<_, StoreError>(result)
    };
    let too_large = |found: &DiscoveredCase, error: MemoryError| {
        run.progress.advance(1);
        Ok((Checked::too_large(found, error)?, true))
    };
    let checked: Vec<(Checked, bool)> = in_turns(&layout.cases, &run.memory_limit(), work, too_large)?;
    let read = checked.iter().filter(|(_, fresh)| *fresh).count();

    let modality = modality.map_or_else(|| guess_modality(&checked), |modality| (modality, false));
    let voxels: HashMap<String, String> = layout
        .cases
        .iter()
        .zip(&checked)
        .filter(|(_, (checked, _))| !checked.voxels_blake3.is_empty())
        .map(|(found, (checked, _))| (found.case_id.clone(), checked.voxels_blake3.clone()))
        .collect();
    let parts: Vec<[Vec<Part>; 2]> = checked.iter().map(|(checked, _)| checked.parts.clone()).collect();
    let mut rows: Vec<CaseRow> = layout
        .cases
        .iter()
        .zip(checked)
        .map(|(found, (mut checked, _))| {
            checked.labels.retain(|label| Some(label.value) != ignore);
            row(&place, found, checked, modality, &channels)
        })
        .collect::<Result<_, StoreError>>()?;
    if let Some(files) = &files {
        files.complete(&mut sources, &rows, &parts, &earlier_sources, &place)?;
    }
    sources::write(&place.out, &sources)?;
    let same_patient = before
        .as_ref()
        .map_or_else(SamePatient::default, |cases| cases.same_patient.clone())
        .and(same_patient);
    let (rule, of_labels) = annotate(&mut rows, &layout, &annotation)?;
    let mut findings = layout.findings.clone();
    findings.extend(of_labels);
    findings.extend(origin.iter().flat_map(|origin| origin.findings()));
    cross_case_checks::mark_sizes(&mut rows);
    let divided = divide(&mut rows, &layout, before.as_ref(), parameters, &same_patient)?;
    findings.extend(divided.findings);
    cross_case_checks::mark(&mut rows, &voxels);
    findings.extend(match hides.get() {
        true => extra_columns::withhold(&mut rows),
        false => extra_columns::findings(&rows),
    });
    let known_values = regions::with_names(&layout.label_names, &regions);
    findings.extend(cross_case_checks::value_sets(&rows, &known_values));
    findings.extend(regions::findings(&regions, &rows));
    findings.extend(named_in_vain(parameters, &layout.label_names, files_name_labels, &rows));
    keep_order(&mut rows, before.as_ref());
    let cases = Cases {
        rows,
        cohort: place.cohort.clone(),
        label_names: layout.label_names,
        regions,
        findings,
        parameters: IndexParameters {
            annotated: Some(rule),
            ignore: ignore.map(|value| value.to_string()),
            ignore_stated: parameters.ignore.clone(),
            // By its number, as its name is defined by the cohort's dataset.json alone.
            channel: channel.map(|number| number.to_string()),
            channel_numbers,
            colours,
            frame: parameters.frame.or(of_channel),
            pseudonym_key: None,
            mapping: None,
            ..parameters.clone()
        },
        same_patient,
        pet_units: origin
            .as_ref()
            .and_then(|origin| origin.pet_units())
            .or_else(|| before.as_ref().and_then(|before| before.pet_units)),
    };
    let changed = cases.write(&place.out)?;
    Ok(Indexed { cases, read, changed, moved: divided.moved, renamed: recognised.findings })
}

fn orientation_of(parameters: &IndexParameters) -> Result<Option<Orientation>, CohortError> {
    let parsed = parameters.orientation.as_deref().map(str::parse::<Orientation>).transpose();
    Ok(parsed.map_err(|error| InvalidOption::new("orientation", error.to_string()))?)
}

/// How the cases are named; `None` for a cohort that names its cases by files and keeps these
/// names.
fn naming(
    layout: &Layout,
    parameters: &IndexParameters,
    out: &Path,
    names_segments: bool,
) -> Result<Option<Naming>, CohortError> {
    let dicom = !layout.dicom_files.is_empty();
    if parameters.keep_ids && parameters.pseudonyms {
        return Err(InvalidOption::new("keep-ids", "contradicts --pseudonyms").into());
    }
    if dicom && parameters.resample_labels {
        let problem = "it is for cohorts of files; structure sets are drawn on their images' grids, and segmentations on \
                       other grids are rejected";
        return Err(InvalidOption::new("resample-labels", problem).into());
    }
    if dicom && parameters.copy_affine {
        let problem = "it is for cohorts of files; DICOM states where structures and segments lie";
        return Err(InvalidOption::new("copy-affine", problem).into());
    }
    let pseudonyms = parameters.pseudonyms || layout.is_of_dicom() && !parameters.keep_ids;
    if parameters.mapping.is_some() && !pseudonyms {
        return Err(InvalidOption::new("mapping", "these cases have no pseudonyms; use --pseudonyms").into());
    }
    if let Some(mapping) = &parameters.mapping {
        check_outside(out, mapping, "the table of who is who (--mapping)")?;
    }
    Ok(match (pseudonyms, dicom) {
        (true, _) => Some(Naming::pseudonyms(parameters.pseudonym_key.as_deref(), out)?),
        (false, true) => Some(Naming::Kept),
        (false, false)
            if names_segments
                || parameters.resample_labels
                || !parameters.structures.is_empty()
                || parameters.round_labels.is_some()
                || parameters.ignored_below_zero(dicom)?.is_some()
                || stacks::has_stacks(&layout.cases)?
                || has_series(&layout.cases)? =>
        {
            Some(Naming::Kept)
        }
        (false, false) => None,
    })
}

/// Whether the image of one of the cases is a DICOM series.
fn has_series(cases: &[DiscoveredCase]) -> Result<bool, StoreError> {
    for found in cases {
        if found.has_series()? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives the cases of a cohort of files their ids, and patients their pseudonyms. Returns the
/// source of the volumes if any are imported.
fn name_files(
    layout: &mut Layout,
    naming: Option<Naming>,
    labels: FileLabels,
    parameters: &IndexParameters,
    earlier: Option<&EarlierCases>,
    place: &Place,
) -> Result<(Option<Box<dyn VolumeSource>>, RecognisedCases), CohortError> {
    let recognised = earlier_cases::assign(layout, naming.as_ref(), earlier, place)?;
    let names: HashMap<CaseLabel, String> = match naming.as_ref().is_some_and(Naming::hides) {
        true => {
            let labels: Vec<&CaseLabel> = layout.cases.iter().map(|found| &found.name).collect();
            let ids = case_id::of_new(labels.clone())?;
            labels.into_iter().cloned().zip(ids).collect()
        }
        false => HashMap::new(),
    };
    let Some(naming) = naming else { return Ok((None, recognised)) };
    naming.check_patients(layout.cases.iter().filter_map(|found| found.patient.as_deref()))?;
    let all = parameters.resample_labels || parameters.pseudonyms;
    let origin = FileSource::new(layout, &names, naming, labels, all, parameters)?;
    Ok((Some(Box::new(origin)), recognised))
}

/// The table of an earlier run on the same cohort, and what its volumes were made from.
fn earlier_run(place: &Place) -> Result<(Option<Cases>, Vec<SourceRow>), CohortError> {
    let path = place.out.join(cases::FILE);
    let mut sources = sources::read_if_any(&place.out)?;
    if !fault::exists(&path).map_err(StoreError::io("look at the file", &path))? {
        return Ok((None, sources));
    }
    let mut before = Cases::read_unchecked(&place.out)?;
    if before.cohort != place.cohort {
        if !relocated_cohort::is_moved(&before, place)? {
            return Err(CohortError::OtherCohort { out: place.out.clone(), was: before.cohort });
        }
        relocated_cohort::rename(&mut before, &mut sources, place);
    }
    Ok((Some(before), sources))
}

/// The value of the label to ignore: the one stated, else nnU-Net's `ignore`. It is not a label of
/// the cohort.
fn ignored_label(layout: &mut Layout, parameters: &IndexParameters) -> Result<Option<u16>, CohortError> {
    let of_name = |name: &str| {
        let named = layout.label_names.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        named.map(|(value, _)| *value)
    };
    let below_zero = parameters.ignored_below_zero(!layout.dicom_files.is_empty())?;
    let stated = |text: &String| {
        let marked = below_zero.map(|_| IGNORED);
        let value = marked.or_else(|| text.parse().ok()).or_else(|| of_name(text)).filter(|value| *value > 0);
        let problem = "expected the value of a label, from 1 or below 0, or the name of one";
        value.ok_or_else(|| InvalidOption::with_value("ignore", text, problem))
    };
    let Some(value) = parameters.ignore.as_ref().map(stated).transpose()?.or_else(|| of_name(IGNORE)) else {
        return Ok(None);
    };
    layout.label_names.remove(&value);
    let shown = below_zero.map_or_else(|| value.to_string(), |value| value.to_string());
    let message = format!("voxels of the label {shown} are ignored in fingerprint, loss and metrics");
    layout.findings.push(Finding::new(Code::LabelIgnored, message));
    Ok(Some(value))
}

/// Findings about names of labels that no case has: those of `[labels]`, then those of the cohort's
/// `dataset.json`. Files that name their structures may name some that have no voxels.
fn named_in_vain(
    parameters: &IndexParameters,
    names: &BTreeMap<u16, String>,
    files_name_labels: bool,
    rows: &[CaseRow],
) -> Vec<Finding> {
    // Rules renumber the labels, so that names by value do not apply.
    let by_rules = !parameters.structures.is_empty();
    let none = BTreeMap::new();
    let own = if by_rules { &none } else { &parameters.label_names };
    let usable = rows.iter().filter(|row| row.is_usable());
    let values: BTreeSet<u16> = usable.flat_map(|row| row.labels.iter().map(|label| label.value)).collect();
    if values.is_empty() {
        return Vec::new();
    }
    let list =
        |values: &mut dyn Iterator<Item = &u16>| values.map(u16::to_string).collect::<Vec<_>>().join(", ");
    let unnamed = list(&mut values.iter().filter(|value| !names.contains_key(value)));
    let nameless = if unnamed.is_empty() { String::new() } else { format!("; without a name are {unnamed}") };
    let finding = |who: &str, names: &mut dyn Iterator<Item = &u16>| {
        let unknown = list(&mut names.filter(|value| !values.contains(value)));
        (!unknown.is_empty()).then(|| {
            let there = list(&mut values.iter());
            let message = format!("{who} names {unknown}, which no case has; there are {there}{nameless}");
            Finding::new(Code::LabelsUnknown, message)
        })
    };
    let of_cohort = |value: &&u16| !files_name_labels && !own.contains_key(value);
    let of_cohort =
        finding(if by_rules { "--structures" } else { "dataset.json" }, &mut names.keys().filter(of_cohort));
    finding("[labels]", &mut own.keys()).into_iter().chain(of_cohort).collect()
}

/// The journal's record of a case, else the result of reading its files, and whether they were
/// read; the inner [`MemoryError`] if they need more memory than allowed.
fn check_once(
    journal: &Journal<Checked>,
    place: &Place,
    found: &DiscoveredCase,
    stated: StatedGrids,
    channels: &CohortChannels,
    memory: &MemoryShare<'_>,
) -> Result<Result<(Checked, bool), MemoryError>, StoreError> {
    if found.refused {
        return Ok(Ok((Checked::refused(), true)));
    }
    for path in found.image.iter().chain(&found.label).chain(found.channels.values()) {
        if !place.is_text(path)? {
            let name = path.file_name().unwrap_or_default().display();
            let message = format!(
                "the path of {name} from OUT is not UTF-8: rename the file, or the folder that is not"
            );
            return Ok(Ok((Checked::unnamed(message), true)));
        }
    }
    let text = |path: &Option<PathBuf>| path.as_deref().map(|path| place.text(path)).transpose();
    let files = [text(&found.image)?, text(&found.label)?];
    let key = Key::new("index 5")
        .part("files", &files)
        .part("channels", &found.channels.len())
        .part("orientation", &stated.orientation.map(|code| code.to_string()));
    let key = if stated.copy_affine { key.part("copy_affine", &true) } else { key };
    // Verdicts of earlier versions rejected images without a label.
    let key = if found.label.is_none() { key.part("unlabelled", &1) } else { key };
    let key = match found.channels.is_empty() {
        true => key.finish(),
        false => {
            let texts =
                found.channels.iter().map(|(number, path)| Ok((channels.name(*number), place.text(path)?)));
            let texts: Vec<(&str, String)> = texts.collect::<Result<_, StoreError>>()?;
            key.part("channel_files", &texts).part("resample_channels", &channels.resample).finish()
        }
    };
    if let Some(known) = journal.find(&found.case_id, &key) {
        return Ok(Ok((known.clone(), false)));
    }
    let checked = match check::check(found, stated, channels, memory)? {
        Ok(checked) => checked,
        // which is not recorded: with more memory it may be read
        Err(error) => return Ok(Err(error)),
    };
    let stamp =
        |part: &Part| Stamp::of_read(&place.out, &place.text(&part.path)?, part.state, part.blake3.clone());
    let of_channels = checked.channels.iter().flat_map(|channel| &channel.parts);
    let stamps: Option<Vec<Stamp>> =
        checked.parts.iter().flatten().chain(of_channels).map(stamp).collect::<Result<_, StoreError>>()?;
    // A case with a file that could not be opened, or changed while it was read, is checked again
    // next time.
    let seen = |(file, parts): (&Option<String>, &Vec<Part>)| file.is_none() || !parts.is_empty();
    if let Some(stamps) = stamps
        && files.iter().zip(&checked.parts).all(seen)
        && checked.channels.iter().all(|channel| !channel.parts.is_empty())
    {
        journal.record(&found.case_id, &key, stamps, &checked)?;
    }
    Ok(Ok((checked, true)))
}

/// The modality that the user or the cohort states for cases whose row states none.
fn choose_modality(layout: &Layout, chosen: Option<Modality>) -> Result<Option<Modality>, CohortError> {
    if chosen.is_some() {
        return Ok(chosen);
    }
    let mut counts = BTreeMap::new();
    for modality in layout.cases.iter().filter_map(|found| found.modality.or(layout.modality)) {
        *counts.entry(modality).or_insert(0) += 1;
    }
    if counts.len() > 1 {
        let text: Vec<String> = counts.iter().map(|(modality, n)| format!("{n} {modality}")).collect();
        return Err(CohortError::MixedModalities { counts: text.join(", ") });
    }
    Ok(counts.into_keys().next())
}

/// CT when most of the readable images look like Hounsfield units, else MR.
fn guess_modality(checked: &[(Checked, bool)]) -> (Modality, bool) {
    let readable = checked.iter().filter(|(case, _)| case.intensity.is_some());
    let ct = readable.clone().filter(|(case, _)| case.looks_like_ct).count();
    let modality = if 2 * ct > readable.count() { Modality::CT } else { Modality::MR };
    (modality, true)
}

/// Cases of an earlier run keep their places; new ones follow by case id.
fn keep_order(rows: &mut [CaseRow], before: Option<&Cases>) {
    let place: HashMap<&str, usize> = before
        .iter()
        .flat_map(|cases| cases.rows.iter().enumerate())
        .map(|(place, row)| (row.case_id.as_str(), place))
        .collect();
    rows.sort_by_key(|row| {
        (place.get(row.case_id.as_str()).copied().unwrap_or(usize::MAX), row.case_id.clone())
    });
}
