use proptest::prelude::*;

use super::*;

fn accepts(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.skip(&mut String::new()).and_then(|()| reader.end()).is_ok()
}

fn number(text: &str) -> Number {
    let mut reader = Reader::new(text);
    reader.number().and_then(|number| reader.end().map(|()| number)).unwrap()
}

#[test]
fn literals_that_mean_not_a_number_are_values_of_their_own() {
    for text in ["NaN", "nan", "-nan", "Infinity", "-Infinity", "inf", "-inf", "+inf"] {
        assert_eq!(number(text), Number::NotFinite, "{text}");
    }
    assert_eq!(number("1e999"), Number::OutOfRange);
    assert_eq!(number("-1e999"), Number::OutOfRange);
}

#[test]
fn minus_zero_keeps_its_sign() {
    let Number::Float(zero) = number("-0") else { panic!("a float") };
    assert!(zero.is_sign_negative());
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "[1 2]",
        "01",
        "1.",
        ".5",
        "1e",
        "+1",
        "tru",
        "truex",
        "nulll",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\u{1}\"",
        "{\"a\"}",
        "{a:1}",
        "[]]",
        "'a'",
        "--1",
        "-",
    ] {
        assert!(!accepts(text), "{text:?}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(accepts(&deep(DEPTH_MAX as usize)));

    let text = deep(1_000_000);
    let mut reader = Reader::new(&text);

    assert_eq!(reader.skip(&mut String::new()), Err(JsonFault::TooDeep));
}

#[test]
fn escapes_are_resolved() {
    let mut scratch = String::new();
    let mut reader = Reader::new(r#""a\n\u6e29\ud83d\ude00\/""#);
    assert_eq!(reader.text(&mut scratch), Ok("a\n温😀/"));
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_number_has_the_value_of_its_text(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
        for text in [format!("{value:?}"), format!("{value:e}"), serde_json::to_string(&value).unwrap()] {
            let got = match number(&text) {
                Number::Float(got) => got,
                Number::Integer(got) => got as f64,
                other @ (Number::NotFinite | Number::OutOfRange) => panic!("{text} became {other:?}"),
            };
            prop_assert_eq!(got.to_bits(), value.to_bits(), "{}", text);
        }
    }

    #[test]
    fn decimal_texts_have_the_value_that_the_standard_library_gives_them(
        text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?"
    ) {
        let expected: f64 = text.parse().unwrap();
        match number(&text) {
            Number::Float(got) => prop_assert_eq!(got.to_bits(), expected.to_bits(), "{}", text),
            Number::Integer(got) => prop_assert_eq!((got as f64).to_bits(), expected.to_bits(), "{}", text),
            Number::OutOfRange => prop_assert!(expected.is_infinite(), "{}", text),
            Number::NotFinite => prop_assert!(false, "{}", text),
        }
    }

    #[test]
    fn what_serde_json_writes_is_read(value in json_value()) {
        prop_assert!(accepts(&value.to_string()));
        prop_assert!(accepts(&serde_json::to_string_pretty(&value).unwrap()));
    }

    #[test]
    fn one_changed_character_is_judged_as_serde_json_judges_it(
        value in json_value(), at in any::<prop::sample::Index>(), with in "[\\[\\]{}:,\"0-9eE.+\\- truefalsn\\\\]"
    ) {
        let mut text: Vec<char> = value.to_string().chars().collect();
        let at = at.index(text.len());
        text[at] = with.chars().next().unwrap();
        let text: String = text.into_iter().collect();
        let lower = text.to_ascii_lowercase();
        prop_assume!(!lower.contains("nan") && !lower.contains("inf"));
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(_) => prop_assert!(accepts(&text), "{}", text),
            Err(fault) if fault.to_string().contains("number out of range") => {}
            Err(_) => prop_assert!(!accepts(&text), "{}", text),
        }
    }

    #[test]
    fn any_text_is_judged_as_serde_json_judges_it(text in "[\\[\\]{}:,\"0-9eE.\\- truefalsn\\\\u]{0,24}") {
        let expected = serde_json::from_str::<serde_json::Value>(&text);
        prop_assume!(!expected.as_ref().is_err_and(|fault| fault.to_string().contains("number out of range")));
        prop_assume!(!text.contains("nan"));
        prop_assert_eq!(accepts(&text), expected.is_ok(), "{}", text);
    }
}
