//! The simulated city inside `up`: history once, then live; goes on where it was after a crash.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use heat_model::{EventTime, NetworkId, label::Label, time::MICROS_PER_DAY};
use heat_mqtt::PublishError;
use heat_runtime::{Clock, ExitStatus, Shutdown, Tasks};
use heat_sim::{City, CityPlan, Scan, event::Happening, script};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use crate::{
    Failure,
    cli::{SimChoice, UpArguments},
    data_dir::DataDir,
    out::{is_terminal, say},
    sim::{HISTORY_STEP, SpeakingCity, publisher, second_of, write_plant},
};

/// A pipe stays broken until its repair is reported, or for so long.
const BURST_LASTS: Duration = Duration::from_mins(30);
/// A script is given anew at a start so long after the last one began: its burst is over by then.
const SCRIPT_AGAIN_AFTER: Duration = Duration::from_mins(40);
/// Reported repairs that wait for the city, and that its state keeps.
pub(super) const REPAIRS_MAX: usize = 64;

/// Labels of what really happens in the simulated city, for whoever compares.
pub(super) type Labels = Arc<Mutex<Vec<Label>>>;

/// What has to survive: with it, a restarted city is the same city.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    seed: u64,
    /// Where the history begins.
    start: EventTime,
    /// Everything before it was acknowledged.
    published_until: EventTime,
    /// Where the script of events begins, once the city went live.
    script_from: Option<EventTime>,
    /// What crews have mended since, and when.
    #[serde(default)]
    mended: Vec<(EventTime, NetworkId)>,
}

/// The demo city, ready to run.
pub(super) struct Demo {
    path: PathBuf,
    sim: SimChoice,
    state: State,
    city: City,
    labels: Labels,
    /// Networks where the repair of a burst or leak was reported.
    repairs: mpsc::Receiver<NetworkId>,
}

impl Demo {
    /// Reads the state or begins a new one; writes the plant tables for the roles to read.
    pub(super) fn prepare(
        dir: &DataDir,
        arguments: &UpArguments,
        clock: Clock,
        repairs: mpsc::Receiver<NetworkId>,
    ) -> Result<Self, Failure> {
        let path = dir.sim_state();
        let now = second_of(clock);
        let state = match read_state(&path)? {
            Some(state) => state,
            None => {
                let history = Duration::from_hours(24) * arguments.history_days;
                let day = now.minus(history).as_micros().div_euclid(MICROS_PER_DAY) * MICROS_PER_DAY;
                let start = EventTime::from_micros(day);
                State {
                    seed: arguments.seed,
                    start,
                    published_until: start,
                    script_from: None,
                    mended: Vec::new(),
                }
            }
        };
        let plan = match arguments.sim {
            SimChoice::Demo | SimChoice::Off => CityPlan::demo(),
            SimChoice::Conversion => CityPlan::conversion(state.start),
        };
        let city = City::new(plan, state.seed, state.start)?;
        write_plant(city.plant(), &dir.plant())?;
        Ok(Self { path, sim: arguments.sim, state, city, labels: Labels::default(), repairs })
    }

    pub(super) fn labels(&self) -> Labels {
        Arc::clone(&self.labels)
    }

    /// Spawns the city and its publisher.
    pub(super) fn spawn(
        self,
        mqtt: SocketAddr,
        clock: Clock,
        live: Arc<Notify>,
        shutdown: &Shutdown,
        tasks: &mut Tasks,
    ) {
        let opened = publisher(&format!("mqtt://{mqtt}"), "demo-city");
        let shutdown = shutdown.clone();
        match opened {
            Ok((publisher, driver)) => {
                // The publisher outlives the city: its last messages are to be acknowledged.
                let driver_end = Shutdown::default();
                let city_done = driver_end.clone();
                tasks.spawn("demo city's publisher", async move {
                    driver.run(driver_end.begun()).await;
                    Ok::<(), std::io::Error>(())
                });
                tasks.spawn("demo city", async move {
                    let outcome = self.run(publisher, clock, &live, &shutdown).await;
                    city_done.begin();
                    outcome
                });
            }
            Err(failure) => {
                tasks.spawn("demo city", async move { Err(std::io::Error::other(failure.message)) });
            }
        }
    }

    async fn run(
        mut self,
        publisher: heat_mqtt::Publisher,
        clock: Clock,
        live: &Notify,
        shutdown: &Shutdown,
    ) -> Result<(), DemoError> {
        // What was published before is lived through in silence.
        let before = self.state.published_until;
        if let Some(from) = self.state.script_from {
            schedule(&mut self.city, self.sim, from)?;
        }
        let mended = self.state.mended.clone();
        let city = &mut self.city;
        tokio::task::block_in_place(|| {
            for (at, network) in mended {
                city.advance(at, Scan::HISTORY, &mut |_| {});
                city.mend(&network);
            }
            if before > city.now() {
                city.advance(before, Scan::HISTORY, &mut |_| {});
            }
        });
        let resumed = self.state.script_from.is_some();
        let Self { path, sim, mut state, city, labels, mut repairs } = self;
        let mut speaking = SpeakingCity::new(city, publisher);
        if resumed {
            say("the simulated city goes on");
            let now = second_of(clock);
            let city = &mut speaking.city;
            tokio::task::block_in_place(|| city.advance(now, Scan::HISTORY, &mut |_| {}));
        } else {
            load(&mut speaking, &mut state, &path, clock, shutdown).await?;
        }
        if shutdown.has_begun() {
            return Ok(());
        }
        let now = second_of(clock);
        if state.script_from.is_none_or(|from| now.since(from) > SCRIPT_AGAIN_AFTER) {
            state.script_from = Some(now);
            state.mended.clear();
            schedule(&mut speaking.city, sim, now)?;
        }
        state.published_until = now;
        write_state(&path, &state)?;
        say(match sim {
            SimChoice::Conversion => {
                "live: the city runs in real time; a steam main will leak within a minute, and half an hour later its \
                 balance shows it"
            }
            SimChoice::Demo | SimChoice::Off => {
                "live: the city runs in real time; a pipe will burst within a minute"
            }
        });
        live.notify_one();
        let each_second = |city: &mut City| {
            mend(city, &mut repairs, &mut state, &path);
            set(&labels, city.labels());
        };
        speaking.live(clock, None, shutdown, each_second).await?;
        Ok(())
    }
}

/// What the city plays, with a burst that waits for its repair.
fn schedule(city: &mut City, sim: SimChoice, from: EventTime) -> Result<(), DemoError> {
    let mut script = match sim {
        SimChoice::Demo | SimChoice::Off => script::demo(city.plant()),
        SimChoice::Conversion => script::conversion(city.plant()),
    };
    for event in &mut script.events {
        if matches!(event.what, Happening::Burst { .. }) && event.after < BURST_LASTS {
            event.lasts = BURST_LASTS;
        }
    }
    city.schedule(&script, from).map_err(|error| DemoError::Script(error.to_string()))
}

/// What was reported as repaired is mended in the city, too: only then can the data verify it.
fn mend(city: &mut City, repairs: &mut mpsc::Receiver<NetworkId>, state: &mut State, path: &Path) {
    while let Ok(network) = repairs.try_recv() {
        if city.mend(&network) == 0 || state.mended.len() >= REPAIRS_MAX {
            continue;
        }
        say(format!("the crew mends the pipe in {network}"));
        state.mended.push((city.now(), network));
        if let Err(error) = write_state(path, state) {
            tracing::warn!(%error, "after a restart the simulated city does not know of this repair");
        }
    }
}

/// The demo city cannot go on.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the simulated city cannot publish")]
    Publish(#[from] PublishError),
    #[error("the demo's script does not fit the city: {0}")]
    Script(String),
    #[error("the state of the simulated city cannot be written")]
    State(#[from] std::io::Error),
}

fn set(labels: &Labels, now: Vec<Label>) {
    *labels.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = now;
}

async fn load(
    speaking: &mut SpeakingCity,
    state: &mut State,
    path: &Path,
    clock: Clock,
    shutdown: &Shutdown,
) -> Result<(), DemoError> {
    let begun = clock.instant();
    let first = speaking.city.now();
    let bar = bar(second_of(clock).since(first));
    // While the history loads, time goes on: the last stretch is short.
    while second_of(clock).since(speaking.city.now()) >= HISTORY_STEP && !shutdown.has_begun() {
        let to = second_of(clock);
        let mut failed = None;
        speaking
            .load_history(to, shutdown, |until, readings| {
                state.published_until = until;
                if let Err(error) = write_state(path, state) {
                    failed.get_or_insert(error);
                }
                let seconds = (clock.instant() - begun).as_secs_f64().max(1e-3);
                bar.set_position(until.since(first).as_secs());
                bar.set_message(format!("{readings} readings, {:.0}/s", readings as f64 / seconds));
            })
            .await?;
        if let Some(error) = failed {
            return Err(error.into());
        }
    }
    bar.finish_and_clear();
    let seconds = (clock.instant() - begun).as_secs_f64();
    let readings = speaking.readings();
    say(format!(
        "loaded {readings} readings of history in {seconds:.1} s ({:.0} readings/s) over MQTT",
        readings as f64 / seconds.max(1e-3)
    ));
    Ok(())
}

fn bar(span: Duration) -> indicatif::ProgressBar {
    if !is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(span.as_secs());
    let style = indicatif::ProgressStyle::with_template("  history  {bar:40} {percent}%  {msg}")
        .expect("the template is a constant of the right shape");
    bar.set_style(style);
    bar
}

fn read_state(path: &Path) -> Result<Option<State>, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Failure::new(
                ExitStatus::Data,
                format!(
                    "{} cannot be read: {error}; remove its folder to start the demo anew",
                    path.display()
                ),
            )
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Failure::new(ExitStatus::Failed, format!("cannot read {}: {error}", path.display())))
        }
    }
}

/// Whole or not at all: a crash leaves the old state or the new one.
fn write_state(path: &Path, state: &State) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = std::fs::File::create(&temporary)?;
    serde_json::to_writer(&mut file, state)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
