//! Many clients, and slow ones.

use super::*;

#[test]
fn a_client_that_says_nothing_keeps_one_place_and_nobody_waiting_until_all_are_taken() {
    let bench = Bench::with(RawApi { connections_max: Some(3), ..RawApi::default() }, &[]);
    let silent = |bench: &Bench| TcpStream::connect(bench.address).unwrap();
    let first = silent(&bench);
    let mut half = silent(&bench);
    half.write_all(b"POST /api/v1/tickets HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-le").unwrap();

    assert_eq!(bench.get("/api/v1/networks").0, 200);

    // The last place: whoever comes now waits, and is served once a place is free.
    let last = silent(&bench);
    let address = bench.address;
    let waiting = std::thread::spawn(move || raw_request(address, "GET", "/api/v1/networks", &[], "").0);
    drop((first, last));
    assert_eq!(waiting.join().unwrap(), 200);
    drop(half);
    bench.stop();
}

#[test]
fn a_body_that_never_comes_whole_is_given_up_with_a_problem() {
    let bench = Bench::new();
    let mut stream = TcpStream::connect(bench.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /api/v1/tickets HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    // What is said to be coming is no longer: the connection's end is an end of the body.
    stream.shutdown(std::net::Shutdown::Write).unwrap();

    let mut answer = String::new();
    let _closed_hard = stream.read_to_string(&mut answer);

    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(bench.get("/api/v1/networks").0, 200, "others are served");
    bench.stop();
}

/// Clients whose both ends fit into the open files that this process may have, up to 2,000; `heat-tests`' `desk` measures
/// 10,000.
fn clients_that_fit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files = soft.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(1_024_usize);
    (files.saturating_sub(300) / 2).min(2_000)
}

#[test]
fn thousands_of_event_clients_all_get_what_happens_and_one_too_many_is_told_to_come_again() {
    let most = clients_that_fit();
    let raw = RawApi {
        event_clients_max: Some(most),
        connections_max: Some(most + 10),
        requests_per_second: Some(2 * most),
        ..RawApi::default()
    };
    let bench = Bench::with(raw, &[]);
    let mut clients: Vec<Lines> = (0..most).map(|_| open_events(&bench, &[])).collect();

    let (status, head, answer) = raw_request(bench.address, "GET", "/api/v1/events", &[], "");
    assert_eq!(status, 503, "{answer}");
    assert!(head.contains("content-type: application/problem+json"), "{head}");

    bench.publish(&opened(7));
    let expected = format!("{}:7:0", partition().0);
    for client in &mut clients {
        assert_eq!(next_id(client), expected);
    }
    drop(clients);
    bench.stop();
}

#[test]
fn no_trick_of_a_path_leads_out_of_what_is_served() {
    let bench = Bench::new();
    for path in [
        "/..%2f..%2fetc%2fpasswd",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/runbooks/..%2f..%2f..%2fetc%2fpasswd",
        "/runbooks/%2e%2e%2fREADME",
        "/plots/..%2f..%2fetc%2fpasswd?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z",
        "/api/v1/signals/..%2f..%2f..%2fetc%2fpasswd/history",
        "/api/v1/networks/..",
        "/networks/%00/sites/%00",
        "/incidents/..%5c..%5cboot.ini",
        "//evil.example/",
        "/api/v1/rejected/..%2f..%2fx",
    ] {
        let (status, answer) = bench.request("GET", path, &[], "");
        assert!((400..500).contains(&status), "{path}: {status} {answer}");
        assert!(!answer.contains("root:") && !answer.contains("[package]"), "{path}: {answer}");
    }
    bench.stop();
}
