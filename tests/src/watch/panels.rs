//! Grafana's dashboards, as far as a query goes: every panel's expressions, with its variables set to all.

use std::{fs, path::Path};

use serde_json::Value;

use super::Server;

/// One expression of a panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelQuery {
    /// The dashboard's uid.
    pub dashboard: String,
    /// The panel's title.
    pub panel: String,
    /// The expression, as Prometheus takes it.
    pub expression: String,
}

/// The expressions of all dashboards of a folder, and the queries of their variables.
pub fn read(folder: &Path) -> Vec<PanelQuery> {
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the dashboards are there").map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut queries = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a dashboard can be read");
        let dashboard: Value = serde_json::from_str(&text).expect("a dashboard is JSON");
        queries.extend(variables(&dashboard));
        for panel in dashboard["panels"].as_array().into_iter().flatten() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                queries.push(PanelQuery {
                    dashboard: dashboard["uid"].as_str().unwrap_or_default().to_owned(),
                    panel: panel["title"].as_str().unwrap_or_default().to_owned(),
                    expression: set_variables(target["expr"].as_str().unwrap_or_default()),
                });
            }
        }
    }
    queries
}

/// What the variables of all dashboards are chosen from: series of Prometheus whose label gives the choices.
fn variables(dashboard: &Value) -> Vec<PanelQuery> {
    let list = dashboard["templating"]["list"].as_array().cloned().unwrap_or_default();
    let queries = list.into_iter().filter(|variable| variable["type"] == "query");
    queries
        .map(|variable| {
            let query = variable["query"]["query"].as_str().unwrap_or_default();
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (series, label) = inner
                .and_then(|inner| inner.rsplit_once(','))
                .unwrap_or_else(|| panic!("a variable's query that this test does not know: {query:?}"));
            PanelQuery {
                dashboard: dashboard["uid"].as_str().unwrap_or_default().to_owned(),
                panel: format!("variable {}", variable["name"].as_str().unwrap_or_default()),
                expression: set_variables(&format!("group by ({}) ({series})", label.trim())),
            }
        })
        .collect()
}

fn set_variables(expression: &str) -> String {
    let set = expression.replace("$__rate_interval", "1m").replace("$network", ".*").replace("$site", ".*");
    assert!(!set.contains('$'), "a variable that this test does not know: {expression}");
    set
}

/// Queries that Prometheus refuses, with its reason; and those without a series.
pub fn ask(prometheus: &Server, queries: &[PanelQuery]) -> (Vec<String>, Vec<PanelQuery>) {
    let (mut refused, mut empty) = (Vec::new(), Vec::new());
    for query in queries {
        match prometheus.series(&query.expression) {
            Ok(0) => empty.push(query.clone()),
            Ok(_) => {}
            Err(error) => refused.push(format!("{}: {}: {error}", query.dashboard, query.panel)),
        }
    }
    (refused, empty)
}
