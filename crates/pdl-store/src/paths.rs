//! Paths in files: relative to the folder of the file that holds them, with forward slashes.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::fault;

/// `target` as seen from `folder`; both must be absolute. Falls back to `target` itself where no
/// relative path exists (another drive).
pub fn relative(folder: &Path, target: &Path) -> String {
    let from: Vec<Component<'_>> = folder.components().collect();
    let to: Vec<Component<'_>> = target.components().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return target.to_string_lossy().into_owned();
    }
    let up = std::iter::repeat_n("..".to_owned(), from.len() - common);
    let down = to[common..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// As [`relative`]; `None` if the path is not UTF-8, so that no text means it.
pub fn relative_text(folder: &Path, target: &Path) -> Option<String> {
    let common = folder.components().zip(target.components()).take_while(|(a, b)| a == b).count();
    let is_text = target.components().skip(common).all(|part| part.as_os_str().to_str().is_some());
    is_text.then(|| relative(folder, target))
}

/// The path that `text`, found in a file of `folder`, means.
pub fn resolve(folder: &Path, text: &str) -> PathBuf {
    folder.join(text)
}

/// Whether a file that need not exist would lie inside a folder, links followed.
///
/// # Errors
/// Errors of the machine.
pub fn is_inside(folder: &Path, file: &Path) -> io::Result<bool> {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let Some(folder) = fault::canonical(folder)? else { return Ok(false) };
    for ancestor in absolute.ancestors() {
        if let Some(real) = fault::canonical(ancestor)? {
            return Ok(real.starts_with(&folder));
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_up_and_down() {
        let path = |text: &str| PathBuf::from(text);
        assert_eq!(relative(&path("/a/out/ct"), &path("/a/data/ct/x.nii.gz")), "../../data/ct/x.nii.gz");
        assert_eq!(relative(&path("/a"), &path("/a/b.nii")), "b.nii");
        assert_eq!(relative_text(&path("/a"), &path("/a/b.nii")).as_deref(), Some("b.nii"));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_no_text_means_has_none() {
        use std::os::unix::ffi::OsStrExt;
        let odd = |text: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(text));
        assert_eq!(relative_text(Path::new("/a"), &odd(b"/a/\xff.nii")), None);
        assert_eq!(relative_text(&odd(b"/\xff/out"), &odd(b"/\xff/a.nii")).as_deref(), Some("../a.nii"));
    }
}
