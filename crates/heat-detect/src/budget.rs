//! The alarm budget: one knob, shared among the tests by priority.
//!
//! `false_pages_per_month` is what a network may page (P1 and P2) by mistake in 30 days. Half of it is left to what no
//! test foresees: operators' surprises and faults of several meters at once. Rules that need independent devices to
//! agree (burst, pressure regime) get a fifth; the rest is shared by the sequential tests that may page. What is listed
//! for the next working day (P3) has as much again as the pages; the daily list (P4) is bounded per station, and a fifth
//! of it is left to checks of single signals (silence, stuck values), which have no threshold to move.

use crate::settings::DetectSettings;

/// A sequential test that draws on the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// CUSUMs on quarter hours of the water balance.
    BalanceQuarters,
    /// CUSUMs on hours of the water balance.
    BalanceHours,
    /// Minimum night flow.
    NightFlow,
    /// A station's secondary make-up, which never pages; per station.
    Secondary,
    /// Relations of a site's temperatures, flows and pressures; per station.
    Thermal,
    /// Steam and condensate that are unaccounted for.
    Steam,
    /// Sites whose signals do not move together as usual; per station.
    Behaviour,
}

/// What each priority may say by mistake in 30 days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// P1 and P2 together, per network.
    pub pages: f64,
    /// P3, per network.
    pub next_day: f64,
    /// P4 about stations, per station.
    pub listed_per_station: f64,
}

impl Budget {
    /// What the settings promise.
    pub const fn of(settings: &DetectSettings) -> Self {
        let pages = settings.false_pages_per_month;
        Self { pages, next_day: pages, listed_per_station: settings.listed_per_station_month }
    }

    /// False alarms that a test may raise in 30 days.
    pub(crate) const fn share(self, test: Test) -> f64 {
        match test {
            Test::BalanceQuarters | Test::BalanceHours => 0.1 * self.pages,
            Test::NightFlow => 0.2 * self.pages,
            Test::Steam => 0.1 * self.next_day,
            Test::Secondary | Test::Behaviour => 0.2 * self.listed_per_station,
            Test::Thermal => 0.4 * self.listed_per_station,
        }
    }
}
