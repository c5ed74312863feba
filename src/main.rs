//! The `saimon` program: see `saimon help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    saimon::allocator::settle();
    saimon::cli::run()
}
