//! Asking for a letter to be taken again: why it may not be, and the request into the log.

use std::time::Duration;

use bytes::Bytes;
use heat_codec::{
    dead_letter::{DeadLetter, LetterId},
    requeue::{Request, Requeue},
};
use heat_ledger::durable::{Marks, Ticket};
use heat_log::{AppendError, Appender, partition_of, topics};
use heat_model::IngestTime;

/// Why a letter is not taken again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No letter has this name, in the log or in the archive.
    NotFound,
    /// It was a ticket: its payload was not kept.
    Ticket,
    /// It was a Sparkplug message.
    Sparkplug,
    /// It was asked for before.
    AskedBefore,
    /// A request has no room for it.
    TooLarge,
}

impl Refusal {
    /// The word for clients.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Ticket => "ticket",
            Self::Sparkplug => "sparkplug",
            Self::AskedBefore => "asked_before",
            Self::TooLarge => "too_large",
        }
    }

    /// Why, for people.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::NotFound => "no dead letter of this name is in the log or in the archive",
            Self::Ticket => {
                "a ticket may tell of a person, so only the reason and a hash of it were kept: ask the hotline to send \
                 it again"
            }
            Self::Sparkplug => {
                "a Sparkplug message means something only within its node's session, whose aliases may have changed: \
                 ask the node for a rebirth"
            }
            Self::AskedBefore => {
                "it was asked for before, and what it held may be in the archive; say `again` if it is to be taken \
                 nevertheless"
            }
            Self::TooLarge => "it is larger than a record of the log may be",
        }
    }

    /// Whether a letter may be taken again.
    pub(crate) fn of(letter: &DeadLetter, asked_before: bool, again: bool) -> Option<Self> {
        if letter.is_private() {
            Some(Self::Ticket)
        } else if letter.topic.starts_with("spBv1.0/") {
            Some(Self::Sparkplug)
        } else if asked_before && !again {
            Some(Self::AskedBefore)
        } else {
            None
        }
    }
}

/// The request for a letter.
pub(crate) fn request(id: LetterId, letter: DeadLetter, asked_by: &str, asked: IngestTime) -> Request {
    let partly = letter.messages == 0;
    let mut untaken: Vec<String> = Vec::new();
    if partly {
        untaken.extend(letter.faults.into_iter().map(|fault| fault.place));
        untaken.sort_unstable();
        untaken.dedup();
    }
    Request {
        letter: id,
        first_received: letter.ingest_time,
        topic: letter.topic,
        payload: letter.payload,
        client: letter.client,
        user: letter.user,
        content_type: letter.content_type,
        user_properties: letter.user_properties,
        retained: letter.retained,
        untaken,
        asked_by: asked_by.to_owned(),
        asked,
    }
}

/// Requests are not durable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequeueError {
    /// The log refused one.
    #[error("the log did not take a request")]
    Append(#[from] AppendError),
    /// They are not durable yet; they may still become so.
    #[error("the log did not make the requests durable within {} s; they may still take effect", .waited.as_secs())]
    Slow {
        /// For so long.
        waited: Duration,
    },
}

/// Appends requests.
#[derive(Debug)]
pub(crate) struct Requeuer {
    appender: Appender,
    durable_max_wait: Duration,
    partitions: u32,
}

impl Requeuer {
    pub(crate) fn new(appender: Appender, durable_max_wait: Duration, partitions: u32) -> Self {
        Self { appender, durable_max_wait, partitions }
    }

    /// Appends all and returns once they are durable; gives the letters that have no room in a record.
    pub(crate) async fn submit(&self, requests: Vec<Request>) -> Result<Vec<LetterId>, RequeueError> {
        let work = async {
            let (mut tickets, mut too_large): (Vec<Ticket>, Vec<LetterId>) = (Vec::new(), Vec::new());
            for request in requests {
                let (letter, key) = (request.letter, Bytes::from(request.topic.clone()));
                let partition = partition_of(&key, self.partitions);
                let payload = Requeue::Request(request).encode();
                match self.appender.append(topics::REQUEUE, partition, Some(key), payload).await {
                    Ok(ticket) => tickets.push(ticket),
                    Err(AppendError::TooLarge { .. }) => too_large.push(letter),
                    Err(error) => return Err(error.into()),
                }
            }
            self.durable(&tickets).await?;
            Ok(too_large)
        };
        let waited = self.durable_max_wait;
        tokio::time::timeout(waited, work).await.unwrap_or(Err(RequeueError::Slow { waited }))
    }

    async fn durable(&self, tickets: &[Ticket]) -> Result<(), AppendError> {
        let (appender, mut marks) = (self.appender.clone(), Marks::default());
        loop {
            appender.read_marks(&mut marks);
            if tickets.iter().all(|&ticket| marks.covers(ticket)) {
                return Ok(());
            }
            appender.progressed().await?;
        }
    }

    /// Ends the appender, for shutdown.
    pub(crate) async fn close(&self, deadline: Duration) -> Result<bool, AppendError> {
        self.appender.close(deadline).await
    }
}
