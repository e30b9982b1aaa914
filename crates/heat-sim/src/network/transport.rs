//! Water and heat along the pipes for a step whose flows are found, and the account of where they went.

use super::{Account, Network};
use crate::plug::{End, HEAT_CAPACITY_J_KG_K as CP, PlugPipe, volume_m3_kg};

impl Network {
    pub(super) fn transport_supply(&mut self, dt_s: f64) {
        self.nodes[0].supply.node_celsius = self.source.supply_celsius;
        for index in 1..self.nodes.len() {
            let entering = self.nodes[self.nodes[index].parent].supply.node_celsius;
            let pipe = &mut self.nodes[index].supply;
            self.account.ground_j += CP * pipe.water.cool(dt_s);
            pipe.water.push(End::Upper, pipe.upper_kg_s * dt_s, entering);
            pipe.water.push(End::Lower, -pipe.lower_kg_s * dt_s, pipe.node_celsius);
            pipe.water.pop(End::Upper, -pipe.upper_kg_s * dt_s);
            let leak_kg = pipe.hole.loss_kg_s * dt_s;
            if let Some(celsius) = pipe.water.pop(End::Lower, leak_kg) {
                self.account.leak_kg += leak_kg;
                self.account.lost_water_j += CP * leak_kg * celsius;
            }
            if let Some(celsius) = pipe.water.pop(End::Lower, pipe.lower_kg_s * dt_s) {
                pipe.out_celsius = celsius;
                pipe.node_celsius = celsius;
            }
            let base_kg = pipe.base_kg_s * self.base_wander * dt_s;
            self.account.base_loss_kg += base_kg;
            self.account.lost_water_j += CP * base_kg * pipe.node_celsius;
        }
        let at_source_kg = self.nodes[0].supply.base_kg_s * self.base_wander * dt_s;
        self.account.base_loss_kg += at_source_kg;
        self.account.lost_water_j += CP * at_source_kg * self.source.supply_celsius;
    }

    pub(super) fn transport_return(&mut self, dt_s: f64) {
        for node in &mut self.nodes {
            node.mixed = match node.station {
                Some(index) => {
                    let station = &self.stations[index];
                    let lost_kg_s = station.top_up_kg_s + station.exchanger_kg_s;
                    let lost_kg = lost_kg_s * dt_s;
                    self.account.to_secondary_kg += lost_kg;
                    self.account.lost_water_j += CP * lost_kg * station.primary_return_celsius;
                    let given_kg = (station.flow_kg_s - lost_kg_s).max(0.0) * dt_s;
                    (given_kg, given_kg * station.primary_return_celsius)
                }
                None => (0.0, 0.0),
            };
        }
        for index in (1..self.nodes.len()).rev() {
            let parent = self.nodes[index].parent;
            let from_source = self.nodes[parent].back.node_celsius;
            let node = &mut self.nodes[index];
            let pipe = &mut node.back;
            self.account.ground_j += CP * pipe.water.cool(dt_s);
            if node.mixed.0 > 0.0 {
                pipe.node_celsius = node.mixed.1 / node.mixed.0;
            }
            pipe.water.push(End::Lower, pipe.lower_kg_s * dt_s, pipe.node_celsius);
            pipe.water.push(End::Upper, -pipe.upper_kg_s * dt_s, from_source);
            if let Some(celsius) = pipe.water.pop(End::Lower, -pipe.lower_kg_s * dt_s) {
                pipe.node_celsius = celsius;
            }
            let base_kg = pipe.base_kg_s * self.base_wander * dt_s;
            self.account.base_loss_kg += base_kg;
            self.account.lost_water_j += CP * base_kg * pipe.node_celsius;
            let leak_kg = pipe.hole.loss_kg_s * dt_s;
            if let Some(celsius) = pipe.water.pop(End::Upper, leak_kg) {
                self.account.leak_kg += leak_kg;
                self.account.lost_water_j += CP * leak_kg * celsius;
            }
            let leaving_kg = pipe.upper_kg_s * dt_s;
            if let Some(celsius) = pipe.water.pop(End::Upper, leaving_kg) {
                pipe.out_celsius = celsius;
                let mixed = &mut self.nodes[parent].mixed;
                *mixed = (mixed.0 + leaving_kg, mixed.1 + leaving_kg * celsius);
            }
        }
        let at_source_kg = self.nodes[0].back.base_kg_s * self.base_wander * dt_s;
        self.account.base_loss_kg += at_source_kg;
        let mixed = self.nodes[0].mixed;
        if mixed.0 > 0.0 {
            self.nodes[0].back.node_celsius = mixed.1 / mixed.0;
        }
        self.source.return_celsius = self.nodes[0].back.node_celsius;
        self.account.lost_water_j += CP * at_source_kg * self.source.return_celsius;
    }

    /// Pressure holding and the source's heat for a step.
    pub(super) fn balance(&mut self, dt_s: f64) {
        let (made_up_kg, relieved_kg) = self.source.hold(dt_s, self.supply_kg_s - self.return_kg_s);
        self.account.make_up_kg += made_up_kg;
        self.account.relief_kg += relieved_kg;
        let source = &mut self.source;
        source.heat_w = CP
            * (self.supply_kg_s * source.supply_celsius
                - self.return_kg_s * source.return_celsius
                - made_up_kg / dt_s * source.make_up_celsius);
        source.heat_j += source.heat_w * dt_s;
        // The make-up brings its own heat.
        self.account.source_j += source.heat_w * dt_s + CP * made_up_kg * source.make_up_celsius;
        for station in &mut self.stations {
            let heat_j = station.heat_w * dt_s;
            self.account.stations_j += if station.is_on_steam() { 0.0 } else { heat_j };
            station.heat_j += heat_j;
            station.volume_m3 += station.flow_kg_s * dt_s * volume_m3_kg(station.primary_return_celsius);
        }
    }

    /// The account up to the present, with what is stored.
    pub(crate) fn account(&self) -> Account {
        let pipes = || self.nodes.iter().skip(1).flat_map(|node| [&node.supply.water, &node.back.water]);
        Account {
            stored_kg: pipes().map(PlugPipe::mass_kg).sum::<f64>() + self.source.excess_kg,
            stored_j: CP * pipes().map(PlugPipe::mass_celsius).sum::<f64>(),
            ..self.account
        }
    }
}
