//! Targets that restarted, by their counters: most of them began anew in one scrape.
//!
//! Shards say which targets to look at (`engine::resets`); what is decided follows from the windows of
//! all counters of such a target. What always holds: a counter that has no sample on both sides of the
//! scrape, or has counted nothing before it, has no say; nothing is decided against counters that may
//! still come.

use std::sync::Arc;

use super::changes::{Changes, Seen};
use crate::engine::ask::{AskError, Reader, WindowChunk};
use crate::engine::resets::{ResetTap, SPREAD_MS, Suspect};
use crate::series::labels;
use crate::series::matcher::{MatchOp, Matcher, Selector};
use crate::window::chunk;
use crate::window::encoding::Encoding;

/// Series that are looked at together; a target with more is not looked at.
const SERIES_MAX: usize = 20_000;
/// Counters of one target that began anew, at least: one alone may have been set to zero.
const RESETS_MIN: usize = 2;
/// Targets that restarted so long after one another are looked at together, in milliseconds.
const NEAR_MS: i64 = 60_000;

/// Looks at the targets that shards named; gives how many restarts it saw.
///
/// # Errors
/// If the shards do not answer; the next look sees what this one would have.
pub async fn look(
    reader: &Reader,
    changes: &Changes,
    now_ms: i64,
    window_ms: i64,
) -> Result<usize, AskError> {
    let mut seen = 0;
    let due = reader.resets().due(now_ms);
    let near = |a: &Suspect, b: &Suspect| b.t_ms.saturating_sub(a.t_ms) <= NEAR_MS;
    let mut left: Vec<_> = due.chunk_by(near).map(<[Suspect]>::to_vec).collect();
    while let Some(suspects) = left.pop() {
        let Some(selector) = selector(&suspects) else {
            continue;
        };
        match decide(reader, &suspects, selector, now_ms).await {
            Ok(decided) => {
                for (suspect, restarted_ms) in suspects.iter().zip(decided) {
                    let target = (&*suspect.job, &*suspect.instance);
                    if let Some(t_ms) = restarted_ms {
                        seen += usize::from(changes.see(target, Seen::Reset, t_ms, window_ms));
                    }
                    if restarted_ms.is_some() || suspect.is_whole(now_ms) {
                        reader.resets().done(suspect);
                    }
                }
            }
            Err(AskError::TooMany { .. }) if suspects.len() > 1 => {
                let (some, others) = suspects.split_at(suspects.len() / 2);
                left.extend([some.to_vec(), others.to_vec()]);
            }
            Err(AskError::TooMany { .. }) => suspects.iter().for_each(|s| reader.resets().done(s)),
            Err(error) => return Err(error),
        }
    }
    Ok(seen)
}

/// Has shards' part done for samples between two times: what they noted before the process ended is
/// gone with it.
///
/// # Errors
/// If the shards do not answer, or there are too many series to look at.
pub async fn look_back(reader: &Reader, (from_ms, to_ms): (i64, i64)) -> Result<(), AskError> {
    let all = Selector::from(Vec::new());
    let mut found = reader
        .select(Arc::new(all), from_ms, to_ms, SERIES_MAX)
        .await?;
    found.retain(|f| f.counter);
    let windows = reader.windows(&found, from_ms, to_ms).await?;
    let mut tap = ResetTap::new(reader.resets());
    for (series, chunks) in found.iter().zip(&windows) {
        let samples = samples(chunks, (from_ms, to_ms));
        for pair in samples.windows(2) {
            if let [(before_ms, before), (t_ms, value)] = *pair
                && value < before
            {
                tap.saw(&series.labels, (before_ms, t_ms), to_ms);
            }
        }
    }
    tap.flush();
    Ok(())
}

/// When each of them restarted, if it did.
async fn decide(
    reader: &Reader,
    suspects: &[Suspect],
    selector: Selector,
    now_ms: i64,
) -> Result<Vec<Option<i64>>, AskError> {
    let before_ms = suspects.iter().map(|s| s.before_ms).min().unwrap_or(now_ms);
    let from_ms = before_ms.saturating_sub(SPREAD_MS);
    let to_ms = suspects.iter().map(|s| s.t_ms).max().unwrap_or(now_ms);
    let to_ms = to_ms.saturating_add(SPREAD_MS);
    let mut found = reader
        .select(Arc::new(selector), from_ms, to_ms, SERIES_MAX)
        .await?;
    found.retain(|f| f.counter);
    let windows = reader.windows(&found, from_ms, to_ms).await?;
    let decided = suspects.iter().map(|suspect| {
        let mut says = Says::default();
        for (series, chunks) in found.iter().zip(&windows) {
            let is =
                |name, value: &str| labels::get(&series.labels, name).unwrap_or_default() == value;
            if is("job", &suspect.job) && is("instance", &suspect.instance) {
                let span = (
                    suspect.before_ms.saturating_sub(SPREAD_MS),
                    suspect.t_ms.saturating_add(SPREAD_MS),
                );
                says.hear(&samples(chunks, span), suspect.t_ms);
            }
        }
        says.restarted(suspect.is_whole(now_ms))
    });
    Ok(decided.collect())
}

/// The series of all of these targets; of others too.
fn selector(suspects: &[Suspect]) -> Option<Selector> {
    if suspects.is_empty() {
        return None;
    }
    let any = |name, of: fn(&Suspect) -> &str| {
        let mut values: Vec<_> = suspects.iter().map(|s| regex::escape(of(s))).collect();
        values.sort();
        values.dedup();
        Matcher::new(name, MatchOp::Regex, &values.join("|"))
    };
    let matchers = [any("job", |s| &s.job), any("instance", |s| &s.instance)];
    let matchers: Result<Vec<_>, _> = matchers.into_iter().collect();
    matchers.ok().map(Selector::from)
}

/// Samples in a span, markers of an end among them as NaN.
fn samples(chunks: &[WindowChunk], (from_ms, to_ms): (i64, i64)) -> Vec<(i64, f64)> {
    let floats = chunks.iter().filter(|c| c.encoding == Encoding::Xor);
    let decoded = floats.filter_map(|c| chunk::decode(&c.bytes).ok());
    let all = decoded.flatten();
    all.filter(|(t, _)| (from_ms..=to_ms).contains(t)).collect()
}

/// What the counters of a target say.
#[derive(Debug, Default)]
struct Says {
    began_anew: usize,
    went_on: usize,
    /// Not heard since.
    pending: usize,
    first_ms: Option<i64>,
}

impl Says {
    /// One counter, around a scrape at about `t_ms`.
    fn hear(&mut self, samples: &[(i64, f64)], t_ms: i64) {
        let near = t_ms.saturating_sub(SPREAD_MS);
        let finite: Vec<_> = samples.iter().filter(|(_, v)| v.is_finite()).collect();
        let pairs = finite.windows(2).map(|pair| (pair[0], pair[1]));
        let mut pairs = pairs.filter(|(before, after)| after.0 >= near && before.1 > 0.0);
        let fell = |(before, after): &(&(i64, f64), &(i64, f64))| after.1 < before.1;
        if let Some((_, after)) = pairs.clone().find(fell) {
            self.began_anew += 1;
            self.first_ms = Some(self.first_ms.map_or(after.0, |first| first.min(after.0)));
        } else if pairs.next().is_some() {
            self.went_on += 1;
        } else if samples.last().is_some_and(|(t, v)| *t < near && *v > 0.0) {
            self.pending += 1;
        }
    }

    /// When it restarted, if most say so; `whole` if nothing more is waited for.
    fn restarted(&self, whole: bool) -> Option<i64> {
        let others = self.went_on + if whole { 0 } else { self.pending };
        let most = self.began_anew >= RESETS_MIN && self.began_anew > others;
        self.first_ms.filter(|_| most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 100_000;

    fn says(counters: &[&[(i64, f64)]]) -> Says {
        let mut says = Says::default();
        counters.iter().for_each(|c| says.hear(c, T));
        says
    }

    #[test]
    fn most_counters_make_a_restart() {
        let reset: &[_] = &[(T - 30_000, 5.0), (T - 15_000, 9.0), (T, 1.0)];
        let later: &[_] = &[(T - 15_000, 9.0), (T + 100, 1.0)];
        let on: &[_] = &[(T - 15_000, 9.0), (T, 9.0)];
        let zero: &[_] = &[(T - 15_000, 0.0), (T, 0.0)];
        let born: &[_] = &[(T, 3.0)];
        let silent: &[_] = &[(T - 15_000, 9.0)];
        let gone: &[_] = &[(T - 15_000, 9.0), (T, f64::NAN)];
        for (counters, early, whole) in [
            (vec![reset, later], Some(T), Some(T)),
            (vec![later, later], Some(T + 100), Some(T + 100)),
            // What counted nothing, is new, or ended has no say.
            (
                vec![reset, reset, zero, zero, born, gone, gone],
                Some(T),
                Some(T),
            ),
            (vec![reset], None, None),
            (vec![reset, reset, on], Some(T), Some(T)),
            (vec![reset, reset, on, on], None, None),
            // What may still come is waited for.
            (vec![reset, reset, silent, silent], None, Some(T)),
            (vec![], None, None),
        ] {
            let says = says(&counters);
            let said = (says.restarted(false), says.restarted(true));
            assert_eq!(said, (early, whole), "{counters:?}");
        }
    }
}
