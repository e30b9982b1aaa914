//! What a pressure gauge stands for: the nodes nearest to it along the pipes, from the lowest to the highest.
//!
//! The pressure at a node is that of its gauge less the water column between them. Friction between the two is left
//! out; that is why the nearest gauge speaks for a node and not the source's.

use std::{cmp::Reverse, collections::BinaryHeap};

use heat_hydraulics::water::ATMOSPHERE_PA;

use crate::layout::{Layout, Role};

/// Heights of one gauge's zone.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Zone {
    /// From the gauge up to the zone's highest node, m.
    pub(crate) rise_m: f64,
    /// From the gauge down to the lowest, m.
    pub(crate) fall_m: f64,
    /// Above sea level, m; `None` where the plant model does not say.
    elevation_m: Option<f64>,
}

impl Zone {
    /// Atmospheric pressure at its top, Pa: the International Standard Atmosphere (ISO 2533), at sea level where
    /// nothing is known.
    pub(crate) fn atmosphere_pa(&self) -> f64 {
        let top_m = self.elevation_m.map_or(0.0, |elevation_m| elevation_m + self.rise_m);
        ATMOSPHERE_PA * (1.0 - 2.255_77e-5 * top_m.clamp(-400.0, 6_000.0)).powf(5.255_88)
    }
}

/// Zones of all sites by their index; derived from the layout, never stored.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    zones: Vec<Zone>,
}

impl Zones {
    pub(crate) fn new(layout: &Layout) -> Self {
        let topology = &layout.topology;
        let mut zones = vec![Zone::default(); layout.sites.len()];
        let nodes = topology.nodes();
        let mut owner: Vec<Option<usize>> = vec![None; nodes];
        let mut distance = vec![f64::INFINITY; nodes];
        let mut queue = BinaryHeap::new();
        for (index, site) in layout.sites.iter().enumerate() {
            let has_gauge = [Role::SupplyPressure, Role::ReturnPressure]
                .into_iter()
                .any(|role| site.signal(role).is_some());
            let Some(node) = site.node.filter(|_| has_gauge) else { continue };
            zones[index].elevation_m = topology.elevation_m(node);
            if owner[node as usize].is_none() {
                owner[node as usize] = Some(index);
                distance[node as usize] = 0.0;
                queue.push(Reverse((0_u64, node)));
            }
        }
        let around = topology.around();
        while let Some(Reverse((bits, node))) = queue.pop() {
            // Non-negative floats order as their bits.
            let so_far = f64::from_bits(bits);
            if so_far > distance[node as usize] {
                continue;
            }
            for &trench in &around[node as usize] {
                let trench = &topology.trenches[trench as usize];
                let other = if trench.upper == node { trench.lower } else { trench.upper };
                let through = so_far + trench.length_m;
                if through < distance[other as usize] {
                    distance[other as usize] = through;
                    owner[other as usize] = owner[node as usize];
                    queue.push(Reverse((through.to_bits(), other)));
                }
            }
        }
        for (node, owner) in (0_u32..).zip(&owner) {
            let Some(zone) = owner.map(|owner| &mut zones[owner]) else { continue };
            let height_m = topology.elevation_m(node).zip(zone.elevation_m).map(|(node, own)| node - own);
            zone.rise_m = zone.rise_m.max(height_m.unwrap_or(0.0));
            zone.fall_m = zone.fall_m.max(-height_m.unwrap_or(0.0));
        }
        Self { zones }
    }

    pub(crate) fn of(&self, site: u32) -> Zone {
        self.zones.get(site as usize).copied().unwrap_or_default()
    }
}
