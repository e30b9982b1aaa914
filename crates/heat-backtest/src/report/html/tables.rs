//! Tables of the page.

mod families;

pub(super) use self::families::{confusion, costs, injected};
use super::escaped;
use crate::report::{
    AlarmVerdict, EventVerdict, LocatedReport, LocationScore, Report,
    table::{minute, span},
};

/// Rows of one table; the JSON has all.
const ROWS_MAX: usize = 500;

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{:.0} %", 100.0 * value))
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{:.2} %", 100.0 * value))
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// A table; cells that begin with `<` are markup of our own, all others have been escaped.
fn table(page: &mut String, left: usize, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let class = |at: usize| if at < left { " class=\"l\"" } else { "" };
    page.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
    for (at, title) in head.iter().enumerate() {
        page.push_str(&format!("<th{}>{title}</th>", class(at)));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            page.push_str(&format!("<td{}>{cell}</td>", class(at)));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

fn rest(page: &mut String, count: usize) {
    if count > ROWS_MAX {
        page.push_str(&format!("<p class=\"faint\">+ {} (--format json)</p>\n", count - ROWS_MAX));
    }
}

pub(super) fn groups(page: &mut String, report: &Report) {
    page.push_str("<h2>分类成绩 · By class</h2>\n");
    let head = [
        "类别 class",
        "事件 events",
        "发现 found",
        "召回 recall",
        "精度 precision",
        "F0.5",
        "F1",
        "随机 chance (95 %)",
        "误报 false",
        "每月 per month (95 %)",
        "按 per",
    ];
    let groups = std::iter::once(&report.scores.losses).chain(&report.scores.classes);
    let rows = groups.map(|group| {
        let rate = &group.false_rate;
        let recall = percent(group.recall);
        let marked = match group.above_chance {
            Some(true) => format!("<span class=\"good\">{recall}</span>"),
            Some(false) => format!("<span class=\"bad\">{recall}</span>"),
            None => recall,
        };
        vec![
            escaped(&group.class),
            group.events.to_string(),
            group.found.to_string(),
            marked,
            percent(group.precision),
            number(group.f05, 2),
            number(group.f1, 2),
            format!("{} ({})", percent(group.chance_mean), percent(group.chance_quantile95)),
            group.false_alarms.to_string(),
            format!("{} ({} – {})", number(rate.per_month, 2), number(rate.low95, 2), number(rate.high95, 2)),
            if group.per == "station" { "站 station".to_owned() } else { "网 network".to_owned() },
        ]
    });
    table(page, 1, &head, rows);
    if !report.labelled {
        return;
    }
    let smallest: Vec<String> = report
        .scores
        .smallest_found
        .iter()
        .map(|s| format!("{} {} ({} / {})", span(Some(s.within_h)), share(s.share), s.found, s.events))
        .collect();
    page.push_str(&format!(
        "<p>半数可发现的最小突发失水（占循环流量） · smallest sudden loss found by half, share of circulation: {}; \
         缓慢泄漏被发现时 growing losses when found: {}</p>\n<p>s 达到 1 后 24 h 内发现的失水 losses found within 24 h of s = 1: {} / {}; 实测时延 measured delay ÷ 13 h/s²: {}</p>\n",
        smallest.join(" · "),
        share(report.scores.incipient_share_when_found),
        report.scores.detectable_found_24h,
        report.scores.detectable,
        number(report.scores.delay_over_theory_median, 2)
    ));
}

pub(super) fn location(page: &mut String, report: &Report) {
    if report.scores.location.iter().all(|location| location.at_emission.events == 0) {
        return;
    }
    page.push_str(
        "<h2>定位 · Location</h2>\n<p class=\"faint\">沿管沟的米数 · metres of trench; 先验 prior: 管长与管龄 length and age; \
         搜索比例 search fraction: 随机 chance 0.5.</p>\n",
    );
    let head = [
        "类别 class",
        "时刻 when",
        "事件 events",
        "距离 distance",
        "≤ 100 m",
        "≤ 300 m",
        "前 top 1",
        "3",
        "5",
        "侧别 side right (said)",
        "搜索 search",
    ];
    let row = |class: &str, when: &str, score: &LocationScore| {
        vec![
            class.to_owned(),
            when.to_owned(),
            score.events.to_string(),
            score.median_distance_m.map_or_else(|| "–".to_owned(), |m| format!("{m:.0} m")),
            percent(score.hit_100m),
            percent(score.hit_300m),
            percent(score.top_1),
            percent(score.top_3),
            percent(score.top_5),
            format!("{} ({})", percent(score.side_right), percent(score.side_said)),
            number(score.median_search_fraction, 2),
        ]
    };
    let rows = report.scores.location.iter().filter(|location| location.at_emission.events > 0).flat_map(
        |location| {
            let (class, later) = if location.class == "burst" {
                ("爆管 burst", "10 min 后 later")
            } else {
                ("泄漏 leak", "24 h 后 later")
            };
            [
                row(class, "发出时 raised", &location.at_emission),
                row(class, later, &location.later),
                row(class, "先验 prior", &location.prior),
            ]
        },
    );
    table(page, 2, &head, rows);
}

fn place(located: Option<LocatedReport>) -> String {
    located.map_or_else(
        || "–".to_owned(),
        |located| {
            let metres = located.distance_m.map_or_else(|| "–".to_owned(), |m| format!("{m:.0} m"));
            format!("{metres} · {:.2}", located.search_fraction)
        },
    )
}

pub(super) fn events(page: &mut String, report: &Report) {
    if report.events.is_empty() {
        return;
    }
    page.push_str("<h2>标注事件 · Labelled events</h2>\n");
    let head = [
        "事件 event",
        "类别 class",
        "网 network",
        "开始 onset (UTC)",
        "位置 place",
        "kg/s",
        "报 said",
        "后报 said later",
        "占比 share",
        "s",
        "发现 found after",
        "失水 lost m³",
        "定位 off · search",
        "后 later",
    ];
    let rows = report.events.iter().take(ROWS_MAX).map(|event| {
        let verdict = match (event.verdict, &event.found_as) {
            (EventVerdict::Found, _) => format!("<span class=\"good\">{}</span>", span(event.delay_h)),
            (EventVerdict::Missed, Some(class)) => {
                format!("<span class=\"bad\">漏 missed (said {})</span>", escaped(class))
            }
            (EventVerdict::Missed, None) => "<span class=\"bad\">漏 missed</span>".to_owned(),
            (EventVerdict::Unscored, _) => "未计分 not scored".to_owned(),
        };
        vec![
            escaped(&event.event),
            escaped(&event.class),
            escaped(&event.network),
            escaped(&minute(&event.start)),
            // A signal's network stands in its own column.
            escaped(event.place.strip_prefix(&format!("{}/", event.network)).unwrap_or(&event.place)),
            number(event.size_kg_s, 2),
            number(event.said_kg_s, 2),
            number(event.said_later_kg_s, 2),
            share(event.share),
            number(event.detectability, 1),
            verdict,
            number(event.lost_m3, 1),
            place(event.located),
            place(event.located_later),
        ]
    });
    table(page, 5, &head, rows);
    rest(page, report.events.len());
}

pub(super) fn alarms(page: &mut String, report: &Report) {
    page.push_str(if report.labelled {
        "<h2>误报 · False alarms</h2>\n"
    } else {
        "<h2>告警 · Alarms</h2>\n"
    });
    let wanted: Vec<_> = report
        .alarms
        .iter()
        .filter(|alarm| matches!(alarm.verdict, AlarmVerdict::False | AlarmVerdict::Unlabelled))
        .collect();
    if wanted.is_empty() {
        page.push_str("<p>无 none</p>\n");
        return;
    }
    let head =
        ["发出 emitted (UTC)", "类别 class", "级 priority", "网 network", "位置 place", "说明 text", "kg/s"];
    let rows = wanted.iter().take(ROWS_MAX).map(|alarm| {
        let kind = alarm.kind.as_ref().map_or_else(String::new, |kind| format!("({kind})"));
        vec![
            escaped(&minute(&alarm.emitted)),
            escaped(&format!("{}{kind}", alarm.class)),
            alarm.priority.clone(),
            escaped(&alarm.network),
            escaped(alarm.place.as_deref().unwrap_or("–")),
            format!("<span title=\"{}\">{}</span>", escaped(&alarm.text_en), escaped(&alarm.text_zh)),
            number(alarm.size_kg_s, 2),
        ]
    });
    table(page, 6, &head, rows);
    rest(page, wanted.len());
}

pub(super) fn networks(page: &mut String, report: &Report) {
    page.push_str("<h2>各网可发现的最小失水 · Smallest losses by network</h2>\n");
    let head = [
        "网 network",
        "月 months",
        "循环 circulation kg/s",
        "噪声 noise kg/s",
        "24 h 理论 by noise",
        "t/h",
        "24 h 已发现最小 found",
        "t/h",
        "最大漏报 largest missed t/h",
        "误报 false pages",
    ];
    let rows = report.scores.networks.iter().take(ROWS_MAX).map(|network| {
        vec![
            escaped(&network.network),
            format!("{:.2}", network.months),
            format!("{:.1}", network.circulation_kg_s),
            number(network.noise_kg_s, 4),
            share(network.smallest_by_noise_share),
            number(network.smallest_by_noise_t_h, 2),
            share(network.smallest_found_share),
            number(network.smallest_found_t_h, 2),
            number(network.largest_missed_t_h, 2),
            network.false_pages.to_string(),
        ]
    });
    table(page, 1, &head, rows);
    rest(page, report.scores.networks.len());
}

pub(super) fn coverage(page: &mut String, report: &Report) {
    page.push_str("<h2>未能判断的内容 · What could not be judged</h2>\n");
    let coverage = &report.coverage;
    let head =
        ["网 network", "模型 plant model", "检测器 detector", "就绪 ready", "学习 learning", "原因 why"];
    let rows = coverage.networks.iter().take(ROWS_MAX).flat_map(|network| {
        network.detectors.iter().map(|detector| {
            vec![
                escaped(&network.network),
                escaped(&network.level),
                escaped(&detector.detector),
                percent(Some(detector.ready_share)),
                percent(Some(detector.learning_share)),
                escaped(if detector.why.is_empty() { "–" } else { &detector.why }),
            ]
        })
    });
    table(page, 3, &head, rows);
    page.push_str("<ul>\n");
    for network in coverage.networks.iter().filter(|network| !network.level_lacks.is_empty()) {
        page.push_str(&format!(
            "<li>{} ({}): {}</li>\n",
            escaped(&network.network),
            network.level,
            escaped(&network.level_lacks)
        ));
    }
    for (count, what) in [
        (coverage.late, "迟到，未参与实时判断 too late for live detection"),
        (coverage.bad, "坏值 bad"),
        (coverage.clock, "时钟错误 from wrong clocks"),
        (coverage.repeats, "重复 exact repeats"),
        (coverage.unused, "名称未被任何检测器使用 of names that no detector uses"),
    ] {
        if count > 0 {
            page.push_str(&format!("<li>{count} 条读数 readings: {what}</li>\n"));
        }
    }
    if !coverage.unused_names.is_empty() {
        page.push_str(&format!(
            "<li>未使用的名称 names not used: {}</li>\n",
            escaped(&coverage.unused_names.join(", "))
        ));
    }
    if !coverage.classes_never_raised.is_empty() {
        page.push_str(&format!(
            "<li>从未告警的标注类别 labelled classes never raised: {}</li>\n",
            escaped(&coverage.classes_never_raised.join(", "))
        ));
    }
    for note in &coverage.notes {
        page.push_str(&format!("<li>{}</li>\n", escaped(note)));
    }
    page.push_str("</ul>\n");
}
