//! What is kept of a forest so that its series can be scored again, and a forest that follows one
//! whose rows are elsewhere.
//!
//! Rows are most of a forest's state and change slowly, and the forests of the last few fits can be
//! had back from the rows of today ([`Reservoir::rows_at`]). So an outline has the numbers and how
//! many rows there are; who scores again takes the forests from the series as it is now ([`Fits`]).
//! What always holds: a fit that is not among them is none, so that whoever follows ends in another
//! state than the forest that it follows, and notices.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Mark, Packed, Reservoir, State, Tier, Work};
use crate::model::forest::{FEATURES, ForestSpec};

/// A forest without its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    state: State,
    rows: u16,
}

/// The fits of a forest that can be had back.
#[derive(Debug, Clone, Default)]
pub struct Fits(Arc<[(Mark, Arc<Work>)]>);

impl Fits {
    /// The fit of this number, if it was ordered at this time or, without one, at any.
    pub(super) fn get(&self, version: u32, ordered_ms: Option<i64>) -> Option<Arc<Work>> {
        let is = |m: &Mark| m.version == version && ordered_ms.is_none_or(|t| t == m.t_ms);
        self.0
            .iter()
            .find(|(mark, _)| is(mark))
            .map(|(_, work)| Arc::clone(work))
    }

    /// When the fit of this number was ordered.
    pub(super) fn mark(&self, version: u32) -> Option<Mark> {
        let mut marks = self.0.iter().map(|(mark, _)| *mark);
        marks.find(|mark| mark.version == version)
    }
}

impl Tier {
    /// What is kept of it.
    pub fn outline(&self) -> Outline {
        Outline {
            state: self.state.clone(),
            // At most `ForestSpec::rows`.
            rows: self.reservoir.len() as u16,
        }
    }

    /// The same forest without its seat, for somebody who looks at it elsewhere.
    pub fn apart(&self) -> Self {
        Self {
            state: self.state.clone(),
            reservoir: self.reservoir.clone(),
            pending: None,
            current: self.current.clone(),
            next: self.next.clone(),
            due_ms: self.due_ms,
            follows: None,
            seat: None,
        }
    }

    /// The fits that can be had back from it.
    pub fn fits(&self, spec: &ForestSpec) -> Fits {
        let known = |version: u32| {
            let current = self
                .current
                .as_ref()
                .filter(|_| self.state.current == version);
            let next = self.next.as_ref();
            let is_next = self.state.next.is_some_and(|o| o.version == version);
            current.or(next.filter(|_| is_next)).cloned()
        };
        let marks = self.reservoir.marks();
        let fits = marks.filter_map(|mark| {
            let work = known(mark.version).or_else(|| self.again(spec, mark.version))?;
            Some((*mark, work))
        });
        Fits(fits.collect())
    }

    /// A forest that goes on from an outline with the fits of the one that it is of; `None` if one
    /// that it needs is not among them.
    pub fn follow(outline: Outline, fits: Fits) -> Option<Self> {
        let Outline { state, rows } = outline;
        let current = match state.current {
            0 => None,
            version => Some(fits.get(version, None)?),
        };
        let next = match state.next {
            None => None,
            Some(order) => Some(fits.get(order.version, Some(state.ordered_ms))?),
        };
        Some(Self {
            state,
            reservoir: Reservoir::of(&vec![Packed::from(&[0.0; FEATURES]); usize::from(rows)]),
            pending: None,
            current,
            next,
            due_ms: None,
            follows: Some(Box::new(fits)),
            seat: None,
        })
    }
}
