//! The settings in force: flags over `pdl.toml` over defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use pdl_cohort::parameters::IndexParameters;
use pdl_curriculum::audit::AuditParameters;
use pdl_curriculum::parameters::RankParameters;
use pdl_prepare::parameters::PrepareParameters;
use pdl_similarity::parameters::CompareParameters;
use pdl_store::regular_file;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config_error;

/// The name of the settings file in a curation folder.
pub(crate) const FILE: &str = "pdl.toml";

/// Commands whose flags share names with options of stages and mean something else.
const READERS: [&str; 6] = ["matrix", "similar", "duplicates", "select", "import-results", "score"];

/// Options of `[index]` that name files outside OUT. A curation folder may come from somebody else,
/// who must not choose which files are written or read there.
const OUTSIDE: [&str; 2] = ["pseudonym_key", "mapping"];

/// Whether an option names a file outside OUT, and so is no key of `OUT/pdl.toml`.
pub(crate) fn names_a_file(section: &str, key: &str) -> bool {
    section == "index" && OUTSIDE.contains(&key)
}

/// The heading of the options that every command has.
pub(crate) const EVERY_COMMAND: &str = "Every command";

/// Options of execution, which do not affect results.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RunParameters {
    /// Stop with exit code 4 if a case cannot be used.
    #[arg(long, global = true, help_heading = EVERY_COMMAND)]
    pub strict: bool,
    /// Hash every file again instead of trusting an unchanged size, time and inode.
    #[arg(long, global = true, help_heading = EVERY_COMMAND)]
    pub verify: bool,
    /// Number of threads; 0 uses one per core.
    #[arg(long, global = true, default_value_t = 0, value_name = "N", help_heading = EVERY_COMMAND)]
    pub threads: usize,
    /// Memory limit, such as 8GiB; half of the free memory when not given. A case that
    /// needs more is rejected.
    #[arg(long, global = true, value_name = "SIZE", help_heading = EVERY_COMMAND)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
}

/// The settings of all stages, in the form of a `pdl.toml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub run: RunParameters,
    pub index: IndexParameters,
    pub prepare: PrepareParameters,
    pub compare: CompareParameters,
    pub rank: RankParameters,
    pub audit: AuditParameters,
    /// Names of labels by value, such as `1 = "liver"`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The keys of every section, in the order in which the options are declared.
pub(crate) fn keys() -> [(&'static str, Vec<String>); 6] {
    fn of<T: clap::Args>() -> Vec<String> {
        let command = T::augment_args(Command::new("section"));
        command.get_arguments().map(|arg| arg.get_id().to_string()).collect()
    }
    [
        ("run", of::<RunParameters>()),
        ("index", of::<IndexParameters>()),
        ("prepare", of::<PrepareParameters>()),
        ("compare", of::<CompareParameters>()),
        ("rank", of::<RankParameters>()),
        ("audit", of::<AuditParameters>()),
    ]
}

impl Settings {
    /// Reads `config`, or else `OUT/pdl.toml` if it exists, and applies the flags that were typed.
    ///
    /// # Errors
    /// When the file is missing, or a key or value in it is wrong.
    pub(crate) fn read(config: Option<&Path>, out: &Path, matches: &ArgMatches) -> Result<Self> {
        let path = file(config, out)?;
        let is_users = config.is_some();
        let text = match &path {
            Some(path) => regular_file::read_text(path)
                .with_context(|| format!("cannot read the settings file: {}", path.display()))?,
            None => String::new(),
        };
        let merged = refuse_files(&text, is_users).and_then(|()| merge(&text, matches));
        merged.with_context(|| match &path {
            Some(path) => format!("invalid settings file: {}", path.display()),
            None => "invalid options".to_owned(),
        })
    }
}

fn file(config: Option<&Path>, out: &Path) -> Result<Option<PathBuf>> {
    if let Some(path) = config {
        if !path.is_file() {
            bail!("cannot find the settings file that --config names: {}", path.display());
        }
        return Ok(Some(path.to_owned()));
    }
    let own = out.join(FILE);
    Ok(regular_file::is_there(&own)?.then_some(own))
}

/// Refuses options that name files outside OUT in a file that need not be the user's own.
fn refuse_files(text: &str, is_users: bool) -> Result<()> {
    let Ok(file) = text.parse::<toml::Table>() else { return Ok(()) }; // `merge` says what is wrong
    let index = file.get("index").and_then(toml::Value::as_table);
    let found = OUTSIDE.iter().find(|key| index.is_some_and(|index| index.contains_key(**key)));
    match found {
        Some(key) if !is_users => bail!(
            "[index] {key} names a file outside this folder, which only its user may choose: give --{} on the command \
             line, or keep these settings in a file of your own and name it with --config",
            key.replace('_', "-")
        ),
        _ => Ok(()),
    }
}

fn merge(text: &str, matches: &ArgMatches) -> Result<Settings> {
    let wrong = |error: toml::de::Error| anyhow::anyhow!(config_error::explain(text, &error));
    let file: toml::Table = text.parse().map_err(wrong)?;
    // First the file alone, so that an error names the line.
    let settings: Settings = toml::from_str(text).map_err(wrong)?;
    let (command, sub) = matches.subcommand().unwrap_or(("", matches));
    let of_stages: &[&ArgMatches] = if READERS.contains(&command) { &[] } else { &[sub] };
    let label_names = label_names(&settings.labels)?;
    let section = |name: &str| file.get(name).and_then(toml::Value::as_table).cloned().unwrap_or_default();
    Ok(Settings {
        run: overlay(section("run"), settings.run, &[matches, sub])?,
        index: IndexParameters { label_names, ..overlay(section("index"), settings.index, of_stages)? },
        prepare: overlay(section("prepare"), settings.prepare, of_stages)?,
        compare: overlay(section("compare"), settings.compare, of_stages)?,
        rank: overlay(section("rank"), settings.rank, of_stages)?,
        audit: overlay(section("audit"), settings.audit, of_stages)?,
        labels: settings.labels,
    })
}

fn label_names(labels: &BTreeMap<String, String>) -> Result<BTreeMap<u16, String>> {
    let names = labels.iter().map(|(value, name)| {
        let parsed = value.parse().ok();
        let parsed = parsed.with_context(|| {
            format!("[labels]: expected VALUE = \"name\", as in 1 = \"liver\", found {value} = \"{name}\"")
        })?;
        Ok((parsed, name.clone()))
    });
    names.collect()
}

/// The section of the file, with the flags of it that were typed in place of its values.
fn overlay<T>(mut section: toml::Table, fallback: T, matches: &[&ArgMatches]) -> Result<T>
where
    T: clap::Args + Serialize + DeserializeOwned,
{
    let options = T::augment_args(Command::new("pdl"));
    // A build with debug assertions panics when it reads options that a command does not have.
    let has_options = |matches: &&&ArgMatches| {
        options.get_arguments().all(|option| matches.try_contains_id(option.get_id().as_str()).is_ok())
    };
    for matches in matches.iter().filter(has_options) {
        // not a command with these options
        let Ok(flags) = T::from_arg_matches(matches) else { continue };
        for (key, value) in toml::Table::try_from(&flags)? {
            let typed = matches.ids().any(|id| id.as_str() == key)
                && matches.value_source(&key) == Some(ValueSource::CommandLine);
            if typed {
                section.insert(key, value);
            }
        }
    }
    if section.is_empty() {
        return Ok(fallback);
    }
    Ok(section.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use pdl_similarity::metrics::Metric;

    use crate::cli::Cli;

    fn settings(text: &str, words: &[&str]) -> Result<Settings> {
        merge(text, &Cli::command().get_matches_from(words))
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let text = "[rank]\nmetric = \"mse\"\nstart = 12\n[run]\nthreads = 3\n";
        let merged = settings(text, &["pdl", "rank", "out", "--metric", "uqi", "--threads", "2"]).unwrap();
        assert_eq!(merged.rank.metric, Metric::Uqi.into());
        assert_eq!(merged.rank.start.to_string(), "12");
        assert_eq!(merged.rank.add.to_string(), "20%");
        assert_eq!(merged.run.threads, 2);
        assert_eq!(settings(text, &["pdl", "rank", "out"]).unwrap().rank.metric, Metric::Mse.into());
    }

    #[test]
    fn a_spacing_is_one_word_and_swallows_no_folder() {
        let merged = settings("", &["pdl", "prepare", "--spacing", "1,1,2.5", "out"]).unwrap();
        assert_eq!(merged.prepare.spacing, Some(vec![1.0, 1.0, 2.5]));
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = settings("[rank]\nmetrik = \"mse\"\n", &["pdl", "rank", "out"]).unwrap_err();
        assert!(format!("{error:#}").contains("did you mean metric?"), "{error:#}");
        assert!(format!("{error:#}").contains("metrik"), "{error:#}");
        let error = settings("[ranks]\n", &["pdl", "rank", "out"]).unwrap_err();
        assert!(format!("{error:#}").contains("did you mean rank?"), "{error:#}");
        let error = settings("[rank]\nzzz = 1\n", &["pdl", "rank", "out"]).unwrap_err();
        assert!(!format!("{error:#}").contains("did you mean"), "{error:#}");
    }

    #[test]
    fn every_key_is_documented_and_read() {
        let cli = Cli::command();
        let curate = cli.find_subcommand("curate").unwrap();
        let defaults = toml::Table::try_from(Settings::default()).unwrap();
        for (section, keys) in keys() {
            for key in &keys {
                let known = curate
                    .get_arguments()
                    .chain(cli.get_arguments())
                    .find(|arg| arg.get_id().as_str() == key);
                let help = known.and_then(|arg| arg.get_help()).map(ToString::to_string);
                assert!(help.is_some_and(|help| help.len() > 10), "[{section}] {key} has no help");
                // A value of no key's type: what is read is refused for its type or value, what is
                // not for its name.
                let text = format!("[{section}]\n{key} = {{ no = 1979-05-27 }}\n");
                let error = settings(&text, &["pdl", "curate", "cohort", "--out", "out"]).unwrap_err();
                let error = format!("{error:#}");
                assert!(!error.contains(&format!("unknown key {key}")), "{error}");
            }
            let known = defaults.get(section).and_then(toml::Value::as_table).unwrap();
            for key in known.keys() {
                assert!(keys.contains(key), "[{section}] {key} is not an option of curate");
            }
        }
    }

    #[test]
    fn files_outside_are_named_by_the_user_alone() {
        for key in OUTSIDE {
            for text in [format!("[index]\n{key} = \"/x\"\n"), format!("index = {{ {key} = \"/x\" }}\n")] {
                let error = refuse_files(&text, false).unwrap_err().to_string();
                assert!(error.contains(&format!("--{}", key.replace('_', "-"))), "{error}");
                assert!(refuse_files(&text, true).is_ok());
            }
        }
        assert!(refuse_files("[index]\nmodality = \"CT\"\n", false).is_ok());
    }

    #[test]
    fn labels_are_named_by_their_values() {
        let words = ["pdl", "index", "cohort", "--out", "out"];
        let merged = settings("[labels]\n1 = \"liver\"\n20 = \"left lung\"\n", &words).unwrap();
        let names = BTreeMap::from([(1, "liver".to_owned()), (20, "left lung".to_owned())]);
        assert_eq!(merged.index.label_names, names);
        let error = settings("[labels]\nliver = \"1\"\n", &words).unwrap_err();
        assert!(error.to_string().contains("VALUE = \"name\""), "{error:#}");
    }

    #[test]
    fn defaults_survive_a_round_trip() {
        let text = toml::to_string(&Settings::default()).unwrap();
        let merged = settings(&text, &["pdl", "curate", "cohort", "--out", "out"]).unwrap();
        assert_eq!(merged, Settings::default());
        assert_eq!(settings("", &["pdl", "curate", "cohort", "--out", "out"]).unwrap(), Settings::default());
    }
}
