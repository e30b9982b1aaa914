//! One table for spreadsheets: a figure a row.

use super::{Lang, words};
use crate::{
    convert::Stretch,
    figure::{Id, count},
    peers::Peers,
    rooms::CommunityRow,
    shape::{Report, ScopeReport},
};

const HEADER: [&str; 11] = [
    "section",
    "scope_kind",
    "scope",
    "item",
    "title",
    "value",
    "unit",
    "numerator",
    "numerator_is",
    "denominator",
    "denominator_is",
];

/// A row before it is written.
struct Row<'a> {
    section: &'a str,
    scope: (&'a str, &'a str),
    item: &'a str,
    title: &'a str,
    value: Option<f64>,
    unit: &'a str,
    numerator: (Option<f64>, &'a str),
    denominator: (Option<f64>, &'a str),
}

struct Table(csv::Writer<Vec<u8>>);

impl Table {
    fn push(&mut self, row: &Row<'_>) {
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let cells = [
            row.section,
            row.scope.0,
            row.scope.1,
            row.item,
            row.title,
            &number(row.value),
            row.unit,
            &number(row.numerator.0),
            row.numerator.1,
            &number(row.denominator.0),
            row.denominator.1,
        ];
        self.0.write_record(cells).expect("writing into memory");
    }

    /// A row that counts and divides by nothing but the span.
    fn plain(
        &mut self,
        section: &str,
        scope: (&str, &str),
        item: &str,
        title: &str,
        value: Option<f64>,
        unit: &str,
    ) {
        let (numerator, denominator) = ((value, unit), (None, ""));
        self.push(&Row { section, scope, item, title, value, unit, numerator, denominator });
    }
}

pub(super) fn csv(report: &Report, lang: Lang) -> String {
    let mut table = Table(csv::Writer::from_writer(Vec::new()));
    table.0.write_record(HEADER).expect("writing into memory");
    for scope in &report.scopes {
        of_scope(&mut table, scope, lang);
    }
    for row in &report.stations.rows {
        let scope = ("station", row.station.as_str());
        let title = row.name.as_deref().unwrap_or("");
        let mut say = |item, value, unit| table.plain("stations", scope, item, title, value, unit);
        say("share", Some(row.share * 100.0), "%");
        say("incidents", Some(count(row.incidents)), "");
        say("fault_hours", Some(row.fault_hours), "h");
        say("excess_flow", Some(row.excess_flow_t), "t");
        say("excess_over_peers", row.excess_over_peers_t, "t");
        say("excess_heat", row.excess_heat_gj, "GJ");
        say("tickets", Some(count(row.tickets)), "");
    }
    of_peers(&mut table, &report.peers);
    for row in &report.pipes.rows {
        let scope = ("pipe", row.pipe.as_str());
        let title = row.material.as_deref().unwrap_or("");
        let mut say = |item, value, unit| table.plain("pipes", scope, item, title, value, unit);
        say("expected_water", Some(row.expected_water_m3), "m3");
        say("expected_losses", Some(row.expected_losses), "");
        say("found", Some(count(row.found)), "");
        say("length", row.length_m, "m");
        say("laid_year", row.laid_year.map(f64::from), "");
    }
    for row in &report.repairs.rows {
        let title = row.cause.as_deref().unwrap_or("");
        let scope = ("incident", row.incident.as_str());
        table.plain("repairs", scope, row.outcome, title, Some(row.hours_to_repair), "h");
    }
    for conversion in &report.conversions {
        for (side, stretch) in [("before", &conversion.before), ("after", &conversion.after)] {
            of_stretch(&mut table, conversion.circuit.as_str(), side, stretch);
        }
    }
    for row in &report.communities {
        of_community(&mut table, row, lang);
    }
    let bytes = table.0.into_inner().expect("writing into memory");
    String::from_utf8(bytes).expect("all cells are text")
}

fn of_scope(table: &mut Table, scope: &ScopeReport, lang: Lang) {
    let name = words::scope(lang, &scope.scope);
    let scope_of = (words::scope_kind(&scope.scope), name.as_str());
    for figure in &scope.figures {
        let words = figure.id.words();
        table.push(&Row {
            section: "figures",
            scope: scope_of,
            item: figure.id.as_str(),
            title: lang.pick(words.title),
            value: figure.value,
            unit: lang.pick(words.unit),
            numerator: (figure.numerator, lang.pick(words.numerator)),
            denominator: (figure.denominator, lang.pick(words.denominator)),
        });
    }
    for row in &scope.classes {
        let title = words::class(lang, row.class);
        let item = |what: &str| format!("{}.{what}", row.class.as_str());
        let mut say = |what, value, unit| table.plain("classes", scope_of, &item(what), title, value, unit);
        say("opened", Some(count(row.opened)), "");
        say("present", Some(count(row.present)), "");
        say("hours", Some(row.hours), "h");
        say("water", Some(row.water_m3), "m3");
        say("heat", row.heat_gj, "GJ");
    }
}

/// Every station that stands out, each figure with what it is held against.
fn of_peers(table: &mut Table, peers: &Peers) {
    let stations = Some(count((peers.judged + peers.not_judged) as u64));
    let mut push = |scope, item, title, value, unit, numerator, denominator| {
        table.push(&Row { section: "peers", scope, item, title, value, unit, numerator, denominator });
    };
    let judged = Some(count(peers.judged as u64));
    push(
        ("city", ""),
        "judged",
        "",
        judged,
        "",
        (judged, "stations judged"),
        (stations, "stations with a return"),
    );
    for row in &peers.ranking.rows {
        let scope = ("station", row.station.as_str());
        let title = row.name.as_deref().unwrap_or("");
        let (own, of_peers) = (Some(row.return_celsius), Some(row.peers_return_celsius));
        push(
            scope,
            "return_above",
            title,
            Some(row.above_kelvin),
            "K",
            (own, "degC"),
            (of_peers, "degC of its peers"),
        );
        let share = row.excess_flow_t.zip(row.flow_t).map(|(excess, flow)| 100.0 * excess / flow);
        push(scope, "excess_flow", title, share, "%", (row.excess_flow_t, "t"), (row.flow_t, "t"));
        push(
            scope,
            "flow_per_heat",
            title,
            row.flow_per_heat,
            "t/GJ",
            (row.flow_t, "t"),
            (row.heat_gj, "GJ"),
        );
        let usual = row.peers_flow_per_heat;
        push(scope, "peers_flow_per_heat", title, usual, "t/GJ", (None, ""), (None, ""));
        let (held, days) = (Some(count(row.peers as u64)), Some(count(row.days as u64)));
        push(scope, "peers", title, held, "", (held, "peers"), (days, "days"));
        push(scope, "size", title, Some(row.size), words::size(row.size_basis), (None, ""), (None, ""));
    }
}

/// `all` and each hour of the day: the share, and how many homes it stands for.
fn of_community(table: &mut Table, row: &CommunityRow, lang: Lang) {
    let words = Id::Compliance.words();
    let scope = ("community", row.community.as_str());
    let title = row.name.as_deref().unwrap_or("");
    let hours = row.hours.iter().enumerate().map(|(hour, rooms)| (format!("{hour:02}"), *rooms));
    for (item, rooms) in std::iter::once(("all".to_owned(), Some(row.all))).chain(hours) {
        table.push(&Row {
            section: "rooms_by_hour",
            scope,
            item: &item,
            title,
            value: rooms.map(|rooms| rooms.share * words.scale),
            unit: lang.pick(words.unit),
            numerator: (rooms.map(|rooms| count(rooms.warm)), lang.pick(words.numerator)),
            denominator: (rooms.map(|rooms| count(rooms.measured)), lang.pick(words.denominator)),
        });
        let homes = rooms.map(|rooms| count(rooms.homes));
        table.plain("rooms_by_hour", scope, &format!("{item}.homes"), title, homes, "");
    }
}

fn of_stretch(table: &mut Table, circuit: &str, side: &str, stretch: &Stretch) {
    let scope = ("circuit", circuit);
    let days = Some(f64::from(stretch.days));
    type Cells<'a> = (&'a str, Option<f64>, &'a str, Option<f64>, &'a str, Option<f64>, &'a str);
    let rows: [Cells<'_>; 4] = [
        (
            "heat_per_degree_day",
            stretch.heat_kj_m2_k_d,
            "kJ/(m2.K.d)",
            stretch.heat_gj,
            "GJ",
            stretch.area_degree_days,
            "m2.K.d",
        ),
        (
            "make_up",
            stretch.make_up_m3,
            "m3",
            stretch.make_up_m3,
            "m3",
            Some(count(stretch.make_up_days as u64)),
            "d",
        ),
        ("condensate", stretch.condensate_share, "1", stretch.condensate_t, "t", stretch.steam_t, "t"),
        (
            "complaints",
            stretch.complaints_per_10_000_month,
            "1/10000/30d",
            Some(count(stretch.tickets)),
            "",
            stretch.households,
            "",
        ),
    ];
    table.plain("conversion", scope, &format!("{side}.days"), side, days, "d");
    for (item, value, unit, numerator, numerator_is, denominator, denominator_is) in rows {
        table.push(&Row {
            section: "conversion",
            scope,
            item: &format!("{side}.{item}"),
            title: side,
            value,
            unit,
            numerator: (numerator, numerator_is),
            denominator: (denominator, denominator_is),
        });
    }
}
