//! `pdl view`: three planes of a case with label contours, as stored (top) and as prepared
//! (bottom).

use std::collections::BTreeSet;
use std::path::Path;

use image::codecs::png::PngEncoder;
use pdl_cohort::table::case_row::CaseRow;
use pdl_cohort::table::cases::Cases;
use pdl_io::{read_image, read_labels};
use pdl_prepare::prepared_row;
use pdl_store::atomic;
use pdl_store::safe_path::SafePath;
use pdl_volume::statistics::Statistics;

use crate::canvas::{Canvas, LabelledImage, middle_mm, stored};
use crate::{ReportError, Result};

/// Side of a plane in pixels.
const SIDE: usize = 384;

/// Writes the PNG of `case` to `to`; of a case with several channels that of the named one, else of
/// the first.
///
/// # Errors
/// [`ReportError`] if there is no such prepared case or channel, or its files cannot be read.
pub fn view(out: &Path, case: &str, channel: Option<&str>, to: impl Into<SafePath>) -> Result<()> {
    let cases = Cases::read(out)?;
    let prepared_rows = prepared_row::read(out)?;
    let unknown = || ReportError::UnknownCase {
        case: case.to_owned(),
        hint: prepared_rows.first().map_or(String::new(), |row| format!("; the first is '{}'", row.case_id)),
        out: out.to_owned(),
    };
    let row = cases.rows.iter().find(|row| row.case_id == case).ok_or_else(unknown)?;
    let own = prepared_rows.iter().find(|row| row.case_id == case).ok_or_else(unknown)?;
    let channel = channel.map_or(Ok(0), |name| channel_of(row, name))?;
    let stored = stored(out, row, channel)?;
    let prepared = own.images.get(channel).unwrap_or(&own.image);
    let image = read_image(&out.join(prepared))?.volume.to_ras();
    let labels = own.label.as_ref().map(|label| read_labels(&out.join(label))).transpose()?;
    let labels = labels.map(|labels| labels.map.to_ras());
    let window = Statistics::of(&image.voxels).map_or([0.0, 1.0], |s| [s.p00_5, s.p99_5]);
    let centre = || image.grid.affine.apply(image.grid.shape.map(|n| (n as f64 - 1.0) / 2.0));
    let middle = labels.as_ref().map_or_else(centre, middle_mm);
    let prepared = LabelledImage { image, labels, window };
    let values: BTreeSet<u16> =
        cases.rows.iter().flat_map(|row| row.labels.iter().map(|label| label.value)).collect();
    let values: Vec<u16> = values.into_iter().collect();
    let mut png = Vec::new();
    Canvas::draw(SIDE, &[&stored, &prepared], middle, &values).encode(PngEncoder::new(&mut png))?;
    Ok(atomic::write(to, &png)?)
}

/// The number of a case's channel, by its name or its number from 0.
fn channel_of(row: &CaseRow, name: &str) -> Result<usize> {
    let named = row.channels.iter().position(|channel| channel.name.eq_ignore_ascii_case(name));
    let number = named.or_else(|| name.parse().ok()).filter(|number| *number < row.channels.len().max(1));
    number.ok_or_else(|| {
        let names: Vec<&str> = row.channels.iter().map(|channel| channel.name.as_str()).collect();
        let known = match names.as_slice() {
            [] => "cases have one image".to_owned(),
            _ => format!("expected one of {}", names.join(", ")),
        };
        ReportError::InvalidOption { name: "channel", problem: format!("{known}, found {name}") }
    })
}
