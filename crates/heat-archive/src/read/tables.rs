//! Reading the small tables back.

use arrow_array::{
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use bytes::Bytes;
use heat_model::{AppendTime, Envelope, EventTime, IngestTime, Offset, PartitionId, Position};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Fault, known_columns, numbers};
use crate::{
    archive::{Archive, ArchiveError},
    layout::Dataset,
    replay::input_of,
    schema,
    store::BoxError,
    table::{PlacedRow, TableRow},
};

impl Archive {
    /// The rows of one file of a small table, in the log's order, each with its place in the log.
    pub async fn table_rows(&self, path: &str) -> Result<Vec<(Position, TableRow)>, ArchiveError> {
        let bytes = self.bytes(path).await?;
        let rows =
            read_table(bytes).map_err(|source| ArchiveError::Unreadable { path: path.to_owned(), source })?;
        Ok(rows.into_iter().map(|placed| (placed.position, placed.row)).collect())
    }

    /// Commands, tickets, forecasts and activations of the newest `files_max` files, by date and name; returns how many
    /// files it read. Files that no manifest names yet are read as well: a record may come twice.
    pub async fn inputs(
        &self,
        files_max: usize,
        visit: &mut (dyn FnMut(&Position, &Envelope) + Send),
    ) -> Result<usize, ArchiveError> {
        let found = self.list(Dataset::Inputs.folder()).await?;
        let newest = &found[found.len().saturating_sub(files_max)..];
        for found in newest {
            for (position, row) in self.table_rows(&found.path).await? {
                let envelope = input_of(&row)
                    .map_err(|source| ArchiveError::Unreadable { path: found.path.clone(), source })?;
                visit(&position, &envelope);
            }
        }
        Ok(newest.len())
    }
}

/// Decodes one file.
pub(crate) fn read_table(bytes: Bytes) -> Result<Vec<PlacedRow>, BoxError> {
    let mut rows = Vec::new();
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let known = known_columns(builder.parquet_schema(), &schema::table());
    for batch in builder.with_projection(known).build()? {
        read_batch(&batch?, &mut rows)?;
    }
    Ok(rows)
}

fn read_batch(batch: &RecordBatch, rows: &mut Vec<PlacedRow>) -> Result<(), Fault> {
    let network = numbers::<StringArray>(batch, "network")?;
    let kind = numbers::<StringArray>(batch, "kind")?;
    let id = numbers::<StringArray>(batch, "id")?;
    let event_time = numbers::<TimestampMicrosecondArray>(batch, "event_time")?;
    let ingest_time = numbers::<TimestampMicrosecondArray>(batch, "ingest_time")?;
    let append_time = numbers::<TimestampMicrosecondArray>(batch, "append_time")?;
    let json = numbers::<StringArray>(batch, "json")?;
    let gateway = numbers::<StringArray>(batch, "gateway")?;
    let epoch = numbers::<UInt64Array>(batch, "epoch")?;
    let seq = numbers::<UInt64Array>(batch, "seq")?;
    let partition = numbers::<UInt32Array>(batch, "kafka_partition")?;
    let offset = numbers::<Int64Array>(batch, "kafka_offset")?;
    rows.extend((0..batch.num_rows()).map(|row| PlacedRow {
        row: TableRow {
            network: network.value(row).to_owned(),
            kind: kind.value(row).to_owned(),
            id: id.value(row).to_owned(),
            event_time: EventTime::from_micros(event_time.value(row)),
            ingest_time: IngestTime::from_micros(ingest_time.value(row)),
            json: json.value(row).to_owned(),
            gateway: gateway.value(row).to_owned(),
            epoch: epoch.value(row),
            seq: seq.value(row),
        },
        position: Position {
            partition: PartitionId(partition.value(row)),
            offset: Offset(offset.value(row).cast_unsigned()),
            append_time: AppendTime::from_micros(append_time.value(row)),
        },
    }));
    Ok(())
}
