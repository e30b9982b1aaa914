use super::*;

fn settings() -> ListenSettings {
    let rights = |site: &str| Some(Arc::new(Rights::parse(&[], &[site.to_owned()]).unwrap()));
    let user = |name: &str, password: Option<&str>, client_id| User {
        name: name.to_owned(),
        password: password.map(Secret::new),
        rights: rights("n1/s1"),
        client_id,
    };
    ListenSettings {
        users: vec![
            user("meter", Some("s3cret"), ClientIdRule::Any),
            user("station-1", None, ClientIdRule::User),
            user("both", Some("s3cret"), ClientIdRule::Prefix),
        ],
        ..ListenSettings::default()
    }
}

fn connect(user: Option<&str>, password: Option<&str>) -> Connect {
    Connect {
        version: Version::V5,
        client_id: "device".to_owned(),
        user: user.map(str::to_owned),
        password: password.map(|password| password.as_bytes().to_vec()),
        clean_start: true,
        keep_alive: Duration::ZERO,
        session_expiry: Duration::ZERO,
        will: None,
        packet_max_bytes: None,
        wants_authentication_method: false,
    }
}

fn proven(
    certificate: Option<&str>,
    user: Option<&str>,
    password: Option<&str>,
    settings: &ListenSettings,
) -> Result<Option<String>, Refusal> {
    authenticate(&mut connect(user, password), certificate, settings).map(|proven| proven.user)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_device_is_whom_its_password_or_its_certificate_proves() {
    let settings = settings();
    for (certificate, user, password, expected) in [
        (None, Some("meter"), Some("s3cret"), Ok(some("meter"))),
        (None, Some("meter"), Some("wrong"), Err(Refusal::Credentials)),
        (None, Some("meter"), None, Err(Refusal::Credentials)),
        (None, None, None, Err(Refusal::Credentials)),
        (None, Some("station-1"), Some(""), Err(Refusal::Credentials)),
        (None, Some("station-1"), None, Err(Refusal::Credentials)),
        (Some("station-1"), None, None, Ok(some("station-1"))),
        (Some("station-1"), Some("station-1"), None, Ok(some("station-1"))),
        (Some("both"), None, None, Ok(some("both"))),
        (Some("station-1"), Some("meter"), None, Err(Refusal::Credentials)),
        (Some("station-1"), Some("meter"), Some("s3cret"), Ok(some("meter"))),
        (Some("station-1"), Some("station-1"), Some("guess"), Err(Refusal::Credentials)),
        (Some("stranger"), None, None, Err(Refusal::NotAuthorized)),
        (Some("stranger"), Some("meter"), Some("s3cret"), Ok(some("meter"))),
    ] {
        let found = proven(certificate, user, password, &settings);
        assert_eq!(found, expected, "certificate {certificate:?}, user {user:?}, password {password:?}");
    }
}

#[test]
fn where_nobody_is_listed_a_certificate_is_a_name_and_a_password_is_none() {
    let settings = ListenSettings::default();
    assert_eq!(proven(None, Some("anybody"), Some("anything"), &settings), Ok(None));
    assert_eq!(proven(Some("station-1"), Some("other"), Some("x"), &settings), Ok(some("station-1")));
}

#[test]
fn certificates_without_a_user_of_their_own_speak_for_the_site_of_their_name() {
    let any = crate::settings::AnyCertificate {
        speaks_for: Some((Vec::new(), vec!["n1/{name}".to_owned()])),
        client_id: ClientIdRule::Any,
    };
    let settings = ListenSettings { any_certificate: Some(any), ..settings() };

    let station = authenticate(&mut connect(None, None), Some("s7"), &settings).unwrap();

    let rights = station.rights.unwrap();
    assert!(rights.may_speak_for(&"n1".parse().unwrap(), &"s7".parse().unwrap()));
    assert!(!rights.may_speak_for(&"n1".parse().unwrap(), &"s1".parse().unwrap()));
    assert_eq!(proven(Some("a/b"), None, None, &settings), Err(Refusal::NotAuthorized));
    assert_eq!(proven(None, None, None, &settings), Err(Refusal::Credentials), "no certificate, no password");
}

#[test]
fn client_ids_follow_the_users_rule_also_where_we_choose_them() {
    let proven = |client_id| Proven { user: some("station-1"), rights: None, client_id };
    for (rule, asked, expected) in [
        (ClientIdRule::Any, "x", Ok("x")),
        (ClientIdRule::Any, "", Ok("auto-7")),
        (ClientIdRule::User, "station-1", Ok("station-1")),
        (ClientIdRule::User, "station-1-a", Err(Refusal::ClientIdRule)),
        (ClientIdRule::User, "", Ok("station-1")),
        (ClientIdRule::Prefix, "station-1", Ok("station-1")),
        (ClientIdRule::Prefix, "station-1-a", Ok("station-1-a")),
        (ClientIdRule::Prefix, "station-2", Err(Refusal::ClientIdRule)),
        (ClientIdRule::Prefix, "", Ok("station-1-auto-7")),
    ] {
        let found = proven(rule).client_id(asked, 7);
        assert_eq!(found.as_deref(), expected.as_ref().map(|id| *id), "{rule:?} {asked:?}");
    }
}

#[test]
fn a_forbidden_client_id_is_refused_with_the_codes_of_the_standard() {
    assert_eq!(Refusal::ClientIdRule.connack(Version::V5), Some(vec![0x20, 3, 0, 0x85, 0]));
    assert_eq!(Refusal::ClientIdRule.connack(Version::V311), Some(vec![0x20, 2, 0, 2]));
    assert_eq!(Refusal::NotAuthorized.connack(Version::V5), Some(vec![0x20, 3, 0, 0x87, 0]));
    assert_eq!(Refusal::NotAuthorized.connack(Version::V311), Some(vec![0x20, 2, 0, 5]));
}
