use super::*;

const MINUTE: i64 = 60_000_000;

fn drawing(zone: &TimeZone, minutes: i64) -> Drawing<'_> {
    let (from, to) = (EventTime::from_micros(0), EventTime::from_micros(minutes * MINUTE));
    Drawing { title: "t", unit: "Pa", is_state: false, from, begin: from, to, mark: None, zone }
}

fn bucket(value: f64) -> Bucket {
    Bucket { mean: value, min: value, max: value, count: 1 }
}

#[test]
fn a_gap_cuts_the_line_and_a_slow_signal_is_no_gap() {
    let zone = TimeZone::UTC;
    let drawing = drawing(&zone, 360);
    let lines = |numbers: &[i64]| {
        let buckets: Buckets = numbers.iter().map(|number| (*number, bucket(1.0))).collect();
        drawing.paths(&buckets, &|value| value).1.matches('M').count()
    };
    assert_eq!(lines(&[0, 1, 2, 3, 30, 31, 32, 33]), 2);
    assert_eq!(lines(&[0, 15, 30, 45]), 1);
    assert_eq!(lines(&[]), 0);
}

#[test]
fn an_axis_has_round_ends_around_its_values() {
    let axis = scale(0.612, 0.631);
    assert!(axis.low <= 0.612 && axis.high >= 0.631, "{axis:?}");
    assert!((3..=7).contains(&axis.ticks().count()), "{axis:?}");
    let flat = scale(5.0, 5.0);
    assert!(flat.low < 5.0 && flat.high > 5.0, "{flat:?}");
    assert_eq!((number(0.62, 0.005), number(-0.0, 1.0)), ("0.620".to_owned(), "0".to_owned()));
}

#[test]
fn times_on_the_axis_are_round_at_the_citys_clock() {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let texts: Vec<String> = drawing(&zone, 6 * 60).hours().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["09:00", "10:00", "11:00", "12:00", "13:00"]);
}

#[test]
fn buckets_keep_mean_and_extremes() {
    let mut buckets = Buckets::new();
    for value in [1.0, 2.0, 6.0] {
        add(&mut buckets, 0, value);
    }
    assert_eq!(buckets[&0], Bucket { mean: 3.0, min: 1.0, max: 6.0, count: 3 });
}

#[test]
fn a_drawing_begins_shortly_before_what_is_known_or_the_mark() {
    let (from, to) = (EventTime::from_micros(0), EventTime::from_micros(360 * MINUTE));
    let minute_of = |first: i64, mark: Option<i64>| {
        let buckets = Buckets::from([(first, bucket(1.0)), (359, bucket(1.0))]);
        begin(&buckets, from, to, mark.map(|minute| EventTime::from_micros(minute * MINUTE))).as_micros()
            / MINUTE
    };
    assert_eq!(minute_of(30, None), 0);
    assert_eq!(minute_of(260, None), 255);
    assert_eq!(minute_of(260, Some(160)), 150);
    assert_eq!(begin(&Buckets::new(), from, to, None), from);
}
