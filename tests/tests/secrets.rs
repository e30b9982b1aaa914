//! What opens doors is in no log, however much is logged, and in no answer.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use heat_tests::{free_port, heatstream::Running, wait_until};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);
/// The right ones, and one that somebody tries.
const TOKEN: &str = "tok-Ahr7eiNgoo4uqu6O";
const WRONG_TOKEN: &str = "tok-wee3ieFohgh1Aequ";
const PASSWORD: &str = "pw-Thoo9ohsheiPh2ei";
const WRONG_PASSWORD: &str = "pw-ahNg7aehai3Chohx";
/// SHA-256 of `TOKEN`.
const HASH: &str = "81267a4b21721d6cc3287e08bf964c2493f2c8627e0aae35230812b7079d54b8";

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// The return code of an MQTT 3.1.1 CONNECT with a password.
fn connect(port: u16, password: &str) -> Option<u8> {
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    body.extend_from_slice(&[4, 0b1100_0010, 0, 60]);
    for word in ["meter-1", "scada", password] {
        text(&mut body, word);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    stream.write_all(&[0x10, u8::try_from(body.len()).ok()?]).ok()?;
    stream.write_all(&body).ok()?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).ok()?;
    Some(answer[3])
}

fn status(port: u16, path: &str, token: &str) -> u16 {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.get(format!("http://127.0.0.1:{port}{path}"));
    request
        .header("authorization", format!("Bearer {token}"))
        .call()
        .map_or(0, |answer| answer.status().as_u16())
}

#[test]
fn no_token_and_no_password_is_in_a_log_however_much_is_logged() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("tokens"), format!("duty operator {HASH}\n")).unwrap();
    fs::write(at("password"), PASSWORD).unwrap();
    let (mqtt, api, admin) = (free_port(), free_port(), free_port());
    let config = format!(
        "[gateway.listen]\naddress = \"127.0.0.1:{mqtt}\"\n[[gateway.listen.users]]\nname = \"scada\"\n\
         password_file = \"{}\"\nnetworks = [\"town\"]\nclient_id = \"any\"\n[api]\naddress = \"127.0.0.1:{api}\"\n\
         tokens_file = \"{}\"\n[admin]\naddress = \"127.0.0.1:{admin}\"\n[logging]\nfilter = \"trace\"\n",
        at("password").display(),
        at("tokens").display()
    );
    fs::write(at("up.toml"), config).unwrap();
    let path = |name: &str| at(name).into_os_string();
    let mut up = Running::start(
        "up",
        [
            "up".into(),
            "--sim".into(),
            "off".into(),
            "--config".into(),
            path("up.toml"),
            "--data-dir".into(),
            path("data"),
        ],
    );
    up.wait_until("the API answers", SOON, |_| status(api, "/api/v1/networks", TOKEN) == 200);

    assert_eq!(status(api, "/api/v1/networks", WRONG_TOKEN), 401);
    // Where a token does not belong, but where people put one.
    status(api, &format!("/api/v1/networks?token={WRONG_TOKEN}"), TOKEN);
    let login = |token: &str| {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        let answer =
            agent.post(format!("http://127.0.0.1:{api}/login")).send_form([("token", token), ("next", "/")]);
        answer.expect("the login answers").status().as_u16()
    };
    assert_eq!((login(TOKEN), login(WRONG_TOKEN)), (303, 303));
    let mut codes = (None, None);
    wait_until("MQTT answers", SOON, || {
        codes = (connect(mqtt, PASSWORD), connect(mqtt, WRONG_PASSWORD));
        codes.0.is_some() && codes.1.is_some()
    });
    assert_eq!((codes.0, codes.1.is_some_and(|code| code > 0)), (Some(0), true), "{codes:?}");
    let metrics = heat_tests::site::get(&format!("http://127.0.0.1:{admin}/metrics")).unwrap();
    let state = heat_tests::site::get(&format!("http://127.0.0.1:{admin}/state")).unwrap_or_default();

    let ended = up.stop().ended_with(0);

    assert!(ended.stderr.contains("DEBUG"), "much is logged");
    for secret in [TOKEN, WRONG_TOKEN, PASSWORD, WRONG_PASSWORD] {
        for (place, text) in
            [("log", &ended.stderr), ("output", &ended.stdout), ("/metrics", &metrics), ("/state", &state)]
        {
            assert!(!text.contains(secret), "{secret} is in the {place}");
        }
    }
}
