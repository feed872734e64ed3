//! The program `pdl`; everything is in the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    keep_freed_memory();
    pdl::run(std::env::args_os()).into()
}

/// Lets glibc keep up to 8 MiB of freed memory for the next case. By default it returns all over
/// 128 KiB to the system after each, and small cases then cost thousands of page faults. A block
/// that was mapped and freed raises the limit to twice its size (mallopt(3), M_MMAP_THRESHOLD);
/// other allocators take no notice.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
}
