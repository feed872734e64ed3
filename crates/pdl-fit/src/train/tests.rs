//! Short runs on a synthetic problem: a bright square on noise.

use crate::data::case::Case;
use crate::data::dataset::{EvalCase, Loaded};
use crate::data::random::{Purpose, Random};
use crate::error::FitError;
use crate::experiment::run_record::EndReason;
use crate::model::device::ComputeDevice;
use crate::model::unet::NetworkPlan;
use crate::optim::lr_schedule::LearningRates;
use crate::plan::curriculum_schedule::{CaseOrder, PatchSpec, ResolutionPhase, Schedule};
use crate::plan::run_plan::RunPlan;
use crate::plan::settings::Settings;
use crate::train::checkpoint::{self, State};
use crate::train::early_stop::{has_stalled, steps_to};
use crate::train::history::HistoryRow;
use crate::train::trainer::{Pause, Trainer};
use pdl_volume::{Affine, Grid, Orientation, Volume};

/// Voxels along x, y, z.
const SHAPE: [usize; 3] = [20, 18, 6];

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

fn settings(line: &str) -> Settings {
    let words = ["x"].into_iter().chain(line.split_whitespace());
    <Line as clap::Parser>::try_parse_from(words).unwrap().settings
}

/// Noise from 0 to 1 with a square brighter by one, at a position that depends on `number`.
fn case(number: u64) -> Case {
    let mut random = Random::new(number, Purpose::Patches, 0);
    let (left, top) = (random.below(10), random.below(8));
    let (mut image, mut target) = (Vec::new(), Vec::new());
    for z in 0..SHAPE[2] {
        for y in 0..SHAPE[1] {
            for x in 0..SHAPE[0] {
                let inside =
                    (1..5).contains(&z) && (top..top + 8).contains(&y) && (left..left + 8).contains(&x);
                image.push(random.below(1000) as f32 / 1000.0 + f32::from(u8::from(inside)));
                target.push(u8::from(inside));
            }
        }
    }
    let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], SHAPE);
    let image = Volume::new(Grid::new(SHAPE, affine), image).unwrap();
    Case::new(&format!("case{number}"), image, target, vec![true, true])
}

fn cases() -> Loaded {
    let held_out = |number| {
        let case = case(number);
        let affine = Affine::from_orientation(Orientation::RAS, [1.0; 3], SHAPE);
        let truth = case.whole().unwrap().target.into_owned();
        EvalCase::new(case, truth, Grid::new(SHAPE, affine))
    };
    Loaded { training: (0..6).map(case).collect(), validation: (10..12).map(held_out).collect(), cache: None }
}

fn plan(dims: usize, steps: u64, settings: &Settings) -> RunPlan {
    let table = [(0, 2), (3, 4), (6, 6)];
    let patch = if dims == 2 { [1, 18, 20] } else { [6, 16, 16] };
    let spec = |pool| PatchSpec { patch, pool, batch: 8 };
    let schedule =
        Schedule::new(CaseOrder::Ranked, 6, &table, 2, spec([1; 3]), settings.machine.seed).unwrap();
    let full = ResolutionPhase {
        first_step: (settings.curriculum.coarse_share * steps as f64) as u64,
        spec: spec([1; 3]),
    };
    let coarse = ResolutionPhase { first_step: 0, spec: spec([1, 2, 2]) };
    let phases = if full.first_step == 0 { vec![full] } else { vec![coarse, full] };
    RunPlan {
        network: NetworkPlan {
            norm: settings.network.norm,
            residual: settings.network.residual,
            deep_supervision: settings.network.deep_supervision,
            ..NetworkPlan::plain(dims, 8, 2, 2)
        },
        patch,
        batch: 8,
        activation_bytes: 0,
        spacing_mm: [1.0; 3],
        augment: None,
        mirror: [false, true, true],
        regions: vec![],
        swapped: vec![],
        sides_by_position: vec![],
        stages_overridden: false,
        rates: LearningRates {
            highest: settings.optimisation.peak_lr(),
            curve: settings.optimisation.lr_schedule,
            warm_up: settings.optimisation.warm_up,
            restarts: vec![0],
            steps,
        },
        steps,
        steps_until_all_joined: schedule.steps_until_all(),
        schedule: schedule.in_phases(phases),
        eval_every: steps.div_ceil(3),
    }
}

fn train_with(dims: usize, steps: u64, line: &str) -> Vec<HistoryRow> {
    let settings = settings(line);
    let plan = plan(dims, steps, &settings);
    let mut trainer = Trainer::new(&settings, &plan, ComputeDevice::CPU).unwrap();
    trainer.run(&cases(), |_, _| Ok(())).unwrap();
    trainer.history().to_vec()
}

fn train(dims: usize, steps: u64, seed: u64) -> Vec<HistoryRow> {
    train_with(dims, steps, &format!("--lr 0.01 --seed {seed}"))
}

/// The history without the seconds.
fn figures(history: Vec<HistoryRow>) -> Vec<HistoryRow> {
    history.into_iter().map(|row| HistoryRow { seconds: 0.0, ..row }).collect()
}

#[test]
fn finds_a_bright_square() {
    for (dims, steps) in [(2, 120), (3, 45)] {
        let history = train(dims, steps, 1);
        assert_eq!(history.len(), 3);
        let (first, last) = (&history[0], &history[2]);
        assert!(last.dice_mean > 0.9, "dims {dims}: {history:?}");
        assert!(last.dice_mean >= first.dice_mean && last.loss < first.loss, "dims {dims}: {history:?}");
        assert_eq!((last.step, last.samples, last.active), (steps, 8 * steps, 6));
        assert!(first.seconds < last.seconds);
    }
}

#[test]
fn every_choice_learns() {
    for line in [
        "--norm batch --residual --deep-supervision",
        "--residual --lr 0.01",
        "--optimiser sgd --lr 0.05 --momentum 0.9 --lr-schedule one-cycle",
        "--coarse-share 0.5 --lr-schedule cosine --warm-up 5 --ema 0.9",
        "--augment light --lr 0.01",
        "--optimiser muon",
        "--optimiser muon --norm batch --residual --deep-supervision",
    ] {
        let history = train_with(2, 120, line);
        assert!(history[2].dice_mean > 0.85, "{line}: {history:?}");
    }
}

#[test]
fn residual_networks_train_with_either_norm() {
    for (dims, steps) in [(2, 12), (3, 6)] {
        for line in ["", "--deep-supervision", "--norm batch"] {
            let history = train_with(dims, steps, &format!("--residual --lr 0.01 {line}"));
            let (first, last) = (&history[0], &history[2]);
            assert!(last.loss < first.loss, "dims {dims} {line}: {history:?}");
        }
    }
}

#[test]
fn one_seed_gives_the_same_figures_on_any_number_of_workers() {
    let with = |seed, workers| {
        figures(train_with(2, 12, &format!("--seed {seed} --workers {workers} --augment light")))
    };
    let once = with(1, 1);
    assert_eq!(once, with(1, 3));
    assert_ne!(once, with(2, 1));
}

#[test]
fn a_run_goes_on_from_any_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        "--norm batch --coarse-share 0.4",
        "--optimiser sgd --momentum 0.9 --lr-schedule cosine",
        "--optimiser muon --warm-up 3",
    ] {
        let settings = settings(line);
        let plan = plan(2, 12, &settings);
        let (loaded, mut progress) = (cases(), 0);
        let mut undisturbed = Trainer::new(&settings, &plan, ComputeDevice::CPU).unwrap();
        undisturbed
            .run(&loaded, |trainer, pause| {
                if pause != Pause::No && trainer.progress().step < 12 {
                    progress = trainer.progress().step;
                    let state = State {
                        settings: settings.clone(),
                        plan: plan.clone(),
                        manifest_blake3: String::new(),
                        progress: trainer.progress().clone(),
                        initialisation: None,
                        extensions: vec![],
                    };
                    checkpoint::write(folder.path(), &state, trainer.history(), trainer.tensors()?)?;
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(progress, 8);
        let read = checkpoint::read(folder.path()).unwrap().unwrap();
        assert_eq!(read.state.plan, plan);
        let mut resumed = Trainer::new(&settings, &plan, ComputeDevice::CPU).unwrap();
        resumed.restore(&read).unwrap();
        resumed.run(&loaded, |_, _| Ok(())).unwrap();
        assert_eq!(figures(resumed.history().to_vec()), figures(undisturbed.history().to_vec()), "{line}");
        assert!(resumed.averaged().flat().equal(&undisturbed.averaged().flat()));
    }
}

#[test]
fn a_run_ends_at_the_dice_that_was_asked_for_and_no_step_follows() {
    let history = |line: &str| {
        let settings = settings(line);
        let plan = RunPlan { eval_every: 10, ..plan(2, 120, &settings) };
        let mut trainer = Trainer::new(&settings, &plan, ComputeDevice::CPU).unwrap();
        let loaded = cases();
        trainer.run(&loaded, |_, _| Ok(())).unwrap();
        let weights = trainer.averaged().flat();
        trainer.run(&loaded, |_, _| panic!("a step after the end")).unwrap();
        assert!(trainer.averaged().flat().equal(&weights));
        figures(trainer.history().to_vec())
    };
    let whole = history("--lr 0.01");
    let early = history("--lr 0.01 --until-dice 0.7");
    let (steps, dice): (Vec<u64>, Vec<f64>) = whole.iter().map(|row| (row.step, row.dice_mean)).unzip();
    let steps = steps_to(&steps, &dice, 0.7).unwrap();
    assert!(early.len() < whole.len() && early[..] == whole[..early.len()]);
    let last = early.last().unwrap().step;
    assert!(steps <= last as f64 && steps > last as f64 - 10.0);
}

#[test]
fn a_run_ends_once_its_dice_has_not_risen_for_the_patience() {
    let settings = settings("--lr 0.01 --patience 4");
    let plan = RunPlan { eval_every: 5, ..plan(2, 400, &settings) };
    let mut trainer = Trainer::new(&settings, &plan, ComputeDevice::CPU).unwrap();
    trainer.run(&cases(), |_, _| Ok(())).unwrap();
    let dice: Vec<f64> = trainer.history().iter().map(|row| row.dice_mean).collect();
    assert!(trainer.progress().step < 400, "{dice:?}");
    assert!(has_stalled(&dice, 4) && !has_stalled(&dice[..dice.len() - 1], 4), "{dice:?}");
    assert_eq!(trainer.end_reason(), EndReason::Patience);
}

/// Convolutions in bfloat16 between activations in float32, as on CUDA devices.
#[test]
fn a_network_learns_with_convolutions_in_bfloat16() {
    let settings = settings("--lr 0.01");
    let plan = plan(2, 60, &settings);
    let mut trainer = Trainer::new(&settings, &plan, ComputeDevice::CPU).unwrap();
    trainer.with_convolutions_in(tch::Kind::BFloat16);
    trainer.run(&cases(), |_, _| Ok(())).unwrap();
    let history = trainer.history();
    assert!(history[2].dice_mean > 0.8, "{history:?}");
}

/// The whole trainer on the second kind of device, where libtorch finds one.
#[test]
fn a_second_device_trains_and_resumes_as_the_processor_does() {
    let Some(device) = ComputeDevice::other_than_cpu() else {
        eprintln!("NOT RUN: libtorch finds no device but the processor, so no run on another was tested");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for line in ["--lr 0.01", "--optimiser muon --residual --deep-supervision", "--norm batch --augment full"]
    {
        let settings = settings(line);
        let plan = plan(2, 120, &settings);
        let state = State {
            settings: settings.clone(),
            plan: plan.clone(),
            manifest_blake3: String::new(),
            progress: Default::default(),
            initialisation: None,
            extensions: vec![],
        };
        let mut trainer = Trainer::new(&settings, &plan, device).unwrap();
        let save = |trainer: &Trainer<'_>, pause: Pause| {
            let state = State { progress: trainer.progress().clone(), ..state.clone() };
            match pause {
                Pause::No => Ok(()),
                _ => checkpoint::write(folder.path(), &state, trainer.history(), trainer.tensors()?),
            }
        };
        trainer.run(&cases(), save).unwrap();
        assert!(trainer.history()[2].dice_mean > 0.85, "{line}: {:?}", trainer.history());
        let mut resumed = Trainer::new(&settings, &plan, device).unwrap();
        resumed.restore(&checkpoint::read(folder.path()).unwrap().unwrap()).unwrap();
        assert!(resumed.averaged().flat().equal(&trainer.averaged().flat()), "{line}");
    }
}

/// Names and forms of commit d8279a4: `rate`, `rate_curve`, `restart_rate`, a momentum and a weight
/// decay whatever the method, and none of the later fields.
#[test]
fn a_checkpoint_without_a_version_resumes_and_one_of_a_later_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings("");
    let plan = plan(2, 12, &settings);
    let mut trainer = Trainer::new(&settings, &plan, ComputeDevice::CPU).unwrap();
    let state = State {
        settings: settings.clone(),
        plan: plan.clone(),
        manifest_blake3: "abc".to_owned(),
        progress: Default::default(),
        initialisation: None,
        extensions: vec![],
    };
    trainer.run(&cases(), |_, _| Ok(())).unwrap();
    checkpoint::write(folder.path(), &state, trainer.history(), trainer.tensors().unwrap()).unwrap();
    let path = folder.path().join(checkpoint::FILE);
    let rewrite = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut tensors = tch::Tensor::read_safetensors(&path).unwrap();
        let place = tensors.iter().position(|(name, _)| name == "state").unwrap();
        let mut bytes = vec![0_u8; tensors[place].1.numel()];
        tensors[place].1.copy_data(&mut bytes, tensors[place].1.numel());
        let mut state = serde_json::from_slice(&bytes).unwrap();
        change(&mut state);
        tensors[place].1 = tch::Tensor::from_slice(&serde_json::to_vec(&state).unwrap());
        tch::Tensor::write_safetensors(&tensors, &path).unwrap();
    };
    rewrite(&|state| {
        for new in ["format", "initialisation", "extensions"] {
            state.as_object_mut().unwrap().remove(new).unwrap();
        }
        state["plan"].as_object_mut().unwrap().remove("sides_by_position").unwrap();
        assert!(state["plan"]["schedule"].get("joining").is_some(), "the name of a field is no key");
        let settings = state["settings"].as_object_mut().unwrap();
        let renamed = [
            ("rate", "lr"),
            ("rate_curve", "lr_schedule"),
            ("restart_rate", "restart_lr"),
            ("samples", "patch_count"),
        ];
        for (old, new) in renamed {
            let value = settings.remove(new).unwrap();
            settings.insert(old.to_owned(), value);
        }
        settings.remove("patience").unwrap();
        settings.insert("momentum".to_owned(), 0.99.into());
        settings.insert("weight_decay".to_owned(), 0.01.into());
    });
    let read = checkpoint::read(folder.path()).unwrap().unwrap();
    assert!(read.state.settings.same_as(&settings));
    assert_eq!((read.state.plan, read.state.manifest_blake3.as_str()), (plan, "abc"));
    rewrite(&|state| {
        state["format"] = 99.into();
        state["settings"]["optimiser"] = "something new".into();
    });
    let refused = checkpoint::read(folder.path()).unwrap_err();
    assert!(matches!(refused, FitError::OtherFormat { found: 99, .. }), "{refused}");
}

#[test]
fn planes_across_thick_slices_are_noticed() {
    let settings = settings("");
    let of = |dims, spacing_mm| RunPlan { spacing_mm, ..plan(dims, 12, &settings) }.thick_in_plane();
    assert_eq!(of(2, [0.5, 0.5, 4.0]), Some((2, 4.0)), "sagittal slices");
    assert_eq!(of(2, [0.5, 4.0, 0.5]), Some((1, 4.0)), "coronal slices");
    assert_eq!([of(2, [5.0, 0.8, 0.8]), of(2, [1.0, 3.0, 1.0]), of(3, [0.5, 0.5, 4.0])], [None; 3]);
}
