//! Ready rules for well-known exporters: the files of `deploy/presets`, which are part of the program.
//!
//! Each is a configuration file of its own with nothing but rules. What always holds: the rules of
//! presets lie under those of the configuration, and no preset is laid twice. Which series an exporter
//! really has is not known here; `tests/presets.rs` asks real ones.

use crate::config::{Config, Direction, KindOverride, Preset, RuleConfig};

use super::check;
use super::shape::{self, Shape};

/// The file of a preset.
pub fn text(preset: Preset) -> &'static str {
    match preset {
        Preset::Node => include_str!("../../deploy/presets/node.yaml"),
        Preset::Kubernetes => include_str!("../../deploy/presets/kubernetes.yaml"),
        Preset::Prometheus => include_str!("../../deploy/presets/prometheus.yaml"),
        Preset::Http => include_str!("../../deploy/presets/http.yaml"),
    }
}

/// The rules of a preset, in their order.
pub fn rules(preset: Preset) -> Vec<RuleConfig> {
    check::read(text(preset))
        .unwrap_or_else(|mistakes| panic!("BUG: preset {}: {mistakes:?}", preset.as_str()))
        .detect
        .rules
}

/// Puts the rules of presets under all others. Presets that the configuration has are left out.
pub fn lay_under(config: &mut Config, presets: &[Preset]) {
    let mut new: Vec<Preset> = Vec::new();
    for preset in presets {
        if !new.contains(preset) && !config.presets.contains(preset) {
            new.push(*preset);
        }
    }
    let mut all: Vec<_> = new.iter().flat_map(|preset| rules(*preset)).collect();
    all.append(&mut config.detect.rules);
    config.detect.rules = all;
    new.append(&mut config.presets);
    config.presets = new;
}

/// Lays the presets that a file names under its rules.
pub(super) fn resolve(mut config: Config) -> Config {
    let presets = std::mem::take(&mut config.presets);
    lay_under(&mut config, &presets);
    config
}

/// The text of `docs/presets.md`.
pub fn page() -> String {
    let mut out = HEAD.to_owned();
    for preset in Preset::ALL {
        let name = preset.as_str();
        out.push_str(&format!("\n## `{name}`\n\n{}\n", meaning(name)));
        let whys = whys(text(preset));
        let mut last = "";
        for (rule, why) in rules(preset).iter().zip(&whys) {
            if why != last {
                out.push_str(&format!("\n{why}\n\n"));
                last = why;
            }
            out.push_str(&format!("- `{}`: {}\n", rule.selector, effect(rule)));
        }
    }
    out
}

const HEAD: &str = "\
# Presets

<!-- Written from deploy/presets by `make docs`. Do not edit. -->

A series by itself does not say that free space only matters when it shrinks, or that ten packets a
second are nothing. Presets do, for exporters that many have:

```
saimon serve --preset node --preset prometheus      # or SAIMON_PRESET=node,prometheus
```

```yaml
presets: [node, prometheus]
detect:
  rules:
    - selector: 'node_load1'                        # over what the preset says
      min_deviation: 2
```

A preset is a list of [`detect.rules`](configuration.md#detect-rules). All rules that match a series
apply, later ones over earlier ones; those of presets come before all others, in the order given. So
a rule of your own changes what it names and leaves the rest. Series that no rule matches are modelled
as without presets. The files are in [deploy/presets](../deploy/presets) and can be copied and changed;
they select by names of metrics and labels that the exporters themselves set, never by `job`.

How to read what follows: *up* and *down*, only that side of the band counts; *from*, a value nearer to
the expected one is never anomalous, in the unit of the value (per second for counters) or as a share
of the expected value, whichever is more.
";

/// What the types say of a preset.
fn meaning(name: &str) -> String {
    let root = shape::config();
    let Shape::Section(fields) = &root else {
        return String::new();
    };
    let choices = fields.iter().find_map(|f| match &f.shape {
        Shape::List(item) if f.name == "presets" => match item.as_ref() {
            Shape::Choice(choices) => Some(choices),
            _ => None,
        },
        _ => None,
    });
    choices
        .into_iter()
        .flatten()
        .find(|c| c.word == name)
        .map_or_else(String::new, |c| c.doc.clone())
}

/// The comment above each rule of a file, or above the rules before it.
fn whys(text: &str) -> Vec<String> {
    let mut whys = Vec::new();
    let mut why = String::new();
    let mut within = false;
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("    # ") {
            if !within {
                why.clear();
            } else {
                why.push(' ');
            }
            why.push_str(words);
            within = true;
        } else {
            within = false;
            if line.starts_with("    - selector:") {
                whys.push(why.clone());
            }
        }
    }
    whys
}

/// What a rule does, in words.
fn effect(rule: &RuleConfig) -> String {
    let mut words = Vec::new();
    match rule.model {
        Some(false) => words.push("not modelled".to_owned()),
        Some(true) => words.push("modelled".to_owned()),
        None => {}
    }
    match rule.kind {
        Some(KindOverride::Counter) => words.push("counters".to_owned()),
        Some(KindOverride::Gauge) => words.push("gauges".to_owned()),
        None => {}
    }
    match rule.direction {
        Some(Direction::Up) => words.push("up".to_owned()),
        Some(Direction::Down) => words.push("down".to_owned()),
        Some(Direction::Both) => words.push("up and down".to_owned()),
        None => {}
    }
    let least: Vec<_> = rule
        .min_deviation
        .map(|least| least.to_string())
        .into_iter()
        .chain(rule.min_deviation_ratio.map(|r| format!("{} %", r * 100.0)))
        .collect();
    if !least.is_empty() {
        words.push(format!("from {}", least.join(" and ")));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_file::parse;

    fn selectors(config: &Config) -> Vec<&str> {
        let rules = &config.detect.rules;
        rules.iter().map(|r| r.selector.as_str()).collect()
    }

    #[test]
    fn presets_of_a_file_lie_under_its_rules_in_their_order() {
        let text = "presets: [http, node, http]\ndetect: {rules: [{selector: mine}]}\n";
        let config = parse(text).unwrap();
        let [http, node] = [rules(Preset::Http), rules(Preset::Node)];
        let expected: Vec<_> = http.iter().chain(&node).map(|r| &*r.selector).collect();
        let (last, before) = selectors(&config)
            .split_last()
            .map(|(l, b)| (*l, b.to_vec()))
            .unwrap();
        assert_eq!(before, expected);
        assert_eq!(last, "mine");
        assert_eq!(config.presets, [Preset::Http, Preset::Node]);
    }

    #[test]
    fn presets_of_the_command_line_come_first_and_once() {
        let text = "presets: [node]\ndetect: {rules: [{selector: mine}]}\n";
        let mut config = parse(text).unwrap();
        let before = config.clone();
        lay_under(&mut config, &[Preset::Node]);
        assert_eq!(config, before);
        lay_under(&mut config, &[Preset::Http, Preset::Node, Preset::Http]);
        let first = rules(Preset::Http);
        assert_eq!(config.detect.rules[..first.len()], first[..]);
        assert_eq!(config.detect.rules[first.len()..], before.detect.rules[..]);
        assert_eq!(config.presets, [Preset::Http, Preset::Node]);
    }

    #[test]
    fn every_rule_of_a_preset_says_something_and_why() {
        for preset in Preset::ALL {
            let rules = rules(preset);
            let whys = whys(text(preset));
            assert_eq!(rules.len(), whys.len(), "{preset:?}");
            for (rule, why) in rules.iter().zip(whys) {
                assert!(!effect(rule).is_empty(), "{rule:?}");
                assert!(why.len() > 10, "{rule:?}");
                let bare = RuleConfig {
                    selector: rule.selector.clone(),
                    model: rule.model,
                    kind: rule.kind,
                    direction: rule.direction,
                    min_deviation: rule.min_deviation,
                    min_deviation_ratio: rule.min_deviation_ratio,
                    ..RuleConfig::default()
                };
                assert_eq!(*rule, bare, "the page does not say all of it");
            }
            assert!(!meaning(preset.as_str()).is_empty());
        }
    }

    #[test]
    fn a_word_that_is_no_preset_is_named() {
        let error = parse("presets: [node, nod]\n").unwrap_err().to_string();
        assert!(error.contains("1:17: presets[1]: "), "{error}");
        assert!(error.contains("`kubernetes`"), "{error}");
    }
}
