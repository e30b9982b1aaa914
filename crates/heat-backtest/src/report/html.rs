//! The report as one HTML page: readable without a network, a script or another file, and printable.
//!
//! Plots are inline SVG. Colours are those of `style`, the same in all plots; what a colour says is also said by a
//! form or a word.

mod map;
mod page;
mod panels;
mod plots;
mod tables;

use heat_model::plant::PlantModel;

use super::Report;
use crate::run::Record;

/// One page. `record` gives the water balance's course and `plant` the coordinates of the map.
pub fn html(report: &Report, record: &Record, plant: &PlantModel) -> String {
    let mut page = String::with_capacity(1 << 18);
    page.push_str(page::HEAD);
    page::title(&mut page, report);
    page::cards(&mut page, report);
    plots::timelines(&mut page, report, record);
    if report.labelled {
        plots::delays(&mut page, report);
    }
    tables::groups(&mut page, report);
    tables::confusion(&mut page, report);
    tables::injected(&mut page, report);
    tables::location(&mut page, report);
    tables::events(&mut page, report);
    tables::alarms(&mut page, report);
    tables::costs(&mut page, report);
    tables::networks(&mut page, report);
    panels::panels(&mut page, report, record, plant);
    tables::coverage(&mut page, report);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// Text as HTML and XML take it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The style class of an incident class.
fn style(class: &str) -> &'static str {
    match heat_detect::scoring::base(class) {
        "burst" => "burst",
        "leak_abrupt" => "abrupt",
        "leak_incipient" => "incipient",
        _ => "other",
    }
}
