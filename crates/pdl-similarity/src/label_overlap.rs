//! Label maps as sets of voxels, and the overlap of two cases for each label.

use std::ops::Range;

use pdl_prepare::proxies::Proxies;
use pdl_prepare::proxies::labels::{LabelView, ProxyLabelVoxels};
use pulp::{Simd, WithSimd};

use crate::isa::Isa;

/// Voxel counts and volumes of a label that both cases have annotated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CommonLabel {
    /// Value in the label maps.
    pub label: u16,
    /// Proxy voxels with this label in each case.
    pub voxels: [u64; 2],
    /// Proxy voxels with this label in both cases.
    pub shared: u64,
    /// Volume on each case's stored label map, mm3.
    pub volumes_mm3: [f64; 2],
}

/// The annotated labels of a case, each as a set of proxy voxels.
#[derive(Clone, Debug)]
pub struct LabelSets {
    /// Ascending by label.
    sets: Vec<LabelSet>,
    /// A bit for each voxel, from the first to the last non-zero word of a set; the sets follow
    /// each other.
    words: Vec<u64>,
}

#[derive(Clone, Debug)]
struct LabelSet {
    label: u16,
    volume_mm3: f64,
    voxels: u64,
    /// The words of the whole grid that are stored.
    span: Range<usize>,
    /// Index of the set's first word in [`LabelSets::words`].
    start: usize,
}

const BITS: usize = u64::BITS as usize;

impl LabelSets {
    /// The sets of one case of the proxies.
    pub(crate) fn new(labels: &LabelView<'_>) -> Self {
        match labels.voxels {
            ProxyLabelVoxels::U8(voxels) => Self::of_voxels(voxels, labels),
            ProxyLabelVoxels::U16(voxels) => Self::of_voxels(voxels, labels),
        }
    }

    fn of_voxels<T: Copy + Into<usize>>(voxels: &[T], labels: &LabelView<'_>) -> Self {
        let largest = labels.annotated.iter().max().map_or(0, |label| usize::from(*label));
        let mut place_of: Vec<Option<usize>> = vec![None; largest + 1];
        for (place, label) in labels.annotated.iter().enumerate() {
            place_of[usize::from(*label)] = Some(place);
        }
        // Labelled voxels with the index of their set.
        let placed = || {
            let place =
                |(i, voxel): (usize, &T)| Some((i, place_of.get((*voxel).into()).copied().flatten()?));
            voxels.iter().enumerate().filter_map(place)
        };
        let empty = |(label, volume): (&u16, &f64)| LabelSet {
            label: *label,
            volume_mm3: *volume,
            voxels: 0,
            span: 0..0,
            start: 0,
        };
        let mut sets: Vec<LabelSet> = labels.annotated.iter().zip(labels.volumes_mm3).map(empty).collect();
        for (i, place) in placed() {
            let LabelSet { voxels, span, .. } = &mut sets[place];
            *span = if *voxels == 0 { i / BITS } else { span.start }..i / BITS + 1;
            *voxels += 1;
        }
        let mut all = 0;
        for set in &mut sets {
            set.start = all;
            all += set.span.len();
        }
        let mut words = vec![0; all];
        for (i, place) in placed() {
            let set = &sets[place];
            words[set.start + i / BITS - set.span.start] |= 1 << (i % BITS);
        }
        Self { sets, words }
    }

    /// The words of a set in `span`, which lies inside the set's own span.
    fn words(&self, set: &LabelSet, span: &Range<usize>) -> &[u64] {
        let from = set.start + span.start - set.span.start;
        &self.words[from..from + span.len()]
    }

    /// Largest number of bytes of one case of `proxies`, its label map included.
    pub(crate) fn bytes(proxies: &Proxies) -> u64 {
        let voxels = proxies.shape_zyx.iter().product::<usize>();
        let most = (0..proxies.len()).filter_map(|row| proxies.labels(row)).map(|l| l.annotated.len()).max();
        let set = size_of::<LabelSet>() + voxels.div_ceil(BITS) * size_of::<u64>();
        (voxels * size_of::<u16>() + most.unwrap_or(0) * set) as u64
    }
}

/// The overlap of each label that both cases have annotated, ascending by label.
pub(crate) fn common(isa: Isa, a: &LabelSets, b: &LabelSets) -> Vec<CommonLabel> {
    let in_both = |of_a: &LabelSet| {
        let of_b = &b.sets[b.sets.binary_search_by_key(&of_a.label, |set| set.label).ok()?];
        let start = of_a.span.start.max(of_b.span.start);
        let span = start..of_a.span.end.min(of_b.span.end).max(start);
        let shared = match span.is_empty() {
            true => 0,
            false => isa.run(Shared { a: a.words(of_a, &span), b: b.words(of_b, &span) }),
        };
        Some(CommonLabel {
            label: of_a.label,
            voxels: [of_a.voxels, of_b.voxels],
            shared,
            volumes_mm3: [of_a.volume_mm3, of_b.volume_mm3],
        })
    };
    a.sets.iter().filter_map(in_both).collect()
}

/// Counts the bits that are set in both.
struct Shared<'a> {
    a: &'a [u64],
    b: &'a [u64],
}

impl WithSimd for Shared<'_> {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> u64 {
        self.a.iter().zip(self.b).map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }
}
