//! What a process that runs on asks of the system, once, before it begins.

use std::{os::unix::process::CommandExt as _, process::Command};

use heat_runtime::config::environment;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The variable by which glibc is told, at the start of a process only.
const VARIABLE: &str = "MALLOC_ARENA_MAX";
const ARENAS: &str = "2";

/// Starts this process anew, under the same id, with few arenas, unless the user has chosen their number.
///
/// glibc gives every thread an arena of its own and seldom returns one: `up` then holds 290 MB instead of 110 MB after
/// loading three weeks of the demo city. Other libraries ignore the variable, and so does the process if it cannot be
/// started anew.
pub(crate) fn keep_arenas_few() {
    if environment(VARIABLE).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let error = Command::new(program).args(std::env::args_os().skip(1)).env(VARIABLE, ARENAS).exec();
        tracing::debug!(%error, "memory arenas stay as they are");
    }
}

/// Takes as many open files as the system allows this process: each connection of a device or a browser is one, and what
/// a shell allows unasked (1,024, often) is less than the listeners' own bounds.
pub(crate) fn allow_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
