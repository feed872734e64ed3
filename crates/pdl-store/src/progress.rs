//! How a stage tells how far it is.

/// Hears how far a stage is; called from many threads.
pub trait Progress: Sync {
    /// A step of the stage begins that has `total` units of work.
    fn begin(&self, step: &str, total: u64);
    /// `units` more are done.
    fn advance(&self, units: u64);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _step: &str, _total: u64) {}
    fn advance(&self, _units: u64) {}
}

/// How a stage is to be run; changes nothing in what it makes.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// What is enough to believe that a file is unchanged.
    pub trust: crate::journal::Trust,
    /// Who hears how far it is.
    pub progress: &'a dyn Progress,
    /// Most bytes of memory to use where a stage can do with less or more; half of what is free when not given.
    pub memory: Option<u64>,
}

impl Run<'_> {
    /// The limit, or half of the memory that is free now.
    pub fn memory(&self) -> u64 {
        self.memory.unwrap_or_else(|| {
            let mut system = sysinfo::System::new();
            system.refresh_memory();
            system.available_memory() / 2
        })
    }
}
