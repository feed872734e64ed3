//! Label maps on the proxies' grid, as three further columns of their files.
//!
//! `labels` is a fixed-size list in the order of `voxels`, of uint8 if all labels of the file fit,
//! else of uint16. `labels_annotated` lists the labels annotated in the case, without background,
//! and `label_volumes_mm3` the volume of each of them on the stored label map: a proxy may be
//! stretched, so its own voxels measure nothing.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, AsArray, FixedSizeListArray, Float64Array, ListArray, PrimitiveArray,
    RecordBatch, UInt8Array, UInt16Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt8Type, UInt16Type};
use arrow::error::ArrowError;
use pdl_cohort::table::case_row::CaseRow;
use pdl_store::table::{column, list};
use pdl_volume::{Grid, LabelMap, labels_on};

use crate::PrepareError;
use crate::plan::ProxyPlan;
use crate::proxies::spans::{padded, spans};
use crate::resample::Window;

/// The column of the label maps.
pub(super) const COLUMN: &str = "labels";
const ANNOTATED: &str = "labels_annotated";
const VOLUMES: &str = "label_volumes_mm3";

/// A case's label map on the common grid, and what is known of its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyLabels {
    /// A label for every voxel, 0 for background, x fastest: a C array (z, y, x).
    pub voxels: Vec<u16>,
    /// The labels that the case has annotated, ascending.
    pub annotated: Vec<u16>,
    /// The volume of each of them on the stored label map, mm3.
    pub volumes_mm3: Vec<f64>,
}

impl ProxyLabels {
    /// Makes the labels of the case `row`, whose RAS+ label map, cropped as its image is, is `map`;
    /// none if it has no label, and `grid` is the image's. Without a label every voxel is
    /// background, and no label is annotated.
    ///
    /// # Errors
    /// As [`on_grid`].
    pub fn new(
        map: Option<&LabelMap>,
        grid: &Grid,
        row: &CaseRow,
        plan: &ProxyPlan,
    ) -> Result<Self, PrepareError> {
        let Some(map) = map else {
            spans(grid, plan)?;
            let voxels = vec![0; plan.shape.iter().product()];
            return Ok(Self { voxels, annotated: Vec::new(), volumes_mm3: Vec::new() });
        };
        let mut annotated: Vec<u16> =
            row.labels_annotated.iter().copied().filter(|label| *label > 0).collect();
        annotated.sort_unstable();
        let voxel_mm3 = map.grid.affine.determinant().abs();
        let volume_mm3 = |label: &u16| {
            let known = row.labels.iter().find(|known| known.value == *label);
            known.map_or(0, |known| known.voxels) as f64 * voxel_mm3
        };
        let volumes_mm3 = annotated.iter().map(volume_mm3).collect();
        Ok(Self { voxels: on_grid(map, plan)?, annotated, volumes_mm3 })
    }
}

/// Puts a RAS+ label map on the common grid, where [`proxy`](super::proxy) puts its image, by
/// [`labels_on`]; a C array (z, y, x).
///
/// # Errors
/// [`PrepareError::OutsideFieldOfView`] if the grid is hardly inside the field of view.
pub fn on_grid(map: &LabelMap, plan: &ProxyPlan) -> Result<Vec<u16>, PrepareError> {
    let spans = spans(&map.grid, plan)?;
    let part = labels_on(map, cells(&map.grid, spans.map(|span| span.window)));
    Ok(padded(part.voxels, spans, plan.shape))
}

/// The grid of the cells that `windows` (x, y, z) cut a grid into.
fn cells(grid: &Grid, windows: [Window; 3]) -> Grid {
    let side = windows.map(|window| window.length / window.voxels as f64);
    // Voxel indices count from the middle of the first voxel, windows from its outer face.
    let first = std::array::from_fn(|axis| windows[axis].start + 0.5 * side[axis] - 0.5);
    Grid::new(windows.map(|window| window.voxels), grid.affine.rescaled(side, first))
}

/// The labels of a row of the proxies, as the file has them.
#[derive(Clone, Copy, Debug)]
pub struct LabelView<'a> {
    /// A label for every voxel.
    pub voxels: ProxyLabelVoxels<'a>,
    /// The labels that the case has annotated, ascending.
    pub annotated: &'a [u16],
    /// The volume of each of them on the stored label map, mm3.
    pub volumes_mm3: &'a [f64],
}

impl From<LabelView<'_>> for ProxyLabels {
    fn from(view: LabelView<'_>) -> Self {
        let voxels = match view.voxels {
            ProxyLabelVoxels::U8(voxels) => voxels.iter().map(|label| u16::from(*label)).collect(),
            ProxyLabelVoxels::U16(voxels) => voxels.to_vec(),
        };
        Self { voxels, annotated: view.annotated.to_vec(), volumes_mm3: view.volumes_mm3.to_vec() }
    }
}

/// A label for every voxel, 0 for background: a C array (z, y, x).
#[derive(Clone, Copy, Debug)]
pub enum ProxyLabelVoxels<'a> {
    /// All labels of the file are below 256.
    U8(&'a [u8]),
    /// Some are not.
    U16(&'a [u16]),
}

impl<'a> ProxyLabelVoxels<'a> {
    /// As they lie in the file.
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::U8(voxels) => voxels,
            Self::U16(voxels) => bytemuck::cast_slice(voxels),
        }
    }
}

/// How a file stores a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelType {
    U8,
    U16,
}

impl LabelType {
    /// The smallest that holds all labels of `cases`.
    pub(super) fn for_cases(cases: &[&CaseRow]) -> Self {
        let largest = cases.iter().flat_map(|row| &row.labels).map(|label| label.value).max();
        if largest.unwrap_or(0) <= u16::from(u8::MAX) { Self::U8 } else { Self::U16 }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::U8 => DataType::UInt8,
            Self::U16 => DataType::UInt16,
        }
    }

    /// The columns, for proxies of this many voxels.
    pub(super) fn fields(self, voxels: usize) -> [Field; 3] {
        [
            column(COLUMN, DataType::FixedSizeList(item(self.data_type()), voxels as i32)),
            column(ANNOTATED, list(DataType::UInt16)),
            column(VOLUMES, list(DataType::Float64)),
        ]
    }

    /// The columns for `rows`.
    pub(super) fn columns(self, rows: &[&ProxyLabels], voxels: usize) -> Result<[ArrayRef; 3], ArrowError> {
        let all = rows.iter().flat_map(|row| row.voxels.iter().copied());
        let flat: ArrayRef = match self {
            Self::U8 => Arc::new(UInt8Array::from_iter_values(all.map(|label| label as u8))),
            Self::U16 => Arc::new(UInt16Array::from_iter_values(all)),
        };
        let annotated = rows.iter().flat_map(|row| row.annotated.iter().copied());
        let volumes = rows.iter().flat_map(|row| row.volumes_mm3.iter().copied());
        let lists = |data_type, values| {
            let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.annotated.len()));
            ListArray::try_new(item(data_type), offsets, values, None)
        };
        Ok([
            Arc::new(FixedSizeListArray::try_new(item(self.data_type()), voxels as i32, flat, None)?),
            Arc::new(lists(DataType::UInt16, Arc::new(UInt16Array::from_iter_values(annotated)))?),
            Arc::new(lists(DataType::Float64, Arc::new(Float64Array::from_iter_values(volumes)))?),
        ])
    }
}

fn item(data_type: DataType) -> FieldRef {
    Arc::new(column("item", data_type))
}

/// The labels of a batch of proxies.
#[derive(Debug)]
pub(super) struct LabelBatch {
    voxels: Voxels,
    annotated: Lists<UInt16Type>,
    volumes_mm3: Lists<Float64Type>,
}

#[derive(Debug)]
enum Voxels {
    U8(UInt8Array),
    U16(UInt16Array),
}

impl LabelBatch {
    /// The labels of proxies of this many voxels.
    pub(super) fn read(batch: &RecordBatch, voxels: usize) -> Result<Self, &'static str> {
        let maps = batch.column_by_name(COLUMN).and_then(|column| column.as_fixed_size_list_opt());
        let maps = maps.filter(|maps| maps.value_length() as usize == voxels);
        let values = maps.ok_or("the labels do not fill the grid")?.values();
        if values.len() != batch.num_rows() * voxels {
            return Err("the labels do not fill the grid");
        }
        let voxels = match (values.as_primitive_opt::<UInt8Type>(), values.as_primitive_opt::<UInt16Type>()) {
            (Some(values), _) => Voxels::U8(values.clone()),
            (_, Some(values)) => Voxels::U16(values.clone()),
            _ => return Err("labels are neither uint8 nor uint16"),
        };
        let annotated = Lists::read(batch, ANNOTATED).ok_or("labels_annotated are no lists of uint16")?;
        let volumes_mm3 = Lists::read(batch, VOLUMES).ok_or("label_volumes_mm3 are no lists of float64")?;
        Ok(Self { voxels, annotated, volumes_mm3 })
    }

    /// The labels of a row.
    pub(super) fn row(&self, row: usize, voxels: usize) -> LabelView<'_> {
        let place = row * voxels..(row + 1) * voxels;
        LabelView {
            voxels: match &self.voxels {
                Voxels::U8(values) => ProxyLabelVoxels::U8(&values.values()[place]),
                Voxels::U16(values) => ProxyLabelVoxels::U16(&values.values()[place]),
            },
            annotated: self.annotated.row(row),
            volumes_mm3: self.volumes_mm3.row(row),
        }
    }
}

/// A list of numbers for each row.
#[derive(Debug)]
struct Lists<T: ArrowPrimitiveType> {
    offsets: OffsetBuffer<i32>,
    values: PrimitiveArray<T>,
}

impl<T: ArrowPrimitiveType> Lists<T> {
    fn read(batch: &RecordBatch, column: &str) -> Option<Self> {
        let lists = batch.column_by_name(column)?.as_list_opt::<i32>()?;
        let values = lists.values().as_primitive_opt::<T>()?.clone();
        Some(Self { offsets: lists.offsets().clone(), values })
    }

    fn row(&self, row: usize) -> &[T::Native] {
        &self.values.values()[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalise::Mapping;
    use crate::parameters::GridKind;
    use pdl_volume::{Affine, Orientation};

    fn plan(shape: [usize; 3], fov_mm: Option<[f64; 3]>) -> ProxyPlan {
        let grid = if fov_mm.is_some() { GridKind::Fov } else { GridKind::Box };
        ProxyPlan { shape, grid, fov_mm, mapping: Mapping::ImagePercentiles, labels: true }
    }

    fn map(shape: [usize; 3], label: impl Fn([usize; 3]) -> u16) -> LabelMap {
        let grid = Grid::new(shape, Affine::from_orientation(Orientation::RAS, [0.9, 1.0, 2.5], shape));
        let [nx, ny, _] = shape;
        let voxels = (0..grid.len()).map(|i| label([i % nx, i / nx % ny, i / (nx * ny)])).collect();
        LabelMap { grid, voxels }
    }

    #[test]
    fn a_map_of_the_grids_own_shape_stays_as_it_is() {
        let own = map([7, 5, 4], |[x, y, z]| ((x * 3 + y * 5 + z * 7) % 4) as u16);
        assert_eq!(on_grid(&own, &plan([7, 5, 4], None)).unwrap(), own.voxels);
    }

    #[test]
    fn a_box_is_stretched_about_its_centre_as_its_image_is() {
        // Cells 2 to 5 of 8 are voxels 4 to 11 of 16.
        let own = map([16, 4, 4], |[x, ..]| if (4..12).contains(&x) { 300 } else { 0 });
        let found = on_grid(&own, &plan([8, 8, 8], None)).unwrap();
        assert!(found.chunks(8).all(|row| row == [0, 0, 300, 300, 300, 300, 0, 0]), "{:?}", &found[..8]);
    }

    #[test]
    fn a_field_of_view_pads_labels_where_it_pads_images() {
        // 8 x 0.9 mm of 14.4 mm: half of x is padding.
        let own = map([8, 16, 16], |_| 1);
        let found = on_grid(&own, &plan([8, 8, 8], Some([14.4, 16.0, 40.0]))).unwrap();
        assert!(found.chunks(8).all(|row| row == [0, 0, 1, 1, 1, 1, 0, 0]), "{:?}", &found[..8]);
    }

    #[test]
    fn a_file_stores_labels_in_as_few_bytes_as_hold_them() {
        let labels = |voxels: Vec<u16>, annotated: Vec<u16>| ProxyLabels {
            volumes_mm3: annotated.iter().map(|label| f64::from(*label) * 1.5).collect(),
            voxels,
            annotated,
        };
        let rows = [labels(vec![0, 1, 255, 7], vec![1, 7, 9, 255]), labels(vec![0; 4], vec![])];
        for label_type in [LabelType::U8, LabelType::U16] {
            let schema = Arc::new(arrow::datatypes::Schema::new(label_type.fields(4).to_vec()));
            let columns = label_type.columns(&rows.each_ref(), 4).unwrap();
            let batch = RecordBatch::try_new(schema, columns.to_vec()).unwrap();
            let read = LabelBatch::read(&batch, 4).unwrap();
            for (place, row) in rows.iter().enumerate() {
                assert_eq!(ProxyLabels::from(read.row(place, 4)), *row);
            }
            assert!(LabelBatch::read(&batch, 8).is_err());
        }
    }
}
