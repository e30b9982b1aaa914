//! The frames of one site: its readings, gathered in steps of its own rhythm.

use serde::{Deserialize, Serialize};

use super::{
    alone::{Alone, DAY_US, Shape},
    episodes::Episodes,
    model::{GAP_FRAMES, Judged, Model, WINDOW},
};

/// Steps that a site may have, seconds.
const STEPS: [i64; 6] = [1, 10, 60, 300, 900, 3_600];
/// Step of a source or station that the plant model or its signals' names tell: what moves faster is for other
/// detectors.
const PLANT_STEP_S: i64 = 900;
/// Intervals looked at before the step is chosen.
const RHYTHM_INTERVALS: u32 = 48;
/// A value stands for a silent signal for so many steps.
const HOLD_STEPS: i64 = 4;
/// Fewer signals do not tell of each other: each is held against its own past.
const TOGETHER_MIN: usize = 3;
/// Least difference between supply and return with which heat is delivered, K.
const DELIVERS_K: f64 = 2.0;
/// After so long without delivering, last season's behaviour is a prior only, microseconds.
const REST_US: i64 = 3 * 86_400_000_000;
/// What is listed needs so long a past, microseconds: in less, no site was seen in all that it usually does.
const LIST_US: i64 = DAY_US;
/// An incident stays until its site was well for so long, microseconds.
const WELL_US: i64 = 2 * 86_400_000_000;

/// One signal of a site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Column {
    pub(super) key: u32,
    is_counter: bool,
    at_us: i64,
    value: f64,
    /// What holds now: the value, or a counter's rate.
    level: f64,
    level_us: i64,
    sum: f64,
    count: u32,
}

/// Columns of supply and return temperature of one circuit: heat flows only where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) supply: Option<u8>,
    pub(super) back: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Site {
    pub(super) columns: Vec<Column>,
    pub(super) is_plant: bool,
    /// Whether a signal has a standard name.
    pub(super) is_standard: bool,
    /// Primary and secondary.
    pub(super) pairs: [Pair; 2],
    rhythm: [u32; STEPS.len()],
    step_s: Option<i64>,
    frame: Option<i64>,
    /// Whether a live reading is in the open frame.
    live: bool,
    delivered_us: i64,
    /// Start of the first frame.
    first_us: Option<i64>,
    model: Option<Model>,
    alone: Option<Alone>,
    episodes: Episodes,
    /// The episode that is on.
    off: Option<Off>,
    listed: bool,
    off_until_us: i64,
    #[serde(skip)]
    pub(super) last: Option<Frame>,
}

/// An episode that is on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Off {
    /// Its start, microseconds.
    since_us: i64,
    /// It began at several sites at once.
    is_common: bool,
}

/// A frame that was closed, for onlookers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub(super) start_us: i64,
    pub(super) judged: Option<Judged>,
}

/// What a closed frame changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    /// The deviation is worth listing.
    List { since_us: i64, judged: Judged },
    /// It has been well for long.
    Well,
}

impl Site {
    pub(super) fn new() -> Self {
        let none = Pair { supply: None, back: None };
        Self {
            columns: Vec::new(),
            is_plant: false,
            is_standard: false,
            pairs: [none; 2],
            rhythm: [0; STEPS.len()],
            step_s: None,
            frame: None,
            live: false,
            delivered_us: i64::MIN,
            first_us: None,
            model: None,
            alone: None,
            episodes: Episodes::default(),
            off: None,
            listed: false,
            off_until_us: 0,
            last: None,
        }
    }

    /// Adds a signal: what was learned without it is learned anew.
    pub(super) fn add(&mut self, key: u32, is_counter: bool) -> usize {
        self.columns.push(Column {
            key,
            is_counter,
            at_us: i64::MIN,
            value: 0.0,
            level: f64::NAN,
            level_us: i64::MIN,
            sum: 0.0,
            count: 0,
        });
        self.model = None;
        self.alone = None;
        self.frame = None;
        self.last = None;
        self.end_episode();
        self.columns.len() - 1
    }

    pub(super) fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// Whether its signals are too few to tell of each other.
    fn is_alone(&self) -> bool {
        self.columns.len() < TOGETHER_MIN
    }

    fn shape(&self) -> Shape {
        let signals = self.columns.len();
        if self.is_alone() { Shape::alone(signals) } else { Shape::together(signals) }
    }

    /// The signal's key that a column of the model is of.
    pub(super) fn key_of(&self, column: usize) -> u32 {
        self.columns[self.shape().signal(column)].key
    }

    /// Whether what is off is listed: signals of a standard name that stand alone have detectors of their own, and are
    /// judged for onlookers only.
    pub(super) fn lists(&self) -> bool {
        !(self.is_alone() && self.is_standard)
    }

    pub(super) fn is_off(&self) -> bool {
        self.off.is_some()
    }

    /// Whether the episode that is on began less than a window before this time.
    pub(super) fn began_with(&self, at_us: i64) -> bool {
        let window_us = self.step_us().map_or(0, |step| WINDOW as i64 * step);
        self.off.is_some_and(|off| at_us - off.since_us <= window_us)
    }

    /// What is on began at several sites at once, and is none of its own, however long it lasts here.
    pub(super) fn share(&mut self) {
        if let Some(off) = &mut self.off {
            off.is_common = true;
        }
    }

    fn end_episode(&mut self) {
        self.off = None;
        self.episodes.end();
    }

    pub(super) fn step_us(&self) -> Option<i64> {
        self.step_s.map(|step| step * 1_000_000)
    }

    /// Takes a value; closes a frame if it belongs to a later one. `may_list` is false while most sites are off.
    pub(super) fn observe(
        &mut self,
        column: usize,
        at_us: i64,
        value: f64,
        live: bool,
        per_month: f64,
        may_list: bool,
    ) -> Option<Change> {
        let gathered = &mut self.columns[column];
        if at_us <= gathered.at_us {
            return None;
        }
        let before = (gathered.at_us, gathered.value);
        gathered.at_us = at_us;
        gathered.value = value;
        if before.0 == i64::MIN {
            if gathered.is_counter {
                return None;
            }
        } else {
            self.note_rhythm(at_us - before.0);
        }
        let gathered = &mut self.columns[column];
        let level = if gathered.is_counter {
            let rate = (value - before.1) / ((at_us - before.0) as f64 / 1e6);
            if rate < 0.0 {
                return None;
            }
            rate
        } else {
            value
        };
        let step_us = self.step_us()?;
        let frame = at_us.div_euclid(step_us);
        let change = match self.frame {
            Some(open) if frame > open => {
                let change = self.close(open, step_us, per_month, may_list);
                if frame - open > GAP_FRAMES {
                    self.model.iter_mut().for_each(Model::break_window);
                    self.alone.iter_mut().for_each(Alone::break_window);
                }
                self.frame = Some(frame);
                change
            }
            // A value that comes a little late counts in the open frame.
            Some(open) if frame + 1 < open => return None,
            Some(_) => None,
            None => {
                self.frame = Some(frame);
                None
            }
        };
        let gathered = &mut self.columns[column];
        gathered.level = level;
        gathered.level_us = at_us;
        gathered.sum += level;
        gathered.count += 1;
        self.live |= live;
        change
    }

    /// The step is the shortest that three of four intervals fit into.
    fn note_rhythm(&mut self, interval_us: i64) {
        if self.step_s.is_some() {
            return;
        }
        let class = STEPS.iter().position(|step| interval_us <= step * 1_500_000).unwrap_or(STEPS.len() - 1);
        self.rhythm[class] += 1;
        let total: u32 = self.rhythm.iter().sum();
        if total >= RHYTHM_INTERVALS {
            let mut below = 0;
            for (count, step) in self.rhythm.iter().zip(STEPS) {
                below += count;
                if 4 * below >= 3 * total {
                    self.step_s = Some(if self.is_plant { step.max(PLANT_STEP_S) } else { step });
                    break;
                }
            }
        }
    }

    fn close(&mut self, open: i64, step_us: i64, per_month: f64, may_list: bool) -> Option<Change> {
        let start_us = open * step_us;
        let hold_us = HOLD_STEPS * step_us;
        let mut values = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let held = (start_us + step_us).saturating_sub(column.level_us) <= hold_us;
            values.push(if column.count > 0 {
                column.sum / f64::from(column.count)
            } else if held {
                column.level
            } else {
                f64::NAN
            });
            column.sum = 0.0;
            column.count = 0;
        }
        let live = std::mem::take(&mut self.live);
        let signals = values.len();
        let (shape, is_alone) = (self.shape(), self.is_alone());
        let may_list = may_list && self.lists();
        let model = self.model.get_or_insert_with(|| Model::new(shape));
        if !delivers(&self.pairs, &values) {
            model.break_window();
            self.last = Some(Frame { start_us, judged: None });
            return self.well(start_us);
        }
        if self.delivered_us != i64::MIN && start_us - self.delivered_us > REST_US {
            model.resume();
            self.off = None;
            self.episodes.end();
        }
        self.delivered_us = start_us;
        let may_list = may_list && start_us - *self.first_us.get_or_insert(start_us) >= LIST_US;
        let judged = if is_alone {
            let alone = self.alone.get_or_insert_with(|| Alone::new(signals));
            let judged = model.take(&alone.frame(start_us, step_us, &values));
            // What lasts for a day is where the signal stands now.
            let is_new = i64::from(model.off_frames()) * step_us > DAY_US;
            let is_off = !is_new && judged.is_some_and(|judged| judged.off);
            let error = |signal| if is_off { model.error(signal) } else { 0.0 };
            let usual = values.iter().enumerate().map(|(signal, value)| value - error(signal));
            alone.take(start_us, step_us, usual);
            judged
        } else {
            model.take(&values)
        };
        let judged = judged.filter(|_| live);
        self.last = Some(Frame { start_us, judged });
        self.follow(start_us, judged?, per_month * step_us as f64 / MONTH_US, may_list)
    }

    fn follow(&mut self, start_us: i64, judged: Judged, budget: f64, may_list: bool) -> Option<Change> {
        if judged.relearns {
            self.end_episode();
            return std::mem::take(&mut self.listed).then_some(Change::Well);
        }
        if !judged.off {
            self.off = None;
            self.episodes.take(None, budget);
            return self.well(start_us);
        }
        let Off { since_us, is_common } =
            *self.off.get_or_insert(Off { since_us: start_us, is_common: false });
        let counts = may_list && !judged.most && !is_common;
        let heavy = self.episodes.take(Some(if counts { judged.deviate } else { 0.0 }), budget);
        if self.listed {
            self.off_until_us = start_us;
        }
        if !heavy || !counts {
            return None;
        }
        self.listed = true;
        self.off_until_us = start_us;
        Some(Change::List { since_us, judged })
    }

    fn well(&mut self, at_us: i64) -> Option<Change> {
        if self.listed && at_us - self.off_until_us >= WELL_US {
            self.listed = false;
            return Some(Change::Well);
        }
        None
    }
}

const MONTH_US: f64 = 30.0 * 86_400.0 * 1e6;

/// Whether every circuit whose supply and return are known delivers heat; a site that tells neither does.
fn delivers(pairs: &[Pair], values: &[f64]) -> bool {
    let value = |column: Option<u8>| {
        column.and_then(|column| values.get(usize::from(column))).copied().filter(|value| !value.is_nan())
    };
    pairs.iter().all(|pair| match (value(pair.supply), value(pair.back)) {
        (Some(supply), Some(back)) => supply - back >= DELIVERS_K,
        _ => true,
    })
}
