//! One anomaly under way, as its samples make it.

use crate::engine::record::{EndedBy, Peak, Record, RecordId, RecordState};
use crate::model::Point;
use crate::model::ensemble::NAMES;
use crate::score::band::Band;
use crate::score::board::{Alarm, AlarmState};
use crate::score::judge::Judgement;

/// Parts of a peak that are kept (product contract).
const PARTS_MAX: usize = 3;
/// What a judge takes at least for the end of an anomaly, in milliseconds.
const SILENCE_MS: i64 = 3_600_000;
/// The part of an absence.
const ABSENCE: &str = "absence";

/// A record that is being made.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Record,
}

impl Entry {
    pub(super) fn new(
        fingerprint: u64,
        partition: u8,
        labels: &[u8],
        x: Point,
        judged: &Judgement,
        band: Option<Band>,
        alarm: Alarm,
    ) -> Self {
        let mut record = record(fingerprint, partition, labels, x.t_ms, alarm);
        record.peak = peak(x, judged, band);
        Self { record }
    }

    pub(super) fn absent(
        fingerprint: u64,
        partition: u8,
        labels: &[u8],
        start_ms: i64,
        score: f32,
        alarm: Alarm,
    ) -> Self {
        let mut record = record(fingerprint, partition, labels, start_ms, alarm);
        record.absent = true;
        record.active_ms = Some(start_ms);
        record.peak.score = score;
        record.peak.parts = vec![(ABSENCE.to_owned(), 1.0)];
        Self { record }
    }

    pub(super) fn is_pending(&self) -> bool {
        self.record.state == RecordState::Pending
    }

    /// Takes a sample; true if the record is another now.
    pub(super) fn take(
        &mut self,
        x: Point,
        judged: &Judgement,
        band: Option<Band>,
        alarm: Alarm,
    ) -> bool {
        let r = &mut self.record;
        let mut changed = false;
        if r.state == RecordState::Resolved {
            // It only was silent.
            (r.state, r.end_ms, r.ended_by) = (RecordState::Active, None, None);
            changed = true;
        }
        if alarm.state == AlarmState::Active && r.state == RecordState::Pending {
            r.state = RecordState::Active;
            r.active_ms = Some(x.t_ms);
            changed = true;
        }
        let says = (r.severity.max(alarm.severity), alarm.side, alarm.reason);
        if says != (r.severity, r.side, r.reason) {
            (r.severity, r.side, r.reason) = says;
            changed = true;
        }
        if judged.severity.is_some()
            && judged
                .evidence
                .is_some_and(|e| e.deviation > r.peak.deviation)
        {
            r.peak = peak(x, judged, band);
            changed = true;
        }
        if changed {
            r.as_of_ms = x.t_ms;
        }
        changed
    }

    /// The clock looks at an absence again; true if it is graver than it was.
    pub(super) fn missed(&mut self, score: f32, alarm: Alarm) -> bool {
        let r = &mut self.record;
        let graver = alarm.severity > r.severity || r.state == RecordState::Resolved;
        if graver {
            (r.state, r.end_ms, r.ended_by) = (RecordState::Active, None, None);
            r.severity = r.severity.max(alarm.severity);
            r.peak.score = r.peak.score.max(score);
        }
        graver
    }

    /// Nothing comes any more.
    pub(super) fn rest(&mut self, last_ms: i64) {
        let r = &mut self.record;
        r.state = RecordState::Resolved;
        r.end_ms = Some(last_ms);
        r.ended_by = Some(EndedBy::Silence);
        r.as_of_ms = r.as_of_ms.max(last_ms);
    }

    pub(super) fn end(&mut self, t_ms: i64, by: EndedBy) {
        let r = &mut self.record;
        // After a long silence it ended when it fell silent, and now it is known that it does not go on.
        // After a short one it went on until now, as if nobody had looked at a clock meanwhile.
        let rested = r
            .end_ms
            .filter(|end| t_ms.saturating_sub(*end) > SILENCE_MS);
        r.state = RecordState::Resolved;
        r.end_ms = Some(rested.unwrap_or(t_ms));
        r.ended_by = Some(by);
        r.as_of_ms = r.as_of_ms.max(t_ms);
    }
}

fn record(fingerprint: u64, partition: u8, labels: &[u8], start_ms: i64, alarm: Alarm) -> Record {
    Record {
        id: RecordId {
            start_ms,
            fingerprint,
        },
        labels: labels.into(),
        partition,
        state: match alarm.state {
            AlarmState::Pending => RecordState::Pending,
            AlarmState::Active => RecordState::Active,
        },
        severity: alarm.severity,
        side: alarm.side,
        reason: alarm.reason,
        active_ms: None,
        end_ms: None,
        ended_by: None,
        peak: Peak {
            t_ms: start_ms,
            value: f64::NAN,
            score: 0.0,
            rarity: 0.0,
            deviation: 0.0,
            expected: f64::NAN,
            band: None,
            parts: Vec::new(),
        },
        as_of_ms: start_ms,
        absent: false,
        exemplars: Vec::new(),
    }
}

fn peak(x: Point, judged: &Judgement, band: Option<Band>) -> Peak {
    let evidence = judged.evidence;
    let mut parts: Vec<(String, f32)> = Vec::new();
    if let Some(rule) = evidence.and_then(|e| e.rule) {
        parts.push((rule.name().to_owned(), 1.0));
    } else if let Some(e) = evidence {
        let named = NAMES.iter().zip(e.shares).filter(|(_, share)| *share > 0.0);
        parts.extend(named.map(|(name, share)| ((*name).to_owned(), share)));
        parts.sort_by(|a, b| b.1.total_cmp(&a.1));
        parts.truncate(PARTS_MAX);
    }
    Peak {
        t_ms: x.t_ms,
        value: x.value,
        score: judged.score.unwrap_or(0.0),
        rarity: judged.rarity,
        deviation: evidence.map_or(0.0, |e| e.deviation),
        expected: evidence.map_or(f64::NAN, |e| e.expected),
        band: band.map(|b| (b.lower, b.upper)),
        parts,
    }
}
