//! Names that tell nobody whose a case is, and are the same in every run with the same key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pdl_store::{StoreError, atomic, fault, hash};

use crate::CohortError;
use crate::case_id;

/// Hexadecimal digits of a pseudonym: 64 bits, so that a million cases will not share one.
const DIGITS: usize = 16;

/// The file of the pseudonyms' key: the one given, else that in the user's configuration folder, if
/// there is such a folder.
pub fn key_file(given: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(default_file)
}

/// How cases and patients of a DICOM cohort are named.
pub(crate) enum Naming {
    /// By hashes under a secret key.
    Pseudonyms([u8; 32]),
    /// By what the files say.
    Kept,
}

impl Naming {
    /// With the key in `file`, which is made when it is missing; in the user's configuration folder
    /// when no file is given.
    pub(crate) fn pseudonyms(file: Option<&Path>) -> Result<Self, CohortError> {
        let path = key_file(file).ok_or_else(|| {
            CohortError::Option(
                "no configuration folder is known for the key of the pseudonyms: give --pseudonym-key"
                    .to_owned(),
            )
        })?;
        if !fault::exists(&path).map_err(StoreError::io("look at the key", &path))? {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(|error| {
                CohortError::Option(format!("the system gives no random numbers ({error})"))
            })?;
            let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            atomic::write_private_if_changed(&path, (text + "\n").as_bytes())?;
        }
        let text = std::fs::read_to_string(&path).map_err(StoreError::io("read the key", &path))?;
        let key = parsed(text.trim()).ok_or_else(|| {
            CohortError::Option(format!(
                "the key of the pseudonyms is not 64 hexadecimal digits: {}",
                path.display()
            ))
        })?;
        Ok(Self::Pseudonyms(key))
    }

    /// Whether names are replaced.
    pub(crate) fn hides(&self) -> bool {
        matches!(self, Self::Pseudonyms(_))
    }

    /// Checks that no two patients would be one under their pseudonyms.
    ///
    /// # Errors
    /// [`CohortError::SharedPseudonym`] when two would.
    pub(crate) fn check_patients<'a>(
        &self,
        patients: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), CohortError> {
        let patients: BTreeSet<&str> = patients.into_iter().collect();
        let mut names = BTreeSet::new();
        let mut pseudonyms = patients.into_iter().map(|patient| self.patient(patient));
        let shared = pseudonyms.find(|name| !names.insert(name.clone()));
        shared.map_or(Ok(()), |pseudonym| Err(CohortError::SharedPseudonym { pseudonym }))
    }

    /// The id of a patient.
    pub(crate) fn patient(&self, id: &str) -> String {
        match self {
            Self::Pseudonyms(key) => format!("p-{}", short(key, "patient", id)),
            Self::Kept => id.to_owned(),
        }
    }

    /// The id of a case: `unique` tells it from all others, `patient` is what its files call the
    /// patient.
    pub(crate) fn case(&self, patient: &str, unique: &str) -> String {
        match self {
            Self::Pseudonyms(key) => format!("c-{}", short(key, "case", unique)),
            Self::Kept => case_id::hashed(patient, unique),
        }
    }

    /// A hash of facts about sources, hashed again under the key.
    pub(crate) fn secret(&self, digest: String) -> String {
        match self {
            Self::Pseudonyms(key) => hash::of_bytes_keyed(key, digest.as_bytes()),
            Self::Kept => digest,
        }
    }

    /// How the cohort itself is named in files: by its path only where ids are kept.
    pub(crate) fn cohort(&self, path: String) -> String {
        match self {
            Self::Pseudonyms(key) => format!("archive-{}", short(key, "cohort", &path)),
            Self::Kept => path,
        }
    }
}

fn short(key: &[u8; 32], what: &str, text: &str) -> String {
    let mut digest = hash::of_bytes_keyed(key, format!("{what}\0{text}").as_bytes());
    digest.truncate(DIGITS);
    digest
}

fn parsed(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(key)
}

/// `pdl/pseudonym.key` where the system keeps a user's settings.
fn default_file() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = from("XDG_CONFIG_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".config")))
        .or_else(|| from("APPDATA"))?;
    Some(folder.join("pdl").join("pseudonym.key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_names_follow_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/key");
        let first = Naming::pseudonyms(Some(&path)).unwrap().patient("DOE-1234");
        assert_eq!(Naming::pseudonyms(Some(&path)).unwrap().patient("DOE-1234"), first);
        assert_ne!(
            Naming::pseudonyms(Some(&folder.path().join("other"))).unwrap().patient("DOE-1234"),
            first
        );
        assert!(!first.contains("DOE") && first.len() == 18);
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "secret").unwrap();
        assert!(Naming::pseudonyms(Some(&path)).is_err());
    }
}
