//! What watches the product holds together: alerts have a page and a test, rules and dashboards name metrics that exist,
//! dashboards say unit, thresholds and what to show without data.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Violation, repository::Repository};

const RULES: &str = "deploy/prometheus/rules/";
const TESTS: &str = "deploy/prometheus/tests/";
const RUNBOOKS: &str = "deploy/runbooks/";
const DASHBOARDS: &str = "deploy/grafana/dashboards/";
const REFERENCE: &str = "deploy/prometheus/METRICS.md";
/// What Prometheus adds to a histogram's name.
const SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Checks rules, runbooks and dashboards.
pub(crate) fn check(repository: &Repository) -> Vec<Violation> {
    let metrics = reference(repository);
    let mut violations = Vec::new();
    for (path, text) in below(repository, RULES) {
        violations.extend(check_rules(path, text, repository));
        violations.extend(unknown_metrics(path, text, &metrics));
    }
    for (path, text) in below(repository, TESTS) {
        violations.extend(unknown_metrics(path, text, &metrics));
    }
    for (path, text) in below(repository, RUNBOOKS) {
        violations.extend(check_runbook(path, text));
    }
    for (path, text) in below(repository, DASHBOARDS) {
        violations.extend(check_dashboard(path, text, &metrics));
    }
    violations
}

fn below<'a>(repository: &'a Repository, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    repository.texts().filter(move |(path, _)| path.starts_with(folder))
}

fn check_rules(path: &str, text: &str, repository: &Repository) -> Vec<Violation> {
    let tests: String = below(repository, TESTS).map(|(_, text)| text).collect();
    let mut violations = Vec::new();
    let alerts = (1..).zip(text.lines()).filter_map(|(number, line)| {
        line.trim_start().strip_prefix("- alert: ").map(|name| (number, name.trim()))
    });
    for (number, alert) in alerts {
        if repository.text(&format!("{RUNBOOKS}{alert}.md")).is_none() {
            let fault = format!("alert {alert} has no page");
            violations.push(Violation::new(path, fault, format!("write {RUNBOOKS}{alert}.md")).at(number));
        }
        if !text.contains(&format!("/runbooks/{alert}'")) {
            let fault = format!("alert {alert} does not name its page");
            violations.push(Violation::new(path, fault, "set its runbook_url to /runbooks/ALERT").at(number));
        }
        if !tests.contains(&format!("\"{alert}\"}}'")) && !tests.contains(&format!("alertname: {alert}\n")) {
            let fault = format!("no test fires alert {alert}");
            violations.push(Violation::new(path, fault, format!("add one below {TESTS}")).at(number));
        }
    }
    violations
}

fn check_runbook(path: &str, text: &str) -> Vec<Violation> {
    let lacks = ["## 中文", "## English"].into_iter().filter(|heading| !text.contains(heading));
    lacks
        .map(|heading| Violation::new(path, format!("lacks {heading}"), "say it in both languages"))
        .collect()
}

fn check_dashboard(path: &str, text: &str, metrics: &BTreeSet<String>) -> Vec<Violation> {
    let Ok(dashboard) = serde_json::from_str::<Value>(text) else {
        return vec![Violation::new(path, "is not JSON", "export the dashboard again")];
    };
    let mut violations = unknown_metrics(path, text, metrics);
    let mut lack = |fault: String, remedy: &str| violations.push(Violation::new(path, fault, remedy));
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".json");
    if dashboard["uid"] != name {
        lack("its uid is not the file's name".to_owned(), "give both the same stable name");
    }
    if dashboard["templating"]["list"][0]["type"] != "datasource" {
        lack("its first variable is no data source".to_owned(), "add the variable `datasource`");
    }
    let panels = dashboard["panels"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap_or("without a title");
        if !panel["id"].as_u64().is_some_and(|id| ids.insert(id)) {
            lack(format!("panel {title} has no id of its own"), "number the panels");
        }
        if panel["type"] == "row" {
            continue;
        }
        let defaults = &panel["fieldConfig"]["defaults"];
        let has_steps = defaults["thresholds"]["steps"].as_array().is_some_and(|steps| !steps.is_empty());
        if !defaults["unit"].is_string() || !defaults["noValue"].is_string() || !has_steps {
            lack(format!("panel {title} lacks unit, noValue or thresholds"), "set all three");
        }
        let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        let by_variable = |part: &Value| part["datasource"]["uid"] == "${datasource}";
        if targets.is_empty() || !targets.iter().chain([panel]).all(by_variable) {
            lack(format!("panel {title} does not query the chosen data source"), "use ${datasource}");
        }
    }
    violations
}

/// Names in the first column of the reference's tables, and those of the plant values.
fn reference(repository: &Repository) -> BTreeSet<String> {
    let text = repository.text(REFERENCE).unwrap_or_default();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|line| line.split('`').skip(1).step_by(2));
    names.filter(|name| is_metric(name)).map(str::to_owned).collect()
}

fn is_metric(name: &str) -> bool {
    name.starts_with("heat_") || name.starts_with("process_")
}

fn unknown_metrics(path: &str, text: &str, metrics: &BTreeSet<String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = line.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
        for word in words.filter(|word| is_metric(word)) {
            let base = SUFFIXES.into_iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
            if !metrics.contains(word) && !metrics.contains(base) {
                let fault = format!("names the metric {word}, which nothing exports");
                violations
                    .push(Violation::new(path, fault, format!("{REFERENCE} has those that are")).at(number));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "groups:\n  - rules:\n      - alert: HeatX\n        expr: heat_x_total > 0\n        annotations:\n          \
                        runbook_url: 'http://c/runbooks/HeatX'\n";
    const PAGE: &str = "## 中文\n## English\n";
    const METRIC: &str = "| `heat_x_total` | counter | `reason` | X. |\n";
    const TEST: &str = "labels: '{alertname=\"HeatX\"}'\n";

    fn faults(changed: &str, text: &str) -> Vec<String> {
        let files = [
            ("deploy/prometheus/rules/a.yml", RULE),
            ("deploy/prometheus/tests/a.yml", TEST),
            ("deploy/runbooks/HeatX.md", PAGE),
            (REFERENCE, METRIC),
        ];
        let files: Vec<_> =
            files.into_iter().filter(|(path, _)| *path != changed).chain([(changed, text)]).collect();
        check(&Repository::of(&files)).into_iter().map(|violation| violation.fault).collect()
    }

    fn dashboard(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut dashboard = serde_json::json!({
            "uid": "d", "templating": {"list": [{"type": "datasource"}]},
            "panels": [{"id": 1, "type": "stat", "title": "X", "datasource": {"uid": "${datasource}"},
                "fieldConfig": {"defaults": {"unit": "s", "noValue": "-", "thresholds": {"steps": [{}]}}},
                "targets": [{"datasource": {"uid": "${datasource}"}, "expr": "heat_x_total"}]}]
        });
        change(&mut dashboard);
        faults("deploy/grafana/dashboards/d.json", &dashboard.to_string())
    }

    #[test]
    fn what_holds_together_is_silent() {
        assert_eq!(faults("README.md", ""), [""; 0]);
        assert_eq!(dashboard(|_| {}), [""; 0]);
    }

    #[test]
    fn an_alert_needs_a_page_in_both_languages_its_address_and_a_test() {
        assert_eq!(faults("deploy/runbooks/HeatX.md", "## English\n"), ["lacks ## 中文"]);
        assert_eq!(faults("deploy/prometheus/tests/a.yml", ""), ["no test fires alert HeatX"]);
        let other = RULE.replace("HeatX\n", "HeatY\n");
        assert_eq!(faults("deploy/prometheus/rules/a.yml", &other).len(), 3);
    }

    #[test]
    fn metrics_that_nothing_exports_are_found() {
        let rule = RULE.replace("heat_x_total", "heat_y_total");
        let found = faults("deploy/prometheus/rules/a.yml", &rule);
        assert_eq!(found, ["names the metric heat_y_total, which nothing exports"]);
        let panel = dashboard(|dashboard| dashboard["panels"][0]["targets"][0]["expr"] = "heat_z".into());
        assert_eq!(panel, ["names the metric heat_z, which nothing exports"]);
    }

    #[test]
    fn a_panel_says_unit_thresholds_and_no_data_and_asks_the_chosen_source() {
        let unit = dashboard(|dashboard| {
            dashboard["panels"][0]["fieldConfig"]["defaults"]["unit"] = Value::Null;
        });
        assert_eq!(unit, ["panel X lacks unit, noValue or thresholds"]);
        let fixed = dashboard(|dashboard| {
            dashboard["panels"][0]["targets"][0]["datasource"]["uid"] = "mine".into();
        });
        assert_eq!(fixed, ["panel X does not query the chosen data source"]);
        assert_eq!(dashboard(|dashboard| dashboard["uid"] = "e".into()), ["its uid is not the file's name"]);
    }
}
