//! A plant model into the log: its parts, then its head; and when it was activated, the pointer to it.

use std::time::Duration;

use bytes::Bytes;
use heat_codec::plant::published::{ACTIVE_KEY, Active, Encoded, PublishedError, Shelf, encode};
use heat_log::{AppendError, Appender, AppenderSettings, Log, ReadError, topics};
use heat_model::{
    PartitionId,
    plant::{PlantHash, PlantModel},
};

/// The topic has one partition.
const PARTITION: PartitionId = PartitionId(0);
/// How long a flush waits before the log says that it stands still.
const FLUSH: Duration = Duration::from_secs(5);

/// A model could not be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The topic of models cannot be read.
    #[error("cannot read the plant models on the log")]
    Read(#[from] ReadError),
    /// The topic of models takes nothing.
    #[error("cannot append the plant model to the log")]
    Append(#[from] AppendError),
    /// What lies there is of another version.
    #[error("cannot use the plant models on the log")]
    Published(#[from] PublishedError),
}

/// Writes the topic of models.
#[derive(Debug)]
pub(super) struct Publisher {
    log: Log,
    appender: Appender,
}

impl Publisher {
    pub(super) async fn open(log: &Log) -> Result<Self, AppendError> {
        let appender = log.appender(&[topics::PLANT], AppenderSettings::default()).await?;
        Ok(Self { log: log.clone(), appender })
    }

    /// Makes sure that the model is on the log, whole and durable; tells which model was activated last.
    pub(super) async fn publish(&self, model: &PlantModel) -> Result<Option<PlantHash>, PublishError> {
        let shelf = self.shelf().await?;
        let Encoded { model, parts, head } = encode(model);
        if !shelf.has(model) {
            let count = parts.len();
            for (key, payload) in parts {
                self.append(key, payload).await?;
            }
            self.flush().await?;
            let (key, payload) = head;
            self.append(key, payload).await?;
            self.flush().await?;
            tracing::info!(%model, parts = count, "plant model published");
        }
        Ok(shelf.active()?.as_ref().and_then(Active::model))
    }

    /// Says that the model was activated in every partition, durably, and deletes models that are no longer kept.
    pub(super) async fn activated(&self, model: PlantHash) -> Result<(), PublishError> {
        let shelf = self.shelf().await?;
        let before = shelf.active()?;
        if before.as_ref().and_then(Active::model) == Some(model) {
            return Ok(());
        }
        let active = Active::after(before.as_ref(), model);
        self.append(ACTIVE_KEY.to_owned(), active.encode()).await?;
        self.flush().await?;
        for key in active.dropped(before.as_ref()).into_iter().flat_map(|dropped| shelf.keys(dropped)) {
            self.append(key, Bytes::new()).await?;
        }
        self.flush().await
    }

    pub(super) async fn shelf(&self) -> Result<Shelf, ReadError> {
        let mut shelf = Shelf::default();
        for record in self.log.whole_in_time(topics::PLANT, PARTITION).await? {
            if let Some(key) = &record.key {
                shelf.apply(key, &record.payload);
            }
        }
        Ok(shelf)
    }

    async fn append(&self, key: String, payload: Bytes) -> Result<(), AppendError> {
        self.appender.append(topics::PLANT, PARTITION, Some(key.into()), payload).await.map(drop)
    }

    /// Waits until all is durable, however long the log is stalled.
    async fn flush(&self) -> Result<(), PublishError> {
        while !self.appender.flush(FLUSH).await? {
            tracing::warn!("the plant model waits for the log");
        }
        Ok(())
    }
}
