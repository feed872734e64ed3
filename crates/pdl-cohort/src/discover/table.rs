//! A table as a cohort: CSV or Parquet, a row a case.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use csv::StringRecord;
use pdl_dicom::series::acquisition::KEYWORDS;
use pdl_findings::{Code, Finding};
use pdl_store::memory::MemoryShare;
use pdl_store::plural::counted;
use pdl_store::printable::from_cell;
use pdl_store::suggest::nearest;
use pdl_store::{StoreError, fault, table};

use super::description::{no_memory, quoting, read, shown, table_error};
use super::named_columns::{self, NamedColumns, RowPaths, take_mask_folder};
use super::table_row::Row;
use super::table_text::{self, is_missing, with_slashes};
use super::{ANNOTATED_COLUMN, DiscoveredCase, ExtraColumns, Layout};
use crate::CohortError;
use crate::attributes::Split;
use crate::discover::stack_hint::StackHint;
use crate::discover::volume_names::{is_label_word, words};
use crate::identity::case_id::CaseLabel;
use crate::invalid_option::InvalidOption;
use crate::table::case_row;

/// Approximate memory of a row of a cohort's table until it is a case, without its text, in bytes.
const ROW_BYTES: u64 = 1536;

/// The column of the patients.
const PATIENT: &str = "patient";
/// Other names of that column, in lower case, in the order of preference; the first is that of
/// `cases.parquet`.
const PATIENTS: [&str; 9] = [
    "patient_id",
    "patientid",
    "patient id",
    "patient-id",
    "subject_id",
    "subjectid",
    "subject",
    "participant_id",
    "participant",
];

/// The column of the splits, and others that hold them where all their values are splits.
const SPLIT: &str = "split";
const SPLITS: [&str; 7] = ["set", "subset", "partition", "data_split", "dataset_split", "split_set", FOLD];
/// The column of the folds of a cross-validation.
pub(super) const FOLD: &str = "fold";

pub(super) fn from_csv(
    path: &Path,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Layout, CohortError> {
    let problem = |error: csv::Error| table_error(path, &error);
    let part = memory.part();
    let bytes = table_text::utf8(read(path, 3, &part)?).map_err(|problem| table_error(path, &problem))?;
    let (separator, text) = separated(&bytes);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator).trim(csv::Trim::All).flexible(true).from_reader(text);
    let stated = reader.headers().map_err(problem)?.clone();
    let headers = known_names(path, &stated)?;
    if !headers.iter().any(|name| name == "image" || name.starts_with(named_columns::IMAGE)) {
        let names = headers.iter().collect::<Vec<_>>().join(", ");
        return Err(quoting(path, "it has no column named image", format!(", only: {names}")));
    }
    let names: Vec<&str> = headers.iter().collect();
    check_label_column(path, &names)?;
    let place = |column: &str| names.iter().position(|name| *name == column);
    let place_stated = |column: &str| place(column).or_else(|| stated.iter().position(|name| name == column));
    let splits = may_be_splits(&names).filter_map(|column| Some((column, place(column)?)));
    let splits: Vec<(&str, usize)> = splits.collect();
    let fold = folds_of(&names).filter(|_| !carry.contains(FOLD)).map(str::to_owned);
    let carry: BTreeSet<String> = carry.iter().cloned().chain(fold).collect();
    let places = carry.iter().map(|column| {
        place_stated(column).map(|place| (column, place)).ok_or_else(|| no_column(path, column, &names))
    });
    let places = places.collect::<Result<Vec<_>, _>>()?;
    let image = names.iter().position(|name| *name == "image");
    let texts: Vec<(&str, usize)> = Row::text_columns()
        .filter_map(|column| Some((column, names.iter().position(|name| *name == column)?)))
        .collect();
    let named: Vec<(usize, &str)> = names
        .iter()
        .enumerate()
        .filter(|(_, name)| named_columns::may_be(name))
        .map(|(n, name)| (n, *name))
        .collect();
    let (mut rows, mut carried) = (Vec::new(), Vec::new());
    let mut further: Vec<Vec<Option<String>>> = vec![Vec::new(); splits.len()];
    for record in reader.records() {
        let record = record.map_err(problem)?;
        memory.take(ROW_BYTES + 2 * record.as_slice().len() as u64).map_err(no_memory(path))?;
        if record.iter().all(str::is_empty) {
            continue; // spreadsheets leave such rows at the end
        }
        if record.len() != headers.len() {
            let line = record.position().map_or(0, csv::Position::line);
            let problem = format!("expected {} fields in line {line}, found {}", headers.len(), record.len());
            return Err(table_error(path, &problem));
        }
        let record: StringRecord = record.iter().map(from_cell).collect();
        let mut row: Row = record.deserialize(Some(&headers)).map_err(problem)?;
        // Kept as text: a folder may be called 001.
        row.image =
            image.and_then(|place| record.get(place)).filter(|text| !is_missing(text)).map(str::to_owned);
        let value = |place: usize| record.get(place).filter(|text| !text.is_empty()).map(shown);
        texts.iter().for_each(|(column, place)| row.take_text(column, value(*place)));
        row.named = named
            .iter()
            .filter_map(|(place, column)| Some(((*column).to_owned(), record.get(*place)?.to_owned())))
            .filter(|(_, text)| !is_missing(text))
            .collect();
        rows.push(row);
        for (values, (_, place)) in further.iter_mut().zip(&splits) {
            values.push(value(*place));
        }
        carried.push(places.iter().map(|(column, place)| ((*column).clone(), value(*place))).collect());
    }
    for values in further {
        if take_splits(&mut rows, values) {
            break;
        }
    }
    let order: Vec<String> = named.iter().map(|(_, column)| (*column).to_owned()).collect();
    from_rows(path, rows, carried, &order).map(tell_folds)
}

/// The columns that may hold the splits, in the order of preference; none where one is called so.
fn may_be_splits<'a>(names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let column = |known: &&str| names.iter().find(|name| name.eq_ignore_ascii_case(known)).copied();
    let has_own = names.contains(&SPLIT);
    SPLITS.iter().filter(move |_| !has_own).filter_map(column)
}

/// The column of the folds.
fn folds_of<'a>(names: &[&'a str]) -> Option<&'a str> {
    names.iter().copied().find(|name| *name == FOLD)
}

/// Takes the values of a column as splits, if all are such; whether they were.
fn take_splits(rows: &mut [Row], values: Vec<Option<String>>) -> bool {
    let known = || values.iter().flatten().filter(|text| !is_missing(text));
    if known().next().is_none() || !known().all(|text| text.parse::<Split>().is_ok()) {
        return false;
    }
    rows.iter_mut().zip(values).for_each(|(row, value)| row.split = value.filter(|text| !is_missing(text)));
    true
}

/// Finding about folds that a table states, which are none of the splits.
fn tell_folds(mut layout: Layout) -> Layout {
    let values = || layout.cases.iter().filter_map(|found| found.carried.get(FOLD)?.as_deref());
    let folds: BTreeSet<&str> = values().collect();
    let are_splits = folds.iter().all(|value| value.parse::<Split>().is_ok());
    let is_given = layout.cases.iter().any(|found| found.split.is_some());
    if folds.len() > 1 && !are_splits && !is_given {
        let message = format!(
            "the table states {}, which are stored in the column {FOLD} of cases.parquet; pdl draws its own splits, and \
             `pdl rank OUT --group-by {FOLD}` holds out one of these folds after the other",
            counted(folds.len(), "fold")
        );
        layout.findings.push(Finding::new(Code::FoldsGiven, message));
    }
    layout
}

pub(super) fn from_parquet(
    path: &Path,
    carry: &BTreeSet<String>,
    memory: &MemoryShare<'_>,
) -> Result<Layout, CohortError> {
    let names = table::column_names(path)?;
    let has = |column: &str| names.iter().any(|name| name == column);
    let mut rows = images_of_parquet(path, &has, memory)?;
    let mut carried = vec![ExtraColumns::new(); rows.len()];
    check_label_column(path, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    // As a table in CSV would hold them: numbers and dates are texts there.
    for column in Row::COLUMNS.into_iter().filter(|column| has(column)) {
        for (row, value) in rows.iter_mut().zip(table::read_text(path, column, memory)?) {
            row.take_cell(column, value);
        }
    }
    let other = |known: &&str| names.iter().find(|name| name.eq_ignore_ascii_case(known));
    if let Some(column) = PATIENTS.iter().find_map(other).filter(|_| !has(PATIENT)) {
        for (row, value) in rows.iter_mut().zip(table::read_text(path, column, memory)?) {
            row.patient = value.filter(|text| !is_missing(text));
        }
    }
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    for column in may_be_splits(&columns) {
        if take_splits(&mut rows, table::read_text(path, column, memory)?) {
            break;
        }
    }
    let fold = folds_of(&columns).map(str::to_owned);
    let carry: BTreeSet<String> = carry.iter().cloned().chain(fold).collect();
    for column in Row::text_columns().filter(|column| names.iter().any(|name| name == column)) {
        for (row, value) in rows.iter_mut().zip(table::read_text(path, column, memory)?) {
            row.take_text(column, value);
        }
    }
    let named: Vec<String> = names.iter().filter(|name| named_columns::may_be(name)).cloned().collect();
    for column in &named {
        for (row, value) in rows.iter_mut().zip(table::read_text(path, column, memory)?) {
            row.named.extend(value.filter(|text| !is_missing(text)).map(|text| (column.clone(), text)));
        }
    }
    for column in &carry {
        if !names.contains(column) {
            return Err(no_column(path, column, &names.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        for (row, value) in carried.iter_mut().zip(table::read_text(path, column, memory)?) {
            row.insert(column.clone(), value.filter(|text| !text.is_empty()).map(|text| shown(&text)));
        }
    }
    from_rows(path, rows, carried, &named).map(tell_folds)
}

/// The rows of a Parquet table with their images alone.
fn images_of_parquet(
    path: &Path,
    has: &dyn Fn(&str) -> bool,
    memory: &MemoryShare<'_>,
) -> Result<Vec<Row>, CohortError> {
    if has(Row::IMAGE) || !Row::COLUMNS.iter().any(|column| has(column)) {
        let all: Vec<&str> = [Row::IMAGE].into_iter().chain(Row::COLUMNS).collect();
        let columns = if has(Row::IMAGE) { &all[..1] } else { &all };
        return Ok(table::read_columns::<Row>(path, columns, ROW_BYTES, memory)?);
    }
    let rows = table::row_count(path)?;
    memory.take_each(rows, ROW_BYTES).map_err(no_memory(path))?;
    Ok((0..rows).map(|_| Row::default()).collect())
}

/// Detects the field separator of a table, a comma first; returns it with the text after a line
/// that states it.
fn separated(bytes: &[u8]) -> (u8, &[u8]) {
    table_text::separated(bytes, b",;\t")
}

/// The names of columns, those that are known in lower case whatever the table writes, and the
/// patients' where it has another usual name.
///
/// # Errors
/// [`CohortError::Table`] where two columns have one known name.
fn known_names(path: &Path, headers: &StringRecord) -> Result<StringRecord, CohortError> {
    let known = |name: &str| {
        let lower = name.to_lowercase();
        let is_known = [Row::IMAGE, FOLD].contains(&lower.as_str()) || Row::COLUMNS.contains(&lower.as_str());
        if is_known { lower } else { name.to_owned() }
    };
    let mut names: Vec<String> = headers.iter().map(known).collect();
    if !names.iter().any(|name| name == PATIENT) {
        let place = |known: &&str| names.iter().position(|name| name.eq_ignore_ascii_case(known));
        if let Some(place) = PATIENTS.iter().find_map(place) {
            PATIENT.clone_into(&mut names[place]);
        }
    }
    let count = |column: &&&str| names.iter().filter(|name| name == *column).count();
    match [Row::IMAGE].iter().chain(&Row::COLUMNS).find(|column| count(column) > 1) {
        None => Ok(names.iter().collect()),
        Some(column) => Err(table_error(path, &format!("it has two columns named {column}"))),
    }
}

/// Refuses a table whose label maps stand in a column of another name: their images would count as
/// unlabelled.
fn check_label_column(path: &Path, names: &[&str]) -> Result<(), CohortError> {
    let is_own = |name: &&str| *name == "label" || name.starts_with(named_columns::LABEL);
    let may_be_label =
        |name: &&&str| words(name).iter().any(|word| is_label_word(word)) && **name != ANNOTATED_COLUMN;
    match names.iter().find(may_be_label).filter(|_| !names.iter().any(is_own)) {
        None => Ok(()),
        Some(name) => {
            let problem = "it has no column named label, and another may be that of the label maps";
            Err(quoting(path, problem, format!(": call it label instead of {}", shown(name))))
        }
    }
}

/// Checks that only attributes of the acquisition are kept of DICOM headers.
pub(super) fn check_acquisition(carry: &BTreeSet<String>) -> Result<(), CohortError> {
    let known = |column: &&String| KEYWORDS.contains(&column.as_str());
    carry.iter().find(|column| !known(column)).map_or(Ok(()), |column| {
        let problem = format!("of DICOM headers these can be stored: {}", KEYWORDS.join(", "));
        Err(InvalidOption::with_value("carry", column, problem).into())
    })
}

pub(super) fn no_column(path: &Path, column: &str, names: &[&str]) -> CohortError {
    let schema = case_row::schema();
    let known = names.iter().copied().chain(schema.fields().iter().map(|field| field.name().as_str()));
    let meant = nearest(column, known).map_or(String::new(), |name| format!("; did you mean {name}?"));
    let has = match names {
        [] => "it has no table with further columns".to_owned(),
        _ => format!("its table has {}", names.join(", ")),
    };
    CohortError::NoColumn { path: path.to_owned(), column: column.to_owned(), problem: has + &meant }
}

/// Writes patients 1.0 and 2.0 as 1 and 2 where all are numbers: a column of numbers with a blank
/// cell is one of fractions to many programs, and a patient must not have two names.
fn whole_patients(rows: &mut [Row]) {
    let whole = |text: &str| {
        let (number, fraction) = text.split_once('.')?;
        let is_whole = number.bytes().all(|digit| digit.is_ascii_digit()) && !number.is_empty();
        (is_whole && fraction.bytes().all(|digit| digit == b'0')).then(|| number.to_owned())
    };
    let patients = || rows.iter().filter_map(|row| row.patient.as_deref());
    if !patients().all(|patient| patient.parse::<u64>().is_ok() || whole(patient).is_some()) {
        return;
    }
    for row in rows {
        row.patient = row.patient.take().map(|patient| whole(&patient).unwrap_or(patient));
    }
}

/// Refuses a folder around the one of the table (`home`) as an image or a label map, such as `/`:
/// all that lies beside the cohort would be walked through.
fn check_surroundings(path: &Path, home: Option<&Path>) -> Result<(), String> {
    let real =
        if fault::is_dir(path).unwrap_or(false) { fault::canonical(path).ok().flatten() } else { None };
    match real.zip(home) {
        Some((real, home)) if real != home && home.starts_with(&real) => {
            Err(format!("expected the folder of one image, found one around the table: {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// `carried` holds the further values of every row, `named` the columns that may name channels or
/// structures, in the table's order.
pub(super) fn from_rows(
    table: &Path,
    mut rows: Vec<Row>,
    carried: Vec<ExtraColumns>,
    named: &[String],
) -> Result<Layout, CohortError> {
    let folder = table.parent().unwrap_or(Path::new("."));
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let home = fault::canonical(here).map_err(StoreError::io("find the folder", folder))?;
    whole_patients(&mut rows);
    for row in &mut rows {
        let paths = row.image.iter_mut().chain(&mut row.label).chain(row.named.values_mut());
        for path in paths {
            *path = with_slashes(std::mem::take(path), folder)?;
        }
    }
    let columns = NamedColumns::of(&rows, named, folder)?;
    let mut cases = Vec::new();
    let mut stated: HashMap<String, usize> = HashMap::new();
    for (number, (row, carried)) in rows.into_iter().zip(carried).enumerate() {
        let in_row = |error: String| quoting(table, &format!("row {}", number + 1), format!(": {error}"));
        let RowPaths { image, label, channels, structures } = columns.paths(&row).map_err(in_row)?;
        for path in image.iter().chain(&label).chain(channels.values()).chain(structures.values()) {
            check_surroundings(&folder.join(path), home.as_deref()).map_err(in_row)?;
        }
        if image.is_none() && label.is_none() {
            return Err(table_error(table, &format!("row {} has neither image nor label", number + 1)));
        }
        if let Some(case_id) = &row.case_id
            && let Some(first) = stated.insert(case_id.clone(), number + 1)
        {
            let (path, case_id) = (table.to_owned(), case_id.clone());
            return Err(CohortError::SameCaseId { path, case_id, rows: [first, number + 1] });
        }
        let stacks =
            StackHint::of_texts(row.stack_spacing.as_deref(), row.stack_axes.as_deref()).map_err(in_row)?;
        let below = |path: &Option<String>| {
            path.as_deref()
                .map(|path| Path::new(path).strip_prefix(folder).unwrap_or(Path::new(path)).to_owned())
        };
        let name = CaseLabel::of_files(row.case_id, below(&image).as_deref(), below(&label).as_deref());
        let mut found = DiscoveredCase {
            name,
            image: image.map(|path| folder.join(path)),
            label: label.map(|path| folder.join(path)),
            patient: row.patient.as_deref().map(shown),
            modality: row.modality.map(|text| text.parse()).transpose().map_err(in_row)?,
            split: row.split.map(|text| text.parse()).transpose().map_err(in_row)?,
            channels: channels.into_iter().map(|(number, path)| (number, folder.join(path))).collect(),
            structures: structures.into_iter().map(|(name, path)| (name, folder.join(path))).collect(),
            stacks,
            carried,
            annotated: row.annotated,
            origins: row.origins,
            ..DiscoveredCase::default()
        };
        take_mask_folder(&mut found)?;
        cases.push(found);
    }
    let channel_names = columns.channel_names();
    let modality = columns.modality();
    Ok(Layout { cases, channel_names, modality, ..Layout::default() })
}
