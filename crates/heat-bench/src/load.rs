//! The load generator: MQTT 3.1.1 on raw sockets, QoS 1, a bounded number of messages in flight per connection.
//!
//! Written for this, because a client library would cost more than what is measured. A phase of load is a number of
//! messages, as fast as they are acknowledged or at a given rate; the latency is from the write of a message to the
//! arrival of its PUBACK.

pub(crate) mod connection;
pub(crate) mod payload;

use std::time::Duration;

use heat_runtime::Clock;
use serde::{Deserialize, Serialize};

use crate::{
    child::{Commands, say},
    error::BenchError,
    load::connection::{Connection, Share},
    percentiles::{self, Percentiles},
};

/// Who speaks, and to whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoadTask {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) connections: u32,
    pub(crate) devices: u32,
    /// Messages in flight per connection at most.
    pub(crate) window: u32,
    pub(crate) seed: u64,
}

/// Load to make.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Phase {
    pub(crate) messages: u64,
    /// Messages a second in all; as fast as it goes without.
    pub(crate) rate: Option<f64>,
}

/// What came of a phase: all its messages were acknowledged.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Loaded {
    pub(crate) seconds: f64,
    pub(crate) payload_bytes: u64,
    pub(crate) latency: Option<Percentiles>,
}

/// Connects, then makes load as it is told.
pub(crate) async fn generate(task: LoadTask, commands: &mut Commands) -> Result<(), BenchError> {
    let mut connections = (0..task.connections)
        .map(|index| Connection::open(&task, index))
        .collect::<Result<Vec<_>, _>>()
        .map_err(BenchError::act("connect the load generator"))?;
    say(&())?;
    while let Some(phase) = commands.next::<Phase>().await? {
        let loaded = tokio::task::block_in_place(|| load(&mut connections, phase))
            .map_err(BenchError::act("publish the load"))?;
        say(&loaded)?;
    }
    Ok(())
}

fn load(connections: &mut [Connection], phase: Phase) -> std::io::Result<Loaded> {
    let shares = connections.len() as u64;
    let begun = Clock.instant();
    let outcomes: Vec<std::io::Result<(Vec<u64>, u64)>> = std::thread::scope(|scope| {
        let workers: Vec<_> = connections
            .iter_mut()
            .zip(0..)
            .map(|(connection, index)| {
                let share = Share {
                    messages: phase.messages / shares + u64::from(index < phase.messages % shares),
                    rate: phase.rate.map(|rate| rate / shares as f64),
                    // A paced generator looks up this often; the kernel rounds it to its tick.
                    wait: phase.rate.map(|_| Duration::from_millis(1)),
                };
                scope.spawn(move || connection.publish(&share))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker.join().unwrap_or_else(|_| Err(std::io::Error::other("a connection's thread died")))
            })
            .collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let (mut latencies, mut payload_bytes) = (Vec::new(), 0);
    for outcome in outcomes {
        let (more, bytes) = outcome?;
        latencies.extend(more);
        payload_bytes += bytes;
    }
    Ok(Loaded { seconds, payload_bytes, latency: percentiles::of_micros(latencies) })
}
