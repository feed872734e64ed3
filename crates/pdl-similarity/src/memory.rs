//! Large pieces of memory.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;
use pulp::bytemuck;

/// Floats in memory that goes back to the system with them, in huge pages where the system has some to give: getting
/// small ones, one by one, is a good part of the time that reading a block of cases takes.
#[derive(Debug)]
pub(crate) enum Floats {
    Mapped(MmapMut),
    Allocated(Vec<f32>),
}

impl Floats {
    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        match MmapMut::map_anon(len * size_of::<f32>()) {
            Ok(memory) if len > 0 => {
                // A system without huge pages gives small ones, which do.
                #[cfg(target_os = "linux")]
                let _ = memory.advise(memmap2::Advice::HugePage);
                Self::Mapped(memory)
            }
            _ => Self::Allocated(vec![0.0; len]),
        }
    }
}

impl Default for Floats {
    fn default() -> Self {
        Self::Allocated(Vec::new())
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Mapped(memory) => bytemuck::cast_slice(memory),
            Self::Allocated(values) => values,
        }
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Mapped(memory) => bytemuck::cast_slice_mut(memory),
            Self::Allocated(values) => values,
        }
    }
}
