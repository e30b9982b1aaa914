//! From facts to the report.

use std::collections::{BTreeMap, BTreeSet};

use heat_model::{
    AppendTime, CircuitId, EventTime, NetworkId, SiteId,
    incident::{Class, WorkState},
    plant::{PlantModel, SiteKind},
    ticket::FollowUpOutcome,
};
use jiff::Timestamp;

use crate::{
    Settings, Span,
    cases::{Case, TicketCase, is_station_fault},
    convert,
    figure::{Figure, Id, count},
    ground::{Ground, Scope},
    hours::{At, Hours, Quantity},
    peers,
    rank::{self, Taken},
    rooms,
    shape::{CaseRow, ClassRow, Coverage, Cut, RepairRow, Report, ScopeReport},
};

/// Heat that a kilogram of water holds per kelvin, J.
pub(crate) const HEAT_CAPACITY_J_KG_K: f64 = 4_186.8;
/// Temperature of make-up water where nobody measures it, degC: ground water.
pub const MAKE_UP_CELSIUS: f64 = 10.0;
/// Most incidents and repairs told one by one.
const CASES_MAX: usize = 200;

/// Everything that was read.
#[derive(Debug)]
pub struct Facts {
    /// Incidents that were there.
    pub cases: Vec<Case>,
    /// Tickets of the span.
    pub tickets: Vec<TicketCase>,
    /// Meters.
    pub hours: Hours,
    /// What a bound kept out.
    pub refused: u64,
}

/// A network's days.
#[derive(Debug, Default)]
pub(crate) struct NetworkDays {
    pub(crate) heat_j: BTreeMap<i32, f64>,
    pub(crate) make_up_m3: BTreeMap<i32, f64>,
    pub(crate) degree_days: BTreeMap<i32, f64>,
    supply: BTreeMap<i32, f64>,
    back: BTreeMap<i32, f64>,
    make_up: BTreeMap<i32, f64>,
    borrowed: bool,
}

/// What the parts of a report share.
pub(crate) struct Desk<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) ground: Ground<'a>,
    pub(crate) span: &'a Span,
    pub(crate) settings: &'a Settings,
    pub(crate) days: BTreeMap<NetworkId, NetworkDays>,
}

/// Makes the report.
pub fn report(facts: &Facts, plant: &PlantModel, span: &Span, settings: &Settings) -> Report {
    let ground = Ground::new(plant);
    let days = days_of_networks(facts, &ground, settings);
    let desk = Desk { facts, ground, span, settings, days };
    let station_heat = desk.station_heat();
    let peers = peers::peers(desk.days.keys(), &facts.hours, &desk.ground);
    Report {
        from: told(span.from.as_micros(), span),
        to: told(span.to.as_micros(), span),
        time_zone: span.zone.iana_name().unwrap_or("UTC").to_owned(),
        base_celsius: settings.base_celsius,
        promised_celsius: settings.promised_celsius,
        scopes: desk.scopes(),
        incidents: desk.incidents(),
        repairs: desk.repairs(),
        stations: rank::stations(
            &facts.cases,
            &facts.tickets,
            &station_heat,
            &peers.ranking.rows,
            &desk.ground,
            span,
        ),
        peers,
        pipes: rank::pipes(&facts.cases, &desk.ground, span),
        conversions: convert::conversions(&desk),
        communities: rooms::communities(&facts.hours, &desk.ground),
        coverage: desk.coverage(),
    }
}

/// An instant at the report's clock.
pub(crate) fn told(at_us: i64, span: &Span) -> String {
    let at = Timestamp::from_microsecond(at_us).map(|at| at.to_zoned_datetime(span.zone.clone()));
    at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()).unwrap_or_default()
}

/// The sites where a network's heat and water come in: its sources; without a plant table whoever meters make-up.
pub(crate) fn sources(network: &NetworkId, facts: &Facts, ground: &Ground<'_>) -> BTreeSet<SiteId> {
    let is_source = |site: &&heat_model::plant::Site| {
        site.kind == Some(SiteKind::Source) && ground.network_of(site) == Some(network)
    };
    let named: BTreeSet<SiteId> =
        ground.plant().sites.iter().filter(is_source).map(|site| site.id.clone()).collect();
    if named.is_empty() { facts.hours.sites_with_make_up(network) } else { named }
}

fn days_of_networks(
    facts: &Facts,
    ground: &Ground<'_>,
    settings: &Settings,
) -> BTreeMap<NetworkId, NetworkDays> {
    let hours = &facts.hours;
    let mut networks: BTreeSet<&NetworkId> = hours.networks();
    networks.extend(ground.plant().networks.iter().map(|row| &row.id));
    let outdoor: BTreeMap<&NetworkId, BTreeMap<i32, f64>> = networks
        .iter()
        .map(|network| (*network, hours.temperatures(network, Quantity::OutdoorTemperature, At::Anywhere)))
        .collect();
    let of_city = mean_of(outdoor.values());
    let days_of = |network: &NetworkId| {
        let at_source = sources(network, facts, ground);
        let there = At::Sites(&at_source);
        let own = &outdoor[network];
        let weather = if own.is_empty() { &of_city } else { own };
        let degrees = |(day, celsius): (&i32, &f64)| (*day, (settings.base_celsius - celsius).max(0.0));
        NetworkDays {
            heat_j: hours.amounts(network, Quantity::HeatPower, there),
            make_up_m3: hours.amounts(network, Quantity::MakeUpFlow, there),
            degree_days: weather.iter().map(degrees).collect(),
            supply: hours.temperatures(network, Quantity::SupplyTemperature, there),
            back: hours.temperatures(network, Quantity::ReturnTemperature, there),
            make_up: hours.temperatures(network, Quantity::MakeUpTemperature, there),
            borrowed: own.is_empty() && !of_city.is_empty(),
        }
    };
    networks.into_iter().map(|network| (network.clone(), days_of(network))).collect()
}

fn mean_of<'a>(series: impl Iterator<Item = &'a BTreeMap<i32, f64>>) -> BTreeMap<i32, f64> {
    let mut sums: BTreeMap<i32, (f64, f64)> = BTreeMap::new();
    for (day, value) in series.flatten() {
        let sum = sums.entry(*day).or_default();
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    sums.into_iter().map(|(day, (sum, count))| (day, sum / count)).collect()
}

/// The mean over the days from `first` to `last` that are known.
fn mean_between(days: &BTreeMap<i32, f64>, first: i32, last: i32) -> Option<f64> {
    let (mut sum, mut known) = (0.0, 0.0);
    for value in days.range(first..=last.max(first)).map(|(_, value)| value) {
        sum += value;
        known += 1.0;
    }
    (known > 0.0).then(|| sum / known)
}

/// A sum that stays unknown until something known is added.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Known(pub(crate) Option<f64>);

impl Known {
    pub(crate) fn add(&mut self, amount: f64) {
        *self.0.get_or_insert(0.0) += amount;
    }
}

/// Numerators and denominators of a scope.
#[derive(Debug, Default)]
struct Sums {
    parts: BTreeMap<Id, (Known, Known)>,
    classes: BTreeMap<Class, ClassSum>,
}

#[derive(Debug, Default)]
struct ClassSum {
    opened: u64,
    present: u64,
    hours: f64,
    water_m3: f64,
    heat_gj: f64,
    heat_unknown: bool,
}

impl Sums {
    fn over(&mut self, id: Id, amount: f64) {
        self.parts.entry(id).or_default().0.add(amount);
    }

    fn under(&mut self, id: Id, amount: f64) {
        self.parts.entry(id).or_default().1.add(amount);
    }

    /// One more of which this is so, or not.
    fn counted(&mut self, id: Id, is_so: bool) {
        self.over(id, f64::from(u8::from(is_so)));
        self.under(id, 1.0);
    }

    fn told(self, scope: Scope) -> ScopeReport {
        let figure = |id: Id| {
            let (over, under) = self.parts.get(&id).copied().unwrap_or_default();
            Figure::new(id, over.0, under.0)
        };
        let class = |(class, sum): (&Class, &ClassSum)| ClassRow {
            class: *class,
            opened: sum.opened,
            present: sum.present,
            hours: sum.hours,
            water_m3: sum.water_m3,
            heat_gj: (!sum.heat_unknown).then_some(sum.heat_gj),
        };
        ScopeReport {
            figures: Id::ALL.into_iter().map(figure).collect(),
            classes: self.classes.iter().map(class).collect(),
            scope,
        }
    }
}

impl Desk<'_> {
    fn scopes(&self) -> Vec<ScopeReport> {
        let mut sums: BTreeMap<Scope, Sums> = BTreeMap::from([(Scope::City, Sums::default())]);
        self.add_networks(&mut sums);
        self.add_cases(&mut sums);
        self.add_tickets(&mut sums);
        self.add_rooms(&mut sums);
        sums.into_iter().map(|(scope, sums)| sums.told(scope)).collect()
    }

    fn add_networks(&self, sums: &mut BTreeMap<Scope, Sums>) {
        for (network, days) in &self.days {
            let area = self.ground.area_m2(network);
            let stations = self.ground.stations(network).count();
            let secondary = self.secondary(network);
            for scope in self.ground.scopes_of_network(network) {
                let sums = sums.entry(scope).or_default();
                if let Some(km) = self.ground.trench_km(network) {
                    sums.under(Id::WaterLossesPerPipe, km);
                    sums.over(Id::WaterLossesPerPipe, 0.0);
                }
                if stations > 0 {
                    sums.under(Id::FaultsPerStation, count(stations as u64));
                    sums.over(Id::FaultsPerStation, 0.0);
                }
                if !days.make_up_m3.is_empty() {
                    let make_up: f64 = days.make_up_m3.values().sum();
                    sums.under(Id::WaterLostShare, make_up);
                    sums.over(Id::MakeUp, make_up);
                    if let Some(area) = area {
                        sums.under(Id::MakeUp, area * count(days.make_up_m3.len() as u64));
                    }
                }
                if !days.heat_j.is_empty() {
                    let heat_gj = days.heat_j.values().sum::<f64>() / 1e9;
                    sums.under(Id::HeatLostShare, heat_gj);
                    sums.over(Id::HeatPerArea, heat_gj);
                    if let Some(area) = area {
                        sums.under(Id::HeatPerArea, area);
                    }
                }
                if let Some(area) = area
                    && let Some(taken) = taken(&days.heat_j, &days.degree_days, area)
                {
                    sums.over(Id::HeatPerDegreeDay, taken.heat_j / 1e9);
                    sums.under(Id::HeatPerDegreeDay, taken.area_degree_days);
                }
                if let Some((volume_m3, area_days)) = secondary {
                    sums.over(Id::SecondaryMakeUp, volume_m3);
                    sums.under(Id::SecondaryMakeUp, area_days);
                }
            }
        }
    }

    /// Make-up of the secondary circuits that are metered, m3, and those stations' area times the days known.
    fn secondary(&self, network: &NetworkId) -> Option<(f64, f64)> {
        let (mut volume_m3, mut area_days) = (0.0, 0.0);
        for station in self.ground.stations(network) {
            let Some(area) = self.ground.station_area_m2(station) else { continue };
            let days = self.facts.hours.amounts(network, Quantity::SecondaryMakeUpFlow, At::Site(station));
            volume_m3 += days.values().sum::<f64>();
            area_days += area * count(days.len() as u64);
        }
        (area_days > 0.0).then_some((volume_m3, area_days))
    }

    /// What an incident cost in heat, GJ: what went with its water, and what was delivered for nothing.
    fn heat_cost_gj(&self, case: &Case) -> Option<f64> {
        let excess_gj = case.excess_heat_j(self.span).map(|joules| joules / 1e9);
        match (self.heat_lost_gj(case), excess_gj) {
            (None, None) => None,
            (lost, excess) => Some(lost.unwrap_or(0.0) + excess.unwrap_or(0.0)),
        }
    }

    /// Heat that went with an incident's water, GJ; `None` for a secondary's, whose temperatures are not the source's.
    fn heat_lost_gj(&self, case: &Case) -> Option<f64> {
        let lost_kg = case.lost_kg(self.span).filter(|_| !case.is_of_secondary())?;
        let days = self.days.get(&case.incident.network)?;
        let first = self.span.day_and_hour(case.incident.onset.as_micros()).0;
        let end = case.incident.cleared.map_or(self.span.to.as_micros(), AppendTime::as_micros);
        let last = self.span.day_and_hour(end).0;
        let mean = |series: &BTreeMap<i32, f64>| mean_between(series, first, last);
        let celsius = match case.incident.side {
            Some(heat_model::plant::Side::Supply) => mean(&days.supply)?,
            Some(heat_model::plant::Side::Return) => mean(&days.back)?,
            None => f64::midpoint(mean(&days.supply)?, mean(&days.back)?),
        };
        let above = celsius - mean(&days.make_up).unwrap_or(MAKE_UP_CELSIUS);
        Some(lost_kg * HEAT_CAPACITY_J_KG_K * above.max(0.0) / 1e9)
    }

    fn scopes_of(&self, case: &Case) -> BTreeSet<Scope> {
        self.ground.scopes_of_site(&case.incident.network, case.site().as_ref())
    }

    fn add_cases(&self, sums: &mut BTreeMap<Scope, Sums>) {
        for case in &self.facts.cases {
            let class = case.incident.class;
            let opened = case.opened_in(self.span);
            let (lost_m3, heat_gj) =
                (case.lost_kg(self.span).map(|kg| kg / 1_000.0), self.heat_lost_gj(case));
            let accepted = self.in_time(case, &[WorkState::Accepted, WorkState::Dispatched]);
            let arrived = self.in_time(case, &[WorkState::OnSite]);
            for scope in self.scopes_of(case) {
                let sums = sums.entry(scope).or_default();
                let of_class = sums.classes.entry(class).or_default();
                of_class.opened += u64::from(opened);
                of_class.present += 1;
                of_class.hours += case.seconds_in(self.span) / 3_600.0;
                of_class.water_m3 += lost_m3.unwrap_or(0.0);
                of_class.heat_gj += self.heat_cost_gj(case).unwrap_or(0.0);
                of_class.heat_unknown |= lost_m3.is_some() && heat_gj.is_none();
                // Make-up of the sources is what these are shares of; a secondary's water is not of it.
                if let Some(lost_m3) = lost_m3.filter(|_| !case.is_of_secondary()) {
                    sums.over(Id::WaterLostShare, lost_m3);
                }
                if let Some(heat_gj) = heat_gj {
                    sums.over(Id::HeatLostShare, heat_gj);
                }
                if opened && case.is_water_loss() {
                    sums.over(Id::WaterLossesPerPipe, 1.0);
                }
                if opened && is_station_fault(class) {
                    sums.over(Id::FaultsPerStation, 1.0);
                }
                for (id, in_time) in [(Id::TimelyAcceptance, accepted), (Id::TimelyArrival, arrived)] {
                    if let Some(in_time) = in_time {
                        sums.counted(id, in_time);
                    }
                }
                for (id, times) in
                    [(Id::RepairsVerified, case.verified), (Id::RepairsReopened, case.reopened)]
                {
                    if case.repaired > 0 {
                        sums.over(id, count(times.min(case.repaired)));
                        sums.under(id, count(case.repaired));
                    }
                }
            }
        }
    }

    /// Whether the first of these steps that has a deadline was reached in time; `None` where none has one, where it is
    /// not due yet, and where the incident was over before anybody had to come.
    fn in_time(&self, case: &Case, steps: &[WorkState]) -> Option<bool> {
        let incident = &case.incident;
        if !case.opened_in(self.span) {
            return None;
        }
        let deadline = |state: &WorkState| {
            Some((*state, self.settings.deadlines.due(incident.priority, *state, incident.opened)?))
        };
        let (state, due) = steps.iter().find_map(deadline)?;
        let due_us = due.as_micros();
        match case.reached_at(state) {
            Some(at) => Some(at.as_micros() <= due_us),
            None if due_us >= self.span.to.as_micros() => None,
            None if incident.cleared.is_some_and(|at| at.as_micros() <= due_us) => None,
            None => Some(false),
        }
    }

    fn add_tickets(&self, sums: &mut BTreeMap<Scope, Sums>) {
        for (scope, households) in self.ground.households() {
            let sums = sums.entry(scope).or_default();
            sums.under(Id::Complaints, households);
            sums.over(Id::Complaints, 0.0);
        }
        for ticket in &self.facts.tickets {
            let explained = ticket.cause == Some(heat_detect::output::TicketCause::Plant);
            for scope in self.ground.scopes_of_site(&ticket.network, ticket.site.as_ref()) {
                let sums = sums.entry(scope).or_default();
                sums.over(Id::Complaints, 1.0);
                sums.counted(Id::TicketsExplained, explained);
                if ticket.closed || ticket.call.is_some() {
                    sums.counted(Id::FollowUp, ticket.call.is_some_and(FollowUpOutcome::is_reached));
                }
                if let Some(call) = ticket.call.filter(|call| call.is_reached()) {
                    sums.counted(Id::Satisfaction, call == FollowUpOutcome::Satisfied);
                }
            }
        }
    }

    fn add_rooms(&self, sums: &mut BTreeMap<Scope, Sums>) {
        for (scope, rooms) in rooms::of_scopes(&self.facts.hours, &self.ground) {
            let sums = sums.entry(scope).or_default();
            sums.over(Id::Compliance, count(rooms.warm));
            sums.under(Id::Compliance, count(rooms.measured));
        }
    }

    fn station_heat(&self) -> BTreeMap<NetworkId, rank::StationHeat> {
        let of_network = |(network, days): (&NetworkId, &NetworkDays)| {
            let of_station = |station: &SiteId| {
                let area = self.ground.station_area_m2(station)?;
                let heat = self.facts.hours.amounts(network, Quantity::HeatPower, At::Site(station));
                Some((station.clone(), taken(&heat, &days.degree_days, area)?))
            };
            (network.clone(), self.ground.stations(network).filter_map(of_station).collect())
        };
        self.days.iter().map(of_network).collect()
    }

    fn incidents(&self) -> Cut<CaseRow> {
        let listed = |case: &&Case| case.incident.priority < heat_model::incident::Priority::P4;
        let mut cases: Vec<&Case> = self.facts.cases.iter().filter(listed).collect();
        cases.sort_by_key(|case| (case.incident.priority, case.incident.onset, case.incident.id));
        let of = cases.len();
        let row = |case: &Case| CaseRow {
            id: case.incident.id.to_string(),
            network: case.incident.network.clone(),
            class: case.incident.class,
            kind: case.incident.kind.clone(),
            priority: case.incident.priority,
            place: case.incident.place.clone(),
            place_name: case.site().and_then(|site| self.ground.site_name(site.as_str()).map(str::to_owned)),
            onset: told(case.incident.onset.as_micros(), self.span),
            hours: case.seconds_in(self.span) / 3_600.0,
            over: case.incident.cleared.is_some(),
            water_m3: case.lost_kg(self.span).map(|kg| kg / 1_000.0),
            heat_gj: self.heat_cost_gj(case),
            affected: case.incident.affected.len(),
        };
        Cut { rows: cases.into_iter().take(CASES_MAX).map(row).collect(), of }
    }

    fn repairs(&self) -> Cut<RepairRow> {
        let mut repaired: Vec<(AppendTime, &Case)> = Vec::new();
        for case in self.facts.cases.iter().filter(|case| case.repaired > 0) {
            repaired.extend(case.repaired_at.map(|at| (at, case)));
        }
        repaired.sort_by_key(|(at, case)| (*at, case.incident.id));
        let of = repaired.len();
        let row = |(at, case): (AppendTime, &Case)| {
            let opened = EventTime::from_micros(case.incident.opened.as_micros());
            let repair = case.repair.clone();
            RepairRow {
                incident: case.incident.id.to_string(),
                network: case.incident.network.clone(),
                class: case.incident.class,
                repaired: told(at.as_micros(), self.span),
                hours_to_repair: EventTime::from_micros(at.as_micros()).since(opened).as_secs_f64() / 3_600.0,
                pipe: repair.as_ref().and_then(|repair| repair.pipe.clone()),
                location: repair.as_ref().and_then(|repair| repair.location.clone()),
                cause: repair.as_ref().and_then(|repair| repair.cause.clone()),
                size_kg_s: repair.and_then(|repair| repair.size_kg_s),
                outcome: match (case.verified > 0, case.reopened > 0) {
                    (_, true) => "reopened",
                    (true, false) => "verified",
                    (false, false) => "awaiting",
                },
            }
        };
        Cut { rows: repaired.into_iter().take(CASES_MAX).map(row).collect(), of }
    }

    fn coverage(&self) -> Coverage {
        let judged = |days: &NetworkDays| {
            let heat = days.heat_j.keys().filter(|day| days.degree_days.contains_key(day)).count();
            [heat, days.make_up_m3.len()]
        };
        let borrowed = self.days.iter().filter(|(_, days)| days.borrowed);
        Coverage {
            days: self.span.days(),
            networks: self.days.iter().map(|(network, days)| (network.clone(), judged(days))).collect(),
            borrowed_weather: borrowed.map(|(network, _)| network.clone()).collect(),
            refused: self.facts.refused + self.facts.hours.refused(),
            unusable_units: self.facts.hours.unusable_units(),
        }
    }

    /// The circuits that were converted, with their networks and dates.
    pub(crate) fn circuits(&self) -> impl Iterator<Item = (&CircuitId, &NetworkId, &str)> {
        let rows = self.ground.plant().circuits.iter();
        rows.filter_map(|row| Some((&row.id, &row.network, row.converted_on.as_deref()?)))
    }
}

/// Heat over the days that have both heat and weather, with area times their degree-days; `None` without any.
pub(crate) fn taken(
    heat_j: &BTreeMap<i32, f64>,
    degree_days: &BTreeMap<i32, f64>,
    area_m2: f64,
) -> Option<Taken> {
    let mut taken = Taken { heat_j: 0.0, area_degree_days: 0.0 };
    for (day, heat) in heat_j {
        let Some(degrees) = degree_days.get(day) else { continue };
        taken.heat_j += heat;
        taken.area_degree_days += area_m2 * degrees;
    }
    (taken.area_degree_days > 0.0).then_some(taken)
}
