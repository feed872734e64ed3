//! Event files of TensorBoard: scalars and images of a run, appended while it trains.
//!
//! A file is a sequence of records (TFRecord): the length of a message as u64, its masked CRC-32C,
//! the message (`event.proto`), and its masked CRC-32C, all little-endian. A resumed run starts
//! another file, whose first message makes TensorBoard discard what an interrupted run wrote after
//! its checkpoint.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crc::{CRC_32_ISCSI, Crc};
use pdl_store::StoreError;
use pdl_store::safe_path::SafePath;
use prost::Message;

use crate::error::Result;
use crate::train::validation_images::Picture;

/// Name of the folder with event files in a run's folder.
pub const FOLDER: &str = "tensorboard";
/// Version of the file format.
const VERSION: &str = "brain.Event:2";
/// Checksum of records.
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// Added to a checksum after its rotation (TFRecord).
const MASK: u32 = 0xa282_ead8;
/// Number of colour channels of an RGB image.
const RGB: i32 = 3;

/// A message of an event file, with the field numbers of `event.proto`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session: Option<Session>,
}

/// Values of one step.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// A named scalar or image.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
}

/// An image, encoded as PNG.
#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded: Vec<u8>,
}

/// Start of a session: later steps of earlier files are discarded.
#[derive(Clone, PartialEq, Message)]
struct Session {
    /// 1: started.
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Writer of one event file.
#[derive(Debug)]
pub struct EventWriter {
    file: BufWriter<File>,
    path: PathBuf,
}

impl EventWriter {
    /// Starts a file in the folder of a run that has done `step` steps. A new run (no steps)
    /// removes the files of an earlier one.
    ///
    /// # Errors
    /// [`crate::FitError::Store`] if the file cannot be created.
    pub fn start(run: &Path, step: u64) -> Result<Self> {
        let folder = SafePath::new(run, FOLDER)?;
        if step == 0 {
            pdl_store::atomic::remove_folder(&folder)?;
        }
        let folder = folder.create()?;
        let (file, path) = create(&folder)?;
        let mut writer = Self { file: BufWriter::new(file), path };
        writer.append(&Event { file_version: Some(VERSION.to_owned()), ..now(0) })?;
        writer.append(&Event { session: Some(Session { status: 1 }), ..now(step + 1) })?;
        Ok(writer)
    }

    /// Appends scalars of a step; NaN, a Dice without a case that counts, is omitted.
    ///
    /// # Errors
    /// [`crate::FitError::Store`] if the file cannot be written.
    pub fn scalars(&mut self, step: u64, scalars: &[(String, f64)]) -> Result<()> {
        let numbers = scalars.iter().filter(|(_, value)| !value.is_nan());
        let value = |(tag, value): &(String, f64)| Value {
            tag: tag.clone(),
            simple_value: Some(*value as f32),
            image: None,
        };
        let summary = Summary { value: numbers.map(value).collect() };
        self.append(&Event { summary: Some(summary), ..now(step) })
    }

    /// Appends an image of a step.
    ///
    /// # Errors
    /// [`crate::FitError::Store`] if the file cannot be written.
    pub fn image(&mut self, step: u64, tag: &str, picture: Picture) -> Result<()> {
        let Picture { width, height, png } = picture;
        let (width, height) = (width as i32, height as i32);
        let image = Image { height, width, colorspace: RGB, encoded: png };
        let value = Value { tag: tag.to_owned(), simple_value: None, image: Some(image) };
        self.append(&Event { summary: Some(Summary { value: vec![value] }), ..now(step) })
    }

    /// Flushes to the system, so that TensorBoard sees the events.
    ///
    /// # Errors
    /// [`crate::FitError::Store`] if the file cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.file.flush().map_err(StoreError::io("write the file", &self.path))?)
    }

    fn append(&mut self, event: &Event) -> Result<()> {
        let record = record(&event.encode_to_vec());
        Ok(self.file.write_all(&record).map_err(StoreError::io("write the file", &self.path))?)
    }
}

/// Creates a file whose name sorts after those of earlier ones; TensorBoard reads them in this
/// order.
fn create(folder: &Path) -> Result<(File, PathBuf)> {
    let mut number = seconds_since_1970() as u64;
    loop {
        let path = folder.join(format!("events.out.tfevents.{number:010}.pdl"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(StoreError::io("make the file", &path)(error).into()),
        }
    }
}

fn now(step: u64) -> Event {
    Event { wall_time: seconds_since_1970(), step: step as i64, ..Event::default() }
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |passed| passed.as_secs_f64())
}

/// A record with the checksums of its length and of its message.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), message, &masked(message)].concat()
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    CHECKSUM.checksum(bytes).rotate_right(15).wrapping_add(MASK).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events of all files of a run in the order of their names; every checksum must hold.
    fn events(run: &Path) -> Vec<Event> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(run.join(FOLDER)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut events = Vec::new();
        for file in files {
            let bytes = std::fs::read(file).unwrap();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                let message = &rest[12..12 + length];
                assert_eq!(rest[..16 + length], record(message));
                events.push(Event::decode(message).unwrap());
                rest = &rest[16 + length..];
            }
        }
        events
    }

    /// The record of "pdl" by the package tensorboard 2.21, and the check value of CRC-32C.
    #[test]
    fn records_are_those_of_tensorboard() {
        let theirs = [3, 0, 0, 0, 0, 0, 0, 0, 176, 153, 73, 14, 112, 100, 108, 193, 147, 46, 29];
        assert_eq!(record(b"pdl"), theirs);
        assert_eq!(CHECKSUM.checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_resumed_run_adds_a_file_and_a_new_one_replaces_all() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::start(folder.path(), 0).unwrap();
        writer.scalars(1, &[("loss".into(), 0.5), ("dice".into(), f64::NAN)]).unwrap();
        writer.flush().unwrap();
        let mut resumed = EventWriter::start(folder.path(), 7).unwrap();
        let picture = Picture { width: 3, height: 2, png: vec![1, 2] };
        resumed.image(8, "case", picture).unwrap();
        resumed.flush().unwrap();
        let found = events(folder.path());
        let steps: Vec<i64> = found.iter().map(|event| event.step).collect();
        assert_eq!(steps, [0, 1, 1, 0, 8, 8]);
        let values: Vec<&Value> = found
            .iter()
            .filter_map(|event| event.summary.as_ref())
            .flat_map(|summary| &summary.value)
            .collect();
        assert_eq!((values[0].tag.as_str(), values[0].simple_value), ("loss", Some(0.5)));
        let image = values[1].image.as_ref().unwrap();
        assert_eq!((image.width, image.height, image.encoded.as_slice()), (3, 2, &[1, 2][..]));
        EventWriter::start(folder.path(), 0).unwrap().flush().unwrap();
        assert_eq!(events(folder.path()).len(), 2);
    }
}
