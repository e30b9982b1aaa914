//! One panel per loss: make-up and residual around it, and where it was looked for.

use heat_detect::scoring::{DAY_US, is_loss};
use heat_model::{NetworkId, plant::PlantModel};

use super::{
    escaped,
    map::{Drawn, draw},
    plots::TimeAxis,
    style,
};
use crate::{
    report::{
        AlarmReport, AlarmVerdict, EventVerdict, Report,
        table::{minute, span},
    },
    run::{NetworkRecord, Record},
};

/// Panels drawn: the first so many losses and false alarms.
const PANELS_MAX: usize = 60;
/// Most of a long event is its beginning.
const SHOWN_MAX_US: i64 = 16 * DAY_US;
const WIDTH: f64 = 620.0;
const HALF: f64 = 100.0;

/// What a panel shows.
struct Panel<'a> {
    title: String,
    network: &'a str,
    class: &'a str,
    /// Onset and end of what happened.
    happened: Option<(i64, i64)>,
    alarm: Option<&'a AlarmReport>,
    truth: Option<&'a str>,
    below: String,
    at_us: i64,
}

pub(super) fn panels(page: &mut String, report: &Report, record: &Record, plant: &PlantModel) {
    let mut panels: Vec<Panel<'_>> = of_events(report).chain(of_alarms(report)).collect();
    if panels.is_empty() {
        return;
    }
    panels.sort_by_key(|panel| panel.at_us);
    let count = panels.len();
    page.push_str(
        "<h2>逐个事件 · Event by event</h2>\n<p class=\"faint\">蓝 blue: 补水 make-up; 紫 violet: 校正后残差 corrected \
         residual; 阴影 shade: 事件 event; 虚线 dashed: 告警 alarm. 图 map: 红 red: 候选管段 candidate pipes (粗细 width: \
         概率 probability); 灰影 grey shadow: 实际 true pipe; ● 热源 source.</p>\n",
    );
    for panel in panels.iter().take(PANELS_MAX) {
        one(page, panel, record, plant);
    }
    if count > PANELS_MAX {
        page.push_str(&format!("<p class=\"faint\">+ {} (--format json)</p>\n", count - PANELS_MAX));
    }
}

fn of_events(report: &Report) -> impl Iterator<Item = Panel<'_>> {
    let scored =
        report.events.iter().filter(|event| is_loss(&event.class) && event.verdict != EventVerdict::Unscored);
    scored.map(|event| {
        let found = report.alarms.iter().find(|alarm| {
            alarm.verdict == AlarmVerdict::True
                && alarm.network == event.network
                && alarm.event.as_ref() == Some(&event.event)
        });
        let verdict = match event.verdict {
            EventVerdict::Found => format!("{} 后发现 found after", span(event.delay_h)),
            EventVerdict::Missed | EventVerdict::Unscored => "漏报 MISSED".to_owned(),
        };
        let size = event.size_kg_s.map_or_else(String::new, |size| format!(" · {size:.2} kg/s"));
        let s = event.detectability.map_or_else(String::new, |s| format!(" · s = {s:.1}"));
        Panel {
            title: escaped(&format!(
                "{} {} · {} · {} · {}{size}{s} — {verdict}",
                event.event,
                event.class,
                event.network,
                event.place,
                minute(&event.start)
            )),
            network: &event.network,
            class: &event.class,
            happened: Some((event.on_us, event.off_us)),
            alarm: found,
            truth: Some(event.place.as_str()).filter(|place| !place.is_empty()),
            below: found.map_or_else(String::new, |alarm| escaped(&alarm.text_zh)),
            at_us: event.on_us,
        }
    })
}

fn of_alarms(report: &Report) -> impl Iterator<Item = Panel<'_>> {
    let wanted = report.alarms.iter().filter(|alarm| {
        is_loss(&alarm.class) && matches!(alarm.verdict, AlarmVerdict::False | AlarmVerdict::Unlabelled)
    });
    wanted.map(|alarm| {
        let word = if alarm.verdict == AlarmVerdict::False { "误报 FALSE" } else { "告警 alarm" };
        Panel {
            title: escaped(&format!(
                "{word}: {} · {} · {}",
                alarm.class,
                alarm.network,
                minute(&alarm.emitted)
            )),
            network: &alarm.network,
            class: &alarm.class,
            happened: None,
            alarm: Some(alarm),
            truth: None,
            below: escaped(&alarm.text_zh),
            at_us: alarm.emitted_us,
        }
    })
}

fn one(page: &mut String, panel: &Panel<'_>, record: &Record, plant: &PlantModel) {
    let Ok(id) = panel.network.parse::<NetworkId>() else { return };
    let Some(network) = record.networks.get(&id) else { return };
    let end_us = panel
        .happened
        .map(|(_, off)| off)
        .or(panel.alarm.and_then(|alarm| alarm.cleared_us))
        .unwrap_or(panel.at_us + DAY_US);
    let from_us = (panel.at_us - DAY_US).max(network.first_us.unwrap_or(i64::MIN));
    let to_us = (end_us + DAY_US / 2).min(from_us + SHOWN_MAX_US).min(network.last_us).max(from_us + 1);
    let axis = TimeAxis { from_us, to_us, left: 52.0, right: WIDTH - 6.0 };
    page.push_str(&format!("<div class=\"panel\"><h3>{}</h3>\n<div class=\"pair\">\n", panel.title));
    page.push_str(&format!("<svg viewBox=\"0 0 {WIDTH:.0} {:.0}\" role=\"img\">", 2.0 * HALF + 38.0));
    if let Some((on, off)) = panel.happened {
        let (x, end) = (axis.x(on), axis.x(off));
        page.push_str(&format!(
            "<rect class=\"{}\" style=\"fill-opacity:.16;stroke:none\" x=\"{x:.1}\" y=\"4\" width=\"{:.1}\" height=\"{:.1}\"/>",
            style(panel.class),
            (end - x).max(1.0),
            2.0 * HALF + 14.0
        ));
    }
    axis.draw(page, 4.0, 2.0 * HALF + 18.0);
    curve(page, network, &axis, "water", "补水 kg/s", 6.0, |step| f64::from(step.water_kg_s));
    curve(page, network, &axis, "residual", "残差 kg/s", HALF + 16.0, |step| f64::from(step.residual_kg_s));
    if let Some(alarm) = panel.alarm {
        let x = axis.x(alarm.emitted_us);
        page.push_str(&format!(
            "<path class=\"{} mark\" d=\"M{x:.1} 4V{:.1}\"/>",
            style(&alarm.class),
            2.0 * HALF + 18.0
        ));
    }
    page.push_str("</svg>\n");
    let drawn = Drawn {
        plant,
        network: &id,
        candidates: panel.alarm.map_or(&[], |alarm| alarm.later.as_slice()),
        truth: panel.truth,
    };
    match draw(&drawn) {
        Some(map) => page.push_str(&map),
        None => page.push_str("<div class=\"faint\">无坐标 no coordinates</div>\n"),
    }
    page.push_str(&format!("</div>\n<p>{}</p></div>\n", panel.below));
}

/// One course; gaps of more than an hour stay open.
fn curve(
    page: &mut String,
    network: &NetworkRecord,
    axis: &TimeAxis,
    class: &str,
    name: &str,
    top: f64,
    of: impl Fn(&crate::run::TraceStep) -> f64,
) {
    let height = HALF - 8.0;
    let begin = network.trace.partition_point(|step| step.at_us < axis.from_us);
    let shown = || network.trace[begin..].iter().take_while(|step| step.at_us <= axis.to_us);
    let low = shown().map(&of).fold(0.0_f64, f64::min);
    let high = shown().map(&of).fold(low + 1e-3, f64::max);
    let y = |value: f64| top + height * (high - value) / (high - low);
    page.push_str(&format!(
        "<path class=\"zero\" d=\"M{:.1} {:.1}H{:.1}\"/><text x=\"46\" y=\"{:.1}\" text-anchor=\"end\">{high:.2}</text><text x=\"46\" y=\"{:.1}\" text-anchor=\"end\">{low:.2}</text><text class=\"dark\" x=\"58\" y=\"{:.1}\">{name}</text>",
        axis.left,
        y(0.0),
        axis.right,
        top + 9.0,
        top + height,
        top + 9.0
    ));
    let mut path = String::new();
    let mut before_us = i64::MIN / 2;
    for step in shown() {
        let letter = if step.at_us - before_us > 3_600_000_000 { 'M' } else { 'L' };
        path.push_str(&format!("{letter}{:.1} {:.1}", axis.x(step.at_us), y(of(step))));
        before_us = step.at_us;
    }
    if !path.is_empty() {
        page.push_str(&format!("<path class=\"{class}\" d=\"{path}\"/>"));
    }
}
