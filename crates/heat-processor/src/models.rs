//! The plant models that the log activates, read from the log itself.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use heat_codec::plant::published::{PublishedError, Shelf};
use heat_log::{Log, ReadError, topics};
use heat_model::{
    PartitionId,
    plant::{PlantHash, PlantModel},
};
use heat_runtime::{Shutdown, admin::Health, tasks::Chain};

/// Models kept in memory: partitions come to the same activation one after the other.
const KEPT: usize = 2;
/// Between two looks for a model that is not there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two lines that say so.
const SAY_EVERY: u32 = 30;

/// The models of `heat.plant.v1`.
#[derive(Debug)]
pub(crate) struct Models {
    log: Log,
    kept: Mutex<VecDeque<(PlantHash, Arc<PlantModel>)>>,
}

impl Models {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, kept: Mutex::new(VecDeque::new()) }
    }

    /// A model by its hash. Waits for it, however long it is not there, and says so: without it, what follows in the
    /// log must not be judged. `None` once shutdown has begun.
    pub(crate) async fn get(
        &self,
        model: PlantHash,
        health: (&Health, &'static str),
        shutdown: &Shutdown,
    ) -> Result<Option<Arc<PlantModel>>, ReadError> {
        let (health, part) = health;
        let mut looks = 0;
        loop {
            let found = match self.look(model).await? {
                Ok(found) => found,
                Err(error) => {
                    if looks % SAY_EVERY == 0 {
                        tracing::error!(%model, error = %Chain(&error), "the plant model cannot be used; waiting for it");
                    }
                    None
                }
            };
            if let Some(found) = found {
                if looks > 0 {
                    health.set(part, true, "");
                    tracing::info!(%model, "the plant model is there; going on");
                }
                return Ok(Some(found));
            }
            if looks == 0 {
                health.set(part, false, format!("{{\"waiting_for_plant_model\":\"{model}\"}}"));
            }
            if looks % SAY_EVERY == 0 {
                tracing::warn!(
                    %model,
                    topic = topics::PLANT,
                    "the log activates a plant model that is not there; start a gateway with its tables"
                );
            }
            looks += 1;
            tokio::select! {
                () = shutdown.begun() => return Ok(None),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn look(
        &self,
        model: PlantHash,
    ) -> Result<Result<Option<Arc<PlantModel>>, PublishedError>, ReadError> {
        let known = self.lock().iter().find(|(kept, _)| *kept == model).map(|(_, known)| Arc::clone(known));
        if known.is_some() {
            return Ok(Ok(known));
        }
        let mut shelf = Shelf::default();
        for record in self.log.whole_in_time(topics::PLANT, PartitionId(0)).await? {
            if let Some(key) = &record.key {
                shelf.apply(key, &record.payload);
            }
        }
        let found = match shelf.model(model) {
            Ok(found) => found.map(Arc::new),
            Err(error) => return Ok(Err(error)),
        };
        if let Some(found) = &found {
            let mut kept = self.lock();
            kept.truncate(KEPT - 1);
            kept.push_front((model, Arc::clone(found)));
        }
        Ok(Ok(found))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(PlantHash, Arc<PlantModel>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
