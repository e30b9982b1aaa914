//! The `heatstream` binary: every role, and the tools around them.

use std::process::ExitCode;

fn main() -> ExitCode {
    heatstream::run(std::env::args_os()).into()
}
