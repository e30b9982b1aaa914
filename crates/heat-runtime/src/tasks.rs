//! Tasks that are never lost sight of, and shutdown.

use std::{any::Any, future::Future, time::Duration};

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Tells tasks to drain and end. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Asks everybody to drain and end.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until it begins.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// A part that ends with this one, and may end alone before it.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }
}

/// A task ended badly.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// It returned an error.
    #[error("{task} failed")]
    Failed {
        /// Its name.
        task: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It panicked.
    #[error("{task} panicked: {message}")]
    Panicked {
        /// Its name.
        task: &'static str,
        /// The panic's message.
        message: String,
    },
    /// It did not end in time after shutdown began.
    #[error("tasks did not drain within {0:?}")]
    DrainTimedOut(Duration),
}

type TaskResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A group of tasks: the first that fails shuts the others down.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<(&'static str, TaskResult)>,
    names: Vec<(tokio::task::Id, &'static str)>,
    shutdown: Shutdown,
}

impl Tasks {
    /// An empty group that `shutdown` ends.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { set: JoinSet::new(), names: Vec::new(), shutdown }
    }

    /// The shutdown that ends the group.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Starts a task; it should end by itself once shutdown has begun.
    pub fn spawn<F, E>(&mut self, task: &'static str, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let handle = self.set.spawn(async move { (task, future.await.map_err(Into::into)) });
        self.names.push((handle.id(), task));
    }

    /// Waits until all have ended. The first failure shuts the rest down and is returned; after shutdown has begun the
    /// rest gets `drain` to end, then is aborted.
    pub async fn join(mut self, drain: Duration) -> Result<(), TaskError> {
        let mut first_failure = None;
        let shutdown = self.shutdown.clone();
        let mut deadline = std::pin::pin!(async {
            shutdown.begun().await;
            tokio::time::sleep(drain).await;
        });
        loop {
            tokio::select! {
                ended = self.set.join_next() => {
                    let Some(ended) = ended else { break };
                    if let Err(error) = self.outcome(ended) {
                        tracing::error!(error = %Chain(&error), "task ended badly, shutting down");
                        self.shutdown.begin();
                        first_failure.get_or_insert(error);
                    }
                }
                () = &mut deadline => {
                    self.set.abort_all();
                    return Err(first_failure.unwrap_or(TaskError::DrainTimedOut(drain)));
                }
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    fn outcome(&self, ended: Result<(&'static str, TaskResult), JoinError>) -> Result<(), TaskError> {
        match ended {
            Ok((_, Ok(()))) => Ok(()),
            Ok((task, Err(source))) => Err(TaskError::Failed { task, source }),
            Err(join) => {
                let task =
                    self.names.iter().find(|(id, _)| *id == join.id()).map_or("a task", |(_, name)| *name);
                match join.try_into_panic() {
                    Ok(payload) => Err(TaskError::Panicked { task, message: panic_message(&*payload) }),
                    Err(_) => Ok(()),
                }
            }
        }
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Shows an error with the chain of its causes.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'a));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_task_shuts_the_others_down_and_is_named() {
        let mut tasks = Tasks::new(Shutdown::default());
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("waiter", async move {
            shutdown.begun().await;
            Ok::<(), std::io::Error>(())
        });
        tasks.spawn("failing", async { Err(std::io::Error::other("disk on fire")) });

        let error = tasks.join(Duration::from_secs(5)).await.unwrap_err();

        assert_eq!(Chain(&error).to_string(), "failing failed: disk on fire");
    }

    #[tokio::test]
    async fn a_panic_is_seen() {
        let mut tasks = Tasks::new(Shutdown::default());
        tasks.spawn("shaky", async {
            assert!(std::hint::black_box(false), "index is modulo BUCKETS");
            Ok::<(), std::io::Error>(())
        });
        let error = tasks.join(Duration::from_secs(5)).await.unwrap_err();
        assert!(
            matches!(&error, TaskError::Panicked { task: "shaky", message } if message.contains("BUCKETS"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_drain_is_aborted_and_said() {
        let mut tasks = Tasks::new(Shutdown::default());
        tasks.spawn("stuck", std::future::pending::<Result<(), std::io::Error>>());
        tasks.shutdown().begin();
        let error = tasks.join(Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, TaskError::DrainTimedOut(_)));
    }
}
