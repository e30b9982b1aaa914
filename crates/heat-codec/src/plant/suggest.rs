//! What was probably meant.

/// Words longer than this are not compared.
const WORD_MAX_CHARS: usize = 40;

/// The candidate that differs least from a word, if it differs by little: upper and lower case count for nothing, one
/// letter in three may be wrong, missing, too many or exchanged with its neighbour.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.is_empty() || word.len() > WORD_MAX_CHARS {
        return None;
    }
    let allowed = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Number of letters to change, insert, delete, or exchange with their neighbour (restricted Damerau-Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        for (j, to) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(from != to)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let columns = ["id", "length_m", "inner_diameter_mm", "roughness_mm", "side"];
        for (word, meant) in [
            ("lenght_m", Some("length_m")),
            ("Length_m", Some("length_m")),
            ("length", Some("length_m")),
            ("innerdiameter_mm", Some("inner_diameter_mm")),
            ("ID", Some("id")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, columns), meant, "{word}");
        }
    }

    #[test]
    fn the_distance_counts_each_slip_once() {
        let of = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!((of("", "abc"), of("abc", "abc"), of("abc", "acb"), of("abc", "abd")), (3, 0, 1, 1));
        assert_eq!((of("供水温度", "供水"), of("kitten", "sitting")), (2, 3));
    }
}
