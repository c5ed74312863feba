//! `/api/v1/models/{id}` and what can be done with a model: a fit at once, an earlier version of its
//! forest, a pin, a fresh start.
//!
//! What was answered with 200 is done, and is a record of the write-ahead log: it survives whatever
//! ends the process.

use schemars::JsonSchema;
use serde::Serialize;

use super::params::shared::SERIES;
use super::params::{Kind, Param, Params};
use super::problem::Problem;
use super::series::{self, ModelOfSeries};
use super::{Answered, Api, answer};
use crate::engine::models::{NotDone, Wish};
use crate::engine::training::{FitListed, FitState};
use crate::telemetry::{OrderLabel, Text};

const FIT_STATES: &[&str] = &["waiting", "running", "done", "failed", "passed"];

/// What all but two take.
pub(super) const ONE: &[Param] = &[SERIES];
/// What [`jobs`] takes.
pub(super) const JOBS: &[Param] = &[Param::many(
    "state",
    Kind::OneOf(FIT_STATES),
    "Only fits this far.",
)];
/// What [`roll_back`] takes.
pub(super) const ROLLBACK: &[Param] = &[
    SERIES,
    Param::query(
        "version",
        Kind::Integer {
            least: 1,
            most: u32::MAX as u64,
            usual: 0,
        },
        "One of `forest.versions`; the one before that in use unless given.",
    ),
];

/// Fits, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct JobList {
    jobs: Vec<Job>,
}

/// A fit of the forest of one series.
#[derive(Debug, Serialize, JsonSchema)]
struct Job {
    /// Rises with each fit since the start.
    number: u64,
    series_id: String,
    /// The newest version that the series had ordered.
    version: u32,
    /// `waiting`, `running`, `done`, `failed` (the forest before it stays in use) or `passed` (the
    /// series had done it itself, or has no use for it any more).
    state: &'static str,
    duration_seconds: Option<f64>,
}

/// `GET /api/v1/models/jobs`
pub(super) fn jobs(api: &Api, params: &Params) -> Answered {
    let states = params.named("state", &FitState::ALL, FitState::as_str);
    let wanted = |f: &FitListed| states.is_empty() || states.contains(&f.state);
    let all = api.state.reader.training().into_iter().filter(wanted);
    let shown = |f: FitListed| Job {
        number: f.number,
        series_id: series::id_text(f.fingerprint),
        version: f.version,
        state: f.state.as_str(),
        duration_seconds: f.took.map(|t| t.as_secs_f64()),
    };
    answer(&JobList {
        jobs: all.map(shown).collect(),
    })
}

/// `GET /api/v1/models/{id}`
pub(super) fn one(api: &Api, params: &Params) -> Answered {
    answer(&named(api, params)?)
}

fn named(api: &Api, params: &Params) -> Result<ModelOfSeries, Problem> {
    let (id, status) = series::named(api, params)?;
    ModelOfSeries::of(id, &status).ok_or_else(|| {
        Problem::not_found(
            "the series has no model in memory: it is not modelled, or put aside until its next sample",
        )
    })
}

/// `POST /api/v1/models/{id}/retrain`
pub(super) fn retrain(api: &Api, params: &Params) -> Answered {
    done(api, params, Wish::Train)
}

/// `POST /api/v1/models/{id}/rollback`
pub(super) fn roll_back(api: &Api, params: &Params) -> Answered {
    let version = match params.one("version") {
        // It is within the bounds of the type.
        Some(_) => params.number("version") as u32,
        None => named(api, params)?.version_before().ok_or_else(|| {
            Problem::conflict("there is no version of its forest before the one in use")
        })?,
    };
    done(api, params, Wish::GoBack(version))
}

/// `POST /api/v1/models/{id}/pin`
pub(super) fn pin(api: &Api, params: &Params) -> Answered {
    done(api, params, Wish::Pin(true))
}

/// `POST /api/v1/models/{id}/unpin`
pub(super) fn unpin(api: &Api, params: &Params) -> Answered {
    done(api, params, Wish::Pin(false))
}

/// `POST /api/v1/models/{id}/reset`
pub(super) fn reset(api: &Api, params: &Params) -> Answered {
    done(api, params, Wish::Reset)
}

/// Has something done, and answers with the model as it is then.
fn done(api: &Api, params: &Params, wish: Wish) -> Answered {
    let (_, status) = series::named(api, params)?;
    let (router, wait) = (&api.state.router, api.state.limits.queue_wait);
    match api.ask(router.model(&status.labels, wish, wait))?? {
        Some(Ok(_)) => {
            let order = OrderLabel {
                order: Text(wish.as_str()),
            };
            let orders = &api.state.metrics.model_orders;
            orders.get_or_create(&order).inc();
            answer(&named(api, params)?)
        }
        Some(Err(error @ NotDone::NoVersion(_))) => Err(Problem::parameter("version", error)),
        Some(Err(error @ NotDone::NoForest)) => Err(Problem::conflict(format!(
            "{error}: a rule leaves it without, or there is no memory for one"
        ))),
        None => Err(Problem::conflict(
            "the series has no model of its own in memory: it is not modelled, a statistic of a histogram, or put aside until its next sample",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_that_of_the_type() {
        let states: Vec<_> = FitState::ALL.iter().map(|s| s.as_str()).collect();
        assert_eq!(states, FIT_STATES);
    }
}
