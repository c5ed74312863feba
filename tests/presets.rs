//! Presets speak of series that exporters really have, and do what they say.

#[path = "support/client.rs"]
mod client;
#[path = "../examples/demo/stack/http.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod http;
#[path = "../examples/demo/stack/ports.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod ports;
#[path = "../examples/demo/stack/process.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod process;
#[path = "support/serving.rs"]
mod serving;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use saimon::config::{Direction, KindOverride, Preset};
use saimon::config_file::{self, preset, report};
use saimon::engine::rules::Rules;
use saimon::model::SeriesSpec;
use saimon::series::labels;
use saimon::series::matcher::{MatchOp, Matcher, Selector};

use process::{Process, Watchdog};

/// For an exporter to answer its first request.
const START: Duration = Duration::from_secs(60);

/// A rule file, an Alertmanager and a receiver that nobody is behind: what belongs to them has series
/// only when they are configured.
const PROMETHEUS: &str = "\
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:9']}]}]}
remote_write: [{url: 'http://127.0.0.1:9/'}]
scrape_configs: [{job_name: prometheus, static_configs: [{targets: ['127.0.0.1:9']}]}]
";

fn at_root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn rules_of(text: &str) -> Rules {
    let config = config_file::parse(text).unwrap();
    Rules::try_from(&config.detect).unwrap()
}

/// How a series, written as a selector of equal labels, is modelled.
fn spec(rules: &Rules, series: &str) -> SeriesSpec {
    let selector = Selector::parse(series).unwrap();
    let all = selector.matchers().iter().map(|m| (m.name(), m.value()));
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    rules.resolve(&labels::encode(all))
}

/// Names in the checked-in list of a preset.
fn listed(preset: Preset) -> BTreeSet<String> {
    let path = at_root(&format!("tests/data/names/{}.txt", preset.as_str()));
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Names of all series on a page, and of its families.
fn on_page(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter_map(|line| match line.strip_prefix("# TYPE ") {
            Some(family) => family.split(' ').next(),
            None if line.starts_with('#') => None,
            None => line.split(['{', ' ']).next(),
        })
        .map(str::to_owned)
        .collect()
}

/// The page of a real exporter.
fn page(name: &str, program: &mut Command, port: u16, wanted: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let watchdog = Watchdog::start(None).unwrap();
    let mut exporter = Process::start(name, program, folder.path(), &watchdog).unwrap();
    let page = exporter.wait_for("its page", START, || {
        http::page(port, "/metrics")
            .ok()
            .filter(|page| wanted.iter().all(|name| page.contains(name)))
    });
    exporter.kill();
    page.unwrap()
}

fn node_page() -> String {
    let [port] = ports::free().unwrap();
    page(
        "node_exporter",
        Command::new("prometheus-node-exporter")
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        port,
        &["node_load1 "],
    )
}

fn prometheus_page() -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, PROMETHEUS).unwrap();
    let rules = "groups: [{name: a, rules: [{record: a, expr: up}]}]\n";
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let [port] = ports::free().unwrap();
    page(
        "prometheus",
        Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        port,
        &[
            "prometheus_remote_storage_shards_desired",
            "prometheus_notifications_sent_total",
            "prometheus_target_metadata_cache_entries",
            "prometheus_tsdb_head_samples_appended_total",
        ],
    )
}

/// What a selector says of names: each alternative of a pattern apart.
fn names(selector: &Selector) -> Vec<Matcher> {
    let mut names = Vec::new();
    for matcher in selector
        .matchers()
        .iter()
        .filter(|m| m.name() == "__name__")
    {
        if !matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex) {
            continue;
        }
        let mut depth = 0;
        let alternatives = matcher.value().split(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c == '|' && depth == 0
        });
        names.extend(alternatives.map(|a| Matcher::new("__name__", matcher.op(), a).unwrap()));
    }
    names
}

/// Every alternative of every rule must be the name of something, and every listed name of use.
fn all_exist(preset: Preset, page: &BTreeSet<String>) {
    let listed = listed(preset);
    let mut of_use = BTreeSet::new();
    let mut unknown = Vec::new();
    for rule in preset::rules(preset) {
        let selector = Selector::parse(&rule.selector).unwrap();
        let names = names(&selector);
        assert!(!names.is_empty(), "no metric is named: {}", rule.selector);
        for name in names {
            let on_page = page.iter().any(|known| name.matches(known));
            let in_list: Vec<_> = listed.iter().filter(|known| name.matches(known)).collect();
            if !on_page && in_list.is_empty() {
                unknown.push(name.value().to_owned());
            }
            of_use.extend(in_list);
        }
    }
    assert!(
        unknown.is_empty(),
        "{preset:?}: nothing has the names {unknown:?}"
    );
    let useless: Vec<_> = listed.iter().filter(|n| !of_use.contains(n)).collect();
    assert!(
        useless.is_empty(),
        "{preset:?}: no rule for the listed {useless:?}"
    );
}

#[test]
fn the_files_are_configurations_without_mistakes() {
    for preset in Preset::ALL {
        let name = preset.as_str();
        let report = report::check_file(&at_root(&format!("deploy/presets/{name}.yaml")));
        assert_eq!(report.code, report::CLEAN, "{}", report.text);
        let rules = rules_of(&format!("presets: [{name}]\n"));
        assert_ne!(format!("{rules:?}"), format!("{:?}", rules_of("")));
    }
}

#[test]
fn what_the_node_preset_names_is_on_a_real_page() {
    let page = on_page(&node_page());
    all_exist(Preset::Node, &page);
    // Most of what it is about must really be there, or the list would prove nothing.
    let seen: usize = preset::rules(Preset::Node)
        .iter()
        .filter(|rule| {
            let selector = Selector::parse(&rule.selector).unwrap();
            names(&selector)
                .iter()
                .any(|name| page.iter().any(|n| name.matches(n)))
        })
        .count();
    assert!(seen > 60, "{seen} rules match something on the page");
}

#[test]
fn what_the_prometheus_preset_names_is_on_a_real_page() {
    all_exist(Preset::Prometheus, &on_page(&prometheus_page()));
    assert!(listed(Preset::Prometheus).len() < 20);
}

#[test]
fn what_the_other_presets_name_is_in_the_documentation() {
    for preset in [Preset::Kubernetes, Preset::Http] {
        all_exist(preset, &BTreeSet::new());
    }
}

#[test]
fn the_node_preset_does_what_it_says() {
    let rules = rules_of("presets: [node]\n");
    let of = |series: &str| spec(&rules, series);
    let free = of(r#"node_filesystem_avail_bytes{mountpoint="/", fstype="ext4"}"#);
    assert!(free.model);
    assert_eq!(
        (free.direction, free.min_deviation_ratio),
        (Direction::Down, 0.02)
    );
    for series in [
        r#"node_filesystem_avail_bytes{mountpoint="/run/lock", fstype="ext4"}"#,
        r#"node_filesystem_avail_bytes{mountpoint="/tmp", fstype="tmpfs"}"#,
        r#"node_filesystem_avail_bytes{mountpoint="/var/lib/kubelet/pods/a", fstype="ext4"}"#,
        r#"node_network_receive_bytes_total{device="veth12ab"}"#,
        r#"node_network_receive_bytes_total{device="lo"}"#,
        r#"node_disk_read_bytes_total{device="loop3"}"#,
        r#"node_cpu_seconds_total{mode="idle", cpu="0"}"#,
        "node_memory_Active_anon_bytes",
        "node_load15",
        "node_boot_time_seconds",
    ] {
        assert!(!of(series).model, "{series}");
    }
    let disk = of(r#"node_disk_io_time_seconds_total{device="nvme0n1"}"#);
    assert!(disk.model);
    assert_eq!(disk.direction, Direction::Up);
    let memory = of("node_memory_MemAvailable_bytes");
    assert!(memory.model);
    assert_eq!(memory.direction, Direction::Down);
    assert_eq!(of("node_vmstat_oom_kill").kind, Some(KindOverride::Counter));
    assert_eq!(
        of("node_netstat_Tcp_CurrEstab").kind,
        Some(KindOverride::Gauge)
    );
    assert_eq!(
        of("node_netstat_Tcp_RetransSegs").kind,
        Some(KindOverride::Counter)
    );
    let clock = of("node_timex_offset_seconds");
    assert!(clock.model && !of("node_timex_tick_seconds").model);
    // what is no exporter's is left as it was
    assert_eq!(of("my_metric"), SeriesSpec::default());
}

#[test]
fn the_other_presets_do_what_they_say() {
    let rules = rules_of("presets: [kubernetes]\n");
    let of = |series: &str| spec(&rules, series);
    let container = r#"container_cpu_usage_seconds_total{container="app", pod="a", name="x"}"#;
    assert!(of(container).model);
    for series in [
        r#"container_cpu_usage_seconds_total{id="/kubepods/pod1"}"#,
        r#"container_memory_working_set_bytes{container="POD", pod="a", name="k8s_POD_a"}"#,
        r#"kube_pod_status_ready{condition="false"}"#,
        "kube_replicaset_status_replicas",
        r#"kube_node_status_condition{condition="Ready", status="unknown"}"#,
    ] {
        assert!(!of(series).model, "{series}");
    }
    // cAdvisor outside of Kubernetes has no label `container`
    assert!(of(r#"container_memory_working_set_bytes{name="web", id="/docker/1"}"#).model);
    assert!(of(r#"container_network_receive_bytes_total{pod="a", interface="eth0"}"#).model);
    let ready = of(r#"kube_pod_status_ready{condition="true"}"#);
    assert!(ready.model && ready.direction == Direction::Down);
    assert_eq!(
        of(r#"kube_node_status_condition{condition="Ready", status="true"}"#).direction,
        Direction::Down
    );
    assert_eq!(
        of(r#"kube_node_status_condition{condition="DiskPressure", status="true"}"#).direction,
        Direction::Up
    );

    let rules = rules_of("presets: [prometheus]\n");
    let of = |series: &str| spec(&rules, series);
    assert_eq!(of("up").direction, Direction::Down);
    assert!(of("prometheus_tsdb_compactions_failed_total").model);
    assert!(!of("prometheus_tsdb_compactions_total").model);
    assert!(!of("prometheus_tsdb_head_max_time").model);
    assert!(of("prometheus_remote_storage_samples_pending").model);

    let rules = rules_of("presets: [http]\n");
    let of = |series: &str| spec(&rules, series);
    let slow = of(r#"http_request_duration_seconds{stat="p99", handler="/api"}"#);
    assert_eq!((slow.direction, slow.min_deviation), (Direction::Up, 0.01));
    let often = of(r#"http_request_duration_seconds{stat="rate", handler="/api"}"#);
    assert_eq!(
        (often.direction, often.min_deviation),
        (Direction::Both, 0.1)
    );
    assert_eq!(
        of(r#"http_requests_total{code="503"}"#).direction,
        Direction::Up
    );
    assert_eq!(
        of(r#"http_requests_total{code="200"}"#).direction,
        Direction::Both
    );
    assert!(!of(r#"http_requests_total{code="200", handler="/metrics"}"#).model);
    assert_eq!(of("probe_success").direction, Direction::Down);
}

#[test]
fn rules_of_a_configuration_lie_over_those_of_presets() {
    let rules = rules_of(
        "presets: [node]\ndetect:\n  rules:\n    - {selector: node_load1, min_deviation: 7}\n    \
         - {selector: node_load15, model: true}\n",
    );
    let load = spec(&rules, "node_load1");
    assert_eq!((load.direction, load.min_deviation), (Direction::Up, 7.0));
    assert!(spec(&rules, "node_load15").model);
    assert!(!spec(&rules, "node_load5").model);
}

#[test]
fn the_command_line_takes_presets_and_names_those_that_there_are() {
    let run = |args: &[&str]| Command::new(serving::SAIMON).args(args).output().unwrap();
    let bad = run(&["serve", "--preset", "nodes"]);
    assert_eq!(bad.status.code(), Some(2));
    let said = String::from_utf8_lossy(&bad.stderr);
    for preset in Preset::ALL {
        assert!(said.contains(preset.as_str()), "{said}");
    }
}

/// Real samples, through the program: without the preset everything on the page is modelled.
#[test]
fn a_preset_given_to_serve_leaves_series_out() {
    let folder = tempfile::tempdir().unwrap();
    let models = |args: &[&str], name: &str| {
        let saimon = serving::Serving::start_with(&folder.path().join(name), "127.0.0.1:0", args);
        let url = format!("http://{}/api/v1/write", saimon.address);
        let replay = at_root("tests/data/write-1.0");
        let out = Command::new(serving::SAIMON)
            .args(["generate", "--push", &url, "--json", "--replay"])
            .arg(&replay)
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let sent = said["samples_acknowledged"].as_u64().unwrap();
        assert!(sent > 1000, "{said}");
        saimon.settled(sent);
        saimon.sum("saimon_series{phase=\"warmup\"}")
    };
    let all = models(&[], "all");
    let fewer = models(
        &["--preset", "node,prometheus", "--preset", "http"],
        "fewer",
    );
    assert!(fewer * 2 < all && fewer > 0, "{fewer} of {all}");
}
