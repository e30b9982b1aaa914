//! Shows incidents on the terminal as they happen.

use heat_detect::Output;
use heat_log::{Consumer, ConsumerSettings, Log, LogEvent, Membership, ReadError, Record, StartFrom, topics};
use heat_model::{
    NetworkId,
    incident::{Change, ChangeKind, Incident, IncidentEvent},
    label::Label,
};
use heat_runtime::Shutdown;
use tokio::sync::mpsc;

use crate::{incidents::line, out::say, up::demo::Labels};

/// Reads what processors publish from now on.
pub(super) struct Watcher {
    consumer: Consumer,
    labels: Labels,
    /// Tells the simulated city of repairs, where there is one.
    repaired: mpsc::Sender<NetworkId>,
}

impl Watcher {
    pub(super) async fn new(
        log: &Log,
        labels: Labels,
        repaired: mpsc::Sender<NetworkId>,
    ) -> Result<Self, ReadError> {
        let settings = ConsumerSettings::default();
        let mut consumer = log.consumer(topics::INCIDENT_EVENTS, Membership::All, settings).await?;
        let partitions = log.partitions(topics::INCIDENT_EVENTS).await.map_err(ReadError::Topic)?;
        let mut started = 0;
        while started < partitions {
            if let LogEvent::Assigned(partition) = consumer.next().await? {
                consumer.start(partition, StartFrom::End).await?;
                started += 1;
            }
        }
        Ok(Self { consumer, labels, repaired })
    }

    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), ReadError> {
        loop {
            let event = tokio::select! {
                () = shutdown.begun() => return Ok(()),
                event = self.consumer.next() => event?,
            };
            if let LogEvent::Records { records, .. } = event {
                for record in &records {
                    self.show(record);
                }
            }
        }
    }

    fn show(&self, record: &Record) {
        let Ok(Output::Event(event)) = serde_json::from_slice::<Output>(&record.payload) else { return };
        let IncidentEvent { change: Change { kind, .. }, incident, .. } = &event;
        if *kind == ChangeKind::Repaired {
            // Without a simulated city nobody listens; more repairs at once than it takes are no repairs.
            self.repaired.try_send(incident.network.clone()).ok();
        }
        match kind {
            ChangeKind::Updated => {}
            ChangeKind::Opened => {
                say(format!("OPENED   {}{}", line(&incident.into()), self.delay(incident)));
                say(format!("         {}", incident.text_zh));
                say(format!("         {}", incident.text_en));
            }
            ChangeKind::Escalated
            | ChangeKind::Acknowledged
            | ChangeKind::Shelved
            | ChangeKind::Unshelved
            | ChangeKind::OutOfService
            | ChangeKind::BackInService
            | ChangeKind::WorkMoved
            | ChangeKind::Repaired
            | ChangeKind::Verified
            | ChangeKind::Reopened
            | ChangeKind::Cleared => {
                say(format!("{:<8} {}", format!("{kind:?}").to_uppercase(), line(&incident.into())))
            }
        }
    }

    /// How long after the labelled onset it was raised; the simulated city knows the truth.
    fn delay(&self, incident: &Incident) -> String {
        let labels = self.labels.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let opened = incident.opened.as_event_now();
        let onset = labels
            .iter()
            .filter(|label| explains(label, incident) && label.start <= opened)
            .map(|label| label.start)
            .max();
        match onset {
            Some(onset) => format!("  raised {:.1} s after the onset", opened.since(onset).as_secs_f64()),
            None => String::new(),
        }
    }
}

fn explains(label: &Label, incident: &Incident) -> bool {
    label.network == incident.network && label.class.split('(').next() == Some(incident.class.as_str())
}
