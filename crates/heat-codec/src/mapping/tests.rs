use heat_model::EventTime;

use super::*;

const WIDE: &str = r#"
format = "wide"
network = "n"
missing = ["", "NaN"]
[time]
column = "time"
format = "%Y-%m-%d %H:%M:%S"
zone = "Europe/Berlin"
[[columns]]
column = "t1"
site = "s"
device = "d"
name = "supply_temperature"
unit = "degC"
"#;

fn keys(text: &str) -> Vec<String> {
    Mapping::parse(text).unwrap_err().into_iter().map(|fault| fault.key).collect()
}

#[test]
fn a_wide_mapping_is_read_with_its_defaults() {
    let mapping = Mapping::parse(WIDE).unwrap();
    assert_eq!(
        (mapping.separator, mapping.header, mapping.decimal, mapping.order),
        (b',', true, '.', Order::Ascending)
    );
    let Layout::Wide(columns) = &mapping.layout else { panic!("wide") };
    assert_eq!((columns[0].column.as_str(), columns[0].absent.missing.len()), ("t1", 2));
}

#[test]
fn faults_are_reported_at_once_by_key() {
    let text = WIDE
        .replace("network = \"n\"", "network = \"n/m\"\nseparator = \",,\"\ndecimal = \";\"")
        .replace("Europe/Berlin", "Berlin")
        .replace("\"degC\"", "\"bar\"")
        .replace("site = \"s\"\n", "");
    assert_eq!(
        keys(&text),
        ["separator", "decimal", "network", "time.zone", "columns[0].site", "columns[0].unit"]
    );
    assert_eq!(keys(&WIDE.replace("missing", "misssing")), ["line 4"]);
    assert_eq!(keys(&WIDE.replace("network = \"n\"", "nulls = [\"\"]")), ["network", "nulls"]);
    assert_eq!(
        keys(&format!("{WIDE}[[columns]]\ncolumn='t2'\nsite='s'\ndevice='d'\nname='supply_temperature'\n")),
        ["columns[1].name"]
    );
    assert_eq!(keys("format = \"round\""), ["line 1"]);
}

#[test]
fn a_file_name_tells_ids() {
    let pattern = FileName::parse("scada_{site}-{device}.csv").unwrap();
    let ids = pattern.ids("/data/scada_L12-meter.csv.gz").unwrap();
    assert_eq!(ids.site.unwrap().as_str(), "L12");
    assert_eq!(ids.device.unwrap().as_str(), "meter");
    assert_eq!(pattern.ids("scada_L12.csv"), None);
    assert_eq!(pattern.ids("scada_-x.csv"), None);
    for bad in ["{site}{device}", "{colour}", "{site", "{site}-{site}"] {
        assert!(FileName::parse(bad).is_err(), "{bad}");
    }
}

fn at(column: &TimeColumn, text: &str, after: Option<&str>) -> (EventTime, Ambiguity) {
    let after = after.map(|text| crate::time_text::parse_rfc3339(text).unwrap());
    let time = column.read(text, after).unwrap();
    (time.time, time.ambiguity)
}

fn utc(text: &str) -> EventTime {
    crate::time_text::parse_rfc3339(text).unwrap()
}

#[test]
fn local_times_know_summer_time() {
    let column = TimeColumn::new("t", "%Y-%m-%d %H:%M:%S", Some("Europe/Belgrade")).unwrap();
    assert_eq!(at(&column, "2021-07-01 12:00:00", None), (utc("2021-07-01T10:00:00Z"), Ambiguity::None));
    assert_eq!(at(&column, "2021-03-28 02:00:00", None), (utc("2021-03-28T01:00:00Z"), Ambiguity::Skipped));
    let repeated = "2021-10-31 02:30:00";
    assert_eq!(at(&column, repeated, None), (utc("2021-10-31T00:30:00Z"), Ambiguity::Repeated));
    assert_eq!(
        at(&column, repeated, Some("2021-10-31T00:45:00Z")),
        (utc("2021-10-31T01:30:00Z"), Ambiguity::Repeated)
    );
    assert_eq!(column.read("2021-02-30 00:00:00", None), None);
}

#[test]
fn other_formats_of_time_are_read() {
    for (format, zone, text) in [
        ("rfc3339", None, "2021-07-01T12:00:00+02:00"),
        ("unix_s", None, "1625133600"),
        ("unix_s", None, "1625133600.0"),
        ("unix_ms", None, "1625133600000"),
        ("%d.%m.%Y %H:%M %z", None, "01.07.2021 12:00 +0200"),
        ("%d.%m.%Y %H:%M", Some("Asia/Shanghai"), "01.07.2021 18:00"),
    ] {
        let column = TimeColumn::new("t", format, zone).unwrap();
        assert_eq!(at(&column, text, None).0, utc("2021-07-01T10:00:00Z"), "{format}");
    }
    assert_eq!(TimeColumn::new("t", "%H:%M", None).unwrap_err().0, "zone");
    assert_eq!(TimeColumn::new("t", "rfc3339", Some("Asia/Shanghai")).unwrap_err().0, "zone");
    assert_eq!(TimeColumn::new("t", "iso", None).unwrap_err().0, "format");
}
