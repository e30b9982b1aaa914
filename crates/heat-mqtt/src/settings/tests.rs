use super::*;

fn no_environment(_: &str) -> Option<String> {
    None
}

fn no_file(_: &Path) -> io::Result<String> {
    Err(io::Error::from(io::ErrorKind::NotFound))
}

const NOTHING: SecretSource<'static> = SecretSource { environment: &no_environment, file: &no_file };

fn keys(faults: &[Fault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.key.as_str()).collect()
}

#[test]
fn all_faults_of_a_listener_are_reported_at_once() {
    let raw = RawListen {
        address: Some("0.0.0.0:1883".to_owned()),
        connect_timeout: Some("10".to_owned()),
        in_flight_max: Some(0),
        ..RawListen::default()
    };

    let faults = ListenSettings::check(&raw, "gateway.listen", NOTHING).unwrap_err();

    assert_eq!(
        keys(&faults),
        ["gateway.listen.address", "gateway.listen.connect_timeout", "gateway.listen.in_flight_max"]
    );
}

#[test]
fn users_need_distinct_names_and_a_password() {
    let environment = |name: &str| (name == "SECRET").then(|| "s3cret".to_owned());
    let secrets = SecretSource { environment: &environment, file: &no_file };
    let user = |name: &str, file: Option<&str>, variable: Option<&str>| RawUser {
        name: name.to_owned(),
        password_file: file.map(str::to_owned),
        password_env: variable.map(str::to_owned),
    };
    let raw = RawListen {
        users: vec![
            user("a", None, Some("SECRET")),
            user("a", None, Some("SECRET")),
            user("b", None, None),
            user("c", Some("/missing"), None),
            user("d", Some("/missing"), Some("SECRET")),
            user("e", None, Some("UNSET")),
            user("", None, Some("SECRET")),
        ],
        ..RawListen::default()
    };

    let faults = ListenSettings::check(&raw, "l", secrets).unwrap_err();

    assert_eq!(
        keys(&faults),
        [
            "l.users[1].name",
            "l.users[2].password_file",
            "l.users[3].password_file",
            "l.users[4].password_file",
            "l.users[5].password_env",
            "l.users[6].name",
        ]
    );
}

#[test]
fn a_password_file_may_end_with_a_line_end_and_is_never_shown() {
    let file = |_: &Path| Ok("s3cret\r\n".to_owned());
    let secrets = SecretSource { environment: &no_environment, file: &file };
    let raw = RawListen {
        address: Some("0.0.0.0:1883".to_owned()),
        users: vec![RawUser {
            name: "a".to_owned(),
            password_file: Some("f".to_owned()),
            password_env: None,
        }],
        ..RawListen::default()
    };

    let settings = ListenSettings::check(&raw, "", secrets).unwrap();

    assert!(settings.users[0].password.matches(b"s3cret"));
    assert!(!format!("{settings:?}").contains("s3cret"));
}

#[test]
fn all_faults_of_a_subscriber_are_reported_at_once() {
    let raw = RawSubscribe {
        filters: vec!["heat/v1/#".to_owned(), "a/#/b".to_owned(), "$share/x".to_owned(), "a+/b".to_owned()],
        qos: Some(2),
        backoff_min: Some("1m".to_owned()),
        backoff_max: Some("1s".to_owned()),
        liveness_topic: Some("a/+".to_owned()),
        password_env: Some("UNSET".to_owned()),
        ..RawSubscribe::default()
    };

    let faults = SubscribeSettings::check(&raw, "s", NOTHING).unwrap_err();

    assert_eq!(
        keys(&faults),
        [
            "s.host",
            "s.client_id",
            "s.filters[1]",
            "s.filters[2]",
            "s.filters[3]",
            "s.qos",
            "s.liveness_topic",
            "s.backoff_max",
            "s.password_env",
        ]
    );
}

#[test]
fn a_secret_matches_only_itself() {
    let secret = Secret::new("abc");
    assert!(secret.matches(b"abc"));
    for wrong in [&b"ab"[..], b"abcd", b"abcabc", b"", b"abd"] {
        assert!(!secret.matches(wrong));
    }
}
