//! Metrics: a registry of our own, handed to whoever counts.
//!
//! Roles register counters, gauges and histograms once and keep the handles. What has too many series for that (plant
//! values) is written as text by a source at each scrape.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

/// Writes exposition text at a scrape.
type TextSource = Box<dyn Fn(&mut String) + Send + Sync>;

#[derive(Default)]
struct Inner {
    registry: Registry,
    inventory: Mutex<Vec<(String, String)>>,
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
        self.register(name, help, IntCounter::new(name, help))
    }

    /// Counters by labels from closed lists.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(name, help, IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(name, help, IntGauge::new(name, help))
    }

    /// Gauges by labels from closed lists.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(name, help, IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// A histogram with these upper bounds.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(name, help, Histogram::with_opts(opts))
    }

    /// Adds a source of exposition text, written after the registry's own.
    pub fn add_source(&self, source: impl Fn(&mut String) + Send + Sync + 'static) {
        lock(&self.inner.sources).push(Box::new(source));
    }

    /// Names and help of all that was registered, sorted.
    pub fn inventory(&self) -> Vec<(String, String)> {
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

    fn register<C: Collector + Clone + 'static>(
        &self,
        name: &str,
        help: &str,
        collector: prometheus::Result<C>,
    ) -> C {
        let collector = collector.expect("a metric's name and labels are constants of the right shape");
        self.inner
            .registry
            .register(Box::new(collector.clone()))
            .expect("each metric is registered once in a process");
        lock(&self.inner.inventory).push((name.to_owned(), help.to_owned()));
        collector
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_has_the_registry_and_the_sources() {
        let metrics = Metrics::default();
        metrics.counter("heat_gateway_messages_total", "Messages received.").inc_by(3);
        metrics.add_source(|text| text.push_str("heat_signal_value 1\n"));

        let text = metrics.render();

        assert!(text.contains("heat_gateway_messages_total 3\n"), "{text}");
        assert!(text.ends_with("heat_signal_value 1\n"), "{text}");
        assert_eq!(metrics.inventory().len(), 1);
    }
}
