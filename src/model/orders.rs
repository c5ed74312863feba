//! What people ordered for a series, by the time of its samples: where its line is, and when it
//! teaches nothing or alerts nobody.
//!
//! Everything here counts from a time on, or between two times, of samples and not of a clock. What
//! always holds: what was said of a sample can be said again from the same orders, so they are no part
//! of what tells one way of scoring from another; whoever adds to them adds behind what was scored.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Lines of a series: one for each reason.
pub const LINES: usize = 11;

/// Factors of the line, by the number of the reason: evidence is divided by them.
pub type Lines = [f32; LINES];

/// Where the lines of a series that nobody judged are.
pub const NEUTRAL: Lines = [1.0; LINES];

/// What is ordered for one series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Orders {
    /// In the order of time: the lines from a time on, in milliseconds.
    pub lines: Arc<[(i64, Lines)]>,
    /// All that hold for the series.
    pub pauses: Vec<Arc<Pause>>,
}

/// Times in which a series teaches nothing, alerts nobody, or both.
#[derive(Debug)]
pub struct Pause {
    /// Never given to another.
    number: u64,
    learn: bool,
    alert: bool,
    /// Disjoint and in the order of time: from (included) and to (excluded), in milliseconds. What is
    /// over stays as it was.
    spans: ArcSwap<Vec<(i64, i64)>>,
}

/// The same if they have the same number: what changes of one are its times alone.
impl PartialEq for Pause {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Pause {
    /// `learn` and `alert` say what goes on in it.
    pub fn new(number: u64, learn: bool, alert: bool, spans: Vec<(i64, i64)>) -> Self {
        Self {
            number,
            learn,
            alert,
            spans: ArcSwap::from_pointee(spans),
        }
    }

    /// What it is known by.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Other times, the same as before up to now.
    pub fn set(&self, spans: Vec<(i64, i64)>) {
        self.spans.store(Arc::new(spans));
    }

    /// Its times.
    pub fn spans(&self) -> Arc<Vec<(i64, i64)>> {
        self.spans.load_full()
    }

    /// True in it.
    pub fn holds(&self, t_ms: i64) -> bool {
        let spans = self.spans.load();
        let at = spans.partition_point(|(from, _)| *from <= t_ms);
        at > 0 && t_ms < spans[at - 1].1
    }
}

impl Orders {
    /// Where the lines are for a sample, if they were ever moved.
    pub fn lines_at(&self, t_ms: i64) -> Option<&Lines> {
        let since = |(from, _): &&(i64, Lines)| *from <= t_ms;
        self.lines.iter().rev().find(since).map(|(_, lines)| lines)
    }

    /// False for a sample that teaches nothing.
    pub fn learns(&self, t_ms: i64) -> bool {
        self.pauses.iter().all(|p| p.learn || !p.holds(t_ms))
    }

    /// False at a time at which nobody is alerted.
    pub fn alerts(&self, t_ms: i64) -> bool {
        self.pauses.iter().all(|p| p.alert || !p.holds(t_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_count_from_their_time_on() {
        let raised = [2.0; LINES];
        let pause = |number, learn, alert, spans| Arc::new(Pause::new(number, learn, alert, spans));
        let orders = Orders {
            lines: [(100, raised), (200, NEUTRAL)].into(),
            pauses: vec![
                pause(1, false, true, vec![(10, 20), (30, 40)]),
                pause(2, true, false, vec![(15, 35)]),
            ],
        };
        assert_eq!(orders.lines_at(99), None);
        assert_eq!(orders.lines_at(100), Some(&raised));
        assert_eq!(orders.lines_at(i64::MAX), Some(&NEUTRAL));
        for (t_ms, learns, alerts) in [
            (9, true, true),
            (10, false, true),
            (15, false, false),
            (20, true, false),
            (34, false, false),
            (35, false, true),
            (40, true, true),
        ] {
            assert_eq!((orders.learns(t_ms), orders.alerts(t_ms)), (learns, alerts));
        }
        orders.pauses[0].set(vec![(10, 12)]);
        assert!(orders.learns(13));
        assert_eq!(
            pause(7, true, true, vec![]),
            pause(7, true, true, vec![(1, 2)])
        );
    }
}
