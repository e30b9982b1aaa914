//! Signal quality: which signals are silent, whose clock is wrong, which values are no measurements.
//!
//! Each signal is judged against itself: its own rhythm ([`rhythm`]), its own scatter ([`gate`]), its own habit of repeating
//! values ([`habit`]). What needs a second signal to tell (bias, drift, swapped sensors) is told where the physics is: see
//! `thermal`. A value that is known to be no measurement never reaches any detector; a signal with an open fault is not
//! trusted ([`Quality::is_trusted`]), and other detectors leave it out.
//!
//! Cold start: a signal is judged for silence after a day, for a stuck value after its habit of repeating is known, for
//! the rest as soon as its scatter is. Findings clear when the signal has behaved for hours.

mod beside;
mod company;
pub(crate) mod frozen;
pub(crate) mod gate;
mod habit;
mod leaps;
pub(crate) mod nature;
mod peaks;
mod range;
pub(crate) mod rhythm;
mod slips;
mod spikes;
mod steps;
mod words;

use std::collections::BTreeMap;

use heat_model::{QualityCode, incident::Class, plant::SiteKind};
use serde::{Deserialize, Serialize};

use self::{
    beside::{Moving, alone, is_contradicted, isolated},
    company::Companies,
    frozen::Frozen,
    gate::{Gate, Judgement},
    leaps::Leaps,
    peaks::Peak,
    rhythm::Rhythm,
};
use crate::{
    layout::{Layout, Role},
    network::statements::{Fact, Place, Statement, Telling},
    tracker::{Step, Tracker},
};

/// Records of a device with a wrong time before it is told: one may be a hiccup.
const CLOCK_MARKS: u8 = 2;
/// Microseconds without a wrong time after which a device's clock is right again.
const CLOCK_WELL_US: i64 = 2 * 3_600_000_000;
/// Spikes noted between two quarter hours; more are no longer isolated anyway.
const SPIKES_MAX: usize = 4_096;
/// After so long a fault that no longer shows is over.
const CLEAR_US: i64 = 6 * 3_600_000_000;
/// Supply and return of a circuit at rest differ by less, K.
const RESTS_KELVIN: f64 = 2.0;
/// Density of water at 100 degC or so, kg/m3: a bound needs it no better.
const HOT_KG_M3: f64 = 958.0;
/// Share of a site's other signals that must move for a still one to be stuck.
const MOVING_SHARE: f64 = 0.5;

/// Why a single signal is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Fault {
    Sentinel,
    Stuck,
    Spikes,
    UnitSlip,
    CounterReset,
    Swapped,
    Bias,
    Drift,
    Quantised,
    Range,
    /// A change beyond what the quantity can do in the time.
    Rate,
    Impossible,
}

impl Fault {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Sentinel => "sentinel",
            Self::Stuck => "stuck",
            Self::Spikes => "spikes",
            Self::UnitSlip => "unit_slip",
            Self::CounterReset => "counter_reset",
            Self::Swapped => "swapped",
            Self::Bias => "bias",
            Self::Drift => "drift",
            Self::Quantised => "quantisation",
            Self::Range => "range",
            Self::Rate => "rate",
            Self::Impossible => "impossible",
        }
    }

    /// Whether the values say nothing at all, so that relations to other signals cannot be judged either.
    const fn blinds(self) -> bool {
        match self {
            Self::Sentinel
            | Self::Stuck
            | Self::UnitSlip
            | Self::Swapped
            | Self::Range
            | Self::Impossible => true,
            Self::Spikes | Self::CounterReset | Self::Rate | Self::Bias | Self::Drift | Self::Quantised => {
                false
            }
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Clock {
    marks: u8,
    since_us: i64,
    last_us: i64,
    code: QualityCode,
    said: bool,
}

/// What is known of a network's signals.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Quality {
    rhythm: Rhythm,
    gates: Vec<Gate>,
    /// By device.
    clocks: Vec<Clock>,
    /// (signal, event time) of values that left their signal's range and came back at once.
    spikes: Vec<(u32, i64)>,
    /// Peaks of slow signals since the last quarter hour ended.
    peaks: Vec<(u32, Peak)>,
    frozen: Frozen,
    leaps: Leaps,
    /// What circulates when the sources are lively, m3/s.
    circulates: f64,
}

impl Quality {
    pub(crate) fn add_signal(&mut self, device: u32) {
        self.gates.push(Gate::default());
        self.rhythm.add_signal();
        let devices = self.clocks.len().max(device as usize + 1);
        self.clocks.resize(devices, Clock::default());
    }

    /// Whether other detectors may build on a signal.
    pub(crate) fn is_trusted(&self, signal: u32) -> bool {
        self.gates[signal as usize].fault.is_none()
    }

    /// The fault of a signal that is open.
    pub(crate) fn fault(&self, signal: u32) -> Option<Fault> {
        self.gates[signal as usize].fault
    }

    /// Whether a signal's values say nothing about what they name.
    pub(crate) fn is_blind(&self, signal: u32) -> bool {
        self.gates[signal as usize].fault.is_some_and(Fault::blinds)
    }

    /// Whether a site only repeats what it last had, so that nothing it sends says how things are now.
    pub(crate) fn is_frozen(&self, site: u32) -> bool {
        self.frozen.is(site)
    }

    /// When a signal's value last changed; `None` before its first.
    pub(crate) fn moved_us(&self, signal: u32) -> Option<i64> {
        self.gates[signal as usize].moved_us()
    }

    /// A live reading has come, whatever it says.
    pub(crate) fn arrived(&mut self, signal: u32, now_us: i64) {
        self.rhythm.arrived(signal, now_us);
    }

    /// A device's reading carries a wrong time.
    pub(crate) fn clock_marked(&mut self, device: u32, code: QualityCode, now_us: i64) {
        let clock = &mut self.clocks[device as usize];
        if now_us == clock.last_us && clock.marks > 0 {
            return;
        }
        if clock.marks == 0 {
            clock.since_us = now_us;
        }
        clock.marks = clock.marks.saturating_add(1);
        clock.last_us = now_us;
        clock.code = code;
    }

    /// Whether a value is a measurement at all; it is set aside otherwise.
    pub(crate) fn admit(
        &mut self,
        signal: u32,
        role: Role,
        at_us: i64,
        value: f64,
        tracker: &Tracker,
        prior: f64,
    ) -> bool {
        self.gates[signal as usize].admit(role, at_us, value, tracker, prior) == Judgement::Measurement
    }

    /// A counter's reading, SI, without what it leapt by; any other signal's as it is.
    pub(crate) fn without_leaps(&mut self, signal: u32, role: Role, at_us: i64, value: f64) -> f64 {
        if !nature::is_counter(role) {
            return value;
        }
        let most = (nature::counts_feed(role) && self.circulates > 0.0).then_some(self.circulates);
        self.leaps.take(signal, at_us, value, most)
    }

    /// What a value said against where its signal stood.
    pub(crate) fn stepped(&mut self, signal: u32, role: Role, at_us: i64, value: f64, step: Step) {
        if self.gates[signal as usize].stepped(role, value, step) && self.spikes.len() < SPIKES_MAX {
            self.spikes.push((signal, at_us));
        }
    }

    /// A measurement of a signal that is read seldom: what it says of the one before.
    pub(crate) fn measured(&mut self, signal: u32, role: Role, at_us: i64, value: f64) {
        if let Some(peak) = self.gates[signal as usize].peaked(role, at_us, value)
            && self.peaks.len() < self.gates.len().max(SPIKES_MAX)
        {
            self.peaks.push((signal, peak));
        }
    }

    /// A minute passes: who is silent, whose clock is wrong.
    pub(crate) fn minute(&mut self, layout: &Layout, now_us: i64) -> Vec<Statement> {
        let mut said = self.rhythm.minute(layout, now_us);
        for (device, clock) in (0_u32..).zip(&mut self.clocks) {
            if clock.marks == 0 {
                continue;
            }
            let over = now_us - clock.last_us > CLOCK_WELL_US;
            if clock.marks >= CLOCK_MARKS && !clock.said {
                clock.said = true;
            } else if !over {
                continue;
            }
            if clock.said {
                said.push(Statement {
                    detector: "clock",
                    class: Class::ClockFault,
                    kind: Some(clock.code.as_str()),
                    place: Place::Device(device),
                    onset_us: clock.since_us,
                    active: !over,
                    facts: Vec::new(),
                    strength: f64::from(clock.marks),
                    affected: Vec::new(),
                    telling: Telling::Anew,
                });
            }
            if over {
                *clock = Clock::default();
            }
        }
        said
    }

    /// A quarter hour ends: which signals do not measure. `at_us` is its end.
    pub(crate) fn close_bin(&mut self, layout: &Layout, trackers: &[Tracker], at_us: i64) -> Vec<Statement> {
        let moving = self.moving(layout);
        for (gate, placed) in self.gates.iter_mut().zip(&layout.placed) {
            let site_moves = moving[placed.site as usize].besides(gate, placed.role) >= MOVING_SHARE;
            gate.close_bin(placed.role, site_moves);
            if gate.is_fresh() {
                let is_its_own = site_moves && gate.fault != Some(Fault::Stuck);
                gate.habit.note_rest(is_its_own);
            }
        }
        self.circulates = self.most_circulating(layout);
        self.note_company(layout);
        let mut said = Vec::new();
        self.frozen.close_bin(layout, &self.gates, at_us, &mut said);
        self.note_spikes(layout, at_us);
        let mut odd = BTreeMap::<Role, usize>::new();
        for (gate, placed) in self.gates.iter_mut().zip(&layout.placed) {
            *odd.entry(placed.role).or_default() += usize::from(gate.odd_for > 0);
            gate.odd_for = gate.odd_for.saturating_sub(1);
        }
        for signal in 0..self.gates.len() {
            let placed = layout.placed[signal];
            let slipped = self.gates[signal].slips.take();
            let number = u32::try_from(signal).expect("signals are bounded by the settings");
            let leap = self.leaps.since(number);
            let slipped = slipped || leap.is_some_and(|leap| leap.is_slip);
            let leapt = leap.map(|leap| leap.rise);
            let gate = &self.gates[signal];
            let is_plant = odd[&placed.role] > beside::SPIKES_OF_PLANT;
            let shows = if gate.words.shows(at_us)
                && (placed.role.is_temperature()
                    || (gate.words.is_known() || !is_plant) && is_contradicted(layout, trackers, signal))
            {
                Some(Fault::Sentinel)
            } else if slipped && !is_plant {
                Some(Fault::UnitSlip)
            } else if gate.beyond.shows(at_us) {
                Some(Fault::Range)
            } else if gate.shows_stuck(placed.role, at_us) && !self.rests(layout, signal) {
                Some(Fault::Stuck)
            } else if gate.spikes.shows(at_us) {
                Some(Fault::Spikes)
            } else if gate.reset {
                Some(Fault::CounterReset)
            } else if leapt.is_some() {
                Some(Fault::Rate)
            } else if gate.shows_steps() {
                Some(Fault::Quantised)
            } else {
                None
            };
            self.gates[signal].reset = false;
            if let Some(fault) = shows
                && let Some(onset_us) = self.opens(number, fault, at_us)
            {
                let value = leapt.unwrap_or_else(|| self.gates[signal].told_value(fault));
                said.push(self.statement(layout, number, fault, onset_us, value, true));
            }
        }
        self.clear(layout, at_us, &mut said);
        said
    }

    fn most_circulating(&self, layout: &Layout) -> f64 {
        let flow = |signal: u32| {
            let high = self.gates[signal as usize].high();
            if layout.placed[signal as usize].is_mass { high / HOT_KG_M3 } else { high }
        };
        layout
            .of_kind(SiteKind::Source)
            .filter_map(|(_, source)| source.signal(Role::SupplyFlow).or(source.signal(Role::ReturnFlow)))
            .map(flow)
            .sum()
    }

    /// Notes where the company of each signal stands that has stood still.
    fn note_company(&mut self, layout: &Layout) {
        let companies = Companies::new(layout, &self.gates);
        for signal in 0..self.gates.len() {
            if self.gates[signal].is_fresh()
                && let Some(value) = companies.of(layout, &self.gates, signal)
            {
                self.gates[signal].company.note(value);
            }
        }
    }

    /// Counts what left its signal's course alone and came back.
    fn note_spikes(&mut self, layout: &Layout, at_us: i64) {
        let spikes = std::mem::take(&mut self.spikes);
        let peaks = std::mem::take(&mut self.peaks);
        let mut spiked = isolated(layout, &spikes);
        for signal in alone(layout, &peaks) {
            // The same readings may be both.
            if !spiked.contains(&signal) {
                spiked.push(signal);
            }
        }
        for signal in spiked {
            self.gates[signal as usize].spikes.note(at_us);
        }
    }

    /// Whether a water temperature is that of a circuit at rest: there it may stand still for days.
    fn rests(&self, layout: &Layout, signal: usize) -> bool {
        let placed = layout.placed[signal];
        let pairs = [
            (Role::SupplyTemperature, Role::ReturnTemperature),
            (Role::SecondarySupplyTemperature, Role::SecondaryReturnTemperature),
        ];
        let counterpart = pairs.into_iter().find_map(|(supply, back)| {
            if placed.role == supply {
                Some(back)
            } else if placed.role == back {
                Some(supply)
            } else {
                None
            }
        });
        let site = &layout.sites[placed.site as usize];
        counterpart.and_then(|role| site.signal(role)).is_some_and(|other| {
            (self.gates[signal].last_seen() - self.gates[other as usize].last_seen()).abs() < RESTS_KELVIN
        })
    }

    /// Opens a fault of a signal, or notes that it still shows; its onset if it is new.
    pub(crate) fn opens(&mut self, signal: u32, fault: Fault, at_us: i64) -> Option<i64> {
        let gate = &mut self.gates[signal as usize];
        gate.shown_us = at_us;
        if gate.fault.is_some() {
            return None;
        }
        gate.fault = Some(fault);
        Some(gate.onset_us(fault, at_us))
    }

    /// A fault that relations to other signals showed is over.
    pub(crate) fn closes(&mut self, signal: u32) {
        self.gates[signal as usize].fault = None;
    }

    /// The same, if it is this fault.
    pub(crate) fn closes_if(&mut self, signal: u32, fault: Fault) {
        if self.fault(signal) == Some(fault) {
            self.closes(signal);
        }
    }

    fn statement(
        &self,
        layout: &Layout,
        signal: u32,
        fault: Fault,
        onset_us: i64,
        value: f64,
        active: bool,
    ) -> Statement {
        // What a home's sensor read is the household's.
        let site = layout.placed[signal as usize].site;
        let is_private = layout.is_household(&layout.sites[site as usize].id);
        let role = layout.placed[signal as usize].role;
        let unit = match (fault == Fault::Rate, role == Role::HeatEnergy) {
            (true, true) => "J",
            (true, false) => "m3",
            (false, _) => "",
        };
        let fact = Fact { signal: Some(signal), what: fault.kind(), value, unit };
        Statement {
            detector: "signal_quality",
            class: Class::SensorFault,
            kind: Some(fault.kind()),
            place: Place::Signal(signal),
            onset_us,
            active,
            facts: if is_private { Vec::new() } else { vec![fact] },
            strength: 1.0,
            affected: Vec::new(),
            telling: Telling::Anew,
        }
    }

    /// Faults that the signal itself showed and shows no more; those that relations showed are theirs to end.
    fn clear(&mut self, layout: &Layout, at_us: i64, said: &mut Vec<Statement>) {
        for signal in 0..self.gates.len() {
            let gate = &self.gates[signal];
            let Some(fault) = gate.fault else { continue };
            let rest_us = match fault {
                Fault::Stuck if gate.habit.is_still() => i64::MAX,
                Fault::Quantised if gate.shows_steps() => i64::MAX,
                Fault::Stuck | Fault::Quantised => 0,
                Fault::Spikes => 2 * CLEAR_US,
                // An outdoor sensor's is told, and ended, by the others.
                Fault::Rate if !nature::is_counter(layout.placed[signal].role) => continue,
                Fault::Sentinel | Fault::UnitSlip | Fault::CounterReset | Fault::Range | Fault::Rate => {
                    CLEAR_US
                }
                Fault::Swapped | Fault::Bias | Fault::Drift | Fault::Impossible => continue,
            };
            // Silence is no health: only measurements show that values which were none are over.
            let well_us = if fault.blinds() && fault != Fault::Stuck { gate.measured_us } else { at_us };
            if well_us.saturating_sub(gate.shown_us) > rest_us {
                let value = gate.told_value(fault);
                self.gates[signal].fault = None;
                let signal = u32::try_from(signal).expect("signals are bounded by the settings");
                said.push(self.statement(layout, signal, fault, at_us, value, false));
            }
        }
    }

    /// How many of each site's signals, of those that are not still by nature, reported in this quarter hour and moved.
    fn moving(&self, layout: &Layout) -> Vec<Moving> {
        let mut sites = vec![Moving::default(); layout.sites.len()];
        for (placed, gate) in layout.placed.iter().zip(&self.gates) {
            if let Some(moved) = gate.has_moved().filter(|_| !nature::may_stand_still(placed.role)) {
                let site = &mut sites[placed.site as usize];
                site.all += 1;
                site.moved += u32::from(moved);
            }
        }
        sites
    }
}
