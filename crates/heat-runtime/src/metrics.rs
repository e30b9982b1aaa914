//! Metrics: a registry of our own, handed to whoever counts.
//!
//! Roles register counters, gauges and histograms once and keep the handles. What has too many series for that (plant
//! values) is written as text by a source at each scrape.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector, process_collector::ProcessCollector,
};

/// Writes exposition text at a scrape.
type TextSource = Box<dyn Fn(&mut String) + Send + Sync>;

/// What a metric is, for the metric reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its type in Prometheus's words: counter, gauge, histogram.
    pub kind: &'static str,
    /// Its labels.
    pub labels: Vec<String>,
    /// Its help.
    pub help: String,
}

/// A family that a source writes as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextFamily {
    /// Its name.
    pub name: &'static str,
    /// Its type in Prometheus's words.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Its help.
    pub help: &'static str,
}

impl TextFamily {
    /// The lines that stand before its samples.
    pub fn head(&self) -> String {
        let Self { name, kind, help, .. } = self;
        format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")
    }
}

/// Which program this is.
const BUILD_INFO: &str = "heat_build_info";

#[derive(Default)]
struct Inner {
    registry: Registry,
    inventory: Mutex<Vec<Described>>,
    sources: Mutex<Vec<TextSource>>,
}

/// The process's metrics. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Metrics {
    inner: Arc<Inner>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// A counter.
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register("counter", name, help, &[], IntCounter::new(name, help))
    }

    /// Counters by labels from closed lists.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register("counter", name, help, labels, IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register("gauge", name, help, &[], IntGauge::new(name, help))
    }

    /// A gauge that is not a whole number.
    pub fn number(&self, name: &str, help: &str) -> Gauge {
        self.register("gauge", name, help, &[], Gauge::new(name, help))
    }

    /// Gauges by labels from closed lists.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register("gauge", name, help, labels, IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// Gauges that are not whole numbers, by labels from closed lists.
    pub fn numbers(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register("gauge", name, help, labels, GaugeVec::new(Opts::new(name, help), labels))
    }

    /// A histogram with these upper bounds.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register("histogram", name, help, &[], Histogram::with_opts(opts))
    }

    /// Says which program and role this is, and what the process takes: processor time, memory, open files.
    pub fn describe_process(&self, version: &str, role: &str) {
        let help = "Version and role of this process; the value is always 1.";
        self.gauges(BUILD_INFO, help, &["version", "role"]).with_label_values(&[version, role]).set(1);
        let process = ProcessCollector::for_self();
        for described in process.desc() {
            let kind = if described.fq_name.ends_with("_total") { "counter" } else { "gauge" };
            self.describe(kind, &described.fq_name, &described.help, &[]);
        }
        self.inner.registry.register(Box::new(process)).expect("a process describes itself once");
    }

    /// Adds a source of exposition text, written after the registry's own, and names the families that it writes.
    pub fn add_source(&self, families: &[TextFamily], source: impl Fn(&mut String) + Send + Sync + 'static) {
        for family in families {
            self.describe(family.kind, family.name, family.help, family.labels);
        }
        lock(&self.inner.sources).push(Box::new(source));
    }

    /// All that was registered, and what sources write, by name.
    pub fn inventory(&self) -> Vec<Described> {
        let mut inventory = lock(&self.inner.inventory).clone();
        inventory.sort();
        inventory
    }

    /// The exposition text of a scrape.
    pub fn render(&self) -> String {
        let mut buffer = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.inner.registry.gather(), &mut buffer) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        let mut text = String::from_utf8(buffer).unwrap_or_default();
        for source in lock(&self.inner.sources).iter() {
            source(&mut text);
        }
        text
    }

    fn describe(&self, kind: &'static str, name: &str, help: &str, labels: &[&str]) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let described = Described { name: name.to_owned(), kind, labels, help: help.to_owned() };
        lock(&self.inner.inventory).push(described);
    }

    fn register<C: Collector + Clone + 'static>(
        &self,
        kind: &'static str,
        name: &str,
        help: &str,
        labels: &[&str],
        collector: prometheus::Result<C>,
    ) -> C {
        let collector = collector.expect("a metric's name and labels are constants of the right shape");
        self.inner
            .registry
            .register(Box::new(collector.clone()))
            .expect("each metric is registered once in a process");
        self.describe(kind, name, help, labels);
        collector
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: TextFamily =
        TextFamily { name: "heat_signal_value", kind: "gauge", labels: &["site"], help: "A value." };

    #[test]
    fn a_scrape_has_the_registry_and_the_sources() {
        let metrics = Metrics::default();
        metrics.counter("heat_gateway_messages_total", "Messages received.").inc_by(3);
        metrics.add_source(&[VALUE], |text| text.push_str("heat_signal_value 1\n"));

        let text = metrics.render();

        assert!(text.contains("heat_gateway_messages_total 3\n"), "{text}");
        assert!(text.ends_with("heat_signal_value 1\n"), "{text}");
    }

    #[test]
    fn the_inventory_names_what_is_registered_what_is_written_and_the_process() {
        let metrics = Metrics::default();
        metrics.counters("heat_gateway_messages_total", "Messages received.", &["outcome"]);
        metrics.add_source(&[VALUE], |_| {});
        metrics.describe_process("1.2.3", "gateway");

        let inventory = metrics.inventory();
        let kinds: Vec<_> = inventory.iter().map(|metric| (metric.name.as_str(), metric.kind)).collect();

        assert!(kinds.contains(&("heat_gateway_messages_total", "counter")), "{kinds:?}");
        assert!(kinds.contains(&("process_resident_memory_bytes", "gauge")), "{kinds:?}");
        assert!(kinds.contains(&("process_cpu_seconds_total", "counter")), "{kinds:?}");
        let value = inventory.iter().find(|metric| metric.name == VALUE.name).unwrap();
        assert_eq!((value.labels.as_slice(), value.help.as_str()), (&["site".to_owned()][..], "A value."));
        assert!(metrics.render().contains("heat_build_info{role=\"gateway\",version=\"1.2.3\"} 1\n"));
    }
}
