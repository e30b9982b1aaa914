//! `heatstream backtest` from outside: a recorded town with one burst, in all three formats.

use std::{fs, path::Path};

use heat_tests::{heatstream::run, town::Town};
use serde_json::Value;
use tempfile::TempDir;

fn town() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    Town::default().write(folder.path()).expect("the folder can be written");
    folder
}

fn backtest(folder: &Path, more: &[&str]) -> heat_tests::heatstream::Output {
    let at = |name: &str| folder.join(name).display().to_string();
    let mut arguments =
        vec!["backtest".to_owned(), "--mapping".to_owned(), at("mapping.toml"), at("readings.csv")];
    arguments.extend(["--plant".to_owned(), at("plant"), "--labels".to_owned(), at("labels.csv")]);
    arguments.extend(more.iter().map(|word| (*word).to_owned()));
    run(arguments)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the report is JSON")
}

#[test]
fn the_json_names_the_burst_with_place_size_and_delay_and_no_false_alarm() {
    let folder = town();

    let report = json(&backtest(folder.path(), &["--format", "json"]).ended_with(0).stdout);

    let found: Vec<&Value> =
        report["alarms"].as_array().unwrap().iter().filter(|alarm| alarm["verdict"] == "true").collect();
    assert_eq!(found.len(), 1, "{report:#}");
    let alarm = found[0];
    for field in [
        "id",
        "class",
        "network",
        "emitted",
        "from",
        "to",
        "place",
        "candidates",
        "size_kg_s",
        "strength",
        "detector",
    ] {
        assert!(alarm.get(field).is_some(), "{field} is missing in {alarm:#}");
    }
    assert_eq!(
        (&alarm["class"], &alarm["network"], &alarm["event"]),
        (&"burst".into(), &"town".into(), &"e1".into())
    );
    let size = alarm["size_kg_s"].as_f64().unwrap();
    assert!((6.0..10.0).contains(&size), "{size} kg/s where 8 were lost");
    let candidates = alarm["candidates"].as_array().unwrap();
    assert!(
        candidates.iter().all(|c| c["pipe"].is_string() && c["probability"].is_f64())
            && !candidates.is_empty()
    );

    let event = &report["events"][0];
    assert_eq!(event["verdict"], "found");
    let delay_h = event["delay_h"].as_f64().unwrap();
    assert!((0.0..0.2).contains(&delay_h), "{delay_h} h at a scan of 5 min");
    let losses = &report["scores"]["losses"];
    assert_eq!(
        (&losses["events"], &losses["found"], &losses["false_alarms"]),
        (&1.into(), &1.into(), &0.into())
    );
    assert_eq!(losses["above_chance"], true);
    assert_eq!(report["scores"]["budget"]["measured"]["count"], 0);
    let coverage = &report["coverage"]["networks"][0];
    assert_eq!((&coverage["network"], &coverage["level"]), (&"town".into(), &"L2".into()));
    assert_eq!(report["coverage"]["unused_names"], serde_json::json!(["ash_level"]));
}

#[test]
fn the_table_says_the_same_in_words() {
    let folder = town();

    let table = backtest(folder.path(), &[]).ended_with(0).stdout;

    for part in ["False P1+P2: 0", "e1", "burst", "No false alarm.", "What could not be judged"] {
        assert!(table.contains(part), "{part:?} is missing in\n{table}");
    }
}

#[test]
fn the_page_is_well_formed_needs_nothing_from_elsewhere_and_runs_no_script() {
    let folder = town();
    let page = folder.path().join("report.html");

    let told =
        backtest(folder.path(), &["--format", "html", "--output", &page.display().to_string()]).ended_with(0);

    assert_eq!(told.stdout, "");
    let text = fs::read_to_string(&page).expect("the page was written");
    well_formed(&text);
    for foreign in ["<script", "http://", "https://", "src=", "href=", "url(", "@import", "onload", "onclick"]
    {
        assert!(!text.contains(foreign), "the page holds {foreign}");
    }
    for part in
        ["<svg", "class=\"truth\"", "class=\"candidate\"", "class=\"water\"", "class=\"residual\"", "e1"]
    {
        assert!(text.contains(part), "{part} is missing");
    }
}

/// Every tag is closed in order, every attribute quoted, every ampersand an entity.
fn well_formed(text: &str) {
    let body = text.strip_prefix("<!DOCTYPE html>").expect("it begins with its type");
    let mut open: Vec<&str> = Vec::new();
    let mut rest = body;
    while let Some(start) = rest.find('<') {
        assert!(
            !rest[..start].contains('>'),
            "a stray > before {:?}",
            &rest[start..rest.len().min(start + 60)]
        );
        let end = start + rest[start..].find('>').expect("every tag ends");
        let tag = &rest[start + 1..end];
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes something else");
        } else {
            assert_eq!(tag.matches('"').count() % 2, 0, "quotes of <{tag}>");
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        rest = &rest[end + 1..];
        // A style sheet has its own grammar.
        if open.last() == Some(&"style") {
            let close = rest.find("</style>").expect("the style sheet ends");
            rest = &rest[close..];
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    for after in body.split('&').skip(1) {
        assert!(
            ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|entity| after.starts_with(entity)),
            "a bare & before {:?}",
            after.chars().take(20).collect::<String>()
        );
    }
}

#[test]
fn two_runs_give_the_same_bytes_in_every_format_and_the_same_scores() {
    let folder = town();
    let scores = |name: &str| folder.path().join(name).display().to_string();
    for format in ["table", "json", "html"] {
        let one =
            backtest(folder.path(), &["--format", format, "--scores", &scores("one.csv")]).ended_with(0);
        let two =
            backtest(folder.path(), &["--format", format, "--scores", &scores("two.csv")]).ended_with(0);
        assert_eq!(one.stdout, two.stdout, "{format}");
    }
    let one = fs::read_to_string(folder.path().join("one.csv")).unwrap();
    assert!(one.starts_with("time,network,site,device,name,value,burst_z,"), "{}", &one[..80]);
    assert_eq!(one, fs::read_to_string(folder.path().join("two.csv")).unwrap());
    assert!(one.lines().count() > 18 * 288 * 10, "a row per reading that a detector uses");
}

#[test]
fn without_plant_and_labels_it_says_what_would_have_been_found() {
    let folder = town();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let arguments = ["backtest", "--mapping", &at("mapping.toml"), &at("readings.csv"), "--format", "json"];

    let report = json(&run(arguments).ended_with(0).stdout);

    assert_eq!(report["labelled"], false);
    let alarms = report["alarms"].as_array().unwrap();
    assert!(alarms.iter().any(|alarm| alarm["class"] == "burst" && alarm["verdict"] == "unlabelled"));
    assert_eq!(report["coverage"]["networks"][0]["level"], "L0");
}

#[test]
fn the_utility_s_own_budget_is_what_is_promised() {
    let folder = town();
    let config = folder.path().join("heatstream.toml");
    fs::write(&config, "[processor]\nfalse_pages_per_month = 0.25\nlisted_per_station_month = 0.02\n")
        .unwrap();

    let at = config.display().to_string();
    let report = json(&backtest(folder.path(), &["--format", "json", "--config", &at]).ended_with(0).stdout);

    let budget = &report["scores"]["budget"];
    assert_eq!(budget["promised_per_network_month"], 0.25, "{budget:#}");
    assert_eq!(budget["by_priority"][2]["promised"], 0.02, "{budget:#}");

    fs::write(&config, "[processor]\nfalse_pages_per_month = 0\n").unwrap();
    let told = backtest(folder.path(), &["--config", &at]).ended_with(64);
    assert!(told.stderr.contains("false_pages_per_month"), "{}", told.stderr);
}

#[test]
fn what_is_wrong_is_said_with_file_place_and_remedy() {
    let folder = town();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("lacks.csv", "time,source.supply_flow\n2026-01-01 00:00:00,1\n");
    write("bad.toml", &Town::mapping().replace("unit = \"bar\"", "unit = \"furlong\""));
    write("bad.csv", "event,class,network,start,end,place,side\n");

    for (arguments, code, parts) in [
        (
            vec!["--mapping", &at("mapping.toml"), &at("lacks.csv")],
            65,
            vec!["lacks.csv", "source.return_flow", "`column`"],
        ),
        (vec!["--mapping", &at("bad.toml"), &at("readings.csv")], 64, vec!["bad.toml", "unit"]),
        (vec!["--mapping", &at("mapping.toml"), &at("gone.csv")], 2, vec!["gone.csv"]),
        (
            vec!["--mapping", &at("mapping.toml"), &at("readings.csv"), "--labels", &at("bad.csv")],
            65,
            vec!["bad.csv", "size_kg_s"],
        ),
        (
            vec!["--mapping", &at("mapping.toml"), &at("readings.csv"), "--from", "2030-01-01T00:00:00Z"],
            65,
            vec!["no reading"],
        ),
        (vec!["--archive", &at("nowhere")], 2, vec!["nowhere"]),
        (vec!["--mapping", &at("mapping.toml")], 2, vec!["--mapping"]),
        (vec![], 2, vec!["--archive"]),
    ] {
        let told = run(std::iter::once("backtest").chain(arguments)).ended_with(code);
        for part in parts {
            assert!(told.stderr.contains(part), "{part:?} is missing in {}", told.stderr);
        }
    }
}
