//! Silence, by each signal's own rhythm.
//!
//! The interval of a signal is the mean gap between its arrivals weighted by time over a day, so that a burst of fast
//! readings does not make a slow signal look silent afterwards. It is silent when [`MISSED`] intervals have passed; one
//! that is often silent for a little longer earns patience. What falls silent together is told once: signal, device,
//! site or network, by the largest that is silent as a whole.

use heat_model::incident::Class;
use serde::{Deserialize, Serialize};

use crate::{
    layout::Layout,
    network::statements::{Place, Statement, Telling},
};

/// Intervals without a reading that make a silence: five readings in a row are lost every week somewhere.
const MISSED: f64 = 6.2;
/// A signal whose device speaks must be silent so many times longer: single values are lost more easily.
const ALONE: f64 = 2.5;
/// Share of its limit after which a signal is late, and may be silent for the same reason as others that are.
const LATE: f64 = 0.5;
/// A device waits for so many of its limits for the others of its site.
const SITE_WAITS: f64 = 2.0;
/// Shorter silences are restarts, microseconds.
const SILENCE_MIN_US: f64 = 15.0 * 60e6;
/// Memory of the interval, microseconds.
const MEMORY_US: f64 = 86_400e6;
/// Arrivals and time before a signal has a rhythm.
const ARRIVALS_MIN: u16 = 20;
const KNOWN_US: i64 = 86_400_000_000;
/// What a silence that soon ended adds to the signal's patience, and the most it can reach.
const PATIENCE_STEP: f32 = 1.4;
const PATIENCE_MAX: f32 = 8.0;
/// A silence that lasts so many times its limit has a cause worth telling, and earns no patience.
const SOON: f64 = 2.0;
/// Patience is lost over a month, per arrival and microsecond.
const PATIENCE_US: f64 = 30.0 * 86_400e6;
/// Share of the sites that are silent at once for the network as a whole to be.
pub(super) const NETWORK_SHARE: f64 = 0.5;
pub(super) const NETWORK_SITES_MIN: u32 = 4;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Beat {
    first_us: i64,
    last_us: i64,
    /// When what it is a part of was back after a silence.
    back_us: i64,
    /// Mean gap, microseconds.
    gap_us: f64,
    /// Factor on the time that makes a silence.
    patience: f32,
    arrivals: u16,
}

impl Beat {
    fn arrived(&mut self, now_us: i64) {
        if self.arrivals == 0 {
            self.first_us = now_us;
            self.patience = 1.0;
        } else {
            let gap = (now_us - self.last_us) as f64;
            if gap <= 0.0 {
                return;
            }
            if self.arrivals == 1 {
                self.gap_us = gap;
            }
            if self.is_known(now_us) && (self.limit_us()..SOON * self.limit_us()).contains(&gap) {
                self.patience = (self.patience * PATIENCE_STEP).min(PATIENCE_MAX);
            }
            // A long silence is one missed beat, not a slower rhythm.
            let counted = gap.min(3.0 * self.gap_us);
            let memory_us = ((now_us - self.first_us) as f64).min(MEMORY_US);
            let weight = (counted / memory_us).min(1.0);
            self.gap_us += weight * (counted - self.gap_us);
            let forgets = (gap / PATIENCE_US).min(1.0) as f32;
            self.patience += (1.0 - self.patience) * forgets;
        }
        self.last_us = now_us;
        self.arrivals = self.arrivals.saturating_add(1);
    }

    fn is_known(&self, now_us: i64) -> bool {
        self.arrivals >= ARRIVALS_MIN && now_us - self.first_us >= KNOWN_US
    }

    fn limit_us(&self) -> f64 {
        f64::from(self.patience) * (MISSED * self.gap_us).max(SILENCE_MIN_US)
    }

    fn is_silent(&self, now_us: i64) -> bool {
        self.is_silent_for(now_us, 1.0)
    }

    fn is_silent_for(&self, now_us: i64, limits: f64) -> bool {
        self.is_known(now_us) && (now_us - self.last_us.max(self.back_us)) as f64 > limits * self.limit_us()
    }

    /// What it is a part of, silent since `since_us`, is back. What had been silent before has another cause.
    fn is_back(&mut self, since_us: i64, now_us: i64) {
        if (since_us - self.last_us) as f64 <= self.limit_us() {
            self.back_us = now_us;
        }
    }
}

/// Arrivals of all signals, and the silences told.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Rhythm {
    beats: Vec<Beat>,
    /// In order of place.
    said: Vec<(Place, i64)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    known: u32,
    late: u32,
    silent: u32,
    last_us: i64,
}

impl Tally {
    fn add(&mut self, late: bool, silent: bool, last_us: i64) {
        self.known += 1;
        self.late += u32::from(late);
        self.silent += u32::from(silent);
        self.last_us = self.last_us.max(last_us);
    }

    const fn is_silent(&self) -> bool {
        self.known > 0 && self.known == self.silent
    }

    const fn is_late(&self) -> bool {
        self.known > 0 && self.known == self.late
    }

    /// Whether so many of the sites of a network are that it is the network.
    fn is_most(&self, sites: u32) -> bool {
        self.known >= NETWORK_SITES_MIN && f64::from(sites) > NETWORK_SHARE * f64::from(self.known)
    }
}

/// How far silence goes: by device, by site, and the sites of the network.
#[derive(Debug)]
struct Extent {
    devices: Vec<Tally>,
    sites: Vec<Tally>,
    all: Tally,
}

impl Rhythm {
    pub(super) fn add_signal(&mut self) {
        self.beats.push(Beat::default());
    }

    pub(super) fn arrived(&mut self, signal: u32, now_us: i64) {
        self.beats[signal as usize].arrived(now_us);
    }

    pub(super) fn minute(&mut self, layout: &Layout, now_us: i64) -> Vec<Statement> {
        if self.said.is_empty() && !self.beats.iter().any(|beat| beat.is_silent(now_us)) {
            return Vec::new();
        }
        let mut extent = self.extent(layout, now_us);
        let back: Vec<(Place, i64)> =
            self.said.iter().copied().filter(|(place, _)| !self.is_still(&extent, *place, now_us)).collect();
        if !back.is_empty() {
            for (place, since_us) in back {
                self.note_back(layout, place, since_us, now_us);
            }
            extent = self.extent(layout, now_us);
        }
        let silent = self.silent_places(layout, &extent, now_us);
        let said = told_anew(None, &self.said, &silent);
        self.said = silent;
        said
    }

    fn extent(&self, layout: &Layout, now_us: i64) -> Extent {
        let mut devices = vec![Tally::default(); layout.devices()];
        for (placed, beat) in layout.placed.iter().zip(&self.beats) {
            if beat.is_known(now_us) {
                let (late, silent) = (beat.is_silent_for(now_us, LATE), beat.is_silent(now_us));
                devices[placed.device as usize].add(late, silent, beat.last_us);
            }
        }
        let mut sites = vec![Tally::default(); layout.sites.len()];
        let mut seen = vec![false; devices.len()];
        for placed in &layout.placed {
            let device = devices[placed.device as usize];
            if device.known > 0 && !std::mem::replace(&mut seen[placed.device as usize], true) {
                sites[placed.site as usize].add(device.is_late(), device.is_silent(), device.last_us);
            }
        }
        let mut all = Tally::default();
        for site in sites.iter().filter(|site| site.known > 0) {
            all.add(site.is_late(), site.is_silent(), site.last_us);
        }
        Extent { devices, sites, all }
    }

    /// Whether a place that was told is still silent as a whole.
    fn is_still(&self, extent: &Extent, place: Place, now_us: i64) -> bool {
        match place {
            Place::Network => extent.all.is_most(extent.all.silent),
            Place::Site(site) => extent.sites[site as usize].is_silent(),
            Place::Device(device) => extent.devices[device as usize].is_silent(),
            Place::Signal(signal) => self.beats[signal as usize].is_silent(now_us),
        }
    }

    /// A place that was silent as a whole speaks again, in part at least.
    fn note_back(&mut self, layout: &Layout, place: Place, since_us: i64, now_us: i64) {
        for (placed, beat) in layout.placed.iter().zip(&mut self.beats) {
            let is_part = match place {
                Place::Network => true,
                Place::Site(site) => placed.site == site,
                Place::Device(device) => placed.device == device,
                Place::Signal(_) => false,
            };
            if is_part {
                beat.is_back(since_us, now_us);
            }
        }
    }

    /// The largest places that are silent as a whole, in order.
    fn silent_places(&self, layout: &Layout, extent: &Extent, now_us: i64) -> Vec<(Place, i64)> {
        let Extent { devices, sites, all } = extent;
        let said_before = || {
            self.said
                .iter()
                .copied()
                .filter(|(place, _)| *place != Place::Network && self.is_still(extent, *place, now_us))
        };
        if all.is_most(all.silent) {
            let known = self.said.iter().find(|(place, _)| *place == Place::Network);
            let newest = sites.iter().filter(|site| site.is_silent()).map(|site| site.last_us).max();
            let since_us = known.map_or(newest.unwrap_or(now_us), |(_, since_us)| *since_us);
            return std::iter::once((Place::Network, since_us)).chain(said_before()).collect();
        }
        if all.is_most(all.late) {
            return said_before().collect();
        }
        let mut places = Vec::new();
        for ((signal, placed), beat) in (0_u32..).zip(&layout.placed).zip(&self.beats) {
            if !beat.is_silent(now_us) {
                continue;
            }
            let (device, site) = (devices[placed.device as usize], sites[placed.site as usize]);
            if site.is_silent() && site.known > 1 {
                places.push((Place::Site(placed.site), site.last_us));
            } else if device.is_silent() {
                // Its site may be silent as a whole: the others are given as long again, and then it is told by itself.
                let place = Place::Device(placed.device);
                let may_be_site = site.known > 1 && site.is_late() && !beat.is_silent_for(now_us, SITE_WAITS);
                if !may_be_site || self.said.iter().any(|(said, _)| *said == place) {
                    places.push((place, device.last_us));
                }
            } else if beat.is_silent_for(now_us, ALONE) {
                places.push((Place::Signal(signal), beat.last_us));
            }
        }
        places.sort_unstable();
        places.dedup_by_key(|(place, _)| *place);
        places
    }
}

/// What is over, then what is new, of two lists of silent places with their onsets, both in order.
pub(super) fn told_anew(
    kind: Option<&'static str>,
    before: &[(Place, i64)],
    now: &[(Place, i64)],
) -> Vec<Statement> {
    let is_in = |places: &[(Place, i64)], place: Place| {
        places.binary_search_by_key(&place, |(place, _)| *place).is_ok()
    };
    let over = before.iter().filter(|(place, _)| !is_in(now, *place));
    let new = now.iter().filter(|(place, _)| !is_in(before, *place));
    over.map(|(place, since_us)| statement(kind, *place, *since_us, false))
        .chain(new.map(|(place, since_us)| statement(kind, *place, *since_us, true)))
        .collect()
}

fn statement(kind: Option<&'static str>, place: Place, since_us: i64, active: bool) -> Statement {
    Statement {
        detector: "silence",
        class: Class::Silence,
        kind,
        place,
        onset_us: since_us,
        active,
        facts: Vec::new(),
        strength: 1.0,
        affected: Vec::new(),
        telling: Telling::Anew,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    fn beat(every_us: i64, until_us: i64) -> Beat {
        let mut beat = Beat::default();
        for at in (MINUTE_US..=until_us).step_by(every_us as usize) {
            beat.arrived(at);
        }
        beat
    }

    #[test]
    fn a_signal_is_silent_after_its_own_rhythm() {
        let slow = beat(15 * MINUTE_US, 3 * KNOWN_US);
        assert!(!slow.is_silent(slow.last_us + 90 * MINUTE_US));
        assert!(slow.is_silent(slow.last_us + 100 * MINUTE_US));
        let fast = beat(MINUTE_US, 3 * KNOWN_US);
        assert!(fast.is_silent(fast.last_us + 16 * MINUTE_US));
    }

    #[test]
    fn an_hour_of_fast_readings_does_not_make_a_slow_signal_silent() {
        let mut beat = beat(15 * MINUTE_US, 3 * KNOWN_US);
        for _ in 0..540 {
            beat.arrived(beat.last_us + MINUTE_US / 6);
        }
        assert!(!beat.is_silent(beat.last_us + 46 * MINUTE_US));
    }

    #[test]
    fn a_signal_that_often_pauses_earns_patience() {
        let mut beat = beat(MINUTE_US, 3 * KNOWN_US);
        assert!(beat.is_silent(beat.last_us + 20 * MINUTE_US));
        for _ in 0..3 {
            beat.arrived(beat.last_us + 20 * MINUTE_US);
            for _ in 0..600 {
                beat.arrived(beat.last_us + MINUTE_US);
            }
        }
        assert!(!beat.is_silent(beat.last_us + 20 * MINUTE_US));
    }
}
