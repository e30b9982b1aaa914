//! Developers' chores: `cargo run -p xtask -- tidy` checks what no compiler and no lint checks.
//!
//! Is: the laws of the repository as code: layers, manifests, texts, links. Is not: a build tool; nothing here builds,
//! installs or changes anything.
//!
//! Invariants: the checks are functions of what was read before, so each is tested on a planted fault; every violation
//! names its file and its remedy; all are reported, none ends the search.
//!
//! Start reading at [`tidy::run`].

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

mod tidy;

const USAGE: &str = "usage: cargo run -p xtask -- tidy";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if arguments != ["tidy"] {
        return say(&[USAGE.to_owned()], ExitCode::from(2));
    }
    match tidy::run(Path::new(".")) {
        Ok(violations) if violations.is_empty() => {
            say(&["tidy: nothing to remedy".to_owned()], ExitCode::SUCCESS)
        }
        Ok(violations) => {
            let mut lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
            lines.push(format!("tidy: {} to remedy", violations.len()));
            say(&lines, ExitCode::FAILURE)
        }
        Err(error) => say(&[format!("tidy: {error}")], ExitCode::FAILURE),
    }
}

/// Writes the lines to standard error; the exit code tells the outcome even where nobody reads them.
fn say(lines: &[String], code: ExitCode) -> ExitCode {
    let mut out = io::stderr().lock();
    let written = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
    if written.is_err() { ExitCode::FAILURE } else { code }
}
