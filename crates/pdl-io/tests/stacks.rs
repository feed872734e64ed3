//! Stacks of slices against what other programs wrote and read: tests/golden/data/stacks, by
//! tests/golden/scripts/stacks.py.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pdl_findings::{Code, Finding};
use pdl_io::{ReadError, StackGeometry, read_image, read_image_stack, read_label_stack, stack, stem};
use pdl_store::memory::MemoryLimit;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    known: BTreeMap<String, Expected>,
    /// Words of the reason.
    refused: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Expected {
    labels: bool,
    lossy: bool,
    spacing_mm: [f64; 3],
    axes: String,
    shape: [usize; 3],
    affine: Vec<f64>,
    voxels: Vec<f64>,
}

impl Expected {
    fn geometry(&self) -> StackGeometry {
        StackGeometry { spacing_mm: self.spacing_mm, axes: self.axes.parse().unwrap() }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/data")
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(folder().join("stacks.json")).unwrap()).unwrap()
}

fn geometry() -> StackGeometry {
    StackGeometry { spacing_mm: [0.7, 1.1, 2.5], axes: "LPS".parse().unwrap() }
}

#[test]
fn every_stack_is_read_as_others_read_it() {
    let known = golden().known;
    assert!(known.len() >= 20, "{:?}", known.keys());
    for (name, expected) in known {
        let path = folder().join("stacks").join(&name);
        assert!(stack::is_stack(&path).unwrap(), "{name}");
        let (grid, voxels, parts): (_, Vec<f64>, _) = if expected.labels {
            let labels = read_label_stack(&path, &expected.geometry()).unwrap();
            (labels.map.grid, labels.map.voxels.iter().map(|v| f64::from(*v)).collect(), labels.parts)
        } else {
            let image = read_image_stack(&path, &expected.geometry()).unwrap();
            assert_eq!(image.findings, [], "{name}");
            (image.volume.grid, image.volume.voxels.iter().map(|v| f64::from(*v)).collect(), image.parts)
        };
        assert_eq!(grid.shape, expected.shape, "{name}");
        assert_eq!(grid.orientation().to_string(), expected.axes, "{name}");
        for (ours, theirs) in grid.affine.to_row_major().iter().zip(&expected.affine) {
            assert!((ours - theirs).abs() < 1e-9, "{name}: {:?}", grid.affine);
        }
        // Decoders of JPEG may round differently.
        let tolerance = f64::from(u8::from(expected.lossy));
        assert_eq!(voxels.len(), expected.voxels.len(), "{name}");
        let apart = voxels.iter().zip(&expected.voxels).map(|(ours, theirs)| (ours - theirs).abs());
        assert!(apart.fold(0.0, f64::max) <= tolerance, "{name}: {voxels:?}");
        let files = parts.iter().map(|part| (&part.path, &part.blake3));
        for (file, hash) in files {
            assert_eq!(&pdl_store::hash::of_file(file).unwrap(), hash, "{name}");
        }
        assert_eq!(parts.len(), stack::files_of(&path).unwrap().len(), "{name}");
    }
}

#[test]
fn what_is_no_stack_of_grey_slices_is_refused_with_the_reason() {
    let refused = golden().refused;
    assert!(refused.len() >= 13);
    for (name, reason) in refused {
        let path = folder().join("stacks").join(&name);
        let error = read_image_stack(&path, &geometry()).unwrap_err();
        assert!(error.reason().contains(&reason), "{name}: {error}");
        assert!(!error.reason().contains(&name), "{name}: {error}");
        assert!(read_label_stack(&path, &geometry()).is_err(), "{name}");
    }
    let jpeg = read_label_stack(&folder().join("stacks/jpeg"), &geometry()).unwrap_err();
    assert!(jpeg.to_string().contains("JPEG, which changes values"), "{jpeg}");
    // As intensities its colours count, and they differ.
    let palette = read_image_stack(&folder().join("stacks/png-palette"), &geometry()).unwrap_err();
    assert!(palette.to_string().contains("slice 1 of 3 is in colour"), "{palette}");
}

#[test]
fn a_colour_of_a_picture_is_a_volume() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.png");
    let pixels: Vec<u8> = (0..24).collect();
    let picture = image::RgbImage::from_raw(4, 2, pixels.clone()).unwrap();
    picture.save(&path).unwrap();
    let memory = MemoryLimit::free();
    assert!(stack::is_in_colour(&path, &memory.alone()).unwrap());
    for colour in 0..3 {
        let name = scratch.path().join(format!("a.png#{colour}"));
        assert!(stack::is_stack(&name).unwrap() && stack::is_picture(&name).unwrap());
        assert_eq!(stack::files_of(&name).unwrap(), std::slice::from_ref(&path));
        let voxels = read_image_stack(&name, &geometry()).unwrap().volume.voxels;
        let right: Vec<f32> = pixels.iter().skip(colour).step_by(3).map(|value| f32::from(*value)).collect();
        assert_eq!(voxels, right);
    }
    assert!(refusal(&scratch.path().join("a.png#3")).contains("numbered from 0"));
    assert!(refusal(&path).contains("is in colour"));
    assert!(read_label_stack(&scratch.path().join("a.png#0"), &geometry()).is_err(), "labels are no colours");
}

#[test]
fn without_a_geometry_a_stack_is_refused_with_what_to_do() {
    for name in ["png-8", "uint16.tif"] {
        let error = read_image(&folder().join("stacks").join(name)).unwrap_err().to_string();
        assert!(error.contains("--stack-spacing"), "{error}");
    }
    for spacing_mm in [[0.0, 1.0, 1.0], [1.0, f64::NAN, 1.0], [1.0, 1.0, f64::INFINITY]] {
        let geometry = StackGeometry { spacing_mm, ..geometry() };
        assert!(read_image_stack(&folder().join("stacks/png-8"), &geometry).is_err(), "{spacing_mm:?}");
    }
}

/// A copy of a folder of slices.
fn copy(name: &str) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    for slice in stack::files_of(&folder().join("stacks").join(name)).unwrap() {
        fs::copy(&slice, scratch.path().join(slice.file_name().unwrap())).unwrap();
    }
    scratch
}

fn refusal(folder: &Path) -> String {
    read_image_stack(folder, &geometry()).unwrap_err().reason()
}

#[test]
fn slices_that_are_missing_or_not_alike_are_named_by_their_position() {
    let slices = copy("png-8");
    let slice = |number: usize| slices.path().join(format!("slice{number}.png"));
    // What is not of the stack does not matter.
    fs::write(slices.path().join("notes.txt"), "a").unwrap();
    fs::write(slices.path().join("._slice3.png"), "a").unwrap();
    fs::create_dir(slices.path().join("more.png")).unwrap();
    let whole = read_image_stack(slices.path(), &geometry()).unwrap();
    assert_eq!((whole.volume.grid.shape[2], whole.parts.len()), (12, 12));

    let kept = fs::read(slice(7)).unwrap();
    fs::write(slice(7), &kept[..40]).unwrap();
    assert!(refusal(slices.path()).contains("its slice 7 of 12 cannot be decoded"));
    fs::copy(folder().join("stacks/png-16/slice_001.png"), slice(7)).unwrap();
    let problem = refusal(slices.path());
    assert!(problem.contains("slice 7 of 12 has 5 x 4 pixels of 16 bits (uint16)"), "{problem}");
    fs::copy(folder().join("stacks/png-1-bit/slice1.png"), slice(7)).unwrap();
    assert!(refusal(slices.path()).contains("5 x 4 pixels of 1 bits"));
    fs::remove_file(slice(7)).unwrap();
    assert!(refusal(slices.path()).contains("after number 6, the slice 6 of 11, comes 8"));
    fs::write(slice(7), &kept).unwrap();
    fs::write(slices.path().join("slice07.png"), &kept).unwrap();
    assert!(refusal(slices.path()).contains("two of its slices have the number 7"));
    fs::rename(slices.path().join("slice07.png"), slices.path().join("slice13.tif")).unwrap();
    assert!(refusal(slices.path()).contains("several formats"));
    fs::rename(slices.path().join("slice13.tif"), slices.path().join("slice13.png")).unwrap();
    let longer = read_image_stack(slices.path(), &geometry()).unwrap();
    assert_eq!(longer.volume.grid.shape, [5, 4, 13]);
    assert_ne!(longer.blake3, whole.blake3);

    let pages = copy("tiff-lzw");
    fs::copy(folder().join("stacks/uint16.tif"), pages.path().join("slice2.tif")).unwrap();
    assert!(refusal(pages.path()).contains("slice 2 of 3 is a file of 12 pages"));
    let nothing = tempfile::tempdir().unwrap();
    assert!(matches!(read_image_stack(nothing.path(), &geometry()), Err(ReadError::Unsupported { .. })));
}

#[test]
fn a_single_slice_is_a_volume_and_a_remark() {
    let slices = copy("png-8");
    for number in 2..=12 {
        fs::remove_file(slices.path().join(format!("slice{number}.png"))).unwrap();
    }
    let image = read_image_stack(slices.path(), &geometry()).unwrap();
    assert_eq!(image.volume.grid.shape, [5, 4, 1]);
    assert!(matches!(image.findings.as_slice(), [Finding { code: Code::OddHeader, .. }]));
}

#[test]
fn cut_and_changed_slices_are_refused_or_read_but_never_panic() {
    let folders =
        ["png-8", "png-palette", "jpeg", "jpeg-progressive", "tiff-lzw", "tiff-float", "tiff-int32"];
    let files = [
        "uint16.tif",
        "int16-zlib.tif",
        "big.tif",
        "tiles.tif",
        "pillow.tif",
        "one-by-one.tif",
        "named.ome.tif",
    ];
    // A read of a new file waits for the clock: the files wait side by side.
    std::thread::scope(|scope| {
        for name in folders {
            scope.spawn(move || {
                let slices = copy(name);
                many_changes(slices.path(), &stack::files_of(slices.path()).unwrap()[1]);
            });
        }
        for name in files {
            scope.spawn(move || {
                let scratch = tempfile::tempdir().unwrap();
                let path = scratch.path().join(name);
                fs::copy(folder().join("stacks").join(name), &path).unwrap();
                many_changes(&path, &path);
            });
        }
    });
}

/// Cuts a file of a stack at every seventh byte, then changes every seventh of its first bytes.
fn many_changes(stack: &Path, file: &Path) {
    let labels = || {
        read_label_stack(stack, &geometry())
            .map(|labels| labels.map.voxels.iter().map(|v| f32::from(*v)).collect())
    };
    let read = || read_image_stack(stack, &geometry()).map(|image| image.volume.voxels).or_else(|_| labels());
    let (whole, bytes) = (read().unwrap(), fs::read(file).unwrap());
    let mut refused = 0;
    let cuts = (0..bytes.len()).step_by(7);
    for length in cuts.clone() {
        fs::write(file, &bytes[..length]).unwrap();
        // What comes last may be padding, or a tag that nobody needs: then every voxel is there.
        match read() {
            Ok(voxels) => assert_eq!(voxels, whole, "cut at {length} of {}: {}", bytes.len(), file.display()),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > cuts.len() / 2, "{refused} of {} cuts: {}", cuts.len(), file.display());
    for place in (0..bytes.len().min(600)).step_by(7) {
        for value in [0, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[place] = value;
            fs::write(file, &changed).unwrap();
            let _ = read();
        }
    }
}

#[test]
fn names_tell_stacks_from_other_files() {
    let at = |name: &str| folder().join("stacks").join(name);
    assert!(stack::has_pages(&at("uint16.tif")).unwrap() && stack::has_pages(&at("named.ome.tif")).unwrap());
    for name in ["png-8", "tiff-lzw/slice1.tif", "png-8/slice1.png", "missing.tif"] {
        assert!(!stack::has_pages(&at(name)).unwrap(), "{name}");
    }
    assert!(!stack::is_stack(&folder()).unwrap() && stack::is_stack(&at("png-8/slice1.png")).unwrap());
    let pictures = ["png-8", "png-8/slice1.png", "uint16.tif", "missing.tif"];
    assert_eq!(pictures.map(|name| stack::is_picture(&at(name)).unwrap()), [false, true, false, false]);
    assert!(stack::is_slice_name("a.PNG") && !stack::is_slice_name(".a.png") && !stack::is_slice_name("png"));
    assert_eq!(["a.b.tif", "a.ome.tif", "A.TIFF", "a.png"].map(stem), ["a.b", "a", "A", "a"]);
}
