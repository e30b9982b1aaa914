//! Who may see and do what, over which door.

use heat_model::plant::{Network, PlantModel};

use super::*;

/// SHA-256 of "abc" (FIPS 180-4) and of "hello".
pub(crate) const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
pub(crate) const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Two networks of two operators.
pub(crate) fn two_operators() -> PlantModel {
    let network = |id: &str, operator: &str| Network {
        id: id.parse().unwrap(),
        name: None,
        medium: None,
        time_zone: Some("Asia/Shanghai".to_owned()),
        operator: Some(operator.to_owned()),
        district: Some("Daoli".to_owned()),
    };
    PlantModel {
        networks: vec![network("town", "North Heat"), network("village", "South Heat")],
        ..PlantModel::default()
    }
}

pub(crate) fn with_users(lines: &str, before: &[Output], raw: RawApi) -> (Bench, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, lines).unwrap();
    let raw = RawApi { tokens_file: Some(tokens), ..raw };
    (Bench::of_plant(raw, before, false, two_operators()), dir)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("{name}: ");
    head.lines().find_map(|line| line.strip_prefix(prefix.as_str()))
}

fn login(bench: &Bench, token: &str, next: &str) -> (u16, String) {
    let body = format!("token={token}&next={next}");
    let (status, head, _) = raw_request(bench.address, "POST", "/login", &[FORM], &body);
    (status, head)
}

#[test]
fn the_console_wants_a_login_and_its_session_ends_with_the_logout() {
    let (bench, _dir) = with_users(&format!("duty operator {HELLO}\n"), &[opened(1)], RawApi::default());
    let (status, head, _) = raw_request(bench.address, "GET", "/incidents?state=all", &[], "");
    assert_eq!((status, header(&head, "location")), (303, Some("/login?next=%2fincidents%3fstate%3dall")));
    assert_eq!(bench.request("GET", "/login", &[], "").0, 200);

    let (status, head) = login(&bench, "wrong", "%2F");
    assert_eq!(status, 303);
    assert!(header(&head, "location").unwrap().starts_with("/login?wrong=1"), "{head}");
    assert_eq!(header(&head, "set-cookie"), None);

    let (status, head) = login(&bench, "hello", "%2Fincidents");
    assert_eq!((status, header(&head, "location")), (303, Some("/incidents")));
    let cookie = header(&head, "set-cookie").unwrap();
    assert!(cookie.contains("httponly") && cookie.contains("samesite=strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    // Hexadecimal digits cannot spell this token by chance.
    assert!(!cookie.contains("hello"), "the token is not in the cookie");

    let session = [("cookie", cookie.as_str())];
    assert_eq!(bench.request("GET", "/incidents", &session, "").0, 200);
    assert_eq!(bench.request("GET", "/api/v1/incidents", &session, "").0, 200);
    assert_eq!(bench.request("POST", "/logout", &session, "").0, 303);
    assert_eq!(bench.request("GET", "/api/v1/incidents", &session, "").0, 401);
    bench.stop();
}

#[test]
fn a_login_leads_to_no_other_site() {
    let (bench, _dir) = with_users(&format!("duty operator {ABC}\n"), &[], RawApi::default());
    let (_, head) = login(&bench, "abc", "%2F%2Fevil.example");
    assert_eq!(header(&head, "location"), Some("/"));
    bench.stop();
}

#[test]
fn what_another_site_makes_a_browser_send_is_refused() {
    let bench = Bench::with(RawApi::default(), &[opened(1)]);
    let path = format!("/incidents/{}/work", incident(1, 1).id);
    let host = bench.address.to_string();
    let (own, other) = (format!("http://{host}"), "https://evil.example");
    for headers in [
        vec![FORM, ("sec-fetch-site", "cross-site")],
        vec![FORM, ("sec-fetch-site", "same-site")],
        vec![FORM, ("origin", other)],
        vec![FORM, ("origin", "null")],
    ] {
        assert_eq!(bench.request("POST", &path, &headers, "state=dispatched").0, 403, "{headers:?}");
    }
    // Our own pages get as far as the form, which lacks something here.
    for headers in [vec![FORM, ("sec-fetch-site", "same-origin")], vec![FORM, ("origin", own.as_str())]] {
        assert_eq!(bench.request("POST", &path, &headers, "").0, 422, "{headers:?}");
    }
    bench.stop();
}

/// How often the API answers so before it says that this was too often. On a slow machine its limit grows meanwhile.
fn asked_until_refused(bench: &Bench, headers: [(&str, &str); 1], expected: u16) -> usize {
    let statuses = (0..1_000).map(|_| bench.request("GET", "/api/v1/networks", &headers, "").0);
    let answered: Vec<u16> = statuses.take_while(|status| *status != 429).collect();
    assert!(answered.len() < 1_000, "nothing was too often");
    assert!(answered.iter().all(|status| *status == expected), "{answered:?}");
    answered.len()
}

#[test]
fn many_wrong_tokens_are_told_to_wait_and_right_ones_of_the_same_address_are_heard() {
    let (bench, _dir) = with_users(&format!("duty operator {ABC}\n"), &[], RawApi::default());
    let wrong = [("authorization", "Bearer wrong")];
    assert!(asked_until_refused(&bench, wrong, 401) >= 10);
    // Behind a proxy the duty desk has the same address as the script that is set wrongly.
    assert_eq!(bench.request("GET", "/api/v1/networks", &[("authorization", "Bearer abc")], "").0, 200);
    let (status, head) = login(&bench, "abc", "%2F");
    assert_eq!((status, header(&head, "set-cookie").is_some()), (303, true), "{head}");
    let statuses: Vec<u16> =
        (0..1_000).map(|_| login(&bench, "wrong", "%2F").0).take_while(|it| *it != 429).collect();
    assert!(statuses.len() < 1_000 && statuses.iter().all(|status| *status == 303), "{statuses:?}");
    bench.stop();
}

#[test]
fn behind_a_proxy_that_ends_tls_the_sessions_cookie_is_for_https_alone() {
    for (secure_cookies, expected) in [(Some(true), true), (None, false)] {
        let raw = RawApi { secure_cookies, ..RawApi::default() };
        let (bench, _dir) = with_users(&format!("duty operator {ABC}\n"), &[], raw);
        let (_, head) = login(&bench, "abc", "%2F");
        let cookie = header(&head, "set-cookie").unwrap();
        assert_eq!(cookie.contains("; secure"), expected, "{cookie}");
        bench.stop();
    }
}

#[test]
fn a_user_that_asks_too_often_is_told_so_and_others_are_not() {
    let raw = RawApi { requests_per_second: Some(1), ..RawApi::default() };
    let lines = format!("duty operator {ABC}\ncity city-centre {HELLO}\n");
    let (bench, _dir) = with_users(&lines, &[], raw);
    let duty = [("authorization", "Bearer abc")];
    assert!(asked_until_refused(&bench, duty, 200) >= 2);
    let city = [("authorization", "Bearer hello")];
    assert_eq!(bench.request("GET", "/api/v1/feeds/city", &city, "").0, 200);
    bench.stop();
}

#[test]
fn a_scoped_user_sees_its_operators_networks_and_nothing_of_the_others() {
    let lines = format!("south viewer {ABC} operator=South_Heat\nnorth viewer {HELLO} operator=North_Heat\n");
    let (bench, _dir) = with_users(&lines, &[opened(1)], RawApi::default());
    bench.send_reading("st1", 80.0);
    let ask = |token: &str, path: &str| {
        let token = format!("Bearer {token}");
        let (status, body) = bench.request("GET", path, &[("authorization", token.as_str())], "");
        (status, serde_json::from_str::<Value>(&body).unwrap_or(Value::Null))
    };
    let clock = Clock;
    let begun = clock.instant();
    while ask("hello", "/api/v1/signals").1["items"].as_array().is_none_or(Vec::is_empty) {
        assert!(clock.instant().duration_since(begun) < PATIENCE);
        bench.pause();
    }
    let id = incident(1, 1).id;
    for (path, pointer) in [
        ("/api/v1/networks", "/items"),
        ("/api/v1/incidents", "/items"),
        ("/api/v1/signals", "/items"),
        ("/api/v1/feeds/city", "/incidents"),
    ] {
        let count = |token| ask(token, path).1.pointer(pointer).unwrap().as_array().unwrap().len();
        assert_eq!(count("hello"), 1, "{path}");
        assert_eq!(count("abc"), usize::from(path == "/api/v1/networks"), "{path}");
    }
    for path in [
        format!("/api/v1/incidents/{id}"),
        "/api/v1/networks/town".to_owned(),
        "/api/v1/signals/town%2Fst1%2Fplc%2Fsupply_temperature/history".to_owned(),
        format!("/incidents/{id}"),
        "/networks/town".to_owned(),
        "/networks/town/sites/st1".to_owned(),
    ] {
        assert_eq!(ask("abc", &path).0, 404, "{path}");
    }
    assert_eq!(ask("abc", "/api/v1/audit").0, 403);
    assert_eq!(ask("abc", "/api/v1/rejected").0, 403);
    bench.stop();
}

#[test]
fn what_blinds_a_whole_network_or_circuit_is_an_admins_to_command() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, format!("duty operator {ABC}\nchief admin {HELLO}\n")).unwrap();
    let raw = RawApi { tokens_file: Some(tokens), ..RawApi::default() };
    let bench = Bench::of_plant(raw, &[], false, desk::plant());
    let until = heat_api::json::ApiTime::from_micros(Clock.now().as_micros() + 3_600_000_000).to_string();
    let window =
        |place: Value| json!({ "id": "w", "place": place, "until": until, "reason": "work" }).to_string();
    let (maintenance, season) = ("/api/v1/networks/town/maintenance", "/api/v1/circuits/primary/season");
    let requeue = "/api/v1/rejected/requeue";
    for (path, body, is_dutys) in [
        (maintenance, window(json!("st1")), true),
        (maintenance, window(Value::Null), false),
        (season, json!({ "state": "off" }).to_string(), false),
        (requeue, json!({ "ids": ["0-7"] }).to_string(), false),
    ] {
        for (token, is_allowed) in [("Bearer abc", is_dutys), ("Bearer hello", true)] {
            let headers = [("authorization", token), ("content-type", "application/json")];
            let (status, answer) = bench.request("POST", path, &headers, &body);
            assert_eq!(status != 403, is_allowed, "{path} {token}: {status} {answer}");
            assert!(status < 500, "{path}: {answer}");
        }
    }
    let form = [("authorization", "Bearer abc"), FORM];
    let (status, html) = bench.request("POST", "/networks/town/season", &form, "circuit=primary&state=off");
    assert!(status == 403 && html.contains("role=\"alert\""), "{html}");
    let (_, html) = bench.request("GET", "/networks/town", &[("authorization", "Bearer abc")], "");
    assert!(html.contains("name=\"place\" required") && !html.contains("/networks/town/season"), "{html}");
    bench.stop();
}

#[test]
fn the_api_speaks_tls_and_a_faulty_certificate_is_named_before_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = heat_api::RawTls { certificate: certificate.clone(), key };
    let bench = Bench::with(RawApi { tls: Some(tls.clone()), ..RawApi::default() }, &[]);

    let answer = bench.runtime.block_on(over_tls(bench.address, made.cert.der().clone()));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    bench.stop();

    std::fs::write(&certificate, "nothing").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let log = Log::open_embedded(EmbeddedSettings::new(dir.path().join("log"))).unwrap();
    let raw = RawApi { address: Some("127.0.0.1:0".to_owned()), tls: Some(tls), ..RawApi::default() };
    let settings = Settings::from_raw(&raw).unwrap();
    let built = runtime.block_on(Api::build(settings, deps(&log, &Metrics::default())));
    assert!(matches!(built, Err(BuildError::Tls(_))), "{built:?}");
}

async fn over_tls(
    address: SocketAddr,
    certificate: tokio_rustls::rustls::pki_types::CertificateDer<'static>,
) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let request = "GET /api/v1/networks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The server may close without the goodbye of TLS; what it said is whole by its length.
    let _closed = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}
