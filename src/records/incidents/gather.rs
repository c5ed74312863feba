//! Anomalies that belong together, gathered as they are confirmed.
//!
//! Two anomalies belong together if their series share labels, or were learned to move together
//! ([`crate::engine::joint::kin`]), and the one began soon before or after the other ([`IncidentSpec`]); what belongs to one of a cluster belongs to the cluster, so an
//! anomaly that belongs to two makes one of them. A cluster of at least two series is an incident.
//!
//! What always holds: a cluster is named after the anomaly of it that was confirmed first, and an
//! incident keeps its name. Which anomalies belong together depends on the order in which they come
//! only where the spread of an incident ends it; they are to be given in the order of their
//! confirmation, as far as possible.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::engine::incident::spec::IncidentSpec;
use crate::engine::incident::{IncidentId, Member};
use crate::engine::record::RecordId;

/// Anomalies of one incident. An incident of so many takes 24 KiB.
pub(in crate::records) const MEMBERS_MAX: usize = 1000;
/// Clusters that may still grow, most of them of one anomaly. Beyond it the oldest grow no more. Each
/// takes some 400 bytes.
const CLUSTERS_MAX: usize = 4096;
/// Clusters that share a label with an anomaly and are looked at, the newest.
const NEAR_MAX: usize = 64;

/// Clusters, and what became of them since it was asked last.
#[derive(Debug)]
pub(in crate::records) struct Gatherer {
    spec: IncidentSpec,
    clusters: BTreeMap<u64, Cluster>,
    next: u64,
    by_key: HashMap<u64, BTreeSet<u64>>,
    of: HashMap<RecordId, u64>,
    by_incident: HashMap<IncidentId, u64>,
    /// At least two series, and no incident yet.
    unsettled: BTreeSet<u64>,
    /// Incidents whose anomalies changed.
    dirty: BTreeSet<u64>,
    made: News,
}

/// What changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::records) struct News {
    /// All anomalies of each incident that is new or has more than it had, in the order of their
    /// beginnings, and how many it has no room for.
    pub(in crate::records) grown: BTreeMap<IncidentId, Grown>,
    /// Incidents that are parts of others, and of which.
    pub(in crate::records) merged: Vec<(IncidentId, IncidentId)>,
}

/// An incident as its cluster has it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::records) struct Grown {
    pub(in crate::records) members: Vec<Member>,
    pub(in crate::records) left_out: u32,
    /// Some of them share no labels with the others.
    pub(in crate::records) learned: bool,
}

/// What an anomaly has in common with others: equal numbers mean that it does.
#[derive(Debug, Clone, Copy)]
pub(in crate::records) struct Keys<'a> {
    /// Labels that its series shares.
    pub(in crate::records) labels: &'a [u64],
    /// That its series was learned to move together with another one.
    pub(in crate::records) learned: &'a [u64],
}

impl Keys<'_> {
    fn all(&self) -> Vec<u64> {
        [self.labels, self.learned].concat()
    }
}

impl News {
    pub(in crate::records) fn is_empty(&self) -> bool {
        self.grown.is_empty() && self.merged.is_empty()
    }
}

#[derive(Debug, Default)]
struct Cluster {
    members: BTreeMap<RecordId, i64>,
    left_out: u32,
    keys: BTreeSet<u64>,
    first_ms: i64,
    last_ms: i64,
    /// Confirmed first: when, and which.
    founder: Option<(i64, RecordId)>,
    incident: Option<IncidentId>,
    /// Some share no labels with the others.
    learned: bool,
}

impl Cluster {
    /// True if an anomaly that began then is near enough in time.
    fn takes(&self, spec: &IncidentSpec, start_ms: i64) -> bool {
        start_ms >= self.first_ms.saturating_sub(spec.within_ms)
            && start_ms <= self.last_ms.saturating_add(spec.within_ms)
            && fits(
                spec,
                self.first_ms.min(start_ms),
                self.last_ms.max(start_ms),
            )
    }

    fn has_two_series(&self) -> bool {
        let mut series = self.members.keys().map(|id| id.fingerprint);
        let first = series.next();
        series.any(|other| Some(other) != first)
    }

    /// False if there is no room for it.
    fn add(&mut self, id: RecordId, active_ms: i64) -> bool {
        if self.members.is_empty() {
            (self.first_ms, self.last_ms) = (id.start_ms, id.start_ms);
        } else {
            self.first_ms = self.first_ms.min(id.start_ms);
            self.last_ms = self.last_ms.max(id.start_ms);
        }
        let this = (active_ms, id);
        self.founder = Some(self.founder.map_or(this, |f| f.min(this)));
        if self.members.len() < MEMBERS_MAX {
            self.members.insert(id, active_ms);
            return true;
        }
        self.left_out += 1;
        false
    }

    fn snapshot(&self) -> Grown {
        let members = self.members.iter();
        let members = members.map(|(id, active_ms)| Member {
            id: *id,
            active_ms: *active_ms,
        });
        Grown {
            members: members.collect(),
            left_out: self.left_out,
            learned: self.learned,
        }
    }
}

fn fits(spec: &IncidentSpec, first_ms: i64, last_ms: i64) -> bool {
    last_ms.saturating_sub(first_ms) <= spec.spread_ms
}

impl Gatherer {
    pub(in crate::records) fn new(spec: IncidentSpec) -> Self {
        Self {
            spec,
            clusters: BTreeMap::new(),
            next: 0,
            by_key: HashMap::new(),
            of: HashMap::new(),
            by_incident: HashMap::new(),
            unsettled: BTreeSet::new(),
            dirty: BTreeSet::new(),
            made: News::default(),
        }
    }

    /// An anomaly of an incident that is known. Those of one incident are to be given in the order in
    /// which they were confirmed, and among the others.
    pub(in crate::records) fn known(
        &mut self,
        id: RecordId,
        active_ms: i64,
        keys: Keys<'_>,
        (incident, learned): (IncidentId, bool),
    ) {
        let at = match self.by_incident.get(&incident) {
            Some(at) => *at,
            None => {
                let at = self.begin();
                self.by_incident.insert(incident, at);
                if let Some(cluster) = self.clusters.get_mut(&at) {
                    cluster.incident = Some(incident);
                    cluster.learned = learned;
                }
                at
            }
        };
        self.add(at, id, active_ms, &keys.all());
    }

    /// An anomaly is confirmed.
    pub(in crate::records) fn take(&mut self, id: RecordId, active_ms: i64, keys: Keys<'_>) {
        if self.of.contains_key(&id) {
            return;
        }
        let by_labels = self.near(keys.labels, id.start_ms);
        let mut near: Vec<u64> = self.near(keys.learned, id.start_ms).into_iter().collect();
        near.retain(|at| !by_labels.contains(at));
        near.extend(&by_labels);
        near.sort_by_key(|at| self.clusters[at].founder);
        let keys = keys.all();
        let Some((at, others)) = near.split_first() else {
            if !keys.is_empty() {
                let at = self.begin();
                self.add(at, id, active_ms, &keys);
            }
            return;
        };
        self.add(*at, id, active_ms, &keys);
        let mut learned = !by_labels.contains(at);
        for other in others {
            let (a, b) = (&self.clusters[at], &self.clusters[other]);
            let (first, last) = (a.first_ms.min(b.first_ms), a.last_ms.max(b.last_ms));
            if fits(&self.spec, first, last) {
                self.merge(*at, *other);
                learned |= !by_labels.contains(other);
            }
        }
        if let Some(cluster) = self.clusters.get_mut(at) {
            cluster.learned |= learned;
        }
        self.changed(*at);
    }

    /// Clusters that have any of these and may take an anomaly that began then.
    fn near(&self, keys: &[u64], start_ms: i64) -> BTreeSet<u64> {
        keys.iter()
            .filter_map(|key| self.by_key.get(key))
            .flat_map(|of| of.iter().rev().take(NEAR_MAX))
            .copied()
            .filter(|at| self.clusters[at].takes(&self.spec, start_ms))
            .collect()
    }

    /// Clusters of at least two series become incidents.
    pub(in crate::records) fn settle(&mut self) {
        for at in std::mem::take(&mut self.unsettled) {
            self.open(at);
        }
    }

    /// What changed since the last time.
    pub(in crate::records) fn news(&mut self) -> News {
        for at in std::mem::take(&mut self.dirty) {
            self.tell(at);
        }
        std::mem::take(&mut self.made)
    }

    fn tell(&mut self, at: u64) {
        if let Some(cluster) = self.clusters.get(&at)
            && let Some(incident) = cluster.incident
        {
            self.made.grown.insert(incident, cluster.snapshot());
        }
    }

    fn open(&mut self, at: u64) {
        self.unsettled.remove(&at);
        let Some(cluster) = self.clusters.get_mut(&at) else {
            return;
        };
        if let Some((_, founder)) = cluster.founder {
            let incident = IncidentId(founder);
            cluster.incident = Some(incident);
            self.by_incident.insert(incident, at);
            self.dirty.insert(at);
        }
    }

    fn begin(&mut self) -> u64 {
        while self.clusters.len() >= CLUSTERS_MAX
            && let Some(oldest) = self.clusters.keys().next().copied()
        {
            if self.unsettled.contains(&oldest) {
                self.open(oldest);
            }
            if self.dirty.remove(&oldest) {
                self.tell(oldest);
            }
            self.drop(oldest);
        }
        let at = self.next;
        self.next += 1;
        self.clusters.insert(at, Cluster::default());
        at
    }

    fn add(&mut self, at: u64, id: RecordId, active_ms: i64, keys: &[u64]) {
        for key in keys {
            self.by_key.entry(*key).or_default().insert(at);
        }
        if let Some(cluster) = self.clusters.get_mut(&at) {
            cluster.keys.extend(keys);
            if cluster.add(id, active_ms) {
                self.of.insert(id, at);
            }
        }
    }

    fn changed(&mut self, at: u64) {
        let Some(cluster) = self.clusters.get(&at) else {
            return;
        };
        if cluster.incident.is_some() {
            self.unsettled.remove(&at);
            self.dirty.insert(at);
        } else if cluster.has_two_series() {
            self.unsettled.insert(at);
        }
    }

    /// Puts the anomalies of a cluster into another one.
    fn merge(&mut self, into: u64, from: u64) {
        let Some(gone) = self.drop(from) else {
            return;
        };
        let Some(cluster) = self.clusters.get_mut(&into) else {
            return;
        };
        let merged = match (cluster.incident, gone.incident) {
            (Some(stays), Some(goes)) => Some((goes, stays)),
            (None, Some(stays)) => {
                cluster.incident = Some(stays);
                self.by_incident.insert(stays, into);
                None
            }
            (_, None) => None,
        };
        cluster.left_out += gone.left_out;
        cluster.learned |= gone.learned;
        self.made.merged.extend(merged);
        let keys: Vec<u64> = gone.keys.into_iter().collect();
        for (id, active_ms) in gone.members {
            self.add(into, id, active_ms, &keys);
        }
    }

    fn drop(&mut self, at: u64) -> Option<Cluster> {
        let cluster = self.clusters.remove(&at)?;
        self.unsettled.remove(&at);
        self.dirty.remove(&at);
        if let Some(incident) = cluster.incident {
            self.by_incident.remove(&incident);
        }
        for key in &cluster.keys {
            if let Some(of) = self.by_key.get_mut(key) {
                of.remove(&at);
                if of.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        for id in cluster.members.keys() {
            self.of.remove(id);
        }
        Some(cluster)
    }
}
