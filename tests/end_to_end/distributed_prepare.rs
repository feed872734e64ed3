//! Cases that other machines prepare and submit give the same files as one machine alone.

use std::fs;
use std::path::Path;

use pdl_prepare::PrepareError;
use pdl_prepare::parameters::PrepareParameters;
use pdl_prepare::prepare::prepare;
use pdl_prepare::remote_worker::{plan_remote, submit_results};
use pdl_store::journal::HashCheck;
use pdl_store::progress::{Silent, StageContext};
use pdl_tests::{files, run_ok, sample};

use crate::{cohort_of, folder};

const RUN: StageContext<'_> = StageContext { hash_check: HashCheck::Stamps, progress: &Silent, memory: None };

fn indexed(cohort: &Path, out: &Path) {
    run_ok(&["index", cohort.to_str().unwrap(), "--out", out.to_str().unwrap()]);
}

#[test]
fn cases_that_other_machines_submit_give_the_same_files() {
    same_files(&PrepareParameters::default());
}

#[test]
fn so_do_those_with_label_maps_in_their_proxies() {
    same_files(&PrepareParameters { proxy_labels: true, proxy_size: vec![16], ..Default::default() });
}

fn same_files(parameters: &PrepareParameters) {
    let folder = folder();
    let (alone, out) = (folder.path().join("alone"), folder.path().join("out"));
    indexed(&sample("mr"), &alone);
    indexed(&sample("mr"), &out);
    let expected = prepare(&alone, parameters, false, RUN).unwrap();

    fs::write(out.join(".tmp-killed-plan.json"), b"half").unwrap(); // of a client that was killed
    let todo = plan_remote(&out, parameters, false, RUN).unwrap();
    assert_eq!((todo.usable, todo.missing.len()), (expected.cases, expected.cases));
    let done = submit_results(&out, &todo.plan, &todo.cases, &todo.missing[2..], RUN).unwrap();
    assert!(done.iter().all(Result::is_ok));
    // A second round asks for what the first left, and knows no case of another table.
    let left = plan_remote(&out, parameters, false, RUN).unwrap();
    assert_eq!(left.missing, todo.missing[..2]);
    let other = submit_results(&out, &todo.plan, "another table", &left.missing, RUN);
    assert!(matches!(other, Err(PrepareError::NotShared { .. })));
    // A proxy that was damaged on its way is made again.
    let case = fs::read_dir(out.join(".pdl/remote-results")).unwrap().flatten().map(|entry| entry.path());
    let case = case.into_iter().find(|path| path.extension().is_some_and(|end| end == "arrow")).unwrap();
    fs::write(&case, b"no proxy").unwrap();
    assert_eq!(plan_remote(&out, parameters, false, RUN).unwrap().missing.len(), 3);

    let prepared = prepare(&out, parameters, false, RUN).unwrap();
    assert_eq!(prepared.written, 2, "submitted results are not made again");
    assert_eq!(files(&out), files(&alone));
    assert!(!out.join(".pdl/remote-results").exists());
    assert!(plan_remote(&out, parameters, false, RUN).unwrap().missing.is_empty());
}

#[test]
fn a_case_that_cannot_be_prepared_elsewhere_fails_as_it_does_here() {
    let folder = folder();
    let cohort = cohort_of(folder.path(), 0..6);
    let (alone, out) = (folder.path().join("alone"), folder.path().join("out"));
    indexed(&cohort, &alone);
    indexed(&cohort, &out);
    let mut images: Vec<_> =
        fs::read_dir(cohort.join("images")).unwrap().flatten().map(|entry| entry.path()).collect();
    images.sort();
    fs::write(&images[1], b"no image any more").unwrap();
    let parameters = PrepareParameters::default();
    let expected = prepare(&alone, &parameters, false, RUN).unwrap();
    assert_eq!(expected.failures.len(), 1);

    let todo = plan_remote(&out, &parameters, false, RUN).unwrap();
    let done = submit_results(&out, &todo.plan, &todo.cases, &todo.missing, RUN).unwrap();
    assert_eq!(done.iter().filter(|case| case.is_err()).count(), 1);
    let prepared = prepare(&out, &parameters, false, RUN).unwrap();
    let [here, there] = [&expected, &prepared].map(|prepared| &prepared.failures[0]);
    assert_eq!(
        (&here.case_id, here.message.replace("/alone/", "/out/")),
        (&there.case_id, there.message.clone())
    );
    let but_failures = |out: &Path| {
        let files = files(out).into_iter().filter(|(name, _)| name != "failures.json");
        files.collect::<Vec<_>>()
    };
    assert_eq!(but_failures(&out), but_failures(&alone));
}
