//! Why nothing was measured.

use std::{error::Error, io, path::Path, time::Duration};

/// Why the bench gives no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file operation failed.
    #[error("cannot {act} {path}")]
    File {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A step of measuring failed.
    #[error("cannot {act}")]
    Act {
        /// What was tried.
        act: &'static str,
        /// Why it failed.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A child process failed.
    #[error("the bench's {child} failed: {reason}")]
    Child {
        /// Which.
        child: &'static str,
        /// Its words.
        reason: String,
    },
    /// A child process did not answer.
    #[error("the bench's {child} gave no answer within {waited:?}")]
    Silent {
        /// Which.
        child: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// What came out is not what went in: a figure would be void.
    #[error("the run is void: {found} {what} instead of {expected}")]
    Void {
        /// Of what.
        what: &'static str,
        /// How many there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// The topics are not the bench's alone.
    #[error(
        "Kafka's topic {topic} holds records already; the bench writes into the product's topics, so give it an empty \
         Kafka started for it"
    )]
    NotEmpty {
        /// The topic.
        topic: String,
    },
    /// The topics cannot be made as they must be.
    #[error("Kafka's topic {topic} cannot be used: {reason}")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// An argument means nothing.
    #[error("{argument} {value:?}: {problem}")]
    Argument {
        /// Which.
        argument: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Ctrl-C.
    #[error("interrupted; its files are removed")]
    Interrupted,
}

impl BenchError {
    /// For `map_err`: what was tried.
    pub(crate) fn act<E: Into<Box<dyn Error + Send + Sync>>>(act: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Act { act, source: source.into() }
    }

    /// For `map_err`: what was tried on which file.
    pub(crate) fn file(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.display().to_string();
        move |source| Self::File { act, path, source }
    }
}
