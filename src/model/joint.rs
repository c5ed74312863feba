//! Whether the series of a group still move as they always do together.
//!
//! A principal component analysis of the members' distances from their levels (Pearson 1901; for
//! monitoring Jackson and Mudholkar 1979) says in how many directions they move; what a row has
//! outside these is its residual. Its size has a tail of its own ([`super::tail`]), so that the line is
//! where one row in ten thousand lies, whatever the group. It is an opinion of its own and is mixed
//! into no other: where each member is plausible alone, it is the only one that speaks.
//!
//! What always holds: a row is judged before it is learned from; memory is fixed; the same rows give
//! the same opinions. What it can't see: series that move together in curves, what comes to all
//! members at once in their usual proportions, and groups of fewer than three series that move
//! together.
//!
//! Cost: 64 members take 128 KiB of rows and a fit of a few milliseconds a day.

pub mod relation;

use serde::{Deserialize, Serialize};

use self::relation::Relation;
use super::forest::random::Random;
use super::tail::Tail;

/// Most members of a group that are looked at.
pub const MEMBERS_MAX: usize = 64;
/// Rows that a fit is made from.
const ROWS: usize = 512;
/// Rows that room is made for at once: a group takes 128 KiB when it has them all.
const GROWTH: usize = 64;
/// Rows before the first fit.
const FIRST_FIT: u64 = 200;
/// Rows that a row may be older than, in days, about.
const DAYS: f32 = 7.0;
/// Rows judged before one may be over the line.
const LEARNED: u32 = 500;
/// Rows that the tail remembers.
const TAIL_ROWS: f32 = 100_000.0;
/// -ln of one in ten thousand.
const LINE_NATS: f32 = 9.210_34;
/// Residuals count with this power: the largest of several has a lighter tail than a distance of one
/// series, so the lightest tail that is believed in is Pareto with index 2/0.15 here.
const POWER: f32 = 2.0;
/// What a row over the line teaches the tail: what goes on for hours must not become usual in minutes.
const TEACHES: f32 = 0.05;
/// Smoothing over two rows, as of the evidence of series.
const SMOOTHING: f32 = 2.0 / 3.0;
/// Rows over the line among the newest three that begin an anomaly ...
const CONFIRM: u32 = 2;
const RECENT: u8 = 0b111;
/// ... and rows in a row under it that end it.
const RELEASE: u8 = 5;
/// Rows after an end in which no other begins.
const REST: u32 = 60;
/// Share of a day that an anomaly lasts until the relation is taken to be another one.
const ADAPT_DAYS: f32 = 0.5;

/// What is said of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// Size of the residual in units of the line; not negative, finite.
    pub deviation: f32,
    /// Share of each member in it; they add up to 1. Members that do not move with others have none.
    pub shares: Vec<f32>,
    /// An anomaly is under way.
    pub active: bool,
    /// It begins with this row.
    pub began: bool,
}

/// The members of one group, together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joint {
    /// Those that are held; an earlier saimon stored room for all.
    rows: Vec<f32>,
    held: usize,
    seen: u64,
    random: Random,
    next_fit: u64,
    relation: Option<Relation>,
    tail: Tail,
    judged: u32,
    smoothed: f32,
    recent: u8,
    under: u8,
    /// Rows for which the anomaly under way lasts.
    lasts: Option<u32>,
    rest: u32,
}

impl Joint {
    pub fn new(seed: u64) -> Self {
        Self {
            rows: Vec::new(),
            held: 0,
            seen: 0,
            random: Random::new(seed),
            next_fit: FIRST_FIT,
            relation: None,
            tail: Tail::new(),
            judged: 0,
            smoothed: 0.0,
            recent: 0,
            under: 0,
            lasts: None,
            rest: 0,
        }
    }

    /// False for a state that was never one of a group: places and lengths do not fit.
    pub fn is_sound(&self) -> bool {
        self.rows.len().is_multiple_of(MEMBERS_MAX)
            && self.rows.len() <= ROWS * MEMBERS_MAX
            && self.held * MEMBERS_MAX <= self.rows.len()
            && self.relation.as_ref().is_none_or(Relation::is_sound)
    }

    /// An anomaly is under way.
    pub fn is_active(&self) -> bool {
        self.lasts.is_some()
    }

    /// Ends the anomaly under way: what it was shown on is no more.
    pub fn end(&mut self) {
        if self.lasts.take().is_some() {
            self.rest = REST;
        }
    }

    /// Members that move together, as of the last fit.
    pub fn members(&self) -> usize {
        self.relation.as_ref().map_or(0, Relation::members)
    }

    /// Members that move together, each with those that it does so with, as bits of places; as of the
    /// last fit.
    pub fn alike(&self) -> Vec<(usize, u64)> {
        self.relation
            .as_ref()
            .map_or_else(Vec::new, Relation::alike)
    }

    /// Another number after each fit.
    pub fn fits(&self) -> u64 {
        self.next_fit
    }

    /// A member has gone, or another one has its place.
    pub fn vacate(&mut self, member: usize) {
        for row in self.rows.chunks_exact_mut(MEMBERS_MAX) {
            row[member] = f32::NAN;
        }
        if let Some(relation) = &self.relation
            && relation.has(member)
        {
            self.relation = None;
            self.next_fit = self.seen + FIRST_FIT;
            // While one is under way nothing is fitted.
            self.end();
        }
    }

    /// Takes one row: the distance of each member from its level in scales, NaN where it has none.
    /// `alone` is the largest deviation of any member by itself; from 1 on the row is no matter of
    /// the group. `a_day` is how many rows a day has.
    pub fn take(&mut self, row: &[f32; MEMBERS_MAX], alone: f32, a_day: f32) -> Option<Opinion> {
        let opinion = self.judge(row, alone, a_day);
        self.keep(row, a_day);
        opinion
    }

    fn judge(&mut self, row: &[f32; MEMBERS_MAX], alone: f32, a_day: f32) -> Option<Opinion> {
        let residual = self.relation.as_ref()?.residual(row)?;
        self.smoothed += SMOOTHING * (residual.size - self.smoothed);
        let x = POWER * self.smoothed.ln_1p();
        let nats = self.tail.nats(x);
        self.judged = self.judged.saturating_add(1);
        let grown = self.judged > LEARNED;
        let deviation = if grown { nats / LINE_NATS } else { 0.0 };
        let teaches = if deviation >= 1.0 { TEACHES } else { 1.0 };
        let rate = teaches / (self.judged as f32).min(TAIL_ROWS);
        self.tail.learn(x, rate);
        let began = self.hear(deviation >= 1.0, alone < 1.0);
        if self
            .lasts
            .is_some_and(|rows| rows as f32 >= ADAPT_DAYS * a_day)
        {
            // Whatever it was, it is how they move now.
            self.begin_again();
        }
        Some(Opinion {
            deviation,
            shares: residual.shares,
            active: self.lasts.is_some(),
            began,
        })
    }

    /// Whether an anomaly begins.
    fn hear(&mut self, over: bool, plausible: bool) -> bool {
        self.recent = (self.recent << 1 | u8::from(over)) & RECENT;
        self.rest = self.rest.saturating_sub(1);
        match &mut self.lasts {
            Some(rows) => {
                *rows = rows.saturating_add(1);
                self.under = if over { 0 } else { self.under + 1 };
                if self.under >= RELEASE {
                    self.lasts = None;
                    self.rest = REST;
                }
                false
            }
            None => {
                let confirmed = self.recent.count_ones() >= CONFIRM;
                let begins = over && plausible && confirmed && self.rest == 0;
                if begins {
                    self.lasts = Some(1);
                    self.under = 0;
                }
                begins
            }
        }
    }

    fn begin_again(&mut self) {
        self.rows.clear();
        self.held = 0;
        self.seen = 0;
        self.next_fit = FIRST_FIT;
        self.relation = None;
        self.tail = Tail::new();
        self.judged = 0;
        self.smoothed = 0.0;
        self.lasts = None;
        self.recent = 0;
    }

    /// Takes the row among those that a fit is made from: every row of the last days is as likely to
    /// be there (Vitter 1985).
    fn keep(&mut self, row: &[f32; MEMBERS_MAX], a_day: f32) {
        self.seen += 1;
        let at = if self.held < ROWS {
            self.held += 1;
            Some(self.held - 1)
        } else {
            let of = (self.seen as f32).min(DAYS * a_day).max(ROWS as f32);
            let keeps = self.random.unit() * of < ROWS as f32;
            keeps.then(|| self.random.below(ROWS as u32) as usize)
        };
        if let Some(at) = at {
            let from = at * MEMBERS_MAX;
            if from == self.rows.len() {
                if self.rows.capacity() == self.rows.len() {
                    self.rows.reserve_exact(GROWTH * MEMBERS_MAX);
                }
                self.rows.extend_from_slice(row);
            } else {
                self.rows[from..][..MEMBERS_MAX].copy_from_slice(row);
            }
        }
        if self.seen >= self.next_fit {
            let day = (a_day as u64).max(FIRST_FIT);
            self.next_fit = self.seen + self.seen.min(day);
            // During an anomaly the relation of before is what it is judged by.
            if self.lasts.is_none() {
                self.relation = Relation::fit(&self.rows[..self.held * MEMBERS_MAX]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
