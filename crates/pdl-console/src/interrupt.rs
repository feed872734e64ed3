//! Ctrl-C.

use pdl_store::progress::HOW_TO_RESUME;

use crate::exit_status::ExitStatus;
use crate::output::{BARS, note};

/// From now on Ctrl-C (or a request to terminate) ends the program with [`ExitStatus::Stopped`] and
/// says how to resume, unless `handled` returns true: then the signal is handled elsewhere.
pub fn exit_on_ctrl_c(handled: impl Fn() -> bool + Send + 'static) {
    // A second handler, or a system without signals: Ctrl-C then ends the program silently, as
    // usual.
    let _ = ctrlc::set_handler(move || {
        if handled() {
            return;
        }
        if let Some(bars) = BARS.get() {
            let _ = bars.clear();
        }
        note(HOW_TO_RESUME);
        std::process::exit(ExitStatus::Stopped.code().into());
    });
}
