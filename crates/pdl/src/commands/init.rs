//! `pdl init`: inspects a cohort, and writes a `pdl.toml` that explains every option.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use pdl_cohort::attributes::{Modality, Split};
use pdl_cohort::discover::pairing::Paired;
use pdl_cohort::survey::{Structures, Survey, survey};
use pdl_console::{ExitStatus, counted, say, shorten};
use pdl_findings::Code;
use pdl_io::stack;
use pdl_store::memory::MemoryLimit;
use pdl_store::printable::{cell, escaped, path_cell};
use pdl_store::{atomic, paths, regular_file};
use serde_json::json;
use toml_writer::{ToTomlValue, TomlStringBuilder};

use crate::context::{Context, say_json};
use crate::preconditions;
use crate::settings::{FILE, Settings, names_a_file};

/// The table of a cohort in an unknown layout.
const TABLE: &str = "cohort.csv";

/// Maximum number of unpaired files that are listed.
const MOST_FILES: usize = 5;

/// Maximum number of structures that are listed on the terminal.
const MOST_STRUCTURES: usize = 20;

/// Columns of a comment in pdl.toml.
const WIDTH: usize = 100;

/// Arguments of `pdl init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The cohort: a folder of volumes or DICOM files, a CSV or Parquet table, or a MONAI datalist.
    cohort: PathBuf,
    /// The curation folder; created if missing.
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    /// Replace an existing pdl.toml and cohort.csv; the earlier files get the ending .bak (then
    /// .bak2 and so on). Without it nothing is overwritten.
    #[arg(long)]
    force: bool,
}

/// Writes `OUT/pdl.toml`, and `OUT/cohort.csv` for a cohort in an unknown layout.
///
/// # Errors
/// When there is no cohort, a file exists and `--force` is not given, or a file cannot be written.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus> {
    preconditions::check_cohort(&args.cohort, &args.out)?;
    let path = args.out.join(FILE);
    for taken in [&path, &args.out.join(TABLE)] {
        if !args.force && regular_file::is_there(taken)? {
            bail!(
                "the file exists; --force replaces it and renames this one to .bak, or choose another --out: {}",
                taken.display()
            );
        }
    }
    let memory = context.stage().memory;
    let seen = survey(&args.cohort, &MemoryLimit::or_half_of_free(memory))?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create the folder: {}", args.out.display()))?;
    let table = seen.proposed.as_ref().map(|paired| table(&args.cohort, &args.out, paired)).transpose()?;
    keep_earlier(&path)?;
    let cohort = match table {
        Some(table) => {
            keep_earlier(&args.out.join(TABLE))?;
            atomic::write(&args.out.join(TABLE), table.as_bytes())?;
            args.out.join(TABLE)
        }
        None => args.cohort.clone(),
    };
    let lines = sentences(&args.cohort, &seen);
    atomic::write(&path, text(&context.program, &lines, &seen)?.as_bytes())?;
    let next = format!("pdl curate {} --out {}", cohort.display(), args.out.display());
    if context.json {
        let structures: BTreeMap<&str, usize> =
            seen.structures.names.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let result = json!({ "out": args.out, "cohort": cohort, "settings": path, "layout": seen.layout,
            "pairs": seen.pairs, "incomplete": seen.incomplete, "unlabelled": seen.unlabelled,
            "dicom_files": seen.dicom_files,
            "patients": seen.patients, "modality": seen.modality.map(|(modality, _)| modality),
            "labels": seen.labels, "structures": structures, "next": next });
        say_json(&result)?;
        return Ok(ExitStatus::Done);
    }
    lines.iter().for_each(|line| say(line));
    say(&format!("wrote {}", path.display()));
    if let Some(paired) = &seen.proposed {
        let what = if seen.pairs == 0 { "image" } else { "pair" };
        say(&format!("wrote {} ({}; check them)", cohort.display(), counted(paired.pairs.len(), what)));
    }
    say(&format!("Next: {next}"));
    Ok(ExitStatus::Done)
}

/// Renames an existing file to `.bak`, or to `.bak2` and so on where earlier ones have such names.
fn keep_earlier(path: &Path) -> Result<()> {
    if !regular_file::is_there(path)? {
        return Ok(());
    }
    let failed = || format!("cannot rename the file: {}", path.display());
    let kept = (1_u32..).map(|number| {
        let ending = if number == 1 { ".bak".to_owned() } else { format!(".bak{number}") };
        let mut kept = path.to_owned().into_os_string();
        kept.push(ending);
        PathBuf::from(kept)
    });
    for kept in kept {
        // Whatever stands there, a dangling link as well, is left alone.
        match kept.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return std::fs::rename(path, &kept).with_context(failed);
            }
            Err(error) => return Err(error).with_context(failed),
        }
    }
    Ok(())
}

/// The table of the pairs, with the ids that the index stage would give them.
fn table(cohort: &Path, out: &Path, paired: &Paired) -> Result<String> {
    let real = |path: &Path| {
        path.canonicalize().with_context(|| format!("cannot find the folder: {}", path.display()))
    };
    let (cohort, out) = (real(cohort)?, real(out)?);
    let mut stacks = false;
    for path in paired.pairs.iter().flat_map(|pair| [&pair.image].into_iter().chain(&pair.label)) {
        let path = cohort.join(path);
        let is_stack = stack::is_stack(&path);
        stacks |= is_stack.with_context(|| format!("cannot look at the file: {}", path.display()))?;
    }
    // Stacks of slices state neither; blank, as the settings can state them for all cases.
    let mut columns = if stacks { vec!["stack_spacing", "stack_axes"] } else { Vec::new() };
    let splits = paired.splits();
    if splits.is_some() {
        columns.insert(0, "split");
    }
    let mut table = csv::Writer::from_writer(Vec::new());
    let (channels, structures) = (paired.channels(), paired.structures());
    let (images, labels) = (named("image", &channels), named("label", &structures));
    let header = ["case_id"].into_iter().chain(images.iter().chain(&labels).map(String::as_str));
    table.write_record(header.chain(["patient"]).chain(columns.iter().copied()))?;
    let blank = |columns: usize| std::iter::repeat_n(String::new(), columns);
    let patients = paired.patients();
    let ids = pdl_cohort::ids_of_pairs(&cohort, &out, &paired.pairs)?;
    for (number, (pair, id)) in paired.pairs.iter().zip(ids).enumerate() {
        let field = |path: &Path| path_cell(&paths::relative(&out, &cohort.join(path))).into_owned();
        // An empty patient makes each case a patient of its own; the user can fill the column in.
        let patient = patients.as_ref().map_or("", |patients| patients[number].as_str());
        let [id, patient] = [&id, patient].map(|name| cell(&escaped(name)).into_owned());
        let fields = |names: &[String], files: &BTreeMap<String, PathBuf>, one: Option<&PathBuf>| match names
        {
            [] => vec![one.map_or(String::new(), |path| field(path))],
            _ => names.iter().map(|name| files.get(name).map_or(String::new(), |path| field(path))).collect(),
        };
        let images = fields(&channels, &pair.channels, Some(&pair.image));
        let labels = fields(&structures, &pair.structures, pair.label.as_ref());
        let row = [id].into_iter().chain(images).chain(labels).chain([patient]);
        let of_folder = |split: Option<Split>| split.map_or(String::new(), |split| split.to_string());
        let split = splits.as_ref().map(|splits| of_folder(splits[number]));
        let further = columns.len() - usize::from(split.is_some());
        table.write_record(row.chain(split).chain(blank(further)))?;
    }
    Ok(String::from_utf8(table.into_inner()?)?)
}

/// The columns of a table for the images or the label maps of a case: one, or one for each name.
fn named(column: &str, names: &[String]) -> Vec<String> {
    match names {
        [] => vec![column.to_owned()],
        _ => names.iter().map(|name| format!("{column}_{name}")).collect(),
    }
}

/// The survey as lines of text.
fn sentences(cohort: &Path, seen: &Survey) -> Vec<String> {
    let mut lines = vec![format!("layout: {}", seen.layout)];
    lines.extend(seen.notes.iter().cloned());
    if seen.dicom_files > 0 {
        lines.extend(of_headers(seen));
    } else {
        lines.push(format!("{} with labels", counted(seen.pairs, "image")));
        if seen.unlabelled > 0 {
            let images = counted(seen.unlabelled, "image");
            lines.push(format!("{images} without labels: compared with the others, and not trained on"));
        }
        lines.extend(alone(cohort, seen));
        lines.push(match seen.patients {
            Some(patients) if seen.proposed.is_some() => {
                format!("{}, by the names of folders or files", counted(patients, "patient"))
            }
            Some(patients) => format!("{}, as the cohort names them", counted(patients, "patient")),
            None => "patients are unknown: every case counts as a patient of its own. If a patient has several images, use \
                     a table with a column patient"
                .to_owned(),
        });
    }
    match seen.modality {
        Some((modality, true)) => lines.push(format!("modality {modality}, guessed from the voxels")),
        Some((modality, false)) => lines.push(format!("modality {modality}, as the cohort states")),
        None => {}
    }
    if !seen.modalities.is_empty() {
        let counts: Vec<String> =
            seen.modalities.iter().map(|(modality, n)| format!("{n} {modality}")).collect();
        let what = if seen.dicom_files > 0 { "series" } else { "cases" };
        lines.push(format!(
            "several modalities ({} {what}): {FILE} takes {}; a curation folder holds one, and `modality` there chooses another",
            counts.join(", "),
            most_frequent(seen).map_or(String::new(), |modality| modality.to_string())
        ));
    }
    if seen.split_given {
        let what = if seen.proposed.is_some() { "the names of folders give" } else { "the cohort gives" };
        lines.push(format!("{what} splits, which are kept"));
    }
    if !seen.channels.is_empty() {
        let names: Vec<&str> = seen.channels.values().map(String::as_str).collect();
        lines.push(format!(
            "cases of several channels ({}): all are used; --channel takes one",
            names.join(", ")
        ));
    }
    if seen.read > 0 {
        lines.extend(of_read(seen));
    }
    lines
}

/// Files that are not paired, and what to do about them.
fn alone(cohort: &Path, seen: &Survey) -> Vec<String> {
    let (files, what) = match &seen.proposed {
        Some(paired) => (
            &paired.alone,
            "excluded, because their names match no other volume, or several; add them to cohort.csv by hand, or name each \
             label map like its image with _seg appended",
        ),
        None => {
            (&seen.alone, "without an image, which are rejected: a label map needs the name of its image")
        }
    };
    if files.is_empty() {
        return Vec::new();
    }
    let (listed, more) = shorten(files, MOST_FILES);
    let mut lines = vec![format!("{} {what}:", counted(files.len(), "file"))];
    let listed = listed.iter().map(|path| path.strip_prefix(cohort).unwrap_or(path));
    lines.extend(listed.map(|path| format!("  {}", path.display())));
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// Facts from the headers of a DICOM cohort.
fn of_headers(seen: &Survey) -> Vec<String> {
    let mut lines = vec![format!(
        "{} files; {} series with a structure set or segmentation: a case each; {} series without: compared, and not \
         trained on",
        seen.dicom_files, seen.pairs, seen.incomplete
    )];
    lines.push(match seen.patients {
        Some(patients) => format!("{patients} patients, by PatientID"),
        None => "PatientID is missing: studies count as patients".to_owned(),
    });
    let Structures { sets, names } = &seen.structures;
    if !names.is_empty() {
        lines.push(format!("{} structures in {sets} structure sets and segmentations:", names.len()));
        let (listed, more) = shorten(names, MOST_STRUCTURES);
        lines.extend(listed.iter().map(|(name, count)| format!("  {name}: in {count}")));
        if more > 0 {
            lines.push(format!("  and {more} more; {FILE} lists all under `structures`"));
        }
    }
    lines
}

/// A range of figures; a single figure where both ends are equal.
fn span([low, high]: [String; 2]) -> String {
    if low == high { low } else { format!("{low}-{high}") }
}

/// Common properties of the cases that were read.
fn of_read(seen: &Survey) -> Vec<String> {
    let of_cases = if seen.pairs == 0 { seen.unlabelled } else { seen.pairs };
    let mut lines = vec![match seen.read {
        read if read == of_cases => format!("all {read} cases were read:"),
        read => format!("{read} of {of_cases} cases were read, spread evenly over the cohort:"),
    }];
    if let Some([low, high]) = seen.shapes {
        let range = |axis: usize| span([low[axis].to_string(), high[axis].to_string()]);
        lines.push(format!("  shape {} x {} x {} voxels (x, y, z)", range(0), range(1), range(2)));
    }
    if let Some([low, high]) = seen.spacings_mm {
        let range = |axis: usize| span([low, high].map(|mm| format!("{:.2}", mm[axis])));
        lines.push(format!("  spacing {} x {} x {} mm", range(0), range(1), range(2)));
    }
    lines.push(format!("  stored axes {}", seen.orientations.iter().cloned().collect::<Vec<_>>().join(", ")));
    let name =
        |value: &u16| seen.label_names.get(value).map_or(value.to_string(), |name| format!("{value} {name}"));
    if seen.pairs > 0 {
        lines.push(format!("  labels {}", seen.labels.iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    for (code, (count, sentence)) in &seen.findings {
        lines.push(format!("  {count} of them: {sentence} [{code}]"));
    }
    lines
}

/// The settings file: the survey, then every key with its default, commented out unless the cohort
/// needs another value.
fn text(program: &clap::Command, lines: &[String], seen: &Survey) -> Result<String> {
    let mut text =
        String::from("# Settings of pdl for this folder; flags win over them. What `pdl init` found:\n#\n");
    for line in lines {
        writeln!(text, "#   {}", one_line(line))?;
    }
    let curate = program.find_subcommand("curate").context("the command curate is missing")?;
    let defaults = toml::Table::try_from(Settings::default())?;
    for (section, keys) in crate::settings::keys() {
        writeln!(text, "\n[{section}]")?;
        let values = defaults.get(section).and_then(toml::Value::as_table);
        for key in keys.iter().filter(|key| !names_a_file(section, key)) {
            let known = curate
                .get_arguments()
                .chain(program.get_arguments())
                .find(|arg| arg.get_id().as_str() == key.as_str());
            for line in wrapped(&known.map(explained).unwrap_or_default()) {
                writeln!(text, "# {line}")?;
            }
            match (needed(seen, section, key), values.and_then(|values| values.get(key))) {
                (Some(value), _) => writeln!(text, "{key} = {value}")?,
                (None, Some(_)) if key == "structures" && !seen.structures.names.is_empty() => {
                    text.push_str(&example(&seen.structures));
                }
                (None, Some(value)) => writeln!(text, "# {key} = {value}")?,
                (None, None) => writeln!(text, "# {key} =")?,
            }
        }
    }
    if seen.dicom_files == 0 {
        text.push_str(&names_of_labels(seen)); // those of DICOM have names
    }
    Ok(text)
}

/// A text for a comment: names of files may hold line breaks, after which a line would be read as
/// settings.
fn one_line(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// A string of TOML in one line, whatever is in it.
fn string(text: &str) -> String {
    TomlStringBuilder::new(text).as_basic().to_toml_value()
}

/// Rules that map every structure to its own name, to choose from.
fn example(structures: &Structures) -> String {
    let rules = structures.names.iter().map(|(name, count)| {
        // A pattern ends at the first =.
        let rule = string(&format!("{}={name}", name.replace('=', "?")));
        format!("#   {rule},  # in {count} of {}\n", structures.sets)
    });
    format!(
        "# The structures of this cohort; uncomment the first line, the last, and those to keep:\n# structures = [\n{}# ]\n",
        rules.collect::<String>()
    )
}

/// The section that names labels, with the values that were found.
fn names_of_labels(seen: &Survey) -> String {
    let mut text = String::from("\n");
    let help = "Names of labels, as VALUE = \"name\". Labels not listed have the names in the cohort's dataset.json, or names \
                such as \"label 1\".";
    for line in wrapped(help) {
        text += &format!("# {line}\n");
    }
    text += "[labels]\n";
    for value in seen.labels.iter().filter(|value| **value > 0) {
        let name = seen.label_names.get(value).cloned().unwrap_or_else(|| format!("label {value}"));
        text += &format!("# {value} = {}\n", string(&name));
    }
    text
}

/// The help of an option, with its possible values.
fn explained(arg: &clap::Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let words: Vec<String> = match arg.get_action().takes_values() {
        true => arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        false => Vec::new(),
    };
    if words.is_empty() { help } else { format!("{help} [{}]", words.join(", ")) }
}

/// The value that this cohort needs instead of the default.
fn needed(seen: &Survey, section: &str, key: &str) -> Option<String> {
    match (section, key) {
        ("index", "modality") => {
            let modality = most_frequent(seen).or(seen.modality.map(|(modality, _)| modality));
            modality.map(|modality| format!("\"{modality}\""))
        }
        ("index", "resample_channels") => {
            let differ = seen.findings.contains_key(Code::ChannelGridMismatch.as_str());
            differ.then(|| "true".to_owned())
        }
        _ => None,
    }
}

/// The most frequent of several modalities.
fn most_frequent(seen: &Survey) -> Option<Modality> {
    seen.modalities.iter().max_by_key(|(_, count)| **count).map(|(modality, _)| *modality)
}

/// A text in lines of at most [`WIDTH`] columns.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
