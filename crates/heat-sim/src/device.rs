//! Meters and devices: from the simulated truth to what is sent, with the errors of real instruments.
//!
//! A meter has a gain and an offset that it keeps (its accuracy class), a slow drift of them, noise, and a resolution.

use heat_model::{DeviceId, EventTime, NetworkId, Quality, SiteId};

use crate::{
    arithmetic::{Random, bell, mix, smooth_noise, unit},
    event::SensorFault,
    message::{DeviceMessage, DeviceSignal, RawValue},
    network::Network,
};

/// Reads a quantity of a network at a place (a node's, a station's or a home's number), in the signal's unit.
pub(crate) type Tap = fn(&Network, usize) -> f64;

/// Kind of instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instrument {
    Flow,
    PairedTemperature,
    Temperature,
    RoomTemperature,
    FinePressure,
    Pressure,
    Heat,
    Counter,
    Level,
    Controller,
    Status,
}

/// Deviations of an instrument's errors, relative or in its signal's unit.
struct Errors {
    gain: f64,
    offset: f64,
    drift: f64,
    noise: f64,
    relative_noise: f64,
}

impl Instrument {
    pub(crate) const fn class(self) -> Option<&'static str> {
        match self {
            Self::Flow | Self::Heat | Self::Counter => Some("EN 1434 class 2"),
            Self::PairedTemperature => Some("EN 1434 pair"),
            Self::Temperature => Some("Pt1000 B"),
            Self::RoomTemperature => Some("0.3 K"),
            Self::FinePressure => Some("0.25 %"),
            Self::Pressure => Some("0.5 %"),
            Self::Level => Some("1 %"),
            Self::Controller | Self::Status => None,
        }
    }

    /// Pressures in MPa of a range of 1.6, temperatures in K.
    const fn errors(self) -> Errors {
        let (gain, offset, drift, noise, relative_noise) = match self {
            Self::Flow => (0.008, 0.0, 0.001, 0.0, 0.002),
            Self::PairedTemperature => (0.0, 0.08, 0.02, 0.03, 0.0),
            Self::Temperature => (0.0, 0.25, 0.04, 0.06, 0.0),
            Self::RoomTemperature => (0.0, 0.15, 0.05, 0.05, 0.0),
            Self::FinePressure => (0.0, 0.0015, 0.0003, 0.0005, 0.0),
            Self::Pressure => (0.0, 0.003, 0.0006, 0.0008, 0.0),
            Self::Heat => (0.01, 0.0, 0.001, 0.0, 0.003),
            Self::Counter => (0.008, 0.0, 0.0, 0.0, 0.0),
            Self::Level => (0.0, 0.02, 0.005, 0.005, 0.0),
            Self::Controller => (0.0, 0.0, 0.0, 0.0, 0.0),
            Self::Status => (0.0, 0.0, 0.0, 0.0, 0.0),
        };
        Errors { gain, offset, drift, noise, relative_noise }
    }
}

/// One line of a device's table of signals.
pub(crate) struct SignalRow {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) range: (f64, f64),
    pub(crate) instrument: Instrument,
    /// Steps in one unit that the device resolves.
    pub(crate) steps_per_unit: f64,
    pub(crate) tap: Tap,
}

#[derive(Debug, Clone)]
pub(crate) struct Signal {
    tap: Tap,
    place: usize,
    seed: u64,
    instrument: Instrument,
    gain: f64,
    offset: f64,
    steps_per_unit: f64,
}

#[derive(Debug, Clone)]
pub(crate) struct ActiveFault {
    pub(crate) event: usize,
    pub(crate) signal: usize,
    pub(crate) fault: SensorFault,
    pub(crate) start_s: f64,
    pub(crate) end_s: f64,
    /// The value at onset, of a stuck sensor.
    held: Option<f64>,
    /// What a swapped sensor really measures.
    swapped: Option<Signal>,
}

/// A device as it sends.
#[derive(Debug, Clone)]
pub struct Device {
    pub(crate) network: usize,
    network_id: NetworkId,
    site: SiteId,
    device: DeviceId,
    pub(crate) names: Vec<DeviceSignal>,
    pub(crate) signals: Vec<Signal>,
    seed: u64,
    boot: String,
    seq: u64,
    interval_s: u32,
    phase_micros: i64,
    pub(crate) reports_by_exception: bool,
    /// Values that a report by exception is measured against.
    reported: Vec<f64>,
    /// How many events silence it.
    pub(crate) silenced: u32,
    faults: Vec<ActiveFault>,
    raw: Vec<RawValue>,
}

/// A pressure that moved by more than this is reported at once, MPa.
const EXCEPTION_MPA: f64 = 0.01;
/// Share of a temperature's readings that are a sentinel or null.
const SENTINEL_SHARE: f64 = 2e-5;

impl Device {
    pub(crate) fn new(
        network: usize,
        network_id: &NetworkId,
        (site, device): (&SiteId, &str),
        (interval_s, reports_by_exception): (u32, bool),
        rows: &[(&SignalRow, usize)],
        seed: u64,
    ) -> Self {
        let mut random = Random::new(seed);
        let micros = u64::from(interval_s) * 1_000;
        let phase = i64::try_from(random.bits() % micros).expect("below an interval") * 1_000;
        let signals: Vec<Signal> = rows
            .iter()
            .map(|(row, place)| {
                let errors = row.instrument.errors();
                Signal {
                    tap: row.tap,
                    place: *place,
                    seed: random.bits(),
                    instrument: row.instrument,
                    gain: 1.0 + errors.gain * random.bell().clamp(-2.3, 2.3),
                    offset: errors.offset * random.bell().clamp(-2.3, 2.3),
                    steps_per_unit: row.steps_per_unit,
                }
            })
            .collect();
        Self {
            network,
            network_id: network_id.clone(),
            site: site.clone(),
            device: DeviceId::new(device).expect("a literal id"),
            names: rows
                .iter()
                .map(|(row, _)| DeviceSignal {
                    name: heat_model::SignalName::new(row.name).expect("a literal id"),
                    unit: row.unit,
                })
                .collect(),
            boot: format!("{:04x}", random.bits() & 0xFFFF),
            seed,
            seq: 0,
            interval_s,
            phase_micros: phase,
            reports_by_exception,
            reported: vec![f64::NAN; signals.len()],
            silenced: 0,
            faults: Vec::new(),
            raw: Vec::with_capacity(signals.len()),
            signals,
        }
    }

    /// Network.
    pub fn network(&self) -> &NetworkId {
        &self.network_id
    }

    /// Site.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// Device.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Its signals.
    pub fn signals(&self) -> &[DeviceSignal] {
        &self.names
    }

    /// How often it reports when live.
    pub fn interval_s(&self) -> u32 {
        self.interval_s
    }

    /// The first time after `after_micros` at which it reports every `interval_micros`.
    pub(crate) fn due_after(&self, after_micros: i64, interval_micros: i64) -> i64 {
        // Its phase keeps its share of the interval, so that devices stay spread.
        let live = i64::from(self.interval_s) * 1_000_000;
        let phase = self.phase_micros * (interval_micros / live).max(1);
        let past = (after_micros - phase).div_euclid(interval_micros);
        (past + 1) * interval_micros + phase
    }

    /// The device's own place within a second.
    pub(crate) fn within_second_micros(&self) -> i64 {
        self.phase_micros % 1_000_000
    }

    pub(crate) fn add_fault(
        &mut self,
        event: usize,
        signal: usize,
        fault: SensorFault,
        (start_s, end_s): (f64, f64),
        swapped: Option<Signal>,
    ) {
        self.faults.push(ActiveFault { event, signal, fault, start_s, end_s, held: None, swapped });
    }

    pub(crate) fn remove_faults(&mut self, event: usize) {
        self.faults.retain(|fault| fault.event != event);
    }

    /// Whether a value has moved enough since it was last reported.
    pub(crate) fn has_exception(&self, network: &Network) -> bool {
        self.signals
            .iter()
            .zip(&self.reported)
            .any(|(signal, reported)| ((signal.tap)(network, signal.place) - reported).abs() > EXCEPTION_MPA)
    }

    /// Measures all signals; false where nothing arrives, because it is silent or the message is lost.
    pub(crate) fn measure(&mut self, network: &Network, gap_share: f64) -> bool {
        self.seq += 1;
        let lost = unit(mix(self.seed ^ mix(self.seq))) < gap_share;
        if lost || self.silenced > 0 {
            return false;
        }
        let second = network.around.second;
        self.raw.clear();
        for (signal, reported) in self.signals.iter().zip(&mut self.reported) {
            let truth = (signal.tap)(network, signal.place);
            *reported = truth;
            self.raw.push(signal.read(truth, second, self.seq));
        }
        for fault in &mut self.faults {
            fault.apply(&mut self.raw[fault.signal], &self.signals[fault.signal], network, self.seq);
        }
        true
    }

    /// What it measured last.
    pub(crate) fn message(&self, index: usize, time: EventTime) -> DeviceMessage<'_> {
        DeviceMessage {
            index,
            network: &self.network_id,
            site: &self.site,
            device: &self.device,
            time,
            seq: self.seq - 1,
            boot: &self.boot,
            signals: &self.names,
            raw: &self.raw,
        }
    }
}

impl Signal {
    fn read(&self, truth: f64, second: f64, seq: u64) -> RawValue {
        if self.instrument == Instrument::Status {
            return RawValue { raw: truth, quality: Quality::Good };
        }
        let bits = mix(self.seed ^ seq);
        let errors = self.instrument.errors();
        if matches!(self.instrument, Instrument::Temperature) && unit(mix(bits)) < SENTINEL_SHARE {
            return if bits & 1 == 0 {
                RawValue { raw: -999.0, quality: Quality::Good }
            } else {
                RawValue { raw: f64::NAN, quality: Quality::Bad }
            };
        }
        let drift =
            if errors.drift > 0.0 { errors.drift * smooth_noise(self.seed, second / 864_000.0) } else { 0.0 };
        let noise = bell(bits);
        let gain = self.gain + if errors.offset > 0.0 { 0.0 } else { drift } + errors.relative_noise * noise;
        let offset = self.offset + if errors.offset > 0.0 { drift } else { 0.0 } + errors.noise * noise;
        RawValue { raw: self.resolve(truth * gain + offset), quality: Quality::Good }
    }

    fn resolve(&self, value: f64) -> f64 {
        let value = (value * self.steps_per_unit).round() / self.steps_per_unit;
        // No display shows -0.
        value + 0.0
    }
}

impl ActiveFault {
    fn apply(&mut self, value: &mut RawValue, signal: &Signal, network: &Network, seq: u64) {
        let second = network.around.second;
        let into = ((second - self.start_s) / (self.end_s - self.start_s)).clamp(0.0, 1.0);
        let raw = match self.fault {
            SensorFault::Stuck => *self.held.get_or_insert(value.raw),
            SensorFault::Drift { by } => value.raw + by * into,
            SensorFault::Bias { by } => value.raw + by,
            SensorFault::Spike { by, every } => {
                let hit = mix(signal.seed ^ mix(seq)).is_multiple_of(u64::from(every.max(1)));
                value.raw + if hit { by } else { 0.0 }
            }
            SensorFault::Sentinel { value: sentinel } => sentinel,
            SensorFault::Swap { .. } => match &self.swapped {
                Some(other) => signal.read((other.tap)(network, other.place), second, seq).raw,
                None => value.raw,
            },
        };
        let keep = matches!(self.fault, SensorFault::Sentinel { .. });
        value.raw = if keep { raw } else { signal.resolve(raw) };
    }
}
