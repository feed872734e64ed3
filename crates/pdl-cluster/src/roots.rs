//! The folders and prefixes that an executor may use: it reads and writes nothing elsewhere,
//! whatever a job requests.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use pdl_cohort::table::cases::Cases;
use pdl_store::StoreError;

use crate::job::{CompareJob, DataLocation, JobKind, PrepareJob};
use crate::storage::StorageUrl;

/// A folder, or a prefix in S3-compatible storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// With all that lies below it.
    Folder(PathBuf),
    /// With all objects whose names begin with it.
    Prefix(StorageUrl),
}

impl FromStr for Root {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("s3://") { text.parse().map(Self::Prefix) } else { Ok(Self::Folder(text.into())) }
    }
}

/// All roots of an executor; folders without links.
#[derive(Clone, Debug)]
pub struct Roots(Vec<Root>);

impl Roots {
    /// Resolves links in the folders.
    ///
    /// # Errors
    /// [`StoreError`] for a folder that does not exist.
    pub fn new(roots: &[Root]) -> Result<Self, StoreError> {
        let resolve = |root: &Root| match root {
            Root::Folder(path) => {
                let real = std::fs::canonicalize(path).map_err(StoreError::io("open the root", path))?;
                Ok(Root::Folder(real))
            }
            prefix @ Root::Prefix(_) => Ok(prefix.clone()),
        };
        roots.iter().map(resolve).collect::<Result<_, _>>().map(Self)
    }

    /// The place outside all roots that a job would use, if any; volumes are checked by
    /// [`volume_outside`](Self::volume_outside).
    pub fn outside(&self, job: &JobKind) -> Option<String> {
        match job {
            JobKind::Compare(CompareJob { location: DataLocation::Storage { url, .. }, .. }) => {
                let within = |root: &Root| matches!(root, Root::Prefix(prefix) if url.is_within(prefix));
                (!self.0.iter().any(within)).then(|| url.to_string())
            }
            JobKind::Compare(CompareJob { location: DataLocation::Folder(out), .. }) => {
                self.outside_path(out)
            }
            JobKind::Prepare(job) => self.outside_path(&job.out),
        }
    }

    /// The first volume outside all roots among those of the usable cases with these numbers.
    ///
    /// # Errors
    /// [`StoreError`] when `cases.parquet` cannot be read.
    pub fn volume_outside(&self, job: &PrepareJob, cases: &[usize]) -> Result<Option<String>, StoreError> {
        let table = Cases::read(&job.out)?;
        let usable: Vec<_> = table.usable().collect();
        let rows = cases.iter().filter_map(|case| usable.get(*case));
        let mut volumes = rows.flat_map(|row| {
            let channels = row.channels.iter().map(|channel| &channel.image);
            [Some(&row.image), row.label.as_ref()].into_iter().flatten().chain(channels)
        });
        Ok(volumes.find_map(|volume| self.outside_path(&job.out.join(volume))))
    }

    /// The path as text, when it leads outside.
    fn outside_path(&self, path: &Path) -> Option<String> {
        let real = without_links(path);
        let within = |root: &Root| match (root, &real) {
            (Root::Folder(folder), Some(real)) => real.starts_with(folder),
            _ => false,
        };
        (!self.0.iter().any(within)).then(|| path.display().to_string())
    }
}

/// A path with links resolved; for one that does not exist, links in its existing part. `None` if
/// it cannot be resolved.
fn without_links(path: &Path) -> Option<PathBuf> {
    if !path.is_absolute() {
        return None;
    }
    let resolve = |part: &Path| Some((std::fs::canonicalize(part).ok()?, path.strip_prefix(part).ok()?));
    let (real, missing) = path.ancestors().find_map(resolve)?;
    missing.components().all(|part| matches!(part, Component::Normal(_))).then(|| real.join(missing))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;
    use pdl_similarity::parameters::CompareParameters;

    fn comparison(location: DataLocation) -> JobKind {
        JobKind::Compare(CompareJob {
            location,
            parameters: CompareParameters::default(),
            proxies: String::new(),
        })
    }

    fn in_storage(url: &str) -> JobKind {
        comparison(DataLocation::Storage { url: url.parse().unwrap(), index: String::new() })
    }

    #[test]
    fn no_way_leads_out_of_a_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let here = scratch.path().canonicalize().unwrap();
        for folder in ["root/out", "root-2/out", "elsewhere"] {
            std::fs::create_dir_all(here.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(here.join("elsewhere"), here.join("root/link")).unwrap();
        std::os::unix::fs::symlink(here.join("root/out"), here.join("way-in")).unwrap();
        let roots = Roots::new(&[Root::Folder(here.join("root"))]).unwrap();
        let outside = |path: &str| roots.outside(&comparison(DataLocation::Folder(here.join(path))));
        for inside in ["root", "root/out", "root/../root/out", "way-in", "root/missing"] {
            assert_eq!(outside(inside), None, "{inside}");
        }
        let out = [
            "elsewhere",
            "root-2/out",
            "root/link",
            "root/link/missing",
            "root/../elsewhere",
            "root/missing/../../elsewhere",
            "",
        ];
        for place in out {
            assert_eq!(outside(place), Some(here.join(place).display().to_string()));
        }
        assert!(roots.outside(&comparison(DataLocation::Folder("relative".into()))).is_some());
        assert!(roots.outside(&in_storage("s3://bucket/root")).is_some());
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        let roots = Roots::new(&["s3://bucket/a/b".parse().unwrap()]).unwrap();
        for inside in ["s3://bucket/a/b", "s3://bucket/a/b/c"] {
            assert_eq!(roots.outside(&in_storage(inside)), None);
        }
        for outside in ["s3://bucket/a", "s3://bucket/a/bc", "s3://other/a/b"] {
            assert_eq!(roots.outside(&in_storage(outside)), Some(outside.to_owned()));
        }
        assert!(roots.outside(&comparison(DataLocation::Folder("/".into()))).is_some());
    }
}
