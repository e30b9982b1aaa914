//! The embedded engine: `DIR/TOPIC/PARTITION/BASE-SALT.segment`, one process at a time.
//!
//! Threads: one writer (`embedded/writer.rs`) for all partitions, so that a group of records costs one sync per touched
//! file; one for upkeep (retention, compaction). Readers read the files themselves, up to the durable end.
//!
//! `DIR/VERSION` names the format and `DIR/LOCK` is locked while a process has the log open. Everything else is derived
//! from the segments.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use heat_model::{AppendTime, PartitionId, record::NextOffset};
use tokio::sync::{Notify, watch};

use crate::{
    OpenError,
    appender::{AppendError, Appender, Core, Wake},
    consumer::{Bounds, Membership, ReadError},
    settings::{AppenderSettings, ConsumerSettings, EmbeddedSettings},
    stats::{Live, LogStats},
    topics::{Retention, TopicError, TopicSpec, check_spec},
};

mod frame;
mod group;
mod partition;
mod reader;
mod recover;
mod segment;
mod upkeep;
mod writer;

pub use self::reader::EmbeddedConsumer;
use self::{group::Group, partition::Partition, recover::open_partition};

/// What `DIR/VERSION` says.
const VERSION: &str = "heatstream-log 1";
/// Ending of a topic's directory until it is complete.
const CREATING: &str = ".creating";

/// The embedded log. Cheap to clone; the last clone dropped ends it.
#[derive(Debug, Clone)]
pub struct EmbeddedLog {
    owner: Arc<Owner>,
}

/// Owns the threads and the lock: both end with it.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    _lock: File,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.abort.store(true, Ordering::Release);
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has closed its appenders already.
            thread.join().ok();
        }
    }
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    partitions: Vec<Arc<Partition>>,
    grown: Arc<Notify>,
    keeping: Mutex<Keeping>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Keeping {
    retention: Retention,
    compacted: bool,
}

impl Topic {
    fn keeping(&self) -> MutexGuard<'_, Keeping> {
        self.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.len()).expect("the number was checked at creation")
    }

    fn partition(&self, id: PartitionId) -> Result<&Arc<Partition>, ReadError> {
        self.partitions
            .get(id.0 as usize)
            .ok_or_else(|| ReadError::NotAssigned { topic: self.name.to_string(), partition: id })
    }
}

/// What the writer has to take on.
#[derive(Debug, Default)]
struct News {
    /// With their newest append times.
    partitions: Vec<(Arc<Partition>, i64)>,
    appenders: Vec<Arc<Core>>,
    is_closed: bool,
}

/// By topic and name.
type Groups = BTreeMap<(Arc<str>, String), Arc<Group>>;

/// What handles and threads share.
#[derive(Debug)]
struct Shared {
    settings: EmbeddedSettings,
    topics: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
    groups: Mutex<Groups>,
    news: Mutex<News>,
    wake: Arc<Wake>,
    upkeep_wake: Wake,
    /// Write what is queued, then end.
    stopping: AtomicBool,
    /// End even if it cannot be written.
    abort: AtomicBool,
    writer_ended: watch::Sender<bool>,
    live: Arc<Live>,
}

impl Shared {
    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake.wake();
        self.upkeep_wake.wake();
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_news(&self) -> bool {
        let news = self.news();
        !news.partitions.is_empty() || !news.appenders.is_empty() || self.stopping.load(Ordering::Acquire)
    }

    fn take_news(&self) -> Option<News> {
        let mut news = self.news();
        (!news.partitions.is_empty() || !news.appenders.is_empty()).then(|| std::mem::take(&mut *news))
    }

    fn refuse_appenders(&self) {
        let mut news = self.news();
        news.is_closed = true;
        for core in news.appenders.drain(..) {
            core.close("the log is closed");
        }
    }

    fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).map(Arc::clone)
    }

    fn all_topics(&self) -> Vec<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    fn retention(&self, topic: &str) -> Retention {
        self.topic(topic).map_or_else(Retention::default, |topic| topic.keeping().retention)
    }

    /// Opens a topic's directory, recovering every partition.
    fn open_topic(&self, name: &str) -> Result<(), OpenError> {
        let dir = self.settings.dir.join(name);
        let count = count_partitions(&dir)?;
        let (name, grown): (Arc<str>, _) = (name.into(), Arc::new(Notify::new()));
        let mut partitions = Vec::new();
        for id in (0..count).map(PartitionId) {
            let dir = dir.join(id.0.to_string());
            let (partition, newest_us) =
                open_partition(Arc::clone(&name), id, dir, Arc::clone(&grown), Arc::clone(&self.live))?;
            let partition = Arc::new(partition);
            self.news().partitions.push((Arc::clone(&partition), newest_us));
            partitions.push(partition);
        }
        let topic = Topic { name: Arc::clone(&name), partitions, grown, keeping: Mutex::default() };
        self.topics.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(topic));
        self.wake.wake();
        Ok(())
    }

    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), TopicError> {
        check_spec(spec)?;
        if self.topic(&spec.name).is_none() {
            create_topic(&self.settings.dir, spec)?;
            self.open_topic(&spec.name).map_err(|error| TopicError::Engine {
                act: "open",
                topic: spec.name.clone(),
                reason: error.to_string(),
            })?;
        }
        let topic = self.topic(&spec.name).expect("it was there or has just been opened");
        let found = topic.partition_count();
        if found != spec.partitions {
            return Err(TopicError::Partitions { topic: spec.name.clone(), found, wanted: spec.partitions });
        }
        *topic.keeping() = Keeping { retention: spec.retention, compacted: spec.compacted };
        Ok(())
    }
}

fn count_partitions(dir: &Path) -> Result<u32, OpenError> {
    let io_error = |source| OpenError::Io { act: "list", path: dir.display().to_string(), source };
    let mut count = 0;
    for entry in fs::read_dir(dir).map_err(io_error)? {
        let name = entry.map_err(io_error)?.file_name();
        count += u32::from(name.to_str().is_some_and(|name| name.parse::<u32>().is_ok()));
    }
    Ok(count)
}

/// Makes the topic's directories; it appears under its name only when complete.
fn create_topic(root: &Path, spec: &TopicSpec) -> Result<(), TopicError> {
    let temporary = root.join(format!(".{}{CREATING}", spec.name));
    let create = || -> io::Result<()> {
        for partition in 0..spec.partitions {
            fs::create_dir_all(temporary.join(partition.to_string()))?;
        }
        segment::sync_dir(&temporary)?;
        fs::rename(&temporary, root.join(&spec.name))?;
        segment::sync_dir(root)
    };
    create().map_err(|source| TopicError::Io { act: "create", path: temporary.display().to_string(), source })
}

/// Locks the directory and checks its version; writes both files into an empty one.
fn claim(dir: &Path) -> Result<File, OpenError> {
    let shown = dir.display().to_string();
    let io_error = |act, path: &Path| {
        let path = path.display().to_string();
        move |source| OpenError::Io { act, path, source }
    };
    fs::create_dir_all(dir).map_err(io_error("create", dir))?;
    let is_empty = fs::read_dir(dir).map_err(io_error("list", dir))?.next().is_none();
    let version_path = dir.join("VERSION");
    let found = match fs::read_to_string(&version_path) {
        Ok(found) => Some(found.trim_end().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_error("read", &version_path)(error)),
    };
    match found {
        Some(found) if found != VERSION => {
            return Err(OpenError::Version { dir: shown, found, expected: VERSION.to_owned() });
        }
        None if !is_empty && !holds_only_a_beginning(dir) => return Err(OpenError::Foreign { dir: shown }),
        Some(_) | None => {}
    }
    let lock_path = dir.join("LOCK");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(io_error("open", &lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: shown }),
        Err(TryLockError::Error(source)) => return Err(io_error("lock", &lock_path)(source)),
    }
    if found.is_none() {
        write_version(dir, &version_path).map_err(io_error("write", &version_path))?;
    }
    Ok(lock)
}

/// A crash between the first files leaves a directory with only these.
fn holds_only_a_beginning(dir: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(dir) else { return false };
    entries.all(|entry| {
        entry.is_ok_and(|entry| matches!(entry.file_name().to_str(), Some("LOCK" | "VERSION.writing")))
    })
}

fn write_version(dir: &Path, path: &Path) -> io::Result<()> {
    let temporary = dir.join("VERSION.writing");
    let mut file = File::create(&temporary)?;
    file.write_all(format!("{VERSION}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    segment::sync_dir(dir)
}

/// Names of the topics on disk; what was begun and not finished is removed.
fn list_topics(dir: &Path) -> Result<Vec<String>, OpenError> {
    let io_error =
        |act, path: PathBuf| move |source| OpenError::Io { act, path: path.display().to_string(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_error("list", dir.to_path_buf()))? {
        let path = entry.map_err(io_error("list", dir.to_path_buf()))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(CREATING) {
            fs::remove_dir_all(&path).map_err(io_error("remove", path.clone()))?;
        } else if path.is_dir() && !name.starts_with('.') {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

impl EmbeddedLog {
    pub(crate) fn open(settings: EmbeddedSettings) -> Result<Self, OpenError> {
        let lock = claim(&settings.dir)?;
        let shared = Arc::new(Shared {
            topics: RwLock::default(),
            groups: Mutex::default(),
            news: Mutex::default(),
            wake: Arc::default(),
            upkeep_wake: Wake::default(),
            stopping: AtomicBool::new(false),
            abort: AtomicBool::new(false),
            writer_ended: watch::Sender::new(false),
            live: Arc::default(),
            settings,
        });
        for name in list_topics(&shared.settings.dir)? {
            shared.open_topic(&name)?;
        }
        // Owned from the first thread on, so that a failure to start the second ends the first.
        let mut owner = Owner { shared: Arc::clone(&shared), threads: Vec::new(), _lock: lock };
        let writer = writer::Writer::new(Arc::clone(&shared));
        owner.threads.push(start_thread("log-writer", move || writer.run())?);
        owner.threads.push(start_thread("log-upkeep", move || upkeep::run(&shared))?);
        Ok(Self { owner: Arc::new(owner) })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    pub(crate) async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), TopicError> {
        let (shared, topics) = (Arc::clone(self.shared()), topics.to_vec());
        tokio::task::spawn_blocking(move || topics.iter().try_for_each(|spec| shared.ensure_topic(spec)))
            .await
            .map_err(|_| TopicError::Closed)?
    }

    pub(crate) fn partitions(&self, topic: &str) -> Result<u32, TopicError> {
        let found =
            self.shared().topic(topic).ok_or_else(|| TopicError::Missing { topic: topic.to_owned() })?;
        Ok(found.partition_count())
    }

    pub(crate) fn appender(
        &self,
        topics: &[&str],
        settings: AppenderSettings,
    ) -> Result<Appender, AppendError> {
        if settings.record_max_bytes > frame::FRAME_MAX_BYTES - frame::HEADER_BYTES {
            let reason =
                format!("record_max_bytes is over {} bytes", frame::FRAME_MAX_BYTES - frame::HEADER_BYTES);
            return Err(AppendError::Start { reason });
        }
        let mut sized = Vec::new();
        for &topic in topics {
            sized.push((topic, self.partitions(topic).map_err(|error| AppendError::Open(Arc::new(error)))?));
        }
        let shared = self.shared();
        let core = Arc::new(Core::new(&sized, settings, Arc::clone(&shared.wake), Arc::clone(&shared.live)));
        let mut news = shared.news();
        if news.is_closed {
            return Err(AppendError::Closed { cause: "the log is closed".into() });
        }
        news.appenders.push(Arc::clone(&core));
        drop(news);
        shared.wake.wake();
        Ok(Appender::new(core))
    }

    fn topic(&self, topic: &str) -> Result<Arc<Topic>, ReadError> {
        self.shared()
            .topic(topic)
            .ok_or_else(|| ReadError::Topic(TopicError::Missing { topic: topic.to_owned() }))
    }

    pub(crate) fn consumer(
        &self,
        topic: &str,
        membership: Membership,
        settings: ConsumerSettings,
    ) -> Result<EmbeddedConsumer, ReadError> {
        let topic = self.topic(topic)?;
        let count = topic.partition_count();
        match membership {
            Membership::All => {
                EmbeddedConsumer::fixed(self, topic, (0..count).map(PartitionId).collect(), settings)
            }
            Membership::Only(partitions) => EmbeddedConsumer::fixed(self, topic, partitions, settings),
            Membership::Group(name) => {
                let mut groups = self.shared().groups.lock().unwrap_or_else(PoisonError::into_inner);
                let group = groups
                    .entry((Arc::clone(&topic.name), name))
                    .or_insert_with(|| Arc::new(Group::new(count, Arc::clone(&topic.grown))));
                let group = Arc::clone(group);
                drop(groups);
                Ok(EmbeddedConsumer::member(self, topic, group, settings))
            }
        }
    }

    pub(crate) fn bounds(&self, topic: &str, partition: PartitionId) -> Result<Bounds, ReadError> {
        Ok(self.topic(topic)?.partition(partition)?.bounds())
    }

    pub(crate) async fn offset_at(
        &self,
        topic: &str,
        partition: PartitionId,
        time: AppendTime,
    ) -> Result<NextOffset, ReadError> {
        let partition = Arc::clone(self.topic(topic)?.partition(partition)?);
        tokio::task::spawn_blocking(move || partition.offset_at(time.as_micros()))
            .await
            .map_err(|error| ReadError::Closed { cause: error.to_string() })?
    }

    pub(crate) async fn trim(
        &self,
        topic: &str,
        partition: PartitionId,
        before: NextOffset,
    ) -> Result<(), ReadError> {
        let partition = Arc::clone(self.topic(topic)?.partition(partition)?);
        let path = partition.dir.display().to_string();
        tokio::task::spawn_blocking(move || partition.trim(before))
            .await
            .map_err(|error| ReadError::Closed { cause: error.to_string() })?
            .map(drop)
            .map_err(|source| ReadError::File { path, source })
    }

    pub(crate) fn stats(&self) -> LogStats {
        self.shared().live.snapshot()
    }

    pub(crate) async fn close(&self, deadline: Duration) -> bool {
        let mut ended = self.shared().writer_ended.subscribe();
        self.shared().stop();
        let in_time = tokio::time::timeout(deadline, ended.wait_for(|ended| *ended)).await.is_ok();
        if !in_time {
            self.shared().abort.store(true, Ordering::Release);
            self.shared().stop();
        }
        in_time && self.shared().live.queued_records.get() == 0
    }
}

fn start_thread(
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|source| OpenError::Thread { name, source })
}
