//! Labels of events as CSV: `event,class,network,start,end,place,side,size_kg_s`.
//!
//! Times are RFC 3339 with an offset; `place`, `side` and `size_kg_s` may be empty. Columns may stand in any order.

use heat_model::{NetworkId, label::Label};

use crate::time_text::{parse_rfc3339, rfc3339};

/// The columns, in the order of writing.
pub const COLUMNS: [&str; 8] = ["event", "class", "network", "start", "end", "place", "side", "size_kg_s"];

/// A fault of a labels file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelFault {
    /// The text is not CSV.
    #[error("line {line}: not CSV: {problem}")]
    Csv {
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// A column is missing.
    #[error("the labels need the column {column:?}; the columns are {}", COLUMNS.join(","))]
    MissingColumn {
        /// Which.
        column: &'static str,
    },
    /// A cell is wrong.
    #[error("line {line}, column {column}: {found:?} is not {wanted}")]
    Cell {
        /// Line, from 1.
        line: u64,
        /// Column.
        column: &'static str,
        /// What stands there.
        found: String,
        /// What should.
        wanted: &'static str,
    },
}

/// Reads labels; the first fault ends it.
pub fn read(text: &str) -> Result<Vec<Label>, LabelFault> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|fault| csv_fault(&fault))?.clone();
    let mut places = [0; COLUMNS.len()];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let bare = |name: &str| name.trim_start_matches('\u{feff}') == column;
        *place = header.iter().position(bare).ok_or(LabelFault::MissingColumn { column })?;
    }
    let mut labels = Vec::new();
    for record in reader.records() {
        labels.push(label(&record.map_err(|fault| csv_fault(&fault))?, &places)?);
    }
    Ok(labels)
}

fn csv_fault(fault: &csv::Error) -> LabelFault {
    LabelFault::Csv { line: fault.position().map_or(0, csv::Position::line), problem: fault.to_string() }
}

fn label(record: &csv::StringRecord, places: &[usize; COLUMNS.len()]) -> Result<Label, LabelFault> {
    let line = record.position().map_or(0, csv::Position::line);
    let text = |column: usize| record.get(places[column]).unwrap_or("");
    let fault = |column: usize, wanted| LabelFault::Cell {
        line,
        column: COLUMNS[column],
        found: text(column).to_owned(),
        wanted,
    };
    let time = |column: usize| {
        parse_rfc3339(text(column)).map_err(|_| fault(column, "an RFC 3339 time with an offset"))
    };
    let (start, end) = (time(3)?, time(4)?);
    if end < start {
        return Err(fault(4, "a time that is not before the start"));
    }
    if text(0).is_empty() || text(1).is_empty() {
        return Err(fault(usize::from(!text(0).is_empty()), "a name"));
    }
    if !matches!(text(6), "" | "supply" | "return") {
        return Err(fault(6, "supply, return or empty"));
    }
    let size_kg_s = match text(7) {
        "" => None,
        size => Some(
            size.parse::<f64>()
                .ok()
                .filter(|size| size.is_finite() && *size >= 0.0)
                .ok_or_else(|| fault(7, "a mass flow in kg/s"))?,
        ),
    };
    Ok(Label {
        event: text(0).to_owned(),
        class: text(1).to_owned(),
        network: NetworkId::new(text(2)).map_err(|_| fault(2, "a network's id"))?,
        start,
        end,
        place: text(5).to_owned(),
        side: text(6).to_owned(),
        size_kg_s,
    })
}

/// Writes labels with a header, times in UTC.
pub fn write(labels: &[Label]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let in_memory = "writing to memory does not fail";
    writer.write_record(COLUMNS).expect(in_memory);
    for label in labels {
        let size = label.size_kg_s.map(|size| size.to_string()).unwrap_or_default();
        writer
            .write_record([
                label.event.as_str(),
                &label.class,
                label.network.as_str(),
                &rfc3339(label.start),
                &rfc3339(label.end),
                &label.place,
                &label.side,
                &size,
            ])
            .expect(in_memory);
    }
    let bytes = writer.into_inner().expect(in_memory);
    String::from_utf8(bytes).expect("all cells are UTF-8")
}

#[cfg(test)]
mod tests {
    use heat_model::EventTime;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_of_a_simulated_season_are_read() {
        let text = "event,class,network,start,end,place,side,size_kg_s\n\
            e01,silence,town,2025-11-04T17:00:00+01:00,2025-11-04T21:00:00+01:00,st12,,\n\
            e02,leak_abrupt,town,2025-11-15T22:27:40+01:00,2025-11-16T01:00:00+01:00,P001s,supply,3.5\n";
        let labels = read(text).unwrap();
        assert_eq!((labels.len(), labels[0].size_kg_s, labels[1].size_kg_s), (2, None, Some(3.5)));
        assert_eq!(labels[1].side, "supply");
    }

    #[test]
    fn a_fault_names_line_and_column() {
        let header = COLUMNS.join(",");
        for (row, column) in [
            ("e,burst,n,2025-11-04T17:00:00,2025-11-04T21:00:00Z,,,", "start"),
            ("e,burst,n,2025-11-04T17:00:00Z,2025-11-04T16:00:00Z,,,", "end"),
            ("e,burst,,2025-11-04T17:00:00Z,2025-11-04T21:00:00Z,,,", "network"),
            ("e,burst,n,2025-11-04T17:00:00Z,2025-11-04T21:00:00Z,,left,", "side"),
            ("e,burst,n,2025-11-04T17:00:00Z,2025-11-04T21:00:00Z,,,big", "size_kg_s"),
            (",burst,n,2025-11-04T17:00:00Z,2025-11-04T21:00:00Z,,,", "event"),
        ] {
            match read(&format!("{header}\n{row}\n")) {
                Err(LabelFault::Cell { line: 2, column: found, .. }) => assert_eq!(found, column),
                other => panic!("{row}: {other:?}"),
            }
        }
        assert_eq!(read("event,class\n"), Err(LabelFault::MissingColumn { column: "network" }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in prop::collection::vec(
                ("[^\\p{Cc}\\s][^\\p{Cc}]{0,8}[^\\p{Cc}\\s]", 0_i64..4_000_000_000_000_000, 0_i64..1_000_000_000_000,
                 prop::option::of(0.0..1e6_f64), prop_oneof!["", "supply", "return"]), 0..6)
        ) {
            let labels: Vec<_> = rows.into_iter().map(|(text, start, length, size_kg_s, side)| Label {
                event: text.clone(), class: "sensor_fault(drift)".to_owned(), network: "n".parse().unwrap(),
                start: EventTime::from_micros(start), end: EventTime::from_micros(start + length),
                place: text, side, size_kg_s,
            }).collect();
            prop_assert_eq!(read(&write(&labels)), Ok(labels));
        }
    }
}
