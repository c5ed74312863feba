//! What a series gives to a younger one of its family, and how that begins with it.
//!
//! What always holds: only the first value takes a template, so a series begins once, and one that
//! began so is young until it has as many values of its own as any other: its severity is low at most
//! until then.

use super::{Judge, Phase, Point};
use crate::model::{Ensemble, SeriesSpec};
use crate::score::rarity::Rarity;

/// Values of its own before the first score of a series that began with a template.
const OWN_FIRST: u32 = 10;

/// What a younger series may begin with.
#[derive(Debug, Clone)]
pub struct Template {
    ensemble: Ensemble,
    rarity: Rarity,
}

impl Judge {
    /// What a series of the same family may begin with: nothing while this one is young or has an
    /// anomaly.
    pub fn template(&self, spec: &SeriesSpec) -> Option<Box<Template>> {
        let knows = self.phase(spec) == Phase::Mature && self.alarm().is_none();
        knows.then(|| {
            Box::new(Template {
                ensemble: self.ensemble.clone(),
                rarity: self.rarity.clone(),
            })
        })
    }

    /// Has the next value begin with this, if it is the first.
    pub fn offer(&mut self, template: Option<Box<Template>>) {
        self.template = template.filter(|_| self.seen == 0);
    }

    pub(super) fn begin_with_template(&mut self, spec: &SeriesSpec, interval_ms: f64, x: Point) {
        let Some(template) = self.template.take().filter(|_| self.seen == 0) else {
            return;
        };
        if let Some(ensemble) = template.ensemble.for_sibling(spec, x) {
            self.ensemble = ensemble;
            self.rarity = template.rarity;
            self.seen = spec.warmup.saturating_sub(OWN_FIRST);
            // As if its neighbour had been there.
            self.last_ms = x.t_ms.saturating_sub(interval_ms as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Severity;

    fn value(i: i64) -> f64 {
        50.0 + f64::from((i as i32 * 7919) % 13)
    }

    fn grown(spec: &SeriesSpec) -> Judge {
        let mut judge = Judge::new();
        for i in 0..3000 {
            let (t_ms, value) = (i * 15_000, value(i));
            judge.judge(spec, 15_000.0, Point { t_ms, value });
        }
        judge
    }

    #[test]
    fn a_sibling_is_scored_after_ten_values_and_is_never_more_than_low_while_young() {
        let spec = SeriesSpec::default();
        let old = grown(&spec);
        let mut new = Judge::new();
        new.offer(old.template(&spec));
        for i in 3000..3000 + i64::from(OWN_FIRST) {
            let (t_ms, value) = (i * 15_000, value(i));
            let judged = new.judge(&spec, 15_000.0, Point { t_ms, value });
            assert_eq!(judged.score, None, "{i}");
        }
        let mut highest: f32 = 0.0;
        for i in 3010..3400 {
            let (t_ms, value) = (i * 15_000, value(i));
            let judged = new.judge(&spec, 15_000.0, Point { t_ms, value });
            highest = highest.max(judged.score.unwrap());
        }
        assert!(highest < 0.7, "{highest}");
        let mut severity = None;
        for i in 3400..3410 {
            let (t_ms, value) = (i * 15_000, 500.0);
            let judged = new.judge(&spec, 15_000.0, Point { t_ms, value });
            severity = severity.max(judged.severity);
        }
        assert_eq!(severity, Some(Severity::Low));
    }

    #[test]
    fn young_series_give_nothing_and_those_with_values_take_nothing() {
        let spec = SeriesSpec::default();
        assert!(Judge::new().template(&spec).is_none());
        let mut old = grown(&spec);
        let before = old.seen();
        let template = old.template(&spec);
        old.offer(template);
        assert!(old.template.is_none() && old.seen() == before);
    }
}
