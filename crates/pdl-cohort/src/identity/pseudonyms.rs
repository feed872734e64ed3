//! Pseudonyms of cases and patients; they are the same in every run with the same key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pdl_store::printable::escaped;
use pdl_store::{StoreError, atomic, fault, hash, paths, regular_file};

use crate::CohortError;
use crate::identity::case_id;

/// Hexadecimal digits of a pseudonym: 64 bits, so that a million cases will not share one.
const DIGITS: usize = 16;

/// The file of the pseudonyms' key: the one given, else that in the user's configuration folder, if
/// there is such a folder.
pub fn key_file(given: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(default_file)
}

/// How cases and patients of a DICOM cohort are named.
pub(crate) enum Naming {
    /// Ids are keyed hashes (pseudonyms).
    Pseudonyms([u8; 32]),
    /// Ids from the files.
    Kept,
}

impl Naming {
    /// With the key in `file`, which is made if it is missing; in the user's configuration folder
    /// when no file is given. It must be the user's alone and lie outside of `out`.
    pub(crate) fn pseudonyms(file: Option<&Path>, out: &Path) -> Result<Self, CohortError> {
        let path = key_file(file).ok_or(CohortError::NoKeyFolder)?;
        check_outside(out, &path, "the key of the pseudonyms")?;
        if !fault::exists(&path).map_err(StoreError::io("look at the key", &path))? {
            let mut key = [0; 32];
            getrandom::fill(&mut key).map_err(CohortError::NoRandomNumbers)?;
            let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            atomic::write_private_if_missing(&path, (text + "\n").as_bytes())?;
        }
        check_mode(&path)?;
        let text = regular_file::read(&path).map_err(StoreError::io("read the key", &path))?;
        let key = parsed(String::from_utf8_lossy(&text).trim());
        let key = key.ok_or_else(|| CohortError::NotAKey { path: path.clone() })?;
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
            Self::Kept => escaped(id).into_owned(),
        }
    }

    /// The id of a case: `unique` identifies the case, `patient` is the patient's name in its
    /// files.
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

    /// The name of the cohort in files: its path if ids are kept, else a pseudonym.
    pub(crate) fn cohort(&self, path: String) -> String {
        match self {
            Self::Pseudonyms(key) => format!("archive-{}", short(key, "cohort", &path)),
            Self::Kept => path,
        }
    }
}

/// Refuses a file that resolves the pseudonyms inside the curation folder.
///
/// # Errors
/// [`CohortError::InsideOut`].
pub(crate) fn check_outside(out: &Path, file: &Path, what: &'static str) -> Result<(), CohortError> {
    match paths::is_inside(out, file).map_err(StoreError::io("look at the file", file))? {
        true => Err(CohortError::InsideOut { what, path: file.to_owned() }),
        false => Ok(()),
    }
}

/// Refuses a key that others than its owner can read or write.
#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), CohortError> {
    use std::os::unix::fs::PermissionsExt;
    let meta = fault::retried(|| path.metadata()).map_err(StoreError::io("look at the key", path))?;
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 { Err(CohortError::OpenKey { path: path.to_owned(), mode }) } else { Ok(()) }
}

#[cfg(not(unix))]
fn check_mode(_path: &Path) -> Result<(), CohortError> {
    Ok(())
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

/// `pdl/pseudonym.key` in the user's configuration folder.
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

    fn naming(file: &Path) -> Result<Naming, CohortError> {
        let out = tempfile::tempdir().unwrap();
        Naming::pseudonyms(Some(file), out.path())
    }

    #[test]
    fn a_key_is_made_once_and_names_follow_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/key");
        let first = naming(&path).unwrap().patient("DOE-1234");
        assert_eq!(naming(&path).unwrap().patient("DOE-1234"), first);
        assert_ne!(naming(&folder.path().join("other")).unwrap().patient("DOE-1234"), first);
        assert!(!first.contains("DOE") && first.len() == 18);
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn first_runs_at_once_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/key");
        let names: BTreeSet<String> = std::thread::scope(|scope| {
            let name = || naming(&path).unwrap().patient("DOE-1234");
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(name)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(names.len(), 1);
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        atomic::write_private_if_changed(&path, b"secret").unwrap();
        assert!(matches!(naming(&path), Err(CohortError::NotAKey { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_or_inside_out_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        naming(&path).unwrap();
        for mode in [0o644, 0o640, 0o620, 0o604] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert!(matches!(naming(&path), Err(CohortError::OpenKey { .. })), "{mode:o}");
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        for inside in ["key", "new/key", "link/new/key"] {
            let key = folder.path().join(inside);
            let refused = Naming::pseudonyms(Some(&key), folder.path());
            assert!(matches!(refused, Err(CohortError::InsideOut { .. })), "{inside}");
        }
    }
}
