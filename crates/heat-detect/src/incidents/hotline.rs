//! Which incident explains complaints, or what a site shows.

use heat_model::{
    IncidentId, SiteId,
    incident::{ChangeKind, Class, Incident},
};

use super::{Book, Kept, is_loss};
use crate::{
    DetectSettings, Finding, TicketCause,
    core::Emitter,
    tickets::{DETECTOR, Place},
};

/// A complaint may come so long before its incident's estimated onset: an estimate, and people feel first.
const LEAD_US: i64 = 3 * 3_600_000_000;

/// What explains a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Explains {
    pub(crate) incident: IncidentId,
    pub(crate) cause: TicketCause,
}

/// Whether an incident of this class leaves homes cold wherever they are in the network.
const fn is_everywhere(class: Class) -> bool {
    matches!(class, Class::NetworkThermal | Class::PumpTrip | Class::PowerFailure | Class::PressureRegime)
}

/// Whether an incident of this class is felt at the sites that it names.
const fn is_felt(class: Class, is_cold: bool) -> bool {
    is_loss(class)
        || (is_cold
            && (is_everywhere(class)
                || matches!(class, Class::ConsumerThermal | Class::Underheating | Class::FrostRisk)))
        || matches!(class, Class::ExchangerLeak)
}

fn names(incident: &Incident, site: &SiteId) -> bool {
    incident.affected.contains(site)
        || incident.branch.contains(site)
        || incident.place.as_deref() == Some(site.as_str())
}

impl Kept {
    fn explains(&self, site: Option<&SiteId>, is_cold: bool) -> bool {
        let incident = &self.incident;
        self.is_open()
            && is_felt(incident.class, is_cold)
            && ((is_cold && is_everywhere(incident.class)) || site.is_some_and(|site| names(incident, site)))
    }
}

impl Book {
    /// Whether an open incident that says more than that something is unusual explains what a site shows: it names the
    /// site or one of its signals, or water is being lost.
    pub(crate) fn knows_better(&self, site: &SiteId) -> bool {
        let is_of_site =
            |place: &str| place.strip_prefix(site.as_str()).is_some_and(|rest| rest.starts_with([' ', '/']));
        self.kept.iter().filter(|kept| kept.is_open() && kept.incident.class != Class::Unknown).any(|kept| {
            let incident = &kept.incident;
            (kept.active && is_loss(incident.class))
                || names(incident, site)
                || incident.place.as_deref().is_some_and(is_of_site)
        })
    }

    /// The open incident of the plant that is felt at most of these sites, as index.
    pub(crate) fn explaining<'a>(
        &self,
        sites: impl Iterator<Item = &'a SiteId> + Clone,
        is_cold: bool,
    ) -> Option<usize> {
        let count = sites.clone().count();
        self.kept.iter().rposition(|kept| {
            let felt = sites.clone().filter(|site| kept.explains(Some(site), is_cold)).count();
            count > 0 && 2 * felt > count
        })
    }

    /// What explains a ticket at a place: an incident of the plant, else a cluster there.
    pub(crate) fn explain(&self, place: Option<&Place>, is_cold: bool, at_us: i64) -> Option<Explains> {
        let site = match place {
            Some(Place::Site(site)) => Some(site),
            Some(Place::Area(_)) | None => None,
        };
        let is_in_time = |kept: &&Kept| at_us >= kept.incident.onset.as_micros() - LEAD_US;
        let of = |kept: &Kept, cause| Explains { incident: kept.incident.id, cause };
        let in_time = || self.kept.iter().rev().filter(is_in_time);
        in_time().find(|kept| kept.explains(site, is_cold)).map(|kept| of(kept, TicketCause::Plant)).or_else(
            || {
                in_time()
                    .find(|kept| kept.is_open() && is_cluster_of(&kept.incident, place, is_cold))
                    .map(|kept| of(kept, TicketCause::Suspected))
            },
        )
    }

    /// Complaints cluster where an incident is felt: they are evidence of it.
    pub(crate) fn support(
        &mut self,
        settings: &DetectSettings,
        index: usize,
        cluster: &Finding,
        emit: &mut Emitter<'_>,
    ) {
        let wait_us = i64::try_from(settings.update_interval.as_micros()).unwrap_or(i64::MAX);
        let incident = &mut self.kept[index].incident;
        let known = incident.evidence.iter().find(|evidence| evidence.detector == DETECTOR);
        if known.is_some_and(|evidence| emit.now().as_micros() - evidence.at.as_micros() < wait_us) {
            return;
        }
        incident.evidence.retain(|evidence| evidence.detector != DETECTOR);
        incident.evidence.extend(cluster.evidence.iter().cloned());
        self.say(index, ChangeKind::Updated, DETECTOR, Some("complaints".to_owned()), emit);
    }
}

fn is_cluster_of(incident: &Incident, place: Option<&Place>, is_cold: bool) -> bool {
    if incident.class != Class::TicketCluster || (incident.kind.as_deref() == Some("cold")) != is_cold {
        return false;
    }
    let everywhere = incident.place.is_none() && incident.branch.is_empty();
    everywhere
        || match place {
            Some(Place::Site(site)) => names(incident, site),
            Some(Place::Area(area)) => incident.place.as_ref() == Some(area),
            None => false,
        }
}
