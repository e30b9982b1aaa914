//! `heatstream rejected`: dead letters, through the API, also while `up` runs.

use std::fmt::Write as _;

use heat_api::json::letters::{FaultView, LetterDetail, LetterView, Mark, RequeueAnswer};
use heat_codec::dead_letter::{LetterId, archived::unhex};
use heat_runtime::ExitStatus;
use serde_json::{Value, json};

use crate::{
    Failure,
    cli::{RejectedCommand, RejectedListArguments},
    incidents::Client,
    out::say,
};

/// Bytes of a payload that are printed, unless all are asked for.
const PAYLOAD_PRINTED_MAX: usize = 2_048;
/// Characters shown before and behind a fault's place.
const CONTEXT_CHARS: usize = 36;
/// Letters in one request of the API.
const REQUEST_IDS_MAX: usize = 100;

pub(crate) fn run(command: RejectedCommand) -> Result<ExitStatus, Failure> {
    match command {
        RejectedCommand::List(arguments) => list(arguments),
        RejectedCommand::Show { id, full, api } => {
            let client = Client::new(api)?;
            let id = parse_id(&id)?;
            let body = client.get(&format!("rejected/{id}"))?;
            if client.json {
                say(serde_json::to_string_pretty(&body)?);
            } else {
                let detail: LetterDetail = serde_json::from_value(body)?;
                say(show(&detail, if full { usize::MAX } else { PAYLOAD_PRINTED_MAX }));
            }
            Ok(ExitStatus::Done)
        }
        RejectedCommand::Requeue { ids, again, api } => requeue(&Client::new(api)?, &ids, again),
    }
}

fn list(arguments: RejectedListArguments) -> Result<ExitStatus, Failure> {
    let RejectedListArguments { reason, network, topic, from, to, limit, api } = arguments;
    let client = Client::new(api)?;
    let query =
        query([("reason", reason), ("network", network), ("topic", topic), ("from", from), ("to", to)]);
    let (mut letters, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
    while letters.len() < limit {
        let page = (limit - letters.len()).min(500);
        let after = cursor.as_deref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let mut body = client.get(&format!("rejected?limit={page}{query}{after}"))?;
        if let Some(Value::Array(items)) = body.get_mut("items") {
            letters.append(items);
        }
        cursor = body.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if client.json {
        say(serde_json::to_string_pretty(&json!({ "items": letters, "next": cursor }))?);
        return Ok(ExitStatus::Done);
    }
    if letters.is_empty() {
        say("no dead letters");
    }
    for letter in letters {
        say(line(&serde_json::from_value(letter)?));
    }
    if cursor.is_some() {
        say(format!("there are more: --limit {} shows more of them", limit.saturating_mul(2)));
    }
    Ok(ExitStatus::Done)
}

fn requeue(client: &Client, ids: &[String], again: bool) -> Result<ExitStatus, Failure> {
    let ids = ids.iter().map(|id| parse_id(id).map(|id| id.to_string())).collect::<Result<Vec<_>, _>>()?;
    let mut sum = RequeueAnswer { requeued: Vec::new(), refused: Vec::new() };
    for part in ids.chunks(REQUEST_IDS_MAX) {
        let answer = client.post("rejected/requeue", &json!({ "ids": part, "again": again }))?;
        let answer: RequeueAnswer = serde_json::from_value(answer)?;
        sum.requeued.extend(answer.requeued);
        sum.refused.extend(answer.refused);
    }
    if client.json {
        say(serde_json::to_string_pretty(&sum)?);
    } else {
        for id in &sum.requeued {
            say(format!("{id}  will be taken again; `heatstream rejected list` shows what it came to"));
        }
        for refused in &sum.refused {
            say(format!("{}  refused ({}): {}", refused.id, refused.reason, refused.detail));
        }
    }
    Ok(if sum.refused.is_empty() { ExitStatus::Done } else { ExitStatus::Data })
}

fn parse_id(text: &str) -> Result<LetterId, Failure> {
    text.parse().map_err(|error| Failure::new(ExitStatus::Usage, format!("{text:?}: {error}")))
}

/// The filters that are set, each with its `&`.
fn query(filters: [(&str, Option<String>); 5]) -> String {
    let set = filters.into_iter().filter_map(|(key, value)| Some((key, value?)));
    set.map(|(key, value)| format!("&{key}={}", escaped(&value))).collect()
}

/// Percent-encodes a value of the query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string succeeds");
        }
        out
    })
}

/// What came from outside, with nothing in it that a terminal would obey.
fn harmless(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() || is_directional(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// Characters that turn the direction of writing.
fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One letter as one line.
fn line(letter: &LetterView) -> String {
    let faults: Vec<String> = letter.faults.iter().take(3).map(place).collect();
    let more = letter.faults_total.saturating_sub(faults.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let taken = if letter.whole { "" } else { " (the rest was taken)" };
    let again = again(letter).map(|again| format!("  [{again}]")).unwrap_or_default();
    format!(
        "{:<10} {}  {}  from {}  {}{more}{taken}  {} readings, {} bytes{again}",
        letter.id,
        letter.received,
        harmless(&letter.topic),
        harmless(&letter.client),
        faults.join(", "),
        letter.readings,
        letter.payload_bytes,
    )
}

fn place(fault: &FaultView) -> String {
    if fault.place.is_empty() {
        fault.reason.clone()
    } else {
        format!("{} at {}", fault.reason, harmless(&fault.place))
    }
}

/// What became of it since, and what it was before.
fn again(letter: &LetterView) -> Option<String> {
    let since = letter.requeued.as_ref().map(|requeued| match &requeued.taken {
        None => format!("asked for again by {}, not taken yet", harmless(&requeued.asked_by)),
        Some(taken) if taken.faults > 0 => {
            format!(
                "taken again: {} readings, rejected again with {} faults",
                taken.readings_logged, taken.faults
            )
        }
        Some(taken) => format!("taken again: {} readings", taken.readings_logged),
    });
    let before = letter.requeued_from.as_ref().map(|id| format!("was {id}"));
    match (before, since) {
        (None, None) => None,
        (before, since) => Some(before.into_iter().chain(since).collect::<Vec<_>>().join("; ")),
    }
}

/// One letter with its payload, each fault's place marked.
fn show(detail: &LetterDetail, printed_max: usize) -> String {
    let letter = &detail.letter;
    let mut out = String::new();
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            writeln!(out, "{name:<14}{}", harmless(value)).expect("writing to a string succeeds");
        }
    };
    add("id", &letter.id);
    add("received", &format!("{} by {}", letter.received, detail.gateway));
    add("topic", &letter.topic);
    add("client", &letter.client);
    add("user", &letter.user);
    add("content type", &detail.content_type);
    for property in &detail.user_properties {
        add("property", &format!("{} = {}", property.name, property.value));
    }
    add("retained", if detail.retained { "a broker's stored copy" } else { "" });
    add("taken", if letter.whole { "nothing of it" } else { "the rest of it" });
    add("readings", &format!("{} rejected", letter.readings));
    add("payload", &format!("{} bytes, xxh3 {}", letter.payload_bytes, letter.payload_hash));
    add("read from", &detail.source);
    add("since", &again(letter).unwrap_or_default());
    for fault in &letter.faults {
        let found =
            if fault.detail.is_empty() { String::new() } else { format!(": {}", harmless(&fault.detail)) };
        writeln!(out, "fault         {}{found}", place(fault)).expect("writing to a string succeeds");
    }
    let marks: Vec<(&FaultView, Mark)> =
        letter.faults.iter().zip(&detail.marks).filter_map(|(fault, mark)| Some((fault, (*mark)?))).collect();
    match (&detail.payload, detail.payload_hex.as_deref().map(unhex)) {
        (Some(text), _) => push_text(&mut out, text, &marks, printed_max),
        (None, Some(Some(bytes))) => push_hex(&mut out, &bytes, &marks, printed_max),
        (None, _) => out.push_str("\nno payload is kept\n"),
    }
    if detail.payload_cut {
        out.push_str("(the API shows no more of it)\n");
    }
    out.pop();
    out
}

/// The text, then each fault's surroundings with the place underlined.
fn push_text(out: &mut String, text: &str, marks: &[(&FaultView, Mark)], printed_max: usize) {
    let shown = &text[..text.floor_char_boundary(printed_max)];
    out.push('\n');
    for line in shown.lines() {
        writeln!(out, "  {}", harmless(line)).expect("writing to a string succeeds");
    }
    if shown.len() < text.len() {
        writeln!(out, "  ... {} bytes more: --full prints them", text.len() - shown.len())
            .expect("writing to a string succeeds");
    }
    for (fault, mark) in marks {
        let (start, end) = (text.floor_char_boundary(mark.start), text.floor_char_boundary(mark.end));
        let before: Vec<char> = text[..start].chars().rev().take(CONTEXT_CHARS).collect();
        let before = harmless(&before.into_iter().rev().collect::<String>());
        let marked: String = text[start..end.max(start)].chars().take(CONTEXT_CHARS).collect();
        let marked = harmless(&marked);
        let behind: String = text[end.max(start)..].chars().take(CONTEXT_CHARS).collect();
        let width = marked.chars().count().max(1);
        writeln!(
            out,
            "\n  {before}{marked}{}\n  {}{} {}",
            harmless(&behind),
            " ".repeat(before.chars().count()),
            "^".repeat(width),
            fault.reason
        )
        .expect("writing to a string succeeds");
    }
}

/// Sixteen bytes a line; lines with a fault's place are marked.
fn push_hex(out: &mut String, bytes: &[u8], marks: &[(&FaultView, Mark)], printed_max: usize) {
    const WIDTH: usize = 16;
    out.push('\n');
    for (index, row) in bytes[..bytes.len().min(printed_max)].chunks(WIDTH).enumerate() {
        let at = index * WIDTH;
        let here =
            marks.iter().find(|(_, mark)| mark.start < at + row.len() && mark.end.max(mark.start + 1) > at);
        let digits: String = row.iter().map(|byte| format!("{byte:02x} ")).collect();
        let text: String = row
            .iter()
            .map(|&byte| if (b' '..=b'~').contains(&byte) { char::from(byte) } else { '.' })
            .collect();
        let (sign, reason) = here.map_or((' ', ""), |(fault, _)| ('>', fault.reason.as_str()));
        writeln!(out, "{sign} {at:06x}  {digits:<48} {text:<16}  {reason}")
            .expect("writing to a string succeeds");
    }
    if bytes.len() > printed_max {
        writeln!(out, "  ... {} bytes more: --full prints them", bytes.len() - printed_max)
            .expect("writing to a string succeeds");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(
        payload: Option<&str>,
        payload_hex: Option<&str>,
        place: &str,
        mark: Option<Mark>,
    ) -> LetterDetail {
        let view = json!({
            "id": "0-7", "received": "2026-11-24T00:00:00Z", "logged": "2026-11-24T00:00:00Z",
            "topic": "heat/v1/a/b/c", "network": "a", "client": "c\u{1b}[2J", "user": "",
            "faults": [{"reason": "wrong_type", "place": place, "detail": ""}], "faults_total": 1, "whole": true,
            "readings": 1, "payload_bytes": 20, "payload_hash": "0", "requeued_from": "0-3", "requeued": null,
            "gateway": "gw", "content_type": "", "user_properties": [], "retained": false, "source": "log", "payload": payload,
            "payload_hex": payload_hex, "payload_cut": false, "marks": [mark],
        });
        serde_json::from_value(view).unwrap()
    }

    #[test]
    fn the_place_of_a_fault_is_underlined() {
        let text = r#"{"values": {"温度": [1]}}"#;
        let start = text.find("[1]").unwrap();
        let mark = Mark { start, end: start + 3 };
        let shown = show(&detail(Some(text), None, "/values/温度", Some(mark)), 2_048);

        let lines: Vec<&str> = shown.lines().collect();
        let under = lines.iter().position(|line| line.contains("^^^ wrong_type")).unwrap();
        let column = |line: &str, what: &str| line[..line.find(what).unwrap()].chars().count();
        assert_eq!(column(lines[under], "^"), column(lines[under - 1], "[1]"), "{shown}");
        assert!(shown.contains("was 0-3"), "{shown}");
    }

    #[test]
    fn nothing_that_came_from_outside_reaches_the_terminal_as_a_command() {
        let text = "{\"a\": \"\u{1b}]0;x\u{7}\u{202e}\"}";
        let shown = show(&detail(Some(text), None, "", None), 2_048);
        assert!(shown.chars().all(|c| c == '\n' || !(c.is_control() || is_directional(c))), "{shown:?}");
    }

    #[test]
    fn bytes_are_dumped_with_the_line_of_the_fault_marked_and_bounded() {
        let hex: String = (0..40).map(|byte| format!("{byte:02x}")).collect();
        let shown = show(&detail(None, Some(&hex), "byte 17", Some(Mark { start: 17, end: 18 })), 32);
        let marked: Vec<&str> = shown.lines().filter(|line| line.starts_with('>')).collect();
        assert_eq!(marked.len(), 1, "{shown}");
        assert!(marked[0].starts_with("> 000010") && marked[0].ends_with("wrong_type"), "{shown}");
        assert!(shown.contains("8 bytes more"), "{shown}");
    }

    #[test]
    fn a_query_keeps_what_it_was_given() {
        assert_eq!(escaped("heat/v1/+/#"), "heat/v1/%2B/%23");
        assert_eq!(escaped("2026-11-24T08:00:00+08:00"), "2026-11-24T08%3A00%3A00%2B08%3A00");
    }
}
