//! Short runs on a made-up problem: a bright square on noise.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use pdl_fit::case::Case;
use pdl_fit::folder::{HeldOut, Loaded};
use pdl_fit::history::HistoryRow;
use pdl_fit::network::NetworkPlan;
use pdl_fit::random::{Purpose, Random};
use pdl_fit::schedule::{Schedule, Step};
use pdl_fit::settings::{RunPlan, Settings};
use pdl_fit::train::Trainer;
use pdl_volume::{Affine, Grid, Orientation, Volume};
use tch::Device;

/// x, y, z.
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

/// Noise from 0 to 1 with a square one brighter, at a place of its own.
fn case(number: u64) -> Case {
    let mut random = Random::new(number, Purpose::Samples, 0);
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
        HeldOut { shape: case.shape, truth: case.target.clone(), case }
    };
    Loaded { training: (0..6).map(case).collect(), validation: (10..12).map(held_out).collect() }
}

fn train(dims: usize, steps: u64, seed: u64) -> Vec<HistoryRow> {
    let network = NetworkPlan { dims, width: 8, depth: 2, inputs: 1, classes: 2 };
    let stages: Vec<Step> = [(0, 2), (3, 4), (6, 6)]
        .map(|(first_epoch, active_cases)| Step { first_epoch, active_cases })
        .to_vec();
    let patch = if dims == 2 { [1, 18, 20] } else { [6, 16, 16] };
    let plan = RunPlan {
        network,
        patch,
        batch: 8,
        cases_per_step: 2,
        stages_overridden: false,
        stages: stages.clone(),
        steps,
        steps_until_all_joined: 9,
        eval_every: steps.div_ceil(3),
    };
    let settings = settings(&format!("--rate 0.01 --seed {seed}"));
    let schedule = Schedule::growing((0..6).collect(), stages).unwrap();
    let mut trainer = Trainer::new(&settings, &plan, Device::Cpu).unwrap();
    trainer.run(&cases(), &schedule, |_| Ok(())).unwrap();
    trainer.history().to_vec()
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
fn one_seed_gives_the_same_figures() {
    let figures = |seed| -> Vec<(f64, Vec<f64>)> {
        train(2, 12, seed).into_iter().map(|row| (row.loss, row.dice)).collect()
    };
    let once = figures(1);
    assert_eq!(once, figures(1));
    assert_ne!(once, figures(2));
}
