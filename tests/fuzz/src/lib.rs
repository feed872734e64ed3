//! What the fuzz targets share: an allocator that counts, and files for readers that take paths.
//!
//! No input may crash a reader, and none may take more memory than 4 times its honest size and a
//! fixed amount. The honest size is that of the file, or of what it turns out to hold: inflated,
//! decoded, as float32.

pub mod headers;
pub mod kinds;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use pdl_dicom::{ReadOptions, Scan, SeriesImage, read_series, scan};
use tempfile::TempDir;

/// What a file's structure may take: a data set of tiny items takes some 80 times its size, and
/// inputs are short.
pub const OF_A_DATA_SET: usize = 8 << 20;
/// Buffers, a decoder's state.
pub const OF_A_VOLUME: usize = 1 << 20;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn more(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        more(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Does the work, which gives the honest size if it is more than `size`, and panics when it took
/// more memory than 4 times that and `fixed`.
pub fn bounded(size: usize, fixed: usize, work: impl FnOnce() -> usize) {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let honest = work().max(size);
    let most = MOST.load(Ordering::Relaxed).saturating_sub(before);
    assert!(most <= 4 * honest + fixed, "{most} bytes were held at once for a file of {honest}");
}

/// The kind that an input names, and the file.
pub fn kind<'a>(kinds: &[&'static str], input: &'a [u8]) -> Option<(&'static str, &'a [u8])> {
    let (place, file) = input.split_first()?;
    Some((kinds[usize::from(*place) % kinds.len()], file))
}

/// Writes an input under this name into a folder of this process.
pub fn file(name: &str, data: &[u8]) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let memory = std::path::Path::new("/dev/shm");
        if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }
            .expect("a folder for the inputs")
    });
    let path = folder.path().join(name);
    path.parent().map(fs::create_dir_all).expect("a folder").expect("a folder of its own");
    fs::write(&path, data).expect("the input is written");
    path
}

/// How many bytes the deflated streams of an input hold, wherever they begin: at its start, behind
/// a header of text or behind a DICOM meta group.
pub fn inflated(data: &[u8]) -> usize {
    let after =
        |mark: &[u8]| data.windows(mark.len()).position(|w| w == mark).map(|at| &data[at + mark.len()..]);
    let starts = [Some(data), after(b"\n\n"), after(b"LOCAL\n"), after(b"LOCAL\r\n"), after(b"\r\n\r\n")];
    let held = |data: &[u8]| {
        let gzip = flate2::bufread::MultiGzDecoder::new(data);
        let zlib = flate2::bufread::ZlibDecoder::new(data);
        count(gzip).max(count(zlib))
    };
    starts.into_iter().flatten().map(held).max().unwrap_or_default()
}

/// Bytes of a PNG's samples as float32, those of a palette as three, when its data inflate to all
/// that it declares.
pub fn decoded_png(data: &[u8]) -> usize {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
    let mut rest = data.get(8..).unwrap_or_default();
    let (mut head, mut stream) = (None, Vec::new());
    while let Some((length, after)) = rest.split_at_checked(4) {
        let length = number(length) as usize;
        let Some((kind, after)) = after.split_at_checked(4) else { break };
        let (content, after) = after.split_at(length.min(after.len()));
        match kind {
            b"IHDR" if head.is_none() => head = content.get(..10),
            b"IDAT" => stream.extend_from_slice(content),
            _ => (),
        }
        rest = after.get(4..).unwrap_or_default();
    }
    let Some(head) = head else { return 0 };
    let (columns, rows, bits) = (number(&head[..4]), number(&head[4..8]), u128::from(head[8]));
    let (stored, colours) = match head[9] {
        3 => (1, 3),
        colour => {
            let channels = [1, 0, 3, 0, 2, 0, 4].get(usize::from(colour)).copied().unwrap_or(0);
            (channels, channels)
        }
    };
    let bytes = (columns * bits * stored).div_ceil(8) * rows;
    let whole = bytes > 0 && count(flate2::bufread::ZlibDecoder::new(stream.as_slice())) as u128 >= bytes;
    if whole { (4 * columns * rows * colours) as usize } else { 0 }
}

/// How many bytes a stream gives before it ends or breaks off.
fn count(mut stream: impl Read) -> usize {
    let (mut piece, mut all) = ([0; 4096], 0);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        all += count;
    }
    all
}

/// Takes an input of several files apart: each begins with its length in two bytes.
pub fn parts(mut data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let [low, high, rest @ ..] = data {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (part, after) = rest.split_at(length);
        parts.push(part);
        data = after;
        if parts.len() == 8 {
            break;
        }
    }
    parts
}

/// Scans these files and reads every series; gives both and the bytes of all volumes.
pub fn read(files: &[&[u8]]) -> (Scan, Vec<SeriesImage>, usize) {
    let name = |number: usize| format!("{number}.dcm");
    let paths: Vec<PathBuf> =
        files.iter().enumerate().map(|(number, data)| file(&name(number), data)).collect();
    let scan = scan(&paths, &|| ()).unwrap_or_default();
    let options = ReadOptions { mr_rescale: true, ..ReadOptions::default() };
    let images: Vec<SeriesImage> =
        scan.series.iter().filter_map(|series| read_series(series, options).ok()).collect();
    let bytes = images.iter().map(|image| 4 * image.volume.voxels.len()).sum();
    (scan, images, bytes)
}
