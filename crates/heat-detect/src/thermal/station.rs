//! One station: what physics holds constant in it, and what can be the matter.

use serde::{Deserialize, Serialize};

use super::{
    bank::{Bank, Instant, Instants, Limit, Limits, MARGIN},
    costs::{Costs, Spent},
    course::Course,
    delivery::Delivery,
    hypothesis::{CHANNELS, Rule, Want},
    meter::HeatMeter,
    rls::{INPUTS, Inputs},
    second_law::Order,
    setback::Setback,
    values::{Readings, SECONDARY_BINS, Smooth, Surround, Usual},
};

/// Quarter hours that it takes to see whether a valve stands still.
pub(super) const STILL_BINS: usize = 10;
/// A valve that moves less than this share of what it usually does stands still.
const STILL_SHARE: f64 = 0.5;
/// Openings and differential pressures (10 kPa) below which a valve's characteristic says nothing.
const OPENING_MIN: f64 = 0.03;
const DIFFERENTIAL_MIN: f64 = 0.5;
/// Difference of a primary's temperatures below which a heat meter says nothing, K.
const COOLED_KELVIN: f64 = 5.0;
/// A valve this near to open or closed moves no further.
const STOP: f64 = 0.05;

/// Supply temperature against that of the source with its delay and loss, K.
pub(super) const SUPPLY: usize = 0;
/// Primary return less secondary return against load, K.
pub(super) const PINCH: usize = 1;
/// Logarithm of heat against weather, hour and weekend.
pub(super) const HEAT: usize = 2;
/// Logarithm of flow against valve opening and differential pressure.
const VALVE: usize = 3;
/// Secondary supply less its set point, K.
pub(super) const CONTROL: usize = 4;
/// Secondary supply less return against heat, K.
const SPREAD: usize = 5;
/// Pressures against those of the source and circulation, 10 kPa.
pub(super) const SUPPLY_PRESSURE: usize = 6;
pub(super) const RETURN_PRESSURE: usize = 7;
/// Logarithm of metered heat over flow and temperatures.
const POWER: usize = 8;
/// What moves all stations together is nobody's own.
pub(super) const SHARED: [bool; CHANNELS] = [true, true, true, false, true, true, true, true, false];

const fn limit(what: &'static str, si: f64, unit: &'static str, floor: f64, smallest: f64) -> Limit {
    Limit { what, si, unit, floor, smallest }
}

/// The smallest deviations follow EN 60751 class B and EN 1434 pairs (0.3 to 0.7 K), class 2 flow meters (2 %) and
/// pressure transmitters of 0.5 % of 1 MPa; two heat meters of class 2 shift against each other by a percent from a frost
/// to a mild day.
pub(super) const LIMITS: Limits = [
    limit("supply_temperature_off", 1.0, "K", 0.08, 0.6),
    limit("return_temperature_off", 1.0, "K", 0.08, 0.8),
    limit("heat_off", 1.0, "1", 0.015, 0.1),
    limit("flow_against_valve_off", 1.0, "1", 0.003, 0.015),
    limit("secondary_supply_off", 1.0, "K", 0.1, 1.0),
    limit("secondary_spread_off", 1.0, "K", 0.1, 1.0),
    limit("supply_pressure_off", 1e4, "Pa", 0.06, 0.8),
    limit("return_pressure_off", 1e4, "Pa", 0.06, 0.8),
    limit("heat_meter_off", 1.0, "1", 0.004, 0.025),
];

/// What can be the matter with a station; the order is that of [`Station::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    SupplySensor,
    ReturnSensor,
    FlowSensor,
    SecondarySupplySensor,
    SecondaryReturnSensor,
    SupplyPressureSensor,
    ReturnPressureSensor,
    HeatMeter,
    /// Water comes back too warm: fouled exchanger, bypass, controller.
    HighReturn,
    /// Too little heat: valve, controller.
    Shortfall,
    /// Too little heat, and less flow than the valve's opening gives: strainer.
    Blocked,
    /// Too much heat.
    Surplus,
    /// The secondary does not circulate: wide spread, little heat.
    SecondaryPump,
    /// Other hours, other use: nothing is the matter.
    Demand,
    /// Pressures move with the network's flows: another detector's to tell.
    Hydraulics,
    /// The water arrives too cold: a flooded trench, an insulation that broke. The valve makes up for it, so the heat is as
    /// it was, which that of a supply sensor that reads too little seems not to be.
    ColdArrival,
}

pub(super) const CAUSES: [Cause; 16] = [
    Cause::SupplySensor,
    Cause::ReturnSensor,
    Cause::FlowSensor,
    Cause::SecondarySupplySensor,
    Cause::SecondaryReturnSensor,
    Cause::SupplyPressureSensor,
    Cause::ReturnPressureSensor,
    Cause::HeatMeter,
    Cause::HighReturn,
    Cause::Shortfall,
    Cause::Blocked,
    Cause::Surplus,
    Cause::SecondaryPump,
    Cause::Demand,
    Cause::Hydraulics,
    Cause::ColdArrival,
];

impl Cause {
    pub(super) const fn needs_valve(self) -> bool {
        matches!(self, Self::Shortfall | Self::Surplus)
    }

    /// Whether it is worth telling.
    pub(super) const fn is_told(self) -> bool {
        !matches!(self, Self::Demand | Self::Hydraulics)
    }
}

/// What turns a cause into deviations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Context {
    /// Primary supply less return, K.
    pub(super) cooling: f64,
    /// Whether the load is metered, and not taken from the weather.
    is_metered: bool,
    /// K of secondary spread per unit of the logarithm of heat; 0 where heat is not metered.
    spread_per_heat: f64,
    /// Differential pressure, 10 kPa.
    differential: f64,
    /// kg/s; 0 where it is not metered.
    pub(super) flow: f64,
    /// Whether its heat is measured and known, which tells water that is cold from a sensor that says so.
    has_heat: bool,
}

/// How the valve moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Opening {
    values: [f32; STILL_BINS],
    count: u32,
    /// Usual standard deviation over [`STILL_BINS`].
    usual: f64,
}

impl Opening {
    fn take(&mut self, value: f64, learns: bool) {
        self.values.rotate_left(1);
        self.values[STILL_BINS - 1] = value as f32;
        self.count = self.count.saturating_add(1);
        if learns && self.count as usize > STILL_BINS {
            let count = f64::from(self.count).min(1_344.0);
            self.usual += (self.deviation() - self.usual) / count;
        }
    }

    fn deviation(&self) -> f64 {
        let values = self.values.map(f64::from);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    fn is_still(&self) -> bool {
        self.count > 192 && self.deviation() < STILL_SHARE * self.usual
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Station {
    pub(super) bank: Bank,
    heat: Smooth,
    secondary: Smooth,
    set_point: Smooth,
    usual_heat: Usual,
    pub(super) usual_flow: Usual,
    opening: Opening,
    pub(super) context: Option<Context>,
    arrives: Option<f64>,
    delivery: Delivery,
    meter: HeatMeter,
    pub(super) order: Order,
    pub(super) setback: Setback,
    pub(super) costs: Costs,
    /// Whether it delivers heat, and has for long enough.
    pub(super) delivers: bool,
    /// Whether its heat is known now, and what it should be.
    has_heat: bool,
    pub(super) course: Course,
    /// What its lost set-back has cost.
    pub(super) nights: Spent,
}

fn inputs<const N: usize>(values: [f64; N]) -> Inputs {
    let mut inputs = [0.0; INPUTS];
    inputs[..N].copy_from_slice(&values);
    inputs
}

impl Station {
    /// What the relations ask and what was measured.
    pub(super) fn instants(&mut self, surround: &Surround, own: &Readings) -> Instants {
        let bin = surround.bin;
        let delivered = self.delivery.take(bin, own);
        self.delivers = delivered.settled;
        self.has_heat = own.heat.is_some() && self.bank.known(HEAT).is_some();
        let meter_off = self.meter.off(bin, own, own.heat);
        if !delivered.settled {
            return [None; CHANNELS];
        }
        let (cos, sin) = (surround.angle.cos(), surround.angle.sin());
        let heat_share = own.heat.map(|heat| heat / self.usual_heat.take(heat).max(1.0));
        let slow_heat = heat_share.map(|share| self.heat.take(bin, share, SECONDARY_BINS));
        // Without a heat meter the weather stands for the load.
        let by_weather = surround.outdoor.map(|(_, walls)| (20.0 - walls) / 20.0);
        let counted = delivered
            .share
            .filter(|_| !own.has_heat)
            .map(|share| (share, self.heat.take(bin, share, SECONDARY_BINS)));
        // The weather knows no weekends.
        let (load, slow_load, weekend) = match counted {
            _ if own.has_heat => (heat_share, slow_heat, 0.0),
            Some((share, slow)) => (Some(share), Some(slow), 0.0),
            None => (by_weather, by_weather, surround.weekend),
        };
        let mut instants: Instants = [None; CHANNELS];
        let mut set = |channel: usize, target: Option<f64>, with: Option<Inputs>| {
            instants[channel] = target.zip(with).map(|(target, inputs)| Instant { inputs, target });
        };
        let less = |a: Option<f64>, b: Option<f64>| Some(a? - b?);
        let arrived = surround.lags.map(|lags| {
            let at = |index: usize| (lags[index] - 75.0) / 10.0;
            let slowness = surround.circulation.map_or(0.0, |share| 1.0 / share.max(0.1) - 1.0);
            [1.0, at(0), at(1), at(2), at(3), at(4), at(5), slowness]
        });
        self.arrives = arrived.zip(self.bank.known(SUPPLY)).map(|(inputs, supply)| supply.predict(&inputs));
        set(SUPPLY, own.supply, arrived);
        let approach = if own.has_secondary_return { less(own.back, own.secondary_return) } else { own.back };
        set(
            PINCH,
            approach,
            load.zip(slow_load).map(|(load, slow)| inputs([1.0, load, slow, cos, sin, weekend])),
        );
        let weather = surround.outdoor.map(|(now, walls)| {
            let (cos2, sin2) = ((2.0 * surround.angle).cos(), (2.0 * surround.angle).sin());
            [1.0, walls / 10.0, now / 10.0, cos, sin, cos2, sin2, surround.weekend]
        });
        set(HEAT, own.heat.map(f64::ln), weather);
        let (flow, valve) = valve_law(own);
        set(VALVE, flow, valve);
        let control = own
            .set_point
            .map(|should| inputs([1.0, (should - self.set_point.take(bin, should, SECONDARY_BINS)) / 5.0]));
        let off = own.secondary_supply.zip(own.set_point).map(|(is, should)| is - should);
        set(CONTROL, off.filter(|off| can_control(own, *off)), control);
        let spread = own.secondary_supply.zip(load).zip(slow_load).map(|((hot, load), slow)| {
            inputs([1.0, slow, load, (hot - self.secondary.take(bin, hot, SECONDARY_BINS)) / 5.0, weekend])
        });
        set(SPREAD, own.secondary_supply.zip(own.secondary_return).map(|(hot, cold)| hot - cold), spread);
        let friction = surround.circulation.map(|share| inputs([1.0, share, share * share]));
        set(SUPPLY_PRESSURE, less(own.supply_pressure, surround.supply_pressure), friction);
        set(RETURN_PRESSURE, less(own.return_pressure, surround.return_pressure), friction);
        // No input: what a meter's error changes with, flow and cooling, is itself what may be wrong.
        set(POWER, meter_off.filter(|_| is_cooled(own)), Some(inputs([1.0])));
        if let Some(opening) = own.opening {
            let is_calm = self.bank.is_calm();
            self.opening.take(opening, is_calm);
        }
        if let (Some(hot), Some(cold), true) = (own.supply, own.back, own.has_heat == slow_heat.is_some()) {
            let spread = self.bank.known(SPREAD);
            self.context = Some(Context {
                cooling: hot - cold,
                spread_per_heat: slow_heat
                    .zip(spread)
                    .map_or(0.0, |(heat, spread)| heat * (spread.slope(1) + spread.slope(2))),
                is_metered: counted.is_some() || own.has_heat,
                differential: own.differential.unwrap_or(10.0),
                flow: own.flow.unwrap_or(0.0),
                has_heat: true,
            });
        }
        instants
    }

    /// Supply temperature that should have arrived, degC; `None` until that is known.
    pub(super) const fn arrived(&self) -> Option<f64> {
        self.arrives
    }

    /// Whether heat is drawn, by flow or heat meter; `None` where neither tells.
    pub(super) fn draws(&self, bin: i64, own: &Readings) -> Option<bool> {
        self.delivery.draws(bin, own)
    }

    /// Whether its flow or temperatures may not be what they read. What is the matter with the plant is in the water that
    /// it sends back, and so in the source's.
    pub(super) fn doubts_water(&self) -> bool {
        self.bank.case.is_some_and(|case| {
            let cause = CAUSES[usize::from(case.rule)];
            matches!(cause, Cause::SupplySensor | Cause::ReturnSensor | Cause::FlowSensor)
        })
    }

    /// W; 0 where heat is not metered.
    pub(super) const fn usual_heat(&self) -> f64 {
        self.usual_heat.known()
    }

    pub(super) fn is_valve_still(&self) -> bool {
        self.opening.is_still()
    }

    /// What each cause does to the relations, in the order of [`CAUSES`].
    pub(super) fn rules(&self) -> Option<[Rule; CAUSES.len()]> {
        // What the heat was before says nothing of a supply that is cold now.
        let context = Context { has_heat: self.has_heat, ..self.context? };
        Some(CAUSES.map(|cause| rule(cause, &context)))
    }
}

/// Whether the valve could still do something against the deviation. What is left at its stop is the size of the station in
/// a hard frost, or the supply; neither a sensor nor a controller. Where the opening is missing now, nobody knows.
fn can_control(own: &Readings, off: f64) -> bool {
    own.opening
        .map_or(!own.has_opening, |opening| if off < 0.0 { opening <= 1.0 - STOP } else { opening >= STOP })
}

fn is_cooled(own: &Readings) -> bool {
    own.supply.zip(own.back).is_some_and(|(hot, cold)| hot - cold > COOLED_KELVIN)
}

/// Flow against the valve: the logarithm of what the valve lets through per root of pressure, over its opening.
fn valve_law(own: &Readings) -> (Option<f64>, Option<Inputs>) {
    let (Some(flow), Some(opening), Some(differential)) = (own.flow, own.opening, own.differential) else {
        return (None, None);
    };
    if opening < OPENING_MIN || differential < DIFFERENTIAL_MIN {
        return (None, None);
    }
    let log = opening.ln();
    (Some(flow.ln() - 0.5 * differential.ln()), Some(inputs([1.0, log, log * log])))
}

fn rule(cause: Cause, context: &Context) -> Rule {
    use Want::{Above, Any, Below, May, Per, PerOrZero, Zero};
    let per_kelvin = 1.0 / context.cooling.max(5.0);
    let spread = context.spread_per_heat;
    let per_pressure = 0.5 / context.differential.max(2.0);
    // Without a heat meter the spread is held against the weather, and falls with the heat.
    let (falls, rises) = if context.is_metered { (Zero, Zero) } else { (Below, Above) };
    // What the heat meter's own sensors are, nobody says.
    let wants = match cause {
        Cause::SupplySensor => [
            Per(1.0),
            Zero,
            Per(per_kelvin),
            Zero,
            Zero,
            Per(-spread * per_kelvin),
            Zero,
            Zero,
            PerOrZero(-per_kelvin),
        ],
        Cause::ReturnSensor => [
            Zero,
            Per(1.0),
            Per(-per_kelvin),
            Zero,
            Zero,
            Per(spread * per_kelvin),
            Zero,
            Zero,
            PerOrZero(per_kelvin),
        ],
        Cause::FlowSensor => {
            [Zero, Zero, Per(1.0), Per(1.0), Zero, Per(-spread), Zero, Zero, PerOrZero(-1.0)]
        }
        Cause::SecondarySupplySensor => [Zero, Zero, Zero, Zero, Per(1.0), Per(1.0), Zero, Zero, Zero],
        Cause::SecondaryReturnSensor => [Zero, Per(-1.0), Zero, Zero, Zero, Per(-1.0), Zero, Zero, Zero],
        Cause::SupplyPressureSensor => {
            [Zero, Zero, Zero, Per(-per_pressure), Zero, Zero, Per(1.0), Zero, Zero]
        }
        Cause::ReturnPressureSensor => {
            [Zero, Zero, Zero, Per(per_pressure), Zero, Zero, Zero, Per(1.0), Zero]
        }
        Cause::HeatMeter => [Zero, Zero, Zero, Zero, Zero, Zero, Zero, Zero, Per(1.0)],
        Cause::HighReturn => [Zero, Per(1.0), Zero, Zero, Zero, Zero, Zero, Zero, Zero],
        // A station's own pipe costs less head when it takes less water.
        Cause::Shortfall => [Zero, Any, Below, Zero, Below, falls, May, May, Zero],
        Cause::Blocked => [Zero, Any, Below, Below, Below, falls, Any, Any, Zero],
        Cause::Surplus => [Zero, Any, Above, Zero, Above, rises, May, May, Zero],
        Cause::SecondaryPump => [Zero, Below, Below, Zero, Any, Above, May, May, Zero],
        Cause::Demand => [Zero, Zero, Any, Zero, Zero, Zero, Zero, Zero, Zero],
        Cause::Hydraulics => [Zero, Zero, Zero, Zero, Zero, Zero, Any, Any, Zero],
        Cause::ColdArrival if context.has_heat => [Per(1.0), Zero, Zero, Zero, Zero, Zero, Zero, Zero, Zero],
        Cause::ColdArrival => [Zero; CHANNELS],
    };
    let is_cold = cause == Cause::ColdArrival;
    let sign = if is_cold { Some(-1.0) } else { (cause == Cause::HighReturn).then_some(1.0) };
    // Sensors go wrong more often than trenches, so the heat has to speak for them.
    let rare = if is_cold { MARGIN } else { 0.0 };
    let is_sensor = matches!(
        cause,
        Cause::SupplySensor
            | Cause::ReturnSensor
            | Cause::FlowSensor
            | Cause::SecondarySupplySensor
            | Cause::SecondaryReturnSensor
            | Cause::SupplyPressureSensor
            | Cause::ReturnPressureSensor
            | Cause::HeatMeter
    );
    Rule { wants, sign, is_sensor, rare }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thermal::hypothesis::{Deviations, rank};

    const CONTEXT: Context = Context {
        cooling: 40.0,
        is_metered: true,
        spread_per_heat: 15.0,
        differential: 12.0,
        flow: 1.0,
        has_heat: true,
    };

    /// Of a station without a heat meter.
    fn named(values: [f64; CHANNELS - 1]) -> Cause {
        judged(values, None)
    }

    fn judged(values: [f64; CHANNELS - 1], heat_meter: Option<f64>) -> Cause {
        let sigmas = [0.2, 0.3, 0.05, 0.006, 0.2, 0.3, 0.1, 0.1];
        let mut seen: Deviations = [None; CHANNELS];
        for (index, (value, sigma)) in values.into_iter().zip(sigmas).enumerate() {
            seen[index] = Some((value, sigma));
        }
        seen[POWER] = heat_meter.map(|off| (off, 0.006));
        let rules = CAUSES.map(|cause| rule(cause, &CONTEXT));
        CAUSES[rank(&rules, &seen).unwrap().0.rule]
    }

    #[test]
    fn a_heat_meter_is_named_where_it_alone_is_off_and_else_says_whose_sensor_it_is() {
        let calm = [0.0; CHANNELS - 1];
        assert_eq!(judged(calm, Some(0.06)), Cause::HeatMeter);
        // Where a bypass would explain the return as well, and the heat account is too coarse to say.
        let warm = [0.0, 2.0, -0.02, 0.0, 0.0, 0.3, 0.0, 0.0];
        assert_eq!(judged(warm, Some(0.05)), Cause::ReturnSensor);
        assert_eq!(judged([0.0, 2.0, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0], Some(0.0)), Cause::HighReturn);
        // One that shares the sensors shows nothing of their fault.
        assert_eq!(judged([0.0, 4.0, -0.1, 0.0, 0.0, 1.5, 0.0, 0.0], Some(0.0)), Cause::ReturnSensor);
        assert_eq!(judged([0.0, 0.0, 0.05, 0.05, 0.0, -0.7, 0.0, 0.0], Some(-0.05)), Cause::FlowSensor);
    }

    #[test]
    fn a_heat_meter_is_named_where_nothing_but_the_weather_says_what_the_flow_is() {
        let mut seen: Deviations = [None; CHANNELS];
        (seen[HEAT], seen[POWER]) = (Some((-0.02, 0.05)), Some((0.03, 0.004)));
        let rules = CAUSES.map(|cause| rule(cause, &CONTEXT));
        assert_eq!(CAUSES[rank(&rules, &seen).unwrap().0.rule], Cause::HeatMeter);
    }

    #[test]
    fn water_that_arrives_cold_is_told_from_a_sensor_that_says_so_by_the_heat() {
        let cold = [-5.0, 0.1, -0.01, 0.0, 0.0, 0.1, 0.0, 0.0];
        let reads = [-5.0, 0.0, -0.125, 0.0, 0.0, 1.9, 0.0, 0.0];
        assert_eq!([named(cold), named(reads)], [Cause::ColdArrival, Cause::SupplySensor]);
        assert_eq!(named(cold.map(|off| -off)), Cause::SupplySensor, "no trench heats water");
        // Without a flow meter nothing tells them apart.
        let mut seen: Deviations = [None; CHANNELS];
        (seen[SUPPLY], seen[PINCH]) = (Some((-5.0, 0.2)), Some((0.0, 0.3)));
        let context = Context { has_heat: false, ..CONTEXT };
        let rules = CAUSES.map(|cause| rule(cause, &context));
        let (best, other) = rank(&rules, &seen).unwrap();
        assert_eq!(CAUSES[best.rule], Cause::SupplySensor);
        assert!(other.unwrap().cost - best.cost > MARGIN, "and it is named at once");
    }

    #[test]
    fn a_return_sensor_is_told_from_a_high_return_by_the_heat_account() {
        assert_eq!(named([0.0, 4.0, -0.1, 0.0, 0.0, 1.5, 0.0, 0.0]), Cause::ReturnSensor);
        assert_eq!(named([0.0, 9.0, 0.01, 0.0, 0.0, 0.1, 0.0, 0.0]), Cause::HighReturn);
    }

    #[test]
    fn a_secondary_sensor_is_told_from_a_shortfall_by_the_spread() {
        assert_eq!(named([0.0, 0.0, 0.0, 0.0, -4.0, -4.1, 0.0, 0.0]), Cause::SecondarySupplySensor);
        assert_eq!(named([0.0, -1.0, -0.4, 0.0, -9.0, 0.4, 0.0, 0.0]), Cause::Shortfall);
        assert_eq!(named([0.0, -1.0, -0.4, -0.6, -9.0, 0.4, 0.0, 0.0]), Cause::Blocked);
    }

    #[test]
    fn a_valve_that_gives_too_little_is_no_blocked_strainer_because_its_pipe_costs_less_head() {
        assert_eq!(named([0.0, -1.8, -0.58, 0.0, -5.2, 0.0, 0.8, 0.0]), Cause::Shortfall);
        assert_eq!(named([0.0, -1.8, -0.58, -0.5, -5.2, 0.0, 0.8, 0.0]), Cause::Blocked);
        assert_eq!(named([0.0, 1.8, 0.4, 0.0, 5.2, 0.0, -0.8, 0.3]), Cause::Surplus);
    }

    #[test]
    fn a_valve_at_its_stop_has_no_say_over_the_set_point_and_any_other_has() {
        let with = |has_opening: bool, opening: Option<f64>| Readings {
            has_opening,
            opening,
            ..Readings::default()
        };
        let at = |opening: f64| with(true, Some(opening));
        assert!(!can_control(&at(0.99), -2.0) && !can_control(&at(0.01), 2.0));
        assert!(can_control(&at(0.99), 2.0) && can_control(&at(0.01), -2.0));
        assert!(can_control(&at(0.5), -2.0) && can_control(&with(false, None), -2.0));
        assert!(!can_control(&with(true, None), -2.0), "an opening that is lost now may be at its stop");
    }

    #[test]
    fn a_flow_meter_and_a_pressure_sensor_are_named() {
        assert_eq!(named([0.0, 0.0, 0.05, 0.05, 0.0, -0.7, 0.0, 0.0]), Cause::FlowSensor);
        assert_eq!(named([0.0, 0.0, 0.0, -0.08, 0.0, 0.0, 2.0, 0.0]), Cause::SupplyPressureSensor);
    }
}
