//! Plots of one signal: from the archive, and up to now from the newest readings at hand.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use heat_model::{EventTime, SignalId};
use jiff::{Timestamp, tz::TimeZone};
use maud::{Markup, html};
use serde::Deserialize;

use super::{View, format, words};
use crate::{
    extract::StrictQuery,
    history::Question,
    json::{ApiTime, HistoryPoint},
    problem::Problem,
    routes::signals::{may_be_shown, read},
    state::{ApiState, lock},
};

/// Points across; more than eyes tell apart.
const POINTS: i64 = 360;
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
/// Room for the axes' numbers.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 24.0;
/// Longest time of one plot.
const SPAN_MAX: Duration = Duration::from_hours(24 * 31);
/// Without a bucket for so many buckets the line is cut: nobody measured there.
const GAP_BUCKETS: i64 = 8;
/// Where nothing is known of this share of the time and more, the drawing begins with what is known.
const LATE_SHARE: f64 = 0.3;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlotQuery {
    from: ApiTime,
    to: ApiTime,
    /// A moment to mark, such as an onset.
    mark: Option<ApiTime>,
    #[expect(dead_code, reason = "read by `View`; named here, because unknown parameters are refused")]
    lang: Option<String>,
}

/// A figure that the script fills; without it, a picture.
pub(crate) fn figure(
    signal: &SignalId,
    title: &str,
    (from, to): (EventTime, EventTime),
    mark: Option<EventTime>,
) -> Markup {
    let mark = mark.map(|at| format!("&mark={}", ApiTime(at))).unwrap_or_default();
    let path = super::map::segment(&signal.to_string());
    let address = format!("/plots/{path}?from={}&to={}{mark}", ApiTime(from), ApiTime(to));
    html! {
        figure data-plot=(address) {
            figcaption { (title) }
            div.plot { noscript { img src=(address) alt=(title) width="720" height="200" loading="lazy"; } }
        }
    }
}

pub(crate) async fn of_signal(
    view: View,
    State(state): State<ApiState>,
    Path(signal): Path<String>,
    StrictQuery(query): StrictQuery<PlotQuery>,
) -> Result<Response, Problem> {
    let signal: SignalId =
        signal.parse().map_err(|error| Problem::bad_request(format!("signal id {error}")))?;
    may_be_shown(&state, view.user()?, &signal)?;
    let view = view.at(&state, &signal.network);
    let (from, to) = (query.from.0, query.to.0);
    if from >= to || to.since(from) > SPAN_MAX {
        return Err(Problem::bad_request("query: from must lie before to, at most 31 days"));
    }
    let (unit, buckets) = buckets(&state, &signal, from, to).await?;
    let title = words::signal(view.lang, signal.name.as_str());
    let mark = query.mark.map(|at| at.0);
    let begin = begin(&buckets, from, to, mark);
    let is_state = format::is_state(signal.name.as_str());
    let drawing = Drawing { title: &title, unit: &unit, is_state, from, begin, to, mark, zone: &view.zone };
    let picture = drawing.svg(&view, &buckets).into_string();
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], picture).into_response())
}

/// What lies in one bucket of time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    mean: f64,
    min: f64,
    max: f64,
    count: u64,
}

/// By their number from the start.
type Buckets = BTreeMap<i64, Bucket>;

fn step_us(from: EventTime, to: EventTime) -> i64 {
    ((to.as_micros() - from.as_micros()) / POINTS).max(1_000_000)
}

/// The signal's unit and its buckets; of a bucket that archive and memory both know, the fuller one.
async fn buckets(
    state: &ApiState,
    signal: &SignalId,
    from: EventTime,
    to: EventTime,
) -> Result<(String, Buckets), Problem> {
    let step = step_us(from, to);
    let mut unit = state.tables.iter().find_map(|table| {
        let table = lock(table);
        table.network(&signal.network)?.get(signal).map(|(entry, _)| entry.unit.to_string())
    });
    let mut buckets = recent(state, signal, from, to, step);
    if state.archive.is_some() {
        let question = Question {
            signal: signal.clone(),
            from,
            to,
            step: Some(Duration::from_micros(u64::try_from(step).unwrap_or(1))),
            points_max: state.settings.history_points_max,
        };
        let history = read(state, question).await?;
        unit = unit.or(history.unit);
        for point in history.points {
            let HistoryPoint::Bucket { time, mean, min, max, count } = point else { continue };
            let number = (time.0.as_micros() - from.as_micros()).div_euclid(step);
            let archived = Bucket { mean, min, max, count };
            let held = buckets.entry(number).or_insert(archived);
            if held.count < count {
                *held = archived;
            }
        }
    }
    Ok((unit.unwrap_or_default(), buckets))
}

fn recent(state: &ApiState, signal: &SignalId, from: EventTime, to: EventTime, step: i64) -> Buckets {
    let mut buckets = Buckets::new();
    for recent in &state.recent {
        for (time, value) in lock(recent).of(signal, from, to) {
            let number = (time.as_micros() - from.as_micros()).div_euclid(step);
            add(&mut buckets, number, value);
        }
    }
    buckets
}

fn add(buckets: &mut Buckets, number: i64, value: f64) {
    let bucket = buckets.entry(number).or_insert(Bucket { mean: value, min: value, max: value, count: 0 });
    bucket.count += 1;
    #[expect(clippy::cast_precision_loss, reason = "a count of readings is far below 2^53")]
    let share = 1.0 / bucket.count as f64;
    bucket.mean += (value - bucket.mean) * share;
    bucket.min = bucket.min.min(value);
    bucket.max = bucket.max.max(value);
}

/// One plot's frame.
#[derive(Debug)]
struct Drawing<'a> {
    title: &'a str,
    unit: &'a str,
    /// On or off: its axis has words.
    is_state: bool,
    /// Where the buckets are counted from.
    from: EventTime,
    /// Where the drawing begins.
    begin: EventTime,
    to: EventTime,
    mark: Option<EventTime>,
    zone: &'a TimeZone,
}

/// Where a drawing begins: at what was asked for, or shortly before the first value or the mark, if they come late.
fn begin(buckets: &Buckets, from: EventTime, to: EventTime, mark: Option<EventTime>) -> EventTime {
    let Some(first) = buckets.keys().next() else { return from };
    let first = EventTime::from_micros(from.as_micros() + first * step_us(from, to));
    let first = mark.map_or(first, |mark| mark.min(first)).max(from);
    let (before, shown) = (first.since(from), to.since(first));
    if before < to.since(from).mul_f64(LATE_SHARE) {
        from
    } else {
        first.minus(shown.mul_f64(0.05)).max(from)
    }
}

impl Drawing<'_> {
    fn svg(&self, view: &View, buckets: &Buckets) -> Markup {
        let (factor, unit) = if self.is_state { (1.0, "") } else { format::axis(self.unit) };
        let low = buckets.values().map(|bucket| bucket.min * factor).fold(f64::MAX, f64::min);
        let high = buckets.values().map(|bucket| bucket.max * factor).fold(f64::MIN, f64::max);
        let nothing = view.t("该时段没有数据", "No data in this time");
        let label = if buckets.is_empty() {
            format!("{}: {nothing}", self.title)
        } else {
            format!("{}: {low:.3} … {high:.3} {unit}", self.title)
        };
        html! {
            svg.curve xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) font-family="system-ui,sans-serif" font-size="12" {
                @if buckets.is_empty() {
                    text x=(WIDTH / 2.0) y=(HEIGHT / 2.0) text-anchor="middle" fill="#57606a" { (nothing) }
                } @else {
                    @let scale = if self.is_state { Scale { low: 0.0, high: 1.0, step: 1.0 } } else { scale(low, high) };
                    (self.filled(view, buckets, (factor, unit), scale))
                }
            }
        }
    }

    fn filled(&self, view: &View, buckets: &Buckets, (factor, unit): (f64, &str), scale: Scale) -> Markup {
        let y = |value: f64| {
            let share = (value - scale.low) / (scale.high - scale.low);
            HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        };
        let (band, line) = self.paths(buckets, &|value| y(value * factor));
        html! {
            @for tick in scale.ticks() {
                line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(tenth(y(tick))) y2=(tenth(y(tick))) stroke="#d8dee4" {}
                text x=(LEFT - 6.0) y=(tenth(y(tick) + 4.0)) text-anchor="end" fill="#57606a" { @if self.is_state { (format::state(view.lang, tick)) } @else { (number(tick, scale.step)) } }
            }
            @for (at, text) in self.hours() {
                text x=(tenth(self.x(at))) y=(HEIGHT - 6.0) text-anchor="middle" fill="#57606a" { (text) }
            }
            text x=(LEFT - 6.0) y="12" text-anchor="end" fill="#57606a" { (unit) }
            @if let Some(mark) = self.mark.filter(|mark| *mark >= self.begin && *mark <= self.to) {
                line.mark x1=(tenth(self.x(mark))) x2=(tenth(self.x(mark))) y1=(TOP) y2=(HEIGHT - BOTTOM) stroke="#b42318" stroke-dasharray="4 3" {}
            }
            path.band d=(band) fill="#8cb8e0" fill-opacity="0.45" {}
            path.line d=(line) fill="none" stroke="#0b62b8" stroke-width="1.8" stroke-linejoin="round" {}
        }
    }

    /// The band between minimum and maximum, and the line of means; both cut where nothing was measured.
    fn paths(&self, buckets: &Buckets, y: &dyn Fn(f64) -> f64) -> (String, String) {
        let step = step_us(self.from, self.to);
        let at = |number: i64| {
            self.x(EventTime::from_micros(self.from.as_micros() + number * step + step / 2))
                .min(WIDTH - RIGHT)
        };
        let mut runs: Vec<Vec<(i64, Bucket)>> = Vec::new();
        // A slow signal has few buckets: what is a gap depends on its own pace.
        let gap = GAP_BUCKETS.max(usual_distance(buckets) * 3);
        for (&number, &bucket) in buckets {
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|(last, _)| number - last <= gap) => {
                    run.push((number, bucket))
                }
                Some(_) | None => runs.push(vec![(number, bucket)]),
            }
        }
        let (mut band, mut line) = (String::new(), String::new());
        let put = |path: &mut String, command: char, x: f64, y: f64| {
            write!(path, "{command}{x:.1} {y:.1}").expect("writing to a string does not fail");
        };
        for run in runs {
            for (index, (number, bucket)) in run.iter().enumerate() {
                put(&mut line, if index == 0 { 'M' } else { 'L' }, at(*number), y(bucket.mean));
                put(&mut band, if index == 0 { 'M' } else { 'L' }, at(*number), y(bucket.max));
            }
            if let [(number, bucket)] = run.as_slice() {
                // A lone point is a line of no length, which round caps would not show.
                put(&mut line, 'L', at(*number) + 1.5, y(bucket.mean));
            }
            for (number, bucket) in run.iter().rev() {
                put(&mut band, 'L', at(*number), y(bucket.min));
            }
            band.push('Z');
        }
        (band, line)
    }

    #[expect(clippy::cast_precision_loss, reason = "pixels need no more than 52 bits of a time span")]
    fn x(&self, at: EventTime) -> f64 {
        let span = (self.to.as_micros() - self.begin.as_micros()) as f64;
        let share = (at.as_micros() - self.begin.as_micros()) as f64 / span;
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    /// Round times of the city's clock, four to eight of them.
    fn hours(&self) -> Vec<(EventTime, String)> {
        const STEPS_S: [i64; 14] =
            [10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];
        let span_s = (self.to.as_micros() - self.begin.as_micros()) / 1_000_000;
        let step = STEPS_S.into_iter().find(|step| span_s / step <= 8).unwrap_or(604_800);
        let Ok(start) = Timestamp::from_microsecond(self.begin.as_micros()) else { return Vec::new() };
        let offset_s = i64::from(self.zone.to_offset(start).seconds());
        let first = (start.as_second() + offset_s).div_euclid(step) + 1;
        let pattern = match step {
            step if step < 60 => "%H:%M:%S",
            step if step < 86_400 => "%H:%M",
            _ => "%m-%d",
        };
        (first..first + 10)
            .map(|number| number * step - offset_s)
            .take_while(|second| second * 1_000_000 < self.to.as_micros())
            .filter_map(|second| {
                let local = Timestamp::from_second(second).ok()?.to_zoned_datetime(self.zone.clone());
                Some((EventTime::from_micros(second * 1_000_000), local.strftime(pattern).to_string()))
            })
            .collect()
    }
}

/// The median distance of one bucket from the next.
fn usual_distance(buckets: &Buckets) -> i64 {
    let mut distances: Vec<i64> =
        buckets.keys().zip(buckets.keys().skip(1)).map(|(before, after)| after - before).collect();
    distances.sort_unstable();
    distances.get(distances.len() / 2).copied().unwrap_or(1)
}

/// A value axis with round ends.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    fn ticks(self) -> impl Iterator<Item = f64> {
        (0..8_u32)
            .map(move |number| self.low + f64::from(number) * self.step)
            .take_while(move |tick| *tick <= self.high + self.step * 0.01)
    }
}

/// Round ends around what is to be shown; a flat line gets room above and below.
fn scale(low: f64, high: f64) -> Scale {
    let span = high - low;
    let least = (high.abs().max(low.abs()) * 0.002).max(1e-6);
    let (low, high) = if span < least { (low - least, high + least) } else { (low, high) };
    let rough = (high - low) / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    Scale { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
}

/// As many decimals as the step between ticks needs.
fn number(value: f64, step: f64) -> String {
    let decimals = [(1.0, 0), (0.1, 1), (0.01, 2), (0.001, 3)];
    let decimals = decimals.into_iter().find(|(least, _)| step >= *least).map_or(4, |(_, decimals)| decimals);
    let text = format!("{value:.decimals$}");
    if text.trim_start_matches(['-', '0', '.']).is_empty() {
        text.trim_start_matches('-').to_owned()
    } else {
        text
    }
}

fn tenth(number: f64) -> String {
    format!("{number:.1}")
}

#[cfg(test)]
mod tests;
