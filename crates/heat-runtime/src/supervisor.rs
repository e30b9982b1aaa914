//! What the supervisor (systemd, `Type=notify`) is told: ready, alive, stopping, and in words what is not ready.
//!
//! Alive means that the process still runs its tasks. What it waits for (a log that does not answer) is readiness, and
//! no reason to start it anew. Without a supervisor nothing happens.

use std::{convert::Infallible, time::Duration};

use sd_notify::NotifyState;

use crate::{Shutdown, admin::Health};

/// How often the words are renewed where no watchdog asks for more.
const RENEW: Duration = Duration::from_secs(5);

/// Says `READY=1` at once, so call it when everything is bound and opened; then keeps the watchdog quiet until shutdown.
pub async fn report(health: Health, shutdown: Shutdown) -> Result<(), Infallible> {
    say(&[NotifyState::Ready]);
    // Half of the watchdog's time, as systemd advises.
    let pause = sd_notify::watchdog_enabled().map_or(RENEW, |limit| RENEW.min(limit / 2));
    let mut interval = tokio::time::interval(pause);
    loop {
        tokio::select! {
            () = shutdown.begun() => {
                say(&[NotifyState::Stopping]);
                return Ok(());
            }
            _ = interval.tick() => say(&[NotifyState::Watchdog, NotifyState::Status(&status(&health))]),
        }
    }
}

fn status(health: &Health) -> String {
    let unready = health.unready();
    if unready.is_empty() { "ready".to_owned() } else { format!("not ready: {}", unready.join(", ")) }
}

/// A message that cannot be given is no reason to end: the supervisor's watchdog judges that.
fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the supervisor takes no message");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_names_what_is_not_ready() {
        let health = Health::default();
        assert_eq!(status(&health), "ready");
        health.set("archiver", false, "");
        health.set("gateway", true, "");
        assert_eq!(status(&health), "not ready: archiver");
    }
}
