//! How far feedback moves lines.
//!
//! A line stands on one of few levels, each a factor of [`STEP`] from the next. A rejection raises it
//! by one, [`RUN`] confirmations in a row lower it by one. That is much for one who rejects what
//! troubles him and little for what he confirms: a line that is too low costs nights, and most of what
//! is confirmed was found without its being lowered.

use super::{Feedback, Verdict};
use crate::model::orders::{LINES, Lines, NEUTRAL};
use crate::score::board::{Reason, Side};

/// Factor from one level to the next.
pub const STEP: f64 = 1.25;
/// Confirmations in a row that lower a line by one level.
pub const RUN: u32 = 3;
/// The lowest level: four fifths of the line.
pub const LEVEL_MIN: i32 = -1;
/// The highest level: about six times the line, which hardly anything crosses.
pub const LEVEL_MAX: i32 = 8;

/// Where the lines of a series are after this feedback, in the order in which it was given.
pub(super) fn lines(given: &[Feedback]) -> Lines {
    let mut levels = [0_i32; LINES];
    let mut runs = [0_u32; LINES];
    for feedback in given {
        for reason in reasons(feedback.reason, feedback.side) {
            let (level, run) = (&mut levels[*reason as usize], &mut runs[*reason as usize]);
            match feedback.verdict {
                Verdict::Rejected => {
                    *run = 0;
                    *level = (*level + 1).min(LEVEL_MAX);
                }
                Verdict::Confirmed => {
                    *run += 1;
                    if *run == RUN {
                        *run = 0;
                        *level = (*level - 1).max(LEVEL_MIN);
                    }
                }
            }
        }
    }
    let mut lines = NEUTRAL;
    for (line, level) in lines.iter_mut().zip(levels) {
        *line = STEP.powi(level) as f32;
    }
    lines
}

/// The reasons that single samples of such an anomaly have: what turns out to be a level shift, a
/// changed variance or out of season begins as a spike or a drop.
pub(super) fn reasons(reason: Reason, side: Side) -> &'static [Reason] {
    use Reason::{
        Absent, Drop, Flatline, Joint, LevelShift, OutOfRange, Pattern, Season, Spike, Trend,
        Variance,
    };
    match (reason, side) {
        (Spike, _) => &[Spike],
        (Drop, _) => &[Drop],
        (LevelShift, Side::Up) => &[LevelShift, Spike],
        (LevelShift, Side::Down) => &[LevelShift, Drop],
        (LevelShift, Side::Both) => &[LevelShift, Spike, Drop],
        (Season, Side::Up) => &[Season, Spike],
        (Season, Side::Down) => &[Season, Drop],
        (Season, Side::Both) => &[Season, Spike, Drop],
        (Variance, _) => &[Variance, LevelShift, Spike, Drop],
        (Trend, _) => &[Trend],
        (Flatline, _) => &[Flatline],
        (Absent, _) => &[Absent],
        (OutOfRange, _) => &[OutOfRange],
        (Pattern, _) => &[Pattern],
        (Joint, _) => &[Joint],
    }
}
