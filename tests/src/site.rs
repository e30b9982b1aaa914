//! `heatstream up --sim off` with ports and folders of its own.

use std::{fs, net::TcpStream, path::PathBuf, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    free_port,
    heatstream::{Output, Running, run},
};

/// How long a start may take on a busy machine.
pub const START: Duration = Duration::from_secs(60);

/// One deployment: its folder outlives the processes that run on it.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    /// Port of MQTT.
    pub mqtt: u16,
    /// Port of the API.
    pub api: u16,
    /// Port of metrics and health.
    pub admin: u16,
}

impl Site {
    /// With free ports; `more` is added to the configuration.
    pub fn new(more: &str) -> Self {
        Self::within(tempfile::tempdir().expect("a temporary folder can be made"), more)
    }

    /// The same in a folder of the test's choice.
    pub fn within(folder: TempDir, more: &str) -> Self {
        let site = Self { folder, mqtt: free_port(), api: free_port(), admin: free_port() };
        let Self { mqtt, api, admin, .. } = site;
        let text = format!(
            "{more}\n[gateway.listen]\naddress = \"127.0.0.1:{mqtt}\"\n[api]\naddress = \"127.0.0.1:{api}\"\n\
             [admin]\naddress = \"127.0.0.1:{admin}\"\n[logging]\nfilter = \"info\"\n"
        );
        fs::write(site.config(), text).expect("the temporary folder can be written");
        site
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("up.toml")
    }

    /// What `--data-dir` names.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The archive.
    pub fn archive(&self) -> PathBuf {
        self.data_dir().join("site/archive")
    }

    /// Starts it, without waiting.
    pub fn spawn(&self) -> Running {
        let (config, data) = (self.config(), self.data_dir());
        let arguments = ["up", "--sim", "off", "--config"].map(Into::into).into_iter();
        Running::start(
            "up",
            arguments.chain([config.into_os_string(), "--data-dir".into(), data.into_os_string()]),
        )
    }

    /// Starts it and waits until it takes messages and is ready.
    #[track_caller]
    pub fn start(&self) -> Running {
        let mut up = self.spawn();
        let (mqtt, admin) = (self.mqtt, self.admin);
        up.wait_until("MQTT listens and /readyz says so", START, |_| {
            TcpStream::connect(("127.0.0.1", mqtt)).is_ok()
                && is_ok(&format!("http://127.0.0.1:{admin}/readyz"))
        });
        up
    }

    /// The text of /metrics.
    pub fn metrics(&self) -> String {
        get(&format!("http://127.0.0.1:{}/metrics", self.admin)).unwrap_or_default()
    }

    /// An answer of the API.
    #[track_caller]
    pub fn ask(&self, path: &str) -> Value {
        let text = get(&format!("http://127.0.0.1:{}/api/v1/{path}", self.api)).expect("the API answers");
        serde_json::from_str(&text).expect("the API answers in JSON")
    }

    /// `heatstream audit` over the stopped deployment.
    pub fn audit(&self) -> Output {
        run(["audit".into(), "--data-dir".into(), self.data_dir().into_os_string()])
    }
}

/// The body of an answer; none without an answer or with an error's status.
pub fn get(url: &str) -> Option<String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(60))).build();
    let agent: ureq::Agent = config.into();
    agent.get(url).call().ok()?.body_mut().read_to_string().ok()
}

/// Whether there is an answer that is no error.
pub fn is_ok(url: &str) -> bool {
    get(url).is_some()
}

/// The value of a series that has at least these labels; panics if there are several.
#[track_caller]
pub fn series(metrics: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has_all = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    };
    let found: Vec<&str> = metrics.lines().filter(has_all).collect();
    assert!(found.len() <= 1, "{name} {labels:?} are several series: {found:?}");
    found.first().map(|line| {
        let value = line.rsplit(' ').next().unwrap_or_default();
        value.parse().unwrap_or_else(|_| panic!("{line} ends in no number"))
    })
}

/// The sum over all series of a metric.
pub fn sum(metrics: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    metrics
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
        .filter(|line| labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\""))))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// The numbers of the audit's last line of totals, as they stand there: messages received, logged, rejected, queued;
/// readings received, logged, rejected, queued, archived, duplicate, queued for the archive.
#[track_caller]
pub fn audit_total(stdout: &str) -> [u64; 11] {
    let mut lines = stdout.lines().skip_while(|line| !line.trim_start().starts_with("total"));
    let text = [lines.next(), lines.next()].map(|line| line.unwrap_or_default()).join(" ");
    let numbers: Vec<u64> = text.split([' ', ';']).filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap_or_else(|found| panic!("{found:?} are not the audit's numbers: {stdout}"))
}

/// Conservation, worked out anew from the printed numbers.
#[track_caller]
pub fn assert_balanced(stdout: &str) {
    let total = audit_total(stdout);
    let [received, logged, rejected, queued, ..] = total;
    assert_eq!(received, logged + rejected + queued, "messages: {stdout}");
    let [.., received, logged, rejected, queued, archived, duplicate, waiting] = total;
    assert_eq!(received, logged + rejected + queued, "readings: {stdout}");
    assert_eq!(logged, archived + duplicate + waiting, "archived readings: {stdout}");
    assert!(stdout.contains("BALANCES") && !stdout.contains("DOES NOT BALANCE"), "{stdout}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_name_and_labels() {
        let text = "heat_x{site=\"a\",device=\"m\"} 1\nheat_x{site=\"b\"} 2.5\nheat_xy 3\n";

        assert_eq!(series(text, "heat_x", &[("site", "b")]), Some(2.5));
        assert_eq!(series(text, "heat_x", &[("site", "c")]), None);
        assert_eq!(sum(text, "heat_x", &[]), 3.5);
    }

    #[test]
    #[should_panic(expected = "archived readings")]
    fn a_sum_that_does_not_hold_is_found_whatever_the_text_claims() {
        assert_balanced(
            "  total  messages: received 2 = logged 1 + rejected 1 + queued 0\n      readings: received 3 = \
             logged 2 + rejected 1 + queued 0; logged = archived 1 + duplicate 0 + queued 0\nBALANCES\n",
        );
    }
}
