//! `rejected`: dead letters, and taking them again.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use heat_codec::{dead_letter::LetterId, reject::RejectReason};
use heat_model::NetworkId;
use heat_runtime::tasks::Chain;
use serde::Deserialize;

use super::signals::TURN_MAX_WAIT;
use crate::{
    auth::User,
    extract::{StrictJson, StrictQuery},
    json::{
        ApiTime, Page,
        letters::{LetterDetail, LetterView, RefusedLetter, RequeueAnswer, RequeueBody},
    },
    letters::{
        Filter, LetterKey, Summary,
        archive::{self, Found, LettersError},
        read::{self, FetchError},
        requeue::{Refusal, RequeueError, request},
    },
    problem::Problem,
    state::{ApiState, lock},
};

/// Letters in one request to take them again.
const IDS_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    reason: Option<String>,
    network: Option<NetworkId>,
    topic: Option<String>,
    from: Option<ApiTime>,
    to: Option<ApiTime>,
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(crate) async fn list(
    State(state): State<ApiState>,
    StrictQuery(query): StrictQuery<ListQuery>,
) -> Result<Json<Page<LetterView>>, Problem> {
    let limit = super::limit(query.limit, 100, 500)?;
    let before = match query.cursor.as_deref() {
        Some(text) => Some(text.parse::<LetterKey>().map_err(|()| super::bad_cursor())?),
        None => None,
    };
    let filter = filter(&query)?;
    caught_up(&state)?;
    let (mut letters, horizon) = {
        let index = lock(&state.letters);
        let held = index.newest_first(before).take_while(|letter| !filter.is_past(letter.key));
        let found: Vec<Summary> =
            held.filter(|letter| filter.wants(letter)).take(limit + 1).cloned().collect();
        (found, index.horizon())
    };
    let mut next = None;
    if letters.len() > limit {
        letters.truncate(limit);
        next = letters.last().map(|letter| letter.key);
    } else if let (Some(horizon), true) = (horizon, state.archive.is_some()) {
        // `horizon` itself is held, so the archive goes on before it.
        let before = before.map_or(horizon, |before| before.min(horizon));
        let older = older(&state, before, filter, limit - letters.len()).await?;
        letters.extend(older.letters);
        next = older.next;
    }
    let index = lock(&state.letters);
    let view = |letter: &Summary| LetterView::of(letter, index.requeued(letter.key.id));
    let items = letters.iter().map(view).collect();
    Ok(Json(Page { items, next: next.map(|key| key.to_string()) }))
}

fn filter(query: &ListQuery) -> Result<Filter, Problem> {
    let reason = query.reason.as_deref().map(|word| {
        RejectReason::from_word(word).ok_or_else(|| {
            let words: Vec<_> = RejectReason::ALL.iter().map(|reason| reason.as_str()).collect();
            Problem::bad_request(format!("query: reason must be one of {}", words.join(", ")))
        })
    });
    Ok(Filter {
        reason: reason.transpose()?,
        network: query.network.as_ref().map(ToString::to_string),
        topic: query.topic.clone(),
        from: query.from.map(|time| time.0),
        to: query.to.map(|time| time.0),
    })
}

/// The archive's share of a page, on a thread of its own, as history is read.
async fn older(state: &ApiState, before: LetterKey, filter: Filter, limit: usize) -> Result<Found, Problem> {
    let Some(archive) = state.archive.clone() else { return Ok(Found::default()) };
    let turn = tokio::time::timeout(TURN_MAX_WAIT, Arc::clone(&state.history).acquire_owned());
    let Ok(Ok(permit)) = turn.await else {
        return Err(Problem::unavailable("too many requests that read the archive are at work"));
    };
    let runtime = tokio::runtime::Handle::current();
    let answer = tokio::task::spawn_blocking(move || {
        let answer = runtime.block_on(archive::page(&archive, before, &filter, limit));
        drop(permit);
        answer
    });
    match answer.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(unreadable(&error)),
        Err(error) => {
            tracing::error!(%error, "a request for dead letters ended badly");
            Err(Problem::unavailable("the archive cannot be read at present"))
        }
    }
}

fn unreadable(error: &LettersError) -> Problem {
    tracing::warn!(error = %Chain(error), "dead letters cannot be read from the archive");
    Problem::unavailable("the archive cannot be read at present")
}

fn caught_up(state: &ApiState) -> Result<(), Problem> {
    if state.catch_up.is_caught_up() {
        Ok(())
    } else {
        Err(Problem::unavailable("the API has just started and reads the log back"))
    }
}

pub(crate) async fn one(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Json<LetterDetail>, Problem> {
    let id = parse_id(&id)?;
    let mut found = fetch(&state, &[id]).await?;
    let read = found.remove(&id).ok_or_else(|| {
        Problem::not_found(format!("no dead letter {id} is in the log, nor in the archive this API reads"))
    })?;
    Ok(Json(LetterDetail::of(&read, lock(&state.letters).requeued(id))))
}

fn parse_id(text: &str) -> Result<LetterId, Problem> {
    text.parse().map_err(|error| Problem::bad_request(format!("{text:?}: {error}")))
}

type Fetched = std::collections::BTreeMap<LetterId, read::Read>;

async fn fetch(state: &ApiState, ids: &[LetterId]) -> Result<Fetched, Problem> {
    read::fetch(&state.log, state.archive.as_ref(), ids).await.map_err(|error| match &error {
        FetchError::Letters(error) => unreadable(error),
        FetchError::Log(_) | FetchError::Topic(_) => {
            tracing::warn!(error = %Chain(&error), "dead letters cannot be read from the log");
            Problem::unavailable("the log cannot be read at present")
        }
    })
}

pub(crate) async fn requeue(
    State(state): State<ApiState>,
    Extension(user): Extension<User>,
    StrictJson(body): StrictJson<RequeueBody>,
) -> Result<Json<RequeueAnswer>, Problem> {
    if body.ids.is_empty() || body.ids.len() > IDS_MAX {
        return Err(Problem::unprocessable(format!("ids: name 1 to {IDS_MAX} dead letters")));
    }
    let mut ids = body.ids.iter().map(|id| parse_id(id)).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    caught_up(&state)?;
    let mut found = fetch(&state, &ids).await?;
    let now = state.clock.now();
    let mut answer = RequeueAnswer { requeued: Vec::new(), refused: Vec::new() };
    let mut requests = Vec::new();
    for &id in &ids {
        let refusal = match found.get(&id) {
            None => Some(Refusal::NotFound),
            Some(read) => {
                let asked_before = lock(&state.letters).requeued(id).is_some();
                Refusal::of(&read.letter, asked_before, body.again)
            }
        };
        match (refusal, found.remove(&id)) {
            (None, Some(read)) => requests.push(request(id, read.letter, &user.name, now)),
            (Some(refusal), _) => answer.refused.push(refused(id, refusal)),
            (None, None) => answer.refused.push(refused(id, Refusal::NotFound)),
        }
    }
    let asked: Vec<LetterId> = requests.iter().map(|request| request.letter).collect();
    let too_large = state.requeuer.submit(requests).await.map_err(|error| {
        count(&state, "not_durable", asked.len());
        tracing::warn!(error = %Chain(&error), "a request to take dead letters again is not durable");
        match error {
            RequeueError::Slow { .. } => Problem::unavailable(error.to_string()),
            RequeueError::Append(_) => Problem::unavailable("the log does not take requests at present"),
        }
    })?;
    for id in asked {
        if too_large.contains(&id) {
            answer.refused.push(refused(id, Refusal::TooLarge));
        } else {
            tracing::info!(user = %user.name, letter = %id, "a dead letter is to be taken again");
            answer.requeued.push(id.to_string());
        }
    }
    count(&state, "applied", answer.requeued.len());
    count(&state, "refused", answer.refused.len());
    Ok(Json(answer))
}

fn refused(id: LetterId, refusal: Refusal) -> RefusedLetter {
    RefusedLetter {
        id: id.to_string(),
        reason: refusal.word().to_owned(),
        detail: refusal.detail().to_owned(),
    }
}

fn count(state: &ApiState, outcome: &str, letters: usize) {
    state.metrics.commands.with_label_values(&["requeue", outcome]).inc_by(letters as u64);
}
