//! Environment variables of OpenMP and of the C library.

/// Defaults; a variable that is set is kept.
#[cfg(target_os = "linux")]
const DEFAULTS: [(&str, &str); 4] = [
    // Threads that wait for one another spin for a while, then sleep. Sleeping at once slows steps
    // on idle cores; spinning for ever, OpenMP's default, slows them where another program uses
    // one.
    ("GOMP_SPINCOUNT", "10000"),
    // Memory that a step frees is kept for the next one: the kernel hands out new memory page by
    // page.
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TRIM_THRESHOLD_", "8589934592"),
    ("MALLOC_TOP_PAD_", "268435456"),
];

/// Restarts the program with the defaults of the variables that are not set. OpenMP and the C
/// library read them when they are loaded, before `main`. Does nothing if all are set, or if the
/// program cannot be restarted.
pub(crate) fn restart_with_defaults() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let is_set = |name: &str| std::env::var_os(name).is_some();
        // OMP_WAIT_POLICY decides the same as GOMP_SPINCOUNT.
        let is_decided = |name: &str| is_set(name) || (name == "GOMP_SPINCOUNT" && is_set("OMP_WAIT_POLICY"));
        let missing: Vec<_> = DEFAULTS.into_iter().filter(|(name, _)| !is_decided(name)).collect();
        if missing.is_empty() {
            return;
        }
        if let Ok(program) = std::env::current_exe() {
            let mut again = std::process::Command::new(program);
            // Returns only when it fails; this process then runs the command.
            let _ = again.args(std::env::args_os().skip(1)).envs(missing).exec();
        }
    }
}
