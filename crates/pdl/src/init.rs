//! `pdl init`: a first look at a cohort, and a `pdl.toml` to begin with.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use pdl_cohort::pairing::Paired;
use pdl_cohort::survey::{Structures, Survey, survey};
use pdl_io::stack;
use pdl_store::memory::MemoryLimit;
use pdl_store::text::counted;
use pdl_store::{atomic, paths};
use serde_json::json;

use crate::args::Cli;
use crate::display::say;
use crate::places;
use crate::settings::{FILE, Settings};

/// The table of a cohort whose layout had to be guessed.
const TABLE: &str = "cohort.csv";

/// Volumes without a partner that are named.
const NAMED: usize = 5;

/// Structures that are named on the terminal.
const STRUCTURES: usize = 20;

/// Characters of a comment's line.
const WIDTH: usize = 100;

/// Where to look, and where to write.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The cohort: a folder of volumes or of DICOM files, a CSV or Parquet table, or a MONAI datalist.
    pub cohort: PathBuf,
    /// The curation folder; it is made when it is not there yet.
    #[arg(long, value_name = "OUT")]
    pub out: PathBuf,
    /// Write pdl.toml and cohort.csv anew where they are there already; the earlier ones are kept with .bak after their
    /// names. Without it nothing is overwritten.
    #[arg(long)]
    pub force: bool,
}

/// Writes `OUT/pdl.toml`, and `OUT/cohort.csv` where the cohort has no layout that pdl knows.
pub(crate) fn run(args: &InitArgs, limit: &MemoryLimit, as_json: bool) -> Result<()> {
    places::check_cohort(&args.cohort, &args.out)?;
    let path = args.out.join(FILE);
    for taken in [&path, &args.out.join(TABLE)] {
        if taken.exists() && !args.force {
            bail!(
                "it is there already; --force writes it anew and keeps this one with .bak after its name; or choose \
                 another --out: {}",
                taken.display()
            );
        }
    }
    let seen = survey(&args.cohort, limit)?;
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make the folder: {}", args.out.display()))?;
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
    atomic::write(&path, text(&lines, &seen)?.as_bytes())?;
    let next = format!("pdl curate {} --out {}", cohort.display(), args.out.display());
    if as_json {
        let structures: BTreeMap<&str, usize> =
            seen.structures.names.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let result = json!({ "out": args.out, "cohort": cohort, "settings": path, "layout": seen.layout,
            "pairs": seen.pairs, "incomplete": seen.incomplete, "dicom_files": seen.dicom_files,
            "patients": seen.patients, "modality": seen.modality.map(|(modality, _)| modality),
            "labels": seen.labels, "structures": structures, "next": next });
        say(&serde_json::to_string_pretty(&result)?);
        return Ok(());
    }
    lines.iter().for_each(|line| say(line));
    say(&format!("written: {}", path.display()));
    if let Some(paired) = &seen.proposed {
        say(&format!(
            "written: {} ({}: look through them)",
            cohort.display(),
            counted(paired.pairs.len(), "pair")
        ));
    }
    say(&format!("Next: {next}"));
    Ok(())
}

fn keep_earlier(path: &Path) -> Result<()> {
    if path.exists() {
        let mut kept = path.to_owned().into_os_string();
        kept.push(".bak");
        std::fs::rename(path, &kept)
            .with_context(|| format!("cannot rename the file: {}", path.display()))?;
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
    for path in paired.pairs.iter().flat_map(|pair| [&pair.image, &pair.label]) {
        let path = cohort.join(path);
        let is_stack = stack::is_stack(&path);
        stacks |= is_stack.with_context(|| format!("cannot look at the file: {}", path.display()))?;
    }
    // What stacks of slices do not say themselves; blank, as for all of them the settings may say it.
    let [columns, blank] = if stacks { [",stack_spacing,stack_axes", ",,"] } else { ["", ""] };
    let mut table = format!("case_id,image,label,patient{columns}\n");
    let patients = paired.patients();
    let ids = pdl_cohort::ids_of_pairs(&cohort, &out, &paired.pairs)?;
    for (number, (pair, id)) in paired.pairs.iter().zip(ids).enumerate() {
        let field = |path: &Path| quoted(&paths::relative(&out, &cohort.join(path)));
        // Without a patient of its own each case counts as one; the column stands there to be filled in.
        let patient = patients.as_ref().map_or("", |patients| patients[number].as_str());
        writeln!(table, "{id},{},{},{patient}{blank}", field(&pair.image), field(&pair.label))?;
    }
    Ok(table)
}

/// A field of a CSV table.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// What was seen, line by line.
fn sentences(cohort: &Path, seen: &Survey) -> Vec<String> {
    let mut lines = vec![format!("layout: {}", seen.layout)];
    lines.extend(seen.notes.iter().cloned());
    if seen.dicom_files > 0 {
        lines.extend(of_headers(seen));
    } else {
        lines.push(format!("{} with labels", counted(seen.pairs, "image")));
        lines.extend(alone(cohort, seen));
        lines.push(match seen.patients {
            Some(patients) if seen.proposed.is_some() => {
                format!("{}, by the names of folders or files", counted(patients, "patient"))
            }
            Some(patients) => format!("{}, by its table", counted(patients, "patient")),
            None => "no patients are named: every case counts as a patient of its own. Where one has several images, give \
                     a table with a column patient"
                .to_owned(),
        });
    }
    match seen.modality {
        Some((modality, true)) => lines.push(format!("modality {modality}, guessed from the voxels")),
        Some((modality, false)) => lines.push(format!("modality {modality}, as the cohort says")),
        None => {}
    }
    if !seen.modalities.is_empty() {
        let counts: Vec<String> =
            seen.modalities.iter().map(|(modality, n)| format!("{n} {modality}")).collect();
        lines.push(format!("several modalities ({} series): choose one with --modality", counts.join(", ")));
    }
    if seen.split_given {
        lines.push("its table divides it into train, val and test; that is kept".to_owned());
    }
    if !seen.channels.is_empty() {
        let names: Vec<&str> = seen.channels.values().map(String::as_str).collect();
        lines.push(format!("cases of several channels ({}): choose one with --channel", names.join(", ")));
    }
    if seen.read > 0 {
        lines.extend(of_read(seen));
    }
    lines
}

/// Files that go with no other, and what to do about them.
fn alone(cohort: &Path, seen: &Survey) -> Vec<String> {
    let (files, what) = match &seen.proposed {
        Some(paired) => (
            &paired.alone,
            "left out, as their names go with no other volume's, or with several; add them to cohort.csv by hand, or name \
             each label map as its image with _seg at the end",
        ),
        None => (
            &seen.alone,
            "with an image or a label map alone, which are rejected: a label map needs the name of its image",
        ),
    };
    if files.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("{} files {what}:", files.len())];
    let shown = files.iter().take(NAMED).map(|path| path.strip_prefix(cohort).unwrap_or(path));
    lines.extend(shown.map(|path| format!("  {}", path.display())));
    if files.len() > NAMED {
        lines.push(format!("  and {} more", files.len() - NAMED));
    }
    lines
}

/// What the headers of a DICOM cohort say.
fn of_headers(seen: &Survey) -> Vec<String> {
    let mut lines = vec![format!(
        "{} files; {} series with a structure set or segmentation: a case each; {} series without, which are rejected",
        seen.dicom_files, seen.pairs, seen.incomplete
    )];
    lines.push(match seen.patients {
        Some(patients) => format!("{patients} patients, by PatientID"),
        None => "files without PatientID: their studies count as patients".to_owned(),
    });
    let Structures { sets, names } = &seen.structures;
    if !names.is_empty() {
        lines.push(format!("{} structures in {sets} structure sets and segmentations:", names.len()));
        lines.extend(names.iter().take(STRUCTURES).map(|(name, count)| format!("  {name}: in {count}")));
    }
    if names.len() > STRUCTURES {
        lines
            .push(format!("  and {} more; all stand under `structures` in {FILE}", names.len() - STRUCTURES));
    }
    lines
}

/// From the lowest to the highest of some figures; one figure where they are the same.
fn span([low, high]: [String; 2]) -> String {
    if low == high { low } else { format!("{low}-{high}") }
}

/// What holds for the cases that were read.
fn of_read(seen: &Survey) -> Vec<String> {
    let mut lines = vec![match seen.read {
        read if read == seen.pairs => format!("all {read} cases were looked into:"),
        read => format!("{read} of {} cases were looked into, evenly through the cohort:", seen.pairs),
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
    lines.push(format!("  labels {}", seen.labels.iter().map(name).collect::<Vec<_>>().join(", ")));
    for (code, (count, sentence)) in &seen.findings {
        lines.push(format!("  {count} of them: {sentence} [{code}]"));
    }
    lines
}

/// The settings file: what was seen, then every key with its default, commented out but for those that the cohort
/// asks for.
fn text(lines: &[String], seen: &Survey) -> Result<String> {
    let mut text =
        String::from("# Settings of pdl for this folder; flags win over them. What `pdl init` saw:\n#\n");
    for line in lines {
        writeln!(text, "#   {line}")?;
    }
    let cli = Cli::command();
    let curate = cli.find_subcommand("curate").context("there is a command curate")?;
    let defaults = toml::Table::try_from(Settings::default())?;
    for (section, keys) in crate::settings::keys() {
        writeln!(text, "\n[{section}]")?;
        let values = defaults.get(section).and_then(toml::Value::as_table);
        for key in keys {
            let known =
                curate.get_arguments().chain(cli.get_arguments()).find(|arg| arg.get_id().as_str() == key);
            for line in wrapped(&known.map(explained).unwrap_or_default()) {
                writeln!(text, "# {line}")?;
            }
            match (asked_for(seen, section, &key), values.and_then(|values| values.get(&key))) {
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

/// Rules that take every structure by its name, to choose from.
fn example(structures: &Structures) -> String {
    let rules = structures.names.iter().map(|(name, count)| {
        // A pattern ends at the first =.
        let rule = toml::Value::String(format!("{}={name}", name.replace('=', "?")));
        format!("#   {rule},  # in {count} of {}\n", structures.sets)
    });
    format!(
        "# These are there; take away the # of the first line, the last, and those to keep:\n# structures = [\n{}# ]\n",
        rules.collect::<String>()
    )
}

/// The section that names labels, with the values that were seen.
fn names_of_labels(seen: &Survey) -> String {
    let mut text = String::from("\n");
    let help = "Names of labels, as VALUE = \"name\", for everything that shows or exports them; others have the names \
                that the cohort's dataset.json gives, else such as \"label 1\".";
    for line in wrapped(help) {
        text += &format!("# {line}\n");
    }
    text += "[labels]\n";
    for value in seen.labels.iter().filter(|value| **value > 0) {
        let name = seen.label_names.get(value).cloned().unwrap_or_else(|| format!("label {value}"));
        text += &format!("# {value} = {}\n", toml::Value::String(name));
    }
    text
}

/// The help of an option, with the words that it takes.
fn explained(arg: &clap::Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let words: Vec<String> = match arg.get_action().takes_values() {
        true => arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        false => Vec::new(),
    };
    if words.is_empty() { help } else { format!("{help} [{}]", words.join(", ")) }
}

/// The value that this cohort asks for in place of the default.
fn asked_for(seen: &Survey, section: &str, key: &str) -> Option<String> {
    match (section, key) {
        ("index", "modality") => seen.modality.map(|(modality, _)| format!("\"{modality}\"")),
        ("index", "channel") => seen.channels.keys().next().map(|channel| format!("\"{channel}\"")),
        _ => None,
    }
}

/// A text in lines.
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
