//! What the functions of the suite send, by its files.

use saimon::wire::proto::v2::histogram::Count;

use super::case::*;
use crate::support::histogram::Histogram;

/// 1, what a numeric conversion makes of the staleness marker, NaN and the infinities.
pub(crate) const VALUES: [f64; 5] = [
    1.0,
    0x7ff0_0000_0000_0002_u64 as f64,
    0x7ff8_0000_0000_0001_u64 as f64,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

pub(crate) const JOB: Labels<'_> = &[
    ("__name__", "up"),
    ("job", "testjob"),
    ("instance", "localhost:9090"),
];

/// `metric`: 3 functions.
pub(crate) fn metrics() -> Vec<Case> {
    let mut cases = Vec::new();
    for value in VALUES {
        let sets: [(&str, Labels<'_>); 7] = [
            ("one label", &[("__name__", "up")]),
            ("several labels", JOB),
            (
                "newlines",
                &[
                    ("__name__", "up"),
                    ("job", "test\njob\n"),
                    ("instance", "l:1"),
                ],
            ),
            (
                "dots",
                &[
                    ("__name__", "resource.cpu.usage"),
                    ("job.name", "t"),
                    ("i.n", "l:1"),
                ],
            ),
            (
                "spaces",
                &[
                    ("__name__", "resource cpu usage"),
                    ("job name", "t"),
                    ("i n", "l:1"),
                ],
            ),
            (
                "no name",
                &[("job", "testjob"), ("instance", "localhost:9090")],
            ),
            ("no labels", &[]),
        ];
        for (name, labels) in sets {
            cases.push(case(
                format!("single, {name}, {value}"),
                vec![sample(labels, value)],
            ));
        }
        let instance = |named: bool, port: u16| {
            let instance = format!("localhost:{port}");
            let labels: &[_] = &[
                ("__name__", "up"),
                ("job", "testjob"),
                ("instance", &instance),
            ];
            sample(&labels[usize::from(!named)..], value)
        };
        let four = |nameless: u16| (0..4).map(|i| instance(i >= nameless, 9090 + i)).collect();
        for nameless in [0, 4, 1] {
            let name = format!("multiple, {nameless} of 4 without a name, {value}");
            cases.push(case(name, four(nameless)));
        }
    }
    let counter: Labels<'_> = &[("__name__", "http_requests_total"), ("job", "api")];
    let created = sample(counter, 100.0).start(-HOUR_MS);
    cases.push(case("counter with a created timestamp", vec![created]));
    cases
}

/// `histograms`: 8 functions.
pub(crate) fn histograms() -> Vec<Case> {
    let plain: Labels<'_> = &[("__name__", "test_histogram")];
    let job: Labels<'_> = &[("__name__", "test_histogram"), ("job", "test")];
    let instance: Labels<'_> = &[("__name__", "test_histogram"), ("instance", "localhost")];
    let minimal: Labels<'_> = &[("__name__", "minimal_hist")];
    let seconds: Labels<'_> = &[("__name__", "request_duration_seconds"), ("job", "api")];
    let http: Labels<'_> = &[
        ("__name__", "http_request_duration_seconds"),
        ("method", "GET"),
    ];
    let size: Labels<'_> = &[("__name__", "response_size_bytes"), ("service", "upload")];
    let bad = Entry {
        refused: true,
        ..histogram(
            minimal,
            Histogram {
                count: Some(Count::CountInt(99)),
                ..buckets(1.0, true, false, false)
            },
        )
    };
    let trace: Labels<'_> = &[("trace_id", "abc123def456"), ("span_id", "span789")];
    vec![
        case(
            "basic",
            vec![histogram(plain, buckets(1.0, true, true, true))],
        ),
        case("custom buckets", vec![histogram(plain, custom(1.0))]),
        case(
            "above zero",
            vec![histogram(job, buckets(1.0, true, false, true))],
        ),
        case(
            "below zero",
            vec![histogram(instance, buckets(1.0, false, true, false))],
        ),
        case(
            "zero alone",
            vec![histogram(minimal, buckets(1.0, false, false, true))],
        ),
        case("bad count", vec![bad]),
        case(
            "histogram with a created timestamp",
            vec![histogram(seconds, buckets(1.5, true, true, true)).start(-HOUR_MS / 2)],
        ),
        case(
            "two histograms",
            vec![
                histogram(
                    &[("__name__", "hist1"), ("job", "t")],
                    buckets(10.5, true, false, true),
                ),
                histogram(
                    &[("__name__", "hist2"), ("job", "t")],
                    buckets(5.2, false, true, false),
                ),
            ],
        ),
        case(
            "empty histogram",
            vec![histogram(
                &[("__name__", "empty_hist")],
                buckets(0.0, false, false, false),
            )],
        ),
        case(
            "histogram with metadata",
            vec![histogram(seconds, buckets(2.5, true, true, true)).metadata(3, "it", "seconds")],
        ),
        case(
            "histogram with an exemplar",
            vec![histogram(http, buckets(1.23, true, false, true)).exemplar(trace, 1.23, 0)],
        ),
        case(
            "histogram with both",
            vec![
                histogram(size, buckets(10_485_760.0, true, true, true))
                    .metadata(3, "it", "bytes")
                    .exemplar(&[("trace_id", "large"), ("user_id", "u")], 10_485_760.0, 0),
            ],
        ),
        case(
            "two histograms with metadata",
            vec![
                histogram(
                    &[("__name__", "cpu_usage_histogram"), ("instance", "server1")],
                    buckets(0.75, true, false, true),
                )
                .metadata(3, "cpu", "ratio"),
                histogram(
                    &[
                        ("__name__", "memory_usage_histogram"),
                        ("instance", "server1"),
                    ],
                    buckets(8_589_934_592.0, true, true, false),
                )
                .metadata(3, "memory", "bytes"),
            ],
        ),
    ]
}

/// `exemplar`: 6 functions.
pub(crate) fn exemplars() -> Vec<Case> {
    let mut cases = Vec::new();
    let sets: [(Labels<'_>, Labels<'_>, f64); 7] = [
        (
            &[("__name__", "http_requests_total"), ("job", "api")],
            &[("trace_id", "abc123def456")],
            1.0,
        ),
        (
            &[("__name__", "request_duration_seconds"), ("method", "GET")],
            &[("trace_id", "xyz789"), ("span_id", "span123")],
            0.125,
        ),
        (
            &[("__name__", "cpu_usage"), ("instance", "host1")],
            &[("user_id", "user123")],
            0.85,
        ),
        (
            &[("__name__", "request_latency"), ("service", "auth")],
            &[
                ("trace_id", "trace456"),
                ("user", "admin"),
                ("endpoint", "/login"),
            ],
            0.05,
        ),
        (&[("__name__", "simple_counter")], &[], 1.0),
        (
            &[("__name__", "test_metric")],
            &[("trace_id", "with-dashes_and_underscores.123")],
            42.0,
        ),
        (
            &[("__name__", "unicode_test"), ("region", "\u{1F30D}")],
            &[("trace_id", "unicode_\u{6d4b}\u{8bd5}")],
            100.0,
        ),
    ];
    for (labels, of, value) in sets {
        let entry = sample(labels, value).exemplar(of, value, 0);
        cases.push(case(format!("exemplar {of:?}"), vec![entry]));
    }
    let trace: Labels<'_> = &[("trace_id", "abc123"), ("span_id", "span456")];
    let counter: Labels<'_> = &[("__name__", "http_requests_total"), ("job", "api")];
    cases.push(case(
        "exemplar of a counter with a created timestamp",
        vec![
            sample(counter, 250.0)
                .exemplar(trace, 250.0, 0)
                .start(-2 * HOUR_MS),
        ],
    ));
    let duration = |method, value: f64| {
        sample(
            &[("__name__", "request_duration"), ("method", method)],
            value,
        )
        .exemplar(&[("trace_id", method), ("span_id", "s")], value, 0)
    };
    let errors = sample(&[("__name__", "error_count"), ("service", "payment")], 1.0).exemplar(
        &[("trace_id", "trace3"), ("user", "u")],
        1.0,
        0,
    );
    cases.push(case(
        "three exemplars",
        vec![duration("GET", 0.1), duration("POST", 0.25), errors],
    ));
    // One series in three entries, from the oldest to the newest.
    let latency = |value: f64, offset_ms: i64| {
        entry(&[("__name__", "latency_hist")])
            .at(value, offset_ms)
            .exemplar(&[("trace_id", "t")], value, offset_ms)
    };
    cases.push(case(
        "exemplars of an hour ago and of now",
        vec![
            latency(0.05, -HOUR_MS),
            latency(0.15, -MINUTE_MS),
            latency(0.08, 0),
        ],
    ));
    let sets: [Labels<'_>; 3] = [
        &[("job", "test")],
        &[("__name__", "")],
        &[("__name__", "valid_metric")],
    ];
    for labels in sets {
        let entry = sample(labels, 1.0).exemplar(&[("trace_id", "t")], 1.0, 0);
        cases.push(case(format!("exemplar of {labels:?}"), vec![entry]));
    }
    let special = [
        0.0,
        -123.456,
        1e10,
        1e-10,
        VALUES[2],
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    for value in special {
        let entry = named("test_metric", value).exemplar(&[("trace_id", "s")], value, 0);
        cases.push(case(format!("exemplar of {value}"), vec![entry]));
    }
    cases
}

/// `metadata`: 6 functions.
pub(crate) fn metadata() -> Vec<Case> {
    let mut cases = Vec::new();
    let families = [
        ("http_requests_total", 1, "Requests", "requests"),
        ("cpu_usage_percent", 2, "Processor", "percent"),
        ("request_duration_seconds", 3, "Duration", "seconds"),
        ("simple_counter", 1, "", ""),
        (
            "test_metric",
            2,
            "With\nnewlines and \"quotes\"",
            "bytes/sec",
        ),
        ("unknown_metric", 0, "Who knows", ""),
        ("build_info", 6, "Build", ""),
        ("node_state", 7, "State", ""),
        ("request_latency_summary", 5, "Latency", "seconds"),
        ("temperature_histogram", 4, "Temperature", "celsius"),
    ];
    for (name, r#type, help, unit) in families {
        let entry = if r#type == 3 {
            histogram(&[("__name__", name)], buckets(1.0, true, true, true))
        } else {
            named(name, 1.0)
        };
        cases.push(case(
            format!("metadata of type {type}, {name}"),
            vec![entry.metadata(r#type, help, unit)],
        ));
    }
    let counter: Labels<'_> = &[("__name__", "http_requests_total"), ("job", "api")];
    cases.push(case(
        "metadata of a counter with a created timestamp",
        vec![
            sample(counter, 150.0)
                .metadata(1, "Requests", "requests")
                .start(-HOUR_MS),
        ],
    ));
    let test: Labels<'_> = &[("__name__", "http_requests_total"), ("job", "test")];
    cases.push(case(
        "metadata with a sample",
        vec![sample(test, 42.0).metadata(1, "Requests", "requests")],
    ));
    cases.push(case(
        "three families",
        vec![
            named("cpu_usage", 85.5).metadata(2, "Processor", "percent"),
            named("memory_usage", 4_096_000_000.0).metadata(2, "Memory", "bytes"),
            sample(&[("__name__", "disk_usage"), ("device", "sda1")], 75.2)
                .metadata(2, "Disk", "percent"),
        ],
    ));
    let many: Labels<'_> = &[
        ("__name__", "http_request_duration_seconds"),
        ("job", "api-server"),
        ("instance", "localhost:8080"),
        ("method", "GET"),
        ("status", "200"),
        ("endpoint", "/api/v1/users"),
    ];
    cases.push(case(
        "metadata of a series with many labels",
        vec![histogram(many, buckets(0.25, true, true, true)).metadata(3, "Duration", "seconds")],
    ));
    let sets: [Labels<'_>; 3] = [
        &[("job", "test")],
        &[("__name__", "")],
        &[("__name__", "valid_metric_name")],
    ];
    for labels in sets {
        let entry = sample(labels, 1.0).metadata(1, "Help", "unit");
        cases.push(case(format!("metadata of {labels:?}"), vec![entry]));
    }
    cases
}

/// `combined`: 11 functions.
pub(crate) fn combined() -> Vec<Case> {
    let post: Labels<'_> = &[
        ("__name__", "http_requests_total"),
        ("job", "api"),
        ("method", "POST"),
    ];
    let auth: Labels<'_> = &[
        ("__name__", "request_duration_seconds"),
        ("service", "auth"),
    ];
    let special: Labels<'_> = &[
        ("__name__", "test_metric"),
        ("job", "test-job_with.special@chars"),
        ("instance", "localhost:9090"),
        ("environment", "test\u{1F680}"),
    ];
    let on = |name: &str, value: f64| sample(&[("__name__", name), ("instance", "server1")], value);
    let trace: Labels<'_> = &[("trace_id", "t"), ("user", "u")];
    let numbered = |i: usize, kind: &str| format!("{kind}_metric_{i}");
    vec![
        case(
            "sample, metadata, exemplar",
            vec![
                sample(post, 1.0)
                    .metadata(1, "Requests", "requests")
                    .exemplar(trace, 1.0, 0),
            ],
        ),
        case(
            "histogram, metadata, exemplar",
            vec![
                histogram(auth, buckets(0.456, true, true, true))
                    .metadata(3, "Duration", "seconds")
                    .exemplar(trace, 0.456, 0),
            ],
        ),
        case(
            "two samples, one exemplar",
            vec![
                on("cpu_usage", 0.85)
                    .metadata(2, "Processor", "ratio")
                    .exemplar(trace, 0.85, 0),
                on("memory_usage", 8_589_934_592.0).metadata(2, "Memory", "bytes"),
            ],
        ),
        case(
            "two histograms, one exemplar",
            vec![
                histogram(
                    &[("__name__", "response_time_hist"), ("endpoint", "/api")],
                    buckets(0.125, true, false, true),
                )
                .metadata(3, "Time", "seconds")
                .exemplar(trace, 0.125, 0),
                histogram(
                    &[("__name__", "request_size_hist"), ("method", "POST")],
                    buckets(1024.0, false, true, true),
                )
                .metadata(3, "Size", "bytes"),
            ],
        ),
        case(
            "counter and gauge",
            vec![
                sample(
                    &[("__name__", "http_requests_total"), ("status", "200")],
                    1000.0,
                )
                .metadata(1, "Requests", "requests")
                .exemplar(&[("trace_id", "good")], 1000.0, 0),
                sample(
                    &[("__name__", "temperature_celsius"), ("location", "dc1")],
                    23.5,
                )
                .metadata(2, "Temperature", "celsius"),
            ],
        ),
        case(
            "a histogram of a handler",
            vec![
                histogram(
                    &[
                        ("__name__", "request_duration_seconds"),
                        ("handler", "/metrics"),
                    ],
                    buckets(0.003, true, false, true),
                )
                .metadata(3, "Duration", "seconds")
                .exemplar(trace, 0.003, 0),
            ],
        ),
        case(
            "metadata without data",
            vec![entry(&[("__name__", "orphan_metric")]).metadata(1, "Orphan", "count")],
        ),
        case(
            "an exemplar without data",
            vec![entry(&[("__name__", "orphan_metric")]).exemplar(&[("trace_id", "o")], 42.0, 0)],
        ),
        case(
            "old and new",
            vec![
                entry(&[("__name__", "old_metric")])
                    .at(1.0, -HOUR_MS)
                    .exemplar(&[("trace_id", "old")], 1.0, -HOUR_MS / 2),
                named("new_metric", 2.0),
            ],
        ),
        case(
            "many samples",
            (0..50)
                .map(|i| {
                    let (name, series) = (numbered(i, "counter"), format!("series_{i}"));
                    let value = (i * 100) as f64;
                    sample(&[("__name__", &name), ("series", &series)], value)
                        .metadata(1, &format!("Counter {i}"), "count")
                        .exemplar(&[("trace_id", &series)], value, 0)
                })
                .collect(),
        ),
        case(
            "many histograms",
            (0..50)
                .map(|i| {
                    let (name, bucket) = (numbered(i, "histogram"), format!("bucket_{i}"));
                    let sum = i as f64 / 10.0;
                    let labels: &[_] = &[("__name__", &*name), ("bucket", &*bucket)];
                    histogram(labels, buckets(sum, true, i % 2 == 0, true))
                        .metadata(3, &format!("Histogram {i}"), "seconds")
                        .exemplar(&[("trace_id", &bucket)], sum, 0)
                })
                .collect(),
        ),
        case(
            "special characters",
            vec![
                sample(special, 42.0)
                    .metadata(2, "\u{e4}\u{f6}\u{fc}\nand \"quotes\"", "special/units")
                    .exemplar(
                        &[("trace_id", "\u{e4}\u{f6}\u{fc}-123"), ("s", "a.b-c")],
                        42.0,
                        0,
                    ),
            ],
        ),
        case(
            "custom buckets with an exemplar",
            vec![
                histogram(
                    &[("__name__", "custom_latency_hist"), ("version", "v2")],
                    custom(0.05),
                )
                .exemplar(&[("trace_id", "c"), ("bucket", "0.1")], 0.05, 0),
            ],
        ),
    ]
}
