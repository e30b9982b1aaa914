//! Words for people on standard output and standard error; a closed pipe is no error.

use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _},
};

/// A line on standard output.
pub(crate) fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}"));
    drop(out.flush());
}

/// A line on standard error.
pub(crate) fn complain(line: impl Display) {
    drop(writeln!(std::io::stderr().lock(), "heatstream: {line}"));
}

/// Whether progress should be shown.
pub(crate) fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}
