//! One partition's core and what it needs to be fed: admission, ticks, and the line below which all was said before.
//!
//! Pure: records in, outputs out. The role reads and publishes.

use std::sync::Arc;

use bytes::Bytes;
use heat_codec::envelope::{DecodeError, EnvelopeDecoder};
use heat_detect::{Output, PartitionCore};
use heat_ledger::{
    admission::{Admission, AdmissionCounts, Verdict},
    repeats::RepeatSettings,
};
use heat_model::{
    Body, Envelope, FreshMask, Offset, Position,
    plant::{PlantHash, PlantModel},
    record::NextOffset,
};

/// An output's place: the record that caused it, and its number among that record's outputs.
pub type OutputPlace = (Offset, u32);

/// The place of an output.
pub fn place(output: &Output) -> Option<OutputPlace> {
    match output {
        Output::Event(event) => Some((event.input_offset, event.ordinal)),
        Output::Refused(refusal) => Some((refusal.input_offset, refusal.ordinal)),
        Output::Ticket(link) => Some((link.input_offset, link.ordinal)),
        Output::Status(_) | Output::Forgotten(_) => None,
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was taken.
    Done,
    /// It activates a plant model that the core does not have, and was not taken.
    LacksModel(PlantHash),
}

/// One partition.
#[derive(Debug)]
pub struct Part {
    core: PartitionCore,
    decoder: EnvelopeDecoder,
    admission: Admission,
    fresh: FreshMask,
    resume: NextOffset,
    next: NextOffset,
    said: Option<OutputPlace>,
    suppressed: u64,
}

impl Part {
    /// Resumes at `resume` with a core restored there. Outputs up to `said` were published before.
    pub fn new(
        core: PartitionCore,
        repeats: RepeatSettings,
        resume: NextOffset,
        said: Option<OutputPlace>,
    ) -> Self {
        Self {
            core,
            decoder: EnvelopeDecoder::default(),
            admission: Admission::new(repeats),
            fresh: FreshMask::all(),
            resume,
            next: resume,
            said,
            suppressed: 0,
        }
    }

    /// Takes the next record and adds what is to be published. Records before the resume offset only feed the
    /// admission. A record that activates a plant model which the core was not offered is not taken: offer it with
    /// [`Self::offer_model`], and give the record again.
    pub fn take(
        &mut self,
        position: &Position,
        payload: Bytes,
        out: &mut Vec<Output>,
    ) -> Result<Taken, DecodeError> {
        let resumed = position.offset.0 >= self.resume.0;
        let decoded = self.decoder.decode(payload);
        if let (true, Ok(Envelope { body: Body::ModelActivated(model), .. })) = (resumed, &decoded)
            && !self.core.has_model(*model)
        {
            return Ok(Taken::LacksModel(*model));
        }
        if resumed {
            self.next = position.offset.next();
        }
        let envelope = decoded?;
        self.take_envelope(position, &envelope, out);
        if let Body::ModelActivated(model) = envelope.body
            && self.core.model() == Some(model)
        {
            self.core.withdraw_models();
        }
        Ok(Taken::Done)
    }

    /// Makes a plant model known that a record activates.
    pub fn offer_model(&mut self, hash: PlantHash, plant: Arc<PlantModel>) {
        self.core.offer_model(hash, plant);
    }

    /// Takes the next record as [`Self::take`] does, where it needs no decoding: from the archive or from recorded data.
    pub fn take_envelope(&mut self, position: &Position, envelope: &Envelope, out: &mut Vec<Output>) {
        let resumed = position.offset.0 >= self.resume.0;
        if resumed {
            self.next = position.offset.next();
        }
        let verdict = self.admission.observe(position.offset, envelope, &mut self.fresh);
        if !resumed {
            return;
        }
        let first = out.len();
        self.tick_to(position.append_time.second(), out);
        if verdict == Verdict::Take {
            self.core.observe(position, envelope, &self.fresh, out);
        }
        self.suppress(first, out);
    }

    /// One tick for every second crossed since the record before.
    fn tick_to(&mut self, second: i64, out: &mut Vec<Output>) {
        let now = self.core.now();
        if now.as_micros() == 0 {
            return;
        }
        for crossed in now.second() + 1..=second {
            self.core.tick(crossed, out);
        }
    }

    fn suppress(&mut self, first: usize, out: &mut Vec<Output>) {
        let Some(said) = self.said else { return };
        let before = out.len();
        let mut index = 0;
        out.retain(|output| {
            index += 1;
            index <= first || place(output).is_none_or(|place| place > said)
        });
        self.suppressed += (before - out.len()) as u64;
    }

    /// The core alone.
    pub fn into_core(self) -> PartitionCore {
        self.core
    }

    /// The core.
    pub fn core(&self) -> &PartitionCore {
        &self.core
    }

    /// The first offset not yet taken.
    pub fn next_offset(&self) -> NextOffset {
        self.next
    }

    /// What the admission counted.
    pub fn admitted(&self) -> AdmissionCounts {
        self.admission.counts()
    }

    /// Outputs that were published before the restart.
    pub fn suppressed(&self) -> u64 {
        self.suppressed
    }
}
