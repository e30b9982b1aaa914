//! A mosquitto of the bench's own, and where brokers are.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use heat_runtime::{Clock, config::environment};

use crate::{error::BenchError, usage::Usage};

/// How long it may take to start.
const START: Duration = Duration::from_secs(20);

/// Where an MQTT server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// On this machine.
    pub(crate) fn local(port: u16) -> Self {
        Self { host: "127.0.0.1".to_owned(), port }
    }

    /// Of `mqtt://host:port`.
    pub(crate) fn parse(url: &str) -> Result<Self, BenchError> {
        let wrong = || BenchError::Argument {
            argument: "--mqtt",
            value: url.to_owned(),
            problem: "write mqtt://host:1883",
        };
        let rest = url.strip_prefix("mqtt://").ok_or_else(wrong)?;
        let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "1883"));
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| wrong())? })
    }
}

/// A running mosquitto, in memory only. It is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    process: std::process::Child,
    port: u16,
}

impl Mosquitto {
    /// The program, where there is one.
    pub(crate) fn find() -> Option<PathBuf> {
        let path = environment("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
            .map(|folder| folder.join("mosquitto"))
            .find(|program| program.is_file())
    }

    /// Starts one whose queues do not bound the test; its configuration lies in `dir`.
    pub(crate) fn start(program: &Path, dir: &Path) -> Result<Self, BenchError> {
        let port = free_port()?;
        let path = dir.join(format!("mosquitto-{port}.conf"));
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\nlog_dest stderr\n\
             set_tcp_nodelay true\nmax_queued_messages 0\nmax_queued_bytes 0\nmax_inflight_messages 2000\n"
        );
        std::fs::write(&path, config).map_err(BenchError::file("write", &path))?;
        let process = Command::new(program)
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(BenchError::act("start mosquitto"))?;
        let mut broker = Self { process, port };
        broker.wait_until_it_listens()?;
        Ok(broker)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), BenchError> {
        let begun = Clock.instant();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.try_wait().map_err(BenchError::act("look after mosquitto"))?;
            if let Some(status) = ended {
                return Err(BenchError::Child { child: "mosquitto", reason: status.to_string() });
            }
            if begun.elapsed() > START {
                return Err(BenchError::Silent { child: "mosquitto", waited: START });
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(crate) fn address(&self) -> Address {
        Address::local(self.port)
    }

    pub(crate) fn usage(&self) -> Result<Usage, BenchError> {
        Usage::of(self.process.id())
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Both fail where it has ended already, which is what is wanted.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A port that nothing listened on a moment ago.
fn free_port() -> Result<u16, BenchError> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(BenchError::act("find a free port"))?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_by_a_url() {
        assert_eq!(Address::parse("mqtt://b:1884").unwrap(), Address { host: "b".to_owned(), port: 1884 });
        assert_eq!(Address::parse("mqtt://b").unwrap().port, 1883);
        for wrong in ["b:1883", "mqtt://:1883", "mqtt://b:x", ""] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}
