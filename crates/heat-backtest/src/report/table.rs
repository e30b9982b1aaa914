//! The report for a terminal: what was found, what not, what was false, and how far the figures can be trusted.

mod families;

use heat_detect::scoring::is_loss;

pub(super) use self::families::told;
use self::families::{confusion, injected};
use super::{
    AlarmReport, AlarmVerdict, EventReport, EventVerdict, GroupScore, Location, LocationScore, Report,
};

/// Rows of alarms and of events that are shown; the JSON has all.
const ROWS_MAX: usize = 60;

/// Plain text, at most about 120 columns.
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    if report.labelled {
        groups(&mut out, report);
        delays(&mut out, report);
        places(&mut out, report);
        events(&mut out, report);
    } else {
        line(
            &mut out,
            "No labels were given: these alarms would have been raised; nobody says which were true.",
        );
        groups(&mut out, report);
    }
    confusion(&mut out, report);
    injected(&mut out, report);
    alarms(&mut out, report);
    costs(&mut out, report);
    networks(&mut out, report);
    coverage(&mut out, report);
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn head(out: &mut String, report: &Report) {
    let scores = &report.scores;
    if let Some(span) = &report.span {
        line(out, &format!("Backtest {} to {}", minute(&span.from), minute(&span.to)));
    }
    line(
        out,
        &format!(
            "{} networks, {:.1} scored network-months (of each network the first {:.0} days are not scored), {} readings",
            report.coverage.networks.len(),
            scores.network_months,
            scores.warm_up_days,
            report.coverage.readings
        ),
    );
    line(
        out,
        &format!(
            "Pages within the first {:.0} days: {}, {} of them{}",
            scores.warm_up_days,
            scores.warm_up_pages,
            scores.warm_up_pages_unexplained,
            if report.labelled { " in no labelled event" } else { " unlabelled" }
        ),
    );
    for row in &scores.budget.by_priority {
        line(
            out,
            &format!(
                "{} {}: {} = {} per {}-month (95 %: {} to {}); promised at most {}{}",
                if report.labelled { "False" } else { "Alarms" },
                row.priority,
                row.measured.count,
                two(row.measured.per_month),
                row.per,
                two(row.measured.low95),
                two(row.measured.high95),
                row.promised,
                if row.kept == Some(false) { ": not kept" } else { "" }
            ),
        );
    }
    line(out, "");
}

/// `2026-01-18 03:38` of an RFC 3339 text.
pub(super) fn minute(text: &str) -> String {
    text.get(..16).unwrap_or(text).replace('T', " ")
}

fn two(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.0} %", 100.0 * value))
}

/// Hours as what reads best.
pub(super) fn span(hours: Option<f64>) -> String {
    match hours {
        None => "-".to_owned(),
        Some(h) if h < 1.0 / 60.0 => format!("{:.0} s", h * 3_600.0),
        Some(h) if h < 2.0 => format!("{:.0} min", h * 60.0),
        Some(h) if h < 72.0 => format!("{h:.1} h"),
        Some(h) => format!("{:.1} d", h / 24.0),
    }
}

fn groups(out: &mut String, report: &Report) {
    line(
        out,
        "class               events found  recall precision   F0.5     F1   chance (95 %)  false  per month (95 %)",
    );
    for group in std::iter::once(&report.scores.losses).chain(&report.scores.classes) {
        line(out, &group_row(group));
    }
    out.push('\n');
}

fn group_row(group: &GroupScore) -> String {
    let rate = &group.false_rate;
    format!(
        "{:<19} {:>6} {:>5} {:>7} {:>9} {:>6} {:>6}   {:>6} {:>7} {:>6}  {} ({} to {}) /{}{}",
        group.class,
        group.events,
        group.found,
        percent(group.recall),
        percent(group.precision),
        two(group.f05),
        two(group.f1),
        percent(group.chance_mean),
        percent(group.chance_quantile95),
        group.false_alarms,
        two(rate.per_month),
        two(rate.low95),
        two(rate.high95),
        group.per,
        if group.above_chance == Some(false) { "  not above chance" } else { "" },
    )
}

fn delays(out: &mut String, report: &Report) {
    let scores = &report.scores;
    for (name, delay) in
        [("bursts and abrupt leaks", &scores.delay_abrupt), ("incipient leaks", &scores.delay_incipient)]
    {
        line(
            out,
            &format!(
                "Delay, {name}: median {}, 90 % within {} (Kaplan-Meier, {} found, {} missed)",
                span(delay.median_h),
                span(delay.p90_h),
                delay.found,
                delay.missed
            ),
        );
    }
    line(
        out,
        &format!(
            "Water lost before detection {} m3; by losses not found {} m3",
            one(scores.lost_before_detection_m3),
            one(scores.lost_undetected_m3)
        ),
    );
    let smallest: Vec<String> = scores
        .smallest_found
        .iter()
        .map(|s| format!("{} {} ({}/{})", span(Some(s.within_h)), share(s.share), s.found, s.events))
        .collect();
    line(
        out,
        &format!("Smallest sudden loss found by half, share of circulation: within {}", smallest.join(", ")),
    );
    line(
        out,
        &format!(
            "Growing losses when found: median {} of circulation",
            share(scores.incipient_share_when_found)
        ),
    );
    line(
        out,
        &format!(
            "Losses that reach s = 1: {} of {} found within 24 h of it; measured delay over 13 h/s2: median {}",
            scores.detectable_found_24h,
            scores.detectable,
            two(scores.delay_over_theory_median)
        ),
    );
    let sizes: Vec<String> = scores
        .sizes
        .iter()
        .map(|s| {
            format!("{} {} when raised, {} later ({})", s.class, two(s.at_emission), two(s.later), s.events)
        })
        .collect();
    line(out, &format!("Estimated over true size, median: {}", sizes.join("; ")));
    line(out, &format!("Found losses told as one incident: {} of {}", scores.told_once, scores.told));
    let (once, told) = (scores.causes_told_once, scores.causes_told);
    line(out, &format!("Found events of every class told as one incident: {once} of {told}\n"));
}

fn one(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.2} %", 100.0 * value))
}

fn places(out: &mut String, report: &Report) {
    if report.scores.location.iter().all(|location| location.at_emission.events == 0) {
        return;
    }
    line(
        out,
        "place               events  distance  <=100 m <=300 m   top 1   top 3   top 5  side right (said)  search fraction",
    );
    for Location { class, at_emission, later, prior } in &report.scores.location {
        let minutes = if class == "burst" { "10 min later" } else { "24 h later" };
        for (when, score) in [("when raised", at_emission), (minutes, later), ("prior", prior)] {
            if score.events > 0 {
                line(out, &place_row(&format!("{class}, {when}"), score));
            }
        }
    }
    out.push('\n');
}

fn place_row(name: &str, score: &LocationScore) -> String {
    let metres = score.median_distance_m.map_or_else(|| "-".to_owned(), |m| format!("{m:.0} m"));
    format!(
        "{name:<19} {:>6} {metres:>9}  {:>7} {:>7} {:>7} {:>7} {:>7}  {:>9} {:>8}  {:>8}",
        score.events,
        percent(score.hit_100m),
        percent(score.hit_300m),
        percent(score.top_1),
        percent(score.top_3),
        percent(score.top_5),
        percent(score.side_right),
        format!("({})", percent(score.side_said)),
        two(score.median_search_fraction),
    )
}

fn events(out: &mut String, report: &Report) {
    line(
        out,
        "event     class                        network        onset             place      kg/s    share      s  found after",
    );
    // Losses first: they are what pages.
    let (losses, others): (Vec<&EventReport>, Vec<&EventReport>) =
        report.events.iter().partition(|event| is_loss(&event.class));
    let scored = |event: &&&EventReport| event.verdict != EventVerdict::Unscored;
    let shown: Vec<&&EventReport> = losses.iter().chain(others.iter().filter(scored)).collect();
    for event in shown.iter().take(ROWS_MAX) {
        line(out, &event_row(event));
    }
    more(out, shown.len(), "events");
}

fn event_row(event: &EventReport) -> String {
    let verdict = match (event.verdict, &event.found_as) {
        (EventVerdict::Found, _) => span(event.delay_h),
        (EventVerdict::Missed, Some(class)) => format!("MISSED (said {class})"),
        (EventVerdict::Missed, None) => "MISSED".to_owned(),
        (EventVerdict::Unscored, _) => "not scored".to_owned(),
    };
    let place = event.located_later.map_or_else(String::new, |located| {
        let metres = located.distance_m.map_or_else(|| "no place".to_owned(), |m| format!("{m:.0} m off"));
        format!(", {metres}, search {:.2}", located.search_fraction)
    });
    format!(
        "{:<9} {:<28} {:<14} {}  {:<8} {:>6} {:>8} {:>6}  {verdict}{place}",
        event.event,
        event.class,
        event.network,
        minute(&event.start),
        // A signal's network stands in its own column.
        event.place.strip_prefix(&format!("{}/", event.network)).unwrap_or(&event.place),
        two(event.size_kg_s),
        share(event.share),
        one(event.detectability),
    )
}

fn more(out: &mut String, count: usize, what: &str) {
    if count > ROWS_MAX {
        line(out, &format!("... and {} more {what}; --format json has all", count - ROWS_MAX));
    }
    out.push('\n');
}

fn alarms(out: &mut String, report: &Report) {
    let wanted =
        |alarm: &&AlarmReport| matches!(alarm.verdict, AlarmVerdict::False | AlarmVerdict::Unlabelled);
    let shown: Vec<&AlarmReport> = report.alarms.iter().filter(wanted).collect();
    if shown.is_empty() {
        line(out, if report.labelled { "No false alarm.\n" } else { "No alarm.\n" });
        return;
    }
    line(
        out,
        if report.labelled {
            "false alarm       class               pri network        place     kg/s  strength  by"
        } else {
            "alarm             class               pri network        place     kg/s  strength  by"
        },
    );
    for alarm in shown.iter().take(ROWS_MAX) {
        line(
            out,
            &format!(
                "{}  {:<19} {:<3} {:<14} {:<8} {:>5} {:>9}  {}{}",
                minute(&alarm.emitted),
                alarm.class,
                alarm.priority,
                alarm.network,
                alarm.place.as_deref().unwrap_or("-"),
                two(alarm.size_kg_s),
                one(Some(alarm.strength)),
                alarm.detector,
                if alarm.during.is_empty() {
                    String::new()
                } else {
                    format!(", during {}", alarm.during.join("; "))
                }
            ),
        );
    }
    more(out, shown.len(), "alarms");
}

/// Stations told in the table.
const COSTS_MAX: usize = 10;

fn costs(out: &mut String, report: &Report) {
    if report.costs.is_empty() {
        return;
    }
    line(out, "Stations by what their named faults cost, the worst first");
    for cost in report.costs.iter().take(COSTS_MAX) {
        line(
            out,
            &format!(
                "  {} {}: {:.0} m3 pumped and {:.1} GJ delivered for nothing in {}, capacity {:.1} GJ",
                cost.network,
                cost.site,
                cost.excess_m3,
                cost.excess_gj,
                span(Some(cost.hours)),
                cost.capacity_gj
            ),
        );
    }
    out.push('\n');
}

fn networks(out: &mut String, report: &Report) {
    line(
        out,
        "network        level months  circulation   noise     smallest in 24 h by noise   smallest found   largest missed",
    );
    for network in report.scores.networks.iter().take(ROWS_MAX) {
        let level = report
            .coverage
            .networks
            .iter()
            .find(|covered| covered.network == network.network)
            .map_or("-", |covered| covered.level.as_str());
        line(
            out,
            &format!(
                "{:<14} {level:<5} {:>6.2} {:>7.1} kg/s {:>8} {:>9} {:>11}  {:>8} {:>11}  {:>11}",
                network.network,
                network.months,
                network.circulation_kg_s,
                network.noise_kg_s.map_or_else(|| "-".to_owned(), |noise| format!("{noise:.4}")),
                share(network.smallest_by_noise_share),
                tonnes(network.smallest_by_noise_t_h),
                share(network.smallest_found_share),
                tonnes(network.smallest_found_t_h),
                tonnes(network.largest_missed_t_h),
            ),
        );
    }
    more(out, report.scores.networks.len(), "networks");
}

fn tonnes(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2} t/h"))
}

fn coverage(out: &mut String, report: &Report) {
    line(out, "What could not be judged");
    for network in report.coverage.networks.iter().take(ROWS_MAX) {
        for detector in network.detectors.iter().filter(|detector| !detector.why.is_empty()) {
            line(out, &format!("  {}, {}: {}", network.network, detector.detector, detector.why));
        }
        if !network.level_lacks.is_empty() {
            line(
                out,
                &format!("  {}, plant model {}: {}", network.network, network.level, network.level_lacks),
            );
        }
        if !network.sites_not_in_plant.is_empty() {
            let sites = network.sites_not_in_plant.join(", ");
            line(out, &format!("  {}: not in the plant model: {sites}", network.network));
        }
    }
    let coverage = &report.coverage;
    let counts = [
        (coverage.late, "readings came too late for live detection"),
        (coverage.bad, "readings were bad"),
        (coverage.clock, "readings came from wrong clocks"),
        (coverage.repeats, "readings were exact repeats"),
        (coverage.unused, "readings have names that no detector uses"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        line(out, &format!("  {count} {what}"));
    }
    if !coverage.unused_names.is_empty() {
        line(
            out,
            &format!(
                "  names known to no rule, so used only for how the signals of their site move together: {}",
                coverage.unused_names.join(", ")
            ),
        );
    }
    if !coverage.classes_never_raised.is_empty() {
        line(out, &format!("  labelled classes never raised: {}", coverage.classes_never_raised.join(", ")));
    }
    for note in &coverage.notes {
        line(out, &format!("  {note}"));
    }
}
