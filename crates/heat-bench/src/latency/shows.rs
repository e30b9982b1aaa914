//! Which readings show a burst, found without any detector: by a twin city in which nothing bursts.
//!
//! A reading shows the burst if its pressure is 10 kPa below what the same meter says in the twin, or its source's flow or
//! make-up differs in the burst's direction by 3.5 % of the design circulation, which is the smallest loss that is called
//! a burst. Both are more than ten standard deviations of the meters' noise.

use std::collections::{BTreeMap, HashMap};

use heat_model::{
    EventTime, NetworkId,
    plant::{CircuitKind, PlantModel},
};
use heat_sim::{City, DeviceMessage, Scan};

const PRESSURE_MPA: f64 = 0.010;
const SHARE: f64 = 0.035;
/// kg/s of 1 m3/h of water at 70 degC.
const KG_S_PER_M3_H: f64 = 977.8 / 3_600.0;

/// The twin, and what the city has shown beside it.
#[derive(Debug)]
pub(crate) struct Twin {
    city: City,
    /// Last values of each device of the twin.
    values: Vec<Vec<f64>>,
    /// Design circulation, kg/s.
    circulation: HashMap<NetworkId, f64>,
    /// Devices that have shown it, with the event time of the first reading that does, in order of publication.
    shown: BTreeMap<NetworkId, Vec<(String, i64)>>,
}

impl Twin {
    /// Of a city that has no events yet.
    pub(crate) fn new(city: &City) -> Self {
        Self {
            values: vec![Vec::new(); city.devices().len()],
            circulation: circulation(city.plant()),
            city: city.clone(),
            shown: BTreeMap::new(),
        }
    }

    /// Lives on, as the city would without bursts.
    pub(crate) fn advance(&mut self, to: EventTime) {
        let Self { city, values, .. } = self;
        city.advance(to, Scan::Live, &mut |message| {
            values[message.index].clear();
            values[message.index].extend(message.raw.iter().map(|value| value.raw));
        });
    }

    /// Notes whether a message of the city shows a burst.
    pub(crate) fn compare(&mut self, message: &DeviceMessage<'_>) {
        let circulation = self.circulation.get(message.network).copied().unwrap_or(f64::INFINITY);
        let limit = SHARE * circulation / KG_S_PER_M3_H;
        let differs = message.values().zip(&self.values[message.index]).any(|((signal, value), expected)| {
            let change = value.raw - expected;
            match signal.name.as_str() {
                "supply_pressure"
                | "return_pressure"
                | "primary_supply_pressure"
                | "primary_return_pressure" => change <= -PRESSURE_MPA,
                "supply_flow" | "make_up_flow" => change >= limit,
                "return_flow" => change <= -limit,
                _ => false,
            }
        });
        if !differs {
            return;
        }
        let device = format!("{}/{}/{}", message.network, message.site, message.device);
        let shown = self.shown.entry(message.network.clone()).or_default();
        if shown.iter().all(|(known, _)| *known != device) {
            shown.push((device, message.time.as_micros()));
        }
    }

    /// The second device that showed the network's burst, and the event time of its reading.
    pub(crate) fn second_device(&self, network: &NetworkId) -> Option<(String, i64)> {
        self.shown.get(network)?.get(1).cloned()
    }
}

fn circulation(plant: &PlantModel) -> HashMap<NetworkId, f64> {
    plant
        .circuits
        .iter()
        .filter(|circuit| circuit.kind == Some(CircuitKind::Primary))
        .filter_map(|circuit| Some((circuit.network.clone(), circuit.design_flow_kg_s?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use heat_sim::campaign::BurstCampaign;

    use super::*;
    use crate::fill::city_plan;

    const START: EventTime = EventTime::from_micros(1_767_974_400_000_000);

    fn shown_after(bursts: usize) -> Twin {
        let mut city = City::new(city_plan(3, 5, 0.0), 1, START).unwrap();
        city.advance(START.plus(Duration::from_secs(20)), Scan::Live, &mut |_| {});
        let mut twin = Twin::new(&city);
        let campaign = BurstCampaign {
            bursts,
            quiet: Duration::from_secs(30),
            every: Duration::from_secs(1),
            ..BurstCampaign::default()
        };
        let script = campaign.script(city.plant(), 1);
        city.schedule(&script, city.now()).unwrap();
        for second in 21..150 {
            let to = START.plus(Duration::from_secs(second));
            twin.advance(to);
            city.advance(to, Scan::Live, &mut |message| twin.compare(message));
        }
        twin
    }

    #[test]
    fn nothing_shows_a_burst_where_nothing_bursts() {
        assert_eq!(shown_after(0).shown, BTreeMap::new());
    }

    #[test]
    fn every_burst_is_shown_by_two_devices_of_its_network() {
        let twin = shown_after(2);

        for network in ["bench-000", "bench-001"] {
            let second = twin.second_device(&NetworkId::new(network).unwrap());
            assert!(second.is_some_and(|(device, _)| device.starts_with(network)), "{network}");
        }
        assert_eq!(twin.second_device(&NetworkId::new("bench-002").unwrap()), None);
    }
}
