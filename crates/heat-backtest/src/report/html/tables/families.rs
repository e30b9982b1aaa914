//! The confusion matrix and the injected faults.

use super::{escaped, percent, table};
use crate::report::{
    Report,
    table::{span, told},
};

pub(in crate::report::html) fn confusion(page: &mut String, report: &Report) {
    let Some(confusion) = report.confusion.as_ref().filter(|c| c.rows.iter().any(|row| row.events > 0))
    else {
        return;
    };
    page.push_str("<h2>误认矩阵 · What was taken for what</h2>\n");
    let word = |truth: &str| match truth {
        "sensor" => "传感器 sensor",
        "consumer" => "热力站/用户 consumer",
        "network" => "热网 network",
        "leak" => "失水 leak",
        _ => "无事件 none",
    };
    let head = [
        "实际 what it was",
        "事件 events",
        "先报为 named first: 传感器 sensor",
        "热力站/用户 consumer",
        "热网 network",
        "失水 leak",
        "未报 none",
        "无法判断 not judgeable",
    ];
    let rows = confusion.rows.iter().map(|row| {
        let cell = |of: &str, count: usize| {
            if count == 0 {
                "–".to_owned()
            } else if of == row.truth {
                format!("<span class=\"good\">{count}</span>")
            } else {
                format!("<span class=\"bad\">{count}</span>")
            }
        };
        vec![
            word(row.truth).to_owned(),
            row.events.to_string(),
            cell("sensor", row.sensor),
            cell("consumer", row.consumer),
            cell("network", row.network),
            cell("leak", row.leak),
            row.none.to_string(),
            row.not_judgeable.to_string(),
        ]
    });
    table(page, 1, &head, rows);
    page.push_str(&format!(
        "<p>已报 named: {}; 其中数据可判断者 of those the data could show: {}; 首报正确 first name right: {} \
         (Wilson 95 %). 他因误报为失水 a loss named for another cause: {}; 失水误报为他因 another cause for a loss: {}.</p>\n",
        told(&confusion.named),
        told(&confusion.named_of_judgeable),
        told(&confusion.right),
        confusion.leak_for_temperature,
        confusion.temperature_for_leak
    ));
    page.push_str("<ul>\n");
    for event in confusion.events.iter().filter(|event| event.not_judgeable.is_some()) {
        page.push_str(&format!(
            "<li>{} {} {} {}: 无法判断 not judgeable: {}</li>\n",
            escaped(&event.network),
            escaped(&event.event),
            escaped(&event.class),
            escaped(&event.place),
            escaped(event.not_judgeable.as_deref().unwrap_or_default())
        ));
    }
    page.push_str("</ul>\n");
}

pub(in crate::report::html) fn injected(page: &mut String, report: &Report) {
    let Some(injected) = &report.injected else { return };
    let seeds: Vec<String> = injected.seeds.iter().map(u64::to_string).collect();
    page.push_str(&format!(
        "<h2>注入故障 · Injected faults</h2>\n<p class=\"faint\">种子 seeds {}; 站点未供热而未注入 times a site delivered no heat \
         and got none: {}</p>\n",
        seeds.join(", "),
        injected.empty_slots
    ));
    let head = [
        "类型 kind",
        "大小 size",
        "发现 found (95 %)",
        "随机 chance (95 %)",
        "类型正确 kind right",
        "误认 misnamed",
        "无法判断 not judgeable",
        "时延中位数 median delay",
    ];
    let rows = injected.rows.iter().filter(|row| row.found.whole > 0).map(|row| {
        vec![
            row.kind.to_owned(),
            row.size.map_or_else(|| "全部 all".to_owned(), |size| format!("{size} {}", row.unit)),
            told(&row.found),
            format!("{} ({})", percent(row.chance_mean), percent(row.chance_quantile95)),
            row.kind_right.to_string(),
            row.misnamed.to_string(),
            row.not_judgeable.to_string(),
            span(row.median_delay_h),
        ]
    });
    table(page, 2, &head, rows);
}

pub(in crate::report::html) fn costs(page: &mut String, report: &Report) {
    if report.costs.is_empty() {
        return;
    }
    page.push_str("<h2>冬病夏治：按代价排序的热力站 · Stations by what their named faults cost</h2>\n");
    let head = [
        "网 network",
        "站 station",
        "多耗流量 pumped for nothing, m³",
        "多耗热量 delivered for nothing, GJ",
        "占用能力 capacity taken, GJ",
        "历时 lasted",
    ];
    let rows = report.costs.iter().take(super::ROWS_MAX).map(|cost| {
        vec![
            escaped(&cost.network),
            escaped(&cost.site),
            format!("{:.0}", cost.excess_m3),
            format!("{:.1}", cost.excess_gj),
            format!("{:.1}", cost.capacity_gj),
            span(Some(cost.hours)),
        ]
    });
    table(page, 2, &head, rows);
}
