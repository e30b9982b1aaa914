//! The bench's processes: this program started again with one task, talking in JSON lines.
//!
//! The parent writes commands to the child's standard input, the child says results on its standard output; a child
//! whose input ends, ends too, so none outlives its parent.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::Duration,
};

use heat_runtime::{
    ExitStatus,
    logging::{self, RawLogging},
    tasks::Chain,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use crate::{days, engine::Engine, error::BenchError, fill, gateway, latency, load, roles, usage::Usage};

/// What a child does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Generates MQTT load.
    Load(load::LoadTask),
    /// The gateway.
    Gateway(gateway::GatewayTask),
    /// A bridge from MQTT to the log that looks at nothing.
    Bare(gateway::BareTask),
    /// Writes a log.
    Fill(fill::FillTask),
    /// Writes a log in which days pass.
    Days(days::DaysTask),
    /// Reads and decodes a log.
    Decode(roles::DecodeTask),
    /// Reads and decodes a log as it grows.
    Follow(roles::FollowTask),
    /// The processor.
    Processor(roles::ProcessorTask),
    /// The processor's partitions over a log of days.
    Partitions(days::PartitionsTask),
    /// The archiver.
    Archiver(roles::ArchiverTask),
    /// All roles in one process, and who watches what comes out of them.
    Watched {
        /// Log.
        engine: Engine,
        /// Plant tables.
        plant: PathBuf,
        /// Archive.
        archive: PathBuf,
    },
}

impl Task {
    const fn name(&self) -> &'static str {
        match self {
            Self::Load(_) => "load generator",
            Self::Gateway(_) => "gateway",
            Self::Bare(_) => "bare bridge",
            Self::Fill(_) | Self::Days(_) => "log writer",
            Self::Decode(_) => "decoding reader",
            Self::Follow(_) => "following reader",
            Self::Processor(_) | Self::Partitions(_) => "processor",
            Self::Archiver(_) => "archiver",
            Self::Watched { .. } => "roles in one process",
        }
    }
}

/// One line of a child.
#[derive(Debug, Serialize, Deserialize)]
enum Line<T> {
    Said(T),
    Failed(String),
}

/// Answers that a child may give late: a slow machine fills a log for minutes.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// Lines read ahead of the parent, which hears nothing while it measures: a city of 2,000 networks names three files of each
/// in a minute, for a quarter of an hour. A child whose line finds no room would stand still, and what is measured with it.
const LINES_MAX: usize = 131_072;

/// A child process. It is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    name: &'static str,
    process: std::process::Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Child {
    /// Starts one.
    pub(crate) fn start(task: &Task) -> Result<Self, BenchError> {
        let name = task.name();
        let program = std::env::current_exe().map_err(BenchError::act("find the program to start again"))?;
        let task = serde_json::to_string(task).map_err(BenchError::act("write a child's task"))?;
        let mut process = Command::new(program)
            .args(["bench", "child", &task])
            // As the roles run (they start themselves anew with it).
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::act("start a process of the bench"))?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().expect("it was asked for");
        let (sender, lines) = sync_channel(LINES_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { name, process, stdin, lines })
    }

    /// Gives it a command.
    pub(crate) fn tell<T: Serialize>(&mut self, command: &T) -> Result<(), BenchError> {
        let mut line = serde_json::to_vec(command).map_err(BenchError::act("write a command"))?;
        line.push(b'\n');
        let stdin = self.stdin.as_mut().expect("it is closed at the end only");
        stdin.write_all(&line).and_then(|()| stdin.flush()).map_err(|error| BenchError::Child {
            child: self.name,
            reason: format!("it takes no command: {error}"),
        })
    }

    /// What it says next.
    pub(crate) fn hear<T: DeserializeOwned>(&self) -> Result<T, BenchError> {
        self.hear_within(PATIENCE)?.ok_or(BenchError::Silent { child: self.name, waited: PATIENCE })
    }

    /// What it says next, if it says something in time.
    pub(crate) fn hear_within<T: DeserializeOwned>(&self, wait: Duration) -> Result<Option<T>, BenchError> {
        let line = match self.lines.recv_timeout(wait) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(BenchError::Child {
                    child: self.name,
                    reason: "it ended before it was done".to_owned(),
                });
            }
        };
        match serde_json::from_str(&line) {
            Ok(Line::Said(said)) => Ok(Some(said)),
            Ok(Line::Failed(reason)) => Err(BenchError::Child { child: self.name, reason }),
            Err(error) => {
                Err(BenchError::Child { child: self.name, reason: format!("{error} in its line {line:?}") })
            }
        }
    }

    /// What it used so far.
    pub(crate) fn usage(&self) -> Result<Usage, BenchError> {
        Usage::of(self.process.id())
    }

    /// Closes its input and waits until it has ended.
    pub(crate) fn end(mut self) -> Result<(), BenchError> {
        self.stdin = None;
        let status = self.process.wait().map_err(BenchError::act("wait for a process of the bench"))?;
        if status.success() {
            Ok(())
        } else {
            Err(BenchError::Child { child: self.name, reason: status.to_string() })
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail where it has ended already, which is what is wanted.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Says something to the parent.
pub(crate) fn say<T: Serialize>(said: &T) -> Result<(), BenchError> {
    write_line(&Line::Said(said))
}

fn write_line<T: Serialize>(line: &Line<T>) -> Result<(), BenchError> {
    let mut bytes = serde_json::to_vec(line).map_err(BenchError::act("write a result"))?;
    bytes.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&bytes).and_then(|()| out.flush()).map_err(BenchError::act("tell the parent"))
}

/// The parent's commands; ends with the parent's wish or end.
#[derive(Debug)]
pub(crate) struct Commands {
    lines: mpsc::Receiver<String>,
}

impl Commands {
    fn listen() -> Self {
        let (sender, lines) = mpsc::channel(16);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines }
    }

    /// The next command; `None` where there will be none.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, BenchError> {
        match self.lines.recv().await {
            Some(line) => serde_json::from_str(&line).map(Some).map_err(BenchError::act("read a command")),
            None => Ok(None),
        }
    }

    /// Waits for the parent to close.
    pub(crate) async fn end(&mut self) {
        while self.lines.recv().await.is_some() {}
    }
}

/// Runs as a child.
pub(crate) fn serve(task: &str) -> ExitStatus {
    match served(task) {
        Ok(()) => ExitStatus::Done,
        Err(error) => {
            // The parent may be gone; the exit code says it too.
            drop(write_line(&Line::<()>::Failed(Chain(&error).to_string())));
            ExitStatus::Failed
        }
    }
}

fn served(task: &str) -> Result<(), BenchError> {
    let task: Task = serde_json::from_str(task).map_err(BenchError::act("read the task"))?;
    let logging = RawLogging { filter: "warn".to_owned(), ..RawLogging::default() };
    logging::start(&logging).map_err(BenchError::act("start logging"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(BenchError::act("start the child's threads"))?;
    let mut commands = Commands::listen();
    let outcome = runtime.block_on(async {
        match task {
            Task::Load(task) => load::generate(task, &mut commands).await,
            Task::Gateway(task) => gateway::run(task, &mut commands).await,
            Task::Bare(task) => gateway::bare(task, &mut commands).await,
            Task::Fill(task) => fill::run(task).await,
            Task::Days(task) => days::run(task).await,
            Task::Decode(task) => roles::decode(task, &mut commands).await,
            Task::Follow(task) => roles::follow(task, &mut commands).await,
            Task::Processor(task) => roles::processor(task, &mut commands).await,
            Task::Partitions(task) => days::partitions(task, &mut commands).await,
            Task::Archiver(task) => roles::archiver(task, &mut commands).await,
            Task::Watched { engine, plant, archive } => {
                latency::watched::run(&engine, &plant, &archive, &mut commands).await
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}
