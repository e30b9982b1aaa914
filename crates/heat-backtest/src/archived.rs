//! The archive as the log it was written from.

use heat_archive::{Archive, ArchiveError, Dataset};
use heat_model::{Body, Envelope, NetworkId, Position};

use crate::Span;

/// What an archive holds that can be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Topic of the input.
    pub topic: String,
    /// Its partition.
    pub partition: heat_model::PartitionId,
    /// Rows of readings.
    pub rows: u64,
}

/// Partitions of the archive that hold readings, in a fixed order.
pub async fn stretches(archive: &Archive) -> Result<Vec<Stretch>, ArchiveError> {
    let mut stretches = Vec::new();
    for (topic, partition) in archive.partitions().await? {
        let manifests = archive.manifests(&topic, partition).await?;
        let rows = manifests.iter().map(|manifest| manifest.rows(Dataset::Readings)).sum();
        if rows > 0 {
            stretches.push(Stretch { topic, partition, rows });
        }
    }
    Ok(stretches)
}

/// Hands the records of one partition to `take`, in the log's order, commit by commit; holds one commit in memory.
/// `take` also gets the number of rows read so far.
pub async fn replay<E: From<ArchiveError>>(
    archive: &Archive,
    stretch: &Stretch,
    span: Span,
    take: &mut dyn FnMut(&Position, &Envelope, u64) -> Result<(), E>,
) -> Result<(), E> {
    let mut rows = 0;
    for manifest in archive.manifests(&stretch.topic, stretch.partition).await? {
        let held = manifest.rows(Dataset::Readings);
        let latest = manifest.files.iter().map(|file| file.max_event_time_us).max();
        // Nothing arrives before it is measured, but for clocks that are ahead: those commits are read in vain.
        if latest.is_some_and(|latest| span.has_begun(latest)) {
            for (position, envelope) in archive.replay(&manifest).await? {
                let at_us = position.append_time.as_micros();
                if span.is_over(at_us) {
                    return Ok(());
                }
                if span.has_begun(at_us) {
                    take(&position, &envelope, rows)?;
                }
            }
        }
        rows += held;
    }
    Ok(())
}

/// The network of a record of readings.
pub(crate) fn network_of(envelope: &Envelope) -> Option<&NetworkId> {
    match &envelope.body {
        Body::Readings(readings) => Some(&readings.set.network),
        Body::Command(_)
        | Body::Ticket(_)
        | Body::Forecast(_)
        | Body::ModelActivated(_)
        | Body::Heartbeat(_) => None,
    }
}
