//! The archive as the log it was written from.

use heat_archive::{Archive, ArchiveError};
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
        let view = archive.view(&topic, partition).await?;
        let of_readings = view.live().filter(|file| file.entry.dataset.holds_readings());
        let rows = of_readings.map(|file| file.entry.rows).sum();
        if rows > 0 {
            stretches.push(Stretch { topic, partition, rows });
        }
    }
    Ok(stretches)
}

/// Hands the records of one partition to `take`, in the log's order, piece by piece; holds one piece in memory.
/// `take` also gets the number of rows read so far.
pub async fn replay<E: From<ArchiveError>>(
    archive: &Archive,
    stretch: &Stretch,
    span: Span,
    take: &mut dyn FnMut(&Position, &Envelope, u64) -> Result<(), E>,
) -> Result<(), E> {
    let mut rows = 0;
    for piece in archive.pieces(&stretch.topic, stretch.partition).await? {
        // Nothing arrives before it is measured, but for clocks that are ahead: those pieces are read in vain.
        if piece.max_event_time_us.is_some_and(|latest| span.has_begun(latest)) {
            for (position, envelope) in
                archive.replay(&stretch.topic, stretch.partition, piece.offsets).await?
            {
                let at_us = position.append_time.as_micros();
                if span.is_over(at_us) {
                    return Ok(());
                }
                if span.has_begun(at_us) {
                    take(&position, &envelope, rows)?;
                }
            }
        }
        rows += piece.rows;
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
