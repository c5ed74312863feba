//! What happens in the demo, and when: the warm-up, the fault, the alert, the return.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::stack::pace::SHIFT;
use crate::stack::pages::{Labels, display};
use crate::watch::{Incident, View};

/// What is broken on purpose.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: &'static str,
    /// The series, in the generator's words.
    pub(crate) series: &'static str,
    /// Its metric name.
    pub(crate) metric: &'static str,
    /// Its label `node`.
    pub(crate) node: &'static str,
    /// In standard deviations of the series' own noise.
    pub(crate) size: f64,
    pub(crate) lasts: Duration,
}

pub(crate) const FAULT: Fault = Fault {
    kind: "level_shift",
    series: "demo_load1{node=\"n1\"}",
    metric: "demo_load1",
    node: "n1",
    size: SHIFT,
    lasts: Duration::from_secs(20),
};

/// The same happens to its neighbour, so that the two are one incident.
pub(crate) const SECOND: Fault = Fault {
    series: "demo_load1{node=\"n2\"}",
    node: "n2",
    ..FAULT
};

/// The line between a score of a normal sample and of an anomalous one.
const LINE: f64 = 0.7;

/// After the warm-up, before the fault: a look at the quiet scores.
const QUIET_SAMPLES: u32 = 10;

/// The score must stay below the line for so long to count as back.
const BACK: Duration = Duration::from_secs(5);

/// After the alert ended, in case something else alerts late.
const AFTERMATH: Duration = Duration::from_secs(4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmingUp,
    Faulty,
    Returning,
    Over,
}

/// When things were first seen, on the clock of whoever looks.
#[derive(Debug, Default)]
struct Times {
    fault: Option<Instant>,
    crossed: Option<Instant>,
    active: Option<Instant>,
    alerted: Option<Instant>,
    /// Below the line since, after the fault was over.
    below: Option<Instant>,
    back: Option<Instant>,
    resolved: Option<Instant>,
    incident: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Story {
    phase: Phase,
    /// Samples after which the generator's series may alert.
    warm: u32,
    /// Somebody watches: nothing is over until they leave.
    watched: bool,
    times: Times,
    peak: f64,
    incident: Option<Incident>,
    others: BTreeSet<String>,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) good: bool,
    pub(crate) text: String,
}

impl Story {
    pub(crate) fn new(warm: u32, watched: bool) -> Self {
        Self {
            phase: Phase::WarmingUp,
            warm,
            watched,
            times: Times::default(),
            peak: 0.0,
            incident: None,
            others: BTreeSet::new(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The id of the incident, once there is one.
    pub(crate) fn incident(&self) -> Option<&str> {
        self.incident.as_ref().map(|i| i.id.as_str())
    }

    /// One line that says where we are.
    pub(crate) fn phase(&self, view: &View) -> String {
        match self.phase {
            Phase::WarmingUp => format!(
                "warming up: {} of {} samples; {} of {} series scored",
                view.samples.min(self.warm),
                self.warm,
                view.scores.len(),
                view.series
            ),
            Phase::Faulty => format!(
                "{} by {} times the noise in {}, for {} s",
                FAULT.kind,
                FAULT.size,
                FAULT.series,
                FAULT.lasts.as_secs()
            ),
            Phase::Returning => {
                "the fault is over: the score returns, and a minute later the alert ends".to_owned()
            }
            Phase::Over if self.watched => {
                "done; all keeps running until Ctrl-C, look around".to_owned()
            }
            Phase::Over => "done".to_owned(),
        }
    }

    /// Takes what was seen at `now` and says what is new. `inject` orders a fault.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        view: &View,
        inject: impl Fn(&Fault) -> Result<()>,
    ) -> Result<Vec<String>> {
        let mut events = Vec::new();
        let strange = |a: &&Labels| !is_ordered(a) && !is_of_incident(a);
        for alert in view.alerts.iter().filter(strange) {
            let name = alert_name(alert);
            if self.others.insert(name.clone()) {
                events.push(format!("an alert that nobody ordered: {name}"));
            }
        }
        let score = view
            .scores
            .iter()
            .find(|s| {
                s.metric == FAULT.metric && s.labels.get("node").is_some_and(|n| n == FAULT.node)
            })
            .map(|s| s.score);
        match self.phase {
            Phase::WarmingUp => {
                if view.samples >= self.warm + QUIET_SAMPLES && score.is_some() {
                    inject(&FAULT)?;
                    inject(&SECOND)?;
                    self.times.fault = Some(now);
                    self.phase = Phase::Faulty;
                    events.push(format!(
                        "warm: {} series scored; fault ordered: {} by {} times the noise in {}",
                        view.scores.len(),
                        FAULT.kind,
                        FAULT.size,
                        FAULT.series
                    ));
                }
            }
            Phase::Faulty | Phase::Returning => self.follow(now, view, score, &mut events),
            Phase::Over => {}
        }
        Ok(events)
    }

    fn follow(&mut self, now: Instant, view: &View, score: Option<f64>, events: &mut Vec<String>) {
        let Some(fault) = self.times.fault else {
            return;
        };
        let since = |what: &str| format!("{:5.1} s  {what}", (now - fault).as_secs_f64());
        let fault_is_over = now - fault >= FAULT.lasts;
        if fault_is_over && self.phase == Phase::Faulty {
            self.phase = Phase::Returning;
            events.push(since("the fault is over"));
        }

        let score = score.unwrap_or(0.0);
        self.peak = self.peak.max(score);
        if score >= LINE && self.times.crossed.is_none() {
            self.times.crossed = Some(now);
            events.push(since(&format!("its score crossed the line: {score:.3}")));
        }
        let active = view
            .anomalies
            .iter()
            .find(|a| is_target(a) && a.get("state").is_some_and(|s| s == "active"));
        if let Some(anomaly) = active
            && self.times.active.is_none()
        {
            self.times.active = Some(now);
            let word = |key: &str| anomaly.get(key).map_or("?", String::as_str);
            events.push(since(&format!(
                "saimon_anomaly is active: severity {}, direction {}, reason {}",
                word("severity"),
                word("direction"),
                word("reason")
            )));
        }
        let alert = view.alerts.iter().find(|a| is_target(a));
        if let Some(alert) = alert
            && self.times.alerted.is_none()
        {
            self.times.alerted = Some(now);
            events.push(since(&format!(
                "the alert is in Alertmanager: {}",
                alert_name(alert)
            )));
        }

        if let Some(incident) = &view.incident
            && self.times.incident.is_none()
        {
            self.times.incident = Some(now);
            self.incident = Some(incident.clone());
            events.push(since(&format!("one incident: {}", incident.summary)));
            events.push(format!("         {}", incident.address));
        }

        if !fault_is_over {
            return;
        }
        if score >= LINE {
            self.times.below = None;
        } else {
            let below = *self.times.below.get_or_insert(now);
            if now - below >= BACK && self.times.back.is_none() {
                self.times.back = Some(below);
                events.push(format!(
                    "{:5.1} s  its score is back: {score:.3}",
                    (below - fault).as_secs_f64()
                ));
            }
        }
        if alert.is_none() && self.times.alerted.is_some() && self.times.resolved.is_none() {
            self.times.resolved = Some(now);
            events.push(since("the alert ended"));
        } else if alert.is_some() {
            self.times.resolved = None;
        }
        let quiet = |t: Option<Instant>| t.is_some_and(|t| now - t >= AFTERMATH);
        if quiet(self.times.back) && quiet(self.times.resolved) {
            self.phase = Phase::Over;
        }
    }

    /// `ever` are the labels of all that Prometheus ever saw firing.
    pub(crate) fn verdict(&self, ever: &[Labels]) -> Verdict {
        if self.times.fault.is_none() {
            return Verdict {
                good: false,
                text: "stopped before the fault".to_owned(),
            };
        }
        let mut others = self.others.clone();
        let strange = |a: &&Labels| !is_ordered(a) && !is_of_incident(a);
        others.extend(ever.iter().filter(strange).map(alert_name));

        let after = |t: Option<Instant>| match (self.times.fault, t) {
            (Some(fault), Some(t)) => format!("{:.1} s", (t - fault).as_secs_f64()),
            _ => "never".to_owned(),
        };
        let mut lines = vec![
            format!("fault              {} in {}", FAULT.kind, FAULT.series),
            format!("score >= 0.7       {}", after(self.times.crossed)),
            format!("highest score      {:.3}", self.peak),
            format!("anomaly active     {}", after(self.times.active)),
            format!("in Alertmanager    {}", after(self.times.alerted)),
            format!(
                "score back         {} (the fault lasted {} s)",
                after(self.times.back),
                FAULT.lasts.as_secs()
            ),
            format!("alert ended        {}", after(self.times.resolved)),
            format!(
                "incident           {} {}",
                after(self.times.incident),
                self.incident.as_ref().map_or("", |i| i.address.as_str())
            ),
            format!("other alerts       {}", others.len()),
        ];
        lines.extend(
            others
                .iter()
                .map(|name| format!("                   {name}")),
        );
        let good = self.times.alerted.is_some()
            && self.times.back.is_some()
            && self.times.resolved.is_some()
            && self.times.incident.is_some()
            && others.is_empty();
        lines.push(
            if good {
                "the alert came, it ended, and nothing else alerted"
            } else {
                "not as it should be"
            }
            .to_owned(),
        );
        Verdict {
            good,
            text: lines.join("\n"),
        }
    }
}

fn is_target(labels: &Labels) -> bool {
    let is = |name: &str, value: &str| labels.get(name).is_some_and(|v| v == value);
    is("source_metric", FAULT.metric) && is("node", FAULT.node)
}

/// True for the broken series and its neighbour.
fn is_ordered(labels: &Labels) -> bool {
    let is = |name: &str, value: &str| labels.get(name).is_some_and(|v| v == value);
    is_target(labels) || is("source_metric", SECOND.metric) && is("node", SECOND.node)
}

/// An incident that alerts has a series that alerts, so those about incidents tell nothing more.
fn is_of_incident(labels: &Labels) -> bool {
    let name = labels.get("alertname");
    name.is_some_and(|n| n.starts_with("SaimonIncident"))
}

fn alert_name(labels: &Labels) -> String {
    let name = labels.get("alertname").map_or("?", String::as_str);
    display(
        name,
        labels,
        &["alertname", "alertstate", "__name__", "state"],
    )
}
