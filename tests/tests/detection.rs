//! What the detectors find in a recorded month that is no part of the repository: floors that no change may fall below.
//!
//! One seed of a simulator that is not ours shows that nothing broke; how well they find is measured elsewhere, over many.

use heat_tests::{heatstream::run, repository};
use serde_json::Value;

#[test]
fn every_loss_of_a_recorded_month_is_found_no_page_is_false_and_what_pages_is_told_once() {
    let folder = repository().join("../shared/data/heatnet/seed-001");
    if !folder.is_dir() {
        eprintln!("skipped: {} is missing: recorded data are no part of the repository", folder.display());
        return;
    }
    let at = |name: &str| folder.join(name).display().to_string();
    let (mapping, readings) = (at("mapping.toml"), at("readings.csv.gz"));
    let (plant, labels) = (at("plant"), at("labels.csv"));
    let arguments = ["backtest", "--mapping", &mapping, &readings, "--plant", &plant, "--labels", &labels];

    let told = run(arguments.into_iter().chain(["--format", "json"])).ended_with(0).stdout;

    let report: Value = serde_json::from_str(&told).expect("the report is JSON");
    let rows = |key: &str| report[key].as_array().expect("the report has it").clone();
    let is_loss =
        |class: &Value| ["burst", "leak_abrupt", "leak_incipient"].iter().any(|known| class == known);
    let losses: Vec<Value> = rows("events").into_iter().filter(|event| is_loss(&event["class"])).collect();
    assert_eq!(losses.len(), 4, "two bursts, an abrupt leak and a growing one are labelled");
    for loss in &losses {
        assert_eq!(loss["verdict"], "found", "{loss:#}");
    }
    for burst in losses.iter().filter(|loss| loss["class"] == "burst") {
        let delay_h = burst["delay_h"].as_f64().expect("a burst that was found has a delay");
        assert!(delay_h < 0.25, "{delay_h} h at scans of 15 min: {burst:#}");
    }
    let pages: Vec<Value> = rows("alarms")
        .into_iter()
        .filter(|alarm| alarm["priority"] == "P1" || alarm["priority"] == "P2")
        .collect();
    let mut told: Vec<&str> = Vec::new();
    for page in &pages {
        assert_eq!(page["verdict"], "true", "a page that nothing explains, or that comes again: {page:#}");
        told.push(page["event"].as_str().expect("a true page names its event"));
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), pages.len(), "an event paged twice: {pages:#?}");
    let losses = &report["scores"]["losses"];
    assert_eq!(losses["false_alarms"], 0, "{losses:#}");
    // The growing leak is told anew as it grows.
    assert!(losses["repeats"].as_u64().is_some_and(|repeats| repeats <= 2), "{losses:#}");
}
