//! Rooms at the promised temperature: a share of each scope, and of each community by the hour of the day.

use std::collections::BTreeMap;

use heat_model::{NetworkId, SiteId};
use heat_view::rooms::HOMES_MIN;
use serde::Serialize;

use crate::{
    figure::count,
    ground::{Ground, Scope},
    hours::{DAY_HOURS, Home, Hours},
};

/// What can be said of homes together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RoomShare {
    /// The part of the home-hours at the promised temperature or above, 0 to 1.
    pub share: f64,
    /// Those home-hours; an hour counts by its mean.
    pub warm: u64,
    /// Home-hours measured.
    pub measured: u64,
    /// Homes measured.
    pub homes: u64,
}

#[derive(Debug, Default)]
struct Counted {
    warm: u64,
    measured: u64,
    homes: u64,
}

impl Counted {
    /// A home more, if it was measured.
    fn add(&mut self, warm: u32, measured: u32) {
        self.warm += u64::from(warm);
        self.measured += u64::from(measured);
        self.homes += u64::from(measured > 0);
    }

    /// Only of [`HOMES_MIN`] homes or more.
    fn told(self) -> Option<RoomShare> {
        let Self { warm, measured, homes } = self;
        let share = count(warm) / count(measured);
        (homes >= HOMES_MIN as u64).then_some(RoomShare { share, warm, measured, homes })
    }
}

/// A community's rooms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommunityRow {
    /// Its network.
    pub network: NetworkId,
    /// The station that feeds it; where the tables name none, the site above the homes.
    pub community: SiteId,
    /// What people call it.
    pub name: Option<String>,
    /// The told hours together.
    pub all: RoomShare,
    /// By the hour of the day at the report's clock, from 0; absent below ten homes.
    pub hours: [Option<RoomShare>; DAY_HOURS],
}

/// Every scope's rooms, where it has ten homes or more.
pub(crate) fn of_scopes(hours: &Hours, ground: &Ground<'_>) -> BTreeMap<Scope, RoomShare> {
    let mut counts: BTreeMap<Scope, Counted> = BTreeMap::new();
    for (network, site, home) in hours.homes() {
        let (warm, measured) = (home.warm.iter().sum(), home.measured.iter().sum());
        for scope in ground.scopes_of_site(network, Some(site)) {
            counts.entry(scope).or_default().add(warm, measured);
        }
    }
    counts.into_iter().filter_map(|(scope, counted)| Some((scope, counted.told()?))).collect()
}

/// Communities of which any hour can be told, the one with the smallest share first.
pub(crate) fn communities(hours: &Hours, ground: &Ground<'_>) -> Vec<CommunityRow> {
    let mut homes: BTreeMap<(&NetworkId, &SiteId), Vec<&Home>> = BTreeMap::new();
    for (network, site, home) in hours.homes() {
        if let Some(community) = ground.community_of(site) {
            homes.entry((network, community)).or_default().push(home);
        }
    }
    let mut rows: Vec<CommunityRow> = homes
        .into_iter()
        .filter_map(|((network, community), homes)| {
            let hours = by_hour(&homes);
            let told = || (0..DAY_HOURS).filter(|hour| hours[*hour].is_some());
            let mut all = Counted::default();
            for home in homes {
                all.add(
                    told().map(|hour| home.warm[hour]).sum(),
                    told().map(|hour| home.measured[hour]).sum(),
                );
            }
            let name = ground.site_name(community.as_str()).map(str::to_owned);
            let (network, community) = (network.clone(), community.clone());
            Some(CommunityRow { network, community, name, all: all.told()?, hours })
        })
        .collect();
    // Stable: equal shares stay in the order of their ids.
    rows.sort_by(|one, other| one.all.share.total_cmp(&other.all.share));
    rows
}

fn by_hour(homes: &[&Home]) -> [Option<RoomShare>; DAY_HOURS] {
    std::array::from_fn(|hour| {
        let mut counted = Counted::default();
        homes.iter().for_each(|home| counted.add(home.warm[hour], home.measured[hour]));
        counted.told()
    })
}
