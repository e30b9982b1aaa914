//! Where in a payload a reject's place is, for people who look at a dead letter.

use std::ops::Range;

use crate::json::{Kind, Reader};

/// The bytes of the payload that a place names: a JSON pointer or `byte N`. `None` for the whole payload, for what is
/// not there (a missing field, a pointer that was cut), and for places of formats that are no text.
pub fn locate(payload: &[u8], place: &str) -> Option<Range<usize>> {
    if let Some(number) = place.strip_prefix("byte ") {
        let at: usize = number.parse().ok()?;
        return (at <= payload.len()).then(|| at..payload.len().min(at + 1));
    }
    let pointer = place.strip_prefix('/')?;
    // What stands before the place may be read even if what follows is no text.
    let text = match std::str::from_utf8(payload) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(payload.get(..error.valid_up_to())?).ok()?,
    };
    let (mut reader, mut scratch) = (Reader::new(text), String::new());
    for token in pointer.split('/') {
        descend(&mut reader, &unescaped(token), &mut scratch)?;
    }
    reader.kind().ok()?;
    let start = reader.position();
    // A value that ends in a syntax fault is marked up to the fault.
    let end = reader.skip(&mut scratch).map_or_else(|_| text.len().min(start + 1), |()| reader.position());
    Some(start..end.max(start))
}

/// Moves to the value of a key, or to the item of an index.
fn descend(reader: &mut Reader<'_>, token: &str, scratch: &mut String) -> Option<()> {
    match reader.kind().ok()? {
        Kind::Object => {
            reader.enter_object().ok()?;
            let mut first = true;
            while let Some(key) = reader.next_key(first, scratch).ok()? {
                if key == token {
                    return Some(());
                }
                first = false;
                reader.skip(scratch).ok()?;
            }
            None
        }
        Kind::Array => {
            let index: usize = token.parse().ok()?;
            reader.enter_array().ok()?;
            for at in 0..=index {
                if !reader.next_item(at == 0).ok()? {
                    return None;
                }
                if at < index {
                    reader.skip(scratch).ok()?;
                }
            }
            Some(())
        }
        Kind::Text | Kind::Number | Kind::Bool | Kind::Null => None,
    }
}

fn unescaped(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found<'a>(payload: &'a str, place: &str) -> Option<&'a str> {
        locate(payload.as_bytes(), place).map(|range| &payload[range])
    }

    #[test]
    fn a_place_leads_to_the_bytes_it_names() {
        let payload = r#"[{"values": {"a/b~": {"unit": "m", "value": NaN}}}, 7, "x"]"#;
        assert_eq!(found(payload, "/0/values/a~1b~0/value"), Some("NaN"));
        assert_eq!(found(payload, "/0/values/a~1b~0/unit"), Some("\"m\""));
        assert_eq!(found(payload, "/1"), Some("7"));
        assert_eq!(found(payload, "byte 1"), Some("{"));
        for nowhere in ["", "/3", "/0/values/c", "/1/0", "metric", "byte x", "byte 999", "/0/val…"] {
            assert_eq!(found(payload, nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn a_payload_that_breaks_off_is_marked_as_far_as_it_goes() {
        let payload = r#"{"time": "yesterday", "values": {"a": [1, 2"#;
        assert_eq!(found(payload, "/time"), Some("\"yesterday\""));
        assert_eq!(found(payload, "/values/a"), Some("["));
        assert_eq!(locate(payload.as_bytes(), &format!("byte {}", payload.len())).unwrap().len(), 0);
        assert_eq!(locate(b"{\"a\": 1, \"b\": \xff}", "/a"), Some(6..7));
    }

    proptest! {
        #[test]
        fn any_bytes_and_places_give_a_range_within_the_payload(
            payload in proptest::collection::vec(any::<u8>(), 0..64),
            place in "(/[a-z0-9~]{0,3}){0,4}|byte [0-9]{1,3}",
        ) {
            if let Some(range) = locate(&payload, &place) {
                prop_assert!(range.start <= range.end && range.end <= payload.len());
            }
        }
    }
}
