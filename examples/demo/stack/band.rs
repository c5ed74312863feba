//! The graph page of Prometheus with a series in its band and its score, and what that page draws: the
//! demo prints its address, the end-to-end test takes its picture.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use saimon::clock::{Clock as _, SystemClock};
use serde_json::Value;

use super::http;

/// What Prometheus reads from saimon.
pub(crate) const READ: [&str; 4] = [
    "saimon_anomaly_score",
    "saimon_expected",
    "saimon_lower_bound",
    "saimon_upper_bound",
];

/// What the page shows, up to now.
const SHOWN: Duration = Duration::from_secs(300);
/// Between two points that are asked for: the page has about as many.
const STEP: u64 = 2;
/// Of a line that deserves its name.
const POINTS_MIN: usize = 10;

/// A series by its name and its label `node`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Band<'a> {
    pub(crate) metric: &'a str,
    pub(crate) node: &'a str,
}

impl Band<'_> {
    /// The series with its band, and its score, each for a panel of its own.
    pub(crate) fn queries(&self) -> [String; 2] {
        let Self { metric, node } = self;
        let of = format!("saimon=\"virtual\",source_metric=\"{metric}\",node=\"{node}\"");
        let band = READ[1..].join("|");
        [
            format!("{metric}{{node=\"{node}\"}} or {{__name__=~\"{band}\",{of}}}"),
            format!("{}{{{of}}}", READ[0]),
        ]
    }

    /// The address of the page at a Prometheus of this machine.
    pub(crate) fn address(&self, prometheus: u16) -> String {
        let panel = |(i, expr): (usize, &String)| {
            let expr = http::encode(expr);
            let minutes = SHOWN.as_secs() / 60;
            format!("g{i}.expr={expr}&g{i}.tab=0&g{i}.range_input={minutes}m")
        };
        let queries = self.queries();
        let panels: Vec<_> = queries.iter().enumerate().map(panel).collect();
        format!("http://127.0.0.1:{prometheus}/graph?{}", panels.join("&"))
    }

    /// Asks what the page asks. The names of the lines that it draws, in the order of their names.
    ///
    /// # Errors
    /// If one of them is missing or has hardly a point.
    pub(crate) fn drawn(&self, prometheus: u16) -> Result<Vec<String>> {
        let now = u64::try_from(SystemClock.now_ms() / 1000)?;
        let mut drawn = Vec::new();
        for query in self.queries() {
            let path = format!(
                "/api/v1/query_range?query={}&start={}&end={now}&step={STEP}",
                http::encode(&query),
                now - SHOWN.as_secs(),
            );
            let answer: Value = serde_json::from_str(&http::page(prometheus, &path)?)?;
            let lines = answer["data"]["result"].as_array().context("no result")?;
            for line in lines {
                let name = line["metric"]["__name__"].as_str().unwrap_or_default();
                let points = line["values"].as_array().map_or(0, Vec::len);
                ensure!(points >= POINTS_MIN, "{name} has {points} points");
                drawn.push(name.to_owned());
            }
        }
        drawn.sort();
        let mut wanted: Vec<&str> = READ.to_vec();
        wanted.push(self.metric);
        wanted.sort_unstable();
        ensure!(drawn == wanted, "{drawn:?} and not {wanted:?}");
        Ok(drawn)
    }
}
