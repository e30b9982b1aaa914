//! Columns come: what a later version wrote is read here, and never merged into files that would lack them.

use std::{path::Path, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, ListArray, RecordBatch, types::Int64Type};
use arrow_schema::{Field, Schema};
use arrow_select::concat::concat_batches;
use heat_model::PartitionId;
use heat_tests::python::Python;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::{metadata::KeyValue, properties::WriterProperties},
};
use serde_json::Value;

use super::{
    City, TOPIC, archive_all, block_on, canonical,
    compact::{at_once, compact},
    open, read_all, replay_all, rotation,
};
use crate::{
    Archive, ArchiveError, CompactSettings, Dataset, FileEntry, Scan, compact::Erasure, layout,
    revise::unobserved, schema::keys, verify::Fault,
};

/// Rewrites a file with Arrow's own writer, as `change` wants its columns and the version says, and its manifest's size.
fn rewrite(root: &Path, file: &FileEntry, version: &str, change: impl Fn(RecordBatch) -> RecordBatch) {
    let path = root.join(&file.path);
    let bytes = bytes::Bytes::from(std::fs::read(&path).unwrap());
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let mut metadata = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap();
    metadata.retain(|entry| entry.key != keys::SCHEMA_VERSION);
    metadata.push(KeyValue::new(keys::SCHEMA_VERSION.to_owned(), version.to_owned()));
    let schema = Arc::clone(builder.schema());
    let batches: Vec<RecordBatch> = builder.build().unwrap().collect::<Result<_, _>>().unwrap();
    let rows = change(concat_batches(&schema, &batches).unwrap());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(metadata)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    let bytes = writer.into_inner().unwrap();
    for manifest in heat_tests::disk::files_ending(&root.join("manifests"), ".json") {
        let mut json: Value = serde_json::from_str(&std::fs::read_to_string(&manifest).unwrap()).unwrap();
        for entry in
            json["files"].as_array_mut().unwrap().iter_mut().filter(|entry| entry["path"] == *file.path)
        {
            entry["bytes"] = bytes.len().into();
        }
        std::fs::write(manifest, json.to_string()).unwrap();
    }
    std::fs::write(path, bytes).unwrap();
}

/// As a later version might: a number and a list more, the number in front.
fn with_more_columns(rows: RecordBatch) -> RecordBatch {
    let numbers: Int64Array = (0..rows.num_rows()).map(|row| (row % 3 > 0).then_some(7)).collect();
    let lists = (0..rows.num_rows()).map(|row| Some(vec![Some(1), None, (row % 2 == 0).then_some(2)]));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
    let mut columns: Vec<ArrayRef> = vec![Arc::new(numbers)];
    columns.extend(rows.columns().iter().cloned());
    columns.push(Arc::new(lists));
    let schema = rows.schema();
    let mut fields = vec![Arc::new(Field::new("firmware", columns[0].data_type().clone(), true))];
    fields.extend(schema.fields().iter().cloned());
    fields.push(Arc::new(Field::new("marks", columns.last().unwrap().data_type().clone(), true)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn without_column(rows: RecordBatch, name: &str) -> RecordBatch {
    let kept: Vec<usize> =
        (0..rows.num_columns()).filter(|place| rows.schema().field(*place).name() != name).collect();
    rows.project(&kept).unwrap()
}

async fn of(archive: &Archive, dataset: Dataset) -> Vec<FileEntry> {
    archive.files().await.unwrap().into_iter().filter(|file| file.dataset == dataset).collect()
}

#[test]
fn files_of_a_later_version_with_more_columns_are_read_and_left_as_they_are() {
    let sent = City::new(67).with_inputs().spread_over_days(2).records(400);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_all(&archive, &sent, rotation(300)).await;
        let rows = canonical(&read_all(&archive, &Scan::default()).await);
        let replayed = format!("{:?}", replay_all(&archive).await);
        let (readings, inputs) = (of(&archive, Dataset::Readings).await, of(&archive, Dataset::Inputs).await);
        let newer = [&readings[0], &inputs[0]];
        newer.iter().for_each(|file| rewrite(root, file, "2", with_more_columns));

        let archive = open(&folder).await;
        let report = archive.verify().await.unwrap();
        assert!(report.is_sound(), "{:?}", report.faults);
        assert_eq!(canonical(&read_all(&archive, &Scan::default()).await), rows);
        assert_eq!(format!("{:?}", replay_all(&archive).await), replayed);
        let network =
            Scan { networks: Some([readings[0].network.clone().unwrap()].into()), ..Scan::default() };
        assert!(!read_all(&archive, &network).await.is_empty());

        let report = compact(&archive, &CompactSettings { check: true, ..at_once() }).await;

        assert_eq!((report.unreadable.len(), report.newer.len()), (0, 2), "{report:?}");
        assert!(report.folders > 0, "the rest goes on");
        for file in newer {
            assert!(report.newer.contains(&file.path) && root.join(&file.path).is_file(), "{}", file.path);
        }
        let site = "s0".parse().unwrap();
        let erasure = Erasure { network: readings[0].network.clone().unwrap(), site, from: None, to: None };
        let error = archive.erase(&erasure, &at_once(), &mut unobserved).await.unwrap_err();
        assert!(matches!(&error, ArchiveError::NewerFile { found: 2, .. }), "{error}");
        assert!(archive.verify().await.unwrap().is_sound());

        let Some(python) = Python::find() else { return };
        let sql = "SELECT count(*) AS rows, count(firmware) AS some, sum(len(marks)) AS marks FROM readings";
        let [answer] = python.query(root, sql).try_into().unwrap();
        assert_eq!(answer["rows"], rows.len(), "others read old and new files together: {answer}");
        assert!(answer["some"].as_u64() > Some(0) && answer["some"].as_u64() < answer["rows"].as_u64());
    });
}

#[test]
fn a_file_that_lacks_a_column_is_named_with_it_and_set_aside() {
    let sent = City::new(71).records(200);
    block_on(async {
        let folder = heat_tests::memory_folder();
        let (archive, root) = (open(&folder).await, folder.path());
        archive_all(&archive, &sent, rotation(100)).await;
        let file = of(&archive, Dataset::Readings).await.swap_remove(0);
        rewrite(root, &file, "1", |rows| without_column(rows, "lane"));

        let faults = open(&folder).await.verify().await.unwrap().faults;
        let report = compact(&open(&folder).await, &at_once()).await;

        let [Fault::Unreadable { path, reason }] = faults.as_slice() else { panic!("{faults:?}") };
        assert!(*path == file.path && reason.contains("column lane"), "{reason}");
        assert_eq!(report.unreadable[0].path, file.path);
        assert!(report.unreadable[0].reason.contains("column lane"));
    });
}

#[test]
fn a_revision_of_a_later_format_is_refused_with_the_remedy() {
    let sent = City::new(73).records(50);
    block_on(async {
        let folder = heat_tests::memory_folder();
        archive_all(&open(&folder).await, &sent, rotation(100)).await;
        let path = folder.path().join(layout::revision_path(TOPIC, PartitionId(0), 0));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"{\"format\": 3, \"sorted_by\": \"moon\"}").unwrap();

        let error = open(&folder).await.files().await.unwrap_err();

        let told = crate::verify::chain_of(&error);
        assert!(told.contains("newer") && told.contains("the version that wrote it"), "{told}");
    });
}
