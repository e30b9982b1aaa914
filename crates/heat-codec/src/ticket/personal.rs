//! What tells of a person in a ticket: fields that are refused, and words of free text that are masked. Free text names
//! people in more ways than any list holds; what is not found here is said in `ticket.schema.json`.

use super::MASKED_RUN_MIN;
use crate::json::Node;

/// Characters that may stand between two digits of one run.
const GAP_MAX_CHARS: usize = 3;
/// What a masked character becomes.
const MASK: char = '*';
/// Longest name in Chinese characters.
const NAME_MAX_CHARS: usize = 4;

/// Words that name a person's data, in lower case without separators.
const PERSONAL: [&str; 20] = [
    "name", "phone", "tel", "mobile", "cell", "contact", "caller", "customer", "resident", "citizen",
    "person", "email", "mail", "wechat", "address", "idcard", "idnumber", "identity", "xingming", "dianhua",
];
/// The same in Chinese.
const PERSONAL_CHINESE: [&str; 12] =
    ["姓名", "名字", "电话", "手机", "联系", "住址", "地址", "身份证", "微信", "邮箱", "来电", "用户"];

fn is_personal(key: &str) -> bool {
    let plain: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    PERSONAL.iter().any(|word| plain.contains(word))
        || PERSONAL_CHINESE.iter().any(|word| plain.contains(word))
}

pub(super) fn personal_field(node: &Node, place: &str) -> Option<String> {
    match node {
        Node::Object(entries) => entries.iter().find_map(|(key, value)| {
            let mut here = place.to_owned();
            crate::reject::push_pointer(&mut here, &masked(key));
            if is_personal(key) { Some(here) } else { personal_field(value, &here) }
        }),
        Node::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| personal_field(item, &format!("{place}/{at}")))
        }
        Node::Text(_) | Node::Number(_) | Node::Bool | Node::Null => None,
    }
}

/// A digit of any script, and the Chinese numerals people dictate numbers with.
pub(super) fn is_digit(c: char) -> bool {
    const CHINESE: &str = "〇零一二三四五六七八九幺壹贰叁肆伍陆柒捌玖";
    c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric()) || CHINESE.contains(c)
}

fn is_gap(c: char) -> bool {
    c.is_whitespace() || "-‐‑‒–—―－_.·．,，、/()（）+＋\u{200b}\u{200c}\u{200d}\u{feff}".contains(c)
}

/// Masks, by `*`: every digit of a run of [`MASKED_RUN_MIN`] or more (up to three spaces, hyphens or the like between digits
/// do not end a run); the numbers of unit and room (`2单元501室`, `3栋501`, `12-3-501`, `room 501`); and names: after 姓名,
/// 联系人, 户主, after 我是 and 我叫 where a usual surname follows, before 先生, 女士 and the like, before a masked or announced
/// number, and after Mr, Mrs, Ms, Miss and "my name is".
pub fn masked(text: &str) -> String {
    let mut out: Vec<char> = text.chars().collect();
    runs(&mut out);
    let homes = homes(&out);
    names(&mut out);
    homes.into_iter().flatten().for_each(|at| out[at] = MASK);
    out.into_iter().collect()
}

/// An area up to its building, masked: what follows with unit and room is nobody's business.
pub(super) fn without_home(text: &str) -> String {
    let mut out: Vec<char> = text.chars().collect();
    runs(&mut out);
    if let Some(home) = homes(&out).first().and_then(|home| home.first()) {
        out.truncate(*home);
    }
    names(&mut out);
    out.into_iter()
        .collect::<String>()
        .trim_end_matches(|c: char| c.is_whitespace() || "-－,，、".contains(c))
        .to_owned()
}

/// Whether an id is a mobile or an identity number, however it is spaced.
pub(super) fn is_number_of_a_person(id: &str) -> bool {
    let plain: String = id.chars().filter(|c| !is_gap(*c)).collect();
    let digits =
        plain.strip_prefix("0086").or_else(|| plain.strip_prefix("86").filter(|rest| rest.len() == 11));
    let digits = digits.unwrap_or(&plain).as_bytes();
    let is_mobile = digits.len() == 11
        && digits[0] == b'1'
        && (b'3'..=b'9').contains(&digits[1])
        && digits.iter().all(u8::is_ascii_digit);
    is_mobile || is_identity_number(plain.as_bytes())
}

/// GB 11643: region, date of birth, serial number, check character by ISO 7064 MOD 11-2.
fn is_identity_number(text: &[u8]) -> bool {
    const CHECKS: &[u8; 11] = b"10X98765432";
    let (17.., Some((check, digits))) = (text.len() - usize::from(!text.is_empty()), text.split_last())
    else {
        return false;
    };
    if digits.len() != 17 || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let sum = digits.iter().fold(0, |sum, digit| (sum + usize::from(digit - b'0')) * 2 % 11);
    let number =
        |from: usize, to: usize| digits[from..to].iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0'));
    (1900..2100).contains(&number(6, 10))
        && (1..=12).contains(&number(10, 12))
        && (1..=31).contains(&number(12, 14))
        && CHECKS[sum] == check.to_ascii_uppercase()
}

/// Masks long runs of digits.
fn runs(out: &mut [char]) {
    let mut run: Vec<usize> = Vec::new();
    let mut gap = 0;
    for at in 0..=out.len() {
        match out.get(at).copied() {
            Some(c) if is_digit(c) => {
                run.push(at);
                gap = 0;
            }
            Some(c) if !run.is_empty() && is_gap(c) && gap < GAP_MAX_CHARS => gap += 1,
            _ => {
                if run.len() >= MASKED_RUN_MIN {
                    run.iter().for_each(|&digit| out[digit] = MASK);
                }
                run.clear();
                gap = 0;
            }
        }
    }
}

/// What ends a building's number.
const BUILDINGS: [&str; 5] = ["栋", "幢", "座", "号楼", "楼"];
/// What ends a unit's or a room's number.
const HOMES: [&str; 3] = ["单元", "室", "户"];
/// What begins one in English.
const HOMES_ENGLISH: [&str; 5] = ["unit", "room", "flat", "apartment", "apt"];

/// The numbers of units and rooms, in their order, each as the places of its characters.
fn homes(text: &[char]) -> Vec<Vec<usize>> {
    let numbers = numbers(text);
    let mut found: Vec<usize> = Vec::new();
    for (index, &(from, to)) in numbers.iter().enumerate() {
        let is_room = (3..=4).contains(&(to - from));
        let previous = index.checked_sub(1).map(|before| numbers[before]);
        // Between it and the number before: the word behind that one, or a hyphen.
        let between = previous.map(|(_, end)| plain(&text[end..from]));
        let behind = |words: &[&str]| between.as_deref().is_some_and(|text| words.contains(&text));
        let is_home = HOMES.iter().any(|word| starts(&text[to..], word))
            || HOMES_ENGLISH.iter().any(|word| follows_word(&text[..from], word))
            || (is_room && (behind(&BUILDINGS) || behind(&HOMES)))
            || (is_room && is_third_of_chain(text, &numbers, index));
        if is_home {
            if is_room && is_third_of_chain(text, &numbers, index) {
                found.push(index - 1);
            }
            found.push(index);
        }
    }
    found.dedup();
    found.into_iter().map(|index| (numbers[index].0..numbers[index].1).collect()).collect()
}

/// Building, unit and room with hyphens between: `12-3-501`.
fn is_third_of_chain(text: &[char], numbers: &[(usize, usize)], index: usize) -> bool {
    let Some([first, second, third]) = index.checked_sub(2).and_then(|from| numbers.get(from..=index)) else {
        return false;
    };
    let is_hyphen = |from: usize, to: usize| to == from + 1 && "-－–—".contains(text[from]);
    let digits = |(from, to): (usize, usize)| to - from;
    digits(*first) <= 3
        && digits(*second) <= 2
        && is_hyphen(first.1, second.0)
        && is_hyphen(second.1, third.0)
}

/// Runs of digits, from and to.
fn numbers(text: &[char]) -> Vec<(usize, usize)> {
    let mut numbers: Vec<(usize, usize)> = Vec::new();
    for (at, c) in text.iter().enumerate() {
        match numbers.last_mut() {
            _ if !is_digit(*c) => {}
            Some((_, to)) if *to == at => *to = at + 1,
            _ => numbers.push((at, at + 1)),
        }
    }
    numbers
}

/// Without what may stand between words.
fn plain(text: &[char]) -> String {
    text.iter().filter(|c| !is_gap(**c)).collect()
}

fn starts(text: &[char], word: &str) -> bool {
    let mut rest = text.iter().skip_while(|c| c.is_whitespace());
    word.chars().all(|c| rest.next() == Some(&c))
}

/// Whether a text ends with a whole English word, and at most a little beyond it.
fn follows_word(text: &[char], word: &str) -> bool {
    let tail = text.len().saturating_sub(word.len() + GAP_MAX_CHARS + 1);
    let end: String = text[tail..].iter().collect::<String>().to_ascii_lowercase();
    let end = end.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != MASK);
    end.strip_suffix(word).is_some_and(|before| !before.ends_with(|c: char| c.is_ascii_alphanumeric()))
}

/// The hundred and some most common surnames, by the census of 2020; nine people in ten have one.
const SURNAMES: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付傅方邹熊白孟秦邱侯江尹薛闫阎雷龙史陶贺毛段郝顾龚邵覃武钱戴严莫孔向常汤康易乔赖文欧阳关佟栾";
/// What a name follows, whatever it is.
const LABELS: [&str; 5] = ["姓名", "联系人", "户主", "业主", "报修人"];
/// What a name may follow.
const INTRODUCTIONS: [&str; 4] = ["我是", "我叫", "本人", "我姓"];
/// What follows a name.
const TITLES: [&str; 9] = ["先生", "女士", "小姐", "师傅", "阿姨", "大爷", "大妈", "同志", "老师"];
/// What follows a name on a card.
const ANNOUNCED: [&str; 5] = ["电话", "手机", "联系", "tel", "Tel"];
const TITLES_ENGLISH: [&str; 5] = ["mr", "mrs", "ms", "miss", "name is"];

fn names(out: &mut [char]) {
    let text = out.to_vec();
    let mut mask = |from: usize, to: usize| out[from..to].fill(MASK);
    for at in 0..text.len() {
        let rest = &text[at..];
        if let Some(word) = LABELS.iter().find(|word| starts(rest, word)).filter(|_| is_chinese(text[at])) {
            let from = skip(&text, at + word.chars().count(), |c| is_gap(c) || ":：是为".contains(c));
            mask(from, skip_at_most(&text, from, NAME_MAX_CHARS, is_chinese));
        } else if let Some(word) =
            INTRODUCTIONS.iter().find(|word| starts(rest, word)).filter(|_| is_chinese(text[at]))
        {
            let from = at + word.chars().count();
            if text.get(from).copied().is_some_and(is_surname) {
                mask(from, skip_at_most(&text, from, NAME_MAX_CHARS - 1, is_chinese));
            }
        } else if TITLES.iter().any(|word| starts(rest, word)) && is_chinese(text[at]) {
            let earliest = at.saturating_sub(NAME_MAX_CHARS - 1);
            let surname = (earliest..at)
                .find(|from| is_surname(text[*from]) && text[*from..at].iter().all(|c| is_chinese(*c)));
            if let Some(from) = surname {
                mask(from, at);
            }
        } else if is_surname(text[at]) && at.checked_sub(1).is_none_or(|before| !is_chinese(text[before])) {
            // A word of its own before a number.
            let to = skip_at_most(&text, at, NAME_MAX_CHARS, is_chinese);
            let next = skip(&text, to, |c| is_gap(c) || ":：".contains(c));
            let is_number =
                text.get(next) == Some(&MASK) || ANNOUNCED.iter().any(|word| starts(&text[next..], word));
            if (2..NAME_MAX_CHARS).contains(&(to - at)) && next > to && is_number {
                mask(at, to);
            }
        } else if text[at].is_ascii_alphabetic()
            && TITLES_ENGLISH.iter().any(|word| follows_word(&text[..at], word))
        {
            mask(at, skip(&text, at, |c| c.is_alphabetic() || c == '\''));
        }
    }
}

fn is_surname(c: char) -> bool {
    SURNAMES.contains(c)
}

/// A character of the common Chinese ones.
fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// The first place from `from` on that is not of a kind.
fn skip(text: &[char], from: usize, of_kind: impl Fn(char) -> bool) -> usize {
    skip_at_most(text, from, text.len(), of_kind)
}

fn skip_at_most(text: &[char], from: usize, most: usize, of_kind: impl Fn(char) -> bool) -> usize {
    from + text.iter().skip(from).take(most).take_while(|c| of_kind(**c)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_masked_however_they_are_written() {
        for (text, expected) in [
            ("13800138000", "***********"),
            ("138-0013-8000!", "***-****-****!"),
            ("１３８００１３８０００", "***********"),
            ("一三八零零一三八零零零", "***********"),
            ("(0451) 8765 432", "(****) **** ***"),
            ("18.5 degrees since 06:30", "18.5 degrees since 06:30"),
            ("123456", "123456"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn units_and_rooms_are_masked_and_buildings_floors_times_and_degrees_are_not() {
        for (text, expected) in [
            ("3栋2单元501", "3栋*单元***"),
            ("5号楼三单元1202室不热", "5号楼*单元****室不热"),
            ("3栋501", "3栋***"),
            ("12-3-501 冷", "12-*-*** 冷"),
            ("unit 2, Room 501", "unit *, Room ***"),
            ("302室只有16度", "***室只有16度"),
            ("3号楼18度，15层，6:30起", "3号楼18度，15层，6:30起"),
            ("3栋室温16.5度", "3栋室温16.5度"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }

    #[test]
    fn names_are_masked_where_names_stand_and_places_are_not() {
        for (text, expected) in [
            ("我是王建国，家里不热", "我是***，家里不热"),
            ("姓名：欧阳娜娜", "姓名：****"),
            ("联系人 赵六", "联系人 **"),
            ("请联系王建国先生", "请联系***先生"),
            ("李女士家冷", "*女士家冷"),
            ("王建国 电话 138-0013-8000", "*** 电话 ***-****-****"),
            ("call Mr. Wang or my name is Li", "call Mr. **** or my name is **"),
            ("我是和平小区居民", "我是和平小区居民"),
            ("高新区 不热", "高新区 不热"),
            ("先生您好", "先生您好"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }
}
