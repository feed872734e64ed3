//! Panics of other people's codecs: caught, and not printed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Crates of the codecs, as the paths of their source name them.
const CODECS: [&str; 4] = ["/jpeg-decoder-", "/jpeg2k-", "/charls-", "/dicom-transfer-syntax-registry-"];

/// The result of `work`, or `None` if it panics. The panic's message, which may name paths of the
/// codec's source and pieces of the file, is not printed, nor are those of a codec on a thread of
/// its own; all other panics are printed as before.
pub fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            let place = info.location().map_or("", |location| location.file());
            if !QUIET.get() && !CODECS.iter().any(|codec| place.contains(codec)) {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::quietly;

    #[test]
    fn a_panic_gives_nothing_and_the_thread_goes_on() {
        assert_eq!(quietly(|| 3), Some(3));
        assert_eq!(quietly(|| [1, 2].iter().copied().cycle().take(9).collect::<Vec<usize>>()[9]), None);
        assert_eq!(quietly(|| 4), Some(4));
    }
}
