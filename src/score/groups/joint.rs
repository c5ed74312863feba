//! What is said of groups whose series move together, for whoever makes a page.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::score::scale;

/// A group now.
#[derive(Debug, Clone)]
pub struct JointStanding {
    /// The values of its labels, in the order of [`Joined::names`].
    pub values: Arc<[Box<str>]>,
    /// Members that move together.
    pub members: usize,
    /// How far they are from that, in units of the line.
    pub deviation: f32,
}

impl JointStanding {
    /// As the scores of series are.
    pub fn score(&self) -> f32 {
        scale::shown(f64::from(self.deviation))
    }
}

/// All groups in which there are series that move together.
#[derive(Debug, Default)]
pub struct Joined {
    names: Box<[Box<str>]>,
    now: Mutex<BTreeMap<u32, JointStanding>>,
}

impl Joined {
    pub fn new(names: Box<[Box<str>]>) -> Self {
        Self {
            names,
            now: Mutex::default(),
        }
    }

    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Shows what a group has come to.
    pub fn tell(&self, number: u32, standing: JointStanding) {
        self.locked().insert(number, standing);
    }

    /// Nothing can be said of it any more.
    pub fn forget(&self, number: u32) {
        self.locked().remove(&number);
    }

    /// In the order of their values.
    pub fn now(&self) -> Vec<JointStanding> {
        let mut all: Vec<_> = self.locked().values().cloned().collect();
        all.sort_by(|a, b| a.values.cmp(&b.values));
        all
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, JointStanding>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
