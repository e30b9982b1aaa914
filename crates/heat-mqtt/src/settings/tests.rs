use super::*;
use crate::{
    certificates::Authority,
    tls::{CertificateIdentity, ClientCertificate},
};

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
        ..RawUser::default()
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
            ..RawUser::default()
        }],
        ..RawListen::default()
    };

    let settings = ListenSettings::check(&raw, "", secrets).unwrap();

    assert!(settings.users[0].password.as_ref().is_some_and(|password| password.matches(b"s3cret")));
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

/// Files that exist only here.
fn files(files: Vec<(&'static str, String)>) -> impl Fn(&Path) -> io::Result<String> {
    move |path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| text.clone());
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn tls_files() -> impl Fn(&Path) -> io::Result<String> {
    let authority = Authority::new("authority");
    let pair = authority.issue("gateway", &["gateway.example"]);
    let other = authority.issue("other", &[]);
    files(vec![
        ("ca.pem", authority.pem()),
        ("server.pem", pair.certificate),
        ("server.key", pair.key),
        ("other.key", other.key),
        ("empty.pem", String::new()),
        ("torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA".to_owned()),
    ])
}

fn listen_tls(change: impl FnOnce(&mut RawListenTls)) -> RawListen {
    let mut tls = RawListenTls {
        address: some("0.0.0.0:8883"),
        certificate_file: some("server.pem"),
        key_file: some("server.key"),
        client_ca_file: some("ca.pem"),
        ..RawListenTls::default()
    };
    change(&mut tls);
    RawListen { tls: Some(tls), ..RawListen::default() }
}

#[test]
fn a_listener_with_tls_listens_without_it_only_where_that_is_written() {
    let file = tls_files();
    let secrets = SecretSource { environment: &no_environment, file: &file };
    let raw = listen_tls(|_| {});

    let only_tls = ListenSettings::check(&raw, "l", secrets).unwrap();
    let both = RawListen { address: some("127.0.0.1:1883"), ..raw };
    let both = ListenSettings::check(&both, "l", secrets).unwrap();

    assert_eq!(only_tls.address, None);
    assert!(both.address.is_some());
    let tls = only_tls.tls.unwrap();
    assert_eq!(tls.client_certificate, ClientCertificate::Required);
    assert_eq!(tls.identity, CertificateIdentity::CommonName);
}

#[test]
fn every_file_of_tls_that_cannot_be_used_is_named_by_its_key() {
    let file = tls_files();
    let secrets = SecretSource { environment: &no_environment, file: &file };
    type Change = fn(&mut RawListenTls);
    let cases: [(Change, &str); 11] = [
        (|tls| tls.certificate_file = None, "l.tls.certificate_file"),
        (|tls| tls.key_file = some("missing.key"), "l.tls.key_file"),
        (|tls| tls.key_file = some("other.key"), "l.tls.key_file"),
        (|tls| tls.certificate_file = some("empty.pem"), "l.tls.certificate_file"),
        (|tls| tls.certificate_file = some("torn.pem"), "l.tls.certificate_file"),
        (|tls| tls.client_ca_file = some("other.key"), "l.tls.client_ca_file"),
        (|tls| tls.client_crl_file = some("other.key"), "l.tls.client_crl_file"),
        (|tls| (tls.client_ca_file, tls.client_crl_file) = (None, some("ca.pem")), "l.tls.client_crl_file"),
        (|tls| tls.address = some("gateway.example:8883"), "l.tls.address"),
        (|tls| tls.handshakes_max = Some(0), "l.tls.handshakes_max"),
        (|tls| tls.client_certificate = Some(ClientCertificate::None), "l.tls.client_certificate"),
    ];
    for (change, key) in cases {
        let faults = ListenSettings::check(&listen_tls(change), "l", secrets).unwrap_err();

        assert!(keys(&faults).contains(&key), "{key}: {faults:?}");
    }
}

#[test]
fn an_address_that_others_reach_needs_users_or_certificates() {
    let file = tls_files();
    let secrets = SecretSource { environment: &no_environment, file: &file };
    let optional = |tls: &mut RawListenTls| tls.client_certificate = Some(ClientCertificate::Optional);
    let without = |tls: &mut RawListenTls| tls.client_ca_file = None;

    for raw in [listen_tls(optional), listen_tls(without)] {
        let faults = ListenSettings::check(&raw, "l", secrets).unwrap_err();
        assert_eq!(keys(&faults), ["l.tls.address"]);
    }
    assert!(ListenSettings::check(&listen_tls(|_| {}), "l", secrets).is_ok(), "certificates are required");
    let loopback = listen_tls(|tls| {
        without(tls);
        tls.address = some("127.0.0.1:8883");
    });
    assert!(ListenSettings::check(&loopback, "l", secrets).is_ok());
}

#[test]
fn users_may_be_known_by_their_certificates_and_speak_for_what_is_listed() {
    let file = tls_files();
    let secrets = SecretSource { environment: &no_environment, file: &file };
    let by_certificate = RawUser {
        name: "station-1".to_owned(),
        sites: Some(vec!["n1/s1".to_owned()]),
        client_id: ClientIdRule::Prefix,
        ..RawUser::default()
    };
    let any =
        RawUser { name: "*".to_owned(), sites: Some(vec!["n1/{name}".to_owned()]), ..RawUser::default() };
    let raw = RawListen { users: vec![by_certificate, any], ..listen_tls(|_| {}) };

    let settings = ListenSettings::check(&raw, "l", secrets).unwrap();

    let rights = settings.users[0].rights.as_ref().unwrap();
    assert!(rights.may_speak_for(&"n1".parse().unwrap(), &"s1".parse().unwrap()));
    let any = settings.any_certificate.unwrap();
    let rights = any.rights("s2").unwrap().unwrap();
    assert!(rights.may_speak_for(&"n1".parse().unwrap(), &"s2".parse().unwrap()));
    assert!(!rights.may_speak_for(&"n1".parse().unwrap(), &"s1".parse().unwrap()));
    assert!(any.rights("a/b").is_err(), "a name that makes no site");
}

#[test]
fn faults_of_rights_and_of_users_by_certificate_are_reported() {
    let user = |name: &str| RawUser { name: name.to_owned(), ..RawUser::default() };
    let environment = |_: &str| Some("s3cret".to_owned());
    let secrets = SecretSource { environment: &environment, file: &no_file };
    let password = some("SECRET");
    let raw = RawListen {
        users: vec![
            RawUser { networks: Some(vec!["a/b".to_owned()]), password_env: password.clone(), ..user("a") },
            RawUser { sites: Some(vec!["n1".to_owned()]), password_env: password.clone(), ..user("b") },
            RawUser { sites: Some(Vec::new()), password_env: password.clone(), ..user("c") },
            user("d"),
            RawUser { password_env: password, ..user("*") },
        ],
        ..RawListen::default()
    };

    let faults = ListenSettings::check(&raw, "l", secrets).unwrap_err();

    assert_eq!(
        keys(&faults),
        [
            "l.users[0].networks[0]",
            "l.users[1].sites[0]",
            "l.users[2].networks",
            "l.users[3].password_file",
            "l.users[4].name",
            "l.users[4].name",
        ]
    );
}

#[test]
fn an_address_without_tls_where_nobody_has_a_password_is_a_fault() {
    let file = tls_files();
    let secrets = SecretSource { environment: &no_environment, file: &file };
    let user = RawUser { name: "station-1".to_owned(), ..RawUser::default() };
    let raw = RawListen { address: some("127.0.0.1:1883"), users: vec![user], ..listen_tls(|_| {}) };

    assert_eq!(keys(&ListenSettings::check(&raw, "l", secrets).unwrap_err()), ["l.address"]);
}

fn subscribe_tls(tls: RawClientTls) -> RawSubscribe {
    RawSubscribe {
        host: some("broker.example"),
        client_id: some("gateway-1"),
        filters: vec!["heat/v1/#".to_owned()],
        tls: Some(tls),
        ..RawSubscribe::default()
    }
}

#[test]
fn a_client_with_tls_has_another_port_and_its_files_are_checked() {
    let file = tls_files();
    let secrets = SecretSource { environment: &no_environment, file: &file };
    let good = RawClientTls {
        ca_file: some("ca.pem"),
        certificate_file: some("server.pem"),
        key_file: some("server.key"),
        server_name: some("gateway.example"),
    };
    let settings = SubscribeSettings::check(&subscribe_tls(good.clone()), "s", secrets).unwrap();
    assert_eq!(settings.port, 8883);
    assert!(settings.tls.is_some());

    let cases = [
        (RawClientTls { ca_file: some("empty.pem"), ..good.clone() }, "s.tls.ca_file"),
        (RawClientTls { ca_file: some("missing.pem"), ..good.clone() }, "s.tls.ca_file"),
        (RawClientTls { key_file: None, ..good.clone() }, "s.tls.key_file"),
        (RawClientTls { certificate_file: None, ..good.clone() }, "s.tls.certificate_file"),
        (RawClientTls { key_file: some("other.key"), ..good.clone() }, "s.tls.key_file"),
        (RawClientTls { ca_file: None, key_file: some("other.key"), ..good.clone() }, "s.tls.key_file"),
        (RawClientTls { server_name: some("no name"), ..good }, "s.tls.server_name"),
    ];
    for (tls, key) in cases {
        let faults = SubscribeSettings::check(&subscribe_tls(tls), "s", secrets).unwrap_err();
        assert_eq!(keys(&faults), [key]);
    }
}
