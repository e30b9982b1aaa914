//! Weather forecasts as JSON, topic `heat/v1/forecast`.
//!
//! ```json
//! {"network": "north", "issued": "2026-11-24T06:00:00+08:00", "unit": "degC",
//!  "outdoor_temperature": [{"time": "2026-11-24T09:00:00+08:00", "value": -7.5}]}
//! ```
//!
//! Without `network` it holds for all networks; without `unit` values are in degC. Times must rise.

use heat_model::{
    EventTime, NetworkId,
    record::Forecast,
    unit::{Dimension, Unit},
};

use crate::{
    json::{Node, text_of},
    reject::{Reject, RejectReason},
    ticket::{Fields, finite},
};

/// Largest forecast.
pub const PAYLOAD_MAX_BYTES: usize = 64 * 1024;
/// Most points: 15 days by the quarter of an hour.
pub const POINTS_MAX: usize = 1_440;
/// Fields of a forecast.
pub const FIELDS: [&str; 4] = ["network", "issued", "unit", "outdoor_temperature"];
/// Fields of a point.
pub const POINT_FIELDS: [&str; 2] = ["time", "value"];

/// A forecast and whom it concerns.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedForecast {
    /// One network; `None`: all.
    pub network: Option<NetworkId>,
    /// The forecast.
    pub forecast: Forecast,
}

/// Decodes one forecast.
pub fn decode(payload: &[u8]) -> Result<DecodedForecast, Reject> {
    let text = text_of(payload, PAYLOAD_MAX_BYTES).map_err(Reject::whole)?;
    let node = Node::parse(text).map_err(|(reason, at)| Reject::at(reason, format!("byte {at}"), 0))?;
    let fields = Fields::of(&node, "", &FIELDS)?;
    let at = |reason, place: &str| Reject::at(reason, place.to_owned(), 0);
    let network = match fields.text("network")? {
        None => None,
        Some(text) => {
            Some(NetworkId::new(text).map_err(|_| at(RejectReason::InvalidId, "/network").found(text))?)
        }
    };
    let unit = match fields.text("unit")? {
        None => Unit { dimension: Dimension::Temperature, scale: 1.0, offset: 0.0 },
        Some(text) => Unit::parse(text).ok_or_else(|| at(RejectReason::UnknownUnit, "/unit").found(text))?,
    };
    if unit.dimension != Dimension::Temperature {
        return Err(at(RejectReason::WrongDimension, "/unit"));
    }
    let issued = fields.time("issued")?.ok_or_else(|| at(RejectReason::MissingField, "/issued"))?;
    let points = fields
        .get("outdoor_temperature")
        .ok_or_else(|| at(RejectReason::MissingField, "/outdoor_temperature"))?;
    let outdoor_celsius = points_of(points, unit)?;
    Ok(DecodedForecast { network, forecast: Forecast { issued, outdoor_celsius } })
}

fn points_of(node: &Node, unit: Unit) -> Result<Vec<(EventTime, f64)>, Reject> {
    let list = "/outdoor_temperature";
    let Node::Array(items) = node else {
        return Err(Reject::at(RejectReason::WrongType, list.to_owned(), 0));
    };
    if items.is_empty() || items.len() > POINTS_MAX {
        let reason = if items.is_empty() { RejectReason::MissingField } else { RejectReason::TooManyValues };
        return Err(Reject::at(reason, list.to_owned(), 0));
    }
    let mut points: Vec<(EventTime, f64)> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = format!("{list}/{index}");
        let fields = Fields::of(item, &place, &POINT_FIELDS)?;
        let at = |reason, field: &str| Reject::at(reason, format!("{place}/{field}"), 0);
        let time = fields.time("time")?.ok_or_else(|| at(RejectReason::MissingField, "time"))?;
        let value = fields.get("value").ok_or_else(|| at(RejectReason::MissingField, "value"))?;
        let value = finite(value).map_err(|reason| at(reason, "value"))?;
        if points.last().is_some_and(|&(before, _)| before >= time) {
            return Err(at(RejectReason::BadTime, "time").found("times must rise"));
        }
        points.push((time, value * unit.scale + unit.offset));
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_forecast_becomes_degrees_celsius() {
        let payload = br#"{"issued":1000,"unit":"K","outdoor_temperature":[{"time":2000,"value":263.15},{"time":3000,"value":273.15}]}"#;
        let decoded = decode(payload).unwrap();
        assert_eq!(decoded.network, None);
        let celsius: Vec<_> = decoded.forecast.outdoor_celsius.iter().map(|point| point.1.round()).collect();
        assert_eq!(celsius, [-10.0, 0.0]);
    }

    #[test]
    fn each_fault_is_named() {
        for (payload, reason, place) in [
            (r#"{"outdoor_temperature":[{"time":1,"value":1}]}"#, RejectReason::MissingField, "/issued"),
            (r#"{"issued":1}"#, RejectReason::MissingField, "/outdoor_temperature"),
            (r#"{"issued":1,"outdoor_temperature":[]}"#, RejectReason::MissingField, "/outdoor_temperature"),
            (
                r#"{"issued":1,"outdoor_temperature":[{"time":1,"value":NaN}]}"#,
                RejectReason::NotFinite,
                "/outdoor_temperature/0/value",
            ),
            (
                r#"{"issued":1,"outdoor_temperature":[{"time":2,"value":1},{"time":2,"value":1}]}"#,
                RejectReason::BadTime,
                "/outdoor_temperature/1/time",
            ),
            (
                r#"{"issued":1,"unit":"bar","outdoor_temperature":[{"time":2,"value":1}]}"#,
                RejectReason::WrongDimension,
                "/unit",
            ),
        ] {
            let reject = decode(payload.as_bytes()).unwrap_err();
            assert_eq!((reject.reason, reject.place.as_str()), (reason, place), "{payload}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_forecast_or_a_reject(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let outcome = decode(&payload);
            prop_assert!(outcome.is_err(), "random bytes have no issued field");
        }
    }
}
