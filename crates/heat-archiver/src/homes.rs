//! Follows which plant model is in force: it tells which signals belong to homes.

use std::sync::Arc;

use heat_archive::Households;
use heat_log::{
    ConsumerSettings, Log, ReadError,
    follow::{Follow, FollowEvent, ReadBack},
    topics,
};
use heat_model::plant::PlantModel;
use heat_runtime::{Shutdown, tasks::Chain};
use heat_view::{Privacy, feed::PlantFeed};
use tokio::sync::watch;

/// What a plant model says of homes.
pub(crate) fn households(plant: &PlantModel) -> Households {
    let privacy = Privacy::new(plant);
    Arc::new(move |set, index| privacy.is_private(set, index))
}

/// Tells each new model's homes until shutdown.
pub(crate) async fn follow(
    log: Log,
    homes: watch::Sender<Households>,
    shutdown: Shutdown,
) -> Result<(), ReadError> {
    let mut follow = Follow::open(&log, topics::PLANT, ReadBack::All, ConsumerSettings::default()).await?;
    let mut feed = PlantFeed::default();
    loop {
        let event = tokio::select! {
            () = shutdown.begun() => return Ok(()),
            event = follow.next() => event?,
        };
        match event {
            FollowEvent::Records { records, .. } => {
                for record in records {
                    let Some(key) = &record.key else { continue };
                    match feed.apply(key, &record.payload) {
                        Ok(Some((_, plant))) => {
                            homes.send_replace(households(&plant));
                        }
                        Ok(None) => {}
                        Err(error) => {
                            tracing::warn!(error = %Chain(&error), "a plant model cannot be used; the one before stays");
                        }
                    }
                }
            }
            FollowEvent::CaughtUp => {}
            FollowEvent::Trouble(error) => {
                tracing::warn!(error = %Chain(&error), "reading plant models met an error and goes on");
            }
        }
    }
}
