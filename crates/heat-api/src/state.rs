//! What requests share.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use heat_archive::Archive;
use heat_codec::plant::Places;
use heat_log::Log;
use heat_model::{
    CircuitId, EventTime, NetworkId, NodeId, PipeId, SiteId,
    plant::{Circuit, Medium, Network, Node, Pipe, PlantModel, SeasonState, Site, SiteKind, Valve},
};
use heat_runtime::{Clock, admin::CatchUp};
use heat_view::{Desk, IncidentBoard, LiveTable, Privacy, RecentReadings};
use jiff::tz::TimeZone;
use tokio::sync::{Notify, Semaphore};

use crate::{
    auth::{Owner, Scope, User, Users, limit::Limiter, session::Sessions},
    commands::{Commander, Outcomes},
    console::map::layout::Layout,
    events::EventHub,
    letters::{LetterIndex, requeue::Requeuer},
    metrics::RoleMetrics,
    role::AuditSource,
    settings::Settings,
};

/// Everything behind the routes; cheap to clone.
pub(crate) type ApiState = Arc<Shared>;

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) users: Users,
    pub(crate) sessions: Sessions,
    /// Requests by user.
    pub(crate) requests: Limiter<Arc<str>>,
    /// Wrong tokens by where they come from.
    pub(crate) wrong_tokens: Limiter<IpAddr>,
    /// Replaced whole when another plant model is in force.
    pub(crate) plant: Mutex<Arc<PlantIndex>>,
    /// One table a partition of the input.
    pub(crate) tables: Vec<Mutex<LiveTable>>,
    pub(crate) board: Mutex<IncidentBoard>,
    pub(crate) desk: Mutex<Desk>,
    /// The newest readings, one queue a partition of the input.
    pub(crate) recent: Vec<Mutex<RecentReadings>>,
    pub(crate) hub: Mutex<EventHub>,
    /// What a city's management centre is told.
    pub(crate) city: Mutex<EventHub>,
    /// An incident changed: whoever writes the city's topic looks again.
    pub(crate) city_changed: Notify,
    pub(crate) outcomes: Outcomes,
    pub(crate) commander: Commander,
    pub(crate) log: Log,
    pub(crate) letters: Mutex<LetterIndex>,
    pub(crate) requeuer: Requeuer,
    pub(crate) archive: Option<Archive>,
    pub(crate) history: Arc<Semaphore>,
    pub(crate) audit: Option<AuditSource>,
    pub(crate) metrics: RoleMetrics,
    pub(crate) clock: Clock,
    pub(crate) catch_up: CatchUp,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Shared {
    /// The plant model in force.
    pub(crate) fn plant(&self) -> Arc<PlantIndex> {
        Arc::clone(&lock(&self.plant))
    }

    /// What a user sees, by the plant model in force.
    pub(crate) fn sight(&self, user: &User) -> Sight {
        Sight { scope: user.scope.clone(), plant: self.plant() }
    }

    /// What somebody sees who sees everything.
    pub(crate) fn whole_sight(&self) -> Sight {
        Sight { scope: Scope::default(), plant: self.plant() }
    }

    /// The present, as an event time.
    pub(crate) fn now(&self) -> EventTime {
        EventTime::from_micros(self.clock.now().as_micros())
    }

    /// The time zone that people at a network read.
    pub(crate) fn time_zone(&self, network: &NetworkId) -> TimeZone {
        let plant = self.plant();
        let named = plant.networks.get(network).and_then(|row| row.time_zone.as_deref());
        let zone = named.and_then(|name| TimeZone::get(name).ok());
        zone.unwrap_or_else(|| self.settings.time_zone.clone())
    }
}

/// Which networks a user sees.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    scope: Scope,
    plant: Arc<PlantIndex>,
}

impl Sight {
    /// Whether the network is seen.
    pub(crate) fn of(&self, network: &NetworkId) -> bool {
        self.scope.covers(self.plant.networks.get(network))
    }

    /// Whether what this owner has is seen.
    pub(crate) fn of_owner(&self, owner: Owner<'_>) -> bool {
        self.scope.covers_owner(owner)
    }
}

/// The plant model's rows by id.
#[derive(Debug, Default)]
pub(crate) struct PlantIndex {
    pub(crate) networks: BTreeMap<NetworkId, Network>,
    pub(crate) sites: BTreeMap<SiteId, Site>,
    pub(crate) circuits: BTreeMap<CircuitId, Circuit>,
    /// When circuits change their state, by the tables.
    pub(crate) calendars: BTreeMap<CircuitId, Vec<(EventTime, SeasonState)>>,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) pipes: BTreeMap<PipeId, Pipe>,
    pub(crate) valves: Vec<Valve>,
    pub(crate) privacy: Privacy,
    pub(crate) places: Places,
    /// Drawings, worked out when they are first asked for.
    layouts: Mutex<BTreeMap<NetworkId, Option<Arc<Layout>>>>,
}

impl PlantIndex {
    pub(crate) fn new(plant: &PlantModel) -> Self {
        Self {
            networks: plant.networks.iter().map(|row| (row.id.clone(), row.clone())).collect(),
            sites: plant.sites.iter().map(|row| (row.id.clone(), row.clone())).collect(),
            circuits: plant.circuits.iter().map(|row| (row.id.clone(), row.clone())).collect(),
            calendars: plant
                .circuits
                .iter()
                .map(|row| (row.id.clone(), plant.calendar(&row.network, Some(row))))
                .filter(|(_, calendar)| !calendar.is_empty())
                .collect(),
            nodes: plant.nodes.iter().map(|row| (row.id.clone(), row.clone())).collect(),
            pipes: plant.pipes.iter().map(|row| (row.id.clone(), row.clone())).collect(),
            valves: plant.valves.clone(),
            privacy: Privacy::new(plant),
            places: Places::new(plant),
            layouts: Mutex::default(),
        }
    }

    /// What flows in a circuit now.
    pub(crate) fn medium(&self, circuit: &Circuit) -> Medium {
        let of_network = || self.networks.get(&circuit.network)?.medium;
        circuit.medium.or_else(of_network).unwrap_or_default()
    }

    /// Who runs a network.
    pub(crate) fn owner(&self, network: &NetworkId) -> Owner<'_> {
        Owner::of_network(self.networks.get(network))
    }

    /// Who runs a site: its row says, else its network's.
    pub(crate) fn site_owner(&self, network: &NetworkId, site: &SiteId) -> Owner<'_> {
        self.owner(network).of_site(self.sites.get(site))
    }

    /// Whether something in a network, at these sites, concerns any owner that is wanted. The first site is its place and
    /// decides instead of the network.
    pub(crate) fn concerns(
        &self,
        network: &NetworkId,
        place: Option<&SiteId>,
        sites: &[SiteId],
        wanted: impl Fn(Owner<'_>) -> bool,
    ) -> bool {
        let own = |site: &SiteId| {
            let row = self.sites.get(site).filter(|row| row.operator.is_some() || row.district.is_some());
            row.map(|row| self.owner(network).of_site(Some(row)))
        };
        wanted(place.and_then(own).unwrap_or_else(|| self.owner(network)))
            || sites.iter().filter_map(own).any(&wanted)
    }

    /// How a network is drawn; nothing where it has no pipes.
    pub(crate) fn layout(&self, network: &NetworkId) -> Option<Arc<Layout>> {
        if !self.networks.contains_key(network) {
            // What nobody has entered is not remembered.
            return Layout::new(self, network).map(Arc::new);
        }
        let held = lock(&self.layouts).get(network).cloned();
        held.unwrap_or_else(|| {
            let made = Layout::new(self, network).map(Arc::new);
            lock(&self.layouts).insert(network.clone(), made.clone());
            made
        })
    }

    /// The pipes of a network's circuits.
    pub(crate) fn pipes_of<'a>(&'a self, network: &'a NetworkId) -> impl Iterator<Item = &'a Pipe> {
        let within = |pipe: &&Pipe| {
            self.circuits.get(&pipe.circuit).is_some_and(|circuit| circuit.network == *network)
        };
        self.pipes.values().filter(within)
    }

    /// Whether a pipe lies in a network.
    pub(crate) fn has_pipe(&self, network: &NetworkId, pipe: &PipeId) -> bool {
        let circuit = self.pipes.get(pipe).and_then(|pipe| self.circuits.get(&pipe.circuit));
        circuit.is_some_and(|circuit| circuit.network == *network)
    }

    /// The sites of a network that may be shown: all but homes.
    pub(crate) fn sites_of<'a>(&'a self, network: &'a NetworkId) -> impl Iterator<Item = &'a Site> {
        let shown =
            |site: &&Site| site.network.as_ref() == Some(network) && site.kind != Some(SiteKind::Household);
        self.sites.values().filter(shown)
    }

    /// A site as it may be shown: of a home, what it belongs to.
    pub(crate) fn shown_site(&self, id: &SiteId) -> Option<SiteId> {
        match self.sites.get(id) {
            Some(row) if row.kind == Some(SiteKind::Household) => row.parent.clone(),
            Some(_) | None => Some(id.clone()),
        }
    }

    /// What people call a site.
    pub(crate) fn site_name<'a>(&'a self, id: &'a SiteId) -> &'a str {
        self.sites.get(id).and_then(|site| site.name.as_deref()).unwrap_or(id.as_str())
    }

    /// What people call a network.
    pub(crate) fn network_name<'a>(&'a self, id: &'a NetworkId) -> &'a str {
        self.networks.get(id).and_then(|row| row.name.as_deref()).unwrap_or(id.as_str())
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
