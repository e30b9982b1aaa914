//! Findings and incidents. One cause = one incident; its effects are listed on it and not paged.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{IncidentId, NetworkId, PipeId, SiteId, ValveId},
    plant::{ModelLevel, Side},
    record::Offset,
    time::{AppendTime, EventTime},
};

/// Defines the classes with words and priority in one place.
macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident, $word:literal, $zh:literal, $en:literal, $priority:ident;)*) => {
        /// What an incident is. A kind (such as `drift` of a sensor fault) stands beside it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Class { $($(#[$doc])* $name,)* }

        impl Class {
            /// All classes.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used in payloads, labels and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What the duty desk calls it.
            pub const fn chinese(self) -> &'static str {
                match self { $(Self::$name => $zh,)* }
            }

            /// The same in English.
            pub const fn english(self) -> &'static str {
                match self { $(Self::$name => $en,)* }
            }

            /// The priority that it has unless its evidence raises it.
            pub const fn priority(self) -> Priority {
                match self { $(Self::$name => Priority::$priority,)* }
            }
        }

        impl std::str::FromStr for Class {
            type Err = UnknownClass;
            fn from_str(text: &str) -> Result<Self, UnknownClass> {
                match text { $($word => Ok(Self::$name),)* _ => Err(UnknownClass) }
            }
        }
    };
}

/// The word is not a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an incident class")]
pub struct UnknownClass;

classes! {
    /// A pipe has broken.
    Burst, "burst", "爆管", "Burst", P1;
    /// A leak that began within minutes.
    LeakAbrupt, "leak_abrupt", "突发泄漏", "Sudden leak", P2;
    /// A leak that grows over days.
    LeakIncipient, "leak_incipient", "缓慢泄漏", "Growing leak", P3;
    /// Loss that was there from the start.
    StandingLoss, "standing_loss", "本底失水", "Standing loss", P4;
    /// Household water drained from radiators.
    Draining, "draining", "用户放水", "Draining by users", P4;
    /// Primary water lost into a secondary.
    ExchangerLeak, "exchanger_leak", "换热器内漏", "Exchanger leak", P3;
    /// Pressure near saturation, a circuit emptying, or overpressure: see the kind.
    PressureRegime, "pressure_regime", "压力工况异常", "Pressure regime", P1;
    /// A circulation pump stopped.
    PumpTrip, "pump_trip", "停泵", "Pump trip", P1;
    /// No power.
    PowerFailure, "power_failure", "停电", "Power failure", P1;
    /// The whole network is too cold or too hot.
    NetworkThermal, "network_thermal", "供温异常", "Supply temperature", P2;
    /// A station or home behaves thermally wrong: see the kind.
    ConsumerThermal, "consumer_thermal", "热力站工况异常", "Station regime", P4;
    /// Homes below the promised temperature.
    Underheating, "underheating", "室温不达标", "Underheating", P3;
    /// Pipes may freeze: hours are left.
    FrostRisk, "frost_risk", "冻损风险", "Frost risk", P1;
    /// A sensor is wrong: see the kind.
    SensorFault, "sensor_fault", "传感器故障", "Sensor fault", P4;
    /// A device's clock is wrong.
    ClockFault, "clock_fault", "时钟异常", "Clock fault", P4;
    /// A signal is silent.
    Silence, "silence", "数据中断", "Data interruption", P4;
    /// Complaints cluster.
    TicketCluster, "ticket_cluster", "投诉集中", "Complaints cluster", P3;
    /// Something that no rule names.
    Unknown, "unknown", "未知异常", "Unknown", P4;
}

/// How urgent, after the alarm budget's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// Pages now.
    P1,
    /// Pages within the shift.
    P2,
    /// Next working day.
    P3,
    /// Daily list, never paged.
    P4,
}

/// ISA-18.2 / IEC 62682 alarm state, apart from the repair work's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// Active and nobody has seen it.
    Unacknowledged,
    /// Active and somebody takes care.
    Acknowledged,
    /// Silenced until a time.
    Shelved,
    /// In a maintenance window.
    OutOfService,
    /// The repair is reported; the data have not confirmed it yet.
    AwaitingVerification,
    /// Its evidence is gone, or its repair is verified.
    Cleared,
}

/// The repair work's state (抢修工单).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkState {
    /// 待派单.
    #[default]
    AwaitingDispatch,
    /// 已派单.
    Dispatched,
    /// 已接单.
    Accepted,
    /// 已到场.
    OnSite,
    /// 已关阀.
    ValvesClosed,
    /// 开挖.
    Excavating,
    /// 已修复.
    Repaired,
    /// 已注水.
    Refilled,
    /// 已恢复.
    Restored,
    /// 待验证.
    AwaitingVerification,
    /// 关闭.
    Closed,
}

/// A pipe that may hold the leak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which.
    pub pipe: PipeId,
    /// Probability, 0 to 1; the candidates of an incident sum to at most 1.
    pub probability: f64,
}

/// One piece of evidence on an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Detector that states it.
    pub detector: String,
    /// Signal, site or circuit that shows it.
    pub place: String,
    /// What it shows: `pressure_drop`, `make_up_surge`, ...
    pub what: String,
    /// How much, in `unit`.
    pub value: f64,
    /// SI unit of `value`.
    pub unit: String,
    /// When it showed.
    pub at: EventTime,
}

/// One change of an incident: who, when and why. Every incident is the fold of its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// User or detector.
    pub by: String,
    /// Why, or what was said.
    pub reason: Option<String>,
}

/// What happened to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum ChangeKind {
    Opened,
    Updated,
    Escalated,
    Acknowledged,
    Shelved,
    Unshelved,
    OutOfService,
    BackInService,
    WorkMoved,
    Repaired,
    Verified,
    Reopened,
    Cleared,
}

/// An incident's whole state after a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Deterministic id.
    pub id: IncidentId,
    /// Rises by one with every change, from 1.
    pub version: u32,
    /// Network.
    pub network: NetworkId,
    /// Class.
    pub class: Class,
    /// Kind within the class.
    pub kind: Option<String>,
    /// Urgency.
    pub priority: Priority,
    /// Alarm state.
    pub alarm: AlarmState,
    /// Repair work's state.
    pub work: WorkState,
    /// Estimated onset.
    pub onset: EventTime,
    /// When it was opened, by the append clock.
    pub opened: AppendTime,
    /// When its state last changed, by the append clock.
    pub updated: AppendTime,
    /// When it was cleared.
    pub cleared: Option<AppendTime>,
    /// End of a shelving.
    pub shelved_until: Option<EventTime>,
    /// The most probable place: pipe, site or signal.
    pub place: Option<String>,
    /// Side of the place.
    pub side: Option<Side>,
    /// Ranked pipes.
    pub candidates: Vec<Candidate>,
    /// The sites behind the smallest branch that explains the findings, where no single pipe can be named.
    pub branch: Vec<SiteId>,
    /// Estimated loss, kg/s.
    pub loss_kg_s: Option<f64>,
    /// The same as volume, m3/h, at the temperature of the side where it is lost.
    pub loss_m3_h: Option<f64>,
    /// Stations affected.
    pub affected: Vec<SiteId>,
    /// Households behind them; absent where the plant model tells none.
    #[serde(default)]
    pub affected_households: Option<u32>,
    /// Trench to search, m: that of the candidates up to 80 % of the probability, supply and return counted once.
    #[serde(default)]
    pub search_length_m: Option<f64>,
    /// Valves to close.
    pub valves: Vec<ValveId>,
    /// Findings that this cause explains, listed and not paged.
    pub effects: Vec<String>,
    /// Why.
    pub evidence: Vec<Evidence>,
    /// Strength of the evidence in standard deviations or votes; see the detector.
    pub strength: f64,
    /// Level of plant model that it was judged with.
    pub level: ModelLevel,
    /// What was missing when it was judged.
    pub lacked: Vec<String>,
    /// Text for the duty desk, Chinese.
    pub text_zh: String,
    /// Text for the duty desk, English.
    pub text_en: String,
}

impl Incident {
    /// An incident of its class's urgency of which nothing more is known, and which was not told yet: its first change makes
    /// it version 1.
    pub fn new(
        id: IncidentId,
        network: NetworkId,
        class: Class,
        onset: EventTime,
        opened: AppendTime,
    ) -> Self {
        Self {
            id,
            version: 0,
            network,
            class,
            kind: None,
            priority: class.priority(),
            alarm: AlarmState::Unacknowledged,
            work: WorkState::default(),
            onset,
            opened,
            updated: opened,
            cleared: None,
            shelved_until: None,
            place: None,
            side: None,
            candidates: Vec::new(),
            branch: Vec::new(),
            loss_kg_s: None,
            loss_m3_h: None,
            affected: Vec::new(),
            affected_households: None,
            search_length_m: None,
            valves: Vec::new(),
            effects: Vec::new(),
            evidence: Vec::new(),
            strength: 0.0,
            level: ModelLevel::L0,
            lacked: Vec::new(),
            text_zh: String::new(),
            text_en: String::new(),
        }
    }
}

/// A change with the state it led to; what `heat.incident-events.v1` carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentEvent {
    /// Offset of the input record that caused it, in the network's partition.
    pub input_offset: Offset,
    /// Its place among the outputs of that record.
    pub ordinal: u32,
    /// When, by the append clock.
    pub at: AppendTime,
    /// What happened.
    pub change: Change,
    /// The state after it.
    pub incident: Incident,
}
