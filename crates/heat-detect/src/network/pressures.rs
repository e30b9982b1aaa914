//! Circulation, pressures and frost, looked at once a second, where the season lets them be judged.

use heat_model::incident::Class;

use super::Network;
use crate::{
    DetectSettings,
    bins::BIN_US,
    burst::View,
    core::Emitter,
    pressure::{Scene, zones::Zones},
};

impl Network {
    pub(super) fn watch_pressures(&mut self, settings: &DetectSettings, second: i64, emit: &mut Emitter<'_>) {
        if self.zones.0 != self.layout.placed.len() {
            self.zones = (self.layout.placed.len(), Zones::new(&self.layout));
        }
        let now_us = self.state.arrival.told_until(emit.now().as_micros(), settings.lateness_us());
        let operates = self.operates(emit.now());
        let view = View {
            layout: &self.layout,
            trackers: &self.state.trackers,
            circulation: self.state.circulation,
        };
        let scene = Scene {
            settings,
            view,
            zones: &self.zones.1,
            quality: &self.state.quality,
            thermal: &self.state.thermal,
            now_us,
            arrived_us: self.state.arrival.arrived_us(),
        };
        let pressure = &mut self.state.pressure;
        let found = if operates { pressure.look(scene, second) } else { pressure.rest(scene) };
        for finding in found {
            // Water that stood has shrunk and is made up once the pumps run: refilling is no leak.
            if matches!(finding.class, Class::PumpTrip | Class::PowerFailure) {
                self.state.balance.refilling(now_us.div_euclid(BIN_US));
            }
            self.say(settings, finding, emit);
        }
    }
}
