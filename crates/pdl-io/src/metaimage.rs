//! MetaImage (itk.org/Wiki/ITK/MetaIO): `.mha`, or a header `.mhd` beside its voxels. Raw, zlib
//! and gzip, as MetaIO reads them.

use pdl_findings::{Code, Finding};
use std::collections::HashMap;
use std::io::{self, Read};

use flate2::bufread::ZlibDecoder;
use pdl_volume::Affine;

use crate::ReadError;
use crate::content::Content;
use crate::file::{Files, Source};
use crate::geometry_findings::{NO_ORIGIN, other_unit};
use crate::gzip::Members;
use crate::header_text::{self, number, numbers};
use crate::voxels::{Component, Sink, Stored, VoxelType, one_volume, with_components};

/// Reads a volume, its voxels into `sink`.
pub(crate) fn read(
    files: &mut Files<'_>,
    frame: Option<usize>,
    sink: &mut dyn Sink,
) -> Result<Content, ReadError> {
    let mut source = files.open(files.path)?;
    let fields = fields(files, &mut source)?;
    let header = Header { files, fields: &fields };
    let axes: Vec<usize> = numbers(files, "DimSize", header.need(&["DimSize"])?)?;
    header.check_form(axes.len())?;
    let components = header.components()?;
    let (shape, frame) = one_volume(files, &with_channels(&axes, components), frame)?;
    let (stored_shape, stored_frame, wanted) = match components {
        1 => (shape, frame, 0),
        _ => {
            let stored = with_components(shape, components);
            (stored.ok_or_else(|| files.invalid(format!("it declares {axes:?} voxels")))?, 0, frame)
        }
    };
    let mut component;
    let sink: &mut dyn Sink = if components == 1 {
        sink
    } else {
        component = Component::new(sink, components, wanted);
        &mut component
    };
    let voxel_type = header.voxel_type()?;
    let (affine, findings) = header.affine(axes.len())?;
    let big_endian = header.says(&["BinaryDataByteOrderMSB", "ElementByteOrderMSB"]);
    let compressed = header.says(&["CompressedData"]);
    let skip = header.get(&["HeaderSize"]).map_or(Ok(0), |text| number::<i64>(files, "HeaderSize", text))?;
    let place = header.need(&["ElementDataFile"])?.to_owned();
    let own = match place.as_str() {
        "LOCAL" | "Local" | "local" => None,
        name if name.starts_with("LIST") || name.contains('%') => {
            return Err(files.unsupported("its voxels are in several files: save them as one .mha"));
        }
        name => Some(files.open(&files.beside(name)?)?),
    };
    let mut data = match own {
        None => source,
        Some(own) => {
            files.close(source)?;
            own
        }
    };
    let stored = Stored {
        shape: stored_shape,
        frame: stored_frame,
        voxel_type,
        big_endian,
        slope: 1.0,
        intercept: 0.0,
    };
    // A skip of -1 means that the voxels are the end of the file.
    let skip = match u64::try_from(skip) {
        Ok(skip) => skip,
        Err(_) => {
            let mut numbers = axes.iter().chain([&components]);
            let all = numbers.try_fold(voxel_type.bytes() as u64, |all, n| all.checked_mul(*n as u64));
            data.left().saturating_sub(all.unwrap_or(u64::MAX))
        }
    };
    io::copy(&mut data.by_ref().take(skip), &mut io::sink()).map_err(|error| files.damaged(&error))?;
    let held = data.left();
    if compressed && data.is_gzip() {
        stored.read(files, &mut Members::new(&mut data), held, true, sink)?;
    } else if compressed {
        stored.read(files, &mut ZlibDecoder::new(&mut data), held, true, sink)?;
    } else {
        stored.read(files, &mut data, held, false, sink)?;
    }
    files.close(data)?;
    Ok(Content { shape, affine, voxel_type, scaling: None, findings })
}

/// The axes of the voxels, of which only the header is read.
pub(crate) fn axes(files: &Files<'_>) -> Result<Vec<usize>, ReadError> {
    let fields = fields(files, &mut files.open(files.path)?)?;
    let header = Header { files, fields: &fields };
    let axes: Vec<usize> = numbers(files, "DimSize", header.need(&["DimSize"])?)?;
    Ok(with_channels(&axes, header.components()?))
}

/// Axes with the numbers of each voxel, if there are several, as the last.
fn with_channels(axes: &[usize], components: usize) -> Vec<usize> {
    axes.iter().copied().chain((components > 1).then_some(components)).collect()
}

/// The fields of the header up to `ElementDataFile`.
fn fields(files: &Files<'_>, source: &mut Source) -> Result<HashMap<String, String>, ReadError> {
    let mut fields = HashMap::new();
    let (mut line, mut read) = (Vec::new(), 0);
    while header_text::next_line(files, source, &mut line, &mut read)? {
        let line = std::str::from_utf8(&line).map_err(|_| files.invalid("its header is not text"))?;
        let Some((key, value)) = line.split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim());
        fields.insert(key.to_owned(), value.to_owned());
        if key == "ElementDataFile" {
            return Ok(fields);
        }
    }
    Err(files.invalid("its header has no ElementDataFile"))
}

struct Header<'a> {
    files: &'a Files<'a>,
    fields: &'a HashMap<String, String>,
}

impl Header<'_> {
    fn get(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.fields.get(*name)).map(String::as_str)
    }

    fn need(&self, names: &[&str]) -> Result<&str, ReadError> {
        self.get(names).ok_or_else(|| self.files.invalid(format!("its header has no {}", names[0])))
    }

    fn says(&self, names: &[&str]) -> bool {
        self.get(names).is_some_and(|text| text.to_lowercase().starts_with(['t', '1', 'y']))
    }

    /// Refuses what is no volume of numbers that are stored as bytes.
    fn check_form(&self, axes: usize) -> Result<(), ReadError> {
        let stated =
            self.get(&["NDims"]).map(|text| number::<usize>(self.files, "NDims", text)).transpose()?;
        if let Some(stated) = stated.filter(|stated| *stated != axes) {
            let problem = format!("NDims is {stated}, and DimSize has {axes} numbers");
            return Err(self.files.invalid(problem));
        }
        if axes < 3 {
            let problem = format!("it has {axes} axes: pdl takes volumes of three axes of space");
            return Err(self.files.unsupported(problem));
        }
        if self.get(&["BinaryData"]).is_some() && !self.says(&["BinaryData"]) {
            let problem =
                "its voxels are stored as text (BinaryData = False): save it with BinaryData = True";
            return Err(self.files.unsupported(problem));
        }
        Ok(())
    }

    /// Numbers that each voxel has, side by side.
    fn components(&self) -> Result<usize, ReadError> {
        let Some(text) = self.get(&["ElementNumberOfChannels"]) else { return Ok(1) };
        let count = text.parse().ok().filter(|count: &usize| *count > 0);
        count.ok_or_else(|| self.files.invalid(format!("ElementNumberOfChannels is {text}")))
    }

    fn voxel_type(&self) -> Result<VoxelType, ReadError> {
        Ok(match self.need(&["ElementType"])? {
            "MET_CHAR" => VoxelType::Int8,
            "MET_UCHAR" => VoxelType::Uint8,
            "MET_SHORT" => VoxelType::Int16,
            "MET_USHORT" => VoxelType::Uint16,
            "MET_INT" | "MET_LONG" => VoxelType::Int32,
            "MET_UINT" | "MET_ULONG" => VoxelType::Uint32,
            "MET_LONG_LONG" => VoxelType::Int64,
            "MET_ULONG_LONG" => VoxelType::Uint64,
            "MET_FLOAT" => VoxelType::Float32,
            "MET_DOUBLE" => VoxelType::Float64,
            other => {
                let problem = format!("its voxels are of type {other}: expected one number per voxel");
                return Err(self.files.unsupported(problem));
            }
        })
    }

    /// RAS+ millimetres; the file's own world is LPS. Of more than three axes the first three
    /// count.
    fn affine(&self, axes: usize) -> Result<(Affine, Vec<Finding>), ReadError> {
        let list = |names: &[&str]| -> Result<Option<Vec<f64>>, ReadError> {
            self.get(names).map(|text| numbers(self.files, names[0], text)).transpose()
        };
        let sides = list(&["ElementSpacing", "ElementSize"])?;
        let matrix = list(&["TransformMatrix", "Rotation", "Orientation"])?;
        let origin = list(&["Offset", "Position", "Origin"])?;
        let Some(sides) = sides else {
            return Err(self.files.unsupported("its header has no voxel size"));
        };
        let problem = "its header has no directions; left, posterior, superior was assumed, as in ITK";
        let mut findings =
            if matrix.is_none() { vec![Finding::new(Code::OddHeader, problem)] } else { Vec::new() };
        // A group of numbers for each axis: the direction in which it runs.
        let direction = |axis: usize, r: usize| match &matrix {
            Some(matrix) => matrix.get(axis * axes + r).copied().unwrap_or(f64::NAN),
            None => f64::from(u8::from(axis == r)),
        };
        let lps = [-1.0, -1.0, 1.0];
        let side = |axis: usize| sides.get(axis).copied().unwrap_or(f64::NAN);
        let step = |axis: usize| -> [f64; 3] {
            std::array::from_fn(|r| direction(axis, r) * side(axis) * lps[r] + 0.0)
        };
        let origin = origin.unwrap_or_default();
        if !origin.iter().all(|v| v.is_finite()) {
            return Err(self.files.invalid(NO_ORIGIN));
        }
        let place = |r: usize| origin.get(r).copied().unwrap_or(0.0) * lps[r] + 0.0;
        // ITK shows the unit, and computes as if it were mm.
        let (unit, factor) = match self.get(&["DistanceUnits"]).unwrap_or_default() {
            "um" => ("um", 0.001),
            "cm" => ("cm", 10.0),
            _ => ("mm", 1.0),
        };
        findings.extend((factor != 1.0).then(|| other_unit(unit)));
        let in_mm = |lengths: [f64; 3]| lengths.map(|v| v * factor);
        let steps = std::array::from_fn(|axis| in_mm(step(axis)));
        let affine = Affine::from_columns(steps, in_mm(std::array::from_fn(place)));
        if !affine.is_usable() {
            return Err(self.files.invalid("its header has no usable voxel size"));
        }
        Ok((affine, findings))
    }
}
