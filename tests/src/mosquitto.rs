//! A real mosquitto, and its command-line clients.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{Process, find_program, free_port, require, wait_until};

const HOW_TO_GET: &str = "Debian and Ubuntu have it in the packages mosquitto and mosquitto-clients";
const START: Duration = Duration::from_secs(60);

/// A broker on a loopback port of its own, with its own folder. It ends with the test.
#[derive(Debug)]
pub struct Mosquitto {
    process: Process,
    program: PathBuf,
    port: u16,
    folder: TempDir,
}

impl Mosquitto {
    /// Starts a broker; `config` is added to a configuration with a listener for everybody and with persistence. None,
    /// with a word on standard error, where mosquitto is missing.
    pub fn start(config: &str) -> Option<Self> {
        let program = require(find_program("mosquitto"), "mosquitto", HOW_TO_GET)?;
        let folder = TempDir::new().expect("a temporary folder can be made");
        let port = free_port();
        let location = folder.path().display();
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {location}/\n\
             user root\n{config}\n"
        );
        fs::write(folder.path().join("mosquitto.conf"), config).expect("the temporary folder can be written");
        let process = launch(&program, &folder, port);
        Some(Self { process, program, port, folder })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the broker in good order: it stores its sessions.
    pub fn stop(&mut self) {
        let id = self.process.0.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().expect("kill can be run");
        assert!(status.success(), "mosquitto {id} could not be told to stop");
        self.process.0.wait().expect("mosquitto can be waited for");
    }

    /// Ends the broker the hard way: it stores nothing.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts the broker again, on the same port and folder.
    pub fn start_again(&mut self) {
        self.process = launch(&self.program, &self.folder, self.port);
    }
}

fn launch(program: &PathBuf, folder: &TempDir, port: u16) -> Process {
    let log =
        fs::File::create(folder.path().join("mosquitto.log")).expect("the temporary folder can be written");
    let child = Command::new(program)
        .arg("-c")
        .arg(folder.path().join("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("mosquitto can be run");
    let mut process = Process(child);
    wait_until("mosquitto listens", START, || {
        if let Some(status) = process.0.try_wait().expect("mosquitto can be asked") {
            let log = fs::read_to_string(folder.path().join("mosquitto.log")).unwrap_or_default();
            panic!("mosquitto ended with {status}:\n{log}");
        }
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    process
}

/// One of mosquitto's command-line clients, aimed at a port on 127.0.0.1; none where it is missing.
pub fn client(program: &str, port: u16) -> Option<Command> {
    let path = require(find_program(program), program, HOW_TO_GET)?;
    let mut command = Command::new(path);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    Some(command)
}
