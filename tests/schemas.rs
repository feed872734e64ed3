//! `schemas/` holds the JSON Schema of every JSON file and of the rows of every table, generated
//! from the Rust types. `just schemas` makes them anew.

use pdl_cohort::table::case_row::{self, CaseRow};
use pdl_curriculum::audit::Audit;
use pdl_curriculum::manifest::{self, ManifestInfo, ManifestRow};
use pdl_curriculum::results::{self, ResultRow};
use pdl_prepare::failure::Failure;
use pdl_prepare::fingerprint::Fingerprint;
use pdl_prepare::plan::Plan;
use pdl_prepare::prepared_row::{self, PreparedRow};
use pdl_similarity::metrics::Metric;
use pdl_similarity::pairs::{self, PairRow};
use schemars::{Schema, schema_for};

fn all() -> Vec<(&'static str, Schema)> {
    vec![
        ("audit", schema_for!(Audit)),
        ("cases", schema_for!(CaseRow)),
        ("failures", schema_for!(Vec<Failure>)),
        ("fingerprint", schema_for!(Fingerprint)),
        ("manifest", schema_for!(ManifestRow)),
        ("manifest-info", schema_for!(ManifestInfo)),
        ("pairs", schema_for!(PairRow)),
        ("plan", schema_for!(Plan)),
        ("prepared", schema_for!(PreparedRow)),
        ("results", schema_for!(ResultRow)),
    ]
}

#[test]
fn schemas_are_those_of_the_types() {
    for (name, schema) in all() {
        pdl_tests::check_schema(name, &schema);
    }
}

#[test]
fn rows_and_columns_agree() {
    let tables = [
        ("cases", schema_for!(CaseRow), case_row::schema()),
        ("manifest", schema_for!(ManifestRow), manifest::schema()),
        ("pairs", schema_for!(PairRow), pairs::schema(Metric::USUAL.map(Metric::column))),
        ("prepared", schema_for!(PreparedRow), prepared_row::schema()),
        ("results", schema_for!(ResultRow), results::schema()),
    ];
    for (name, row, table) in tables {
        pdl_tests::check_columns(name, row, &table);
    }
}
