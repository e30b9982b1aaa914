//! Timelines of alarms and events, and the curve of delays.

use heat_detect::scoring::{DAY_US, WARM_UP_US};
use heat_model::EventTime;

use super::{escaped, style};
use crate::{
    report::{AlarmReport, AlarmVerdict, EventVerdict, Report},
    run::Record,
};

/// Networks that get a timeline.
const TIMELINES_MAX: usize = 40;
const WIDTH: f64 = 1_000.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 10.0;

/// A linear axis of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeAxis {
    pub(super) from_us: i64,
    pub(super) to_us: i64,
    pub(super) left: f64,
    pub(super) right: f64,
}

impl TimeAxis {
    pub(super) fn x(&self, at_us: i64) -> f64 {
        let share = (at_us - self.from_us) as f64 / (self.to_us - self.from_us).max(1) as f64;
        self.left + share.clamp(0.0, 1.0) * (self.right - self.left)
    }

    /// Round days, or hours where the axis is short, each with its text.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let span = self.to_us - self.from_us;
        let hour = DAY_US / 24;
        let steps =
            [hour, 3 * hour, 6 * hour, 12 * hour, DAY_US, 2 * DAY_US, 7 * DAY_US, 28 * DAY_US, 91 * DAY_US];
        let step = steps.into_iter().find(|step| span / step <= 12).unwrap_or(364 * DAY_US);
        let mut at = (self.from_us + step - 1).div_euclid(step) * step;
        let mut ticks = Vec::new();
        while at <= self.to_us && ticks.len() < 40 {
            let text = heat_codec::time_text::rfc3339(EventTime::from_micros(at));
            let part = if step < DAY_US { text.get(5..16) } else { text.get(..10) };
            ticks.push((self.x(at), part.unwrap_or_default().replace('T', " ")));
            at += step;
        }
        ticks
    }

    pub(super) fn draw(&self, page: &mut String, top: f64, bottom: f64) {
        for (x, text) in self.ticks() {
            // A text at the edge would be cut.
            let anchor = if x > self.right - 34.0 { "end" } else { "middle" };
            page.push_str(&format!(
                "<path class=\"axis\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>",
                bottom + 12.0
            ));
        }
    }
}

/// What happened above, what was said below, one picture a network.
pub(super) fn timelines(page: &mut String, report: &Report, record: &Record) {
    page.push_str("<h2>时间线 · Timelines</h2>\n<p class=\"faint\">上 above: 标注事件 labelled events; 下 below: 告警 alarms — ▼ \
        命中 true, ✕ 误报 false, ○ 未计分 not scored. 灰色 grey: 学习期 warm-up.</p>\n");
    for (id, network) in record.networks.iter().take(TIMELINES_MAX) {
        let Some(first_us) = network.first_us else { continue };
        let axis = TimeAxis { from_us: first_us, to_us: network.last_us, left: LEFT, right: WIDTH - RIGHT };
        page.push_str(&format!(
            "<h3>{}</h3>\n<svg viewBox=\"0 0 {WIDTH:.0} 96\" role=\"img\">",
            escaped(id.as_str())
        ));
        page.push_str(&format!(
            "<rect class=\"warm\" x=\"{LEFT:.1}\" y=\"4\" width=\"{:.1}\" height=\"70\"/>",
            axis.x(first_us + WARM_UP_US) - LEFT
        ));
        axis.draw(page, 4.0, 74.0);
        page.push_str("<text class=\"dark\" x=\"0\" y=\"24\">事件 events</text><text class=\"dark\" x=\"0\" y=\"60\">告警 alarms</text>");
        for event in report.events.iter().filter(|event| event.network == id.as_str()) {
            let (x, end) = (axis.x(event.on_us), axis.x(event.off_us));
            let missed = event.verdict == EventVerdict::Missed;
            page.push_str(&format!(
                "<rect class=\"{}{}\" x=\"{x:.1}\" y=\"10\" width=\"{:.1}\" height=\"{}\"><title>{} {} {} {}</title></rect>",
                style(&event.class),
                if missed { " hollow" } else { "" },
                (end - x).max(2.0),
                if style(&event.class) == "other" { 8 } else { 20 },
                escaped(&event.event),
                escaped(&event.class),
                escaped(&event.place),
                if missed { "漏报 missed" } else { "" }
            ));
        }
        for alarm in report.alarms.iter().filter(|alarm| alarm.network == id.as_str()) {
            alarm_mark(page, axis.x(alarm.emitted_us), alarm);
        }
        page.push_str("</svg>\n");
    }
    let rest = record.networks.len().saturating_sub(TIMELINES_MAX);
    if rest > 0 {
        page.push_str(&format!("<p class=\"faint\">+ {rest} 网 networks</p>\n"));
    }
}

fn alarm_mark(page: &mut String, x: f64, alarm: &AlarmReport) {
    let class = style(&alarm.class);
    let shape = match alarm.verdict {
        AlarmVerdict::True | AlarmVerdict::Unlabelled => {
            format!("<path class=\"{class}\" d=\"M{:.1} 46h10l-5 11z\">", x - 5.0)
        }
        AlarmVerdict::False => {
            format!("<path class=\"{class} hollow\" d=\"M{:.1} 46l10 11m0 -11l-10 11\">", x - 5.0)
        }
        AlarmVerdict::Repeat | AlarmVerdict::Merged | AlarmVerdict::Unscored => {
            format!("<circle class=\"{class} hollow\" cx=\"{x:.1}\" cy=\"52\" r=\"4\">")
        }
    };
    let end = if shape.starts_with("<path") { "</path>" } else { "</circle>" };
    page.push_str(&format!(
        "{shape}<title>{} {} {}</title>{end}",
        escaped(&crate::report::table::minute(&alarm.emitted)),
        escaped(&alarm.class),
        escaped(alarm.place.as_deref().unwrap_or(""))
    ));
}

/// Kaplan-Meier curves over a logarithmic axis of hours.
pub(super) fn delays(page: &mut String, report: &Report) {
    const TOP: f64 = 8.0;
    const BOTTOM: f64 = 210.0;
    let (low, high) = ((1.0_f64 / 360.0).ln(), 336.0_f64.ln());
    let x = |hours: f64| 60.0 + (hours.max(1.0 / 360.0).ln() - low) / (high - low) * (WIDTH - 80.0);
    let y = |share: f64| BOTTOM - share * (BOTTOM - TOP);
    page.push_str(
        "<h2>发现时延 · Delay</h2>\n<p class=\"faint\">事件开始后某时间内被发现的比例（Kaplan-Meier） · share of events found within a \
         time after onset; what was missed is censored at the end of its window.</p>\n",
    );
    page.push_str(&format!("<svg viewBox=\"0 0 {WIDTH:.0} 240\" role=\"img\">"));
    for (hours, text) in [
        (1.0 / 360.0, "10 s"),
        (1.0 / 60.0, "1 min"),
        (1.0 / 6.0, "10 min"),
        (1.0, "1 h"),
        (6.0, "6 h"),
        (24.0, "1 d"),
        (168.0, "7 d"),
        (336.0, "14 d"),
    ] {
        let x = x(hours);
        page.push_str(&format!(
            "<path class=\"axis\" d=\"M{x:.1} {TOP}V{BOTTOM}\"/><text x=\"{x:.1}\" y=\"224\" text-anchor=\"middle\">{text}</text>"
        ));
    }
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let y = y(share);
        page.push_str(&format!(
            "<path class=\"axis\" d=\"M60 {y:.1}H{:.1}\"/><text x=\"52\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            WIDTH - 20.0,
            y + 4.0,
            share * 100.0
        ));
    }
    for (row, (class, name, delay)) in [
        ("abrupt", "爆管、突发泄漏 bursts, abrupt leaks", &report.scores.delay_abrupt),
        ("incipient", "缓慢泄漏 incipient leaks", &report.scores.delay_incipient),
    ]
    .into_iter()
    .enumerate()
    {
        let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
        for (hours, share) in &delay.curve {
            path.push_str(&format!("H{:.1}V{:.1}", x(*hours), y(*share)));
        }
        path.push_str(&format!("H{:.1}", x(336.0)));
        page.push_str(&format!("<path class=\"{class} curve\" d=\"{path}\"/>"));
        let top = 24.0 + 16.0 * row as f64;
        page.push_str(&format!(
            "<rect class=\"{class}\" x=\"76\" y=\"{:.1}\" width=\"14\" height=\"4\"/><text class=\"dark\" x=\"96\" y=\"{:.1}\">{name} ({} / {})</text>",
            top - 6.0,
            top,
            delay.found,
            delay.found + delay.missed
        ));
    }
    page.push_str("</svg>\n");
}
