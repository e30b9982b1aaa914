//! The archive in a bucket: a server of the S3 protocol, and a proxy before it that does things wrong.

use std::{path::PathBuf, time::Duration};

use heat_model::PartitionId;
use heat_tests::{
    http_faults::{Fault, HttpFaults, Seen},
    python::Python,
    s3::S3,
};
use serde_json::Value;

use super::{
    City, Sent, TOPIC, archive_all, block_on, canonical,
    compact::{at_once, without_repeats},
    read_all, rotation, writer,
};
use crate::{
    Access, Archive, ArchiveError, Dataset, FileEntry, Location, Scan, SealedCommit, archive::Disposition,
    layout, revise::unobserved,
};

const SECRET: &str = "a-secret-that-nobody-may-see";

/// A server, the proxy before it, and a file with credentials.
struct Bucket {
    folder: tempfile::TempDir,
    server: S3,
    faults: HttpFaults,
}

impl Bucket {
    fn start() -> Option<Self> {
        let server = S3::start("heat")?;
        let faults = HttpFaults::start(server.port());
        let bucket = Self { folder: heat_tests::memory_folder(), server, faults };
        bucket.set_key("AKIDFIRST");
        Some(bucket)
    }

    fn credentials(&self) -> PathBuf {
        self.folder.path().join("credentials")
    }

    fn set_key(&self, key: &str) {
        let text = format!("AWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY={SECRET}\n");
        std::fs::write(self.credentials(), text).unwrap();
    }

    async fn open(&self, prefix: &str) -> Archive {
        self.open_within(prefix, Duration::from_secs(5)).await
    }

    /// Bears so much silence.
    async fn open_within(&self, prefix: &str, request_timeout: Duration) -> Archive {
        let access = Access {
            endpoint: Some(format!("http://127.0.0.1:{}", self.faults.port())),
            region: Some("us-east-1".to_owned()),
            credentials_file: Some(self.credentials()),
            request_timeout: Some(request_timeout),
        };
        Archive::open(Location::from(format!("s3://heat/{prefix}")).with_access(access)).await.unwrap()
    }
}

/// The first commit of a town's records.
async fn sealed(archive: &Archive, sent: &[Sent]) -> SealedCommit {
    let mut writer = writer(archive, rotation(1_000_000)).await;
    for sent in sent {
        writer.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
    }
    writer.seal().unwrap().unwrap()
}

/// As the archiver does: what may help is tried again.
async fn retried<T, F: Future<Output = Result<T, ArchiveError>>>(attempt: impl Fn() -> F) -> T {
    const ATTEMPTS_MAX: usize = 40;
    let mut attempts = 1;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) if error.disposition() == Disposition::Retry && attempts < ATTEMPTS_MAX => {
                attempts += 1
            }
            Err(error) => panic!("after {attempts} attempts: {error:?}"),
        }
    }
}

async fn assert_holds(archive: &Archive, sent: &[Sent], what: &str) {
    let expected = canonical(&sent.iter().flat_map(Sent::expected).collect::<Vec<_>>());
    assert_eq!(canonical(&read_all(archive, &Scan::default()).await), expected, "{what}");
    let report = archive.verify().await.unwrap();
    assert!(report.is_sound() && report.orphans.is_empty(), "{what}: {report:?}");
}

#[test]
fn an_archive_in_a_bucket_is_written_compacted_verified_and_read_by_others() {
    let (Some(bucket), Some(python)) = (Bucket::start(), Python::find()) else { return };
    let sent = City::new(71).with_faults().with_inputs().spread_over_days(2).records(200);
    block_on(async {
        let archive = bucket.open("city/north").await;
        archive_all(&archive, &sent, rotation(300)).await;
        assert_holds(&archive, &sent, "as written").await;
        assert!(bucket.server.keys().iter().all(|key| key.starts_with("city/north/")));
        let written = bucket.server.keys().len();

        let report = archive.compact(&at_once(), &mut unobserved).await.unwrap();

        assert!(report.files_before > report.files_after, "{report:?}");
        assert!(bucket.server.keys().len() < written + report.files_after);
        let archive = bucket.open("city/north").await;
        let expected = without_repeats(&sent);
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&expected));
        assert!(archive.verify().await.unwrap().is_sound());
        let answer =
            python.run("bucket.py", [format!("{}", bucket.server.port()), "heat/city/north".to_owned()]);
        assert_eq!(answer["rows"], Value::from(expected.len()), "Arrow's own reader of buckets: {answer}");
    });
}

#[test]
fn errors_slow_answers_and_lost_answers_leave_every_row_once() {
    let Some(bucket) = Bucket::start() else { return };
    let sent = City::new(73).with_faults().records(150);
    bucket.faults.plan(|seen| match seen.number % 7 {
        1 => Fault::Answer(500),
        2 => Fault::LoseAnswer,
        4 => Fault::Answer(503),
        5 => Fault::LoseRequest,
        6 => Fault::Late(Duration::from_millis(20)),
        _ => Fault::None,
    });
    block_on(async {
        let archive = bucket.open("city").await;

        archive_all(&archive, &sent, rotation(250)).await;

        assert!(bucket.faults.requests() > 40, "{}", bucket.faults.requests());
        bucket.faults.plan(|_| Fault::None);
        assert_holds(&archive, &sent, "after faults").await;
        let manifests = archive.manifests(TOPIC, PartitionId(0)).await.unwrap();
        let folder = heat_tests::memory_folder();
        let local = super::open(&folder).await;
        archive_all(&local, &sent, rotation(250)).await;
        assert_eq!(manifests, local.manifests(TOPIC, PartitionId(0)).await.unwrap(), "as in a folder");
    });
}

#[test]
fn what_went_through_though_its_answer_never_came_is_known_as_our_own() {
    let Some(bucket) = Bucket::start() else { return };
    let sent = City::new(97).with_faults().spread_over_days(2).records(60);
    block_on(async {
        // Every first write, conditional or not, takes effect, and the client gives up on the answer.
        let silence = || {
            let mut written = std::collections::BTreeSet::new();
            move |seen: &Seen| {
                let is_first = seen.method == "PUT" && written.insert(seen.path.clone());
                if is_first { Fault::Silence } else { Fault::None }
            }
        };
        bucket.faults.plan(silence());
        let archive = bucket.open_within("city", Duration::from_millis(300)).await;
        let resume = retried(|| archive.resume(TOPIC, PartitionId(0))).await;
        let mut writer = crate::CommitWriter::new(&resume, heat_model::record::NextOffset(0), rotation(200));
        for sent in &sent {
            if writer.should_close_before(&sent.position, sent.readings()) {
                let sealed = writer.seal().unwrap().unwrap();
                let published = retried(|| archive.publish(&sealed)).await;
                assert_eq!(published.next_offset(), writer.next_offset());
            }
            writer.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
        }
        let sealed = writer.seal().unwrap().unwrap();
        let _published = retried(|| archive.publish(&sealed)).await;
        assert_holds(&archive, &sent, "each commit once").await;

        bucket.faults.plan(silence());
        retried(|| async { archive.compact(&at_once(), &mut unobserved).await }).await;

        bucket.faults.plan(|_| Fault::None);
        let archive = bucket.open("city").await;
        let expected = without_repeats(&sent);
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), canonical(&expected));
        assert!(archive.verify().await.unwrap().is_sound());
        archive.compact(&at_once(), &mut unobserved).await.unwrap();
        assert_eq!(archive.verify().await.unwrap().orphans, Vec::<String>::new());
    });
}

#[test]
fn an_upload_interrupted_at_any_request_leaves_nothing_that_counts_and_the_rerun_ends_it() {
    let Some(bucket) = Bucket::start() else { return };
    let sent = City::new(79).spread_over_days(2).records(20);
    block_on(async {
        for interrupted in 0.. {
            let prefix = format!("at-{interrupted}");
            let archive = bucket.open(&prefix).await;
            let commit = sealed(&archive, &sent).await;
            // The last request takes effect, but nobody hears of it; no other one does.
            bucket.faults.plan(move |seen| match seen.number.cmp(&interrupted) {
                std::cmp::Ordering::Less => Fault::None,
                std::cmp::Ordering::Equal => Fault::LoseAnswer,
                std::cmp::Ordering::Greater => Fault::Answer(403),
            });
            let outcome = archive.publish(&commit).await;
            let requests = bucket.faults.requests();
            bucket.faults.plan(|_| Fault::None);

            let archive = bucket.open(&prefix).await;
            let next = archive.resume(TOPIC, PartitionId(0)).await.unwrap().next_offset;
            match (&outcome, next) {
                (Ok(_), next) => assert_eq!(next, Some(commit.manifest().next_offset)),
                (Err(error), None) => {
                    assert!(read_all(&archive, &Scan::default()).await.is_empty(), "{error}")
                }
                // The manifest was put, and its answer lost.
                (Err(_), Some(next)) => assert_eq!(next, commit.manifest().next_offset),
            }
            let published = archive.publish(&sealed_again(&archive, &sent, &commit).await).await.unwrap();
            assert_eq!(published.next_offset(), commit.manifest().next_offset);
            assert_holds(&archive, &sent, &format!("interrupted at request {interrupted}")).await;
            if interrupted >= requests {
                assert!(outcome.is_ok() && interrupted > 5, "{interrupted}");
                break;
            }
        }
    });
}

/// The same commit, made by a process that knows nothing of the first one.
async fn sealed_again(archive: &Archive, sent: &[Sent], first: &SealedCommit) -> SealedCommit {
    let resume = crate::Resume { next_offset: None, ..archive.resume(TOPIC, PartitionId(0)).await.unwrap() };
    let mut writer =
        crate::CommitWriter::new(&resume, heat_model::record::NextOffset(0), rotation(1_000_000));
    for sent in sent {
        writer.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
    }
    let again = writer.seal().unwrap().unwrap();
    assert_eq!(again.manifest(), first.manifest());
    again
}

#[test]
fn refused_credentials_stop_publishing_name_the_remedy_and_better_ones_are_read_from_the_file() {
    let Some(bucket) = Bucket::start() else { return };
    let sent = City::new(83).records(20);
    block_on(async {
        let archive = bucket.open("city").await;
        let commit = sealed(&archive, &sent).await;
        let is_old =
            |seen: &Seen| seen.header("authorization").is_some_and(|with| with.contains("AKIDFIRST"));
        bucket.faults.plan(move |seen| if is_old(seen) { Fault::Answer(403) } else { Fault::None });

        let error = archive.publish(&commit).await.unwrap_err();

        assert_eq!(error.disposition(), Disposition::Retry, "{error}");
        let told = crate::verify::chain_of(&error);
        assert!(told.contains("refuses the credentials") && told.contains("403"), "{told}");
        assert!(!told.contains(SECRET) && !format!("{error:?}{archive:?}").contains(SECRET), "{told}");
        bucket.set_key("AKIDSECOND");
        let error = archive.publish(&commit).await.unwrap_err();
        assert_eq!(error.disposition(), Disposition::Retry);
        let published = archive.publish(&commit).await.unwrap();
        assert_eq!(published.next_offset(), commit.manifest().next_offset);
        assert_holds(&archive, &sent, "with the second key").await;
    });
}

#[test]
fn of_a_file_that_cannot_be_read_the_date_waits_and_the_others_are_compacted() {
    let Some(bucket) = Bucket::start() else { return };
    let sent = City::new(97).spread_over_days(2).records(200);
    let compacted =
        |file: &FileEntry| layout::file_name(&file.path).is_some_and(|name| name.revision.is_some());
    block_on(async {
        let archive = bucket.open("city").await;
        archive_all(&archive, &sent, rotation(300)).await;
        let files = readings(&archive).await;
        let refused = files.iter().find(|file| !file.path.contains('%')).unwrap().path.clone();
        let folder = layout::parent_of(&refused);
        let seen_as = refused.replace('=', "%3D");
        let is_refused = move |seen: &Seen| {
            seen.method == "GET" && seen.path.to_uppercase().contains(&seen_as.to_uppercase())
        };
        bucket.faults.plan(move |seen| if is_refused(seen) { Fault::Answer(403) } else { Fault::None });

        let report = archive.compact(&at_once(), &mut unobserved).await.unwrap();

        let named: Vec<&str> = report.unread.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(named, [refused.as_str()], "{report:?}");
        assert!(report.unread[0].reason.contains("403"), "{report:?}");
        assert_eq!(
            (report.unreadable.len(), report.missing_files),
            (0, 0),
            "nothing says that it is damaged"
        );
        let after = readings(&archive).await;
        let (waiting, others): (Vec<_>, Vec<_>) =
            after.into_iter().partition(|file| layout::parent_of(&file.path) == folder);
        assert_eq!(waiting, in_folder(&files, folder), "its date and network are as they were");
        assert!(!others.is_empty() && others.iter().all(compacted), "{others:?}");

        bucket.faults.plan(|_| Fault::None);
        let report = archive.compact(&at_once(), &mut unobserved).await.unwrap();

        assert!(report.unread.is_empty(), "{report:?}");
        assert!(readings(&archive).await.iter().all(compacted));
        let rows = canonical(&read_all(&archive, &Scan::default()).await);
        assert_eq!(rows, canonical(&without_repeats(&sent)));
        assert!(archive.verify().await.unwrap().is_sound());
    });
}

async fn readings(archive: &Archive) -> Vec<FileEntry> {
    let files = archive.files().await.unwrap();
    files.into_iter().filter(|file| file.dataset == Dataset::Readings).collect()
}

fn in_folder(files: &[FileEntry], folder: &str) -> Vec<FileEntry> {
    files.iter().filter(|file| layout::parent_of(&file.path) == folder).cloned().collect()
}

#[test]
fn of_two_archivers_in_one_bucket_one_gives_way_and_a_store_that_overwrites_is_refused() {
    let Some(bucket) = Bucket::start() else { return };
    let sent = City::new(89).records(40);
    block_on(async {
        let (one, two) = (bucket.open("city").await, bucket.open("city").await);
        let (first, second) = (sealed(&one, &sent[..20]).await, sealed(&two, &sent).await);

        let _published = one.publish(&first).await.unwrap();
        let fenced = two.publish(&second).await.unwrap_err();

        assert!(matches!(fenced, ArchiveError::Fenced { .. }), "{fenced}");
        assert_holds(&one, &sent[..20], "the first one's").await;

        bucket.faults.plan(|_| Fault::Without("if-none-match"));
        let error = bucket.open("elsewhere").await.resume(TOPIC, PartitionId(0)).await.unwrap_err();
        assert!(matches!(error, ArchiveError::Unconditional { .. }), "{error}");
        assert_eq!(error.disposition(), Disposition::Stop);
    });
}

#[test]
fn a_large_object_goes_up_in_parts_and_is_whole_or_absent() {
    let Some(bucket) = Bucket::start() else { return };
    let large: bytes::Bytes =
        (0..17_u32 << 20).map(|place| (place ^ (place >> 9)).to_le_bytes()[0]).collect();
    block_on(async {
        let archive = bucket.open("city").await;
        let is_part = |seen: &Seen| seen.path.contains("partNumber=");
        bucket.faults.plan(move |seen| if is_part(seen) { Fault::Answer(403) } else { Fault::None });
        archive.put("readings/large", large.clone()).await.unwrap_err();
        assert!(archive.list("readings").await.unwrap().is_empty());

        let mut lost = 0;
        bucket.faults.plan(move |seen| {
            lost += usize::from(is_part(seen));
            if is_part(seen) && lost == 2 { Fault::LoseAnswer } else { Fault::None }
        });
        archive.put("readings/large", large.clone()).await.unwrap();

        assert!(bucket.faults.requests() >= 5, "three parts, their beginning and their end");
        assert!(archive.bytes("readings/large").await.unwrap() == large, "what comes back is what went up");
    });
}
