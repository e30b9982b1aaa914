//! What the watching side costs: pages, API, server-sent events, and a scrape of 100,000 series; figures, judged by nobody.
//!
//! `cargo run --release -p heat-tests --bin desk [-- --quick]`, on a quiet machine, after
//! `cargo build --release -p heatstream`. The binary under test: `HEATSTREAM_BIN`, or target/PROFILE/heatstream.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use heat_tests::{
    free_port,
    heatstream::Running,
    mqtt, now_us, pace,
    site::{Site, get},
    wait_until,
};
use serde_json::Value;

const LIVE: Duration = Duration::from_secs(900);
const SOON: Duration = Duration::from_secs(120);
const WORKERS: u32 = 16;

/// How much of it.
struct Size {
    seconds: u32,
    per_second: u32,
    clients: [usize; 2],
    devices: u32,
    scrapes: u32,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let size = if quick {
        Size { seconds: 3, per_second: 50, clients: [50, 200], devices: 200, scrapes: 3 }
    } else {
        Size { seconds: 30, per_second: 200, clients: [1_000, 10_000], devices: 10_000, scrapes: 20 }
    };
    of_demo_city(&size);
    of_many_series(&size);
}

/// A connection that is kept.
struct Http {
    stream: BufReader<TcpStream>,
}

impl Http {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server takes connections");
        stream.set_nodelay(true).expect("a socket takes options");
        stream.set_read_timeout(Some(SOON)).expect("a socket takes options");
        Self { stream: BufReader::new(stream) }
    }

    /// Status and bytes of the body.
    fn get(&mut self, path: &str) -> (u16, usize) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/html\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).expect("the server reads");
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the server answers");
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("the server answers");
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the body is whole");
        (status, length)
    }
}

/// Of durations, by nearest rank, in milliseconds.
fn percentiles(mut micros: Vec<u64>) -> String {
    micros.sort_unstable();
    let rank = |hundredths: usize| (micros.len() * hundredths).div_ceil(100).saturating_sub(1);
    let ms = |index: usize| micros.get(index).copied().unwrap_or(0) as f64 / 1e3;
    format!("p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", ms(rank(50)), ms(rank(99)), ms(rank(100)))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn resident_mib(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_ascii_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn of_demo_city(size: &Size) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (mqtt, api, admin) = (free_port(), free_port(), free_port());
    let config = format!(
        "[gateway.listen]\naddress = \"127.0.0.1:{mqtt}\"\n[api]\naddress = \"127.0.0.1:{api}\"\nrequests_per_second = \
         100000\nconnections_max = 12000\nevent_clients_max = 10000\n[admin]\naddress = \"127.0.0.1:{admin}\"\n"
    );
    fs::write(folder.path().join("up.toml"), config).expect("the temporary folder can be written");
    let at = |name: &str| folder.path().join(name).into_os_string();
    let arguments = [
        "up".into(),
        "--config".into(),
        at("up.toml"),
        "--data-dir".into(),
        at("data"),
        "--history-days".into(),
        "2".into(),
    ];
    let mut up = Running::start("desk", arguments);
    up.wait_until("the city is live", LIVE, |up| up.stdout().contains("live: "));
    let url = |path: &str| format!("http://127.0.0.1:{api}{path}");
    let json = |path: &str| -> Value {
        get(&url(path)).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    };
    let mut burst = Value::Null;
    up.wait_until("a pipe bursts", SOON, |_| {
        burst = json("/api/v1/incidents?class=burst")["items"][0].clone();
        burst["affected"][0].is_string()
    });
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (id, network, station) = (word(&burst["id"]), word(&burst["network"]), word(&burst["affected"][0]));

    let pages = [
        "/".to_owned(),
        "/incidents".to_owned(),
        format!("/incidents/{id}"),
        format!("/networks/{network}"),
        format!("/networks/{network}/sites/{station}"),
        "/tickets".to_owned(),
        "/quality".to_owned(),
        "/health".to_owned(),
    ];
    println!("console pages, 20 times each on one connection:");
    let mut http = Http::open(api);
    for page in &pages {
        let mut bytes = 0;
        let times = (0..20).map(|_| {
            let begun = Instant::now();
            let (status, length) = http.get(page);
            assert_eq!(status, 200, "{page}");
            bytes = length;
            micros(begun.elapsed())
        });
        let times = percentiles(times.collect());
        println!("  {page}: {bytes} bytes, {times}");
    }

    of_api(
        size,
        api,
        &[
            "/api/v1/incidents?limit=100".to_owned(),
            format!("/api/v1/incidents/{id}"),
            "/api/v1/networks".to_owned(),
            format!("/api/v1/networks/{network}"),
            "/api/v1/signals?limit=100".to_owned(),
            "/api/v1/tickets".to_owned(),
            "/api/v1/feeds/city".to_owned(),
            "/".to_owned(),
        ],
    );
    for clients in size.clients {
        of_event_clients(clients, api, up.id());
    }
    up.stop().ended_with(0);
}

/// Requests at a steady pace; each is timed from when it was due, so that a stall costs all that wait behind it.
fn of_api(size: &Size, port: u16, paths: &[String]) {
    let times = Arc::new(Mutex::new(Vec::new()));
    let begun = Instant::now() + Duration::from_millis(100);
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (times, paths) = (Arc::clone(&times), paths.to_vec());
            let (seconds, per_second) = (size.seconds, size.per_second);
            std::thread::spawn(move || {
                let mut http = Http::open(port);
                for number in (worker..seconds * per_second).step_by(WORKERS as usize) {
                    let due = begun + Duration::from_secs(1) * number / per_second;
                    pace(due.saturating_duration_since(Instant::now()));
                    let path = &paths[number as usize % paths.len()];
                    let (status, _) = http.get(path);
                    assert_eq!(status, 200, "{path}");
                    times.lock().expect("nobody panics here").push(micros(due.elapsed()));
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().expect("every request is answered"));
    let times = times.lock().expect("nobody panics here").clone();
    println!(
        "API at {} requests/s for {} s, {} answers: {}",
        size.per_second,
        size.seconds,
        times.len(),
        percentiles(times)
    );
}

/// Memory that clients of events take: of the whole process, before and with them, each having heard something.
fn of_event_clients(clients: usize, port: u16, process: u32) {
    let before = resident_mib(process);
    let mut clients: Vec<BufReader<TcpStream>> = (0..clients)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server takes connections");
            stream.set_read_timeout(Some(SOON)).expect("a socket takes options");
            stream
                .write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                .expect("the server reads");
            BufReader::new(stream)
        })
        .collect();
    for client in &mut clients {
        let mut line = String::new();
        client.read_line(&mut line).expect("the server answers");
        assert!(line.contains("200"), "{line}");
        // A comment comes after 15 s of silence, if nothing happens.
        while !(line.starts_with(':') || line.starts_with("id:")) {
            line.clear();
            client.read_line(&mut line).expect("the stream goes on");
        }
    }
    let with = resident_mib(process);
    let asked = Instant::now();
    let (status, _) = Http::open(port).get("/api/v1/incidents");
    println!(
        "{} clients of events: {:.1} MiB more ({before:.1} before, {with:.1} with them); a request beside them: {status} \
         after {:.1} ms",
        clients.len(),
        with - before,
        asked.elapsed().as_secs_f64() * 1e3
    );
}

fn of_many_series(size: &Size) {
    let site = Site::new("[exporter]\nseries_max = 200000\n");
    let up = site.start();
    let mut client = mqtt::Client::connect(site.mqtt, "desk", true).expect("the gateway listens");
    let payload = |number: u32| {
        let values: Vec<String> = (0..10)
            .map(|signal| format!("\"{}\": {}", NAMES[signal], 40.0 + f64::from(number % 97) * 0.013))
            .collect();
        format!("{{\"time\": {}, \"values\": {{{}}}}}", now_us() / 1_000, values.join(","))
    };
    let mut send = |number: u32| {
        let topic = format!("heat/v1/town-{}/station-{number}/plc", number % 20);
        let begun = Instant::now();
        client.publish_acknowledged(&topic, payload(number).as_bytes(), SOON).expect("it is acknowledged");
        micros(begun.elapsed())
    };
    let calm: Vec<u64> = (0..size.devices).map(&mut send).collect();
    let series = |text: &str| text.lines().filter(|line| line.contains("site=\"station-")).count();
    let wanted = size.devices as usize * 10;
    let mut text = String::new();
    wait_until("all series are there", SOON, || {
        text = site.metrics();
        series(&text) >= wanted
    });
    println!("/metrics with {} series of plant values, {} bytes", series(&text), text.len());
    println!("  acknowledgement without a scrape: {}", percentiles(calm));
    let (admin, scrapes) = (site.admin, size.scrapes);
    let scraper = std::thread::spawn(move || {
        let mut http = Http::open(admin);
        let times = (0..scrapes).map(|_| {
            let begun = Instant::now();
            let (status, _) = http.get("/metrics");
            assert_eq!(status, 200, "/metrics");
            let taken = begun.elapsed();
            pace(Duration::from_millis(500));
            micros(taken)
        });
        times.collect::<Vec<u64>>()
    });
    let mut under_scrapes = Vec::new();
    let mut number = 0;
    while !scraper.is_finished() {
        under_scrapes.push(send(number % size.devices));
        number += 1;
    }
    println!("  scrape: {}", percentiles(scraper.join().expect("every scrape is answered")));
    println!("  acknowledgement under scrapes, {number} messages: {}", percentiles(under_scrapes));
    println!("  memory of the whole process: {:.0} MiB", resident_mib(up.id()));
    up.stop().ended_with(0);
}

const NAMES: [&str; 10] = [
    "primary_supply_temperature",
    "primary_return_temperature",
    "secondary_supply_temperature",
    "secondary_return_temperature",
    "outdoor_temperature",
    "steam_temperature",
    "condensate_temperature",
    "set_point_temperature",
    "primary_make_up_temperature",
    "secondary_make_up_temperature",
];
