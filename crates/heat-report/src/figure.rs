//! Figures with their denominators, and what each is called.

use serde::Serialize;

/// Which figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "`Id::words` says what each is")]
pub enum Id {
    WaterLossesPerPipe,
    FaultsPerStation,
    WaterLostShare,
    HeatLostShare,
    MakeUp,
    SecondaryMakeUp,
    HeatPerArea,
    HeatPerDegreeDay,
    Compliance,
    Complaints,
    TicketsExplained,
    FollowUp,
    Satisfaction,
    TimelyAcceptance,
    TimelyArrival,
    RepairsVerified,
    RepairsReopened,
}

/// A figure's words: title, unit, what is counted, what it is divided by; Chinese and English.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Words {
    /// What the figure is called.
    pub title: [&'static str; 2],
    /// Unit of the value.
    pub unit: [&'static str; 2],
    /// Numerator with its unit.
    pub numerator: [&'static str; 2],
    /// Denominator with its unit.
    pub denominator: [&'static str; 2],
    /// What the quotient is multiplied by to be in `unit`.
    pub scale: f64,
}

const PERCENT: [&str; 2] = ["%", "%"];

impl Id {
    /// All of them, in the order of a report.
    pub const ALL: [Self; 17] = [
        Self::WaterLossesPerPipe,
        Self::FaultsPerStation,
        Self::WaterLostShare,
        Self::HeatLostShare,
        Self::MakeUp,
        Self::SecondaryMakeUp,
        Self::HeatPerArea,
        Self::HeatPerDegreeDay,
        Self::Compliance,
        Self::Complaints,
        Self::TicketsExplained,
        Self::FollowUp,
        Self::Satisfaction,
        Self::TimelyAcceptance,
        Self::TimelyArrival,
        Self::RepairsVerified,
        Self::RepairsReopened,
    ];

    /// The word in JSON and CSV.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WaterLossesPerPipe => "water_losses_per_pipe",
            Self::FaultsPerStation => "faults_per_station",
            Self::WaterLostShare => "water_lost_share",
            Self::HeatLostShare => "heat_lost_share",
            Self::MakeUp => "make_up",
            Self::SecondaryMakeUp => "secondary_make_up",
            Self::HeatPerArea => "heat_per_area",
            Self::HeatPerDegreeDay => "heat_per_degree_day",
            Self::Compliance => "compliance",
            Self::Complaints => "complaints",
            Self::TicketsExplained => "tickets_explained",
            Self::FollowUp => "follow_up",
            Self::Satisfaction => "satisfaction",
            Self::TimelyAcceptance => "timely_acceptance",
            Self::TimelyArrival => "timely_arrival",
            Self::RepairsVerified => "repairs_verified",
            Self::RepairsReopened => "repairs_reopened",
        }
    }

    /// Its words.
    pub const fn words(self) -> Words {
        let (title, unit, numerator, denominator, scale) = match self {
            Self::WaterLossesPerPipe => (
                ["管网故障率", "Failure rate of pipes"],
                ["次/100 km", "per 100 km"],
                ["爆管、泄漏，次", "bursts and leaks"],
                ["管沟长度，km", "trench, km"],
                100.0,
            ),
            Self::FaultsPerStation => (
                ["热力站故障率", "Failure rate of stations"],
                ["次/100 站", "per 100 stations"],
                ["热力站故障，次", "station faults"],
                ["热力站，座", "stations"],
                100.0,
            ),
            Self::WaterLostShare => (
                ["事件失水占补水", "Water lost in incidents, of make-up"],
                PERCENT,
                ["事件失水，m³", "lost in incidents, m³"],
                ["一次网补水，m³", "primary make-up, m³"],
                100.0,
            ),
            Self::HeatLostShare => (
                ["事件失热占供热", "Heat lost in incidents, of heat delivered"],
                PERCENT,
                ["事件失热，GJ", "lost in incidents, GJ"],
                ["供热量，GJ", "heat delivered, GJ"],
                100.0,
            ),
            Self::MakeUp => (
                ["一次网补水量", "Primary make-up"],
                ["L/(m²·d)", "L/(m²·d)"],
                ["补水，m³", "make-up, m³"],
                ["面积×天，m²·d", "area × days, m²·d"],
                1_000.0,
            ),
            Self::SecondaryMakeUp => (
                ["二次网补水量", "Secondary make-up"],
                ["L/(m²·d)", "L/(m²·d)"],
                ["补水，m³", "make-up, m³"],
                ["有表站面积×天，m²·d", "metered stations' area × days, m²·d"],
                1_000.0,
            ),
            Self::HeatPerArea => (
                ["单位面积供热量", "Heat per area"],
                ["GJ/m²", "GJ/m²"],
                ["供热量，GJ", "heat, GJ"],
                ["供热面积，m²", "heated area, m²"],
                1.0,
            ),
            Self::HeatPerDegreeDay => (
                ["单位面积、度日供热量", "Heat per area and degree-day"],
                ["kJ/(m²·K·d)", "kJ/(m²·K·d)"],
                ["供热量，GJ", "heat, GJ"],
                ["面积×度日，m²·K·d", "area × degree-days, m²·K·d"],
                1e6,
            ),
            Self::Compliance => (
                ["室温合格率", "Compliance share of rooms"],
                PERCENT,
                ["合格户时", "home-hours at the promised temperature"],
                ["有测户时", "home-hours measured"],
                100.0,
            ),
            Self::Complaints => (
                ["万户投诉量", "Complaints per 10,000 households"],
                ["件/万户", "per 10,000"],
                ["报修、投诉工单，件", "tickets"],
                ["供热户数，户", "households"],
                10_000.0,
            ),
            Self::TicketsExplained => (
                ["工单查明率", "Tickets explained by the plant"],
                PERCENT,
                ["由系统事件解释，件", "explained by an incident"],
                ["工单，件", "tickets"],
                100.0,
            ),
            Self::FollowUp => (
                ["回访率", "Follow-up share"],
                PERCENT,
                ["已接通回访，件", "callers reached"],
                ["已办结或已回访，件", "tickets closed, or called back"],
                100.0,
            ),
            Self::Satisfaction => (
                ["满意率", "Satisfaction share"],
                PERCENT,
                ["满意，件", "satisfied"],
                ["已接通回访，件", "callers reached"],
                100.0,
            ),
            Self::TimelyAcceptance => (
                ["受理及时率", "Timely acceptance"],
                PERCENT,
                ["及时受理，单", "in time"],
                ["有时限且已到期或已受理，单", "due or accepted"],
                100.0,
            ),
            Self::TimelyArrival => (
                ["到场及时率", "Timely arrival"],
                PERCENT,
                ["及时到场，单", "in time"],
                ["有时限且已到期或已到场，单", "due or arrived"],
                100.0,
            ),
            Self::RepairsVerified => (
                ["修复验证率", "Repairs verified by the data"],
                PERCENT,
                ["已验证，件", "verified"],
                ["报修复，件", "reported repaired"],
                100.0,
            ),
            Self::RepairsReopened => (
                ["修复后重开率", "Repairs reopened"],
                PERCENT,
                ["重开，件", "reopened"],
                ["报修复，件", "reported repaired"],
                100.0,
            ),
        };
        Words { title, unit, numerator, denominator, scale }
    }
}

/// A figure: what was counted, and what it is divided by. Absent parts are not known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// Which.
    pub id: Id,
    /// The quotient in the figure's unit; absent where a part is not known or nothing is there to divide by.
    pub value: Option<f64>,
    /// What was counted.
    pub numerator: Option<f64>,
    /// What it is divided by.
    pub denominator: Option<f64>,
}

impl Figure {
    /// A figure of two parts.
    pub fn new(id: Id, numerator: Option<f64>, denominator: Option<f64>) -> Self {
        let quotient = match (numerator, denominator) {
            (Some(numerator), Some(denominator)) if denominator > 0.0 => Some(numerator / denominator),
            _ => None,
        };
        Self { id, value: quotient.map(|quotient| quotient * id.words().scale), numerator, denominator }
    }

    /// A share of counts.
    pub fn share(id: Id, part: u64, of: u64) -> Self {
        Self::new(id, Some(count(part)), Some(count(of)))
    }
}

/// A count as a number.
#[expect(clippy::cast_precision_loss, reason = "counts of incidents, tickets and hours are far below 2^53")]
pub fn count(count: u64) -> f64 {
    count as f64
}
