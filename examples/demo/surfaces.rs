//! The incident of the demo on each surface: REST, gRPC, the page in a real Chromium, and the links of
//! the alerts, which must open what they are about.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use saimon::expose::grpc::v1;
use saimon::expose::grpc::v1::saimon_client::SaimonClient;
use serde_json::Value;
use tonic::transport::Endpoint;

use crate::stack::http;
use crate::stack::ports::Ports;
use crate::story::{FAULT, SECOND};
use crate::watch::Link;

/// How long it is asked again: a machine that is busy answers 503.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(3);

/// What [`agree`] gives, asked again for a while if it fails.
///
/// # Errors
/// As there, the last time.
pub(crate) fn agree_in_time(
    ports: Ports,
    incident: &str,
    links: &BTreeSet<Link>,
) -> Result<Vec<String>> {
    let since = Instant::now();
    loop {
        let seen = agree(ports, incident, links);
        if seen.is_ok() || since.elapsed() >= PATIENCE {
            return seen;
        }
        std::thread::sleep(AGAIN);
    }
}

/// Asks every surface for an incident and for the explanation of what it began with. What was seen,
/// a line each.
///
/// # Errors
/// If one of them cannot be asked or says something else than the others.
fn agree(ports: Ports, incident: &str, links: &BTreeSet<Link>) -> Result<Vec<String>> {
    let rest = Rest::ask(ports.saimon, incident).context("REST")?;
    let mut seen = vec![
        format!("REST   {}", rest.summary),
        format!("       {}", rest.sentences.join(" ")),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(same_by_grpc(ports.saimon + 1, incident, &rest))
        .context("gRPC")?;
    seen.push("gRPC   the same incident, the same explanation".to_owned());
    let address = format!("http://127.0.0.1:{}/#/incidents/{incident}", ports.saimon);
    page_of_incident(&address, &rest).context("the page")?;
    seen.push(format!("page   {address}"));
    seen.extend(linked(links).context("the links of alerts")?);
    Ok(seen)
}

/// What REST says.
struct Rest {
    summary: String,
    /// Ids of its anomalies.
    anomalies: Vec<String>,
    origin: Origin,
    sentences: Vec<String>,
}

/// Where the incident likely began: series, and the sample that was furthest out.
struct Origin {
    series_id: String,
    metric: String,
    peak: jiff::Timestamp,
}

impl Rest {
    fn ask(port: u16, incident: &str) -> Result<Self> {
        let ask =
            |path: &str| -> Result<Value> { Ok(serde_json::from_str(&http::page(port, path)?)?) };
        let word = |value: &Value, what: &str| -> Result<String> {
            let text = value.as_str().with_context(|| format!("no {what}"))?;
            Ok(text.to_owned())
        };
        let all = ask(&format!("/api/v1/incidents/{incident}"))?;
        let members = all["anomalies"].as_array().context("no anomalies")?;
        let ids = members.iter().map(|a| word(&a["id"], "id"));
        let anomalies = ids.collect::<Result<Vec<_>>>()?;
        let from = &all["incident"]["origin"];
        let first = members.iter().find(|a| a["id"] == from["anomaly"]);
        let peak = word(&first.context("no origin")?["peak"]["time"], "peak")?;
        let series_id = word(&from["series_id"], "series of the origin")?;
        let why = ask(&format!("/api/v1/series/{series_id}/explain?time={peak}"))?;
        let sentences = why["sentences"].as_array().context("no sentences")?;
        let sentences = sentences.iter().map(|s| word(s, "sentence"));
        let sentences = sentences.collect::<Result<Vec<_>>>()?;
        ensure!(
            sentences.len() == 2,
            "an explanation has two sentences: {why}"
        );
        Ok(Self {
            summary: word(&all["incident"]["summary"], "summary")?,
            anomalies,
            origin: Origin {
                series_id,
                metric: word(&from["metric_name"], "metric")?,
                peak: peak.parse()?,
            },
            sentences,
        })
    }
}

async fn same_by_grpc(port: u16, incident: &str, rest: &Rest) -> Result<()> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?;
    let mut client = SaimonClient::new(endpoint.connect().await?);
    let asked = v1::GetIncidentRequest {
        id: incident.to_owned(),
    };
    let detail = client.get_incident(asked).await?.into_inner();
    let summary = detail.incident.map(|i| i.summary).unwrap_or_default();
    ensure!(summary == rest.summary, "{summary} is not {}", rest.summary);
    let ids: Vec<_> = detail.anomalies.into_iter().map(|a| a.id).collect();
    ensure!(
        ids == rest.anomalies,
        "{ids:?} are not {:?}",
        rest.anomalies
    );
    let asked = v1::ExplainSampleRequest {
        id: rest.origin.series_id.clone(),
        time: Some(prost_types::Timestamp {
            seconds: rest.origin.peak.as_second(),
            nanos: rest.origin.peak.subsec_nanosecond(),
        }),
    };
    let why = client.explain_sample(asked).await?.into_inner().sentences;
    ensure!(why == rest.sentences, "{why:?} is not {:?}", rest.sentences);
    Ok(())
}

fn page_of_incident(address: &str, rest: &Rest) -> Result<()> {
    let page = drawn(address)?;
    let shows = |text: &str| page.contains(text);
    ensure!(shows("Likely origin"), "{address} shows no origin");
    let metric = format!("<b>{}</b>", rest.origin.metric);
    ensure!(shows(&metric), "{address} does not name {metric}");
    for id in &rest.anomalies {
        let link = format!("#/anomalies/{id}");
        ensure!(shows(&link), "{address} does not show the anomaly {id}");
    }
    Ok(())
}

/// Opens one link of each kind of alert.
fn linked(links: &BTreeSet<Link>) -> Result<Vec<String>> {
    let of = |name: &str, node: Option<&str>| {
        let fits = |l: &&Link| l.alert == name && node.is_none_or(|n| l.node.as_deref() == Some(n));
        let found = links.iter().find(fits);
        found.with_context(|| format!("no alert {name} with one among {links:?}"))
    };
    let series = of("SaimonAnomaly", Some(FAULT.node))
        .or_else(|_| of("SaimonAnomaly", Some(SECOND.node)))?;
    let page = drawn(&series.page)?;
    let title = format!(">{}</h1>", FAULT.metric);
    ensure!(
        page.contains(&title) && page.contains("id=\"known\""),
        "{} does not open its series",
        series.page
    );
    let incident = of("SaimonIncident", None)?;
    ensure!(
        drawn(&incident.page)?.contains("Likely origin"),
        "{} does not open its incident",
        incident.page
    );
    let line = |l: &Link| format!("alert  {} links to {}", l.alert, l.page);
    Ok(vec![line(series), line(incident)])
}

/// The page as Chromium has drawn it, after ten seconds of its own time. `CHROMIUM` names another one.
fn drawn(address: &str) -> Result<String> {
    let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let profile = tempfile::tempdir()?;
    let done = Command::new(&program)
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(address)
        .output()
        .with_context(|| {
            format!(
                "{program} does not start: install Debian's chromium, or name one with CHROMIUM"
            )
        })?;
    let page = String::from_utf8_lossy(&done.stdout).into_owned();
    ensure!(
        done.status.success() && page.contains("</html>"),
        "{program} did not draw {address}: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(page)
}
