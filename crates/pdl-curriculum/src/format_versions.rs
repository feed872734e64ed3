//! The format versions of a curation folder's files, checked before a command reads or replaces
//! any of them.

use std::path::Path;

use pdl_cohort::table::{cases, sources};
use pdl_prepare::proxies::Proxies;
use pdl_prepare::{PrepareError, failure, fingerprint, plan, prepared_row};
use pdl_similarity::pairs::{self, tile::Tile};
use pdl_store::{StoreError, fault, format_version, json, table};

use crate::{audit, manifest, results};

/// Checks that no newer pdl wrote one of the stages' files in the curation folder `out`. Damaged
/// and missing files pass: whoever reads them reports that, or writes them again.
///
/// # Errors
/// [`StoreError::NewerFormat`]; an error of the machine at a file.
pub fn check(out: &Path) -> Result<(), StoreError> {
    let tables = [
        (cases::FILE, cases::SCHEMA_VERSION),
        (sources::FILE, sources::SCHEMA_VERSION),
        (prepared_row::FILE, prepared_row::SCHEMA_VERSION),
        (results::FILE, results::SCHEMA_VERSION),
    ];
    for (name, supported) in tables {
        table::refuse_newer(&out.join(name), supported)?;
    }
    let documents = [
        (plan::FILE, plan::SCHEMA_VERSION),
        (fingerprint::FILE, fingerprint::SCHEMA_VERSION),
        (failure::FILE, failure::SCHEMA_VERSION),
    ];
    for (name, supported) in documents {
        json::refuse_newer(&out.join(name), supported)?;
    }
    if let Err(PrepareError::Store(error)) = Proxies::open_first(out) {
        format_version::unless_damaged(Err::<(), _>(error))?;
    }
    let first = pairs::path(out, Tile { row: 0, col: 0 });
    table::refuse_newer(&first, pairs::SCHEMA_VERSION)?;
    check_curriculum(out)?;
    let folder = out.join(manifest::FOLDS_FOLDER);
    let folds = match fault::list(&folder) {
        Err(error) if fault::is_machine_error(&error) => {
            return Err(StoreError::io("list the folds", &folder)(error));
        }
        folds => folds.unwrap_or_default(),
    };
    folds.iter().try_for_each(|fold| check_curriculum(&fold.path()))
}

/// Checks the files of a curriculum: those of `out`, or of a fold.
fn check_curriculum(folder: &Path) -> Result<(), StoreError> {
    json::refuse_newer(&folder.join(manifest::INFO_FILE), manifest::SCHEMA_VERSION)?;
    table::refuse_newer(&folder.join(manifest::TABLE_FILE), manifest::SCHEMA_VERSION)?;
    json::refuse_newer(&folder.join(audit::FILE), audit::SCHEMA_VERSION)
}
