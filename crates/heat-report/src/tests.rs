//! A town small enough to be reckoned by hand: 40,000 m2 and 400 households at three stations, two days.

use heat_detect::{
    Output,
    output::{TicketCause, TicketLink},
};
use heat_model::{
    AppendTime, DeviceId, EventTime, IncidentId, NetworkId, Offset, Origin, SiteId,
    incident::{Candidate, Change, ChangeKind, Class, Evidence, Incident, IncidentEvent, WorkState},
    plant::{ModelLevel, PlantModel, Side},
    record::{Action, Command},
    ticket::{FollowUpOutcome, Ticket, TicketKind},
};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    Settings, Span,
    cases::Cases,
    figure::{Figure, Id},
    ground::Scope,
    hours::{Hour, Hours, Quantity},
    report::{Facts, report},
    shape::{Report, ScopeReport},
    tell::{self, Lang},
};

const HOUR_US: i64 = 3_600_000_000;

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

/// The 20th and 21st of November at Beijing's clock.
fn span() -> Span {
    Span {
        from: EventTime::from_micros(at("2026-11-20T00:00:00+08:00")),
        to: EventTime::from_micros(at("2026-11-22T00:00:00+08:00")),
        zone: TimeZone::get("Asia/Shanghai").unwrap(),
    }
}

fn plant() -> PlantModel {
    serde_json::from_value(serde_json::json!({
        "networks": [{"id": "n", "operator": "heatco", "district": "north"}],
        "circuits": [{"id": "c", "network": "n", "converted_on": "2026-11-21"}],
        "sites": [
            {"id": "src", "kind": "source", "heated_area_m2": 1.0},
            {"id": "a", "kind": "station", "node": "2", "heated_area_m2": 10_000.0, "households": 100},
            {"id": "b", "kind": "station", "heated_area_m2": 20_000.0, "households": 200, "district": "south"},
            {"id": "c", "kind": "station", "heated_area_m2": 10_000.0, "households": 100},
            {"id": "a-1", "kind": "building", "parent": "a", "households": 100},
        ],
        "pipes": [
            {"id": "p1", "circuit": "c", "from": "1", "to": "2", "length_m": 600.0, "side": "supply", "laid_year": 1998},
            {"id": "p1r", "circuit": "c", "from": "2", "to": "1", "length_m": 600.0, "side": "return"},
            {"id": "p2", "circuit": "c", "from": "2", "to": "3", "length_m": 400.0, "side": "supply"},
        ],
    }))
    .unwrap()
}

struct Town {
    cases: Cases,
    hours: Hours,
}

impl Town {
    fn new() -> Self {
        Self { cases: Cases::new(span()), hours: Hours::new(span(), 18.0) }
    }

    /// The same value in each of these hours since the span began.
    fn measure(
        &mut self,
        site: &str,
        quantity: Quantity,
        unit: &str,
        value: f64,
        hours: std::ops::Range<i64>,
    ) {
        for hour in hours {
            self.measure_as(site, "d", quantity, unit, [value; 3], hour);
        }
    }

    fn measure_as(
        &mut self,
        site: &str,
        device: &str,
        quantity: Quantity,
        unit: &str,
        [min, mean, max]: [f64; 3],
        hour: i64,
    ) {
        self.hours.add(&Hour {
            network: &id("n"),
            site: &SiteId::new(site).unwrap(),
            device: &DeviceId::new(device).unwrap(),
            quantity,
            unit,
            hour_us: span().from.as_micros() + hour * HOUR_US,
            min,
            mean,
            max,
        });
    }

    fn said(&mut self, offset: u64, time: &str, kind: ChangeKind, incident: &Incident) {
        self.cases.output(Output::Event(IncidentEvent {
            input_offset: Offset(offset),
            ordinal: 0,
            at: AppendTime::from_micros(at(time)),
            change: Change { kind, by: "x".to_owned(), reason: None },
            incident: incident.clone(),
        }));
    }

    fn ticket(&mut self, number: &str, time: &str, site: &str) {
        let ticket = Ticket {
            id: number.to_owned(),
            time: EventTime::from_micros(at(time)),
            kind: TicketKind::Cold,
            site: Some(SiteId::new(site).unwrap()),
            area: None,
            external_id: None,
            text: None,
        };
        self.cases.ticket(&id("n"), &ticket);
    }

    fn command(&mut self, offset: u64, time: &str, command: Command) {
        self.cases.command(&id("n"), Offset(offset), AppendTime::from_micros(at(time)), command);
    }

    fn answer(&mut self, number: &str, time: &str, incident: Option<&Incident>) {
        self.cases.output(Output::Ticket(TicketLink {
            input_offset: Offset(1),
            ordinal: 0,
            at: AppendTime::from_micros(at(time)),
            network: id("n"),
            ticket: number.to_owned(),
            external_id: None,
            incident: incident.map(|incident| incident.id),
            cause: if incident.is_some() { TicketCause::Plant } else { TicketCause::NoneFound },
        }));
    }

    fn call(&mut self, offset: u64, time: &str, number: &str, outcome: FollowUpOutcome) {
        let action = Action::FollowUp { ticket: number.to_owned(), outcome, note: None };
        self.command(offset, time, Command { user: "li".to_owned(), action });
    }

    fn report(self) -> Report {
        let (cases, tickets) = self.cases.finish();
        let facts = Facts { cases, tickets, hours: self.hours, refused: 0 };
        report(&facts, &plant(), &span(), &Settings::default())
    }
}

fn id(network: &str) -> NetworkId {
    NetworkId::new(network).unwrap()
}

fn incident(number: u64, class: Class, onset: &str) -> Incident {
    let origin = Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: number };
    Incident {
        version: 1,
        level: ModelLevel::L3,
        ..Incident::new(
            IncidentId::derive(&id("n"), &origin, 0),
            id("n"),
            class,
            EventTime::from_micros(at(onset)),
            AppendTime::from_micros(at(onset)),
        )
    }
}

fn scope<'r>(report: &'r Report, wanted: &Scope) -> &'r ScopeReport {
    report.scopes.iter().find(|scope| scope.scope == *wanted).unwrap()
}

fn figure(report: &Report, wanted: &Scope, id: Id) -> Figure {
    *scope(report, wanted).figures.iter().find(|figure| figure.id == id).unwrap()
}

#[track_caller]
fn assert_parts(figure: Figure, numerator: f64, denominator: f64, value: f64) {
    for (found, expected) in
        [(figure.numerator, numerator), (figure.denominator, denominator), (figure.value, value)]
    {
        let found = found.unwrap_or_else(|| panic!("{figure:?} is not known"));
        assert!(
            (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
            "{figure:?}: {found}, not {expected}"
        );
    }
}

/// 3 MW at the source, 0 and -2 degC, 1 m3/h of make-up, on both days.
fn heated(town: &mut Town) {
    town.measure("src", Quantity::HeatPower, "W", 3e6, 0..48);
    town.measure("src", Quantity::OutdoorTemperature, "degC", 0.0, 0..24);
    town.measure("src", Quantity::OutdoorTemperature, "degC", -2.0, 24..48);
    town.measure("src", Quantity::MakeUpFlow, "m3/s", 1.0 / 3_600.0, 0..48);
    town.measure("src", Quantity::SupplyTemperature, "degC", 90.0, 0..48);
}

#[test]
fn heat_and_water_are_told_per_area_and_degree_day() {
    let mut town = Town::new();
    heated(&mut town);

    let report = town.report();

    // 3 MW x 48 h = 518.4 GJ; 40,000 m2 x (18 + 20) K d.
    assert_parts(figure(&report, &Scope::City, Id::HeatPerDegreeDay), 518.4, 1.52e6, 518.4 / 1.52);
    assert_parts(figure(&report, &Scope::City, Id::HeatPerArea), 518.4, 40_000.0, 0.012_96);
    // 48 m3 over 40,000 m2 x 2 d.
    assert_parts(figure(&report, &Scope::City, Id::MakeUp), 48.0, 80_000.0, 0.6);
    let operator = Scope::Operator("heatco".to_owned());
    assert_eq!(figure(&report, &operator, Id::MakeUp), figure(&report, &Scope::City, Id::MakeUp));
}

#[test]
fn a_day_with_too_few_hours_counts_on_neither_side() {
    let mut town = Town::new();
    town.measure("src", Quantity::HeatPower, "W", 3e6, 0..24 + 17);
    town.measure("src", Quantity::OutdoorTemperature, "degC", 0.0, 0..48);

    let report = town.report();

    assert_parts(figure(&report, &Scope::City, Id::HeatPerDegreeDay), 259.2, 720_000.0, 360.0);
    assert_eq!(report.coverage.networks[&id("n")], [1, 0]);
}

#[test]
fn a_counter_stands_in_for_a_flow_unless_it_was_reset() {
    let mut town = Town::new();
    for hour in 0..48 {
        // 2 m3 in each hour; the meter is changed within the second day.
        let from = if hour < 30 { 100.0 + 2.0 * f64::from(hour) } else { 2.0 * f64::from(hour) };
        let values = [from, from + 1.0, from + 2.0];
        town.measure_as("src", "d", Quantity::MakeUpVolume, "m3", values, i64::from(hour));
    }

    let report = town.report();

    assert_parts(figure(&report, &Scope::City, Id::MakeUp), 48.0, 40_000.0, 1.2);
}

#[test]
fn a_meter_that_is_missing_for_a_day_is_never_read_as_less_water() {
    let mut town = Town::new();
    for device in ["left", "right"] {
        for hour in (0..48).filter(|hour| device == "left" || *hour < 20 || *hour == 47) {
            town.measure_as("src", device, Quantity::MakeUpFlow, "kg/s", [1.0; 3], hour);
        }
    }

    // Two meters of 1 kg/s on the first day; the second has one hour of the right one, and is not judged.
    assert_parts(figure(&town.report(), &Scope::City, Id::MakeUp), 172.8, 40_000.0, 4.32);
}

#[test]
fn an_incident_costs_water_and_heat_for_as_long_as_it_lasted() {
    let mut town = Town::new();
    heated(&mut town);
    let burst = Incident {
        side: Some(Side::Supply),
        loss_kg_s: Some(1.0),
        cleared: Some(AppendTime::from_micros(at("2026-11-20T08:00:00+08:00"))),
        ..incident(1, Class::Burst, "2026-11-20T06:00:00+08:00")
    };
    town.said(1, "2026-11-20T06:00:00+08:00", ChangeKind::Opened, &burst);

    let report = town.report();

    // 1 kg/s for two hours of water at 90 degC that came at 10 degC.
    assert_parts(figure(&report, &Scope::City, Id::WaterLostShare), 7.2, 48.0, 15.0);
    let heat_gj = 7_200.0 * 4_186.8 * 80.0 / 1e9;
    assert_parts(figure(&report, &Scope::City, Id::HeatLostShare), heat_gj, 518.4, 100.0 * heat_gj / 518.4);
    // One loss on 1 km of trench: supply and return lie in one.
    assert_parts(figure(&report, &Scope::City, Id::WaterLossesPerPipe), 1.0, 1.0, 100.0);
    assert_eq!(report.incidents.rows[0].water_m3, Some(7.2));
}

#[test]
fn a_secondarys_water_is_no_share_of_the_primarys_make_up_and_no_failure_of_its_pipes() {
    let mut town = Town::new();
    heated(&mut town);
    let cases = [
        (1, Class::LeakIncipient, Some("secondary")),
        (2, Class::Draining, None),
        (3, Class::LeakIncipient, None),
    ];
    for (id, class, kind) in cases {
        let told = Incident {
            loss_kg_s: Some(1.0),
            kind: kind.map(str::to_owned),
            place: (id < 3).then(|| "a".to_owned()),
            cleared: Some(AppendTime::from_micros(at("2026-11-20T08:00:00+08:00"))),
            ..incident(id, class, "2026-11-20T06:00:00+08:00")
        };
        town.said(id, "2026-11-20T06:00:00+08:00", ChangeKind::Opened, &told);
    }

    let report = town.report();

    assert_eq!(figure(&report, &Scope::City, Id::WaterLostShare).numerator, Some(7.2));
    assert_eq!(figure(&report, &Scope::City, Id::WaterLossesPerPipe).numerator, Some(1.0));
    let water: f64 = scope(&report, &Scope::City).classes.iter().map(|row| row.water_m3).sum();
    assert!((water - 21.6).abs() < 1e-9, "what each class lost is told all the same: {water}");
}

#[test]
fn heat_delivered_for_nothing_is_what_an_incident_cost() {
    let mut town = Town::new();
    let excess = Evidence {
        detector: "thermal".to_owned(),
        place: "c".to_owned(),
        what: "excess_heat".to_owned(),
        value: 180_000.0,
        unit: "W".to_owned(),
        at: EventTime::from_micros(0),
    };
    let hot = Incident {
        kind: Some("overheating".to_owned()),
        place: Some("c".to_owned()),
        evidence: vec![excess],
        cleared: Some(AppendTime::from_micros(at("2026-11-20T08:00:00+08:00"))),
        ..incident(1, Class::ConsumerThermal, "2026-11-20T06:00:00+08:00")
    };
    town.said(1, "2026-11-20T06:00:00+08:00", ChangeKind::Opened, &hot);

    let report = town.report();

    let heat = scope(&report, &Scope::City).classes[0].heat_gj.unwrap();
    assert!((heat - 180_000.0 * 7_200.0 / 1e9).abs() < 1e-9, "{heat}");
    assert_eq!(
        figure(&report, &Scope::City, Id::HeatLostShare).numerator,
        None,
        "it was not lost with water"
    );
}

#[test]
fn what_a_fault_cost_is_the_sum_that_was_measured_and_not_its_first_rate_over_all_hours_in_which_it_was_open()
{
    let mut town = Town::new();
    let evidence = |what: &str, value: f64, unit: &str, measured: &str| Evidence {
        detector: "thermal".to_owned(),
        place: "c".to_owned(),
        what: what.to_owned(),
        value,
        unit: unit.to_owned(),
        at: EventTime::from_micros(at(measured)),
    };
    // Told at 0.18 MW; heating ended an hour later, and with it the case at eight, when it had cost 1 GJ.
    let (from, ended) = ("2026-11-20T06:00:00+08:00", "2026-11-20T08:00:00+08:00");
    let hot = Incident {
        kind: Some("overheating".to_owned()),
        place: Some("c".to_owned()),
        evidence: vec![evidence("excess_heat", 180_000.0, "W", from)],
        ..incident(1, Class::ConsumerThermal, from)
    };
    town.said(1, from, ChangeKind::Opened, &hot);
    let over = Incident {
        evidence: vec![
            evidence("heating_ended", 3.0, "d", ended),
            evidence("excess_heat_total", 1e9, "J", ended),
            evidence("excess_heat", 180_000.0, "W", from),
        ],
        version: 2,
        cleared: Some(AppendTime::from_micros(at(ended))),
        ..hot
    };
    town.said(2, ended, ChangeKind::Cleared, &over);

    let report = town.report();

    let heat = scope(&report, &Scope::City).classes[0].heat_gj.unwrap();
    assert!((heat - 1.0).abs() < 1e-9, "{heat}");
}

#[test]
fn a_loss_that_began_before_and_goes_on_after_costs_what_falls_into_the_span() {
    let mut town = Town::new();
    let leak =
        Incident { loss_kg_s: Some(0.5), ..incident(1, Class::LeakIncipient, "2026-11-18T00:00:00+08:00") };
    town.said(1, "2026-11-18T00:00:00+08:00", ChangeKind::Opened, &leak);

    let report = town.report();

    let row = &scope(&report, &Scope::City).classes[0];
    assert_eq!((row.opened, row.present), (0, 1));
    assert!((row.hours - 48.0).abs() < 1e-9 && (row.water_m3 - 86.4).abs() < 1e-9, "{row:?}");
    assert_eq!(row.heat_gj, None, "no source temperature is known");
}

#[test]
fn acceptance_and_arrival_are_timely_by_their_deadlines_and_judged_only_once_due() {
    let mut town = Town::new();
    // P1: dispatched within 10 min, on site within the hour. This one is accepted in time, and late on site.
    let burst = incident(1, Class::Burst, "2026-11-20T06:00:00+08:00");
    town.said(1, "2026-11-20T06:00:00+08:00", ChangeKind::Opened, &burst);
    let moved = |version, work| Incident { version, work, ..burst.clone() };
    town.said(2, "2026-11-20T06:05:00+08:00", ChangeKind::WorkMoved, &moved(2, WorkState::Accepted));
    town.said(3, "2026-11-20T07:30:00+08:00", ChangeKind::WorkMoved, &moved(3, WorkState::ValvesClosed));
    // This one is opened five minutes before the end: nothing is due yet.
    let late = incident(2, Class::Burst, "2026-11-21T23:55:00+08:00");
    town.said(4, "2026-11-21T23:55:00+08:00", ChangeKind::Opened, &late);
    // This one was over after five minutes, before anybody had to do anything.
    let over = Incident {
        cleared: Some(AppendTime::from_micros(at("2026-11-20T10:05:00+08:00"))),
        ..incident(3, Class::Burst, "2026-11-20T10:00:00+08:00")
    };
    town.said(5, "2026-11-20T10:05:00+08:00", ChangeKind::Cleared, &over);

    let report = town.report();

    assert_parts(figure(&report, &Scope::City, Id::TimelyAcceptance), 1.0, 1.0, 100.0);
    assert_parts(figure(&report, &Scope::City, Id::TimelyArrival), 0.0, 1.0, 0.0);
}

#[test]
fn a_repair_names_what_the_crew_found_and_whether_the_data_confirmed_it() {
    let mut town = Town::new();
    let leak = Incident {
        loss_kg_s: Some(1.0),
        candidates: vec![candidate("p2", 0.7)],
        ..incident(1, Class::LeakAbrupt, "2026-11-20T06:00:00+08:00")
    };
    town.said(1, "2026-11-20T06:00:00+08:00", ChangeKind::Opened, &leak);
    let command = |cause: &str| Command {
        user: "li".to_owned(),
        action: Action::Repaired {
            incident: leak.id,
            pipe: Some("p1".parse().unwrap()),
            location: None,
            cause: Some(cause.to_owned()),
            size_kg_s: Some(0.9),
        },
    };
    // The first was refused: no event came of it.
    town.command(6, "2026-11-20T15:59:00+08:00", command("typing error"));
    town.command(7, "2026-11-20T16:00:00+08:00", command("weld"));
    let after = |version| Incident { version, work: WorkState::AwaitingVerification, ..leak.clone() };
    town.said(7, "2026-11-20T16:00:00+08:00", ChangeKind::Repaired, &after(2));
    town.said(8, "2026-11-20T20:00:00+08:00", ChangeKind::Verified, &after(3));

    let report = town.report();

    assert_parts(figure(&report, &Scope::City, Id::RepairsVerified), 1.0, 1.0, 100.0);
    let row = &report.repairs.rows[0];
    assert_eq!((row.cause.as_deref(), row.outcome, row.hours_to_repair), (Some("weld"), "verified", 10.0));
    // Where the crew found it counts, not where it was thought to be; it lost for ten hours.
    let pipes: Vec<_> =
        report.pipes.rows.iter().map(|row| (row.pipe.as_str(), row.found, row.expected_water_m3)).collect();
    assert_eq!(pipes, [("p1", 1, 36.0)]);
    assert_eq!(report.pipes.rows[0].laid_year, Some(1998));
}

fn candidate(pipe: &str, probability: f64) -> Candidate {
    Candidate { pipe: pipe.parse().unwrap(), probability }
}

#[test]
fn a_loss_that_nobody_placed_is_shared_by_its_candidates() {
    let mut town = Town::new();
    let leak = Incident {
        loss_kg_s: Some(1.0),
        candidates: vec![candidate("p1", 0.25), candidate("p2", 0.5)],
        cleared: Some(AppendTime::from_micros(at("2026-11-20T16:00:00+08:00"))),
        ..incident(1, Class::LeakAbrupt, "2026-11-20T06:00:00+08:00")
    };
    town.said(1, "2026-11-20T06:00:00+08:00", ChangeKind::Opened, &leak);

    let rows = town.report().pipes.rows;

    let told: Vec<_> =
        rows.iter().map(|row| (row.pipe.as_str(), row.expected_losses, row.expected_water_m3)).collect();
    assert_eq!(told, [("p2", 0.5, 18.0), ("p1", 0.25, 9.0)]);
}

#[test]
fn complaints_are_counted_by_ten_thousand_households_and_where_they_live() {
    let mut town = Town::new();
    town.ticket("1", "2026-11-20T09:00:00+08:00", "a-1");
    town.ticket("2", "2026-11-21T09:00:00+08:00", "b");
    town.ticket("2", "2026-11-21T09:00:00+08:00", "b");
    town.ticket("3", "2026-11-22T09:00:00+08:00", "b");
    let link = |offset, cause| TicketLink {
        input_offset: Offset(offset),
        ordinal: 0,
        at: AppendTime::from_micros(0),
        network: id("n"),
        ticket: "1".to_owned(),
        external_id: None,
        incident: None,
        cause,
    };
    town.cases.output(Output::Ticket(link(9, TicketCause::Plant)));
    town.cases.output(Output::Ticket(link(8, TicketCause::NoneFound)));

    let report = town.report();

    // The building's households are the station's.
    assert_parts(figure(&report, &Scope::City, Id::Complaints), 2.0, 400.0, 50.0);
    assert_parts(figure(&report, &Scope::District("south".to_owned()), Id::Complaints), 1.0, 200.0, 50.0);
    assert_parts(figure(&report, &Scope::City, Id::TicketsExplained), 1.0, 2.0, 50.0);
    let complaining: Vec<_> =
        report.stations.rows.iter().map(|row| (row.station.as_str(), row.tickets)).collect();
    assert_eq!(complaining, [("a", 1), ("b", 1)]);
}

#[test]
fn a_communitys_rooms_are_told_by_the_hour_of_the_day_where_ten_homes_were_measured() {
    let mut town = Town::new();
    for home in 0..10 {
        let device = format!("home-{home}");
        let mut measure = |site: &str, celsius: f64, hour| {
            town.measure_as(site, &device, Quantity::IndoorTemperature, "degC", [celsius; 3], hour);
        };
        // At five o'clock of both days, three of them cold on the first.
        measure("a-1", if home < 3 { 17.0 } else { 18.0 }, 5);
        measure("a-1", 20.0, 24 + 5);
        if home < 9 {
            measure("a-1", 16.0, 6);
            measure("c", 21.0, 5);
        }
    }

    let report = town.report();

    let [row] = report.communities.as_slice() else { panic!("{:?}", report.communities) };
    let five = crate::rooms::RoomShare { share: 0.85, warm: 17, measured: 20, homes: 10 };
    assert_eq!((row.community.as_str(), row.all), ("a", five), "a building's homes are its station's");
    let told: Vec<usize> = (0..24).filter(|hour| row.hours[*hour].is_some()).collect();
    assert_eq!((told, row.hours[5]), (vec![5], Some(five)));
    let table = tell::csv(&report, Lang::English);
    for line in ["rooms_by_hour,community,a,05,,85,%,17,", "rooms_by_hour,community,a,05.homes,,10,,10,"] {
        assert!(table.contains(line), "{line}: {table}");
    }
    assert!(table.contains("rooms_by_hour,community,a,06,,,%,,") && !table.contains("home-1"), "{table}");
    let page = tell::html(&report, ["报告", "Report"], Lang::Chinese);
    assert!(page.contains("20 / 10") && !page.contains("home-1"), "{page}");
}

#[test]
fn rooms_are_told_as_shares_of_ten_homes_and_more() {
    let mut nine = Town::new();
    let mut ten = Town::new();
    for home in 0..10 {
        let celsius = if home < 3 { 17.9 } else { 18.0 };
        for town in [(home < 9).then_some(&mut nine), Some(&mut ten)].into_iter().flatten() {
            let device = format!("home-{home}");
            town.measure_as("a-1", &device, Quantity::IndoorTemperature, "degC", [celsius; 3], 5);
            town.measure_as("a-1", &device, Quantity::IndoorTemperature, "degC", [18.5; 3], 6);
        }
    }

    assert_eq!(figure(&nine.report(), &Scope::City, Id::Compliance).value, None);
    assert_parts(figure(&ten.report(), &Scope::City, Id::Compliance), 17.0, 20.0, 85.0);
}

#[test]
fn stations_are_ranked_by_their_shares_of_what_all_cost() {
    let mut town = Town::new();
    town.measure("src", Quantity::OutdoorTemperature, "degC", 8.0, 0..48);
    // Per area and degree-day b takes half more than the median.
    for (station, watts) in [("a", 1e5), ("b", 3e5), ("c", 1e5)] {
        town.measure(station, Quantity::HeatPower, "W", watts, 0..48);
    }
    let excess = Evidence {
        detector: "thermal".to_owned(),
        place: "c".to_owned(),
        what: "excess_flow".to_owned(),
        value: 2.0,
        unit: "kg/s".to_owned(),
        at: EventTime::from_micros(0),
    };
    let fouled = Incident {
        kind: Some("fouled".to_owned()),
        place: Some("c".to_owned()),
        evidence: vec![excess],
        ..incident(1, Class::ConsumerThermal, "2026-11-21T00:00:00+08:00")
    };
    town.said(1, "2026-11-21T00:00:00+08:00", ChangeKind::Opened, &fouled);

    let report = town.report();

    let rows = &report.stations.rows;
    // c has all the excess flow and all the hours in fault, b all the excess heat.
    let shares: Vec<_> = rows.iter().map(|row| (row.station.as_str(), (row.share * 3.0).round())).collect();
    assert_eq!(shares, [("c", 2.0), ("b", 1.0)]);
    assert!((rows[0].excess_flow_t - 172.8).abs() < 1e-9 && (rows[0].fault_hours - 24.0).abs() < 1e-9);
    // 0.1 MW x 48 h above what the median would have taken.
    assert!((rows[1].excess_heat_gj.unwrap() - 17.28).abs() < 1e-9, "{rows:?}");
    assert_parts(figure(&report, &Scope::City, Id::FaultsPerStation), 1.0, 3.0, 100.0 / 3.0);
}

#[test]
fn a_closed_ticket_is_followed_up_once_its_caller_was_reached_whatever_later_calls_gave() {
    let mut town = Town::new();
    let open = incident(1, Class::Burst, "2026-11-20T06:00:00+08:00");
    let over = Incident {
        cleared: Some(AppendTime::from_micros(at("2026-11-20T12:00:00+08:00"))),
        ..incident(2, Class::Burst, "2026-11-20T06:00:00+08:00")
    };
    town.said(1, "2026-11-20T06:00:00+08:00", ChangeKind::Opened, &open);
    town.said(2, "2026-11-20T12:00:00+08:00", ChangeKind::Cleared, &over);
    for (number, site) in [("1", "b"), ("2", "a"), ("3", "a"), ("4", "a"), ("5", "a"), ("6", "a")] {
        town.ticket(number, "2026-11-20T09:00:00+08:00", site);
    }
    town.answer("1", "2026-11-20T09:01:00+08:00", Some(&over));
    town.answer("2", "2026-11-21T09:00:00+08:00", None);
    town.answer("3", "2026-11-21T09:00:00+08:00", None);
    // Not closed by the end of the span.
    town.answer("4", "2026-11-20T09:01:00+08:00", Some(&open));
    town.answer("5", "2026-11-22T09:00:00+08:00", None);
    town.answer("6", "2026-11-20T09:01:00+08:00", Some(&over));
    town.call(10, "2026-11-21T10:00:00+08:00", "1", FollowUpOutcome::Satisfied);
    town.call(11, "2026-11-21T10:05:00+08:00", "2", FollowUpOutcome::NotReached);
    town.call(13, "2026-11-21T11:00:00+08:00", "3", FollowUpOutcome::NotReached);
    town.call(12, "2026-11-21T10:10:00+08:00", "3", FollowUpOutcome::NotResolved);
    // Behind the span.
    town.call(14, "2026-11-22T10:00:00+08:00", "6", FollowUpOutcome::Satisfied);

    let report = town.report();

    // 1, 2, 3 and 6 are closed; 1 and 3 were reached; 1 is content.
    assert_parts(figure(&report, &Scope::City, Id::FollowUp), 2.0, 4.0, 50.0);
    assert_parts(figure(&report, &Scope::City, Id::Satisfaction), 1.0, 2.0, 50.0);
    let south = Scope::District("south".to_owned());
    assert_parts(figure(&report, &south, Id::Satisfaction), 1.0, 1.0, 100.0);
}

#[test]
fn a_converted_circuit_is_told_before_and_after_its_date() {
    let mut town = Town::new();
    heated(&mut town);
    town.measure("a", Quantity::HeatPower, "W", 1e6, 0..24);
    town.measure("a", Quantity::HeatPower, "W", 8e5, 24..48);
    town.measure("src", Quantity::SteamFlow, "kg/s", 0.5, 0..24);
    town.measure("src", Quantity::CondensateFlow, "kg/s", 0.3, 0..24);
    // What a station meters has been counted where it was sent.
    town.measure("a", Quantity::SteamFlow, "kg/s", 0.48, 0..24);
    town.ticket("1", "2026-11-20T09:00:00+08:00", "a-1");

    let conversions = town.report().conversions;

    let [conversion] = conversions.as_slice() else { panic!("{conversions:?}") };
    let (before, after) = (&conversion.before, &conversion.after);
    assert_eq!((conversion.stations, before.days, after.days), (1, 1, 1));
    // Station a alone lies on the circuit: 86.4 GJ over 10,000 m2 x 18 K d, then 69.12 GJ over 10,000 x 20.
    assert!((before.heat_kj_m2_k_d.unwrap() - 480.0).abs() < 1e-9, "{before:?}");
    assert!((after.heat_kj_m2_k_d.unwrap() - 345.6).abs() < 1e-9, "{after:?}");
    assert!((before.condensate_share.unwrap() - 0.6).abs() < 1e-12 && after.steam_t.is_none());
    assert!((before.steam_t.unwrap() - 43.2).abs() < 1e-9, "{before:?}");
    assert_eq!(
        (before.complaints_per_10_000_month, after.complaints_per_10_000_month),
        (Some(3_000.0), Some(0.0))
    );
}

#[test]
fn what_is_not_known_is_absent_and_never_zero() {
    let report = Town::new().report();

    let of_city = scope(&report, &Scope::City);
    for figure in &of_city.figures {
        let plant_knows = matches!(figure.id, Id::WaterLossesPerPipe | Id::FaultsPerStation | Id::Complaints);
        assert_eq!(figure.value, plant_knows.then_some(0.0), "{figure:?}");
    }
}

#[test]
fn every_form_tells_the_same_and_lets_no_text_through_as_markup() {
    let mut town = Town::new();
    heated(&mut town);
    let evil = "<script>alert(1)</script>";
    let leak = incident(1, Class::LeakAbrupt, "2026-11-20T06:00:00+08:00");
    town.said(1, "2026-11-20T06:00:00+08:00", ChangeKind::Opened, &leak);
    let action = Action::Repaired {
        incident: leak.id,
        pipe: None,
        location: None,
        cause: Some(evil.to_owned()),
        size_kg_s: None,
    };
    town.command(2, "2026-11-20T08:00:00+08:00", Command { user: "li".to_owned(), action });
    town.said(2, "2026-11-20T08:00:00+08:00", ChangeKind::Repaired, &Incident { version: 2, ..leak });
    let report = town.report();

    let (zh, en) = (
        tell::html(&report, ["报告", "Report"], Lang::Chinese),
        tell::html(&report, ["报告", "Report"], Lang::English),
    );
    let (table, json) = (tell::csv(&report, Lang::English), tell::json(&report));

    assert!(
        zh.contains("单位面积、度日供热量") && zh.contains("341") && zh.contains("518 供热量，GJ"),
        "{zh}"
    );
    assert!(
        en.contains("Heat per area and degree-day") && en.contains("1 520 000 area × degree-days"),
        "{en}"
    );
    for page in [&zh, &en] {
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
        assert!(!page.contains("http://") && !page.contains("https://"), "the page needs nothing else");
    }
    assert!(
        table.contains("figures,city,City,heat_per_degree_day,Heat per area and degree-day,341."),
        "{table}"
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["scopes"][0]["scope"]["kind"], "city");
    assert_eq!(json["repairs"]["rows"][0]["cause"], evil);
}
