//! The confusion matrix and the injected faults.

use super::{Report, line, percent, span};
use crate::report::Proportion;

/// Events shown one by one.
const ROWS_MAX: usize = 40;

/// `31 of 34 = 91 % (77 to 97)`.
pub(in crate::report) fn told(share: &Proportion) -> String {
    let limit = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{:.0}", 100.0 * v));
    format!(
        "{} of {} = {} ({} to {})",
        share.part,
        share.whole,
        percent(share.share),
        limit(share.low95),
        limit(share.high95)
    )
}

pub(super) fn confusion(out: &mut String, report: &Report) {
    let Some(confusion) = report.confusion.as_ref().filter(|c| c.rows.iter().any(|row| row.events > 0))
    else {
        return;
    };
    line(out, "what it was  events  named first: sensor consumer network   leak   none (not judgeable)");
    for row in &confusion.rows {
        line(
            out,
            &format!(
                "{:<12} {:>6}  {:>19} {:>8} {:>7} {:>6} {:>6} {:>16}",
                row.truth,
                row.events,
                row.sensor,
                row.consumer,
                row.network,
                row.leak,
                row.none,
                format!("({})", row.not_judgeable)
            ),
        );
    }
    line(
        out,
        &format!(
            "Named {}; of those the data could show {}",
            told(&confusion.named),
            told(&confusion.named_of_judgeable)
        ),
    );
    line(
        out,
        &format!(
            "First name right {}; a loss named for another cause {}, another cause for a loss {}",
            told(&confusion.right),
            confusion.leak_for_temperature,
            confusion.temperature_for_leak
        ),
    );
    let odd: Vec<String> = confusion
        .events
        .iter()
        .filter_map(|event| {
            let place = event.place.strip_prefix(&format!("{}/", event.network)).unwrap_or(&event.place);
            let head = format!("  {} {} {}, {place}:", event.network, event.event, event.class);
            match (&event.said, &event.not_judgeable) {
                (Some(said), _) if *said != event.truth => Some(format!("{head} named {said} first")),
                (Some(_), _) if event.also.contains(&"leak") => Some(format!("{head} named leak as well")),
                (None, Some(why)) => Some(format!("{head} not judgeable: {why}")),
                (Some(_) | None, _) => None,
            }
        })
        .collect();
    for text in odd.iter().take(ROWS_MAX) {
        line(out, text);
    }
    super::more(out, odd.len().saturating_sub(ROWS_MAX) + super::ROWS_MAX, "events named otherwise");
}

pub(super) fn injected(out: &mut String, report: &Report) {
    let Some(injected) = &report.injected else { return };
    let seeds: Vec<String> = injected.seeds.iter().map(u64::to_string).collect();
    line(
        out,
        &format!(
            "Injected faults, seeds {}; {} times the site delivered no heat and got none",
            seeds.join(", "),
            injected.empty_slots
        ),
    );
    line(
        out,
        "kind      size          found (95 %)                 chance (95 %)  kind right  misnamed  not judgeable  median delay",
    );
    for row in injected.rows.iter().filter(|row| row.found.whole > 0) {
        line(
            out,
            &format!(
                "{:<9} {:<12}  {:<29} {:>5} {:>7}  {:>10} {:>9} {:>14}  {:>12}",
                row.kind,
                row.size.map_or_else(|| "all".to_owned(), |size| format!("{size} {}", row.unit)),
                told(&row.found),
                percent(row.chance_mean),
                format!("({})", percent(row.chance_quantile95)),
                row.kind_right,
                row.misnamed,
                row.not_judgeable,
                span(row.median_delay_h),
            ),
        );
    }
    out.push('\n');
}
