//! Everything that comes to the gateway's loop, one at a time.

use heat_mqtt::LinkEvent;
use tokio::{sync::mpsc, time::Interval};

use crate::{
    plant::{PlantChange, PlantFeed},
    requeue::{Requeued, Requeues},
};

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something happened on a link.
    Link(LinkEvent),
    /// A dead letter is to be taken again.
    Requeued(Box<Requeued>),
    /// A plant model is to take effect.
    Plant(PlantChange),
    /// It is time for a canary.
    Canary,
    /// The links have ended: nothing more comes.
    End,
}

/// Where inputs come from.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) events: mpsc::Receiver<LinkEvent>,
    pub(crate) requeues: Requeues,
    pub(crate) plant: PlantFeed,
    pub(crate) canary: Option<Interval>,
}

impl Inputs {
    /// The next of them. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Input {
        let Self { events, requeues, plant, canary } = self;
        let requeued = async {
            match requeues.next().await {
                Some(requeued) => Box::new(requeued),
                // The feed has ended; what it did not hand over stays on the log.
                None => std::future::pending().await,
            }
        };
        let canary = async {
            match canary {
                Some(interval) => drop(interval.tick().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.recv() => event.map_or(Input::End, Input::Link),
            requeued = requeued => Input::Requeued(requeued),
            change = plant.next() => Input::Plant(change),
            () = canary => Input::Canary,
        }
    }
}
