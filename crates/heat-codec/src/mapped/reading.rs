//! From a scalar to a value.

use heat_model::{Quality, QualityCode};

use super::{
    document::{Document, fault_of},
    rule::{Meaning, Names, Unknown, meaning},
    scan::{Found, Slot},
};
use crate::reject::RejectReason;

/// What a scalar comes to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reading {
    /// Nothing was reported.
    Absent,
    Value {
        raw: f64,
        quality: Quality,
        code: QualityCode,
    },
    Refused(RejectReason),
}

impl Document<'_> {
    /// What a slot's scalar comes to.
    #[inline]
    pub(super) fn reading(&self, slot: &Slot, rule: &Meaning, scratch: &mut String) -> Reading {
        let good = |raw| Reading::Value { raw, quality: Quality::Good, code: QualityCode::None };
        match slot.found {
            Found::Number => number(slot.number, rule),
            Found::Bool(bool) => good(f64::from(u8::from(bool))),
            Found::Nothing => Reading::Absent,
            Found::Null => NULL,
            Found::Text => {
                let text = self.text(slot, scratch);
                match meaning(&rule.words, text) {
                    Some(raw) => good(raw),
                    None => text_reading(text, rule),
                }
            }
            other @ (Found::Composite | Found::Faulty(_)) => Reading::Refused(fault_of(other)),
        }
    }
}

/// What a payload's name stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meant<'w, 'n> {
    pub(super) name: &'w str,
    pub(super) unit: Option<&'n str>,
    pub(super) how: &'n Meaning,
}

/// What a payload's name stands for; `None` if nobody asks.
pub(super) fn meant_by<'w, 'n: 'w>(
    names: &'n Names,
    word: &'w str,
) -> Result<Option<Meant<'w, 'n>>, RejectReason> {
    match (names.known.get(word), names.unknown) {
        (Some(named), _) => {
            Ok(Some(Meant { name: &named.name, unit: named.unit.as_deref(), how: &named.meaning }))
        }
        (None, Unknown::Take) if word.is_empty() => Err(RejectReason::InvalidId),
        (None, Unknown::Take) => Ok(Some(Meant { name: word, unit: None, how: &names.meaning })),
        (None, Unknown::Refuse) => Err(RejectReason::UnknownSignal),
        (None, Unknown::Ignore) => Ok(None),
    }
}

const NULL: Reading = Reading::Value { raw: f64::NAN, quality: Quality::Bad, code: QualityCode::Null };

#[inline]
fn number(raw: f64, rule: &Meaning) -> Reading {
    if is_sentinel(raw, rule) {
        return Reading::Value { raw, quality: Quality::Bad, code: QualityCode::Sentinel };
    }
    Reading::Value { raw, quality: Quality::Good, code: QualityCode::None }
}

/// Whether a number means "no measurement": exactly the one that the mapping states.
pub(super) fn is_sentinel(raw: f64, rule: &Meaning) -> bool {
    rule.absent.sentinels.contains(&raw)
}

fn text_reading(text: &str, rule: &Meaning) -> Reading {
    if rule.absent.missing.iter().any(|missing| missing == text) {
        return Reading::Absent;
    }
    if rule.absent.nulls.iter().any(|null| null == text) {
        return NULL;
    }
    match text.trim().parse::<f64>() {
        Ok(raw) if !raw.is_finite() => Reading::Refused(RejectReason::NotFinite),
        Ok(raw) if rule.number_as_text => number(raw, rule),
        Ok(_) => Reading::Refused(RejectReason::NumberAsText),
        Err(_) => Reading::Refused(RejectReason::WrongType),
    }
}
