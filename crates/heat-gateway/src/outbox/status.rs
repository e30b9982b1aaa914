//! How the outbox stands, for metrics, health and the log.

use heat_model::AppendTime;

use super::core::{BufferState, Core, Moved, Sink};
use crate::buffer::Buffer;

/// Where records go, and what lies on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Kafka makes nothing durable at present.
    pub(crate) is_stalled: bool,
    /// Whether there is a buffer at all.
    pub(crate) has_buffer: bool,
    /// New records go to the buffer.
    pub(crate) is_buffering: bool,
    /// Buffered records are on their way to Kafka.
    pub(crate) is_draining: bool,
    /// A bound of the buffer is reached: senders wait.
    pub(crate) is_full: bool,
    /// The disk takes nothing at present.
    pub(crate) buffer_fails: bool,
    /// Buffered records that are not durable in Kafka.
    pub(crate) records: u64,
    /// Bytes of the buffer on disk.
    pub(crate) bytes: u64,
    /// Age of the oldest of them, in seconds.
    pub(crate) oldest_age_seconds: i64,
    pub(crate) moved: Moved,
    /// Records lost by damage of the disk.
    pub(crate) damaged_records: u64,
    /// The buffer's durable end.
    pub(crate) end: u64,
}

impl Status {
    pub(super) fn of<L: Ord + Copy, T, K: Sink, B: Sink>(
        core: &Core<L, T, K, B>,
        buffer: Option<&Buffer>,
        state: BufferState,
    ) -> Self {
        let BufferState { end, is_full, time } = state;
        let records = core.backlog().records(end);
        let age = |oldest: AppendTime| (time.as_micros() - oldest.as_micros()) / 1_000_000;
        Self {
            is_stalled: core.kafka().is_stalled(),
            has_buffer: buffer.is_some(),
            is_buffering: core.is_buffering(),
            is_draining: records > 0 && core.can_forward(),
            is_full,
            buffer_fails: core.buffer().is_some_and(Sink::is_stalled),
            records,
            bytes: buffer.map_or(0, Buffer::bytes),
            oldest_age_seconds: core.backlog().oldest(end).map_or(0, age).max(0),
            moved: core.moved(),
            damaged_records: buffer.map_or(0, Buffer::damaged_records),
            end,
        }
    }

    /// Whether messages are taken and become durable.
    pub(crate) fn is_ready(&self) -> bool {
        let is_taking =
            if self.is_buffering { !self.is_full && !self.buffer_fails } else { !self.is_stalled };
        // In the seconds before the buffer takes over, nothing is wrong yet that an operator should know.
        is_taking || (self.has_buffer && !self.is_buffering && !self.buffer_fails)
    }

    /// For `/state`.
    pub(crate) fn to_json(self) -> String {
        let Self { is_stalled, is_buffering, is_full, buffer_fails, records, .. } = self;
        let log = if is_stalled { "stalled" } else { "ok" };
        let mode = if is_buffering { "buffering" } else { "direct" };
        let disk = if buffer_fails { "failing" } else { "ok" };
        format!(
            "{{\"log\":\"{log}\",\"mode\":\"{mode}\",\"buffer\":{{\"records\":{records},\"full\":{is_full},\
             \"disk\":\"{disk}\"}}}}"
        )
    }

    /// Says what has changed since `before`, as far as an operator would note it.
    pub(super) fn tell_change(&self, before: &Self) {
        let Self { records, bytes, oldest_age_seconds, .. } = *self;
        if self.is_buffering && !before.is_buffering {
            tracing::warn!("Kafka takes nothing: buffering to disk; senders are acknowledged from there");
        }
        if self.is_full && !before.is_full {
            tracing::warn!(
                records,
                bytes,
                oldest_age_seconds,
                "the buffer is full: nothing more is taken from senders, nothing is lost; bring Kafka back, or raise \
                 [gateway.buffer] bytes_max or age_max and restart"
            );
        }
        if before.is_full && !self.is_full {
            tracing::info!(records, bytes, "the buffer has room again");
        }
        if self.is_draining && !before.is_draining {
            tracing::info!(records, oldest_age_seconds, "draining the buffer to Kafka");
        }
        if before.is_buffering && !self.is_buffering {
            tracing::info!(old_records = records, "all fresh records are with Kafka: direct again");
        }
        let was_busy = before.records > 0 || before.is_buffering;
        if was_busy && records == 0 && !self.is_buffering {
            tracing::info!("the backlog is drained");
        }
        if !self.has_buffer && self.is_stalled && !before.is_stalled {
            tracing::warn!("the log takes no records: nothing is acknowledged, nothing is lost");
        }
        if !self.has_buffer && before.is_stalled && !self.is_stalled {
            tracing::info!("the log takes records again");
        }
    }

    /// What an earlier process left.
    pub(super) fn tell_found(&self) {
        if self.records > 0 {
            let Self { records, oldest_age_seconds, .. } = *self;
            tracing::info!(
                records,
                oldest_age_seconds,
                "found records in the buffer that Kafka may not have"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffering_is_ready_and_a_full_or_failing_buffer_is_not() {
        let outage = Status { has_buffer: true, is_stalled: true, is_buffering: true, ..Status::default() };
        assert!(outage.is_ready());
        assert!(!Status { is_full: true, ..outage }.is_ready());
        assert!(!Status { buffer_fails: true, ..outage }.is_ready());
        assert!(!Status { is_stalled: true, ..Status::default() }.is_ready(), "without a buffer");
        assert!(Status::default().is_ready());
    }
}
