//! Exit codes of the command line, after the interface contract.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done.
    Done = 0,
    /// Failed at run time.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Drained, but not within the time for it.
    DrainTimedOut = 3,
    /// Faulty configuration or plant model.
    Configuration = 64,
    /// Faulty data.
    Data = 65,
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
