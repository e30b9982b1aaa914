//! Tickets: citizens' repair requests and complaints (报修/投诉). They hold no person's data.

use serde::{Deserialize, Serialize};

use crate::{ids::SiteId, time::EventTime};

/// What the caller reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketKind {
    /// A cold home.
    Cold,
    /// Water where it should not be.
    Leak,
    /// Noise.
    Noise,
    /// Water quality.
    WaterQuality,
    /// Anything else.
    Other,
}

/// What a call back (回访) to the caller of a closed ticket gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUpOutcome {
    /// The caller is content.
    Satisfied,
    /// What the caller reported is still so.
    NotResolved,
    /// Nobody could be reached; the call is still due.
    NotReached,
}

impl FollowUpOutcome {
    /// Whether somebody answered.
    pub const fn is_reached(self) -> bool {
        !matches!(self, Self::NotReached)
    }
}

/// A ticket as the hotline hands it over, after masking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// Unique within the hotline.
    pub id: String,
    /// When it was taken.
    pub time: EventTime,
    /// What it is about.
    pub kind: TicketKind,
    /// The site it names, if any.
    pub site: Option<SiteId>,
    /// The area it names, if any.
    pub area: Option<String>,
    /// The hotline's own number, to answer with status and closing.
    pub external_id: Option<String>,
    /// Masked free text; off by default.
    pub text: Option<String>,
}
