//! What reading a volume takes in memory, against what its file holds.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use pdl_volume::{Affine, Grid, Volume};

/// Counts the bytes that are allocated, and the most that ever were.
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
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("a.nii.gz");
    let grid =
        Grid::new([160, 160, 160], Affine::from_columns([[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [0.; 3]));
    let voxels = 160_usize.pow(3);
    let map = Volume { grid, voxels: (0..voxels).map(|v| (v / 7919 % 5) as u16).collect() };
    pdl_io::nifti::write_labels(&packed, &map).unwrap();
    let plain = folder.path().join("a.nii");
    let mut bytes = Vec::new();
    let mut stream = flate2::read::GzDecoder::new(std::fs::File::open(&packed).unwrap());
    std::io::Read::read_to_end(&mut stream, &mut bytes).unwrap();
    std::fs::write(&plain, &bytes).unwrap();
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
