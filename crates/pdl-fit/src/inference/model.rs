//! Trained model: the network of a finished run with its record.

use std::path::Path;

use pdl_store::hash;
use pdl_volume::{Grid, LabelMap, Volume};

use crate::data::case::Channels;
use crate::error::{FitError, Result};
use crate::experiment::run_record::{self, RunRecord};
use crate::inference::sliding_window::SlidingWindow;
use crate::model::device::{ComputeDevice, DeviceChoice};
use crate::model::unet::UNet;
use crate::model::weights::Weights;
use crate::train::training;

/// Network of a finished run, with the EMA of its weights.
#[derive(Debug)]
pub struct Model {
    /// Record of the run.
    pub record: RunRecord,
    /// Label values and their channels.
    pub channels: Channels,
    net: UNet,
    weights: Weights,
    device: ComputeDevice,
}

impl Model {
    /// Reads the folder of a finished run, and sets libtorch's threads (`None`: all cores).
    ///
    /// # Errors
    /// [`FitError`] if there is no finished run, the weights do not match its record, or there is
    /// no such device.
    pub fn load(run: &Path, device: DeviceChoice, threads: Option<usize>) -> Result<Self> {
        let record = run_record::read(run)?;
        let path = run.join(run_record::WEIGHTS_FILE);
        if hash::of_file(&path)? != record.results.weights_blake3 {
            let problem = "the weights are not those of the run's record; train the run again".to_owned();
            return Err(FitError::InvalidFile { problem, path });
        }
        let settings = record.settings.with(|settings| {
            (settings.machine.device, settings.machine.threads) = (device, threads);
        });
        training::prepare_libtorch(&settings)?;
        let device = ComputeDevice::choose(device)?;
        let net = UNet::new(record.plan.network).on(device);
        let weights = Weights::load(net.parameters(), &path, device)?;
        let channels = Channels::new(record.labels.iter().map(|label| label.value).collect());
        Ok(Self { record, channels, net, weights, device })
    }

    /// Sliding-window inference for prepared cases.
    pub fn predictor(&self) -> SlidingWindow<'_> {
        let Self { record, net, weights, device, .. } = self;
        let window = record.plan.schedule.window_after(record.results.steps);
        SlidingWindow { net, weights, regions: &record.plan.regions, window, device: *device }
    }

    /// The network and its weights.
    pub fn network(&self) -> (&UNet, &Weights) {
        (&self.net, &self.weights)
    }

    /// Converts channels (z, y, x) in RAS+ orientation to label values in the orientation of
    /// `stored`.
    ///
    /// # Errors
    /// [`FitError::Volume`] if the number of voxels differs.
    pub fn to_labels(&self, channels: &[u8], stored: Grid) -> Result<LabelMap> {
        let values: Vec<u16> = [0].into_iter().chain(self.channels.labels().iter().copied()).collect();
        let voxels = channels.iter().map(|&channel| values[usize::from(channel)]).collect();
        Ok(Volume::new(stored.to_ras(), voxels)?.stored_as(stored)?)
    }
}
