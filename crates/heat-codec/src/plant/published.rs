//! Plant models on the log, so that it is self-contained: the topic of models, one partition, compacted.
//!
//! | key | payload |
//! |---|---|
//! | `{hash}/{n}` | part n of the model: zstd of the JSON of its tables, cut to at most 512 KiB |
//! | `{hash}` | the model's head, JSON: format, number of parts, digest and length of the JSON |
//! | `active` | the pointer, JSON: which model was activated last, and which ones are kept |
//!
//! Parts are durable before the head is appended, and the activation in every input partition before the pointer is.
//! So a reader that finds a head finds its parts, and a writer that died on the way does all of it again, which
//! changes nothing. The JSON is canonical: rows sorted by id, fields in the order of the tables. Reading trusts the
//! digest and runs no checks, for the model was checked before it was published, perhaps by another version.

use std::collections::BTreeMap;

use bytes::Bytes;
use heat_model::plant::{PlantHash, PlantModel};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{hash, sorted};

/// Largest part; half of what a record may have.
pub const PART_MAX_BYTES: usize = 512 << 10;
/// Models kept, the active one included; older ones are deleted.
pub const MODELS_KEPT: usize = 32;
/// Key of the pointer.
pub const ACTIVE_KEY: &str = "active";
/// Longest JSON that is unpacked: some million rows, many times the largest city.
const MODEL_MAX_BYTES: usize = 1 << 30;
/// Layout of parts, head and pointer.
const FORMAT: u32 = 1;
/// Level 3 of zstd takes tables to a tenth at 100 MB/s and more.
const ZSTD_LEVEL: i32 = 3;

/// Why a published model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// A head or the pointer is not what it should be.
    #[error(
        "the record {key} of the plant models cannot be read; publish the model again (restart a gateway)"
    )]
    Record {
        /// Its key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Another version wrote it.
    #[error(
        "the record {key} of the plant models has format {found}, this program reads {FORMAT}; update it"
    )]
    Format {
        /// Its key.
        key: String,
        /// What was found.
        found: u32,
    },
    /// Parts are missing, damaged or too large.
    #[error("the parts of plant model {0} are incomplete or damaged; publish it again (restart a gateway)")]
    Damaged(PlantHash),
    /// The tables are not what this program knows.
    #[error("the tables of plant model {model} cannot be decoded; was it published by a newer version?")]
    Decode {
        /// Which.
        model: PlantHash,
        /// Why.
        source: serde_json::Error,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    format: u32,
    parts: u32,
    digest: u64,
    bytes: u64,
}

/// The pointer: the model that was activated last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    format: u32,
    /// Models kept, the active one first, then the one before it, and so on.
    kept: Vec<PlantHash>,
}

impl Active {
    /// The pointer after an activation.
    pub fn after(previous: Option<&Self>, model: PlantHash) -> Self {
        let before = previous.map_or(&[][..], |previous| &previous.kept);
        let older = before.iter().copied().filter(|kept| *kept != model);
        let kept = std::iter::once(model).chain(older).take(MODELS_KEPT).collect();
        Self { format: FORMAT, kept }
    }

    /// The model activated last.
    pub fn model(&self) -> Option<PlantHash> {
        self.kept.first().copied()
    }

    /// Models that `previous` kept and this one does not: their records may be deleted.
    pub fn dropped(&self, previous: Option<&Self>) -> Vec<PlantHash> {
        let before = previous.map_or(&[][..], |previous| &previous.kept);
        before.iter().copied().filter(|model| !self.kept.contains(model)).collect()
    }

    /// The pointer's payload.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("a pointer has string keys only").into()
    }
}

/// A model ready to be appended: the parts, and when they are durable the head.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Hash of the model.
    pub model: PlantHash,
    /// Keys and payloads of the parts.
    pub parts: Vec<(String, Bytes)>,
    /// Key and payload of the head.
    pub head: (String, Bytes),
}

/// The key of a model's head.
pub fn head_key(model: PlantHash) -> String {
    model.to_string()
}

/// The key of a part.
pub fn part_key(model: PlantHash, number: u32) -> String {
    format!("{model}/{number}")
}

/// Encodes a model.
pub fn encode(model: &PlantModel) -> Encoded {
    let json =
        serde_json::to_vec(&sorted(model.clone())).expect("a model has string keys and finite numbers only");
    let packed = zstd::bulk::compress(&json, ZSTD_LEVEL).expect("compressing to memory does not fail");
    let (packed, model) = (Bytes::from(packed), hash(model));
    let parts: Vec<_> = (0u32..)
        .zip((0..packed.len()).step_by(PART_MAX_BYTES))
        .map(|(number, start)| {
            let end = (start + PART_MAX_BYTES).min(packed.len());
            (part_key(model, number), packed.slice(start..end))
        })
        .collect();
    let head = Head {
        format: FORMAT,
        parts: u32::try_from(parts.len()).expect("a model of 2^32 parts does not fit into memory"),
        digest: xxh3_64(&json),
        bytes: json.len() as u64,
    };
    let head = serde_json::to_vec(&head).expect("a head has string keys only").into();
    Encoded { model, parts, head: (head_key(model), head) }
}

/// The newest record of each key, as a reader of the topic gathers them.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    records: BTreeMap<Vec<u8>, Bytes>,
}

impl Shelf {
    /// Takes the next record of the topic; an empty payload deletes its key. Tells what it was.
    pub fn apply(&mut self, key: &[u8], payload: &Bytes) -> Shelved {
        if payload.is_empty() {
            self.records.remove(key);
            return Shelved::Other;
        }
        // A copy, because the payload shares its memory with a whole batch of records.
        self.records.insert(key.to_vec(), Bytes::copy_from_slice(payload));
        if key == ACTIVE_KEY.as_bytes() {
            Shelved::Pointer
        } else if key.contains(&b'/') {
            Shelved::Other
        } else {
            Shelved::Head
        }
    }

    /// The pointer; `None` if nothing was activated yet.
    pub fn active(&self) -> Result<Option<Active>, PublishedError> {
        let Some(payload) = self.records.get(ACTIVE_KEY.as_bytes()) else { return Ok(None) };
        let read = |source| PublishedError::Record { key: ACTIVE_KEY.to_owned(), source };
        let active: Active = serde_json::from_slice(payload).map_err(read)?;
        if active.format != FORMAT {
            return Err(PublishedError::Format { key: ACTIVE_KEY.to_owned(), found: active.format });
        }
        Ok(Some(active))
    }

    /// A model by its hash; `None` if its head is not there.
    pub fn model(&self, model: PlantHash) -> Result<Option<PlantModel>, PublishedError> {
        let Some(head) = self.head(model)? else { return Ok(None) };
        let damaged = || PublishedError::Damaged(model);
        let length = usize::try_from(head.bytes).ok().filter(|bytes| *bytes <= MODEL_MAX_BYTES);
        let length = length.ok_or_else(damaged)?;
        let mut packed = Vec::new();
        for number in 0..head.parts {
            packed
                .extend_from_slice(self.records.get(part_key(model, number).as_bytes()).ok_or_else(damaged)?);
        }
        let json = zstd::bulk::decompress(&packed, length).map_err(|_| damaged())?;
        if json.len() != length || xxh3_64(&json) != head.digest {
            return Err(damaged());
        }
        serde_json::from_slice(&json).map(Some).map_err(|source| PublishedError::Decode { model, source })
    }

    /// Whether the model is there, whole.
    pub fn has(&self, model: PlantHash) -> bool {
        self.head(model).ok().flatten().is_some_and(|head| {
            (0..head.parts).all(|number| self.records.contains_key(part_key(model, number).as_bytes()))
        })
    }

    /// The keys of all records of a model, its head first, so that who deletes in this order leaves no head without
    /// parts.
    pub fn keys(&self, model: PlantHash) -> Vec<String> {
        let head = head_key(model);
        let prefix = format!("{head}/");
        let parts = self
            .records
            .range(prefix.as_bytes().to_vec()..)
            .map_while(|(key, _)| std::str::from_utf8(key).ok().filter(|key| key.starts_with(&prefix)))
            .map(str::to_owned);
        let head = self.records.contains_key(head.as_bytes()).then_some(head.clone());
        head.into_iter().chain(parts).collect()
    }

    fn head(&self, model: PlantHash) -> Result<Option<Head>, PublishedError> {
        let key = head_key(model);
        let Some(payload) = self.records.get(key.as_bytes()) else { return Ok(None) };
        let head: Head = match serde_json::from_slice(payload) {
            Ok(head) => head,
            Err(source) => return Err(PublishedError::Record { key, source }),
        };
        if head.format != FORMAT {
            return Err(PublishedError::Format { key, found: head.format });
        }
        Ok(Some(head))
    }
}

/// What a record of the topic was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelved {
    /// A model is there, whole.
    Head,
    /// A model was activated.
    Pointer,
    /// A part, or a deletion.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(rows: usize) -> PlantModel {
        let mut text = "id,unit,range_max,topic\n".to_owned();
        let mut state = 7_u64;
        for row in 0..rows {
            // What zstd cannot foresee, so that there is more than one part.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text +=
                &format!("n/s{row}/d/supply_pressure,MPa,{}.25,{state:016x}{:016x}\n", row % 7 + 1, !state);
        }
        crate::plant::read(&[("signals.csv", text)]).unwrap()
    }

    fn shelf(encoded: &Encoded) -> Shelf {
        let mut shelf = Shelf::default();
        for (key, payload) in &encoded.parts {
            assert!(payload.len() <= PART_MAX_BYTES);
            assert_eq!(shelf.apply(key.as_bytes(), payload), Shelved::Other);
        }
        assert_eq!(shelf.apply(encoded.head.0.as_bytes(), &encoded.head.1), Shelved::Head);
        shelf
    }

    #[test]
    fn a_model_of_several_parts_comes_back_whole() {
        let model = model(60_000);
        let encoded = encode(&model);
        assert!(encoded.parts.len() > 1, "{}", encoded.parts.len());
        let shelf = shelf(&encoded);
        let back = shelf.model(encoded.model).unwrap().unwrap();
        assert_eq!(hash(&back), encoded.model);
        assert_eq!(back, model);
        assert!(shelf.has(encoded.model));
        assert_eq!(shelf.keys(encoded.model).len(), encoded.parts.len() + 1);
        assert_eq!(shelf.keys(encoded.model)[0], encoded.head.0);
    }

    #[test]
    fn the_encoding_does_not_know_the_order_of_rows() {
        let model = model(10);
        let mut turned = model.clone();
        turned.signals.reverse();
        assert_eq!(encode(&turned).parts, encode(&model).parts);
    }

    #[test]
    fn a_missing_a_damaged_and_an_unknown_model_are_told_apart() {
        let encoded = encode(&model(10));
        let whole = shelf(&encoded);

        let mut without_part = whole.clone();
        without_part.apply(encoded.parts[0].0.as_bytes(), &Bytes::new());
        assert!(matches!(without_part.model(encoded.model), Err(PublishedError::Damaged(_))));
        assert!(!without_part.has(encoded.model));

        let mut bent = encoded.parts[0].1.to_vec();
        bent[20] ^= 1;
        let mut damaged = whole.clone();
        damaged.apply(encoded.parts[0].0.as_bytes(), &bent.into());
        assert!(matches!(damaged.model(encoded.model), Err(PublishedError::Damaged(_))));

        let mut newer = whole.clone();
        let head = Bytes::from_static(b"{\"format\":9,\"parts\":1,\"digest\":1,\"bytes\":1}");
        newer.apply(encoded.head.0.as_bytes(), &head);
        assert!(matches!(newer.model(encoded.model), Err(PublishedError::Format { found: 9, .. })));

        assert_eq!(whole.model(PlantHash(1)).unwrap(), None);
    }

    #[test]
    fn a_head_that_claims_an_absurd_length_takes_no_memory() {
        let encoded = encode(&model(1));
        let mut shelf = shelf(&encoded);
        let head = format!("{{\"format\":1,\"parts\":1,\"digest\":1,\"bytes\":{}}}", u64::MAX);
        shelf.apply(encoded.head.0.as_bytes(), &head.into());
        assert!(matches!(shelf.model(encoded.model), Err(PublishedError::Damaged(_))));
    }

    #[test]
    fn the_pointer_keeps_the_newest_models_and_names_those_to_delete() {
        let mut active: Option<Active> = None;
        let mut deleted = Vec::new();
        for number in 0..MODELS_KEPT as u64 + 3 {
            let next = Active::after(active.as_ref(), PlantHash(number));
            deleted.extend(next.dropped(active.as_ref()));
            active = Some(next);
        }
        assert_eq!(deleted, [PlantHash(0), PlantHash(1), PlantHash(2)]);

        // One that returns moves to the front and costs no other its place.
        let again = Active::after(active.as_ref(), PlantHash(10));
        assert_eq!((again.model(), again.dropped(active.as_ref())), (Some(PlantHash(10)), vec![]));
        assert_eq!(again.kept.len(), MODELS_KEPT);

        let mut shelf = Shelf::default();
        assert_eq!(shelf.active().unwrap(), None);
        assert_eq!(shelf.apply(ACTIVE_KEY.as_bytes(), &again.encode()), Shelved::Pointer);
        assert_eq!(shelf.active().unwrap(), Some(again));
    }
}
