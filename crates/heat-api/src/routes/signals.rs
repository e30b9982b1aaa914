//! `signals` and their history.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use heat_model::{EventTime, IngestTime, NetworkId, SignalId, SignalName, SiteId};
use heat_runtime::{config::parse_duration, tasks::Chain};
use heat_view::{Current, LiveSettings, SignalEntry};
use serde::Deserialize;

use crate::{
    auth::User,
    extract::StrictQuery,
    history::{self, HistoryError, Question},
    json::{ApiTime, History, LastReading, Page, SignalView},
    problem::Problem,
    state::{ApiState, lock},
};

/// How long a history request waits for its turn.
pub(crate) const TURN_MAX_WAIT: Duration = Duration::from_secs(2);

/// What clients see of a signal.
pub(crate) fn view(
    entry: &SignalEntry,
    current: Option<&Current>,
    settings: &LiveSettings,
    now: IngestTime,
) -> SignalView {
    let last = current.map(|current| LastReading {
        value: current.value.is_finite().then_some(current.value),
        quality: current.quality,
        quality_code: current.code,
        time: ApiTime(current.event_time),
        received: ApiTime::from_micros(current.ingest_time.as_micros()),
        current: !current.is_expired(now, settings),
        age_seconds: current.age_seconds(now),
        interval_seconds: current.interval.learned().map(|interval| interval.as_secs_f64()),
    });
    SignalView { id: entry.id.to_string(), unit: entry.unit.to_string(), last }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    network: Option<NetworkId>,
    site: Option<SiteId>,
    name: Option<SignalName>,
    current: Option<bool>,
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<Page<SignalView>>, Problem> {
    let limit = super::limit(query.limit, 200, 1_000)?;
    let after = match query.cursor.as_deref() {
        Some(text) => Some(text.parse::<SignalId>().map_err(|_| super::bad_cursor())?),
        None => None,
    };
    let now = state.clock.now();
    // A network lies in one partition, so the order over all tables is the order of networks.
    let mut places: BTreeMap<NetworkId, usize> = BTreeMap::new();
    for (index, table) in state.tables.iter().enumerate() {
        places.extend(lock(table).networks().map(|network| (network.id().clone(), index)));
    }
    let sight = state.sight(&user);
    places.retain(|id, _| sight.of(id));
    let mut items = Vec::new();
    for (id, index) in places {
        let skipped = after.as_ref().is_some_and(|after| id < after.network)
            || query.network.as_ref().is_some_and(|wanted| *wanted != id);
        if skipped {
            continue;
        }
        let table = lock(&state.tables[index]);
        let Some(network) = table.network(&id) else { continue };
        let from = after.as_ref().filter(|after| after.network == id);
        for (entry, current) in network.signals(from) {
            let wanted = query.site.as_ref().is_none_or(|site| *site == entry.id.site)
                && query.name.as_ref().is_none_or(|name| *name == entry.id.name);
            if !wanted {
                continue;
            }
            let view = view(entry, current, table.settings(), now);
            let is_current = view.last.is_some_and(|last| last.current);
            if query.current.is_none_or(|wanted| wanted == is_current) {
                items.push(view);
            }
            if items.len() > limit {
                break;
            }
        }
        if items.len() > limit {
            break;
        }
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|signal| signal.id.clone());
    Ok(Json(Page { items, next }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    from: Option<ApiTime>,
    to: Option<ApiTime>,
    step: Option<String>,
}

pub(crate) async fn history(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    Path(id): Path<String>,
    StrictQuery(query): StrictQuery<HistoryQuery>,
) -> Result<Json<History>, Problem> {
    let signal: SignalId = id.parse().map_err(|error| Problem::bad_request(format!("signal id {error}")))?;
    let question = question(&state, signal, &query)?;
    may_be_shown(&state, &user, &question.signal)?;
    read(&state, question).await.map(Json)
}

/// Homes are never shown, nor networks that the user does not see.
pub(crate) fn may_be_shown(state: &ApiState, user: &User, signal: &SignalId) -> Result<(), Problem> {
    let is_home = state.plant().privacy.covers(&signal.site, &signal.name);
    if is_home || !state.sight(user).of(&signal.network) {
        return Err(Problem::not_found("no signal has this id"));
    }
    Ok(())
}

/// A signal's history out of the archive, when it is this question's turn.
pub(crate) async fn read(state: &ApiState, question: Question) -> Result<History, Problem> {
    let Some(archive) = state.archive.clone() else {
        return Err(Problem::unavailable("no archive is configured for the API"));
    };
    let turn = tokio::time::timeout(TURN_MAX_WAIT, Arc::clone(&state.history).acquire_owned());
    let Ok(Ok(permit)) = turn.await else {
        return Err(Problem::unavailable("too many history requests are at work"));
    };
    state.metrics.history_running.inc();
    let runtime = tokio::runtime::Handle::current();
    let running = state.metrics.history_running.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let answer = runtime.block_on(history::answer(&archive, &question));
        // Held until the work ends, even if the client has left meanwhile.
        drop(permit);
        running.dec();
        answer
    });
    match answer.await {
        Ok(Ok(history)) => Ok(history),
        Ok(Err(error @ HistoryError::TooMany(_))) => Err(Problem::unprocessable(error.to_string())),
        Ok(Err(error @ HistoryError::Archive(_))) => {
            tracing::warn!(error = %Chain(&error), "history cannot be read");
            Err(Problem::unavailable("the archive cannot be read at present"))
        }
        Err(error) => {
            tracing::error!(%error, "a history request ended badly");
            Err(Problem::unavailable("the archive cannot be read at present"))
        }
    }
}

fn question(state: &ApiState, signal: SignalId, query: &HistoryQuery) -> Result<Question, Problem> {
    let to = query.to.map_or_else(|| EventTime::from_micros(state.clock.now().as_micros()), |to| to.0);
    let from = query.from.map_or_else(|| to.minus(Duration::from_hours(24)), |from| from.0);
    if from >= to {
        return Err(Problem::unprocessable("from must lie before to"));
    }
    let points_max = state.settings.history_points_max;
    let step = query.step.as_deref().map(parse_duration).transpose().map_err(Problem::bad_request)?;
    if let Some(step) = step {
        let buckets = to.since(from).as_micros() / step.as_micros().max(1);
        if step < Duration::from_millis(1) || buckets > points_max as u128 {
            let detail = format!("this step gives more than {points_max} points: take a longer one");
            return Err(Problem::unprocessable(detail));
        }
    }
    Ok(Question { signal, from, to, step, points_max })
}
