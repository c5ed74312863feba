//! `GET /metrics/scores`: the newest score of every series, the anomalies under way, groups, and
//! incidents.
//!
//! A page is decided first (`plan`: which series, within `limits.score_lines`) and then rendered
//! piece by piece as the client takes it (`page`). So a client that reads slowly holds one piece
//! of text and a list of pointers, no thread, and nothing that a shard waits for; one that goes away
//! ends both.

mod change_lines;
mod group_lines;
mod incident_lines;
pub mod page;
mod plan;
mod twins;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State as Extract};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::page::Page;
use super::State;
use super::accept::Form;
use crate::clock::Clock;
use crate::maintenance::Maintenance;
use crate::records::Records;
use crate::score::board::Board;
use crate::score::groups::Groups;
use crate::series::matcher::Selector;
use crate::telemetry::Metrics;

/// Pages decided at once; more requests wait. With a million series and a selector one takes a core
/// for about half a second.
const PLANS_AT_ONCE: usize = 2;

/// Selectors of one request: a page that needs more is better asked for without.
const SELECTORS_MAX: usize = 32;

struct Scores {
    board: Arc<Board>,
    groups: Arc<Groups>,
    records: Option<Arc<Records>>,
    clock: Arc<dyn Clock>,
    maintenance: Option<Arc<Maintenance>>,
    metrics: Arc<Metrics>,
    lines_max: usize,
    plans: Arc<Semaphore>,
}

pub(super) fn routes(state: &State) -> Router {
    let scores = Scores {
        board: Arc::clone(&state.board),
        groups: Arc::clone(&state.groups),
        records: state.api.records.clone(),
        clock: Arc::clone(&state.clock),
        maintenance: state.api.maintenance.clone(),
        metrics: Arc::clone(&state.metrics),
        lines_max: state.limits.score_lines as usize,
        plans: Arc::new(Semaphore::new(PLANS_AT_ONCE)),
    };
    Router::new()
        .route("/metrics/scores", get(scores_page))
        .with_state(Arc::new(scores))
}

/// Why a request for scores was refused.
#[derive(Debug, thiserror::Error)]
enum BadRequest {
    #[error("unknown parameter {0:?}: the only one is match[]")]
    Parameter(String),
    #[error("{0} selectors are more than the limit of {SELECTORS_MAX}")]
    TooMany(usize),
    #[error("match[]: {0}")]
    Selector(#[from] crate::series::matcher::SelectorError),
}

fn selectors(parameters: &[(String, String)]) -> Result<Vec<Selector>, BadRequest> {
    if parameters.len() > SELECTORS_MAX {
        return Err(BadRequest::TooMany(parameters.len()));
    }
    // All of a page together: each line is compared with all of them.
    let mut left = Selector::PATTERNS_BYTES_MAX;
    parameters
        .iter()
        .map(|(name, value)| match name.as_str() {
            "match[]" => Ok(Selector::parse_within(value, &mut left)?),
            _ => Err(BadRequest::Parameter(name.chars().take(64).collect())),
        })
        .collect()
}

async fn scores_page(
    Extract(scores): Extract<Arc<Scores>>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let selectors = match selectors(&parameters) {
        Ok(selectors) => selectors,
        Err(e) => return (StatusCode::BAD_REQUEST, format!("{e}\n")).into_response(),
    };
    let Ok(permit) = Arc::clone(&scores.plans).acquire_owned().await else {
        unreachable!("BUG: the semaphore is never closed");
    };
    let form = Form::of(&headers);
    let gone = CancellationToken::new();
    let _gone_with_the_request = gone.clone().drop_guard();
    let planned = tokio::task::spawn_blocking(move || {
        let wanted = plan::Wanted {
            selectors: &selectors,
            lines_max: scores.lines_max,
            names: form.names,
        };
        let mut plan = plan::plan(&scores.board, &wanted, &|| gone.is_cancelled());
        if !gone.is_cancelled() {
            let now = scores.groups.now(&scores.board, scores.clock.now_ms());
            scores.metrics.groups.tell(now.groups.len(), now.left_out);
            if let Some(maintenance) = &scores.maintenance {
                let open = maintenance.changes.open_now(scores.clock.now_ms());
                plan.changes = change_lines::render(&open, &selectors);
            }
            plan.groups = group_lines::select(&scores.groups, &now, &selectors);
            if let Some(records) = &scores.records {
                plan.incidents = incident_lines::select(records, form.names, &selectors);
            }
            let left_out = i64::try_from(plan.left_out).unwrap_or(i64::MAX);
            scores.metrics.scores_left_out.set(left_out);
        }
        drop(permit);
        plan
    });
    match planned.await {
        Ok(plan) => (form.headers(), Body::new(Page::new(plan, form))).into_response(),
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_of_one_page_share_their_memory() {
        let asked = |pattern: &str, n: usize| {
            let one = ("match[]".to_owned(), format!("{{job=~\"{pattern}\"}}"));
            selectors(&vec![one; n])
        };
        assert!(asked("node|demo.*", SELECTORS_MAX).is_ok());
        assert!(asked("(a?){9000}", 1).is_ok());
        assert!(matches!(
            asked("(a?){9000}", 5),
            Err(BadRequest::Selector(_))
        ));
    }
}
