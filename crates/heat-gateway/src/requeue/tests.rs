use heat_ledger::durable::{AckQueue, Marks};
use heat_log::{EmbeddedSettings, TopicSpec};
use heat_model::IngestTime;
use tokio::task::JoinHandle;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway's feed on a log that outlives it.
struct Running {
    requeues: Requeues,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), RequeueError>>,
}

#[expect(clippy::disallowed_methods, reason = "the test watches the task to its end itself")]
async fn start(log: &Log) -> Running {
    let gateway = "gw".parse().unwrap();
    let (feed, requeues) = RequeueFeed::open(log, gateway, Clock, &Metrics::default()).await.unwrap();
    let shutdown = Shutdown::default();
    let task = tokio::spawn(feed.run(shutdown.clone()));
    Running { requeues, shutdown, task }
}

impl Running {
    async fn next(&mut self) -> Requeued {
        tokio::time::timeout(PATIENCE, self.requeues.next()).await.unwrap().unwrap()
    }

    /// What the gateway's loop does once all records are durable.
    fn done(&self, token: RequeueToken) {
        let mut queue = AckQueue::default();
        queue.push(token, &[]);
        self.requeues.done(queue.pop_durable(&Marks::default()).unwrap());
    }

    async fn stop(self) {
        self.shutdown.begin();
        drop(self.requeues);
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }

    /// As a kill does: what is in hand is not marked.
    async fn kill(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

async fn log(dir: &tempfile::TempDir) -> Log {
    let log = Log::open_embedded(EmbeddedSettings::new(dir.path().join("log"))).unwrap();
    log.ensure_topics(&[TopicSpec::new(topics::REQUEUE, 2)]).await.unwrap();
    log
}

async fn ask(log: &Log, partition: u32, letters: std::ops::Range<u64>) {
    let appender = log.appender(&[topics::REQUEUE], AppenderSettings::default()).await.unwrap();
    for offset in letters {
        let request = Request {
            letter: LetterId { partition: PartitionId(partition), offset: Offset(offset) },
            first_received: IngestTime::from_micros(1),
            topic: "heat/v1/town/st01/meter".to_owned(),
            payload: Bytes::from_static(b"{}"),
            client: "c".to_owned(),
            user: String::new(),
            content_type: String::new(),
            user_properties: Vec::new(),
            retained: false,
            untaken: Vec::new(),
            asked_by: "duty".to_owned(),
            asked: IngestTime::from_micros(2),
        };
        let payload = Requeue::Request(request).encode();
        appender.append(topics::REQUEUE, PartitionId(partition), None, payload).await.unwrap();
    }
    assert!(appender.close(PATIENCE).await.unwrap());
}

async fn marks(log: &Log, partition: u32) -> Vec<(u64, u32, u32)> {
    let partition = PartitionId(partition);
    let bounds = log.bounds(topics::REQUEUE, partition).await.unwrap();
    let from = StartFrom::Offset(bounds.first);
    let settings = ConsumerSettings::default();
    let mut scan = log.scan(topics::REQUEUE, partition, from, bounds.end, settings).await.unwrap();
    let mut marks = Vec::new();
    while let Some(records) = scan.next().await.unwrap() {
        for record in records {
            if let Requeue::Done(done) = Requeue::decode(record.payload).unwrap() {
                marks.push((done.letter.offset.0, done.readings_logged, done.faults));
            }
        }
    }
    marks
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_come_in_order_and_what_is_durable_is_marked_with_its_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir).await;
    ask(&log, 1, 0..2).await;
    let mut running = start(&log).await;

    let first = running.next().await;
    let second = running.next().await;
    assert_eq!([&first, &second].map(|message| message.request.letter.offset.0), [0, 1]);
    running.done(first.token.came_to(3, 0, 0));
    running.done(second.token.came_to(0, 2, 1));
    ask(&log, 1, 2..3).await;
    let third = running.next().await;
    running.done(third.token.came_to(1, 0, 0));
    running.stop().await;

    assert_eq!(marks(&log, 1).await, [(0, 3, 0), (1, 0, 1), (2, 1, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_what_has_no_mark_comes_again_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir).await;
    ask(&log, 0, 0..4).await;
    let mut running = start(&log).await;
    let mut in_hand = Vec::new();
    for _ in 0..4 {
        in_hand.push(running.next().await.token);
    }
    // The second and the last are durable; the others are in hand when the process dies.
    for at in [3, 1] {
        running.done(in_hand.remove(at).came_to(1, 0, 0));
    }
    tokio::time::timeout(PATIENCE, async {
        while marks(&log, 0).await.len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    running.kill().await;

    let mut again = start(&log).await;
    for expected in [0, 2] {
        let message = again.next().await;
        assert_eq!(message.request.letter.offset.0, expected);
        again.done(message.token.came_to(1, 0, 0));
    }
    again.stop().await;

    let mut letters: Vec<u64> = marks(&log, 0).await.into_iter().map(|(letter, ..)| letter).collect();
    letters.sort_unstable();
    assert_eq!(letters, [0, 1, 2, 3], "each is marked once");
    let mut idle = start(&log).await;
    ask(&log, 0, 9..10).await;
    assert_eq!(idle.next().await.request.letter.offset.0, 9, "nothing of before comes again");
    idle.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_in_hand_than_the_bound_and_a_mark_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(&dir).await;
    let bound = u64::try_from(IN_FLIGHT_MAX).unwrap();
    ask(&log, 0, 0..bound + 1).await;
    let mut running = start(&log).await;
    let mut tokens = Vec::new();
    for _ in 0..IN_FLIGHT_MAX {
        tokens.push(running.next().await.token);
    }

    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(running.requeues.messages.try_recv().is_err());
    running.done(tokens.remove(0));
    assert_eq!(running.next().await.request.letter.offset.0, bound);
    running.kill().await;
}
