//! Instance norm (Ulyanov et al. 2016) and leaky ReLU in one CPU kernel, forward and backward.
//!
//! libtorch's norm is slow on channels-last activations. A [`Tape`] therefore cuts libtorch's graph
//! at every norm: the input of a norm ends one part of the graph, its output starts the next, and
//! [`Tape::backward`] carries the gradient across the cuts, the last cut first. libtorch frees a
//! part of the graph after its backward pass, so no part may lead into two others: activations that
//! are used on both sides of a norm, as those of a shortcut, are cut from their producer by
//! [`Tape::branch`]. Sums run over blocks of a fixed size in a fixed order, so that any number of
//! threads gives the same bits.

use std::cell::RefCell;

use pulp::Arch;
use rayon::prelude::*;
use tch::{Kind, Tensor};

use crate::error::Result;
use crate::model::device::ComputeDevice;
use crate::model::memory_format;

/// Added to the variance before the square root.
pub const EPSILON: f64 = 1e-5;
/// Negative slope of the leaky ReLU.
pub const SLOPE: f64 = 0.01;
/// Channels per vector operation, if there are as many.
const LANES: usize = 16;
/// Approximate number of values of a piece, the unit of work of a thread; two fit a core's cache.
const PIECE: usize = 1 << 15;
/// Pixels whose float32 sum is added to the float64 sum.
const BLOCK: usize = 64;

/// Affine part and activation of a norm.
#[derive(Debug)]
pub struct ScaleShift {
    /// Factor per channel (C).
    pub scale: Tensor,
    /// Offset per channel (C).
    pub shift: Tensor,
    /// Negative slope of the leaky ReLU that follows; 1 disables it.
    pub slope: f64,
}

/// Cuts of libtorch's graph in the order of the forward pass.
#[derive(Debug, Default)]
pub struct Tape(RefCell<Vec<Cut>>);

#[derive(Debug)]
struct Cut {
    /// Input (N * pixels * C), the end of its part of the graph.
    input: Tensor,
    /// Output (N * pixels * C), the start of the next part.
    output: Tensor,
    /// The norm between them; none for a branch, whose output equals its input.
    norm: Option<Normalised>,
}

/// A norm with the statistics of its forward pass.
#[derive(Debug)]
struct Normalised {
    affine: ScaleShift,
    moments: Vec<Moments>,
    shape: Shape,
}

/// Shape of activations in memory order (N, pixels, C).
#[derive(Clone, Copy, Debug)]
struct Shape {
    pixels: usize,
    channels: usize,
}

impl Shape {
    fn of(x: &Tensor) -> Self {
        let size = x.size();
        Self { pixels: size[2..].iter().product::<i64>() as usize, channels: size[1] as usize }
    }

    /// Values per sample of the batch.
    fn sample(self) -> usize {
        self.pixels * self.channels
    }

    /// Values per piece: a whole number of pixels.
    fn piece(self) -> usize {
        (PIECE / self.channels).max(1) * self.channels
    }
}

/// Statistics of one sample and channel.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    mean: f64,
    /// 1 / sqrt(variance + [`EPSILON`]).
    precision: f64,
}

/// Normalises activations (N, C, spatial ...) that are channels-last on the CPU. With a `tape` the
/// result starts a new part of the graph.
///
/// # Errors
/// [`crate::FitError::Torch`] if libtorch fails.
pub fn forward(x: &Tensor, affine: ScaleShift, tape: Option<&Tape>) -> Result<Tensor> {
    let shape = Shape::of(x);
    let input = memory_format::to_channels_last(x)?;
    let output = Tensor::f_empty([input.numel() as i64], ComputeDevice::CPU.options(Kind::Float))?;
    let (scale, shift) = (numbers(&affine.scale)?, numbers(&affine.shift)?);
    let values = floats(&input);
    let moments = moments(values, shape);
    let (lines, slope) = (lines(&moments, &scale, &shift), affine.slope as f32);
    filled(floats_mut(&output), shape, |sample, start, out| {
        let lines = &lines[sample * shape.channels..][..shape.channels];
        to_all(shape.channels, &mut Apply { part: &values[start..start + out.len()], out, lines, slope });
    });
    let output = output.f_set_requires_grad(tape.is_some())?;
    let result = memory_format::from_channels_last(&output, &x.size())?;
    if let Some(tape) = tape {
        let norm = Some(Normalised { affine, moments, shape });
        tape.0.borrow_mut().push(Cut { input, output, norm });
    }
    Ok(result)
}

impl Tape {
    /// The activations (N, C, spatial ...), channels-last, as the start of a new part of the graph,
    /// for activations with several consumers. Channels-last input is not copied; without a
    /// gradient it is returned unchanged.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] if libtorch fails.
    pub fn branch(&self, x: &Tensor) -> Result<Tensor> {
        if !x.requires_grad() {
            return Ok(x.shallow_clone());
        }
        let input = memory_format::to_channels_last(x)?;
        let output = input.f_detach()?.f_set_requires_grad(true)?;
        let result = memory_format::from_channels_last(&output, &x.size())?;
        self.0.borrow_mut().push(Cut { input, output, norm: None });
        Ok(result)
    }

    /// Accumulates the gradient of `loss` (a scalar) in all parameters that it depends on.
    ///
    /// # Errors
    /// [`crate::FitError::Torch`] if libtorch fails.
    pub fn backward(self, loss: &Tensor) -> Result<()> {
        loss.f_backward()?;
        let mut cuts = self.0.into_inner();
        while let Some(cut) = cuts.pop() {
            let outer = cut.output.f_grad()?;
            if !outer.defined() {
                continue;
            }
            // The derivatives of these products are the computed gradients, so that libtorch
            // continues the backward pass from them.
            let outer = outer.f_contiguous()?;
            let Some(norm) = &cut.norm else {
                cut.input.f_dot(&outer)?.f_backward()?;
                continue;
            };
            let (inner, [scale, shift]) = norm.gradients(&cut.input, &outer)?;
            let affine = &norm.affine;
            let affine = affine.scale.f_dot(&scale)?.f_add(&affine.shift.f_dot(&shift)?)?;
            cut.input.f_dot(&inner)?.f_add(&affine)?.f_backward()?;
        }
        Ok(())
    }
}

impl Normalised {
    /// Gradients of input, factor and offset from the gradient of the output. With the normalised
    /// value n, the slope a = factor * precision and the output's gradient g, the input's gradient
    /// is a (g - mean(g) - n mean(g n)).
    fn gradients(&self, input: &Tensor, outer: &Tensor) -> Result<(Tensor, [Tensor; 2])> {
        let Self { affine, moments, shape } = self;
        let (shape, channels) = (*shape, shape.channels);
        let lines = lines(moments, &numbers(&affine.scale)?, &numbers(&affine.shift)?);
        let means: Vec<f32> = moments.iter().map(|moments| moments.mean as f32).collect();
        let (x, outer, slope) = (floats(input), floats(outer), affine.slope as f32);
        let of = |sample: usize, inner| {
            let own = sample * channels..(sample + 1) * channels;
            OfSample { lines: &lines[own.clone()], means: &means[own], inner, slope }
        };
        let sums = summed(x.len(), shape, |sample, start, len, sums| {
            let (part, outer) = (&x[start..start + len], &outer[start..start + len]);
            to_all(channels, &mut AddGradients { part, outer, of: of(sample, &[]), sums });
        });
        let inner: Vec<Line> = inner_lines(moments, &lines, &sums, shape.pixels as f64);
        let gradient = Tensor::f_empty([x.len() as i64], ComputeDevice::CPU.options(Kind::Float))?;
        filled(floats_mut(&gradient), shape, |sample, start, out| {
            let (part, outer) = (&x[start..start + out.len()], &outer[start..start + out.len()]);
            let of = of(sample, &inner[sample * channels..][..channels]);
            to_all(channels, &mut Spread { part, outer, out, of });
        });
        let mut own = [vec![0.0_f64; channels], vec![0.0_f64; channels]];
        for (place, ([g, deviations], moments)) in sums.iter().zip(moments).enumerate() {
            own[0][place % channels] += deviations * moments.precision;
            own[1][place % channels] += g;
        }
        let [scale, shift] = own.map(|sums| Tensor::f_from_slice(&sums)?.f_to_kind(Kind::Float));
        Ok((gradient, [scale?, shift?]))
    }
}

/// The terms of the input's gradient besides a g, as a line over the input.
fn inner_lines(moments: &[Moments], lines: &[Line], sums: &[[f64; 2]], pixels: f64) -> Vec<Line> {
    let of = |((moments, line), [g, deviations]): ((&Moments, &Line), &[f64; 2])| {
        let a = f64::from(line.a);
        let steep = -a * moments.precision * moments.precision * deviations / pixels;
        Line { a: steep as f32, b: (-a * g / pixels - steep * moments.mean) as f32 }
    };
    moments.iter().zip(lines).zip(sums).map(of).collect()
}

/// The line y = a x + b of one sample and channel.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    a: f32,
    b: f32,
}

/// Scale and offset of every sample and channel as a line over the input.
fn lines(moments: &[Moments], scale: &[f32], shift: &[f32]) -> Vec<Line> {
    let channels = scale.iter().zip(shift).cycle();
    let line = |(Moments { mean, precision }, (&scale, &shift)): (&Moments, (&f32, &f32))| {
        let a = precision * f64::from(scale);
        Line { a: a as f32, b: (f64::from(shift) - mean * a) as f32 }
    };
    moments.iter().zip(channels).map(line).collect()
}

/// Two sums for every sample and channel. `add` gets a sample, the start and length of a piece of
/// it as indices of values, and the sums to which it adds.
fn summed(
    len: usize,
    shape: Shape,
    add: impl Fn(usize, usize, usize, &mut [[f64; 2]]) + Sync,
) -> Vec<[f64; 2]> {
    let (sample, piece) = (shape.sample(), shape.piece());
    let starts: Vec<usize> =
        (0..len).step_by(sample).flat_map(|first| (first..first + sample).step_by(piece)).collect();
    let of_piece = |&start: &usize| {
        let number = start / sample;
        let mut sums = vec![[0.0; 2]; shape.channels];
        add(number, start, piece.min((number + 1) * sample - start), &mut sums);
        (number, sums)
    };
    let parts: Vec<_> = starts.par_iter().map(of_piece).collect();
    let mut total = vec![[0.0; 2]; len / sample * shape.channels];
    for (number, part) in parts {
        let of_sample = &mut total[number * shape.channels..][..shape.channels];
        for (total, part) in of_sample.iter_mut().zip(part) {
            total[0] += part[0];
            total[1] += part[1];
        }
    }
    total
}

/// Fills `out` piece by piece. `write` gets a sample, the start of the piece as an index of values,
/// and the piece.
fn filled(out: &mut [f32], shape: Shape, write: impl Fn(usize, usize, &mut [f32]) + Sync) {
    let (sample, piece) = (shape.sample(), shape.piece());
    out.par_chunks_mut(sample).enumerate().for_each(|(number, of_sample)| {
        of_sample
            .par_chunks_mut(piece)
            .enumerate()
            .for_each(|(place, part)| write(number, number * sample + place * piece, part));
    });
}

/// An operation on neighbouring channels of every pixel of a piece.
trait Work {
    /// Applies it to `L` channels from `first` on. Inlined so that it compiles for the machine's
    /// vector units.
    fn run<const L: usize>(&mut self, first: usize);
}

/// Applies `work` to all channels, in vectors of [`LANES`] where possible.
fn to_all(channels: usize, work: &mut impl Work) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut first = 0;
            while first < channels {
                match channels - first {
                    LANES.. => (work.run::<LANES>(first), first += LANES).1,
                    4.. => (work.run::<4>(first), first += 4).1,
                    _ => (work.run::<1>(first), first += 1).1,
                }
            }
        },
    );
}

/// Mean and precision of every sample and channel.
fn moments(x: &[f32], shape: Shape) -> Vec<Moments> {
    // Deviations from a sample's first pixel keep their digits if the mean is large.
    let origin = |sample: usize| &x[sample * shape.sample()..][..shape.channels];
    let sums = summed(x.len(), shape, |sample, start, len, sums| {
        let part = &x[start..start + len];
        to_all(shape.channels, &mut AddDeviations { part, origin: origin(sample), sums });
    });
    let pixels = shape.pixels as f64;
    let of = |(place, [sum, squares]): (usize, &[f64; 2])| {
        let mean = sum / pixels;
        let variance = (squares / pixels - mean * mean).max(0.0);
        let origin = origin(place / shape.channels)[place % shape.channels];
        Moments { mean: f64::from(origin) + mean, precision: 1.0 / (variance + EPSILON).sqrt() }
    };
    sums.iter().enumerate().map(of).collect()
}

/// Sums deviations from `origin` and their squares.
struct AddDeviations<'a> {
    part: &'a [f32],
    origin: &'a [f32],
    sums: &'a mut [[f64; 2]],
}

impl Work for AddDeviations<'_> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, first: usize) {
        let channels = self.origin.len();
        let origin = &self.origin[first..first + L];
        let mut total = [[0.0_f64; 2]; L];
        for block in self.part.chunks(BLOCK * channels) {
            let (mut sum, mut squares) = ([0.0_f32; L], [0.0_f32; L]);
            for pixel in block.chunks_exact(channels) {
                let x = &pixel[first..first + L];
                for lane in 0..L {
                    let deviation = x[lane] - origin[lane];
                    sum[lane] += deviation;
                    squares[lane] += deviation * deviation;
                }
            }
            for lane in 0..L {
                total[lane][0] += f64::from(sum[lane]);
                total[lane][1] += f64::from(squares[lane]);
            }
        }
        self.sums[first..first + L].copy_from_slice(&total);
    }
}

/// Writes leaky ReLU(a x + b) for every pixel.
struct Apply<'a> {
    part: &'a [f32],
    out: &'a mut [f32],
    lines: &'a [Line],
    slope: f32,
}

impl Work for Apply<'_> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, first: usize) {
        let channels = self.lines.len();
        let lines: [Line; L] = copied(&self.lines[first..]);
        for (x, y) in self.part.chunks_exact(channels).zip(self.out.chunks_exact_mut(channels)) {
            let (x, y) = (&x[first..first + L], &mut y[first..first + L]);
            for lane in 0..L {
                let z = x[lane] * lines[lane].a + lines[lane].b;
                y[lane] = if z > 0.0 { z } else { z * self.slope };
            }
        }
    }
}

/// Sums the gradient before the leaky ReLU, and its product with deviations from the mean.
struct AddGradients<'a> {
    part: &'a [f32],
    outer: &'a [f32],
    of: OfSample<'a>,
    sums: &'a mut [[f64; 2]],
}

impl Work for AddGradients<'_> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, first: usize) {
        let OfSample { lines, means, slope, .. } = self.of;
        let channels = lines.len();
        let (lines, means): ([Line; L], [f32; L]) = (copied(&lines[first..]), copied(&means[first..]));
        let mut total = [[0.0_f64; 2]; L];
        let blocks = self.part.chunks(BLOCK * channels).zip(self.outer.chunks(BLOCK * channels));
        for (x, outer) in blocks {
            let (mut sum, mut products) = ([0.0_f32; L], [0.0_f32; L]);
            for (x, outer) in x.chunks_exact(channels).zip(outer.chunks_exact(channels)) {
                let (x, outer) = (&x[first..first + L], &outer[first..first + L]);
                for lane in 0..L {
                    let g = behind(x[lane], outer[lane], lines[lane], slope);
                    sum[lane] += g;
                    products[lane] += g * (x[lane] - means[lane]);
                }
            }
            for lane in 0..L {
                total[lane][0] += f64::from(sum[lane]);
                total[lane][1] += f64::from(products[lane]);
            }
        }
        self.sums[first..first + L].copy_from_slice(&total);
    }
}

/// Writes the gradient of the input: a g + u x + w with the gradient g before the leaky ReLU.
struct Spread<'a> {
    part: &'a [f32],
    outer: &'a [f32],
    out: &'a mut [f32],
    of: OfSample<'a>,
}

impl Work for Spread<'_> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, first: usize) {
        let OfSample { lines, inner, slope, .. } = self.of;
        let channels = lines.len();
        let (lines, inner): ([Line; L], [Line; L]) = (copied(&lines[first..]), copied(&inner[first..]));
        let pixels = self.part.chunks_exact(channels).zip(self.outer.chunks_exact(channels));
        for ((x, outer), out) in pixels.zip(self.out.chunks_exact_mut(channels)) {
            let (x, outer) = (&x[first..first + L], &outer[first..first + L]);
            let out = &mut out[first..first + L];
            for lane in 0..L {
                let g = behind(x[lane], outer[lane], lines[lane], slope);
                out[lane] = lines[lane].a * g + (x[lane] * inner[lane].a + inner[lane].b);
            }
        }
    }
}

/// Lines of the gradients of one sample, by channel.
#[derive(Clone, Copy)]
struct OfSample<'a> {
    lines: &'a [Line],
    means: &'a [f32],
    inner: &'a [Line],
    slope: f32,
}

/// Gradient before the leaky ReLU that follows a x + b.
#[inline(always)]
fn behind(x: f32, outer: f32, line: Line, slope: f32) -> f32 {
    if x * line.a + line.b > 0.0 { outer } else { outer * slope }
}

/// The first `L` values as an array.
#[inline(always)]
fn copied<T: Copy + Default, const L: usize>(from: &[T]) -> [T; L] {
    let mut all = [T::default(); L];
    all.copy_from_slice(&from[..L]);
    all
}

/// Values of a parameter (C) in host memory.
fn numbers(t: &Tensor) -> Result<Vec<f32>> {
    let mut values = vec![0.0; t.numel()];
    t.f_detach()?.f_copy_data(&mut values, t.numel())?;
    Ok(values)
}

/// Values of a contiguous float32 tensor on the CPU.
#[expect(
    unsafe_code,
    reason = "the kernel works where libtorch's numbers lie: copies would cost as much as it saves"
)]
fn floats(t: &Tensor) -> &[f32] {
    assert!(is_plain(t));
    // SAFETY: the tensor is contiguous float32, as asserted, and holds numel() values as long as
    // `t` lives. Nothing writes to them meanwhile: libtorch runs on this thread only, and
    // `floats_mut` is called on fresh tensors.
    unsafe { std::slice::from_raw_parts(t.data_ptr().cast::<f32>(), t.numel()) }
}

/// Mutable values of a tensor without other references.
#[expect(unsafe_code, reason = "as for `floats`")]
#[expect(clippy::mut_from_ref, reason = "a tensor is a handle")]
fn floats_mut(fresh: &Tensor) -> &mut [f32] {
    assert!(is_plain(fresh));
    // SAFETY: as for `floats`; both callers have just allocated the tensor.
    unsafe { std::slice::from_raw_parts_mut(fresh.data_ptr().cast::<f32>(), fresh.numel()) }
}

fn is_plain(t: &Tensor) -> bool {
    t.kind() == Kind::Float && ComputeDevice::of(t) == ComputeDevice::CPU && t.is_contiguous()
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    /// Activations, factor and offset with gradients; the mean is far from zero.
    fn example(shape: &[i64]) -> [Tensor; 3] {
        tch::manual_seed(5);
        let options = (Kind::Float, Device::Cpu);
        let x = Tensor::randn([shape.iter().product::<i64>()], options) * 0.5 + 3.0;
        let x = memory_format::from_channels_last(&x, shape).unwrap().detach();
        let of_channel = || Tensor::randn([shape[1]], options).set_requires_grad(true);
        [x.set_requires_grad(true), of_channel() + 0.5, of_channel()]
            .map(|t| t.detach().set_requires_grad(true))
    }

    fn apart(a: &Tensor, b: &Tensor) -> f64 {
        assert_eq!(a.size(), b.size());
        ((a - b).abs().max() / b.abs().max()).double_value(&[])
    }

    /// Compared with libtorch's group norm, one channel per group, and its leaky ReLU.
    #[test]
    fn values_and_gradients_are_those_of_libtorch() {
        for (shape, slope) in [
            (vec![3, 16, 7, 5], SLOPE),
            (vec![2, 7, 6, 8], SLOPE),
            (vec![1, 32, 90, 71], 1.0), // several pieces
            (vec![2, 21, 3, 4, 5], SLOPE),
        ] {
            let [x, scale, shift] = example(&shape);
            let weights = Tensor::randn(shape.as_slice(), (Kind::Float, Device::Cpu));
            let square = |x: &Tensor| x * x; // something before the cut
            // In float64, as libtorch loses digits in float32 if the mean is large.
            let exact = |t: &Tensor| t.detach().to_kind(Kind::Double).set_requires_grad(true);
            let [x64, scale64, shift64] = [&x, &scale, &shift].map(exact);
            let theirs = square(&x64).group_norm(shape[1], Some(&scale64), Some(&shift64), EPSILON, false);
            let theirs = if slope == 1.0 { theirs } else { theirs.leaky_relu() };
            (&theirs * &theirs * &weights).sum(Kind::Double).backward();
            let [own_x, own_scale, own_shift] =
                [&x, &scale, &shift].map(|t| t.detach().set_requires_grad(true));
            let tape = Tape::default();
            let affine =
                || ScaleShift { scale: own_scale.shallow_clone(), shift: own_shift.shallow_clone(), slope };
            let ours = forward(&square(&own_x), affine(), Some(&tape)).unwrap();
            assert!(apart(&ours, &theirs) < 2e-6, "{shape:?}: {:.1e}", apart(&ours, &theirs));
            tape.backward(&(&ours * &ours * &weights).sum(Kind::Float)).unwrap();
            for (ours, theirs) in [(&own_x, &x64), (&own_scale, &scale64), (&own_shift, &shift64)] {
                let (ours, theirs) = (ours.grad(), theirs.grad());
                assert!(apart(&ours, &theirs) < 2e-5, "{shape:?}: {:.1e}", apart(&ours, &theirs));
            }
            let alone = forward(&square(&own_x), affine(), None).unwrap();
            assert!(alone.equal(&ours) && !alone.requires_grad());
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let [x, scale, shift] = example(&[2, 16, 80, 60]);
        let (scale, shift) = (numbers(&scale).unwrap(), numbers(&shift).unwrap());
        let x = memory_format::to_channels_last(&x.detach()).unwrap();
        let (x, shape) = (floats(&x), Shape { pixels: 4800, channels: 16 });
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let lines = pool.install(|| lines(&moments(x, shape), &scale, &shift));
            lines.iter().map(|line| line.a.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(with(1), with(3));
    }
}
