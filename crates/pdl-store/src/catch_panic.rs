//! Panics of other people's codecs: caught, and not printed.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static FROM_CODEC: Cell<bool> = const { Cell::new(false) };
}

/// Crates of the codecs, as the paths of their source name them; and of libtorch's binding, which
/// panics where an operation with a scalar gets no memory.
const CODECS: [&str; 8] = [
    "/jpeg-decoder-",
    "/jpeg2k-",
    "/charls-",
    "/dicom-transfer-syntax-registry-",
    "/oxiarc-jpeg-",
    "/zlib-rs-",
    "/zstd-safe-",
    "/tch-",
];

/// The result of `work`, or `None` if it panics. The panic's message, which may name paths of the
/// codec's source and pieces of the file, is not printed, nor are those of a codec on a thread of
/// its own; all other panics are printed as before.
pub fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    install_hook();
    let outer = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    result.ok()
}

/// What `work` returns, or `None` if a codec panics in it, as zstd and zlib do without memory. Any
/// other panic is a fault of pdl's own and goes on.
pub fn of_codecs<T>(work: impl FnOnce() -> T) -> Option<T> {
    or_cause(work).ok()
}

/// As [`of_codecs`], with the first line of the panic's message as the error.
///
/// # Errors
/// The line, if a codec panics.
pub fn or_cause<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    FROM_CODEC.set(false);
    let panic = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => return Ok(value),
        Err(panic) => panic,
    };
    if !FROM_CODEC.get() {
        resume_unwind(panic);
    }
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    Err(text.lines().next().unwrap_or_default().to_owned())
}

/// Like [`of_codecs`], of work with a file: without a codec's memory it has an error of the
/// machine.
///
/// # Errors
/// Those of `work`; [`ErrorKind::OutOfMemory`] if a codec panics.
pub fn or_out_of_memory<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    of_codecs(work).unwrap_or_else(|| Err(ErrorKind::OutOfMemory.into()))
}

fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            let place = info.location().map_or("", |location| location.file());
            let from_codec = CODECS.iter().any(|codec| place.contains(codec));
            FROM_CODEC.set(from_codec);
            if !QUIET.get() && !from_codec {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::{of_codecs, quietly};

    #[test]
    fn a_panic_gives_nothing_and_the_thread_goes_on() {
        assert_eq!(quietly(|| 3), Some(3));
        assert_eq!(quietly(|| [1, 2].iter().copied().cycle().take(9).collect::<Vec<usize>>()[9]), None);
        assert_eq!(quietly(|| 4), Some(4));
    }
    #[test]
    fn a_panic_of_pdls_own_goes_on() {
        assert_eq!(of_codecs(|| 3), Some(3));
        let panicking = || of_codecs(|| [1, 2].iter().copied().cycle().take(9).collect::<Vec<usize>>()[9]);
        assert!(std::panic::catch_unwind(panicking).is_err());
    }
}
