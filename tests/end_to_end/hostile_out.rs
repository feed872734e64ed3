//! Curation folders and exports that somebody else prepared: nothing outside them is written or
//! removed, whatever their tables name and wherever their links lead.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pdl_cohort::table::cases::Cases;
use pdl_curriculum::manifest::Manifest;
use pdl_prepare::prepared_row;
use pdl_store::{hash, json, table};
use pdl_tests::{files, run, run_ok};

use crate::manifests::forge;
use crate::{cohort_of, curate, folder};

const TARGETS: [&str; 7] = ["monai", "nnunet", "torchio", "huggingface", "webdataset", "croissant", "csv"];

/// A cohort, its curation folder, and a folder of somebody else beside them.
struct Places {
    root: tempfile::TempDir,
}

/// The same for all tests, which take copies.
fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let root = folder().keep();
        let [cohort, out, other] = ["cohort", "out", "other"].map(|name| root.join(name));
        for folder in [&cohort, &out, &other] {
            fs::create_dir(folder).unwrap();
        }
        cohort_of(&cohort, 0..8);
        curate(&cohort, &out, &["--proxy-size", "16", "--no-report"]);
        for name in ["theirs", ".tmp-theirs", "00009.arrow", "00007-00008.parquet", "x.nii.gz"] {
            fs::write(other.join(name), name).unwrap();
        }
        root
    })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let own = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &own),
            false => drop(fs::copy(entry.path(), own).unwrap()),
        }
    }
}

impl Places {
    fn new() -> Self {
        let root = folder();
        copy(made(), root.path());
        Self { root }
    }

    fn cohort(&self) -> PathBuf {
        self.root.path().join("cohort")
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("out")
    }

    fn other(&self) -> PathBuf {
        self.root.path().join("other")
    }

    fn dest(&self) -> PathBuf {
        self.root.path().join("dest")
    }

    /// Every file but those of the curation folder and the export.
    fn outside(&self) -> Vec<(String, Vec<u8>)> {
        let inside = |name: &str| name.starts_with("out/") || name.starts_with("dest/");
        files(self.root.path()).into_iter().filter(|(name, _)| !inside(name)).collect()
    }

    /// Runs a command, which must refuse and leave everything outside as it is.
    fn refused(&self, words: &[&str], because: &str) {
        let before = self.outside();
        let output = run(words);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(![Some(0), Some(101), None].contains(&output.status.code()), "{words:?}: {told}");
        assert!(told.contains(because), "{words:?}: {told}");
        assert!(self.outside() == before, "{words:?} changed what is outside");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A forged manifest is exported to no target, and not valid.
fn refuses_exports(places: &Places, ways: &[&str], because: &str) {
    let (out, dest) = (places.out(), places.dest());
    let targets = if ways.len() == 1 { &TARGETS[..1] } else { &TARGETS[..] };
    for to in targets {
        for by in ways.iter().filter(|by| *to != "webdataset" || **by == ways[0]) {
            let mut words = vec!["export", text(&out), "--to", to, "--dest", text(&dest)];
            if *to != "webdataset" {
                words.extend(["--by", by]);
            }
            places.refused(&words, because);
        }
    }
    let output = run(&["validate", text(&out)]);
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Every way in which an export has its volumes.
const WAYS: [&str; 3] = ["copy", "link", "reference"];

#[test]
fn ids_of_a_manifest_lead_nowhere() {
    for (id, ways) in [
        ("../../escaped", &WAYS[..]),
        ("/tmp/pdl-escaped", &WAYS[..1]),
        ("a/b", &WAYS[..1]),
        ("..", &WAYS[..1]),
        ("a\nb", &WAYS[..1]),
        ("", &WAYS[..1]),
    ] {
        let places = Places::new();
        forge(&places.out(), |rows| rows[0].case_id = id.to_owned());
        refuses_exports(&places, ways, "expected a name of 1 to 180 letters");
    }
}

#[test]
fn paths_of_a_manifest_lead_nowhere() {
    for (path, ways) in [("../other/theirs", &WAYS[..]), ("prepared/../../other/theirs", &WAYS[..1])] {
        let places = Places::new();
        let blake3 = hash::of_file(&places.other().join("theirs")).unwrap();
        forge(&places.out(), |rows| {
            rows[0].image = path.to_owned();
            rows[0].image_blake3 = blake3;
        });
        refuses_exports(&places, ways, "outside the curation folder");
    }
    let places = Places::new();
    let theirs = places.other().join("theirs");
    forge(&places.out(), |rows| rows[0].label = text(&theirs).to_owned());
    refuses_exports(&places, &WAYS[..1], "outside the curation folder");
}

#[test]
fn a_manifest_that_claims_to_be_a_folds_leads_nowhere() {
    let places = Places::new();
    let path = places.out().join("manifest.json");
    let mut info: serde_json::Value = json::read(&path).unwrap();
    info["fold"] = serde_json::json!({ "fold": 0, "folds": 3 });
    json::write(&path, &info).unwrap();
    refuses_exports(&places, &WAYS[..1], "is not in the folder of that");
}

#[test]
fn ids_of_tables_lead_nowhere() {
    let places = Places::new();
    let out = places.out();
    let mut rows = prepared_row::read(&out).unwrap();
    rows[0].case_id = "../../../other/x".to_owned();
    table::write_rows(&out.join(prepared_row::FILE), &prepared_row::schema(), &rows, Vec::new()).unwrap();
    for command in ["rank", "report"] {
        places.refused(&[command, text(&out)], "expected a name of 1 to 180 letters");
    }
    rows[0].case_id = "ct_01".to_owned();
    rows[0].image = "../other/theirs".to_owned();
    table::write_rows(&out.join(prepared_row::FILE), &prepared_row::schema(), &rows, Vec::new()).unwrap();
    places.refused(&["rank", text(&out)], "expected a path inside the folder");

    let mut cases = Cases::read(&out).unwrap();
    cases.rows[0].case_id = "../../../other/x".to_owned();
    cases.write(&out).unwrap();
    for command in ["prepare", "rank", "report", "summary", "audit"] {
        places.refused(&[command, text(&out)], "expected a name of 1 to 180 letters");
    }
    places.refused(&["view", text(&out), "../../../other/x"], "expected a name");
    places.refused(&["index", text(&places.cohort()), "--out", text(&out)], "expected a name");
}

#[cfg(unix)]
#[test]
fn links_in_the_place_of_folders_are_not_followed() {
    use std::os::unix::fs::symlink;
    let curate: &[&str] = &["curate", "{cohort}", "--out", "{out}", "--proxy-size", "16"];
    let index: &[&str] = &["index", "{cohort}", "--out", "{out}"];
    let prepare: &[&str] = &["prepare", "{out}", "--proxy-size", "16"];
    let fold: &[&str] = &["rank", "{out}", "--folds", "3", "--fold", "0"];
    let view: &[&str] = &["view", "{out}", "ct_01"];
    for (name, commands) in [
        (".pdl", &[curate, index, prepare][..]),
        ("prepared", &[curate, prepare]),
        ("prepared/images", &[prepare]),
        ("prepared/labels", &[prepare]),
        ("proxies", &[prepare]),
        ("pairs", &[&["compare", "{out}"], curate]),
        (".pdl/index.jsonl", &[index]),
        (".pdl/lock", &[index, prepare]),
        (".pdl/pairs", &[curate]),
        (".pdl/remote-results", &[prepare]),
        ("views", &[view]),
        ("folds", &[fold]),
        ("folds/0", &[fold]),
    ] {
        let places = Places::new();
        let out = places.out();
        let is_outdated = name == ".pdl/pairs";
        if is_outdated {
            fs::write(out.join("pairs/00004-00005.parquet"), "outdated").unwrap();
            fs::remove_file(out.join("pairs/00000-00000.parquet")).unwrap();
        }
        if name.starts_with("folds") {
            run_ok(&["prepare", text(&out), "--proxy-size", "16", "--plan-from", "outside-test"]);
            run_ok(&["compare", text(&out)]);
        }
        let link = out.join(name);
        let target = if name.contains(".jsonl") || name.ends_with("lock") { "theirs" } else { "" };
        let target = places.other().join(target);
        if link.is_dir() {
            fs::remove_dir_all(&link).unwrap();
        } else if link.exists() {
            fs::remove_file(&link).unwrap();
        }
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&target, &link).unwrap();
        for words in commands {
            let given =
                |word: &str| word.replace("{out}", text(&out)).replace("{cohort}", text(&places.cohort()));
            let words: Vec<String> = words.iter().map(|word| given(word)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            places.refused(&words, "symbolic link");
        }
    }
}

#[cfg(unix)]
#[test]
fn links_in_an_export_are_not_followed() {
    use std::os::unix::fs::symlink;
    let places = Places::new();
    let (out, dest) = (places.out(), places.dest());
    for (to, name) in
        [("monai", "images"), ("csv", "labels"), ("nnunet", "imagesTr"), ("croissant", "prepared")]
    {
        for by in ["copy", "link"] {
            let _ = fs::remove_dir_all(&dest);
            fs::create_dir(&dest).unwrap();
            symlink(places.other(), dest.join(name)).unwrap();
            places.refused(
                &["export", text(&out), "--to", to, "--dest", text(&dest), "--by", by],
                "symbolic link",
            );
        }
    }
    // A prepared file that is a link to a file elsewhere is none of the cohort's, whatever its
    // hash.
    let row = Manifest::open(&out).unwrap().rows[0].clone();
    let image = out.join(&row.image);
    fs::rename(&image, places.root.path().join("elsewhere.nii.gz")).unwrap();
    symlink(places.root.path().join("elsewhere.nii.gz"), &image).unwrap();
    for by in ["copy", "link", "reference"] {
        let _ = fs::remove_dir_all(&dest);
        places.refused(
            &["export", text(&out), "--to", "monai", "--dest", text(&dest), "--by", by],
            "symbolic link",
        );
    }
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_out_itself_may_be_one() {
    use std::os::unix::fs::symlink;
    let places = Places::new();
    let alias = places.root.path().join("alias");
    symlink(places.out(), &alias).unwrap();
    for name in ["cases.parquet", "plan.json", "report.html", "manifest.json"] {
        let path = places.out().join(name);
        let _ = fs::remove_file(&path);
        symlink(places.other().join("theirs"), &path).unwrap();
        if name == "cases.parquet" || name == "plan.json" {
            fs::remove_file(&path).unwrap();
        }
    }
    let before = fs::read(places.other().join("theirs")).unwrap();
    run_ok(&["curate", text(&places.cohort()), "--out", text(&alias), "--proxy-size", "16"]);
    assert_eq!(fs::read(places.other().join("theirs")).unwrap(), before);
    assert!(!places.out().join("report.html").is_symlink());
    assert!(!places.out().join("manifest.json").is_symlink());
}

#[test]
fn settings_of_a_curation_folder_name_no_files_outside() {
    let places = Places::new();
    let out = places.out();
    for (key, flag) in [("mapping", "--mapping"), ("pseudonym_key", "--pseudonym-key")] {
        let theirs = places.other().join("theirs");
        let own = format!("[index]\n{key} = {:?}\n", text(&theirs));
        fs::write(out.join("pdl.toml"), &own).unwrap();
        places.refused(&["index", text(&places.cohort()), "--out", text(&out)], flag);
        // A file that its user names may.
        let config = places.root.path().join("mine.toml");
        fs::write(&config, &own).unwrap();
        run_ok(&["config", text(&out), "--config", text(&config)]);
    }
}

#[test]
fn names_of_a_cohort_become_no_settings() {
    let places = Places::new();
    let cohort = folder();
    let odd = "scan\n[index]\nmapping = \"escaped.csv\"\n#\r\u{85}\u{2028}";
    let label = "organ\"\"\"\n[index]\npseudonym_key = \"/x\"\nx = \"\"\"";
    for part in ["images", "labels"] {
        fs::create_dir(cohort.path().join(part)).unwrap();
    }
    for (number, name) in [(1, "ct_01"), (2, odd), (3, "a,b\"c")] {
        for part in ["images", "labels"] {
            let from = places.cohort().join(part).join(format!("ct_0{number}.nii.gz"));
            let to = if part == "labels" && number == 2 { "other" } else { name };
            fs::copy(from, cohort.path().join(part).join(format!("{to}.nii.gz"))).unwrap();
        }
    }
    let dataset = serde_json::json!({ "labels": { "1": label, "2": odd } });
    fs::write(cohort.path().join("dataset.json"), dataset.to_string()).unwrap();
    let out = places.root.path().join("new");
    run_ok(&["init", text(cohort.path()), "--out", text(&out)]);
    let written = fs::read_to_string(out.join("pdl.toml")).unwrap();
    let live = written.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    for line in live {
        let is_known = line.starts_with('[') && line.ends_with(']') || line.starts_with("modality = ");
        assert!(is_known, "{line:?} of\n{written}");
    }
    assert!(!written.contains("\n# mapping") && !written.contains("\n# pseudonym_key"));
    run_ok(&["config", text(&out)]);
}
