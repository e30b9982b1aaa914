//! What a birth says of the metrics of a node or device, and readings of them.

use hashbrown::HashMap;
use heat_model::{EventTime, Lane, Quality, QualityCode, SignalName};

use super::{
    names::{ONLINE, is_protocol, signal_name},
    number::{is_number, number, quality, unit_of},
    settings::SparkplugSettings,
    wire::{Metric, Stated, Wire},
};
use crate::{
    decoded::{Decoded, DecodedValue, Item, Mark},
    reject::{Reject, RejectReason},
    time_text::from_unix_millis,
};

type Map<K> = HashMap<K, u32, foldhash::fast::FixedState>;

/// Longest unit that a birth may name, in bytes; all known ones are far shorter.
const UNIT_MAX_BYTES: usize = 64;
/// An alias that two metrics of one birth share means neither.
const AMBIGUOUS: u32 = u32::MAX;

/// What a metric is.
#[derive(Debug)]
enum What {
    /// Readings of a signal.
    Signal(SignalName),
    /// Part of the protocol, no reading.
    Protocol,
    /// No reading by the settings.
    Ignored,
    /// Why no value of it can be taken.
    Refused(RejectReason),
}

/// One metric as born.
#[derive(Debug)]
struct Known {
    metric: Box<str>,
    datatype: u32,
    what: What,
    unit: Option<Box<str>>,
    /// The unit is the settings', not the node's to change.
    unit_is_set: bool,
    quality: (Quality, QualityCode),
    /// The last item that has a value of it.
    item: u64,
}

/// The metrics of one node or device.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    known: Vec<Known>,
    by_alias: Map<u64>,
    by_name: Map<Box<str>>,
}

/// For each metric of a payload: which of the known ones it is, or why it is none.
pub(super) type Slots = Vec<Result<u32, RejectReason>>;

impl Metrics {
    /// What a birth announces; its values are not read yet. A metric that cannot be taken keeps its place, so that its
    /// data are rejected for the same reason.
    pub(super) fn of_birth(
        wire: &Wire,
        payload: &[u8],
        settings: &SparkplugSettings,
        slots: &mut Slots,
    ) -> Self {
        let mut metrics = Self::default();
        let mut signals = std::collections::BTreeSet::new();
        slots.clear();
        for metric in &wire.metrics {
            let slot = metrics.announce(metric, payload, settings, &mut signals);
            slots.push(slot);
        }
        metrics
    }

    fn announce(
        &mut self,
        metric: &Metric,
        payload: &[u8],
        settings: &SparkplugSettings,
        signals: &mut std::collections::BTreeSet<SignalName>,
    ) -> Result<u32, RejectReason> {
        let name = metric.name.map(|name| name.text(payload)).filter(|name| !name.is_empty());
        let name = name.ok_or(RejectReason::MissingField)?;
        if self.by_name.contains_key(name) {
            return Err(RejectReason::DuplicateKey);
        }
        let datatype = metric.datatype.unwrap_or(0);
        let set = settings.units.get(name);
        let own = metric.unit.map(|unit| unit.text(payload).trim()).filter(|unit| !unit.is_empty());
        let unit = set.map(|unit| &**unit).or(own).or(unit_of(datatype));
        let mut what = what(name, metric, settings);
        if let What::Signal(signal) = &what
            && (signal.as_str() == ONLINE || !signals.insert(signal.clone()))
        {
            what = What::Refused(RejectReason::DuplicateKey);
        }
        if unit.is_some_and(|unit| unit.len() > UNIT_MAX_BYTES) {
            what = What::Refused(RejectReason::UnknownUnit);
        }
        let index = u32::try_from(self.known.len()).map_err(|_| RejectReason::TooManyValues)?;
        self.by_name.insert(name.into(), index);
        if let Some(alias) = metric.alias
            && self.by_alias.insert(alias, index).is_some()
        {
            self.by_alias.insert(alias, AMBIGUOUS);
        }
        self.known.push(Known {
            metric: name.into(),
            datatype,
            what,
            unit: unit.filter(|unit| unit.len() <= UNIT_MAX_BYTES).map(Into::into),
            unit_is_set: set.is_some(),
            quality: (Quality::Good, QualityCode::None),
            item: 0,
        });
        Ok(index)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Finds the metrics of a payload of data. False if one of them was not announced.
    pub(super) fn find(&self, wire: &Wire, payload: &[u8], slots: &mut Slots) -> bool {
        slots.clear();
        slots.extend(wire.metrics.iter().map(|metric| self.slot(metric, payload)));
        !slots.contains(&Err(RejectReason::UnknownAlias))
    }

    fn slot(&self, metric: &Metric, payload: &[u8]) -> Result<u32, RejectReason> {
        let name = metric.name.map(|name| name.text(payload)).filter(|name| !name.is_empty());
        let index = match (metric.alias, name) {
            (Some(alias), _) => self.by_alias.get(&alias).copied().filter(|index| *index != AMBIGUOUS),
            (None, Some(name)) => self.by_name.get(name).copied(),
            (None, None) => return Err(RejectReason::MissingField),
        };
        let index = index.ok_or(RejectReason::UnknownAlias)?;
        let known = &self.known[index as usize];
        if name.is_some_and(|name| *known.metric != *name) {
            return Err(RejectReason::UnknownAlias);
        }
        match metric.datatype {
            Some(datatype) if datatype != known.datatype => Err(RejectReason::WrongType),
            Some(_) | None => Ok(index),
        }
    }
}

fn what(name: &str, metric: &Metric, settings: &SparkplugSettings) -> What {
    if is_protocol(name) {
        return What::Protocol;
    }
    if settings.ignores(name) {
        return What::Ignored;
    }
    match metric.datatype {
        None => return What::Refused(RejectReason::MissingField),
        Some(datatype) if !is_number(datatype) => return What::Refused(RejectReason::UnsupportedDataType),
        Some(_) => {}
    }
    match settings.names.get(name).cloned().map_or_else(|| signal_name(name), Ok) {
        Ok(signal) => What::Signal(signal),
        Err(_) => What::Refused(RejectReason::InvalidId),
    }
}

/// The items of a payload: values of one device that share their lane, each signal at most once.
#[derive(Debug)]
pub(super) struct Items<'a> {
    pub(super) out: &'a mut Decoded,
    pub(super) device: u32,
    /// Number of the last item; never used twice.
    pub(super) serial: &'a mut u64,
    /// Metrics passed over by the settings.
    pub(super) ignored: &'a mut u64,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    mark: Mark,
    historical: bool,
    timed: bool,
}

impl Items<'_> {
    /// The readings of a payload, whose metrics are at `slots` of `metrics`.
    ///
    /// What a live metric says of its unit and quality holds until it says otherwise: properties, like values, are sent
    /// on change. What a historical one says holds for its own value.
    pub(super) fn readings(&mut self, wire: &Wire, payload: &[u8], slots: &Slots, metrics: &mut Metrics) {
        let mut open: Option<Open> = None;
        for (metric, slot) in wire.metrics.iter().zip(slots) {
            let known = match slot {
                Ok(index) => &mut metrics.known[*index as usize],
                Err(reason) => {
                    self.out.reject(reject(*reason, metric, payload, None));
                    continue;
                }
            };
            let value = match read(known, metric, wire.time, payload) {
                Ok(Some(value)) => value,
                Ok(None) => {
                    *self.ignored += u64::from(matches!(known.what, What::Ignored));
                    continue;
                }
                Err(reason) => {
                    self.out.reject(reject(reason, metric, payload, Some(&*known)));
                    continue;
                }
            };
            let (historical, timed) = (metric.historical, value.time.is_some());
            let fits = |open: &Open| open.historical == historical && open.timed == timed;
            if !open.as_ref().is_some_and(fits) || known.item == *self.serial {
                self.close(open.take());
                open = Some(self.open(historical, timed));
            }
            known.item = *self.serial;
            self.push(known, metric, value, payload);
        }
        self.close(open);
    }

    /// The reading of the device's state.
    pub(super) fn online(&mut self, online: bool, time: Option<EventTime>) {
        let open = self.open(false, time.is_some());
        let name = self.out.push_text(ONLINE);
        self.out.values.push(DecodedValue {
            name,
            unit: None,
            raw: f64::from(u8::from(online)),
            quality: Quality::Good,
            code: QualityCode::None,
            time,
        });
        self.close(Some(open));
    }

    fn open(&mut self, historical: bool, timed: bool) -> Open {
        *self.serial += 1;
        Open { mark: self.out.mark(), historical, timed }
    }

    fn close(&mut self, open: Option<Open>) {
        let Some(Open { mark, historical, .. }) = open else { return };
        let item =
            Item { lane: historical.then_some(Lane::Backfill), device: Some(self.device), ..Item::default() };
        let end = self.out.mark();
        self.out.close_item(mark, item, mark.text()..end.text());
    }

    fn push(&mut self, known: &Known, metric: &Metric, value: Value, payload: &[u8]) {
        let What::Signal(signal) = &known.what else { return };
        let name = self.out.push_text(signal.as_str());
        let own = metric.unit.filter(|_| !known.unit_is_set).map(|unit| unit.text(payload).trim());
        let unit = own.filter(|unit| !unit.is_empty()).or(known.unit.as_deref());
        let unit = unit.map(|unit| self.out.push_text(unit));
        let Value { raw, quality, code, time } = value;
        self.out.values.push(DecodedValue { name, unit, raw, quality, code, time });
    }
}

#[derive(Debug, Clone, Copy)]
struct Value {
    raw: f64,
    quality: Quality,
    code: QualityCode,
    time: Option<EventTime>,
}

/// `None` for a metric that is no reading.
fn read(
    known: &mut Known,
    metric: &Metric,
    payload_time: Option<u64>,
    payload: &[u8],
) -> Result<Option<Value>, RejectReason> {
    let stated = stated(known, metric, payload)?;
    match known.what {
        What::Protocol | What::Ignored => return Ok(None),
        What::Refused(reason) => return Err(reason),
        What::Signal(_) => {}
    }
    let time = metric.time.or(payload_time).map(event_time).transpose()?;
    let (quality, code) = stated;
    Ok(Some(if metric.null {
        Value { raw: f64::NAN, quality: Quality::Bad, code: QualityCode::Null, time }
    } else {
        Value { raw: number(known.datatype, metric.raw)?, quality, code, time }
    }))
}

/// The quality of this value; and what holds from here on is kept.
fn stated(
    known: &mut Known,
    metric: &Metric,
    payload: &[u8],
) -> Result<(Quality, QualityCode), RejectReason> {
    let unit = metric.unit.map(|unit| unit.text(payload).trim()).filter(|_| !known.unit_is_set);
    if unit.is_some_and(|unit| unit.len() > UNIT_MAX_BYTES) {
        return Err(RejectReason::UnknownUnit);
    }
    let said = if metric.quality == Stated::Nothing { None } else { quality(metric.quality) };
    if !metric.historical {
        if let Some(unit) = unit.filter(|unit| !unit.is_empty() && known.unit.as_deref() != Some(unit)) {
            known.unit = Some(unit.into());
        }
        known.quality = said.unwrap_or(known.quality);
    }
    Ok(said.unwrap_or(known.quality))
}

/// From Unix milliseconds.
pub(super) fn event_time(millis: u64) -> Result<EventTime, RejectReason> {
    let millis = i64::try_from(millis).map_err(|_| RejectReason::TimeOutOfRange)?;
    from_unix_millis(millis).map_err(|fault| fault.reason())
}

fn reject(reason: RejectReason, metric: &Metric, payload: &[u8], known: Option<&Known>) -> Reject {
    let name = metric.name.map(|name| name.text(payload)).or(known.map(|known| &*known.metric));
    let place = match (name, metric.alias) {
        (Some(name), _) => format!("metric {name}"),
        (None, Some(alias)) => format!("metric alias {alias}"),
        (None, None) => "metric".to_owned(),
    };
    let datatype = known.map_or(metric.datatype, |known| Some(known.datatype)).unwrap_or(0);
    let detail = if reason == RejectReason::UnsupportedDataType {
        format!("data type {datatype}")
    } else if matches!(
        reason,
        RejectReason::NumberOutOfRange | RejectReason::NotFinite | RejectReason::WrongType
    ) {
        format!("{:?} for data type {datatype}", metric.raw)
    } else {
        String::new()
    };
    Reject::at(reason, place, 1).found(&detail)
}
