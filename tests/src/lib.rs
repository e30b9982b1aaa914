//! Support for tests with real servers: each gets its own ports and directories, and only processes that the test
//! started are ended, by id.
//!
//! A server that a machine lacks is not a failure on a user's machine: [`require`] says how to get it and the test
//! returns. With `HEATSTREAM_REQUIRE_SERVERS=1` (CI) it fails.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Child,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

pub mod bridge;
pub mod browser;
pub mod disk;
pub mod faults;
pub mod fleet;
pub mod heatstream;
pub mod http_faults;
pub mod kafka;
pub mod load;
pub mod mosquitto;
pub mod mqtt;
pub mod proxy;
pub mod python;
pub mod s3;
pub mod site;
pub mod town;
pub mod watch;

/// Whether a missing server must fail the test.
pub fn servers_are_required() -> bool {
    std::env::var_os("HEATSTREAM_REQUIRE_SERVERS").is_some_and(|value| value == "1")
}

/// Passes a found server on, or says on standard error how to get it; panics instead where servers are required.
pub fn require<T>(found: Option<T>, server: &str, how_to_get: &str) -> Option<T> {
    if found.is_none() {
        assert!(!servers_are_required(), "{server} is missing: {how_to_get}");
        eprintln!("skipped: {server} is missing; {how_to_get}");
    }
    found
}

/// A port that nothing listened on a moment ago, and that this process was not given before.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = listener.expect("loopback has a free port").port();
        if given.insert(port) {
            return port;
        }
    }
}

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_path_buf()
}

/// Looks a program up in PATH, and in `/usr/sbin`, where some servers live.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Waits until the condition holds; panics with `what` after the deadline.
pub fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < deadline, "waited {deadline:?} in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Lets time pass where time itself is what a test needs: the pace of a load, the length of an outage. Never for
/// waiting: that is [`wait_until`].
pub fn pace(duration: Duration) {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// A seeded sequence of numbers, so that a failure can be repeated (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Any seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number in `low..high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        low + self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % (high - low)
    }
}

/// A temporary folder in memory where the system has one, for tests that sync thousands of small files: what a kill leaves is
/// the same there, only a power cut would tell the difference.
pub fn memory_folder() -> tempfile::TempDir {
    let made = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    made.expect("a temporary folder can be made")
}

/// Microseconds since 1970.
pub fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("the clock is past 1970").as_micros()).expect("it is before the year 294,000")
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder can be listed") {
        let entry = entry.expect("the folder can be listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("the entry has a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}

/// A process that ends with the test.
#[derive(Debug)]
pub struct Process(pub Child);

impl Process {
    /// Ends it the hard way and waits for it.
    pub fn kill(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
