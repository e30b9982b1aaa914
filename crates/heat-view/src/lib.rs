//! What is true at present: the last reading of every signal, the incidents, and what people said, as folds of the log's
//! topics.
//!
//! Is: the tables ([`live::LiveTable`], [`board::IncidentBoard`], [`desk::Desk`], [`recent::RecentReadings`]) and the
//! step from a record's bytes into them ([`feed`]). Is not: I/O, a clock (`now` is an argument), history (the archive), or a judge of anything.
//!
//! Invariants:
//! - A value past its deadline is not current; every signal has a deadline of its own, learned from its arrivals.
//! - An older state never replaces a newer one, in whatever order and however often records are read: repeats and
//!   redeliveries need no check of their own here.
//! - Homes are kept out at the door ([`privacy::Privacy`]): nothing that reads these tables can show them.
//! - Of rooms only counts come out, for ten homes or more ([`rooms::RoomTable`]).
//! - All tables are bounded, and what a bound refuses is counted. What can be seen is ordered.
//!
//! Start reading at [`live::LiveTable::apply`] and [`board::IncidentBoard::apply`].
#![warn(missing_docs)]

pub mod board;
pub mod desk;
pub mod feed;
pub mod interval;
pub mod live;
pub mod privacy;
pub mod quality;
pub mod recent;
pub mod rooms;
pub mod work;

pub use board::{Applied, BoardSettings, IncidentBoard};
pub use desk::{Desk, DeskSettings};
pub use live::{Current, LiveSettings, LiveTable, SignalEntry};
pub use privacy::Privacy;
pub use quality::AlarmQuality;
pub use recent::RecentReadings;
pub use rooms::RoomTable;
pub use work::Deadlines;
