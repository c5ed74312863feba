//! Several saimons behind `hashmod` give together exactly the scores of one: what docs/outputs.md
//! says of scaling, run with a real Prometheus that scrapes the generator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::feed::{config, eventually};
use crate::outside::{Program, free_port};
use crate::receiver::{Does, Labels, Receiver};
use crate::serving::{SAIMON, Serving};

/// Targets that Prometheus sees; each is a unit that stays together.
const TARGETS: usize = 6;
/// Samples of each series beyond the warm-up that are waited for.
const SCORES: usize = 12;

type All = BTreeMap<Labels, Vec<(i64, u64)>>;

/// The exporter, for as long as this lives.
struct Exporter(Child, SocketAddr);

impl Exporter {
    fn start() -> Self {
        let address = free_port();
        let child = Command::new(SAIMON)
            .args([
                "generate",
                "--instances",
                "1",
                "--listen",
                &address.to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child, address)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A saimon whose scores go to a receiver of its own.
struct Scorer {
    saimon: Serving,
    receiver: Receiver,
    _folder: tempfile::TempDir,
}

impl Scorer {
    fn start() -> Self {
        let receiver = Receiver::start(|_, _| Does::Writes);
        let folder = tempfile::tempdir().unwrap();
        let output = format!(
            "    - url: {}\n      series: [score, expected, deviation, rarity]\n      queue_config: {{batch_send_deadline: 100ms}}\n",
            receiver.url()
        );
        let path = config(folder.path(), &output);
        let data = folder.path().join("data");
        Self {
            saimon: Serving::start_with(&data, "127.0.0.1:0", &["--config", &path]),
            receiver,
            _folder: folder,
        }
    }

    fn scores(&self) -> All {
        let mut all = All::new();
        for (labels, t_ms, bits) in self.receiver.taken().iter().flat_map(|r| r.samples()) {
            all.entry(labels).or_default().push((t_ms, bits));
        }
        all
    }
}

fn prometheus(exporter: &Exporter, one: &Scorer, parts: &[Scorer]) -> Program {
    let write = |scorer: &Scorer, rules: &str| {
        format!(
            "  - url: http://{}/api/v1/write\n    metadata_config: {{send: false}}\n    queue_config: {{batch_send_deadline: 100ms}}\n    write_relabel_configs: [{rules}]\n",
            scorer.saimon.address
        )
    };
    let mut remote = write(one, "");
    for (part, scorer) in parts.iter().enumerate() {
        let rules = format!(
            "{{source_labels: [instance], target_label: __tmp_part, modulus: {}, action: hashmod}}, {{source_labels: [__tmp_part], regex: '{part}', action: keep}}, {{regex: __tmp_part, action: labeldrop}}",
            parts.len()
        );
        remote += &write(scorer, &rules);
    }
    let targets: String = (0..TARGETS)
        .map(|n| {
            let labels = format!("{{instance: 'host-{n}:9100'}}");
            format!(
                "      - {{targets: ['{}'], labels: {labels}}}\n",
                exporter.1
            )
        })
        .collect();
    Program::prometheus(&format!(
        "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\nremote_write:\n{remote}scrape_configs:\n  - job_name: generated\n    static_configs:\n{targets}"
    ))
}

/// Statistics of a histogram, whose parts must stay together.
fn stat(labels: &Labels) -> bool {
    labels.iter().any(|(n, v)| n == "stat" && v == "p99")
}

#[test]
fn two_saimons_behind_hashmod_give_together_exactly_the_scores_of_one() {
    let exporter = Exporter::start();
    let one = Scorer::start();
    let parts = [Scorer::start(), Scorer::start()];
    let mut prometheus = prometheus(&exporter, &one, &parts);
    eventually("scored for a while", || {
        let scores = one.scores();
        let long = scores.values().filter(|s| s.len() >= SCORES).count();
        match scores.keys().any(stat) {
            true if long >= TARGETS * 20 => Ok(()),
            stats => Err(format!(
                "{long} of {} series, statistics: {stats}",
                scores.len()
            )),
        }
    });
    // It sends what it has scraped before it ends.
    prometheus.signal("-TERM");
    prometheus.ended();
    let whole = eventually("the same from both", || {
        let whole = one.scores();
        let [mut together, other] = parts.each_ref().map(Scorer::scores);
        assert!(
            !together.is_empty() && !other.is_empty(),
            "one has nothing to do"
        );
        for (labels, samples) in other {
            let both = together.insert(labels.clone(), samples);
            assert_eq!(both, None, "{labels:?} was scored by both");
        }
        let same = whole
            .iter()
            .filter(|(labels, samples)| together.get(*labels) == Some(samples))
            .count();
        match same == whole.len() && together.len() == whole.len() {
            true => Ok(whole),
            false => Err(format!(
                "{same} of {} series are the same, {} together",
                whole.len(),
                together.len()
            )),
        }
    });
    assert!(whole.keys().any(stat));
}
