//! What is wrong with receivers of scores, beyond the ranges of their keys.

use super::Walk;
use crate::config::outputs::RECEIVERS_MAX;
use crate::config::{OutputsConfig, RemoteWriteConfig};
use crate::config_file::unit;
use crate::config_file::yaml::At;
use crate::series::relabel::Relabel;

impl Walk<'_> {
    pub(super) fn outputs(&mut self, outputs: &OutputsConfig) {
        let all = &outputs.remote_write;
        let list = "outputs.remote_write";
        if all.len() > RECEIVERS_MAX {
            let message = format!("has {} receivers, at most {RECEIVERS_MAX} are", all.len());
            self.at_key(list, message);
        }
        for (i, receiver) in all.iter().enumerate() {
            let path = format!("{list}[{i}]");
            self.receiver(&path, receiver);
            let name = receiver.shown_name();
            let first = all[..i].iter().position(|other| other.shown_name() == name);
            if let Some(first) = first.filter(|_| !name.is_empty()) {
                let key = match receiver.name {
                    Some(_) => "name",
                    None => "url",
                };
                let message = format!(
                    "is called {name:?} as is `{list}[{first}]`: give each a `name` of its own"
                );
                self.at_key(&format!("{path}.{key}"), message);
            }
        }
    }

    fn receiver(&mut self, path: &str, receiver: &RemoteWriteConfig) {
        self.client(path, &receiver.client, Some(&receiver.url));
        for (i, rule) in receiver.write_relabel_configs.iter().enumerate() {
            let at = format!("{path}.write_relabel_configs[{i}]");
            // A key that is wrong by itself may be why the rest does not fit.
            let within = |key: &str| key.strip_prefix(&at).is_some_and(|k| k.starts_with('.'));
            let fits = |(key, (_, ok)): (&String, &(At, bool))| *ok || !within(key);
            if let Err(error) = Relabel::new(std::slice::from_ref(rule))
                && self.places.iter().all(fits)
            {
                self.at_key(&format!("{at}.{}", error.key), error.what);
            }
        }
        let series = format!("{path}.series");
        if receiver.series.is_empty() {
            self.at_key(&series, "is empty: nothing would be sent");
        }
        let twice = |(i, one)| receiver.series[..i].contains(one);
        if receiver.series.iter().enumerate().any(twice) {
            self.at_key(&series, "names one twice");
        }
        let queue = &receiver.queue_config;
        let key = |name: &str| format!("{path}.queue_config.{name}");
        self.pair(
            queue.min_backoff <= queue.max_backoff,
            &key("min_backoff"),
            &key("max_backoff"),
            format!(
                "{} is less than `min_backoff`, {}",
                unit::duration(queue.max_backoff),
                unit::duration(queue.min_backoff)
            ),
        );
    }

    /// Notes a mistake at a key, or at the nearest section around it that the file has.
    pub(in crate::config_file) fn at_key(&mut self, path: &str, message: impl Into<String>) {
        let mut around = path;
        let at = loop {
            if let Some((at, _)) = self.places.get(around) {
                break *at;
            }
            match around.rfind(['.', '[']) {
                Some(end) => around = &around[..end],
                None => break At::START,
            }
        };
        self.mistake(at, path, message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;

    /// `line:column key: message` of all mistakes.
    fn found(receiver: &str) -> Vec<String> {
        let text = format!("outputs:\n  remote_write:\n{receiver}");
        check(&text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_prometheus_users_write_is_taken() {
        let receiver = "
    - url: http://h:9090/api/v1/write
      name: main
      protobuf_message: io.prometheus.write.v2.Request
      remote_timeout: 30s
      basic_auth: {username: u, password_file: p}
      headers: {X-Scope-OrgID: a}
      tls_config: {ca_file: ca.pem}
      write_relabel_configs:
        - {source_labels: [job, instance], separator: '', regex: 'a(.+)', target_label: x, replacement: '$1'}
        - {source_labels: [__name__], target_label: shard, modulus: 2, action: hashmod}
        - {regex: 'tmp_.*', action: labeldrop}
      min_score: 0.5
      series: [score, bounds]
      queue_config: {max_shards: 2, min_backoff: 1s, limit: 10MiB}
      metadata_config: {send: false}
";
        assert_eq!(found(receiver), [""; 0]);
    }

    #[test]
    fn every_mistake_is_found_with_its_line() {
        for (receiver, expected) in [
            (
                "    - name: a",
                "3:7: outputs.remote_write[0]: has no `url`",
            ),
            (
                "    - url: ftp://a",
                "remote_write[0].url: is not an address",
            ),
            (
                "    - url: http://a\n      write_relabel_configs:\n        - {action: hashmod, target_label: x}",
                "5:11: outputs.remote_write[0].write_relabel_configs[0].modulus: must be",
            ),
            (
                "    - url: http://a\n      write_relabel_configs:\n        - {regex: '(', action: drop}",
                "5:19: outputs.remote_write[0].write_relabel_configs[0].regex: bad regular",
            ),
            (
                "    - url: http://a\n      write_relabel_configs:\n        - {action: delete}",
                "one of `replace`, `keep`",
            ),
            ("    - {url: http://a, series: []}", "series: is empty"),
            (
                "    - {url: http://a, series: [score, score]}",
                "series: names one twice",
            ),
            (
                "    - {url: http://a, queue_config: {min_backoff: 10s}}",
                "max_backoff: 5s is less than `min_backoff`, 10s",
            ),
            (
                "    - url: http://a\n    - url: http://a",
                "4:12: outputs.remote_write[1].url: is called \"a\"",
            ),
            (
                "    - {url: http://a, headers: {User-Agent: x}}",
                "is set by saimon itself",
            ),
            ("    - {url: http://a, min_score: 2}", "2 is outside 0 to 1"),
            ("    - {url: http://a, queue: 1}", "unknown key"),
        ] {
            let found = found(receiver);
            assert_eq!(found.len(), 1, "{receiver}: {found:?}");
            assert!(found[0].contains(expected), "{receiver}: {found:?}");
        }
        let nine = "    - url: http://a\n".repeat(9);
        let text: String = nine
            .lines()
            .enumerate()
            .map(|(i, line)| format!("{line}/{i}\n"))
            .collect();
        let found = found(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("at most 8"), "{found:?}");
    }
}
