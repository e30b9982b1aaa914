use proptest::prelude::*;

use super::*;
use crate::time_text::rfc3339;

const WIDE: &str = r#"
format = "wide"
separator = ";"
network = "n"
missing = [""]
nulls = ["null"]
sentinels = [-39.9]
file_name = "scada_{site}.csv"
[time]
column = "time"
format = "%Y-%m-%d %H:%M:%S"
zone = "Europe/Belgrade"
[[dead_rows]]
column = "state"
values = [0.0]
[[columns]]
column = "t1"
device = "d"
name = "supply_temperature"
[[columns]]
column = "p1"
device = "d"
name = "supply_pressure"
unit = "bar"
sentinels = []
"#;

const TALL: &str = r#"
format = "tall"
network = "n"
decimal = ","
separator = "\t"
[time]
column = "time"
format = "rfc3339"
[received]
column = "received"
format = "rfc3339"
[columns]
site = "site"
device = "device"
name = "name"
unit = "unit"
value = "value"
lane = "lane"
quality = "quality"
"#;

fn reader<'a>(mapping: &str, text: &'a str) -> RecordedReader<&'a [u8]> {
    let mapping = Mapping::parse(mapping).unwrap();
    RecordedReader::new(&mapping, "data/scada_L12.csv", text.as_bytes()).unwrap()
}

fn rows(mapping: &str, text: &str) -> Vec<Row> {
    reader(mapping, text).map(Result::unwrap).collect()
}

const FILE: &str = "time;state;t1;p1;other\n\
    2021-01-01 00:00:00;1;70.5;5.25;x\n\
    2021-01-01 01:00:00;1;-39.9;-39.9;x\n\
    2021-01-01 02:00:00;1;;null;x\n\
    2021-01-01 03:00:00;0;0.0;0.0;x\n\
    2021-01-01 04:00:00;0;0.0;null;x\n";

#[test]
fn each_cell_becomes_a_value_a_bad_value_or_nothing() {
    let mut reader = reader(WIDE, FILE);
    let signal = &reader.signals()[1];
    assert_eq!(
        (signal.site.as_str(), signal.name.as_str(), signal.unit.as_deref()),
        ("L12", "supply_pressure", Some("bar"))
    );

    let rows: Vec<_> = reader.by_ref().map(Result::unwrap).collect();

    let values: Vec<Vec<_>> =
        rows.iter().map(|row| row.values.iter().map(|v| (v.signal, v.raw, v.code)).collect()).collect();
    assert_eq!(values[0], [(0, 70.5, QualityCode::None), (1, 5.25, QualityCode::None)]);
    assert_eq!(values[1], [(0, -39.9, QualityCode::Sentinel), (1, -39.9, QualityCode::None)]);
    assert_eq!((values[2].len(), values[2][0].0, values[2][0].2), (1, 1, QualityCode::Null));
    assert!(values[2][0].1.is_nan());
    assert_eq!(values[3], [(0, 0.0, QualityCode::Sentinel), (1, 0.0, QualityCode::Sentinel)]);
    let codes: Vec<_> = rows[4].values.iter().map(|value| value.code).collect();
    assert_eq!(codes, [QualityCode::Sentinel, QualityCode::Null]);
    assert_eq!((rows[0].line, rfc3339(rows[0].time).as_str()), (2, "2020-12-31T23:00:00Z"));
    assert_eq!(reader.time_counts(), TimeCounts::default());
}

#[test]
fn a_descending_file_gives_the_same_rows_as_the_same_file_turned_round() {
    let mut lines: Vec<_> = FILE.lines().collect();
    lines[1..].reverse();
    let descending = lines.join("\n");
    let mapping = WIDE.replace("network", "order = \"descending\"\nnetwork");

    let turned = rows(&mapping, &descending);

    let bits = |rows: &[Row]| -> Vec<_> {
        rows.iter()
            .map(|row| (row.time, row.values.iter().map(|v| v.raw.to_bits()).collect::<Vec<_>>()))
            .collect()
    };
    assert_eq!(bits(&turned), bits(&rows(WIDE, FILE)));
    assert_eq!(turned.iter().map(|row| row.line).collect::<Vec<_>>(), [6, 5, 4, 3, 2]);
}

#[test]
fn an_hour_that_occurs_twice_is_told_apart_by_the_order_of_rows() {
    let text = "time;state;t1;p1\n2021-10-31 01:30:00;1;1;1\n2021-10-31 02:00:00;1;1;1\n2021-10-31 02:30:00;1;1;1\n\
        2021-10-31 02:00:00;1;1;1\n2021-10-31 02:30:00;1;1;1\n2021-10-31 03:00:00;1;1;1\n";
    let mut reader = reader(WIDE, text);
    let times: Vec<_> = reader.by_ref().map(|row| row.unwrap().time.second()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1_800), "{times:?}");
    assert_eq!(reader.time_counts().repeated_hour, 4);
}

#[test]
fn a_faulty_row_or_cell_names_its_line_and_the_rest_is_read() {
    let text = "time;state;t1;p1\n2021-01-01 00:00:00;1;7O.5;5\nyesterday;1;1;1\n2021-01-01 01:00:00;1\n\
        2021-01-01 02:00:00;1;NaN;1e999\n2021-01-01 03:00:00;1;2;2\n";
    for mapping in [WIDE.to_owned(), WIDE.replace("network", "order = \"descending\"\nnetwork")] {
        let mut rows: Vec<_> = reader(&mapping, text).collect();
        if mapping.contains("descending") {
            rows.reverse();
        }
        let fault = &rows[0].as_ref().unwrap().faults[0];
        assert_eq!((fault.line, fault.column.as_str(), fault.reason), (2, "t1", RejectReason::WrongType));
        assert_eq!(rows[0].as_ref().unwrap().values.len(), 1);
        assert!(matches!(&rows[1], Err(RecordedFault::Time { line: 3, .. })), "{:?}", rows[1]);
        assert!(matches!(&rows[2], Err(RecordedFault::Row { line: 4, .. })), "{:?}", rows[2]);
        let reasons: Vec<_> = rows[3].as_ref().unwrap().faults.iter().map(|fault| fault.reason).collect();
        assert_eq!(reasons, [RejectReason::NotFinite, RejectReason::NumberOutOfRange]);
        assert_eq!(rows[4].as_ref().unwrap().values.len(), 2);
        assert_eq!(rows.len(), 5);
    }
}

#[test]
fn a_tall_file_names_signal_lane_and_quality_by_row() {
    let text = "received\ttime\tsite\tdevice\tname\tunit\tvalue\tlane\tquality\n\
        2025-11-04T21:00:00Z\t2025-11-04T20:00:00Z\ts1\tm\tsupply_flow\tm3/h\t0,692\tbackfill\t\n\
        2025-11-04T21:00:00Z\t2025-11-04T19:00:00Z\ts1\tm\tsupply_flow\tm3/h\t1\t\tuncertain\n\
        2025-11-04T21:00:00Z\t2025-11-04T19:00:00Z\ts1\tm\tsupply_flow\tfurlong\t1\t\t\n\
        2025-11-04T21:00:00Z\t2025-11-04T19:00:00Z\ts/1\tm\tsupply_flow\tm3/h\t1\t\t\n\
        2025-11-04T21:00:00Z\t2025-11-04T19:00:00Z\ts1\tm\tsupply_flow\tm3/h\t1\tfast\t\n";
    let mut reader = reader(TALL, text);
    let rows: Vec<_> = reader.by_ref().map(Result::unwrap).collect();

    assert_eq!((rows[0].lane, rows[0].values[0].raw), (Some(Lane::Backfill), 0.692));
    assert_eq!(rows[0].received.map(|time| time.second() - rows[0].time.second()), Some(3_600));
    assert_eq!((rows[1].lane, rows[1].values[0].quality), (None, Quality::Uncertain));
    assert_eq!(rows[0].values[0].signal, rows[1].values[0].signal);
    let reasons: Vec<_> = rows[2..].iter().map(|row| row.faults[0].reason).collect();
    assert_eq!(reasons, [RejectReason::UnknownUnit, RejectReason::InvalidId, RejectReason::UnknownWord]);
    assert_eq!((reader.signals().len(), reader.time_counts().out_of_order), (1, 1));
}

#[test]
fn a_file_that_does_not_fit_the_mapping_is_refused_by_name() {
    let mapping = Mapping::parse(WIDE).unwrap();
    let open = |file, text: &'static str| RecordedReader::new(&mapping, file, text.as_bytes()).map(|_| ());
    assert!(matches!(open("scada_L1.csv", "time;state;t1\n"), Err(RecordedFault::Column { count: 0, .. })));
    assert!(matches!(
        open("scada_L1.csv", "time;state;t1;p1;p1\n"),
        Err(RecordedFault::Column { count: 2, .. })
    ));
    assert!(matches!(open("other.csv", FILE), Err(RecordedFault::FileName { .. })));
    assert!(matches!(open("scada_L1.csv", ""), Err(RecordedFault::Empty { .. })));
}

#[test]
fn a_file_without_header_has_numbered_columns() {
    let mapping = WIDE
        .replace("network", "header = false\nnetwork")
        .replace("\"time\"", "\"1\"")
        .replace("\"state\"", "\"2\"")
        .replace("\"t1\"", "\"3\"")
        .replace("\"p1\"", "\"4\"");
    let headless: String = FILE.lines().skip(1).map(|line| format!("{line}\n")).collect();
    assert_eq!(rows(&mapping, &headless).len(), 5);
    assert_eq!(rows(&mapping, &headless)[0].line, 1);
}

proptest! {
    #[test]
    fn raw_values_are_the_numbers_of_the_file(values in prop::collection::vec(any::<f64>(), 1..20)) {
        let values: Vec<_> = values.into_iter().filter(|v| v.is_finite()).collect();
        let mut text = "time;state;t1;p1\n".to_owned();
        for (at, value) in values.iter().enumerate() {
            text += &format!("2021-01-01 00:00:{at:02};1;{value};{value:e}\n");
        }
        let rows = rows(WIDE, &text);
        prop_assert_eq!(rows.len(), values.len());
        for (row, value) in rows.iter().zip(&values) {
            for read in &row.values {
                prop_assert_eq!(read.raw.to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn any_bytes_end_after_as_many_rows_as_lines(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b';'), Just(b'"'), Just(b'1')], 0..200),
        descending in any::<bool>()
    ) {
        let order = if descending { "order = \"descending\"\nnetwork" } else { "network" };
        let mapping = Mapping::parse(&WIDE.replace("network", order)).unwrap();
        let mut file = b"time;state;t1;p1\n".to_vec();
        file.extend(bytes);
        let lines = file.split(|byte| matches!(byte, b'\n' | b'\r')).count();
        if let Ok(reader) = RecordedReader::new(&mapping, "scada_x.csv", file.as_slice()) {
            prop_assert!(reader.count() <= lines);
        }
    }
}
