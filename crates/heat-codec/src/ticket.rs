//! Tickets as JSON: citizens' repair requests and complaints (报修/投诉), without any person's data.
//!
//! A ticket is a closed list of fields. One that names a person (a name, telephone number, address or identity
//! number, in English, pinyin or Chinese, at any depth) refuses the ticket as `personal_data`, and every other unknown
//! field refuses it as `unknown_field`; an id that is a mobile or identity number refuses it as `personal_data`. In free
//! text, runs of 7 or more digits, unit and room, and what stands where a name stands are masked (see [`masked`]); an
//! area ends before its unit and room.
//!
//! A reject of a ticket never quotes the payload: its detail is empty or a field's name, masked like free text.

use heat_model::{
    EventTime, IngestTime, NetworkId, SiteId,
    ids::ID_MAX_BYTES,
    ticket::{Ticket, TicketKind},
};

pub use self::personal::masked;
use self::personal::{is_number_of_a_person, personal_field, without_home};
use crate::{
    json::{Node, Number, text_of},
    reject::{Reject, RejectReason},
    time_text::{from_unix_millis, parse_rfc3339},
};

mod personal;

/// Largest ticket.
pub const PAYLOAD_MAX_BYTES: usize = 16 * 1024;
/// Longest free text in characters.
pub const TEXT_MAX_CHARS: usize = 2_000;
/// Runs of this many digits are masked.
pub const MASKED_RUN_MIN: usize = 7;

/// How far a hotline's clock may be ahead.
const AHEAD_MAX_US: i64 = 3_600_000_000;

/// Fields of a ticket.
pub const FIELDS: [&str; 9] =
    ["id", "time", "kind", "network", "site", "area", "location", "external_id", "text"];
/// Fields of a location.
pub const LOCATION_FIELDS: [&str; 3] = ["lon", "lat", "crs"];

/// The coordinate system of a location. GCJ-02 and BD-09 are shifted against WGS 84 by 100-700 m.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(missing_docs, reason = "the names of the systems")]
pub enum Crs {
    #[default]
    Wgs84,
    Cgcs2000,
    Gcj02,
    Bd09,
}

impl Crs {
    /// All, in the order of the contract.
    pub const ALL: [Self; 4] = [Self::Wgs84, Self::Cgcs2000, Self::Gcj02, Self::Bd09];

    /// The word in payloads and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wgs84 => "WGS84",
            Self::Cgcs2000 => "CGCS2000",
            Self::Gcj02 => "GCJ02",
            Self::Bd09 => "BD09",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|crs| crs.as_str() == word)
    }
}

/// A place on the map, in its own coordinate system: converting is for whoever draws it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// Longitude, degrees.
    pub lon: f64,
    /// Latitude, degrees.
    pub lat: f64,
    /// The system of both.
    pub crs: Crs,
}

/// A ticket with what the log's record does not carry.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedTicket {
    /// The network it names, if any.
    pub network: Option<NetworkId>,
    /// Where it is, if it says so.
    pub location: Option<Location>,
    /// The ticket, masked.
    pub ticket: Ticket,
}

/// Whether free text is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FreeText {
    /// It is dropped.
    #[default]
    Drop,
    /// It is kept with its digits masked.
    KeepMasked,
}

/// Decodes one ticket. The error names the field, and never quotes it.
pub fn decode(payload: &[u8], free_text: FreeText) -> Result<DecodedTicket, Reject> {
    let text = text_of(payload, PAYLOAD_MAX_BYTES).map_err(Reject::whole)?;
    let node = Node::parse(text).map_err(|(reason, at)| Reject::at(reason, format!("byte {at}"), 0))?;
    if let Some(place) = personal_field(&node, "") {
        return Err(Reject::at(RejectReason::PersonalData, place, 0));
    }
    let fields = Fields::of(&node, "", &FIELDS)?;
    let site =
        fields.text("site")?.map(|text| SiteId::new(text).map_err(|_| invalid("/site"))).transpose()?;
    let network = fields
        .text("network")?
        .map(|text| NetworkId::new(text).map_err(|_| invalid("/network")))
        .transpose()?;
    let location = fields.get("location").map(location).transpose()?;
    let ticket = Ticket {
        id: fields.required_id("id")?,
        time: fields.time("time")?.ok_or_else(|| missing("/time"))?,
        kind: kind(&fields)?,
        site,
        area: fields.text("area")?.map(|area| without_home(&shortened(area))),
        external_id: fields.text("external_id")?.map(|id| short_id(id, "/external_id")).transpose()?,
        text: fields.text("text")?.and_then(|text| kept(text, free_text)),
    };
    Ok(DecodedTicket { network, location, ticket })
}

/// Refuses a ticket of the future: it would stand first in every list until then.
pub fn check_time(ticket: &Ticket, received: IngestTime) -> Result<(), Reject> {
    let ahead = ticket.time.as_micros().saturating_sub(received.as_micros());
    if ahead > AHEAD_MAX_US {
        return Err(Reject::at(RejectReason::TimeOutOfRange, "/time".to_owned(), 0));
    }
    Ok(())
}

/// What is kept of a free text about a ticket, masked.
pub fn kept(text: &str, free_text: FreeText) -> Option<String> {
    (free_text == FreeText::KeepMasked).then(|| masked(&shortened(text)))
}

fn kind(fields: &Fields<'_>) -> Result<TicketKind, Reject> {
    Ok(match fields.text("kind")?.ok_or_else(|| missing("/kind"))? {
        "cold" => TicketKind::Cold,
        "leak" => TicketKind::Leak,
        "noise" => TicketKind::Noise,
        "water_quality" => TicketKind::WaterQuality,
        "other" => TicketKind::Other,
        _ => return Err(Reject::at(RejectReason::UnknownWord, "/kind".to_owned(), 0)),
    })
}

fn location(node: &Node) -> Result<Location, Reject> {
    let fields = Fields::of(node, "/location", &LOCATION_FIELDS)?;
    let degrees = |field: &str, bound: f64| -> Result<f64, Reject> {
        let place = format!("/location/{field}");
        let number = fields.get(field).ok_or_else(|| missing(&place))?;
        let degrees = finite(number).map_err(|reason| Reject::at(reason, place.clone(), 0))?;
        if degrees.abs() > bound {
            return Err(Reject::at(RejectReason::NumberOutOfRange, place, 0));
        }
        Ok(degrees)
    };
    let crs = match fields.text("crs")? {
        None => Crs::Wgs84,
        Some(word) => Crs::from_word(word)
            .ok_or_else(|| Reject::at(RejectReason::UnknownWord, "/location/crs".to_owned(), 0))?,
    };
    Ok(Location { lon: degrees("lon", 180.0)?, lat: degrees("lat", 90.0)?, crs })
}

/// A finite number of a document.
pub(crate) fn finite(node: &Node) -> Result<f64, RejectReason> {
    match node {
        Node::Number(Number::Integer(number)) => Ok(*number as f64),
        Node::Number(Number::Float(number)) => Ok(*number),
        Node::Number(Number::NotFinite) => Err(RejectReason::NotFinite),
        Node::Number(Number::OutOfRange) => Err(RejectReason::NumberOutOfRange),
        Node::Text(text) if text.trim().parse::<f64>().is_ok() => Err(RejectReason::NumberAsText),
        Node::Text(_) | Node::Object(_) | Node::Array(_) | Node::Bool | Node::Null => {
            Err(RejectReason::WrongType)
        }
    }
}

fn missing(place: &str) -> Reject {
    Reject::at(RejectReason::MissingField, place.to_owned(), 0)
}

fn invalid(place: &str) -> Reject {
    Reject::at(RejectReason::InvalidId, place.to_owned(), 0)
}

fn short_id(text: &str, place: &str) -> Result<String, Reject> {
    if text.is_empty() || text.len() > ID_MAX_BYTES || text.chars().any(char::is_control) {
        return Err(invalid(place));
    }
    if is_number_of_a_person(text) {
        return Err(Reject::at(RejectReason::PersonalData, place.to_owned(), 0));
    }
    Ok(text.to_owned())
}

/// The fields of an object of a closed list; a null field counts as absent.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    entries: &'a [(String, Node)],
    place: &'a str,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(node: &'a Node, place: &'a str, known: &[&str]) -> Result<Self, Reject> {
        let Node::Object(entries) = node else {
            return Err(Reject::at(RejectReason::WrongType, place.to_owned(), 0));
        };
        if let Some((key, _)) = entries.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            let mut place = place.to_owned();
            crate::reject::push_pointer(&mut place, &masked(key));
            return Err(Reject::at(RejectReason::UnknownField, place, 0));
        }
        Ok(Self { entries, place })
    }

    pub(crate) fn get(&self, field: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(key, node)| key == field && *node != Node::Null).map(|(_, node)| node)
    }

    fn at(&self, reason: RejectReason, field: &str) -> Reject {
        Reject::at(reason, format!("{}/{field}", self.place), 0)
    }

    pub(crate) fn text(&self, field: &str) -> Result<Option<&'a str>, Reject> {
        match self.get(field) {
            None => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(Node::Object(_) | Node::Array(_) | Node::Number(_) | Node::Bool | Node::Null) => {
                Err(self.at(RejectReason::WrongType, field))
            }
        }
    }

    /// An id that hotlines also send as an integer.
    fn required_id(&self, field: &str) -> Result<String, Reject> {
        match self.get(field) {
            Some(Node::Number(Number::Integer(number))) => {
                short_id(&number.to_string(), &format!("{}/{field}", self.place))
            }
            _ => {
                let text = self.text(field)?.ok_or_else(|| self.at(RejectReason::MissingField, field))?;
                short_id(text, &format!("{}/{field}", self.place))
            }
        }
    }

    pub(crate) fn time(&self, field: &str) -> Result<Option<EventTime>, Reject> {
        let time = match self.get(field) {
            None => return Ok(None),
            Some(Node::Text(text)) => parse_rfc3339(text).map_err(|fault| fault.reason()),
            Some(Node::Number(Number::Integer(millis))) => {
                from_unix_millis(*millis).map_err(|fault| fault.reason())
            }
            Some(Node::Object(_) | Node::Array(_) | Node::Number(_) | Node::Bool | Node::Null) => {
                Err(RejectReason::WrongType)
            }
        };
        time.map(Some).map_err(|reason| self.at(reason, field))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(TEXT_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"id":"T1","time":"2026-11-24T08:00:00+08:00","kind":"cold","network":"north","site":"st01",
        "area":"Block 5","location":{"lon":126.6,"lat":45.7,"crs":"GCJ02"},"external_id":"12345-9","text":"no heat, call 138 0013 8000"}"#;

    fn reason(payload: &str) -> (RejectReason, String) {
        let reject = decode(payload.as_bytes(), FreeText::KeepMasked).unwrap_err();
        (reject.reason, reject.place)
    }

    #[test]
    fn a_ticket_keeps_its_place_and_loses_its_telephone_number() {
        let decoded = decode(GOOD.as_bytes(), FreeText::KeepMasked).unwrap();
        assert_eq!(decoded.ticket.text.as_deref(), Some("no heat, call *** **** ****"));
        assert_eq!(decoded.location, Some(Location { lon: 126.6, lat: 45.7, crs: Crs::Gcj02 }));
        assert_eq!(decoded.network.as_ref().map(NetworkId::as_str), Some("north"));
        assert_eq!(
            (decoded.ticket.kind, decoded.ticket.external_id.as_deref()),
            (TicketKind::Cold, Some("12345-9"))
        );
    }

    #[test]
    fn a_ticket_of_the_future_is_refused_and_one_of_the_past_is_history() {
        let hours = |hours: i64| IngestTime::from_micros(1_795_478_400_000_000 + hours * 3_600_000_000);
        let ticket = decode(GOOD.as_bytes(), FreeText::Drop).unwrap().ticket;
        let verdict =
            |received| check_time(&ticket, received).map_err(|reject| (reject.reason, reject.place));
        assert_eq!((verdict(hours(9_000)), verdict(hours(0)), verdict(hours(-1))), (Ok(()), Ok(()), Ok(())));
        assert_eq!(verdict(hours(-2)), Err((RejectReason::TimeOutOfRange, "/time".to_owned())));
    }

    #[test]
    fn free_text_is_dropped_unless_allowed() {
        assert_eq!(decode(GOOD.as_bytes(), FreeText::Drop).unwrap().ticket.text, None);
    }

    #[test]
    fn fields_that_name_a_person_are_refused_without_quoting_them() {
        for field in
            ["name", "callerName", "telephone", "mobile_phone", "联系电话", "姓名", "id-card", "address"]
        {
            let payload = format!(r#"{{"id":"1","time":1,"kind":"cold","{field}":"Wang 13800138000"}}"#);
            let reject = decode(payload.as_bytes(), FreeText::KeepMasked).unwrap_err();
            assert_eq!(reject.reason, RejectReason::PersonalData, "{field}");
            assert!(!format!("{reject:?}").contains("138"), "{reject:?}");
        }
        let nested = r#"{"id":"1","time":1,"kind":"cold","location":{"lon":1,"lat":1,"phone":"1"}}"#;
        assert_eq!(reason(nested), (RejectReason::PersonalData, "/location/phone".to_owned()));
    }

    #[test]
    fn every_other_fault_of_a_ticket_has_its_reason() {
        for (payload, expected, place) in [
            (r#"{"time":1,"kind":"cold"}"#, RejectReason::MissingField, "/id"),
            (r#"{"id":"1","kind":"cold"}"#, RejectReason::MissingField, "/time"),
            (r#"{"id":"1","time":1,"kind":"hot"}"#, RejectReason::UnknownWord, "/kind"),
            (r#"{"id":"1","time":"8:00","kind":"cold"}"#, RejectReason::BadTime, "/time"),
            (r#"{"id":"1","time":1,"kind":"cold","site":"a/b"}"#, RejectReason::InvalidId, "/site"),
            (r#"{"id":"1","time":1,"kind":"cold","mood":"bad"}"#, RejectReason::UnknownField, "/mood"),
            (
                r#"{"id":"1","time":1,"kind":"cold","location":{"lon":1,"lat":91}}"#,
                RejectReason::NumberOutOfRange,
                "/location/lat",
            ),
            (r#"{"id":"1","id":"2","time":1,"kind":"cold"}"#, RejectReason::DuplicateKey, "byte 15"),
            (r#"[]"#, RejectReason::WrongType, ""),
        ] {
            assert_eq!(reason(payload), (expected, place.to_owned()), "{payload}");
        }
    }

    #[test]
    fn an_area_ends_at_the_building_and_an_id_is_no_persons_number() {
        let ticket = |field: &str, value: &str| {
            let payload = format!(r#"{{"id":"1","time":1,"kind":"cold","{field}":"{value}"}}"#);
            decode(
                payload
                    .replace(r#""id":"1","time":1,"kind":"cold","id""#, r#""time":1,"kind":"cold","id""#)
                    .as_bytes(),
                FreeText::KeepMasked,
            )
        };
        let area = ticket("area", "和平小区3栋2单元501 王建国 电话 138-0013-8000").unwrap().ticket.area;
        assert_eq!(area.as_deref(), Some("和平小区3栋"));
        for (field, value) in [
            ("id", "13800138000"),
            ("external_id", "138-0013-8000"),
            ("external_id", "+86 13800138000"),
            ("id", "11010519491231002X"),
        ] {
            let reject = ticket(field, value).unwrap_err();
            assert_eq!((reject.reason, reject.place), (RejectReason::PersonalData, format!("/{field}")));
        }
        for value in ["12345-9", "20261124080000123", "23800138000", "110105194912310021"] {
            assert!(ticket("external_id", value).is_ok(), "{value}");
        }
        assert!(decode(br#"{"id":13800138000,"time":1,"kind":"cold"}"#, FreeText::Drop).is_err());
    }

    proptest! {
        #[test]
        fn no_masked_text_has_seven_digits_in_a_row(text in "[0-9０-９ a\\-]{0,60}") {
            let mut run = 0;
            for c in masked(&text).chars() {
                run = if personal::is_digit(c) { run + 1 } else { 0 };
                prop_assert!(run < MASKED_RUN_MIN);
            }
        }

        #[test]
        fn any_bytes_are_a_ticket_or_a_reject(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(reject) = decode(&payload, FreeText::KeepMasked) {
                prop_assert!(reject.detail.is_empty());
            }
        }
    }
}
