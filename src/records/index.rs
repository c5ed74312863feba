//! Which records there are, in memory: by time, by series, and with all that is filtered by.
//!
//! A row has some 64 bytes and labels are held once for each series, so that a hundred thousand records
//! are looked through in a millisecond or two; a selector is asked once for each series, not for each
//! record. Rows are in the order of ids, which never change, so a page that ends at an id goes on
//! there whatever has been added or has gone since.

mod changed;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use crate::config::Severity;
use crate::engine::record::{Record, RecordId, RecordState};
use crate::score::board::{Reason, Side};
use crate::series::labels;
use crate::series::matcher::Selector;

/// What the index knows of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub state: RecordState,
    pub severity: Severity,
    pub reason: Reason,
    pub side: Side,
    pub end_ms: Option<i64>,
    pub as_of_ms: i64,
    pub score: f32,
    series: u32,
}

/// A series that has records.
#[derive(Debug)]
struct Series {
    labels: Box<[u8]>,
    rows: u32,
}

/// All records.
#[derive(Debug, Default)]
pub struct Index {
    rows: BTreeMap<RecordId, Row>,
    /// Those that are not resolved: few, and asked for often.
    open: BTreeSet<RecordId>,
    series: Vec<Series>,
    by_fingerprint: HashMap<u64, u32>,
    free: Vec<u32>,
}

/// Which records are wanted; what is empty or `None` holds for all.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// Any of these.
    pub metrics: Vec<String>,
    /// Any of these.
    pub selectors: Vec<Selector>,
    pub severities: Vec<Severity>,
    pub states: Vec<RecordState>,
    pub reasons: Vec<Reason>,
    /// Not over before this ...
    pub from_ms: Option<i64>,
    /// ... and begun at this time or before it.
    pub to_ms: Option<i64>,
}

/// Some of the records that are wanted, the newest first.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Page {
    pub ids: Vec<RecordId>,
    /// There are more after these.
    pub more: bool,
}

/// How many of what there are.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Counts {
    pub total: u64,
    pub by_severity: [u64; Severity::ALL.len()],
    pub by_state: [u64; RecordState::ALL.len()],
    pub by_reason: [u64; Reason::ALL.len()],
    pub by_side: [u64; 3],
    /// By metric name, the most first; of equal ones by name.
    pub by_metric: Vec<(String, u64)>,
    pub series: u64,
    pub oldest_ms: Option<i64>,
    pub newest_ms: Option<i64>,
    /// Sum of the peaks' scores.
    pub score_sum: f64,
    pub score_max: f32,
}

/// How many were under way in each of the equal parts of a time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Under way at some moment of it, by severity.
    pub under_way: [u64; Severity::ALL.len()],
    /// Begun in it.
    pub began: u64,
}

/// A filter made ready for many rows.
struct Sieve<'a> {
    filter: &'a Filter,
    index: &'a Index,
    severities: u32,
    states: u32,
    reasons: u32,
    /// What is known of each series: not asked, wanted or not.
    asked: Vec<Option<bool>>,
}

impl<'a> Sieve<'a> {
    fn new(filter: &'a Filter, index: &'a Index) -> Self {
        let by_series = !filter.metrics.is_empty() || !filter.selectors.is_empty();
        Self {
            filter,
            index,
            severities: mask(filter.severities.iter().map(|s| *s as u32)),
            states: mask(filter.states.iter().map(|s| *s as u32)),
            reasons: mask(filter.reasons.iter().map(|r| *r as u32)),
            asked: vec![None; if by_series { index.series.len() } else { 0 }],
        }
    }

    fn wants(&mut self, row: &Row) -> bool {
        self.severities >> (row.severity as u32) & 1 == 1
            && self.states >> (row.state as u32) & 1 == 1
            && self.reasons >> (row.reason as u32) & 1 == 1
            && (self.filter.from_ms).is_none_or(|from| row.end_ms.is_none_or(|end| end >= from))
            && self.wants_series(row.series)
    }

    fn wants_series(&mut self, series: u32) -> bool {
        let (filter, index) = (self.filter, self.index);
        let Some(asked) = self.asked.get_mut(series as usize) else {
            return true;
        };
        *asked.get_or_insert_with(|| {
            let of = &*index.series[series as usize].labels;
            let name = labels::get(of, labels::METRIC_NAME).unwrap_or_default();
            let metric = filter.metrics.is_empty() || filter.metrics.iter().any(|m| m == name);
            metric
                && (filter.selectors.is_empty()
                    || filter.selectors.iter().any(|s| s.matches_labels(of)))
        })
    }
}

/// One bit for each; all for none.
fn mask(bits: impl Iterator<Item = u32>) -> u32 {
    match bits.fold(0, |mask, bit| mask | 1 << bit) {
        0 => u32::MAX,
        mask => mask,
    }
}

impl Index {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn get(&self, id: RecordId) -> Option<&Row> {
        self.rows.get(&id)
    }

    /// The labels of the series of a record, canonical.
    pub fn labels(&self, id: RecordId) -> Option<&[u8]> {
        let row = self.rows.get(&id)?;
        Some(&self.series[row.series as usize].labels)
    }

    /// Adds a record, or replaces what is known of it.
    pub fn put(&mut self, record: &Record) {
        let old = self.rows.get(&record.id);
        let series = match old {
            Some(row) => row.series,
            None => self.add_series(record),
        };
        let row = Row {
            state: record.state,
            severity: record.severity,
            reason: record.reason,
            side: record.side,
            end_ms: record.end_ms,
            as_of_ms: record.as_of_ms,
            score: record.peak.score,
            series,
        };
        self.rows.insert(record.id, row);
        if record.state == RecordState::Resolved {
            self.open.remove(&record.id);
        } else {
            self.open.insert(record.id);
        }
    }

    fn add_series(&mut self, record: &Record) -> u32 {
        let fingerprint = record.id.fingerprint;
        if let Some(at) = self.by_fingerprint.get(&fingerprint) {
            self.series[*at as usize].rows += 1;
            return *at;
        }
        let new = Series {
            labels: record.labels.clone(),
            rows: 1,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.series[at as usize] = new;
                at
            }
            None => {
                self.series.push(new);
                // There are never more than records, of which there are at most ten million.
                (self.series.len() - 1) as u32
            }
        };
        self.by_fingerprint.insert(fingerprint, at);
        at
    }

    pub fn remove(&mut self, id: RecordId) {
        let Some(row) = self.rows.remove(&id) else {
            return;
        };
        self.open.remove(&id);
        let series = &mut self.series[row.series as usize];
        series.rows -= 1;
        if series.rows == 0 {
            series.labels = Box::default();
            self.by_fingerprint.remove(&id.fingerprint);
            self.free.push(row.series);
        }
    }

    /// Records that are to go: those that were over before a time, and the `over` oldest; at most
    /// `max`.
    pub fn oldest(&self, before_ms: i64, over: usize, max: usize) -> Vec<RecordId> {
        let mut gone: Vec<_> = self.rows.keys().take(over.min(max)).copied().collect();
        let end = RecordId {
            start_ms: before_ms,
            fingerprint: 0,
        };
        let old = self.rows.range(..end).skip(gone.len());
        let old = old.filter(|(_, row)| row.end_ms.is_some_and(|end| end < before_ms));
        let left = max - gone.len();
        gone.extend(old.take(left).map(|(id, _)| *id));
        gone
    }

    /// At most `limit` records that are wanted, the newest first, after `skip` of them; with `after`
    /// those that come after it.
    pub fn page(
        &self,
        filter: &Filter,
        after: Option<RecordId>,
        skip: usize,
        limit: usize,
    ) -> Page {
        let mut sieve = Sieve::new(filter, self);
        let mut page = Page::default();
        let wanted = self.wanted(&mut sieve, after).skip(skip).map(|(id, _)| id);
        for id in wanted {
            if page.ids.len() == limit {
                page.more = true;
                break;
            }
            page.ids.push(id);
        }
        page
    }

    /// Counts what is wanted.
    pub fn count(&self, filter: &Filter) -> Counts {
        let mut sieve = Sieve::new(filter, self);
        let mut counts = Counts::default();
        let mut of_series = vec![0_u64; self.series.len()];
        for (id, row) in self.wanted(&mut sieve, None) {
            counts.total += 1;
            counts.by_severity[row.severity as usize] += 1;
            counts.by_state[row.state as usize] += 1;
            counts.by_reason[row.reason as usize] += 1;
            counts.by_side[row.side as usize] += 1;
            counts.newest_ms.get_or_insert(id.start_ms);
            counts.oldest_ms = Some(id.start_ms);
            counts.score_sum += f64::from(row.score);
            counts.score_max = counts.score_max.max(row.score);
            of_series[row.series as usize] += 1;
        }
        let mut metrics: HashMap<&str, u64> = HashMap::new();
        for (series, n) in self.series.iter().zip(of_series).filter(|(_, n)| *n > 0) {
            counts.series += 1;
            let name = labels::get(&series.labels, labels::METRIC_NAME).unwrap_or_default();
            *metrics.entry(name).or_default() += n;
        }
        counts.by_metric = metrics
            .into_iter()
            .map(|(name, n)| (name.to_owned(), n))
            .collect();
        counts
            .by_metric
            .sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    /// What was under way in each of `parts` equal parts of the time from `from_ms` up to, and without,
    /// `to_ms`. One that is not over is under way to the end; one that ended where a part begins was
    /// not in that part.
    pub fn timeline(&self, filter: &Filter, from_ms: i64, to_ms: i64, parts: usize) -> Vec<Bucket> {
        let filter = Filter {
            from_ms: Some(from_ms),
            to_ms: Some(to_ms.saturating_sub(1)),
            ..filter.clone()
        };
        let span = i128::from(to_ms) - i128::from(from_ms);
        let part = |t_ms: i64| {
            let gone = i128::from(t_ms) - i128::from(from_ms);
            // In [0, parts), which is a usize.
            (gone * parts as i128 / span.max(1)).clamp(0, parts as i128 - 1) as usize
        };
        // What begins and what ends at each part; their sums are what is under way.
        let mut steps = vec![[0_i64; Severity::ALL.len()]; parts + 1];
        let mut buckets = vec![Bucket::default(); parts];
        let mut sieve = Sieve::new(&filter, self);
        for (id, row) in self.wanted(&mut sieve, None) {
            let first = part(id.start_ms);
            let end = row.end_ms.unwrap_or(i64::MAX).saturating_sub(1);
            let last = part(end).max(first);
            steps[first][row.severity as usize] += 1;
            steps[last + 1][row.severity as usize] -= 1;
            buckets[first].began += u64::from(id.start_ms >= from_ms);
        }
        let mut now = [0_i64; Severity::ALL.len()];
        for (bucket, step) in buckets.iter_mut().zip(&steps) {
            for severity in 0..now.len() {
                now[severity] += step[severity];
                bucket.under_way[severity] = now[severity].unsigned_abs();
            }
        }
        buckets
    }

    /// The newest of the records of one series, and how many it has.
    pub fn of_series(&self, fingerprint: u64, limit: usize) -> Vec<RecordId> {
        let Some(series) = self.by_fingerprint.get(&fingerprint) else {
            return Vec::new();
        };
        let rows = self.rows.iter().rev();
        let of = rows.filter(|(_, row)| row.series == *series);
        of.map(|(id, _)| *id).take(limit).collect()
    }

    fn wanted<'a>(
        &'a self,
        sieve: &'a mut Sieve<'_>,
        after: Option<RecordId>,
    ) -> impl Iterator<Item = (RecordId, &'a Row)> {
        let to = sieve.filter.to_ms.map(|to_ms| RecordId {
            start_ms: to_ms,
            fingerprint: u64::MAX,
        });
        let end = match (after, to) {
            (Some(after), Some(to)) if to < after => Bound::Included(to),
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(to)) => Bound::Included(to),
            (None, None) => Bound::Unbounded,
        };
        let range = (Bound::Unbounded, end);
        let only_open = !sieve.filter.states.is_empty()
            && !sieve.filter.states.contains(&RecordState::Resolved);
        let open = only_open.then(|| {
            let ids = self.open.range(range).rev();
            ids.filter_map(|id| Some((id, self.rows.get(id)?)))
        });
        let all = (!only_open).then(|| self.rows.range(range).rev());
        open.into_iter()
            .flatten()
            .chain(all.into_iter().flatten())
            .filter(move |(_, row)| sieve.wants(row))
            .map(|(id, row)| (*id, row))
    }
}
