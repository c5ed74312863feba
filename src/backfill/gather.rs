//! What answers bring, put together by series.
//!
//! What always holds: only series that were asked for, only samples of the range, each timestamp of
//! a series once and in order, and no more samples than the bound.

use std::collections::HashMap;
use std::sync::Arc;

use super::external::{Likeness, Wanted};
use super::span::Span;
use crate::engine::history::History;
use crate::wire::histogram::NativeHistogram;

/// More samples than may be read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {0} samples")]
pub struct TooMany(pub usize);

/// Samples of both kinds.
pub fn samples(of: &History) -> usize {
    of.floats.len() + of.histograms.len()
}

/// The series of one answer, or of several.
#[derive(Debug)]
pub struct Gather {
    wanted: Arc<Wanted>,
    span: Span,
    samples_max: usize,
    samples: usize,
    series: HashMap<Box<[u8]>, (Likeness, History)>,
    /// Series of which something could not be read and was left out.
    pub skipped: u64,
}

impl Gather {
    /// Of samples within `span`, at most `samples_max`.
    pub fn new(wanted: &Arc<Wanted>, span: Span, samples_max: usize) -> Self {
        Self {
            wanted: Arc::clone(wanted),
            span,
            samples_max,
            samples: 0,
            series: HashMap::new(),
            skipped: 0,
        }
    }

    /// Samples so far.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Where the samples of a returned series go; `None` if nobody asked for it, or if it is there
    /// under labels that fit better.
    pub fn series(&mut self, returned: &[u8]) -> Option<Pen<'_>> {
        let (labels, likeness) = self.wanted.find(returned)?;
        let (kept, past) = self.series.entry(labels).or_insert_with_key(|labels| {
            let labels = labels.clone();
            (
                likeness,
                History {
                    labels,
                    ..History::default()
                },
            )
        });
        if likeness > *kept {
            return None;
        }
        if likeness < *kept {
            *kept = likeness;
            self.samples -= samples(past);
            past.floats.clear();
            past.histograms.clear();
        }
        Some(Pen {
            past,
            span: self.span,
            samples: &mut self.samples,
            samples_max: self.samples_max,
        })
    }

    /// Adds what another answer brought.
    pub fn absorb(&mut self, other: Self) {
        self.skipped += other.skipped;
        self.samples += other.samples;
        for (labels, (likeness, mut more)) in other.series {
            match self.series.get_mut(&labels) {
                Some((kept, past)) if *kept == likeness => {
                    past.floats.append(&mut more.floats);
                    past.histograms.append(&mut more.histograms);
                }
                Some((kept, past)) if likeness < *kept => {
                    self.samples -= samples(past);
                    *kept = likeness;
                    *past = more;
                }
                Some(_) => self.samples -= samples(&more),
                None => {
                    self.series.insert(labels, (likeness, more));
                }
            }
        }
    }

    /// The series that have samples. Of several samples at one time the first that came counts.
    pub fn finish(self) -> Vec<History> {
        let mut all = Vec::with_capacity(self.series.len());
        for (_, (_, mut past)) in self.series {
            past.floats.sort_by_key(|(t, _)| *t);
            past.floats.dedup_by_key(|(t, _)| *t);
            past.histograms.sort_by_key(|h| h.timestamp_ms);
            past.histograms.dedup_by_key(|h| h.timestamp_ms);
            if samples(&past) > 0 {
                all.push(past);
            }
        }
        all
    }
}

/// Takes the samples of one series.
#[derive(Debug)]
pub struct Pen<'a> {
    past: &'a mut History,
    span: Span,
    samples: &'a mut usize,
    samples_max: usize,
}

impl Pen<'_> {
    /// # Errors
    /// If the bound is reached.
    pub fn float(&mut self, t_ms: i64, value: f64) -> Result<(), TooMany> {
        if self.span.has(t_ms) {
            self.count()?;
            self.past.floats.push((t_ms, value));
        }
        Ok(())
    }

    /// # Errors
    /// If the bound is reached.
    pub fn histogram(&mut self, histogram: &NativeHistogram) -> Result<(), TooMany> {
        if self.span.has(histogram.timestamp_ms) {
            self.count()?;
            self.past.histograms.push(histogram.clone());
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), TooMany> {
        if *self.samples >= self.samples_max {
            return Err(TooMany(self.samples_max));
        }
        *self.samples += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::external::External;
    use crate::series::labels;

    fn series(labels: &[(&str, &str)]) -> Box<[u8]> {
        labels::encode(labels.iter().copied()).into()
    }

    const SPAN: Span = Span {
        start_ms: 10,
        end_ms: 20,
    };

    #[test]
    fn samples_are_cut_sorted_and_each_time_is_there_once() {
        let up = series(&[("__name__", "up")]);
        let other = series(&[("__name__", "other")]);
        let wanted = Arc::new(Wanted::new([&up], &External::default()));
        let mut gather = Gather::new(&wanted, SPAN, 100);
        assert!(gather.series(&other).is_none());
        let mut pen = gather.series(&up).unwrap();
        for (t, v) in [(9, 0.0), (15, 1.0), (16, 2.0), (20, 3.0), (21, 4.0)] {
            pen.float(t, v).unwrap();
        }
        let mut more = Gather::new(&wanted, SPAN, 100);
        let mut pen = more.series(&up).unwrap();
        for (t, v) in [(10, 5.0), (15, 9.0), (16, 2.0)] {
            pen.float(t, v).unwrap();
        }
        gather.absorb(more);
        let past = gather.finish();
        assert_eq!(past.len(), 1);
        assert_eq!(past[0].floats, [(10, 5.0), (15, 1.0), (16, 2.0), (20, 3.0)]);
    }

    #[test]
    fn no_more_than_the_bound() {
        let up = series(&[("__name__", "up")]);
        let wanted = Arc::new(Wanted::new([&up], &External::default()));
        let mut gather = Gather::new(&wanted, SPAN, 2);
        let mut pen = gather.series(&up).unwrap();
        pen.float(11, 0.0).unwrap();
        pen.float(12, 0.0).unwrap();
        pen.float(9, 0.0).unwrap();
        assert_eq!(pen.float(13, 0.0), Err(TooMany(2)));
    }

    #[test]
    fn labels_that_fit_better_win_and_empty_series_are_none() {
        let external = External::new([("c".to_owned(), "x".to_owned())]);
        let sent = series(&[("__name__", "up"), ("c", "x")]);
        let bare = series(&[("__name__", "up")]);
        let wanted = Arc::new(Wanted::new([&sent], &external));
        let mut gather = Gather::new(&wanted, SPAN, 100);
        gather.series(&bare).unwrap().float(11, 1.0).unwrap();
        gather.series(&sent).unwrap().float(12, 2.0).unwrap();
        assert!(gather.series(&bare).is_none());
        assert_eq!(gather.samples(), 1);
        assert_eq!(gather.finish()[0].floats, [(12, 2.0)]);
        let mut empty = Gather::new(&wanted, SPAN, 100);
        assert!(empty.series(&sent).is_some());
        assert!(empty.finish().is_empty());
    }
}
