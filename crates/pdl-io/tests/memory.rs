//! What reading a volume takes in memory, against what its file holds.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use pdl_io::{ReadError, StackGeometry};
use pdl_store::memory::{MemoryError, MemoryLimit};
use pdl_volume::{Affine, Grid, LabelReading, Volume};

/// Counts the bytes that are allocated, and the most that ever were.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// The count is the process's, so that one test counts at a time.
static TURN: Mutex<()> = Mutex::new(());

fn more(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Large blocks are moved by their pages, not copied.
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        more(size);
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` gives, and the most memory that it took, bytes.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let result = work();
    (result, MOST.load(Ordering::Relaxed) - before)
}

#[test]
fn reading_takes_four_bytes_a_voxel_of_an_image_and_two_of_labels() {
    const SLACK: usize = 1 << 20;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("a.nii.gz");
    let grid =
        Grid::new([160, 160, 160], Affine::from_columns([[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [0.; 3]));
    let voxels = 160_usize.pow(3);
    let map = Volume { grid, voxels: (0..voxels).map(|v| (v / 7919 % 5) as u16).collect() };
    pdl_io::nifti::write_labels(&packed, &map).unwrap();
    let plain = folder.path().join("a.nii");
    let mut bytes = Vec::new();
    let mut stream = flate2::read::GzDecoder::new(File::open(&packed).unwrap());
    Read::read_to_end(&mut stream, &mut bytes).unwrap();
    fs::write(&plain, &bytes).unwrap();
    drop(bytes);
    for path in [&plain, &packed] {
        let (image, most) = measured(|| pdl_io::read_image(path).unwrap());
        assert_eq!(image.voxel_type, "uint8");
        assert_eq!(image.blake3, pdl_store::hash::of_file(path).unwrap());
        assert!(most < 4 * voxels + SLACK, "{most} bytes for {voxels} voxels of {}", path.display());
        drop(image);
        let (labels, most) = measured(|| pdl_io::read_labels(path).unwrap());
        assert_eq!(labels.map.voxels, map.voxels);
        assert!(most < 2 * voxels + SLACK, "{most} bytes for {voxels} voxels of {}", path.display());
    }
}

/// A side of a cube of one-byte voxels, far more than the limit has room for.
const SIDE: usize = 400;
const LIMIT: u64 = 64 << 20;

/// So many zeros, as this encoder packs them.
fn packed<W: Write>(mut encoder: W) -> W {
    for _ in 0..SIDE {
        encoder.write_all(&[0; SIDE * SIDE]).unwrap();
    }
    encoder
}

fn gzip(head: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(head).unwrap();
    packed(encoder).finish().unwrap()
}

/// A file that is honest, and of which the disk holds its head only.
fn sparse(path: &Path, head: &[u8], voxels: usize) {
    let mut file = File::create(path).unwrap();
    file.write_all(head).unwrap();
    file.set_len((head.len() + voxels) as u64).unwrap();
}

/// Volumes that are what their headers say, each of 64 million voxels.
fn large_volumes(folder: &Path) -> Vec<PathBuf> {
    let small = folder.join("small.nii.gz");
    let affine = Affine::from_columns([[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [0.; 3]);
    pdl_io::nifti::write_labels(&small, &Volume { grid: Grid::new([1, 1, 1], affine), voxels: vec![1] })
        .unwrap();
    let mut nifti = Vec::new();
    flate2::read::GzDecoder::new(File::open(&small).unwrap()).read_to_end(&mut nifti).unwrap();
    nifti.truncate(352);
    for axis in 0..3 {
        nifti[42 + 2 * axis..44 + 2 * axis].copy_from_slice(&(SIDE as u16).to_le_bytes());
    }
    let nrrd = |encoding: &str| {
        let head = "NRRD0004\ntype: uchar\ndimension: 3\nspacings: 1 1 1\n";
        format!("{head}sizes: {SIDE} {SIDE} {SIDE}\nencoding: {encoding}\n\n").into_bytes()
    };
    let meta = |compressed: &str| {
        let head = "NDims = 3\nElementSpacing = 1 1 1\nElementType = MET_UCHAR\n";
        let size = format!("DimSize = {SIDE} {SIDE} {SIDE}\nCompressedData = {compressed}\n");
        format!("{head}{size}ElementDataFile = LOCAL\n").into_bytes()
    };
    let zlib = packed(flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast()));
    let path = |name: &str| folder.join(name);
    fs::write(path("a.nii.gz"), gzip(&nifti)).unwrap();
    fs::write(path("a.nrrd"), [nrrd("gzip"), gzip(&[])].concat()).unwrap();
    fs::write(path("a.mha"), [meta("True"), zlib.finish().unwrap()].concat()).unwrap();
    sparse(&path("b.nii"), &nifti, SIDE.pow(3));
    sparse(&path("b.nrrd"), &nrrd("raw"), SIDE.pow(3));
    sparse(&path("b.mha"), &meta("False"), SIDE.pow(3));
    ["a.nii.gz", "a.nrrd", "a.mha", "b.nii", "b.nrrd", "b.mha"].map(path).to_vec()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(path: &Path, read: impl FnOnce() -> Result<T, ReadError>) {
    const SLACK: usize = 4 << 20;
    let (read, most) = measured(read);
    let error = read.unwrap_err();
    assert!(matches!(error.memory(), Some(MemoryError::TooLarge { allowed: LIMIT, .. })), "{error}");
    assert!(error.reason().contains("and the limit is 64.0 MiB"), "{}", error.reason());
    assert!(most < SLACK, "{most} bytes for {}", path.display());
}

#[test]
fn volumes_that_need_more_than_the_limit_are_refused_before_it_is_taken() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let limit = MemoryLimit::new(LIMIT);
    for path in large_volumes(folder.path()) {
        refused(&path, || pdl_io::read_image_within(&path, &limit.alone()));
        refused(&path, || pdl_io::read_labels_within(&path, &limit.alone()));
    }
    let small = folder.path().join("small.nii.gz");
    assert!(pdl_io::read_image_within(&small, &limit.alone()).is_ok(), "what was taken is given back");
}

/// A slice of 70 million grey pixels in every format, each in a folder of its own.
fn large_slices(folder: &Path) -> Vec<PathBuf> {
    const SIDE: u32 = 8400;
    let folders = ["png", "tiff", "jpeg"].map(|name| folder.join(name));
    folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
    let file = File::create(folders[0].join("1.png")).unwrap();
    let mut encoder = png::Encoder::new(file, SIDE, SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    (0..SIDE).for_each(|_| stream.write_all(&[0; SIDE as usize]).unwrap());
    stream.finish().unwrap();
    // A directory of width, height, bits, compression, meaning of 0, and one strip: where, rows and
    // length.
    let mut tiff = b"II*\0\x08\0\0\0\x08\0".to_vec();
    let entries = [(256, SIDE), (257, SIDE), (258, 8), (259, 1), (262, 1), (273, 110), (278, SIDE)];
    for (tag, value) in entries.into_iter().chain([(279, SIDE * SIDE)]) {
        tiff.extend([&(tag as u16).to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat());
    }
    sparse(&folders[1].join("1.tif"), &tiff, 4 + (SIDE * SIDE) as usize);
    let grey = image::GrayImage::new(SIDE, SIDE);
    image::codecs::jpeg::JpegEncoder::new(File::create(folders[2].join("1.jpg")).unwrap())
        .encode_image(&grey)
        .unwrap();
    folders.to_vec()
}

#[test]
fn slices_that_need_more_than_the_limit_are_refused_before_it_is_taken() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let geometry = StackGeometry { spacing_mm: [1.0; 3], axes: "LPS".parse().unwrap() };
    let limit = MemoryLimit::new(LIMIT);
    for path in large_slices(folder.path()) {
        refused(&path, || pdl_io::read_image_stack_within(&path, &geometry, &limit.alone()));
        if !path.ends_with("jpeg") {
            refused(&path, || {
                pdl_io::read_label_stack_within(&path, &geometry, LabelReading::default(), &limit.alone())
            });
        }
    }
    let tiff = folder.path().join("tiff/1.tif");
    refused(&tiff, || pdl_io::read_image_stack_within(&tiff, &geometry, &limit.alone()));
}
