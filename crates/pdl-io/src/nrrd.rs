//! NRRD (teem.sourceforge.net/nrrd/format.html): `.nrrd`, or a header `.nhdr` beside its voxels.
//! Raw and gzip.

use pdl_findings::{Code, Finding};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read};

use flate2::bufread::ZlibDecoder;
use pdl_volume::Affine;

pub(crate) mod segments;

use crate::ReadError;
use crate::content::Content;
use crate::file::{Files, Source};
use crate::geometry_findings::{NO_ORIGIN, no_transform, other_unit};
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
    let Text { mut fields, .. } = Text::read(files, &mut source)?;
    let kind = components_last(&mut fields);
    let header = Header::new(files, &fields)?;
    let components = header.axes.last().copied().unwrap_or(1);
    if let (Some(kind), None) = (&kind, frame)
        && kind != "list"
        && components > 1
    {
        return Err(files.unsupported(format!(
            "its voxels are of the kind {kind}, {components} numbers each, as those of a displacement field or of colours: \
             expected one number per voxel. If they are channels, select one by its number from 0, as in FILE#0, or with \
             --frame"
        )));
    }
    let (shape, frame) = one_volume(files, &header.axes, frame)?;
    check_kinds(files, fields.get("kinds").map_or("", String::as_str))?;
    let (affine, findings) = header.affine(files)?;
    if kind.is_some() && components > 1 {
        let stored = with_components(shape, components);
        let stored = stored.ok_or_else(|| files.invalid(format!("it declares {shape:?} voxels")))?;
        let mut component = Component::new(sink, components, frame);
        header.read_voxels(files, source, &fields, (stored, 0), &mut component)?;
    } else {
        header.read_voxels(files, source, &fields, (shape, frame), sink)?;
    }
    Ok(Content { shape, affine, voxel_type: header.voxel_type, scaling: None, findings })
}

/// The axes of the voxels, of which only the header is read.
pub(crate) fn axes(files: &Files<'_>) -> Result<Vec<usize>, ReadError> {
    let mut source = files.open(files.path)?;
    let Text { mut fields, .. } = Text::read(files, &mut source)?;
    components_last(&mut fields);
    check_kinds(files, fields.get("kinds").map_or("", String::as_str))?;
    Ok(Header::new(files, &fields)?.axes)
}

impl Header {
    /// Reads the voxels of one frame, which begin at the position of `source` or in a file of their
    /// own.
    fn read_voxels(
        &self,
        files: &mut Files<'_>,
        source: Source,
        fields: &HashMap<String, String>,
        (shape, frame): ([usize; 3], usize),
        sink: &mut dyn Sink,
    ) -> Result<(), ReadError> {
        let field =
            |names: [&str; 2]| names.into_iter().find_map(|name| fields.get(name)).map(String::as_str);
        let own = match field(["data file", "datafile"]) {
            None => None,
            Some(name) if name.starts_with("LIST") || name.contains('%') => {
                return Err(files.unsupported("its voxels are in several files: save them as one .nrrd"));
            }
            Some(name) => Some(files.open(&files.beside(name)?)?),
        };
        if field(["line skip", "lineskip"]).is_some_and(|skip| skip.trim() != "0") {
            return Err(files.unsupported("it skips lines before its voxels: save it without them"));
        }
        let skip =
            field(["byte skip", "byteskip"]).map_or(Ok(0), |skip| number::<i64>(files, "byte skip", skip))?;
        let mut data = match own {
            None => source,
            Some(own) => {
                files.close(source)?;
                own
            }
        };
        let stored = Stored {
            shape,
            frame,
            voxel_type: self.voxel_type,
            big_endian: self.big_endian,
            slope: 1.0,
            intercept: 0.0,
        };
        let held = data.left();
        let skip = match u64::try_from(skip) {
            Ok(skip) => skip,
            // A skip of -1 means that the voxels are the end of the file.
            Err(_) if skip == -1 && self.encoding == Encoding::Raw => {
                let declared = self.voxels.saturating_mul(self.voxel_type.bytes() as u64);
                let path = files.path.to_owned();
                held.checked_sub(declared).ok_or(ReadError::Truncated { path, declared, held })?
            }
            Err(_) => return Err(files.unsupported("it counts its voxels from the end")),
        };
        let compressed = self.encoding != Encoding::Raw;
        let is_gzip = data.is_gzip();
        let mut stream: Box<dyn Read + '_> = match self.encoding {
            Encoding::Raw => Box::new(&mut data),
            Encoding::Gzip if is_gzip => Box::new(Members::new(&mut data)),
            Encoding::Gzip => Box::new(ZlibDecoder::new(&mut data)),
        };
        io::copy(&mut stream.by_ref().take(skip), &mut io::sink()).map_err(|error| files.damaged(&error))?;
        let held = if compressed { held } else { held.saturating_sub(skip) };
        stored.read(files, &mut *stream, held, compressed, sink)?;
        drop(stream);
        files.close(data)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Raw,
    Gzip,
}

/// The text of a header, which ends with an empty line.
struct Text {
    /// Fields, by their names in lower case.
    fields: HashMap<String, String>,
    /// `key:=value` pairs, which do not affect the storage of voxels.
    pairs: HashMap<String, String>,
}

impl Text {
    fn read(files: &Files<'_>, source: &mut Source) -> Result<Self, ReadError> {
        let mut text = Self { fields: HashMap::new(), pairs: HashMap::new() };
        let (mut line, mut read) = (Vec::new(), 0);
        if !header_text::next_line(files, source, &mut line, &mut read)? || !line.starts_with(b"NRRD") {
            return Err(files.invalid("it does not begin with NRRD"));
        }
        while header_text::next_line(files, source, &mut line, &mut read)? {
            if line.is_empty() {
                break;
            }
            if line.starts_with(b"#") {
                continue;
            }
            // Typed text may be in any character set.
            if let Some((key, value)) = any_text(&line).split_once(":=") {
                text.pairs.insert(key.trim().to_owned(), value.trim().to_owned());
                continue;
            }
            let line = std::str::from_utf8(&line).map_err(|_| files.invalid("its header is not text"))?;
            // The definition has a blank after the colon, which pynrrd and others do not ask for.
            let (key, value) =
                line.split_once(':').ok_or_else(|| files.invalid("a line of its header is not a field"))?;
            // Written as if they were fields, by writers that take `:` and `:=` for one.
            if key.starts_with("Segment") {
                text.pairs.insert(key.trim().to_owned(), value.trim().to_owned());
                continue;
            }
            let (key, value) = (key.trim().to_lowercase(), value.trim());
            let value =
                if key.starts_with("space ") { without_inner_blanks(value) } else { value.to_owned() };
            // The names of files follow, a line each.
            let is_list = ["data file", "datafile"].contains(&key.as_str()) && value.starts_with("LIST");
            let value = if key == "space directions" { with_none(&value) } else { value };
            text.fields.insert(key, value);
            if is_list {
                break;
            }
        }
        Ok(text)
    }
}

/// A value whose vectors, such as `(1, 0, 0)`, hold no blanks, so that blanks part them.
fn without_inner_blanks(value: &str) -> String {
    let mut inside = false;
    let keep = |c: &char| {
        inside = *c == '(' || inside && *c != ')';
        !(inside && c.is_whitespace())
    };
    value.chars().filter(keep).collect()
}

/// Space directions in which an axis without a place in space is "none", and not a vector of NaN,
/// as some writers have it.
fn with_none(directions: &str) -> String {
    let vectors = directions.split_whitespace();
    let named = vectors.map(|text| if text.eq_ignore_ascii_case("(nan,nan,nan)") { "none" } else { text });
    named.collect::<Vec<_>>().join(" ")
}

/// UTF-8 if it can be, else Latin-1.
fn any_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
    }
}

struct Header {
    axes: Vec<usize>,
    /// Voxels along all axes.
    voxels: u64,
    voxel_type: VoxelType,
    big_endian: bool,
    encoding: Encoding,
    space: Option<String>,
    directions: Option<String>,
    origin: Option<String>,
    spacings: Option<String>,
    /// Units of the three axes of space, or, if it has no space, of the stored axes.
    units: Units,
}

/// Units of length along three axes.
struct Units {
    /// Millimetres in each.
    mm: [f64; 3],
    finding: Option<Finding>,
}

impl Units {
    /// From a field such as `"um" "um" "um"`; millimetres if no unit is known.
    fn new(text: &str) -> Self {
        let names: Vec<&str> = match text.contains('"') {
            true => text.split('"').skip(1).step_by(2).collect(),
            false => text.split_whitespace().collect(),
        };
        let names: Vec<&str> = names.into_iter().take(3).map(str::trim).collect();
        let known: Vec<Option<f64>> = names.iter().map(|name| millimetres_in(name)).collect();
        let mm = std::array::from_fn(|axis| known.get(axis).copied().flatten().unwrap_or(1.0));
        let mut distinct = names.clone();
        distinct.dedup();
        let listed = distinct.join(", ");
        let unknown = names.iter().zip(&known).any(|(name, mm)| mm.is_none() && !says_nothing(name));
        let finding = if unknown {
            let problem = format!("its unit of length ({listed}) is unknown; mm was assumed");
            Some(Finding::new(Code::OddHeader, problem))
        } else {
            (mm != [1.0; 3]).then_some(other_unit(&listed))
        };
        Self { mm, finding }
    }
}

/// Whether a unit is unspecified.
fn says_nothing(unit: &str) -> bool {
    ["", "???", "none", "unknown"].contains(&unit.to_lowercase().as_str())
}

/// Millimetres in a unit of length, in its usual spellings; `None` for other words.
fn millimetres_in(unit: &str) -> Option<f64> {
    let unit = unit.to_lowercase();
    // The plural of a word; "ms" is not one.
    let word = unit.strip_suffix('s').filter(|word| word.len() > 2).unwrap_or(&unit);
    let unit = word.replace("meter", "metre");
    Some(match unit.as_str() {
        "mm" | "millimetre" => 1.0,
        "um" | "\u{b5}m" | "\u{3bc}m" | "micron" | "micrometre" => 1e-3,
        "nm" | "nanometre" => 1e-6,
        "cm" | "centimetre" => 10.0,
        "dm" | "decimetre" => 100.0,
        "m" | "metre" => 1e3,
        "in" | "inch" | "inche" => 25.4,
        _ => return None,
    })
}

impl Header {
    fn new(files: &Files<'_>, fields: &HashMap<String, String>) -> Result<Self, ReadError> {
        let need = |name: &str| {
            fields
                .get(name)
                .map(String::as_str)
                .ok_or_else(|| files.invalid(format!("it has no field '{name}'")))
        };
        let axes: Vec<usize> = numbers(files, "sizes", need("sizes")?)?;
        let stated = fields.get("dimension").map(|text| number::<usize>(files, "dimension", text));
        if let Some(stated) = stated.transpose()?.filter(|stated| *stated != axes.len()) {
            let problem = format!("its dimension is {stated}, and it has {} sizes", axes.len());
            return Err(files.invalid(problem));
        }
        let voxel_type = voxel_type(files, need("type")?)?;
        let encoding = match need("encoding")?.to_lowercase().as_str() {
            "raw" => Encoding::Raw,
            "gzip" | "gz" => Encoding::Gzip,
            other => {
                return Err(files.unsupported(format!("its encoding is {other}: save it as raw or gzip")));
            }
        };
        let big_endian = match fields.get("endian").map(|text| text.to_lowercase()).as_deref() {
            Some("big") => true,
            Some("little") => false,
            None if voxel_type.bytes() == 1 => false,
            None => return Err(files.invalid("it does not say its byte order (endian)")),
            Some(other) => return Err(files.invalid(format!("its byte order is '{other}'"))),
        };
        let copy = |name: &str| fields.get(name).cloned();
        Ok(Self {
            voxels: axes.iter().fold(1, |all: u64, n| all.saturating_mul(*n as u64)),
            axes,
            voxel_type,
            big_endian,
            encoding,
            space: copy("space").map(|space| space.to_lowercase()),
            directions: copy("space directions"),
            origin: copy("space origin"),
            spacings: copy("spacings"),
            units: Units::new(
                fields
                    .get(if fields.contains_key("space directions") { "space units" } else { "units" })
                    .map_or("", String::as_str),
            ),
        })
    }

    /// RAS+ millimetres.
    fn affine(&self, files: &Files<'_>) -> Result<(Affine, Vec<Finding>), ReadError> {
        let Some(directions) = &self.directions else { return self.sizes_only(files) };
        let signs = match self.space.as_deref() {
            Some("right-anterior-superior" | "ras") => [1.0, 1.0, 1.0],
            Some("left-anterior-superior" | "las") => [-1.0, 1.0, 1.0],
            Some("left-posterior-superior" | "lps") => [-1.0, -1.0, 1.0],
            Some(other) => {
                return Err(files.unsupported(format!(
                    "its space is {other}: pdl knows right-anterior-superior, left-anterior-superior and \
                     left-posterior-superior"
                )));
            }
            None => {
                return Err(files.unsupported("its header has directions but no space, so left may be right"));
            }
        };
        if self.axes.len() < 3 {
            let problem = format!("it has {} axes: expected the three of space", self.axes.len());
            return Err(files.unsupported(problem));
        }
        let mut steps = Vec::new();
        for (axis, text) in directions.split_whitespace().enumerate() {
            // An axis without a place in space holds frames, or components.
            match (text == "none", axis < 3) {
                (true, false) => (),
                (false, true) => steps.push(vector(files, text)?),
                _ => {
                    return Err(files.unsupported(
                        "its first three axes are not those of space: save it so that they are",
                    ));
                }
            }
        }
        let steps: [[f64; 3]; 3] =
            steps.try_into().map_err(|_| files.unsupported("it has fewer than three axes in space"))?;
        let origin = self.origin.as_deref().map_or(Ok([0.0; 3]), |text| vector(files, text))?;
        if !origin.iter().all(|v| v.is_finite()) {
            return Err(files.invalid(NO_ORIGIN));
        }
        let in_ras = |v: [f64; 3]| std::array::from_fn(|i| v[i] * signs[i] * self.units.mm[i]);
        let affine = Affine::from_columns(steps.map(in_ras), in_ras(origin));
        if !affine.is_usable() {
            return Err(files.invalid("its header has no usable voxel size"));
        }
        Ok((affine, self.units.finding.iter().cloned().collect()))
    }

    fn sizes_only(&self, files: &Files<'_>) -> Result<(Affine, Vec<Finding>), ReadError> {
        let missing = || files.unsupported("its header has no voxel size");
        let sides: Vec<f64> = numbers(files, "spacings", self.spacings.as_deref().ok_or_else(missing)?)?;
        let side = |axis: usize| sides.get(axis).copied().unwrap_or(f64::NAN) * self.units.mm[axis];
        let affine =
            Affine::from_columns([[side(0), 0.0, 0.0], [0.0, side(1), 0.0], [0.0, 0.0, side(2)]], [0.0; 3]);
        if !affine.is_usable() {
            return Err(missing());
        }
        Ok((affine, self.units.finding.iter().cloned().chain([no_transform()]).collect()))
    }
}

/// Where the first of four axes holds the parts of a voxel, such as a colour's, and the others are
/// those of space, says the fields as if it were the last. Returns its kind, if it was so.
fn components_last(fields: &mut HashMap<String, String>) -> Option<String> {
    const SPACE: [&str; 4] = ["domain", "space", "none", "???"];
    let kinds = fields.get("kinds").cloned()?;
    let kinds: Vec<&str> = kinds.split_whitespace().collect();
    let [first, rest @ ..] = kinds.as_slice() else { return None };
    let is_space = |kind: &&str| SPACE.contains(kind);
    let directions = fields.get("space directions").map(|text| text.trim().to_owned());
    let in_space = directions.as_deref().map(|text| text.strip_prefix("none"));
    if rest.len() != 3
        || is_space(first)
        || *first == "time"
        || !rest.iter().all(is_space)
        || in_space == Some(None)
    {
        return None;
    }
    if let Some(Some(text)) = in_space {
        fields.insert("space directions".to_owned(), format!("{} none", text.trim()));
    }
    for name in ["sizes", "spacings"] {
        let Some(text) = fields.get(name) else { continue };
        let mut parts: Vec<&str> = text.split_whitespace().collect();
        parts.rotate_left(1);
        let text = parts.join(" ");
        fields.insert(name.to_owned(), text);
    }
    fields.insert("kinds".to_owned(), format!("{} list", rest.join(" ")));
    Some((*first).to_owned())
}

/// The first three axes must be those of space, a fourth may count frames; no axis may hold the
/// parts of a voxel.
fn check_kinds(files: &Files<'_>, kinds: &str) -> Result<(), ReadError> {
    for (axis, kind) in kinds.split_whitespace().enumerate() {
        let frames = ["list", "time"].contains(&kind);
        if !["domain", "space", "none", "???"].contains(&kind) && (axis < 3 || !frames) {
            return Err(files.unsupported(format!(
                "its axis {} is of the kind {kind}: expected three spatial axes first, and one number per voxel",
                axis + 1
            )));
        }
    }
    Ok(())
}

/// `(x,y,z)`.
fn vector(files: &Files<'_>, text: &str) -> Result<[f64; 3], ReadError> {
    let inner = text.trim().strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let parts: Option<Vec<f64>> =
        inner.map(|text| text.split(',').map(|part| part.trim().parse().ok()).collect()).unwrap_or_default();
    parts
        .and_then(|parts| parts.try_into().ok())
        .ok_or_else(|| files.invalid(format!("expected a vector (x,y,z), found '{text}'")))
}

fn voxel_type(files: &Files<'_>, text: &str) -> Result<VoxelType, ReadError> {
    Ok(match text.to_lowercase().as_str() {
        "signed char" | "int8" | "int8_t" => VoxelType::Int8,
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => VoxelType::Uint8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => VoxelType::Int16,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => VoxelType::Uint16,
        "int" | "signed int" | "int32" | "int32_t" => VoxelType::Int32,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => VoxelType::Uint32,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => VoxelType::Int64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => {
            VoxelType::Uint64
        }
        "float" => VoxelType::Float32,
        "double" => VoxelType::Float64,
        other => {
            return Err(
                files.unsupported(format!("its voxels are of type {other}: expected one number per voxel"))
            );
        }
    })
}
