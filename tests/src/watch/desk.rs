//! A duty desk around `heatstream up`: Prometheus scrapes it, Alertmanager is told, a webhook is called; with the files of
//! `deploy/`.

use std::{fs, time::Duration};

use serde_json::Value;

use super::{Server, Webhook, lint, panels};
use crate::{now_us, repository, site, wait_until};

/// Until something that takes a scrape or a message is seen.
const SOON: Duration = Duration::from_secs(60);

/// The servers.
#[derive(Debug)]
pub struct Desk {
    webhook: Webhook,
    alertmanager: Server,
    prometheus: Option<Server>,
}

impl Desk {
    /// Starts the webhook and Alertmanager; none where it is missing.
    pub fn open() -> Option<Self> {
        let webhook = Webhook::start();
        let path = repository().join("deploy/alertmanager/alertmanager.yml");
        let example = fs::read_to_string(path).expect("the example is there");
        assert!(example.contains("http://127.0.0.1:9095"), "the example's receivers have another address");
        let alertmanager = Server::alertmanager(&example.replace("http://127.0.0.1:9095", &webhook.url()))?;
        Some(Self { webhook, alertmanager, prometheus: None })
    }

    /// What `up` is configured with.
    pub fn config(&self) -> String {
        format!("[exporter.alertmanager]\nurls = [\"{}\"]\nresend = \"5s\"\n", self.alertmanager.url())
    }

    /// Starts Prometheus with the rules of `deploy/`, on an admin port; false where it is missing.
    pub fn scrape(&mut self, admin: u16) -> bool {
        let alertmanager = self.alertmanager.url();
        let config = format!(
            "global: {{scrape_interval: 2s, evaluation_interval: 2s}}\nrule_files: [rules/*.yml]\nalerting:\n  \
             alertmanagers:\n    - static_configs: [{{targets: ['{}']}}]\nscrape_configs:\n  - job_name: heatstream\n    \
             static_configs: [{{targets: ['127.0.0.1:{admin}']}}]\n",
            alertmanager.trim_start_matches("http://")
        );
        self.prometheus = Server::prometheus(&config, &repository().join("deploy/prometheus/rules"));
        self.prometheus.is_some()
    }

    fn pages(&self, incident: &str) -> Vec<(i64, Value)> {
        let pages = self.webhook.alerts("HeatIncident", "firing");
        pages.into_iter().filter(|(_, alert)| alert["labels"]["incident"] == incident).collect()
    }

    /// Waits until the webhook was called for an incident; says how long after its opening, and judges that never.
    #[track_caller]
    pub fn wait_for_page(&self, incident: &str, network: &str) {
        wait_until("the webhook is called for the incident", SOON, || !self.pages(incident).is_empty());
        let (at_us, page) = self.pages(incident).remove(0);
        let label = |name: &str| page["labels"][name].as_str().unwrap_or_default().to_owned();
        assert_eq!(label("network"), network, "{page:#}");
        assert_eq!([label("priority"), label("severity")], ["P1", "critical"], "{page:#}");
        let texts = ["summary", "summary_zh", "description", "description_zh", "runbook_url"];
        assert!(texts.iter().all(|text| page["annotations"][text].is_string()), "{page:#}");
        assert!(page["generatorURL"].as_str().is_some_and(|url| url.ends_with(incident)), "{page:#}");
        let opened = page["startsAt"].as_str().and_then(ms_of_day).expect("a page says when it began");
        let after = (at_us / 1_000 - opened).rem_euclid(86_400_000);
        eprintln!("paged {after} ms after the incident was opened on the log, 1 s of group_wait included");
    }

    /// How often the webhook was called for an incident.
    pub fn times_paged(&self, incident: &str) -> usize {
        self.pages(incident).len()
    }

    /// Waits until Alertmanager holds the incident and is silent about it.
    #[track_caller]
    pub fn wait_until_silenced(&self, incident: &str) {
        let path = format!("/api/v2/alerts?filter=incident%3D%22{incident}%22");
        wait_until("Alertmanager is silent about the incident", SOON, || {
            let alerts = self.alertmanager.json(&path);
            let alerts = alerts.as_array().map(Vec::as_slice).unwrap_or_default();
            !alerts.is_empty() && alerts.iter().all(|alert| alert["status"]["state"] == "suppressed")
        });
    }

    /// Ends Alertmanager the hard way, and starts it with an empty memory.
    pub fn lose_alertmanager(&mut self) {
        self.alertmanager.kill();
        self.alertmanager.start_again();
    }

    /// Ends Prometheus the hard way and starts it on what it had: it scrapes on, and the rules hold again.
    #[track_caller]
    pub fn restart_prometheus(&mut self) {
        let Some(prometheus) = &mut self.prometheus else { return };
        let number = |prometheus: &Server, query: &str| {
            let answer = prometheus.query(query);
            let text =
                answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
            text.unwrap_or(0.0)
        };
        let killed_at = now_us() / 1_000_000;
        let kept = format!("count_over_time(up{{job=\"heatstream\"}}[30m] @ {killed_at})");
        let before = number(prometheus, &kept);
        prometheus.kill();
        prometheus.start_again();
        // What was there before answers, too, for some minutes.
        let is_fresh = |prometheus: &Server, series: &str| {
            number(prometheus, &format!("min(timestamp({series}))")) > killed_at as f64
        };
        wait_until("Prometheus scrapes again, and the Watchdog fires again", SOON, || {
            is_fresh(prometheus, "up{job=\"heatstream\"}")
                && is_fresh(prometheus, "ALERTS{alertname=\"Watchdog\", alertstate=\"firing\"}")
        });
        let after = number(prometheus, &kept);
        assert!(
            before > 0.0 && after >= before,
            "it kept what it had: {before} samples before, {after} after"
        );
    }

    /// Every panel and variable has data, no expression is refused, no rule fails, and the pipeline is well.
    #[track_caller]
    pub fn assert_dashboards_and_rules_work(&self, admin: u16) {
        let Some(prometheus) = &self.prometheus else { return };
        let queries = panels::read(&repository().join("deploy/grafana/dashboards"));
        assert!(queries.len() > 80, "all dashboards were read: {}", queries.len());
        let mut last = Vec::new();
        wait_until("every panel has data", Duration::from_secs(120), || {
            let (refused, empty) = panels::ask(prometheus, &queries);
            assert!(refused.is_empty(), "Prometheus refuses panels: {refused:#?}");
            if empty != last {
                eprintln!("still empty: {empty:#?}");
                last.clone_from(&empty);
            }
            empty.is_empty()
        });
        let rules = prometheus.json("/api/v1/rules");
        let groups = rules["data"]["groups"].as_array().cloned().unwrap_or_default();
        let all = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default());
        let failing: Vec<Value> = all.filter(|rule| rule["health"] != "ok").collect();
        assert!(groups.len() > 5 && failing.is_empty(), "rules fail: {failing:#?}");
        let ill =
            prometheus.query("ALERTS{alertstate=\"firing\", area=\"pipeline\", alertname!=\"Watchdog\"}");
        assert_eq!(ill["data"]["result"].as_array().map(Vec::len), Some(0), "{ill:#}");
        let scrape = site::get(&format!("http://127.0.0.1:{admin}/metrics")).expect("metrics are served");
        if let Some(faults) = lint(&scrape) {
            assert!(faults.trim().is_empty(), "promtool check metrics:\n{faults}");
        }
    }
}

/// Milliseconds since midnight of an RFC 3339 time in UTC.
fn ms_of_day(text: &str) -> Option<i64> {
    let clock = text.split_once('T')?.1.strip_suffix('Z')?;
    let mut parts = clock.split(':');
    let (hours, minutes): (i64, i64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (seconds, fraction) = parts.next()?.split_once('.').unwrap_or((clock.rsplit(':').next()?, "0"));
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(((hours * 60 + minutes) * 60 + seconds.parse::<i64>().ok()?) * 1_000 + ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_read_with_and_without_a_fraction() {
        assert_eq!(ms_of_day("2026-11-28T01:02:03Z"), Some(3_723_000));
        assert_eq!(ms_of_day("2026-11-28T01:02:03.25Z"), Some(3_723_250));
        assert_eq!(ms_of_day("2026-11-28T01:02:03.123456Z"), Some(3_723_123));
    }
}
