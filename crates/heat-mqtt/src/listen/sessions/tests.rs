use super::{super::wire::Version, *};
use crate::link::{QueueBounds, Way, links};

struct World {
    sessions: Sessions,
    table: Arc<SinkTable>,
    counters: Arc<ListenCounters>,
    source: Arc<Source>,
    start: Instant,
}

const EXPIRY: Duration = Duration::from_secs(100);

fn world(settings: &ListenSettings) -> World {
    let (inlet, _events, _acknowledger) = links(QueueBounds::default());
    let table = Arc::clone(inlet.table());
    let counters = Arc::new(ListenCounters::default());
    let source = Source {
        way: Way::Listen,
        client_id: String::new(),
        user: None,
        rights: None,
        peer: None,
        name: String::new(),
    };
    World {
        sessions: Sessions::new(settings, Arc::clone(&table), Arc::clone(&counters)),
        table,
        counters,
        source: Arc::new(source),
        start: Instant::now(),
    }
}

impl World {
    fn open(&self, client_id: &str, clean_start: bool) -> (LinkId, Opened) {
        let connect = Connect {
            version: Version::V5,
            client_id: client_id.to_owned(),
            user: Some("user".to_owned()),
            password: None,
            clean_start,
            keep_alive: Duration::ZERO,
            session_expiry: EXPIRY,
            will: None,
            packet_max_bytes: None,
            wants_authentication_method: false,
        };
        let link = self.table.next_id();
        (link, self.sessions.open(&connect, link, &Arc::new(Notify::new())).unwrap())
    }

    fn close(&self, link: LinkId, opened: &Opened, expiry: Duration, will: Option<Will>) -> Option<Will> {
        self.sessions.close(&opened.session, link, &self.source, expiry, will, self.start)
    }

    fn expire(&self, seconds: u64) -> usize {
        self.sessions.expire(self.start + Duration::from_secs(seconds)).len()
    }
}

fn will(delay_seconds: u64) -> Option<Will> {
    Some(Will {
        topic: "will".into(),
        payload: bytes::Bytes::new(),
        properties: None,
        delay: Duration::from_secs(delay_seconds),
    })
}

#[test]
fn a_session_is_kept_until_it_expires() {
    let world = world(&ListenSettings::default());
    let (link, opened) = world.open("a", false);
    world.close(link, &opened, EXPIRY, None);
    world.expire(99);
    let (link, opened) = world.open("a", false);
    assert!(opened.is_present);

    world.close(link, &opened, EXPIRY, None);
    world.expire(100);

    assert!(!world.open("a", false).1.is_present);
    assert_eq!((world.counters.sessions_expired.get(), world.counters.sessions.get()), (1, 1));
}

#[test]
fn a_clean_start_or_no_expiry_leaves_no_session() {
    let world = world(&ListenSettings::default());
    let (link, opened) = world.open("a", false);
    world.close(link, &opened, Duration::ZERO, None);
    let (link, opened) = world.open("a", false);
    assert!(!opened.is_present);
    world.close(link, &opened, EXPIRY, None);
    assert!(!world.open("a", true).1.is_present);
}

#[test]
fn the_session_that_expires_first_goes_when_too_many_are_kept() {
    let world = world(&ListenSettings { sessions_kept_max: 2, ..ListenSettings::default() });
    for (client_id, expiry) in [("a", 30), ("b", 10), ("c", 20)] {
        let (link, opened) = world.open(client_id, false);
        world.close(link, &opened, Duration::from_secs(expiry), None);
    }
    assert_eq!(world.counters.sessions_evicted.get(), 1);
    assert!(world.open("a", false).1.is_present);
    assert!(!world.open("b", false).1.is_present);
    assert!(world.open("c", false).1.is_present);
}

#[test]
fn a_delayed_will_is_due_after_its_delay_unless_the_client_returns() {
    let world = world(&ListenSettings::default());
    let (link, opened) = world.open("a", false);
    assert_eq!(world.close(link, &opened, EXPIRY, will(0)), will(0), "without delay: at once");

    let (link, opened) = world.open("a", false);
    assert_eq!(world.close(link, &opened, EXPIRY, will(30)), None);
    assert_eq!((world.expire(29), world.expire(30), world.expire(31)), (0, 1, 0));

    let (link, opened) = world.open("a", false);
    world.close(link, &opened, EXPIRY, will(30));
    world.open("a", false);
    assert_eq!(world.expire(30), 0);
    assert_eq!(world.counters.wills_discarded.get(), 1);
}

#[test]
fn a_will_is_due_when_its_session_ends_at_the_latest() {
    let world = world(&ListenSettings::default());
    let (link, opened) = world.open("a", false);
    world.close(link, &opened, EXPIRY, will(1000));
    assert_eq!(world.expire(100), 1);
}

#[test]
fn a_user_has_so_many_connections_and_may_take_his_own_over() {
    let world = world(&ListenSettings { connections_per_user_max: 1, ..ListenSettings::default() });
    let (older, opened) = world.open("a", false);
    let (newer, again) = world.open("a", false);
    assert_eq!(world.counters.take_overs.get(), 1);
    world.close(older, &opened, EXPIRY, None);
    assert!(again.session.is_attached(), "the end of the older connection leaves the newer its session");
    world.close(newer, &again, EXPIRY, None);
    world.open("b", false);
}
