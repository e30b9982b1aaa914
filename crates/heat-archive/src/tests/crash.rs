//! The process dies at each step of publishing; two archivers meet; the store refuses.

use std::ops::ControlFlow;

use super::{City, Sent, TOPIC, archive_all, block_on, canonical, open, read_all, rotation, writer};
use crate::{
    Archive, ArchiveError, ArchivedReading, PublishStep, Scan,
    archive::{ChainFault, Disposition},
    layout,
};
use heat_model::{Offset, PartitionId};

/// Archives until the given commit, and dies there at the given step.
async fn archive_and_die(archive: &Archive, sent: &[Sent], commit: usize, step: PublishStep) {
    let mut writer = writer(archive, rotation(250)).await;
    let mut commits = 0;
    for sent in sent {
        if writer.should_close_before(&sent.position, sent.readings()) {
            let sealed = writer.seal().unwrap().unwrap();
            let mut observe = |at| {
                if commits == commit && at == step {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            match archive.publish_observed(&sealed, &mut observe).await {
                Ok(_) => commits += 1,
                Err(ArchiveError::Ended { step: at }) => {
                    assert_eq!(at, step);
                    return;
                }
                Err(error) => panic!("{error}"),
            }
        }
        writer.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
    }
    panic!("the commit did not come to {step:?}");
}

#[test]
fn after_a_crash_at_any_step_every_row_is_there_once() {
    let sent = City::new(23).with_faults().records(400);
    let expected: Vec<ArchivedReading> = sent.iter().flat_map(Sent::expected).collect();
    let straight = block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(250)).await;
        archive.manifests(TOPIC, PartitionId(0)).await.unwrap()
    });
    let steps = [
        (PublishStep::BeforeWrite, 1),
        (PublishStep::MidWrite(1), 1),
        (PublishStep::FilesWritten, 1),
        (PublishStep::BeforeManifest, 1),
        (PublishStep::AfterManifest, 2),
    ];
    for (step, commits) in steps {
        block_on(async {
            let folder = heat_tests::memory_folder();
            let archive = open(&folder).await;

            archive_and_die(&archive, &sent, 1, step).await;

            assert_eq!(archive.resume(TOPIC, PartitionId(0)).await.unwrap().commits, commits, "{step:?}");
            assert!(archive.verify().await.unwrap().is_sound(), "{step:?}");
            archive_all(&archive, &sent, rotation(250)).await;
            assert_eq!(
                canonical(&read_all(&archive, &Scan::default()).await),
                canonical(&expected),
                "{step:?}"
            );
            assert_eq!(archive.manifests(TOPIC, PartitionId(0)).await.unwrap(), straight, "{step:?}");
            assert_eq!(archive.orphans().await.unwrap(), Vec::<String>::new(), "{step:?}");
        });
    }
}

#[test]
fn files_of_a_crashed_commit_do_not_count_and_are_listed_as_orphans() {
    let sent = City::new(23).records(200);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;

        archive_and_die(&archive, &sent, 0, PublishStep::FilesWritten).await;

        assert!(!archive.orphans().await.unwrap().is_empty());
        assert_eq!(read_all(&archive, &Scan::default()).await, Vec::new());
    });
}

#[test]
fn a_second_archiver_gives_way_and_an_equal_commit_is_the_same_commit() {
    let sent = City::new(29).records(60);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        let (mut one, mut two) =
            (writer(&archive, rotation(250)).await, writer(&archive, rotation(250)).await);
        let mut same = writer(&archive, rotation(250)).await;
        for sent in &sent[..20] {
            one.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
            same.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
        }
        for sent in &sent[..30] {
            two.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
        }

        let published = archive.publish(&one.seal().unwrap().unwrap()).await.unwrap();
        let again = archive.publish(&same.seal().unwrap().unwrap()).await.unwrap();
        let fenced = archive.publish(&two.seal().unwrap().unwrap()).await.unwrap_err();

        assert_eq!(published, again);
        assert!(matches!(fenced, ArchiveError::Fenced { .. }), "{fenced}");
        assert_eq!(fenced.disposition(), Disposition::Stop);
        let rows: usize = sent[..20].iter().map(|sent| sent.expected().len()).sum();
        assert_eq!(read_all(&archive, &Scan::default()).await.len(), rows);
        assert!(archive.verify().await.unwrap().is_sound());
    });
}

#[test]
fn a_missing_manifest_is_a_hole_and_stops_the_resume() {
    let sent = City::new(31).records(400);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_all(&archive, &sent, rotation(250)).await;
        let manifests = archive.manifests(TOPIC, PartitionId(0)).await.unwrap();
        let lost = &manifests[1];
        let path = layout::manifest_path(TOPIC, PartitionId(0), lost.first_offset);
        std::fs::remove_file(folder.path().join(path)).unwrap();

        let error = archive.resume(TOPIC, PartitionId(0)).await.unwrap_err();

        let hole = ChainFault::Hole { from: lost.first_offset.0, to: lost.next_offset.0 };
        assert!(matches!(error, ArchiveError::Chain { source, .. } if source == hole), "{error}");
        let report = archive.verify().await.unwrap();
        assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
        assert_eq!(report.orphans.len(), lost.files.len());
    });
}

#[test]
fn a_refused_write_can_be_tried_again_and_nothing_counts_before() {
    let sent = City::new(37).records(40);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        let mut writer = writer(&archive, rotation(250)).await;
        for sent in &sent {
            writer.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
        }
        let sealed = writer.seal().unwrap().unwrap();
        // A plain file where the folder must be: refused for every user, root too.
        std::fs::write(folder.path().join("readings"), b"in the way").unwrap();

        let error = archive.publish(&sealed).await.unwrap_err();
        assert_eq!(error.disposition(), Disposition::Retry);
        assert!(error.to_string().contains("readings/date="), "{error}");
        assert_eq!(archive.resume(TOPIC, PartitionId(0)).await.unwrap().next_offset, None);

        std::fs::remove_file(folder.path().join("readings")).unwrap();
        let published = archive.publish(&sealed).await.unwrap();
        assert_eq!(published.next_offset(), Offset(39).next());
        assert!(archive.verify().await.unwrap().is_sound());
    });
}
