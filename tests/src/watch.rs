//! A real Prometheus and a real Alertmanager, and a webhook that notes what it receives and when.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Process, find_program, free_port, now_us, require, wait_until};

pub mod desk;
pub mod panels;

const START: Duration = Duration::from_secs(60);
const PROMETHEUS: &str = "Debian and Ubuntu have it in the package prometheus";
const ALERTMANAGER: &str = "Debian and Ubuntu have it in the package prometheus-alertmanager";

/// Something that a webhook received.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// The request's method.
    pub method: String,
    /// The part of the address behind the port.
    pub path: String,
    /// The body.
    pub body: Value,
}

/// A server that takes every request, and answers each with an empty list.
#[derive(Debug, Clone)]
pub struct Webhook {
    port: u16,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
}

impl Webhook {
    /// Starts it; it ends with the process.
    pub fn start() -> Self {
        Self::at(0)
    }

    /// Starts it on this port.
    pub fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let deliveries: Arc<Mutex<Vec<Delivery>>> = Arc::default();
        let noted = Arc::clone(&deliveries);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                std::thread::spawn(move || serve(connection, &noted));
            }
        });
        Self { port, deliveries }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Everything received so far.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Alerts received so far of this name and status, each with its delivery's time.
    pub fn alerts(&self, name: &str, status: &str) -> Vec<(i64, Value)> {
        let deliveries = self.deliveries();
        let alerts = deliveries.iter().flat_map(|delivery| {
            let alerts = delivery.body["alerts"].as_array().cloned().unwrap_or_default();
            alerts.into_iter().map(move |alert| (delivery.at_us, alert))
        });
        alerts
            .filter(|(_, alert)| alert["labels"]["alertname"] == name && alert["status"] == status)
            .collect()
    }
}

/// Serves one connection until the other side ends it.
fn serve(mut connection: TcpStream, deliveries: &Mutex<Vec<Delivery>>) {
    let Ok(reading) = connection.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).is_ok_and(|read| read > 0) {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
                    break;
                }
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            let mut words = request.split(' ').map(str::to_owned);
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let delivery = Delivery { at_us: now_us(), method, path, body };
            deliveries.lock().unwrap_or_else(PoisonError::into_inner).push(delivery);
            if connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]").is_ok() {
                continue;
            }
        }
        return;
    }
}

/// A server with a folder and a port of its own. It ends with the test.
#[derive(Debug)]
pub struct Server {
    process: Process,
    program: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
    port: u16,
}

impl Server {
    /// Alertmanager with this configuration; none, with a word on standard error, where it is missing.
    pub fn alertmanager(config: &str) -> Option<Self> {
        let names = ["prometheus-alertmanager", "alertmanager"];
        let program = require(names.into_iter().find_map(find_program), "Alertmanager", ALERTMANAGER)?;
        let (folder, port) = (TempDir::new().expect("a temporary folder can be made"), free_port());
        let file = folder.path().join("alertmanager.yml");
        fs::write(&file, config).expect("the temporary folder can be written");
        let arguments = vec![
            format!("--config.file={}", file.display()),
            format!("--storage.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            // No cluster: no second port.
            "--cluster.listen-address=".to_owned(),
        ];
        Some(Self::launch(program, arguments, folder, port))
    }

    /// Prometheus with this configuration; `rules` are copied beside it.
    pub fn prometheus(config: &str, rules: &std::path::Path) -> Option<Self> {
        let program = require(find_program("prometheus"), "Prometheus", PROMETHEUS)?;
        let (folder, port) = (TempDir::new().expect("a temporary folder can be made"), free_port());
        crate::copy_folder(rules, &folder.path().join("rules"));
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config).expect("the temporary folder can be written");
        let arguments = vec![
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        Some(Self::launch(program, arguments, folder, port))
    }

    fn launch(program: PathBuf, arguments: Vec<String>, folder: TempDir, port: u16) -> Self {
        let process = spawn(&program, &arguments, &folder);
        let mut server = Self { process, program, arguments, folder, port };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&mut self) {
        let what = format!("{} is ready", self.program.display());
        wait_until(&what, START, || {
            if let Some(status) = self.process.0.try_wait().expect("it can be asked") {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                panic!("{} ended with {status}:\n{log}", self.program.display());
            }
            self.get("/-/ready").is_some()
        });
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it the hard way; what it kept in memory is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port and folder.
    pub fn start_again(&mut self) {
        self.process = spawn(&self.program, &self.arguments, &self.folder);
        self.wait_until_ready();
    }

    /// A page's text; none while it does not answer well.
    pub fn get(&self, path: &str) -> Option<String> {
        crate::site::get(&format!("{}{path}", self.url()))
    }

    /// A page's JSON; null while it does not answer well.
    pub fn json(&self, path: &str) -> Value {
        self.get(path).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// The answer of Prometheus to an expression, with `status` and, if it failed, `error`.
    pub fn query(&self, expression: &str) -> Value {
        let answer = ureq::get(format!("{}/api/v1/query", self.url()))
            .config()
            .http_status_as_error(false)
            .build()
            .query("query", expression)
            .call();
        let text = answer.ok().and_then(|mut answer| answer.body_mut().read_to_string().ok());
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// How many series an expression has; the error's text where it is none.
    pub fn series(&self, expression: &str) -> Result<usize, String> {
        let answer = self.query(expression);
        match answer["data"]["result"].as_array() {
            Some(series) if answer["status"] == "success" => Ok(series.len()),
            _ => Err(answer["error"].as_str().unwrap_or("no answer").to_owned()),
        }
    }
}

fn spawn(program: &PathBuf, arguments: &[String], folder: &TempDir) -> Process {
    let log = fs::File::create(folder.path().join("log")).expect("the temporary folder can be written");
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
    Process(child)
}

/// The faults that promtool finds in a scrape; none where promtool is missing.
pub fn lint(scrape: &str) -> Option<String> {
    let program = require(find_program("promtool"), "promtool", PROMETHEUS)?;
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool can be run");
    child.stdin.take().expect("it was asked for").write_all(scrape.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool can be waited for");
    Some([output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
}
