//! Accuracy classes of meters, as nameplates and data sheets write them.

/// Whether a text is an accuracy class that is understood:
///
/// - heat meters and their parts by EN 1434: `EN 1434 class 2`, `class 2` (classes 1, 2 and 3), `EN 1434 pair` for a
///   temperature sensor pair;
/// - platinum thermometers by IEC 60751: `Pt100 B`, `Pt500 A`, `Pt1000 AA` (AA, A, B, C);
/// - a share of the range: `0.5 %`, or `0.5` alone, as on gauges (EN 837, IEC 60770);
/// - an absolute error with its unit: `0.3 K`.
pub(super) fn is_accuracy_class(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_size = |text: &str| text.parse::<f64>().is_ok_and(|size| size.is_finite() && size > 0.0);
    let is_meter = |class: &[&str]| match class {
        [word] => word.eq_ignore_ascii_case("pair"),
        [word, number] => word.eq_ignore_ascii_case("class") && matches!(*number, "1" | "2" | "3"),
        _ => false,
    };
    match words.as_slice() {
        ["EN", "1434", class @ ..] => is_meter(class),
        ["Pt100" | "Pt500" | "Pt1000", class] => matches!(*class, "AA" | "A" | "B" | "C"),
        [size] if is_size(size.trim_end_matches('%')) => true,
        [size, unit] if is_size(size) => heat_model::unit::Unit::parse(unit).is_some(),
        class => is_meter(class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_meters_thermometers_and_gauges_are_understood() {
        for class in [
            "EN 1434 class 2",
            "class 3",
            "EN 1434 pair",
            "Pt100 A",
            "Pt1000 AA",
            "0.5 %",
            "0.5%",
            "1.6",
            "0.3 K",
        ] {
            assert!(is_accuracy_class(class), "{class}");
        }
        for text in ["", "good", "class 4", "EN 1434", "Pt100", "Pt100 D", "-1 %", "0.5 furlong", "class two"]
        {
            assert!(!is_accuracy_class(text), "{text}");
        }
    }
}
