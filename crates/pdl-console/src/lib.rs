//! The terminal interface that pdl's programs share, independent of the stages.
//!
//! In: a command line that clap derives, results, warnings and progress. Out: results on stdout,
//! the rest on stderr ([`say`], [`note`], [`report`], [`Display`]), an exit code ([`ExitStatus`],
//! [`finish`]), short help ([`command`]), and the commands `completions` and `man` ([`Shell`]).
//!
//! ```
//! use pdl_console::{ExitStatus, counted, shorten, suggest};
//!
//! let (listed, more) = shorten(&["ct_01", "ct_02", "ct_03"], 2);
//! assert_eq!((listed.len(), more), (2, 1));
//! assert_eq!(counted(more, "case"), "1 case");
//! assert_eq!(suggest::nearest("metrik", ["metric", "score"].into_iter()), Some("metric"));
//! assert_eq!(ExitStatus::Usage.code(), 2);
//! ```

mod display;
mod exit_status;
mod interrupt;
mod output;
mod shell;
mod short_help;

pub use display::Display;
pub use exit_status::{ExitStatus, StatusError};
pub use interrupt::exit_on_ctrl_c;
pub use output::{explanation, finish, finished, note, parse, parse_from, report, say, send_to_terminal};
pub use pdl_store::plural::counted;
pub use pdl_store::shorten::{MOST_LISTED, shorten};
pub use pdl_store::suggest;
pub use shell::{Shell, ShellError};
pub use short_help::{MAIN_OPTIONS, command, main_options, without_main_options};
