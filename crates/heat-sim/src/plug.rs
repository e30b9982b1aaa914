//! Water in one pipe as parcels that move as a plug: fronts arrive after their transport delay, whatever the step.
//!
//! A parcel keeps its mass; a pipe keeps its volume. So what a pipe takes in to stay full follows from what leaves it
//! and from the contraction of its water, and the water account closes exactly. All parcels of a pipe cool towards the
//! ground by one factor, which is kept apart (`decay`), so that a step costs the same however many parcels there are:
//! volume and heat are polynomials in the scaled temperatures, summed as parcels come and go.

use std::collections::VecDeque;

use crate::arithmetic::Lag;

/// Heat capacity used in all heat balances, J/(kg K).
pub(crate) const HEAT_CAPACITY_J_KG_K: f64 = 4_195.0;

/// Specific volume of water, m3/kg, from degC: fitted to IAPWS-IF97 at 0.8 MPa, 15 to 130 degC, within 0.05 %. A
/// polynomial of second degree, because a pipe's volume must follow from sums of temperature and temperature squared.
const VOLUME_0: f64 = 9.974_698_584_169_66e-4;
const VOLUME_1: f64 = 1.234_572_195_524_622_8e-7;
const VOLUME_2: f64 = 3.317_684_322_759_086e-9;

/// Specific volume, m3/kg.
pub(crate) fn volume_m3_kg(celsius: f64) -> f64 {
    VOLUME_0 + celsius * (VOLUME_1 + celsius * VOLUME_2)
}

/// Density, kg/m3, of the simulated water.
pub(crate) fn density_kg_m3(celsius: f64) -> f64 {
    1.0 / volume_m3_kg(celsius)
}

/// Parcels of one pipe have at least this share of its mass, unless their temperatures differ by little.
const PARCEL_SHARE: f64 = 1.0 / 24.0;
/// Parcels that differ by less are joined.
const PARCEL_K: f64 = 0.02;
const DECAY_MIN: f64 = 0.1;

#[derive(Debug, Clone, Copy)]
struct Parcel {
    mass_kg: f64,
    /// (temperature - ground) / decay.
    scaled_k: f64,
}

/// End of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Towards the source.
    Upper,
    /// Away from it.
    Lower,
}

#[derive(Debug, Clone)]
pub(crate) struct PlugPipe {
    volume_m3: f64,
    ground_celsius: f64,
    cooling: Lag,
    decay: f64,
    /// Front is the upper end.
    parcels: VecDeque<Parcel>,
    mass_kg: f64,
    /// Sum of mass * scaled, and of mass * scaled^2.
    first: f64,
    second: f64,
}

impl PlugPipe {
    /// A pipe full of water of one temperature. `cooling_s` is the time constant of its cooling to the ground.
    pub(crate) fn new(volume_m3: f64, cooling_s: f64, ground_celsius: f64, celsius: f64) -> Self {
        let mut pipe = Self {
            volume_m3,
            ground_celsius,
            cooling: Lag::new(cooling_s),
            decay: 1.0,
            parcels: VecDeque::new(),
            mass_kg: 0.0,
            first: 0.0,
            second: 0.0,
        };
        pipe.push(End::Upper, volume_m3 * density_kg_m3(celsius), celsius);
        pipe
    }

    pub(crate) fn mass_kg(&self) -> f64 {
        self.mass_kg
    }

    /// Sum of mass times temperature, kg degC.
    pub(crate) fn mass_celsius(&self) -> f64 {
        self.mass_kg * self.ground_celsius + self.decay * self.first
    }

    /// Volume that is not filled, m3; negative where water had to be squeezed in.
    pub(crate) fn free_m3(&self) -> f64 {
        let (t0, d) = (self.ground_celsius, self.decay);
        let constant = volume_m3_kg(t0) * self.mass_kg;
        let linear = (VOLUME_1 + 2.0 * VOLUME_2 * t0) * d * self.first;
        self.volume_m3 - constant - linear - VOLUME_2 * d * d * self.second
    }

    /// Lets the water cool for a step; returns the heat lost, kg K.
    pub(crate) fn cool(&mut self, dt_s: f64) -> f64 {
        let before = self.decay;
        self.decay *= 1.0 - self.cooling.share(dt_s);
        let lost = (before - self.decay) * self.first;
        if self.decay < DECAY_MIN {
            self.rescale();
        }
        lost
    }

    fn rescale(&mut self) {
        (self.first, self.second) = (0.0, 0.0);
        for parcel in &mut self.parcels {
            parcel.scaled_k *= self.decay;
            self.first += parcel.mass_kg * parcel.scaled_k;
            self.second += parcel.mass_kg * parcel.scaled_k * parcel.scaled_k;
        }
        self.decay = 1.0;
    }

    fn account(&mut self, mass_kg: f64, scaled_k: f64) {
        self.mass_kg += mass_kg;
        self.first += mass_kg * scaled_k;
        self.second += mass_kg * scaled_k * scaled_k;
    }

    /// Pushes water in at an end. A mass of 0 or less pushes nothing.
    pub(crate) fn push(&mut self, end: End, mass_kg: f64, celsius: f64) {
        if mass_kg <= 0.0 {
            return;
        }
        let scaled_k = (celsius - self.ground_celsius) / self.decay;
        let chunk = self.volume_m3 * 1_000.0 * PARCEL_SHARE;
        let last = match end {
            End::Upper => self.parcels.front_mut(),
            End::Lower => self.parcels.back_mut(),
        };
        if let Some(last) = last
            && (last.mass_kg < chunk || ((last.scaled_k - scaled_k) * self.decay).abs() < PARCEL_K)
        {
            let (old_mass, old_scaled) = (last.mass_kg, last.scaled_k);
            last.mass_kg = old_mass + mass_kg;
            last.scaled_k = (old_mass * old_scaled + mass_kg * scaled_k) / last.mass_kg;
            let joined = *last;
            self.account(-old_mass, old_scaled);
            self.account(joined.mass_kg, joined.scaled_k);
            return;
        }
        let parcel = Parcel { mass_kg, scaled_k };
        match end {
            End::Upper => self.parcels.push_front(parcel),
            End::Lower => self.parcels.push_back(parcel),
        }
        self.account(mass_kg, scaled_k);
    }

    /// Takes water out at an end and returns its mean temperature; `None` for a mass of 0 or less. Never more than
    /// there is: the caller pushes before it pops, so that a step longer than the pipe's transit finds its water.
    pub(crate) fn pop(&mut self, end: End, mass_kg: f64) -> Option<f64> {
        if mass_kg <= 0.0 {
            return None;
        }
        let (mut left, mut sum) = (mass_kg, 0.0);
        while left > 0.0 {
            let slot = match end {
                End::Upper => self.parcels.front_mut(),
                End::Lower => self.parcels.back_mut(),
            };
            let Some(parcel) = slot else { break };
            let scaled_k = parcel.scaled_k;
            let taken = parcel.mass_kg.min(left);
            parcel.mass_kg -= taken;
            if parcel.mass_kg <= 0.0 {
                match end {
                    End::Upper => self.parcels.pop_front(),
                    End::Lower => self.parcels.pop_back(),
                };
            }
            self.account(-taken, scaled_k);
            sum += taken * scaled_k;
            left -= taken;
        }
        // What was asked beyond the content would have been created: the pipe then owes it (negative mass never
        // arises, because a network never asks for more than inflow plus content).
        debug_assert!(left < 1e-6 * mass_kg.max(1.0), "a pipe was asked for {left} kg more than it held");
        Some(self.ground_celsius + self.decay * sum / (mass_kg - left).max(f64::MIN_POSITIVE))
    }

    #[cfg(test)]
    pub(crate) fn parcels(&self) -> usize {
        self.parcels.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulated_water_is_water() {
        for celsius in [20.0, 45.0, 70.0, 95.0, 120.0] {
            let ratio = density_kg_m3(celsius) / heat_hydraulics::water::density_kg_m3(celsius);
            assert!((ratio - 1.0).abs() < 5e-4, "{celsius} degC: {ratio}");
        }
    }

    #[test]
    fn a_front_arrives_after_the_transit_time_whatever_the_step() {
        for dt in [1.0, 20.0, 60.0] {
            let mut pipe = PlugPipe::new(100.0, 1e9, 5.0, 60.0);
            let transit_s = pipe.mass_kg() / 50.0;
            let mut arrival = None;
            let mut time = 0.0;
            while time < 2.0 * transit_s {
                pipe.push(End::Upper, 50.0 * dt, 90.0);
                let out = pipe.pop(End::Lower, 50.0 * dt).unwrap();
                time += dt;
                if out > 75.0 && arrival.is_none() {
                    arrival = Some(time);
                }
            }
            let arrival = arrival.expect("the front arrives");
            assert!((arrival - transit_s).abs() < 0.05 * transit_s, "step {dt}: {arrival} for {transit_s}");
            assert!(pipe.parcels() < 60);
        }
    }

    #[test]
    fn standing_water_cools_to_the_ground_and_contracts_by_the_volume_of_its_mass() {
        let mut pipe = PlugPipe::new(10.0, 86_400.0, 5.0, 95.0);
        assert!(pipe.free_m3().abs() < 1e-9);
        let mass = pipe.mass_kg();
        for _ in 0..1_440 * 8 {
            pipe.cool(60.0);
        }
        let celsius = pipe.mass_celsius() / mass;
        assert!((celsius - 5.0 - 90.0 * (-8.0_f64).exp()).abs() < 1e-6, "{celsius}");
        assert!((pipe.free_m3() - (10.0 - mass * volume_m3_kg(celsius))).abs() < 1e-9);
    }

    #[test]
    fn the_sums_stay_those_of_the_parcels() {
        let mut pipe = PlugPipe::new(3.0, 40_000.0, 5.0, 70.0);
        for step in 0..200_000_u32 {
            let celsius = 80.0 + f64::from(step % 97) / 10.0;
            let end = if step % 5_000 < 4_500 { End::Upper } else { End::Lower };
            let other = if end == End::Upper { End::Lower } else { End::Upper };
            pipe.push(end, 20.0, celsius);
            pipe.pop(other, 20.0);
            pipe.cool(1.0);
        }
        let (mass, first) = (pipe.mass_kg, pipe.first * pipe.decay);
        let direct: f64 = pipe.parcels.iter().map(|p| p.mass_kg).sum();
        pipe.rescale();
        assert!((mass / direct - 1.0).abs() < 1e-9 && (first / pipe.first - 1.0).abs() < 1e-9);
    }
}
