//! What raises `SaimonAnomaly`, and what it then says, filled in as Prometheus does.

use std::collections::BTreeMap;

use super::text::base;
use crate::config::{AlertingConfig, Severity};
use crate::rules::alert::{Case, Keep, Look, hold, series};
use crate::rules::format::{Annotations, InputSeries, query_escaped, quoted};
use crate::rules::proof::{EXTERNAL_URL, STEP, steps};

type Labels = [(&'static str, &'static str)];

/// The labels of the series in most cases.
const GAUGE: &Labels = &[
    ("instance", "web-1:9100"),
    ("job", "node"),
    ("mountpoint", "/data \"old\""),
    ("source_metric", "node_filesystem_free_bytes"),
];
const COUNTER: &Labels = &[
    ("instance", "web-1:80"),
    ("job", "web"),
    ("source_metric", "requests_total"),
];
const QUANTILE: &Labels = &[
    ("instance", "web-1:80"),
    ("job", "web"),
    ("source_metric", "latency_seconds"),
    ("stat", "p99"),
];
const MEAN: &Labels = &[
    ("instance", "web-1:80"),
    ("job", "web"),
    ("source_metric", "latency_seconds"),
    ("stat", "mean"),
];

/// What a text has besides reason and score.
struct Told {
    labels: &'static Labels,
    /// The query for its value.
    value: &'static str,
    /// Sentences behind that of the score.
    more: &'static str,
}

const PLAIN: Told = Told {
    labels: GAUGE,
    value: r#"{__name__="node_filesystem_free_bytes",instance="web-1:9100",job="node",mountpoint="/data \"old\"",}"#,
    more: "",
};

/// All cases of all severities that alert.
pub(super) fn all(config: &AlertingConfig, levels: &[Severity]) -> Vec<Case> {
    Severity::ALL
        .into_iter()
        .map(|s| of_severity(config, levels, s))
        .chain([pending(), ended(config, levels)])
        .chain(texts(config, levels))
        .collect()
}

fn pairs(labels: &Labels, without: &[&str]) -> Vec<String> {
    labels
        .iter()
        .filter(|(name, _)| !without.contains(name))
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect()
}

fn anomaly(labels: &Labels, state: &str, severity: Severity, values: String) -> InputSeries {
    let name = format!(
        "saimon_anomaly{{{},state=\"{state}\",severity=\"{}\",direction=\"down\",reason=\"drop\"}}",
        pairs(labels, &[]).join(","),
        severity.as_str()
    );
    series(name, values)
}

fn score(labels: &Labels, steps: u32) -> InputSeries {
    let labels = pairs(labels, &[]).join(",");
    series(
        format!("saimon_anomaly_score{{{labels}}}"),
        format!("0.934x{steps}"),
    )
}

/// An anomaly of one severity, a step before and just after each hold.
fn of_severity(config: &AlertingConfig, levels: &[Severity], severity: Severity) -> Case {
    let mut times: Vec<_> = levels
        .iter()
        .map(|level| steps(hold(&config.hold, *level)))
        .flat_map(|n| [n.saturating_sub(1), n])
        .collect();
    times.sort_unstable();
    times.dedup();
    let last = times.last().copied().unwrap_or_default() + 1;
    Case {
        name: format!("an anomaly of severity {}", severity.as_str()),
        series: vec![
            anomaly(GAUGE, "active", severity, format!("1x{last}")),
            score(GAUGE, last),
        ],
        looks: times
            .into_iter()
            .map(|n| Look {
                at: STEP * n,
                firing: levels
                    .iter()
                    .filter(|level| **level <= severity && STEP * n >= hold(&config.hold, **level))
                    .map(|level| firing(config, &PLAIN, *level, severity))
                    .collect(),
            })
            .collect(),
    }
}

fn pending() -> Case {
    Case {
        name: "a pending anomaly is none yet".to_owned(),
        series: vec![anomaly(
            GAUGE,
            "pending",
            Severity::Critical,
            "1x40".to_owned(),
        )],
        looks: vec![Look {
            at: STEP * 40,
            firing: Vec::new(),
        }],
    }
}

/// Steps until every severity that alerts does.
fn longest(config: &AlertingConfig, levels: &[Severity]) -> u32 {
    let steps = levels.iter().map(|l| steps(hold(&config.hold, *l)));
    steps.max().unwrap_or_default()
}

/// The alert of an anomaly that ended outlives it as long as it is kept, and no longer.
fn ended(config: &AlertingConfig, levels: &[Severity]) -> Case {
    let keep = Keep::of(config);
    // Above all holds, so that all of them fire when it ends.
    let end = longest(config, levels) + 2;
    let kept = steps(keep.time());
    let mut looks = Vec::new();
    if kept > 1 {
        // One that is kept by its rule says what it said last; another looks again, and finds no
        // anomaly any more.
        let last = matches!(keep, Keep::Word(_));
        looks.push(Look {
            at: STEP * (end + 2),
            firing: levels
                .iter()
                .map(|l| {
                    let (labels, mut texts) = firing(config, &PLAIN, *l, Severity::Critical);
                    if !last {
                        texts = over(texts);
                    }
                    (labels, texts)
                })
                .collect(),
        });
    }
    looks.push(Look {
        at: STEP * (end + 2 + kept),
        firing: Vec::new(),
    });
    Case {
        name: "an anomaly that ends".to_owned(),
        series: vec![
            anomaly(
                GAUGE,
                "active",
                Severity::Critical,
                format!("1x{end} stale"),
            ),
            score(GAUGE, end + kept + 40),
        ],
        looks,
    }
}

/// The texts when the anomaly is no longer there to be asked.
fn over(texts: Annotations) -> Annotations {
    let summary = texts
        .summary
        .replace("lower than expected (drop)", "not as expected");
    let description = match texts.description.split_once('.') {
        Some((_, rest)) => rest.to_owned(),
        None => texts.description,
    };
    Annotations {
        summary,
        description,
        ..texts
    }
}

/// Values of every kind, and bands from both places.
fn texts(config: &AlertingConfig, levels: &[Severity]) -> Vec<Case> {
    let end = longest(config, levels) + 25;
    let flat = |name: &str, labels: &Labels, more: &str, values: &str| {
        let labels = pairs(labels, &[]).join(",");
        series(
            format!("{name}{{{labels}{more}}}"),
            format!("{values}x{end}"),
        )
    };
    let own = |name: &str, labels: &Labels, more: &str, values: &str| {
        let labels = pairs(labels, &["source_metric", "stat"]).join(",");
        series(
            format!("{name}{{{labels}{more}}}"),
            format!("{values}x{end}"),
        )
    };
    let band = |labels: &Labels, more: &str| {
        vec![
            flat("saimon_expected", labels, more, "40"),
            flat("saimon_lower_bound", labels, more, "35"),
            flat("saimon_upper_bound", labels, more, "45.5"),
        ]
    };
    let gauge = own("node_filesystem_free_bytes", GAUGE, "", "12");
    let case = |name: &str, told: Told, more: Vec<InputSeries>| Case {
        name: name.to_owned(),
        series: [
            anomaly(
                told.labels,
                "active",
                Severity::Critical,
                format!("1x{end}"),
            ),
            score(told.labels, end),
        ]
        .into_iter()
        .chain(more)
        .collect(),
        looks: vec![Look {
            at: STEP * end,
            firing: levels
                .iter()
                .map(|level| firing(config, &told, *level, Severity::Critical))
                .collect(),
        }],
    };
    let with_band = |name: &str, more: &str| {
        let told = Told {
            more: " It was 12. 40 was expected. 35 to 45.5 would have been normal.",
            ..PLAIN
        };
        let mut all = band(GAUGE, more);
        all.push(gauge.clone());
        case(name, told, all)
    };
    let part = |name: &str, share: &str| {
        let more = format!(",part=\"{name}\"");
        flat("saimon_anomaly_contribution", GAUGE, &more, share)
    };
    vec![
        case(
            "which detectors say it",
            Told {
                more: " Said by forest 61.9%, burst 30.1%, jump 7.9%. It was 12.",
                ..PLAIN
            },
            vec![
                part("burst", "0.301"),
                part("forest", "0.619"),
                part("jump", "0.079"),
                gauge.clone(),
            ],
        ),
        case(
            "which rule says it",
            Told {
                more: " Said by flatline 100%.",
                ..PLAIN
            },
            vec![part("flatline", "1")],
        ),
        with_band("the value and a band that was sent", ""),
        with_band("the value and a band by remote read", ",saimon=\"virtual\""),
        case(
            "what was expected, without its band",
            Told {
                more: " 40 was expected.",
                ..PLAIN
            },
            vec![flat("saimon_expected", GAUGE, "", "40")],
        ),
        case(
            "a counter has a rate",
            Told {
                labels: COUNTER,
                value: r#"rate({__name__="requests_total",instance="web-1:80",job="web",}[5m])"#,
                more: " It was 2.",
            },
            vec![own("requests_total", COUNTER, "", "0+60")],
        ),
        case(
            "a mean of a histogram",
            Told {
                labels: MEAN,
                value: r#"rate({__name__="latency_seconds_sum",instance="web-1:80",job="web",}[5m]) / rate({__name__="latency_seconds_count",instance="web-1:80",job="web",}[5m])"#,
                more: " It was 4.",
            },
            vec![
                own("latency_seconds_sum", MEAN, "", "0+60"),
                own("latency_seconds_count", MEAN, "", "0+15"),
            ],
        ),
        case(
            "a quantile of a histogram",
            Told {
                labels: QUANTILE,
                value: r#"histogram_quantile(0.99, rate({__name__="latency_seconds_bucket",instance="web-1:80",job="web",}[5m]))"#,
                more: " It was 990m.",
            },
            vec![
                own("latency_seconds_bucket", QUANTILE, ",le=\"1\"", "0+15"),
                own("latency_seconds_bucket", QUANTILE, ",le=\"+Inf\"", "0+15"),
            ],
        ),
    ]
}

/// What Prometheus makes of the templates.
fn firing(
    config: &AlertingConfig,
    told: &Told,
    level: Severity,
    severity: Severity,
) -> (BTreeMap<String, String>, Annotations) {
    let source: BTreeMap<_, _> = told.labels.iter().copied().collect();
    let (metric, instance) = (source["source_metric"], source["instance"]);
    let mut labels = config.labels.clone();
    for (name, value) in told.labels {
        labels.insert((*name).to_owned(), (*value).to_owned());
    }
    labels.insert("severity".to_owned(), level.as_str().to_owned());
    let others = pairs(told.labels, &["source_metric"]);
    labels.insert(
        "series".to_owned(),
        format!("{metric}{{{}}}", others.join(", ")),
    );
    let each = |without: &[&str]| {
        let pairs = pairs(told.labels, without);
        pairs.iter().map(|p| format!("{p},")).collect::<String>()
    };
    let score = format!("saimon_anomaly_score{{{}}}", each(&[]));
    let rest = each(&["source_metric", "stat", "job", "instance"]);
    let annotations = Annotations {
        summary: format!("{metric} on {instance} is lower than expected (drop)"),
        description: format!(
            "Reason drop, direction down, severity {}. The score is 0.93; 0.7 is the edge of what is \
             normal for this series.{}",
            severity.as_str(),
            told.more
        ),
        graph: Some(format!(
            "{EXTERNAL_URL}/graph?g0.expr={}&g0.tab=0&g0.range_input=3h&g1.expr={}&g1.tab=0&g1.range_input=3h",
            query_escaped(told.value),
            query_escaped(&score)
        )),
        dashboard: config.grafana_url.as_ref().map(|url| {
            format!(
                "{}/d/saimon-series?var-metric={metric}&var-job={}&var-instance={}&var-labels={}&from=now-3h&to=now",
                base(url),
                source["job"],
                query_escaped(instance),
                query_escaped(&rest)
            )
        }),
        page: config.saimon_url.as_ref().map(|url| {
            let stat = source.get("stat").map(|s| format!("stat={},", quoted(s)));
            let selector = format!(
                "{{__name__={},{}{}}}",
                quoted(metric),
                each(&["source_metric", "stat"]),
                stat.unwrap_or_default()
            );
            format!("{}/#/series?match={}", base(url), query_escaped(&selector))
        }),
    };
    (labels, annotations)
}
