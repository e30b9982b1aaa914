//! The start page: networks, open incidents, and where the API is. No script, nothing from elsewhere.

use std::fmt::Write as _;

use heat_view::board::{alarm_word, priority_word};

use crate::{
    json::{ApiTime, NetworkSummary},
    state::{ApiState, lock},
};

/// Incidents shown.
const SHOWN_MAX: usize = 100;

/// Language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Chinese,
    English,
}

impl Language {
    /// By the query, else by what the browser prefers; Chinese where neither says.
    pub(crate) fn of(query: Option<&str>, accept: Option<&str>) -> Self {
        let wanted = query.or(accept).unwrap_or("zh");
        if wanted.trim_start().to_ascii_lowercase().starts_with("en") { Self::English } else { Self::Chinese }
    }

    const fn pick(self, chinese: &'static str, english: &'static str) -> &'static str {
        match self {
            Self::Chinese => chinese,
            Self::English => english,
        }
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,'Noto Sans SC',sans-serif;margin:0 auto;max-width:72rem;\
padding:1rem;color:#1b1f24;background:#fff}h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin-top:2rem}\
header{display:flex;justify-content:space-between;align-items:baseline;gap:1rem;flex-wrap:wrap}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .6rem;\
border-bottom:1px solid #d0d7de;vertical-align:top}th{font-weight:600}.P1{color:#a40e26;font-weight:700}\
.P2{color:#8a4600;font-weight:700}a{color:#0550ae}@media(prefers-color-scheme:dark){body{color:#e6edf3;\
background:#0d1117}th,td{border-color:#3d444d}a{color:#79c0ff}.P1{color:#ff9492}.P2{color:#f0b72f}}";

/// Writes the page.
pub(crate) fn start(state: &ApiState, networks: &[NetworkSummary], language: Language) -> String {
    let t = |chinese, english| language.pick(chinese, english);
    let mut html = String::with_capacity(8 << 10);
    push(
        &mut html,
        format_args!(
            "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><meta http-equiv=\"refresh\" content=\"30\">\
         <title>{}</title><style>{STYLE}</style></head><body><header><h1>{}</h1>\
         <nav><a href=\"?lang=zh\" lang=\"zh\">中文</a> · <a href=\"?lang=en\" lang=\"en\">English</a></nav></header><main>",
            t("zh-CN", "en"),
            t("暖流 · 供热网监测", "heatstream · heat network"),
            t("暖流 · 供热网监测", "heatstream"),
        ),
    );
    incidents(&mut html, state, language);
    network_table(&mut html, networks, language);
    push(
        &mut html,
        format_args!(
            "<h2>{}</h2><p><a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a> · \
         <a href=\"/api/v1/incidents\">/api/v1/incidents</a> · <a href=\"/api/v1/networks\">/api/v1/networks</a></p>\
         </main></body></html>",
            t("接口", "API"),
        ),
    );
    html
}

fn incidents(html: &mut String, state: &ApiState, language: Language) {
    let t = |chinese, english| language.pick(chinese, english);
    let board = lock(&state.board);
    push(html, format_args!("<h2>{} ({})</h2>", t("未结事件", "Open incidents"), board.open().count()));
    if board.open().next().is_none() {
        push(html, format_args!("<p>{}</p>", t("没有未结事件。", "There is no open incident.")));
        return;
    }
    push(
        html,
        format_args!(
            "<div class=\"scroll\"><table><thead><tr><th>{}</th><th>{}</th><th>{}</th><th>{}</th><th>{}</th><th>{}</th></tr>\
         </thead><tbody>",
            t("级别", "Priority"),
            t("类型", "Class"),
            t("热网", "Network"),
            t("状态", "State"),
            t("发现时间", "Opened"),
            t("说明", "Text"),
        ),
    );
    for incident in board.open().take(SHOWN_MAX) {
        let priority = priority_word(incident.priority);
        let class = t(incident.class.chinese(), incident.class.as_str());
        let text = match language {
            Language::Chinese => &incident.text_zh,
            Language::English => &incident.text_en,
        };
        push(
            html,
            format_args!(
                "<tr><td class=\"{priority}\">{priority}</td><td><a href=\"/api/v1/incidents/{}\">{class}</a></td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{}</td></tr>",
                incident.id,
                escaped(incident.network.as_str()),
                alarm_word(incident.alarm),
                ApiTime::from_micros(incident.opened.as_micros()),
                escaped(text),
            ),
        );
    }
    html.push_str("</tbody></table></div>");
}

fn network_table(html: &mut String, networks: &[NetworkSummary], language: Language) {
    let t = |chinese, english| language.pick(chinese, english);
    push(
        html,
        format_args!(
            "<h2>{}</h2><div class=\"scroll\"><table><thead><tr><th>{}</th><th>{}</th><th>{}</th></tr></thead><tbody>",
            t("热网", "Networks"),
            t("热网", "Network"),
            t("有效测点 / 全部测点", "Current signals / all"),
            t("未结事件", "Open incidents"),
        ),
    );
    for network in networks.iter().take(SHOWN_MAX) {
        push(
            html,
            format_args!(
                "<tr><td>{}</td><td>{} / {}</td><td>{}</td></tr>",
                escaped(network.name.as_deref().unwrap_or(network.id.as_str())),
                network.signals_current,
                network.signals,
                network.incidents_open,
            ),
        );
    }
    html.push_str("</tbody></table></div>");
}

fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("writing to a string does not fail");
}

/// Text that stays text inside HTML, in elements and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("<script>'&\""), "&lt;script&gt;&#39;&amp;&quot;");
    }

    #[test]
    fn the_language_is_the_querys_then_the_browsers_then_chinese() {
        assert_eq!(Language::of(None, None), Language::Chinese);
        assert_eq!(Language::of(None, Some("en-GB,en;q=0.9")), Language::English);
        assert_eq!(Language::of(Some("zh"), Some("en")), Language::Chinese);
    }
}
