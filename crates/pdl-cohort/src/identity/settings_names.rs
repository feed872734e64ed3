//! Names of structures that `pdl init` wrote into `OUT/pdl.toml` before a header revealed that they
//! name a person.

use std::collections::BTreeSet;
use std::path::Path;

use pdl_findings::{Code, Finding};
use pdl_store::plural::counted;
use pdl_store::{StoreError, regular_file};

/// The settings of a curation folder.
const FILE: &str = "pdl.toml";

/// Finding that the settings still hold names of structures which are masked by now. `names` are
/// those that may be shown, each with the one that its file stores. The settings are the user's, so
/// nothing in them is changed.
///
/// # Errors
/// [`StoreError`] if an error of the machine prevents the settings from being read.
pub(crate) fn finding<'a>(
    out: &Path,
    names: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Option<Finding>, StoreError> {
    // As `init` writes a name: in one line.
    let plain = |own: &str| own.split_whitespace().collect::<Vec<_>>().join(" ");
    let masked = names.map(|(shown, own)| (shown, plain(own))).filter(|(shown, own)| plain(shown) != *own);
    let masked: BTreeSet<String> = masked.map(|(_, own)| own).filter(|own| !own.is_empty()).collect();
    let path = out.join(FILE);
    if masked.is_empty() || !regular_file::is_there(&path)? {
        return Ok(None);
    }
    let bytes = regular_file::read(&path).map_err(StoreError::io("read the file", &path))?;
    let text = String::from_utf8_lossy(&bytes);
    let count = masked.iter().filter(|name| holds(&text, name)).count();
    let message = format!(
        "{FILE} of the curation folder holds {} of structures that contain a person's name, id or date and are masked \
         elsewhere; delete these lines, or the file and run `pdl init` again",
        counted(count, "name")
    );
    Ok((count > 0).then(|| Finding::new(Code::NameMasked, message)))
}

/// Whether a line names the structure, alone or as the target of a rule.
fn holds(text: &str, name: &str) -> bool {
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    ["\"", "="].iter().any(|before| text.contains(&format!("{before}{name}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_count() {
        let text = "# structures = [\n#   \"GTV Ida=GTV Ida\",  # in 1 of 2\n# 3 = \"a \\\"b\\\"\"\n";
        assert!(holds(text, "GTV Ida") && holds(text, "a \"b\""));
        assert!(!holds(text, "Ida") && !holds(text, "GTV") && !holds(text, "b"));
    }
}
