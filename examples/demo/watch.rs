//! Looks at the running stack, as an operator with many browser tabs would.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::stack::http;
use crate::stack::pages::{self, Alert, Labels};
use crate::stack::ports::Ports;
use crate::story::{FAULT, Fault, SECOND};

/// Between two looks at what changes slowly.
const SLOW: Duration = Duration::from_secs(1);

/// One score.
#[derive(Debug, Clone)]
pub(crate) struct Score {
    pub(crate) metric: String,
    pub(crate) labels: Labels,
    pub(crate) score: f64,
}

/// What saimon says of the incident that the faults are.
#[derive(Debug, Clone)]
pub(crate) struct Incident {
    pub(crate) id: String,
    /// On the page.
    pub(crate) address: String,
    pub(crate) summary: String,
}

/// Where an alert says that saimon's page is, for what it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    /// Its name.
    pub(crate) alert: String,
    /// The label `node` of its series.
    pub(crate) node: Option<String>,
    pub(crate) page: String,
}

/// What was seen at one moment.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Samples that Prometheus has of each series of the generator.
    pub(crate) samples: u32,
    /// Series that saimon knows.
    pub(crate) series: u32,
    /// All scores, the highest first.
    pub(crate) scores: Vec<Score>,
    /// Labels of every `saimon_anomaly`.
    pub(crate) anomalies: Vec<Labels>,
    /// Labels of every alert in Alertmanager.
    pub(crate) alerts: Vec<Labels>,
    /// The generator's own list of what is wrong now.
    pub(crate) truth: Vec<String>,
    /// The incident that has both broken series.
    pub(crate) incident: Option<Incident>,
}

#[derive(Debug)]
pub(crate) struct Watcher {
    ports: Ports,
    view: View,
    slow: Option<Instant>,
    /// Of all alerts so far.
    links: BTreeSet<Link>,
}

impl Watcher {
    pub(crate) fn new(ports: Ports) -> Self {
        Self {
            ports,
            view: View::default(),
            slow: None,
            links: BTreeSet::new(),
        }
    }

    pub(crate) fn look(&mut self) -> Result<&View> {
        let page = http::page(self.ports.saimon, "/metrics/scores")?;
        let mut scores = Vec::new();
        let mut anomalies = Vec::new();
        for mut sample in pages::samples(&page)? {
            match sample.name.as_str() {
                "saimon_anomaly_score" => scores.push(Score {
                    metric: sample.labels.remove("source_metric").unwrap_or_default(),
                    labels: sample.labels,
                    score: sample.value,
                }),
                "saimon_anomaly" => anomalies.push(sample.labels),
                _ => {}
            }
        }
        scores.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.view.scores = scores;
        self.view.anomalies = anomalies;
        let alerts = pages::alerts(self.ports.alertmanager)?;
        self.links.extend(alerts.iter().filter_map(Link::of));
        self.view.alerts = alerts.into_iter().map(|a| a.labels).collect();

        if self.slow.is_none_or(|then| then.elapsed() >= SLOW) {
            self.slow = Some(Instant::now());
            self.look_at_what_is_slow()?;
        }
        Ok(&self.view)
    }

    fn look_at_what_is_slow(&mut self) -> Result<()> {
        let samples = pages::query(
            self.ports.prometheus,
            "count_over_time(up{job=\"demo\"}[1h])",
        )?;
        self.view.samples = samples.first().map_or(0, |(_, n)| *n as u32);
        let own = pages::samples(&http::page(self.ports.saimon, "/metrics")?)?;
        self.view.series = own
            .iter()
            .filter(|s| s.name == "saimon_series")
            .map(|s| s.value as u32)
            .sum();
        let truth: Value = serde_json::from_str(&http::page(self.ports.generator, "/faults")?)?;
        self.view.truth = active_faults(&truth);
        self.view.incident = self.incident()?;
        Ok(())
    }

    /// Asked of the API.
    fn incident(&self) -> Result<Option<Incident>> {
        let ask = |path: &str| -> Result<Value> {
            Ok(serde_json::from_str(&http::page(self.ports.saimon, path)?)?)
        };
        let list = format!("/api/v1/incidents?limit=5&metric_name={}", FAULT.metric);
        for incident in ask(&list)?["incidents"].as_array().into_iter().flatten() {
            let link = incident["link"].as_str().unwrap_or_default();
            let one = ask(link)?;
            let has = |fault: &Fault| {
                let mut all = one["anomalies"].as_array().into_iter().flatten();
                all.any(|a| a["metric_name"] == fault.metric && a["labels"]["node"] == fault.node)
            };
            if has(&FAULT) && has(&SECOND) {
                let id = incident["id"].as_str().unwrap_or_default().to_owned();
                return Ok(Some(Incident {
                    address: format!("http://127.0.0.1:{}/#/incidents/{id}", self.ports.saimon),
                    id,
                    summary: incident["summary"].as_str().unwrap_or_default().to_owned(),
                }));
            }
        }
        Ok(None)
    }

    /// The links of all alerts that were seen.
    pub(crate) fn links(&self) -> &BTreeSet<Link> {
        &self.links
    }

    /// The labels of everything that ever fired in this Prometheus.
    pub(crate) fn ever_alerted(&self) -> Result<Vec<Labels>> {
        let rows = pages::query(
            self.ports.prometheus,
            "max_over_time(ALERTS{alertstate=\"firing\"}[1h])",
        )?;
        Ok(rows.into_iter().map(|(labels, _)| labels).collect())
    }
}

impl Link {
    fn of(alert: &Alert) -> Option<Self> {
        Some(Self {
            alert: alert.labels.get("alertname")?.clone(),
            node: alert.labels.get("node").cloned(),
            page: alert.annotations.get("page")?.clone(),
        })
    }
}

/// Orders the fault from the generator.
pub(crate) fn inject(generator: u16, fault: &Fault) -> Result<()> {
    let order = json!({
        "kind": fault.kind,
        "series": fault.series,
        "size": fault.size,
        "for": format!("{}s", fault.lasts.as_secs()),
    });
    let answer = http::post_json(generator, "/faults", &order)?;
    if !(200..300).contains(&answer.status) {
        bail!(
            "the generator refused the fault {order}: {} {}",
            answer.status,
            answer.body.trim()
        );
    }
    Ok(())
}

/// One line for each fault that is there now.
fn active_faults(truth: &Value) -> Vec<String> {
    truth["faults"]
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter(|fault| fault["state"] == "active")
        .map(|fault| {
            let word = |key: &str| fault[key].as_str().unwrap_or("?").to_owned();
            format!(
                "{} in {}, until {}",
                word("kind"),
                word("selector"),
                word("end")
            )
        })
        .collect()
}
