//! Peers that vanish, dawdle or do not read, in virtual time: a pipe stands for the socket.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, DuplexStream, duplex},
    sync::mpsc,
    task::JoinSet,
};

use super::*;
use crate::{
    link::{DownReason, LinkEvent, QueueBounds, links},
    listen::sessions::Sessions,
    stats::ListenCounters,
};

struct World {
    shared: Arc<Shared>,
    events: mpsc::Receiver<LinkEvent>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl World {
    fn new(settings: ListenSettings) -> Self {
        let (inlet, events, _acknowledger) = links(QueueBounds::default());
        let counters = Arc::new(ListenCounters::default());
        let sessions = Sessions::new(&settings, Arc::clone(inlet.table()), Arc::clone(&counters));
        let shared = Arc::new(Shared::new(settings, inlet, sessions, counters, None));
        Self { shared, events, tasks: JoinSet::new(), stop: watch::channel(false).0 }
    }

    /// A connection whose pipe holds so many bytes each way.
    fn open(&mut self, pipe_bytes: usize) -> DuplexStream {
        let (peer, ours) = duplex(pipe_bytes);
        let entrance = Entrance {
            peer: ([127, 0, 0, 1], 1).into(),
            certificate: None,
            deadline: Instant::now() + self.shared.settings.connect_timeout,
        };
        self.tasks.spawn(serve(ours, entrance, Arc::clone(&self.shared), self.stop.subscribe()));
        peer
    }

    /// How the next link to go down went down, and whether its will came before.
    async fn down(&mut self) -> (DownReason, bool) {
        let mut has_will = false;
        loop {
            match self.events.recv().await.expect("the link tells how it ends") {
                LinkEvent::Up(..) => {}
                LinkEvent::Messages(batch) => {
                    has_will |= batch.deliveries().iter().any(|delivery| delivery.will);
                }
                LinkEvent::Down(_, reason) => return (reason, has_will),
            }
        }
    }
}

/// CONNECT of MQTT 3.1.1 with a will, client id `d`, and a keep-alive.
fn connect(keep_alive_seconds: u8) -> Vec<u8> {
    let mut packet = vec![0x10, 19, 0, 4, b'M', b'Q', b'T', b'T', 4, 0b110, 0, keep_alive_seconds];
    packet.extend_from_slice(&[0, 1, b'd', 0, 1, b'w', 0, 1, b'x']);
    packet
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanished_without_a_word_is_given_up_after_one_and_a_half_keep_alives() {
    let mut world = World::new(ListenSettings::default());
    let mut peer = world.open(1 << 16);
    let begun = Instant::now();
    peer.write_all(&connect(60)).await.unwrap();

    let (reason, has_will) = world.down().await;

    assert_eq!((reason, has_will), (DownReason::KeepAlive, true));
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(90) && waited < Duration::from_secs(91), "{waited:?}");
    assert_eq!(world.shared.counters.snapshot().keep_alive_expired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_keep_alive_is_held_to_the_longest() {
    let mut world = World::new(ListenSettings::default());
    let mut peer = world.open(1 << 16);
    let begun = Instant::now();
    peer.write_all(&connect(0)).await.unwrap();

    assert_eq!(world.down().await.0, DownReason::KeepAlive);
    let longest = world.shared.settings.keep_alive_max;
    assert!(begun.elapsed() >= longest + longest / 2);
}

#[tokio::test(start_paused = true)]
async fn pings_keep_a_connection_and_their_end_ends_it() {
    let mut world = World::new(ListenSettings::default());
    let mut peer = world.open(1 << 16);
    let begun = Instant::now();
    peer.write_all(&connect(60)).await.unwrap();
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(60)).await;
        peer.write_all(&[0xc0, 0]).await.unwrap();
        let mut pong = [0; 2];
        while pong != [0xd0, 0] {
            pong = [pong[1], peer.read_u8().await.unwrap()];
        }
    }

    assert_eq!(world.down().await.0, DownReason::KeepAlive);
    assert!(begun.elapsed() >= Duration::from_secs(5 * 60 + 90));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_given_up_after_the_write_timeout() {
    let mut world = World::new(ListenSettings::default());
    // CONNACK fits the pipe, a single PINGRESP does as well; the rest waits for a peer that never reads.
    let mut peer = world.open(64);
    let begun = Instant::now();
    peer.write_all(&connect(200)).await.unwrap();
    for _ in 0..100 {
        peer.write_all(&[0xc0, 0]).await.unwrap();
    }

    assert_eq!(world.down().await, (DownReason::WriteStalled, true));
    let waited = begun.elapsed();
    let bound = world.shared.settings.write_timeout;
    assert!(waited >= bound && waited <= 3 * bound, "{waited:?}");
    assert_eq!(world.shared.counters.snapshot().write_stalled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_kept_and_gets_everything() {
    let mut world = World::new(ListenSettings::default());
    let mut peer = world.open(64);
    peer.write_all(&connect(200)).await.unwrap();
    let mut received = vec![0; 4 + 2 * 100];
    let (mut reading, mut writing) = tokio::io::split(peer);
    let send = async {
        for _ in 0..100 {
            writing.write_all(&[0xc0, 0]).await.unwrap();
        }
    };
    let read = async {
        for byte in &mut received {
            tokio::time::sleep(Duration::from_millis(500)).await;
            *byte = reading.read_u8().await.unwrap();
        }
    };
    tokio::join!(send, read);

    assert!(received[4..].chunks(2).all(|pong| pong == [0xd0, 0]));
    assert_eq!(world.shared.counters.snapshot().write_stalled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_says_connect_is_given_up_in_time() {
    for bytes in [&[][..], &[0x10], &[0x10, 50, 0, 4]] {
        let mut world = World::new(ListenSettings::default());
        let mut peer = world.open(1 << 16);
        let begun = Instant::now();
        peer.write_all(bytes).await.unwrap();

        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0, "closed without a word");

        assert_eq!(begun.elapsed().as_secs(), world.shared.settings.connect_timeout.as_secs());
        world.tasks.join_next().await.unwrap().unwrap();
        assert_eq!(world.shared.counters.snapshot().refused.timeout, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_outlives_its_connection_by_its_expiry_and_no_longer() {
    for (seconds_away, is_present) in [(99, true), (101, false)] {
        let mut world = World::new(ListenSettings::default());
        // MQTT 5, keep-alive 60 s, session expiry 100 s, client id d.
        let mut packet =
            vec![0x10, 19, 0, 4, b'M', b'Q', b'T', b'T', 5, 0, 0, 60, 5, 0x11, 0, 0, 0, 100, 0, 1, b'd'];
        let mut first = world.open(1 << 16);
        first.write_all(&packet).await.unwrap();
        first.read_u8().await.unwrap();
        drop(first);
        world.down().await;

        tokio::time::advance(Duration::from_secs(seconds_away)).await;
        world.shared.sessions.expire(Instant::now());

        let mut second = world.open(1 << 16);
        second.write_all(&std::mem::take(&mut packet)).await.unwrap();
        let mut head = [0; 4];
        second.read_exact(&mut head).await.unwrap();
        assert_eq!((head[0], head[2], head[3]), (0x20, u8::from(is_present), 0), "{seconds_away} s away");
    }
}
