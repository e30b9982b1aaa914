//! Homes' readings: who may read their files, and what an erasure reaches.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use heat_model::{Body, EventTime, IngestTime, PartitionId, SignalSet, record::NextOffset};

use super::{
    City, Sent, block_on,
    compact::{at_once, compact},
    open, read_all, rotation, writer,
};
use crate::{
    Archive, CommitWriter, CompactSettings, Dataset, Households, Scan, TableRow, compact::Erasure,
    revise::unobserved,
};

fn homes() -> Option<Households> {
    Some(Arc::new(|set: &SignalSet, _| set.site.as_str() == "s1"))
}

async fn archive_homes(archive: &Archive, sent: &[Sent]) {
    let mut writer = writer(archive, rotation(1_000_000)).await.with_households(homes());
    let start = writer.next_offset().0;
    for sent in sent.iter().skip_while(|sent| sent.position.offset.0 < start) {
        writer.append(&sent.position, &sent.envelope, sent.keep()).unwrap();
    }
    let _published = archive.publish(&writer.seal().unwrap().unwrap()).await.unwrap();
}

fn mode(root: &Path, folder: &str) -> u32 {
    std::fs::metadata(root.join(folder)).unwrap().permissions().mode() & 0o777
}

fn set_mode(root: &Path, folder: &str, mode: u32) {
    std::fs::set_permissions(root.join(folder), std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn folders_of_homes_are_the_owners_alone_and_never_everybodys() {
    let sent = City::new(79).records(300);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_homes(&archive, &sent[..100]).await;
        assert_eq!(mode(root, "households"), 0o700);
        assert_ne!(mode(root, "readings"), 0o700, "the others are as the machine's umask says");

        let waiting = CompactSettings { grace: Duration::from_hours(1), ..at_once() };
        compact(&archive, &waiting).await;
        assert_eq!(mode(root, "compacted/households"), 0o700);

        // A group is let in by hand, and stays; an archive of an earlier version was open to everybody.
        for (found, left) in [(0o750, 0o750), (0o755, 0o750), (0o777, 0o770)] {
            set_mode(root, "households", found);
            let known = archive.view(super::TOPIC, PartitionId(0)).await.unwrap().next_offset().unwrap();
            archive_homes(&archive, &sent[..usize::try_from(known.0).unwrap() + 50]).await;
            assert_eq!(mode(root, "households"), left, "{found:o}");
        }

        let files = archive.files().await.unwrap();
        let home = files.iter().rfind(|file| file.dataset == Dataset::Households).unwrap();
        std::fs::write(root.join(&home.path), b"torn").unwrap();
        compact(&archive, &at_once()).await;
        assert!(root.join("set_aside").join(&home.path).is_file());
        assert_eq!(mode(root, "set_aside/households"), 0o700);
    });
}

/// A row of a small table.
fn row(network: &str, json: &str) -> TableRow {
    TableRow {
        network: network.to_owned(),
        kind: "test".to_owned(),
        id: String::new(),
        event_time: EventTime::from_micros(0),
        ingest_time: IngestTime::from_micros(0),
        json: json.to_owned(),
        gateway: "gateway-a".to_owned(),
        epoch: 0,
        seq: 0,
    }
}

#[test]
fn an_erasure_takes_a_homes_readings_and_says_which_other_rows_name_it() {
    let mut sent = City::new(83).with_inputs().records(300);
    // One ticket is of the home; the others are of no site.
    let is_ticket = |sent: &&mut Sent| matches!(sent.envelope.body, Body::Ticket(_));
    let envelope = &mut sent.iter_mut().find(is_ticket).unwrap().envelope;
    envelope.network = Some("demo-south".parse().unwrap());
    if let Body::Ticket(ticket) = &mut envelope.body {
        ticket.site = Some("s1".parse().unwrap());
    }
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        archive_homes(&archive, &sent).await;
        let resume = archive.resume("heat.rejected.v1", PartitionId(0)).await.unwrap();
        let mut letters = CommitWriter::new(&resume, NextOffset(0), rotation(1_000_000));
        let rows = [
            row("demo-south", r#"{"topic":"heat/v1/demo-south/s1/d2","payload":"{"}"#),
            row("", r#"{"topic":"x","payload":"{\"site\": \"s1\"}"}"#),
            row("demo-south", r#"{"topic":"x","payload_hex":"ff007331"}"#),
            row("demo-south", r#"{"topic":"heat/v1/demo-south/s10/d2","payload":"ss1 s1-a s1.b"}"#),
            row("elsewhere", r#"{"topic":"heat/v1/elsewhere/s1/d2","payload":"{"}"#),
        ];
        for (sent, row) in sent.iter().zip(rows) {
            letters.append_row(&sent.position, Dataset::Rejected, row).unwrap();
        }
        let _published = archive.publish(&letters.seal().unwrap().unwrap()).await.unwrap();
        let before = read_all(&archive, &Scan::default()).await.len();
        let (network, site) = ("demo-south".parse().unwrap(), "s1".parse().unwrap());
        let erasure = Erasure { network, site, from: None, to: None };

        let report = archive.erase(&erasure, &at_once(), &mut unobserved).await.unwrap();

        assert!(report.rows > 0);
        assert_eq!(
            report.named_elsewhere,
            BTreeMap::from([(Dataset::Inputs, 1), (Dataset::Rejected, 3)]),
            "words of their own, as text or in hexadecimal, of this network or of none"
        );
        assert_eq!(read_all(&archive, &Scan::default()).await.len(), before, "nobody else's readings go");
        assert!(archive.verify().await.unwrap().is_sound());
        let again = archive.erase(&erasure, &at_once(), &mut unobserved).await.unwrap();
        assert_eq!((again.rows, again.named_elsewhere), (0, report.named_elsewhere));
    });
}
