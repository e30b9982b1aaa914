//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

/// Arguments of `heatstream bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    pub(crate) what: What,
}

#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// MQTT in: messages a second, CPU seconds and acknowledgement latency; beside mosquitto alone and a bare bridge.
    Ingest(Options),
    /// The processor, from a log on disk (and from Kafka): readings a second and core, live, while its detectors learn and
    /// once they have; beside decoding alone.
    Process(Options),
    /// The archiver, likewise; bytes a reading.
    Archive(Options),
    /// From a burst to its incident and its page, and from a reading to its Parquet file, in real time; takes about nine
    /// minutes.
    Latency(Options),
    /// The way back from an outage, on Kafka: a backlog in the gateway's buffer, drained while live messages go on; beside the
    /// direct way.
    Drain(Options),
    /// All of it.
    All(Options),
    /// One of the bench's own processes.
    #[command(hide = true)]
    Child {
        /// What to do (JSON).
        task: String,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Measure on Kafka too: an empty one, started for this (the bench writes into the product's topics).
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) kafka: Option<String>,
    /// Broker between generator and gateway on Kafka; the bench starts a mosquitto of its own by default.
    #[arg(long, value_name = "URL")]
    pub(crate) mqtt: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Messages of 10 readings that `ingest` and `drain` measure, after a tenth as many to warm up.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) messages: u64,
    /// Devices that speak in `ingest`.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) devices: u32,
    /// Connections that they speak through.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) connections: u32,
    /// Unacknowledged messages per connection at most.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) window: u32,
    /// Messages a second at which the acknowledgement's latency is measured.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) paced: u32,
    /// Readings in the log of `process` and `archive`, at least, and about as many in the log of `process` in which days
    /// pass.
    #[arg(long, default_value_t = 5_000_000)]
    pub(crate) readings: u64,
    /// Networks of the simulated city in that log.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) networks: u32,
    /// Networks in the log of `process` in which days pass, by scans of 15 minutes: the fewer, the more days, nine at least;
    /// those behind the first seven are measured apart, when the detectors have learned.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) day_networks: u32,
    /// Stations of each network.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(4..=200))]
    pub(crate) stations: u32,
    /// Scans that a device of that city reports in one message: one as live control does, more as a meter's radio saves.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=30))]
    pub(crate) scans_per_message: u32,
    /// Bursts in `latency`, one in each of as many small networks.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub(crate) bursts: u32,
    /// How long the backlog of `drain` rests before Kafka answers: beyond 15 minutes it counts as old, and goes behind what
    /// is live.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = heat_runtime::config::parse_duration)]
    pub(crate) backlog_age: Duration,
    /// Seed of all inputs.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Folder for logs and archives, on the disk that matters; removed at the end. The system's temporary one by default.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}
