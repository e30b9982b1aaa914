//! What people type: exit codes, faults with their lines, and the commands that there are.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

fn heatstream(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_heatstream")).args(arguments).output().expect("the binary can be run")
}

#[track_caller]
fn text(output: &Output, code: i32) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("deploy/config is there")
        .map(|entry| entry.expect("it can be listed").path())
        .chain([Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/compose/heatstream.toml")])
        .collect();
    files.sort();
    files
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_would_be_right() {
    for arguments in [
        &["fly"][..],
        &["up", "--for", "90"],
        &["up", "--sim", "venus"],
        &["gateway"],
        &["check"],
        &["replay", "--mapping", "m.toml"],
        &["sim", "--speed", "fast"],
        &["audit", "--data-dir", "no-such-folder"],
        &["audit", "--data-dir", "x", "--from", "yesterday"],
        &["archive", "verify", "--archive", "no-such-folder"],
        &["incidents", "show", "not an id"],
        &[],
    ] {
        let said = text(&heatstream(arguments), 2);

        assert!(!said.trim().is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_faulty_configuration_ends_with_64_and_all_faults_with_their_lines() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("faulty.toml");
    let document = "[gatewya]\n\
                    [log]\n\
                    partitions = 0\n\
                    retention = \"14\"\n\
                    [archive]\n\
                    rotation = \"never\"\n\
                    [exporter]\n\
                    series_max = 0\n\
                    [admin]\n\
                    address = \"0.0.0.0:9464\"\n";
    fs::write(&path, document).expect("the temporary folder can be written");

    let said = text(&heatstream(&["check", "--config", &path.display().to_string()]), 64);

    for (line, key) in [
        (1, "gatewya"),
        (3, "log.partitions"),
        (4, "log.retention"),
        (6, "archive.rotation"),
        (8, "exporter.series_max"),
        (10, "admin.address"),
    ] {
        let named = |fault: &str| fault.contains(&format!("line {line}:")) && fault.contains(key);
        assert!(said.lines().any(named), "line {line}, {key}: {said}");
    }
    // A role refuses the same document in the same way, and starts nothing.
    let role = text(
        &heatstream(&[
            "up",
            "--sim",
            "off",
            "--config",
            &path.display().to_string(),
            "--data-dir",
            &folder.path().join("data").display().to_string(),
        ]),
        64,
    );
    assert!(role.contains("log.partitions"), "{role}");
}

#[test]
fn text_that_is_no_toml_ends_with_64_and_its_line() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("broken.toml");
    fs::write(&path, "[log]\npartitions = = 4\n").expect("the temporary folder can be written");

    let said = text(&heatstream(&["check", "--config", &path.display().to_string()]), 64);

    assert!(said.contains("line 2"), "{said}");
}

#[test]
fn every_example_configuration_is_without_fault() {
    let examples = examples();
    assert!(examples.len() >= 6, "{examples:?}");
    for path in examples {
        let said = text(&heatstream(&["check", "--config", &path.display().to_string()]), 0);

        assert!(said.starts_with("ok: "), "{}: {said}", path.display());
    }
}

#[test]
fn help_lists_the_commands_and_each_has_its_own() {
    let commands = [
        "up",
        "gateway",
        "processor",
        "archiver",
        "exporter",
        "api",
        "check",
        "sim",
        "replay",
        "audit",
        "archive",
        "topics",
        "incidents",
        "bench",
    ];
    let output = heatstream(&["--help"]);

    let help = text(&output, 0);

    assert!(
        !output.stdout.is_empty(),
        "help that was asked for goes to standard output, so that it can be piped"
    );
    for command in commands {
        let is_listed = |line: &str| line.trim_start().split(' ').next() == Some(command);
        assert!(help.lines().any(is_listed), "{command}: {help}");
        assert!(text(&heatstream(&[command, "--help"]), 0).contains("Usage: "), "{command}");
    }
}

/// Waits for a message to the supervisor that says this; without one within a minute or two, all that it heard.
fn told(supervisor: &UnixDatagram, wanted: &str) -> Result<(), Vec<String>> {
    let mut heard = Vec::new();
    for _ in 0..600 {
        let mut buffer = [0; 4096];
        let Ok(length) = supervisor.recv(&mut buffer) else { continue };
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if message.lines().any(|line| line == wanted) {
            return Ok(());
        }
        heard.push(message);
    }
    Err(heard)
}

#[test]
fn a_supervisor_is_told_ready_alive_and_stopping_and_a_shells_limit_of_open_files_does_not_bind() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).expect("a socket can be made");
    supervisor.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout can be set");
    let config = folder.path().join("up.toml");
    let any = "address = \"127.0.0.1:0\"\n";
    fs::write(&config, format!("[gateway.listen]\n{any}[api]\n{any}[admin]\n{any}"))
        .expect("a file can be written");
    let mut up = Command::new("bash")
        .args(["-c", "ulimit -Sn 256; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_heatstream")])
        .args(["up", "--sim", "off", "--data-dir"])
        .arg(folder.path().join("data"))
        .arg("--config")
        .arg(&config)
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "1000000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary can be run");

    let ready = told(&supervisor, "READY=1");
    let alive = told(&supervisor, "WATCHDOG=1").and_then(|()| told(&supervisor, "WATCHDOG=1"));
    let id = up.id().to_string();
    let limits = fs::read_to_string(format!("/proc/{id}/limits"));
    let stopped = Command::new("kill").args(["-TERM", &id]).status().expect("kill can be run");
    let stopping = told(&supervisor, "STOPPING=1");
    let ended = up.wait().expect("it can be waited for");

    assert_eq!((ready, alive, stopping), (Ok(()), Ok(()), Ok(())));
    assert!(stopped.success() && ended.success(), "{ended}");
    let limits = limits.expect("the process can be looked at");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let numbers: Vec<&str> = files.into_iter().flat_map(str::split_ascii_whitespace).take(2).collect();
    assert!(matches!(numbers[..], [soft, hard] if soft == hard && soft != "256"), "{limits}");
}
