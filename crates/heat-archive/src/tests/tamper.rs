//! Negative controls: what is deleted, altered, added, torn or foreign is named.

use std::{path::PathBuf, sync::Arc};

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use arrow_select::concat::concat_batches;
use heat_model::PartitionId;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::properties::WriterProperties,
};

use super::{City, TOPIC, archive_all, block_on, open, rotation};
use crate::{Archive, FileEntry, layout, verify::Fault};

struct Prepared {
    folder: tempfile::TempDir,
    archive: Archive,
    file: FileEntry,
}

fn prepared() -> Prepared {
    block_on(async {
        let folder = heat_tests::memory_folder();
        let archive = open(&folder).await;
        let sent = City::new(41).with_inputs().records(600);
        archive_all(&archive, &sent, rotation(1500)).await;
        let files = archive.files().await.unwrap();
        let several_hours = |file: &&FileEntry| file.hours.len() > 1 && file.path.starts_with("readings/");
        let file = files.iter().find(several_hours).expect("a file spans hours").clone();
        Prepared { folder, archive, file }
    })
}

impl Prepared {
    fn path(&self) -> PathBuf {
        self.folder.path().join(&self.file.path)
    }

    fn faults(&self) -> Vec<Fault> {
        block_on(self.archive.verify()).unwrap().faults
    }

    /// Rewrites the file with another writer, after `change` saw its rows.
    fn rewrite(&self, change: impl Fn(RecordBatch) -> RecordBatch) {
        let bytes = bytes::Bytes::from(std::fs::read(self.path()).unwrap());
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let metadata = builder.metadata().file_metadata().key_value_metadata().cloned();
        let schema = Arc::clone(builder.schema());
        let batches: Vec<RecordBatch> = builder.build().unwrap().collect::<Result<_, _>>().unwrap();
        let rows = change(concat_batches(&schema, &batches).unwrap());
        let properties = WriterProperties::builder().set_key_value_metadata(metadata).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        std::fs::write(self.path(), writer.into_inner().unwrap()).unwrap();
    }
}

fn without(rows: &RecordBatch, index: usize) -> RecordBatch {
    let after = rows.slice(index + 1, rows.num_rows() - index - 1);
    concat_batches(&rows.schema(), &[rows.slice(0, index), after]).unwrap()
}

fn with_value(rows: &RecordBatch, index: usize, value: f64) -> RecordBatch {
    let place = rows.schema().index_of("value").unwrap();
    let old = rows.column(place).as_any().downcast_ref::<Float64Array>().unwrap();
    let new: Float64Array =
        old.iter().enumerate().map(|(i, v)| if i == index { Some(value) } else { v }).collect();
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns[place] = Arc::new(new);
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

/// The hours named by faults of rows; every other fault but a changed size fails the test.
fn hours_named(prepared: &Prepared) -> Vec<(i64, u64, u64)> {
    let hour = |fault: Fault| match fault {
        Fault::Rows { path, hour_start_us, expected_rows, found_rows } => {
            assert_eq!(path, prepared.file.path);
            Some((hour_start_us, expected_rows, found_rows))
        }
        Fault::Size { .. } => None,
        Fault::Chain { .. }
        | Fault::Manifest { .. }
        | Fault::Missing { .. }
        | Fault::Unreadable { .. }
        | Fault::Metadata { .. }
        | Fault::Balance { .. }
        | Fault::SetAside { .. }
        | Fault::Ledger { .. } => panic!("{fault:?}"),
    };
    prepared.faults().into_iter().filter_map(hour).collect()
}

#[test]
fn another_encoding_of_the_same_rows_has_the_same_digests() {
    let prepared = prepared();
    prepared.rewrite(|rows| rows);

    assert_eq!(hours_named(&prepared), []);
}

#[test]
fn a_deleted_row_is_named_by_file_and_hour() {
    let prepared = prepared();
    prepared.rewrite(|rows| without(&rows, 5));

    let named = hours_named(&prepared);

    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(named[0].2, named[0].1 - 1);
}

#[test]
fn an_added_row_is_named_by_file_and_hour() {
    let prepared = prepared();
    prepared.rewrite(|rows| {
        let last = rows.slice(rows.num_rows() - 1, 1);
        concat_batches(&rows.schema(), &[rows, last]).unwrap()
    });

    let named = hours_named(&prepared);

    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(named[0].2, named[0].1 + 1);
}

#[test]
fn an_altered_value_is_named_though_the_counts_agree() {
    let prepared = prepared();
    prepared.rewrite(|rows| with_value(&rows, 3, 12.5));

    let named = hours_named(&prepared);

    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(named[0].1, named[0].2);
}

#[test]
fn a_torn_a_foreign_and_a_missing_file_are_named() {
    let prepared = prepared();
    let whole = std::fs::read(prepared.path()).unwrap();
    for (bytes, what) in [(&whole[..whole.len() / 2], "torn"), (b"col,umn\n1,2\n", "foreign"), (b"", "empty")]
    {
        std::fs::write(prepared.path(), bytes).unwrap();
        let named =
            |fault: &Fault| matches!(fault, Fault::Unreadable { path, .. } if *path == prepared.file.path);
        assert!(prepared.faults().iter().any(named), "{what}: {:?}", prepared.faults());
    }

    std::fs::remove_file(prepared.path()).unwrap();
    assert_eq!(prepared.faults(), [Fault::Missing { path: prepared.file.path.clone() }]);
}

#[test]
fn one_flipped_bit_is_found_wherever_it_is() {
    const FLIPS: usize = 61;
    let prepared = prepared();
    let whole = std::fs::read(prepared.path()).unwrap();
    let mut silent = Vec::new();
    for place in (0..whole.len()).step_by(whole.len() / FLIPS) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        std::fs::write(prepared.path(), bytes).unwrap();
        if prepared.faults().is_empty() {
            silent.push(place);
        }
    }

    // Only what no row depends on may change unseen: statistics, offsets of the page index, the writer's name.
    let footer = whole.len()
        - 8
        - usize::try_from(u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap()))
            .unwrap();
    let index_and_headers = silent.iter().filter(|&&place| place < footer).count();
    assert!(index_and_headers <= FLIPS / 4, "{silent:?} before {footer}");
}

#[test]
fn a_file_of_another_commit_under_this_name_is_named() {
    let prepared = prepared();
    let files = block_on(prepared.archive.files()).unwrap();
    let same_network =
        |file: &&FileEntry| file.network == prepared.file.network && file.path != prepared.file.path;
    let other = files.iter().find(same_network).unwrap();
    std::fs::copy(prepared.folder.path().join(&other.path), prepared.path()).unwrap();

    let faults = prepared.faults();

    assert!(faults.iter().any(|fault| matches!(fault, Fault::Metadata { .. })), "{faults:?}");
}

#[test]
fn a_damaged_manifest_and_a_damaged_ledger_are_named() {
    let prepared = prepared();
    let manifests = block_on(prepared.archive.manifests(TOPIC, PartitionId(0))).unwrap();
    let first = &manifests[0];
    std::fs::write(prepared.folder.path().join(&first.ledger.path), b"{}").unwrap();
    assert_eq!(prepared.faults(), [Fault::Ledger { path: first.ledger.path.clone() }]);

    let path = layout::manifest_path(TOPIC, PartitionId(0), first.first_offset);
    std::fs::write(prepared.folder.path().join(&path), b"{\"format\": 1").unwrap();

    assert!(
        prepared.faults().iter().any(|fault| matches!(fault, Fault::Manifest { path: p, .. } if *p == path))
    );
}
