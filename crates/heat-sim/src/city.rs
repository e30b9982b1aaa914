//! The city: networks, weather, devices and events on one clock.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use heat_model::{EventTime, NetworkId, label::Label, plant::PlantModel, time::MICROS_PER_SECOND};

use crate::{
    arithmetic::{hash_text, mix},
    assembly::{Assembly, station_id},
    device::Device,
    event::{Script, ScriptError},
    layout::{By, Layout},
    message::DeviceMessage,
    network::{Account, Network},
    plan::{CityPlan, PlanError},
    schedule::Schedule,
    station::Surroundings,
    weather::Weather,
};

/// How often the city is read out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Every device once in this interval, a multiple of 15 minutes; the physics takes steps of a minute, of a second
    /// where something happens fast.
    History(Duration),
    /// Every device at its own interval, fast pressure loggers also when the pressure moves; steps of a second.
    Live,
}

impl Scan {
    /// History every 15 minutes.
    pub const HISTORY: Self = Self::History(Duration::from_secs(900));
}

/// Stations that change from steam to hot water, and when.
#[derive(Debug, Clone)]
struct Conversion {
    network: usize,
    at_s: i64,
    stations: Vec<usize>,
    /// Devices that are new with it, and those that are taken away.
    new: Vec<usize>,
    old: Vec<usize>,
    is_done: bool,
}

const HISTORY_STEP_S: i64 = 60;
const WARM_UP_S: i64 = 36 * 3_600;

/// A simulated city. The same plan, seed, start, script and scans give the same messages, bit for bit.
#[derive(Debug, Clone)]
pub struct City {
    plan: CityPlan,
    weather: Weather,
    networks: Vec<Network>,
    devices: Vec<Device>,
    plant: PlantModel,
    schedule: Schedule,
    conversions: Vec<Conversion>,
    now_s: i64,
    scan: Scan,
    /// Devices by the time of their next report, microseconds.
    due: BinaryHeap<Reverse<(i64, usize)>>,
}

impl City {
    /// Builds the city and lets it settle, so that it is in operation at `start` (whole seconds).
    pub fn new(plan: CityPlan, seed: u64, start: EventTime) -> Result<Self, PlanError> {
        plan.check()?;
        let weather = Weather::new(&plan, seed);
        let now_s = start.second();
        let around = surroundings(&weather, now_s - WARM_UP_S);
        let (mut networks, mut devices, mut plant) = (Vec::new(), Vec::new(), PlantModel::default());
        let mut conversions = Vec::new();
        for (index, network_plan) in plan.networks.iter().enumerate() {
            let layout = Layout::new(network_plan, seed);
            let seed = mix(hash_text(seed, network_plan.id.as_str()));
            let network = Network::new(network_plan, &layout, seed, around);
            Assembly { index, city: &plan, plan: network_plan, layout: &layout, network: &network, seed }
                .add_to(&mut plant, &mut devices);
            conversions.extend(Conversion::of(index, &plan, &layout, &mut devices));
            networks.push(network);
        }
        let mut city = Self {
            plan,
            weather,
            networks,
            devices,
            plant,
            schedule: Schedule::default(),
            conversions,
            now_s: now_s - WARM_UP_S,
            scan: Scan::HISTORY,
            due: BinaryHeap::new(),
        };
        while city.now_s < now_s {
            city.step(HISTORY_STEP_S.min(now_s - city.now_s));
        }
        city.plan_reports();
        Ok(city)
    }

    /// The plant tables.
    pub fn plant(&self) -> &PlantModel {
        &self.plant
    }

    /// The plan it was built from.
    pub fn plan(&self) -> &CityPlan {
        &self.plan
    }

    /// All devices; [`DeviceMessage::index`] counts in it.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Up to when it has been simulated.
    pub fn now(&self) -> EventTime {
        EventTime::from_micros(self.now_s * MICROS_PER_SECOND)
    }

    /// Takes a script's events, counted from `zero` (whole seconds, not before the present).
    pub fn schedule(&mut self, script: &Script, zero: EventTime) -> Result<(), ScriptError> {
        self.schedule.add(script, zero.second(), self.now_s, &self.plan, &self.plant, &self.devices)
    }

    /// A crew finds and mends every burst and leak that a network has now; says how many. From the next step on no water
    /// is lost there.
    pub fn mend(&mut self, network: &NetworkId) -> usize {
        let index = self.plan.networks.iter().position(|plan| plan.id == *network);
        index.map_or(0, |index| self.schedule.mend(index, self.now_s))
    }

    /// Labels of all events that have begun. The size of a leak is what it lost 5 s after onset (a burst), 90 s after
    /// (an abrupt leak), or most so far (an incipient one).
    pub fn labels(&self) -> Vec<Label> {
        self.schedule.labels(&self.plan)
    }

    /// Where all water and heat of a network went since the city was built.
    pub fn account(&self, network: &NetworkId) -> Option<Account> {
        let index = self.plan.networks.iter().position(|plan| plan.id == *network)?;
        Some(self.networks[index].account())
    }

    /// Advances to `to` and hands out every message of that time, in order of time. History advances in whole minutes
    /// and may stop short of `to` by less than one; live takes up the rest.
    pub fn advance(&mut self, to: EventTime, scan: Scan, sink: &mut impl FnMut(&DeviceMessage<'_>)) {
        if scan != self.scan {
            self.scan = scan;
            self.plan_reports();
        }
        let to_s = to.second();
        loop {
            let dt_s = match scan {
                Scan::Live => 1,
                Scan::History(_) => self.history_step(),
            };
            if self.now_s + dt_s > to_s {
                return;
            }
            self.step(dt_s);
            self.report(scan == Scan::Live, sink);
        }
    }

    fn history_step(&self) -> i64 {
        let to_grid = HISTORY_STEP_S - self.now_s.rem_euclid(HISTORY_STEP_S);
        let is_fast = self.schedule.is_fast(self.now_s)
            || self.networks.iter().any(|network| network.source.is_disturbed());
        if is_fast { 1 } else { to_grid.min(self.schedule.next_change(self.now_s).unwrap_or(to_grid)) }
    }

    fn step(&mut self, dt_s: i64) {
        for conversion in self.conversions.iter_mut().filter(|conversion| conversion.at_s <= self.now_s) {
            conversion.carry_out(&mut self.networks, &mut self.devices);
        }
        self.schedule.apply(self.now_s, &mut self.networks, &mut self.devices);
        let end_s = self.now_s + dt_s;
        let around = surroundings(&self.weather, end_s);
        let dt = f64::from(i32::try_from(dt_s).expect("a minute at most"));
        for network in &mut self.networks {
            network.step(dt, around);
        }
        self.now_s = end_s;
        self.schedule.observe(end_s, &self.networks);
    }

    fn interval_micros(&self, device: &Device) -> i64 {
        match self.scan {
            Scan::Live => i64::from(device.interval_s()) * MICROS_PER_SECOND,
            Scan::History(interval) => i64::try_from(interval.as_secs().div_ceil(900).max(1) * 900)
                .map_or(i64::MAX / 4, |seconds| seconds * MICROS_PER_SECOND),
        }
    }

    /// Plans every device's next report for the present scan.
    fn plan_reports(&mut self) {
        let now = self.now_s * MICROS_PER_SECOND;
        let due = self
            .devices
            .iter()
            .enumerate()
            .map(|(index, device)| Reverse((device.due_after(now, self.interval_micros(device)), index)))
            .collect::<Vec<_>>();
        self.due = due.into();
    }

    /// Sends what fell due in the step that ended.
    fn report(&mut self, by_exception: bool, sink: &mut impl FnMut(&DeviceMessage<'_>)) {
        let now = self.now_s * MICROS_PER_SECOND;
        let mut reporting: Vec<(i64, usize)> = Vec::new();
        while let Some(&Reverse((time, index))) = self.due.peek()
            && time <= now
        {
            self.due.pop();
            let interval = self.interval_micros(&self.devices[index]);
            self.due.push(Reverse((time + interval, index)));
            reporting.push((time, index));
        }
        if by_exception {
            let planned = reporting.len();
            for (index, device) in self.devices.iter().enumerate().filter(|(_, d)| d.reports_by_exception) {
                if device.has_exception(&self.networks[device.network])
                    && reporting.iter().take(planned).all(|&(_, other)| other != index)
                {
                    reporting.push((now - MICROS_PER_SECOND + device.within_second_micros() + 1, index));
                }
            }
            reporting.sort_unstable();
        }
        for (time, index) in reporting {
            let device = &mut self.devices[index];
            if device.measure(&self.networks[device.network], self.plan.gap_share) {
                sink(&device.message(index, EventTime::from_micros(time)));
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn networks(&self) -> &[Network] {
        &self.networks
    }
}

impl Conversion {
    /// What a plan converts; the meters of hot water are silent until then.
    fn of(network: usize, plan: &CityPlan, layout: &Layout, devices: &mut [Device]) -> Option<Self> {
        let steam = plan.networks[network].steam.as_ref()?;
        #[expect(clippy::cast_possible_truncation, reason = "an hour of a day in seconds")]
        let offset_s = (plan.utc_offset_hours * 3_600.0) as i64;
        let at_s = steam.midnight_utc_s()? - offset_s;
        let by = layout.stations.iter().enumerate().filter(|(_, station)| station.by == By::Converted);
        let stations: Vec<usize> = by.map(|(index, _)| index).collect();
        let sites: Vec<_> = stations.iter().map(|&s| station_id(&plan.networks[network], s)).collect();
        let of = |names: &[&str]| -> Vec<usize> {
            let all = devices.iter().enumerate();
            all.filter(|(_, device)| {
                device.network == network
                    && sites.contains(device.site())
                    && names.contains(&device.device().as_str())
            })
            .map(|(index, _)| index)
            .collect()
        };
        let (new, old) = (of(&["meter", "pressure"]), of(&["steam"]));
        for &device in &new {
            devices[device].silenced += 1;
        }
        Some(Self { network, at_s, stations, new, old, is_done: false })
    }

    fn carry_out(&mut self, networks: &mut [Network], devices: &mut [Device]) {
        if std::mem::replace(&mut self.is_done, true) {
            return;
        }
        networks[self.network].convert(&self.stations);
        self.new.iter().for_each(|&device| devices[device].silenced -= 1);
        self.old.iter().for_each(|&device| devices[device].silenced += 1);
    }
}

fn surroundings(weather: &Weather, second: i64) -> Surroundings {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a double")]
    let second = second as f64;
    let outdoor_celsius = weather.outdoor_celsius(second);
    Surroundings {
        second,
        local_hour: weather.local_hour(second),
        outdoor_celsius,
        // Controllers average over hours: the mean of the last three.
        outdoor_filtered_celsius: (outdoor_celsius
            + weather.outdoor_celsius(second - 5_400.0)
            + weather.outdoor_celsius(second - 10_800.0))
            / 3.0,
    }
}

#[cfg(test)]
mod tests;
