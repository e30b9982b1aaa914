//! Head, title and the first figures.

use super::escaped;
use crate::report::{
    Report,
    table::{minute, span},
};

pub(super) const HEAD: &str = r#"<!DOCTYPE html>
<html lang="zh">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>heatstream 回测 · backtest</title>
<style>
:root { --burst: #c0272d; --abrupt: #e07b00; --incipient: #b8960c; --other: #5b7083; --ink: #1d2730; --faint: #6a7782;
  --line: #d9dfe4; --good: #1f7a4d; --water: #1667a8; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 15px/1.5 "Noto Sans", "Noto Sans CJK SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei", system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 2px; } h2 { font-size: 18px; margin: 34px 0 8px; border-bottom: 2px solid var(--line); padding-bottom: 4px; }
h3 { font-size: 15px; margin: 18px 0 4px; } p { margin: 4px 0; } .faint { color: var(--faint); }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 18px; }
.card { flex: 1 1 215px; border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; break-inside: avoid; }
.card b { display: block; font-size: 26px; line-height: 1.25; } .card span { color: var(--faint); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 8px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--faint); font-weight: 600; white-space: normal; vertical-align: bottom; } th.l, td.l { text-align: left; }
tr { break-inside: avoid; } .bad { color: var(--burst); font-weight: 600; } .good { color: var(--good); font-weight: 600; }
svg { display: block; width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--faint); font-family: inherit; }
svg text.dark { fill: var(--ink); }
.axis { stroke: var(--line); stroke-width: 1; fill: none; } .warm { fill: #eef1f4; }
.burst { fill: var(--burst); stroke: var(--burst); } .abrupt { fill: var(--abrupt); stroke: var(--abrupt); }
.incipient { fill: var(--incipient); stroke: var(--incipient); } .other { fill: var(--other); stroke: var(--other); }
.hollow { fill: #fff; stroke-width: 1.6; } .curve { fill: none; stroke-width: 2; }
.water { fill: none; stroke: var(--water); stroke-width: 1.2; } .residual { fill: none; stroke: #7a4fa3; stroke-width: 1.1; }
.zero { stroke: var(--faint); stroke-dasharray: 3 3; stroke-width: .8; } .mark { stroke-width: 1.4; stroke-dasharray: 5 3; }
.pipe { fill: none; stroke: #c3ccd3; stroke-width: 1.6; } .truth { fill: none; stroke: var(--ink); stroke-width: 9; stroke-opacity: .22; }
.candidate { fill: none; stroke: var(--burst); stroke-linecap: round; } .source { fill: var(--water); } .station { fill: #9aa7b1; }
.panel { break-inside: avoid; border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; margin: 10px 0; }
.panel h3 { margin: 0 0 6px; } .panel p { font-size: 13px; } .pair { display: flex; flex-wrap: wrap; gap: 14px; align-items: flex-start; }
.pair > :first-child { flex: 3 1 380px; width: 380px; } .pair > :last-child { flex: 2 1 250px; width: 250px; }
@page { margin: 13mm; }
@media print { main { max-width: none; padding: 0; } .scroll { overflow: visible; } th, td { padding: 1px 3px; white-space: normal; }
  table { font-size: 8.5px; } body { font-size: 12px; } .pair > :first-child { width: 58%; flex: none; } .pair > :last-child { width: 38%; flex: none; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
</style>
</head>
<body>
<main>
"#;

pub(super) fn title(page: &mut String, report: &Report) {
    page.push_str("<h1>回测报告 · Backtest</h1>\n");
    let names: Vec<String> =
        report.coverage.networks.iter().take(12).map(|network| escaped(&network.network)).collect();
    let more = report.coverage.networks.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" + {more}") } else { String::new() };
    let when = report.span.as_ref().map_or_else(String::new, |span| {
        format!("{} – {} UTC · ", escaped(&minute(&span.from)), escaped(&minute(&span.to)))
    });
    page.push_str(&format!(
        "<p class=\"faint\">{when}{}{more} · 计分 {:.1} 网·月 scored network-months · {} 条读数 readings</p>\n",
        names.join(", "),
        report.scores.network_months,
        report.coverage.readings
    ));
    if !report.labelled {
        page.push_str(
            "<p>没有事件标签：以下告警未经核实。 No labels were given: these alarms would have been raised; nobody says \
             which were true.</p>\n",
        );
    }
}

fn card(page: &mut String, title: &str, value: &str, below: &str) {
    page.push_str(&format!("<div class=\"card\">{title}<b>{value}</b><span>{below}</span></div>\n"));
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{:.0} %", 100.0 * value))
}

fn two(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

pub(super) fn cards(page: &mut String, report: &Report) {
    let scores = &report.scores;
    page.push_str("<div class=\"cards\">\n");
    if report.labelled {
        let losses = &scores.losses;
        let chance = match losses.above_chance {
            Some(true) => "高于随机 above chance",
            Some(false) => "不高于随机 NOT above chance",
            None => "",
        };
        card(
            page,
            "发现的失水事件 · losses found",
            &format!("{} / {}", losses.found, losses.events),
            &format!(
                "随机线 chance {} (95 %: {}) {chance}",
                percent(losses.chance_mean),
                percent(losses.chance_quantile95)
            ),
        );
    }
    let budget = &scores.budget;
    let (title, promise) = if report.labelled {
        ("误报（P1、P2） · false pages", format!("承诺 promised ≤ {}", budget.promised_per_network_month))
    } else {
        ("告警（P1、P2） · pages", String::new())
    };
    card(
        page,
        title,
        &format!("{} <small>/ 网·月</small>", two(budget.measured.per_month)),
        &format!(
            "{} 次 · 95 %: {} – {} · {promise}",
            budget.measured.count,
            two(budget.measured.low95),
            two(budget.measured.high95)
        ),
    );
    card(
        page,
        &format!("前 {0:.0} 天的告警（不计分） · pages within the first {0:.0} days", scores.warm_up_days),
        &scores.warm_up_pages.to_string(),
        &format!("其中无对应标注 in no labelled event: {}", scores.warm_up_pages_unexplained),
    );
    for row in budget.by_priority.iter().skip(1) {
        card(
            page,
            &format!("{} {}", if report.labelled { "误报 · false" } else { "告警 · alarms" }, row.priority),
            &format!(
                "{} <small>/ {}</small>",
                two(row.measured.per_month),
                if row.per == "station" { "站·月" } else { "网·月" }
            ),
            &format!("{} 次 · 承诺 promised ≤ {}", row.measured.count, row.promised),
        );
    }
    if report.labelled {
        for (title, delay) in [
            ("爆管、突发泄漏时延 · delay, sudden", &scores.delay_abrupt),
            ("缓慢泄漏时延 · delay, incipient", &scores.delay_incipient),
        ] {
            card(
                page,
                title,
                &span(delay.median_h),
                &format!("中位 median · 90 %: {} · {} 漏 missed", span(delay.p90_h), delay.missed),
            );
        }
        for location in scores.location.iter().filter(|location| location.later.events > 0) {
            let title = if location.class == "burst" {
                "爆管定位（10 min 后） · place of bursts"
            } else {
                "泄漏定位（24 h 后） · place of leaks"
            };
            let metres = location
                .later
                .median_distance_m
                .map_or_else(|| "–".to_owned(), |metres| format!("{metres:.0} m"));
            card(
                page,
                title,
                &metres,
                &format!(
                    "搜索比例 search {} · 先验 prior {}",
                    two(location.later.median_search_fraction),
                    two(location.prior.median_search_fraction)
                ),
            );
        }
        let lost = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"));
        card(
            page,
            "发现前失水 · lost before detection",
            &format!("{} m³", lost(scores.lost_before_detection_m3)),
            &format!("未发现的 undetected: {} m³", lost(scores.lost_undetected_m3)),
        );
    }
    page.push_str("</div>\n");
}
