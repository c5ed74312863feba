//! Looks at a Prometheus configuration: does it feed saimon, and does it take the scores back?
//!
//! Only what concerns saimon is looked at; whether the rest is valid is for `promtool check config`
//! to say.

use regex::Regex;

use super::check::Mistake;
use super::yaml::{At, Node, Value};

/// The path that takes remote write.
const WRITE_PATH: &str = "/api/v1/write";
/// The path that gives scores.
const SCORES_PATH: &str = "/metrics/scores";
/// saimon's usual port, by which its entries are known among others.
const PORT: &str = "9925";
/// A series of saimon's own, as a probe for relabelling.
const OWN_SERIES: &str = "saimon_anomaly_score";

/// What was found in a Prometheus configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Without a remedy something is missing: samples, scores or alerts.
    pub mistakes: Vec<Mistake>,
    /// Things that could be better.
    pub hints: Vec<Mistake>,
}

/// True if this is a configuration of Prometheus and not of saimon.
pub fn is_prometheus(root: &Node) -> bool {
    ["scrape_configs", "remote_write", "rule_files", "global"]
        .iter()
        .any(|key| root.get(key).is_some())
}

/// What is wrong for saimon in a Prometheus configuration. `job` is the one by which the alert
/// rules know saimon (`alerting.job`).
pub fn check(root: &Node, job: &str) -> Findings {
    let mut found = Findings::default();
    remote_write(root, &mut found);
    scrapes(root, job, &mut found);
    alerts(root, &mut found);
    found.mistakes.sort_by_key(|m| (m.line, m.column));
    found.hints.sort_by_key(|m| (m.line, m.column));
    found
}

impl Findings {
    fn mistake(&mut self, at: At, key: &str, message: impl Into<String>) {
        self.mistakes.push(Mistake::new(at, key, message));
    }

    fn hint(&mut self, at: At, key: &str, message: impl Into<String>) {
        self.hints.push(Mistake::new(at, key, message));
    }
}

/// Where a key stands; the beginning of the file for one that is missing.
fn place(root: &Node, key: &str) -> At {
    root.entry(key).map_or(At::START, |(key, _)| key.at)
}

fn list<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).map_or(&[], Node::items)
}

fn remote_write(root: &Node, found: &mut Findings) {
    let targets: Vec<_> = list(root, "remote_write")
        .iter()
        .enumerate()
        .filter_map(|(i, node)| Some((i, node, node.get("url")?)))
        .filter_map(|(i, node, url)| Some((i, node, url.at, Url::parse(url.text()?))))
        .collect();
    let ours = targets
        .iter()
        .find(|(.., url)| url.port == PORT)
        .or_else(|| targets.iter().find(|(.., url)| url.path == WRITE_PATH));
    let Some((i, node, at, url)) = ours else {
        let message =
            format!("nothing is sent to saimon: add `- url: http://localhost:{PORT}{WRITE_PATH}`");
        found.mistake(place(root, "remote_write"), "remote_write", message);
        return;
    };
    if url.path != WRITE_PATH {
        let message = format!(
            "the path is `{}`, saimon takes writes at `{WRITE_PATH}`",
            url.path
        );
        found.mistake(*at, &format!("remote_write[{i}].url"), message);
    }
    if !drops(node, OWN_SERIES) {
        let message = "saimon's own series are sent back to it, which only costs bytes: drop \
                       `saimon_.*` by `write_relabel_configs`";
        found.hint(node.at, &format!("remote_write[{i}]"), message);
    }
}

/// True if relabelling keeps a metric of this name from being sent. Rules that look at other labels
/// are left out: what they do depends on the series.
fn drops(node: &Node, name: &str) -> bool {
    list(node, "write_relabel_configs").iter().any(|rule| {
        let by_name =
            matches!(list(rule, "source_labels"), [one] if one.text() == Some("__name__"));
        let regex = rule.get("regex").map_or(Some("(.*)"), Node::text);
        let matches = regex
            .and_then(|r| Regex::new(&format!("^(?:{r})$")).ok())
            .is_some_and(|r| r.is_match(name));
        match rule.get("action").and_then(Node::text) {
            Some("drop") => by_name && matches,
            Some("keep") => by_name && !matches,
            _ => false,
        }
    })
}

fn scrapes(root: &Node, job: &str, found: &mut Findings) {
    let jobs = list(root, "scrape_configs");
    let at = place(root, "scrape_configs");
    let path = |node: &Node| {
        let path = node.get("metrics_path").and_then(Node::text);
        path.unwrap_or("/metrics").to_owned()
    };
    let mut scores = jobs
        .iter()
        .enumerate()
        .filter(|(_, j)| path(j) == SCORES_PATH)
        .peekable();
    if scores.peek().is_none() {
        let message = format!(
            "the scores are not scraped: add a job with `metrics_path: {SCORES_PATH}` and \
             `honor_labels: true`"
        );
        found.mistake(at, "scrape_configs", message);
    }
    let mut targets = Vec::new();
    for (i, scores) in scores {
        targets.extend(addresses(scores));
        let key = format!("scrape_configs[{i}].honor_labels");
        match scores.entry("honor_labels") {
            Some((_, node)) if node.value == Value::Bool(true) => {}
            other => {
                let at = other.map_or(scores.at, |(_, node)| node.at);
                let message = "must be `true`: otherwise the scores get the job and instance of \
                               saimon and lose those of their series";
                found.mistake(at, &key, message);
            }
        }
    }
    let own = jobs.iter().enumerate().find(|(_, j)| {
        path(j) == "/metrics"
            && (name(j) == Some(job)
                || addresses(j)
                    .iter()
                    .any(|a| targets.contains(a) || a.ends_with(&format!(":{PORT}"))))
    });
    match own {
        None => {
            let message = format!(
                "saimon itself is not scraped: add `- job_name: {job}` with saimon's address, or \
                 the alerts about saimon's health cannot work"
            );
            found.mistake(at, "scrape_configs", message);
        }
        Some((i, node)) if name(node) != Some(job) => {
            let key = format!("scrape_configs[{i}].job_name");
            let at = node.get("job_name").map_or(node.at, |n| n.at);
            let message = format!(
                "the alert rules look for the job `{job}`: name it so, or set `alerting.job` and \
                 write the rules again"
            );
            found.hint(at, &key, message);
        }
        Some(_) => {}
    }
}

fn name(job: &Node) -> Option<&str> {
    job.get("job_name").and_then(Node::text)
}

/// The addresses of a job that the file itself names.
fn addresses(job: &Node) -> Vec<String> {
    list(job, "static_configs")
        .iter()
        .flat_map(|group| list(group, "targets"))
        .filter_map(|t| t.text().map(str::to_owned))
        .collect()
}

fn alerts(root: &Node, found: &mut Findings) {
    if list(root, "rule_files").is_empty() {
        let message = "no alert rules are read: write them with `saimon rules --out .` and add \
                       `rule_files: [saimon-rules.yml]`";
        found.mistake(place(root, "rule_files"), "rule_files", message);
    }
    let managers = root
        .get("alerting")
        .map_or(&[][..], |a| list(a, "alertmanagers"));
    if managers.is_empty() {
        let message = "no Alertmanager is named: alerts fire and nobody is told";
        found.hint(place(root, "alerting"), "alerting", message);
    }
}

/// The parts of a URL that matter here.
struct Url {
    port: String,
    path: String,
}

impl Url {
    fn parse(text: &str) -> Self {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
        let path = tail.split(['?', '#']).next().unwrap_or_default();
        Self {
            port: port.to_owned(),
            path: path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_file::yaml;

    const GOOD: &str = "\
global:
  scrape_interval: 15s
remote_write:
  - url: http://mimir/api/v1/push
  - url: http://localhost:9925/api/v1/write
    write_relabel_configs:
      - {source_labels: [__name__], regex: 'saimon_.*', action: drop}
rule_files: [saimon-rules.yml]
alerting:
  alertmanagers:
    - static_configs: [{targets: ['localhost:9093']}]
scrape_configs:
  - job_name: saimon
    static_configs: [{targets: ['localhost:9925']}]
  - job_name: saimon-scores
    honor_labels: true
    metrics_path: /metrics/scores
    static_configs: [{targets: ['localhost:9925']}]
  - job_name: node
    something_new: [1, 2]
    static_configs: [{targets: ['localhost:9100']}]
";

    fn findings(text: &str) -> Findings {
        check(&yaml::read(text).unwrap().unwrap(), "saimon")
    }

    fn keys(found: &[Mistake]) -> Vec<String> {
        found
            .iter()
            .map(|m| format!("{} {}", m.line, m.key))
            .collect()
    }

    #[test]
    fn a_good_one_is_clean() {
        assert_eq!(findings(GOOD), Findings::default());
    }

    #[test]
    fn each_missing_part_is_found_in_its_line() {
        for (from, to, line, key) in [
            ("9925/api/v1/write", "9925/write", 5, "remote_write[1].url"),
            (
                "http://localhost:9925/api/v1/write",
                "http://a/x",
                3,
                "remote_write",
            ),
            (
                "    honor_labels: true\n",
                "",
                15,
                "scrape_configs[1].honor_labels",
            ),
            (
                "honor_labels: true",
                "honor_labels: false",
                16,
                "scrape_configs[1].honor_labels",
            ),
            ("/metrics/scores", "/metrics/score", 12, "scrape_configs"),
            (
                "rule_files: [saimon-rules.yml]",
                "rule_files: []",
                8,
                "rule_files",
            ),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            assert_eq!(
                keys(&findings(&text).mistakes),
                [format!("{line} {key}")],
                "{from}"
            );
        }
        let text = GOOD.replacen(
            "  - job_name: saimon\n    static_configs: [{targets: ['localhost:9925']}]\n",
            "",
            1,
        );
        assert_eq!(keys(&findings(&text).mistakes), ["12 scrape_configs"]);
    }

    #[test]
    fn what_could_be_better_is_a_hint() {
        for (from, to, line, key) in [
            ("'saimon_.*'", "'node_.*'", 5, "remote_write[1]"),
            ("action: drop", "action: keep", 5, "remote_write[1]"),
            ("[__name__], regex", "[job], regex", 5, "remote_write[1]"),
            (
                "job_name: saimon\n",
                "job_name: anomalies\n",
                13,
                "scrape_configs[0].job_name",
            ),
            ("alertmanagers:", "x:", 9, "alerting"),
        ] {
            let found = findings(&GOOD.replace(from, to));
            assert_eq!(found.mistakes, [], "{from}");
            assert_eq!(keys(&found.hints), [format!("{line} {key}")], "{from}");
        }
    }

    #[test]
    fn keeping_other_names_only_drops_ours_too() {
        let text = GOOD.replace("'saimon_.*', action: drop", "'node_.*', action: keep");
        assert_eq!(findings(&text), Findings::default());
    }

    #[test]
    fn a_receiver_on_another_port_is_known_by_its_path() {
        let text = GOOD.replace("9925", "8080");
        assert_eq!(findings(&text), Findings::default());
    }

    #[test]
    fn saimons_own_configuration_is_none_of_prometheus() {
        assert!(!is_prometheus(
            &yaml::read("detect: {warmup: 50}").unwrap().unwrap()
        ));
        assert!(is_prometheus(&yaml::read(GOOD).unwrap().unwrap()));
    }
}
