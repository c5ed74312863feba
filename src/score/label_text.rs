//! The label text of a series' scores, rendered once when the series is born.
//!
//! All labels of the source series stay; `source_metric` is added. A source label that clashes with
//! one of ours, or with one that a gauge may not have, moves to `exported_<name>`, as Prometheus does
//! with clashes. Names that the text format cannot
//! write are escaped with underscores (the exposition formats' default escaping).

use super::board::LabelText;
use crate::series::labels;

const METRIC_NAME: &str = "__name__";
const SOURCE: &str = "source_metric";
/// Labels that the exposition formats keep for histograms and summaries, which a gauge may not have.
const FORMAT: [&str; 2] = ["le", "quantile"];
/// Labels of `saimon_anomaly` beyond those of the score.
const ANOMALY: [&str; 4] = ["state", "severity", "direction", "reason"];

/// The text for canonical label bytes.
pub fn render(canonical: &[u8]) -> LabelText {
    let clashes = labels::iter(canonical).any(|(name, _)| ANOMALY.contains(&name));
    LabelText {
        score: text(canonical, &[]),
        anomaly: clashes.then(|| text(canonical, &ANOMALY)),
    }
}

fn text(canonical: &[u8], reserved: &[&str]) -> Box<str> {
    let ours = |name: &str| name == SOURCE || FORMAT.contains(&name) || reserved.contains(&name);
    let mut out = String::with_capacity(canonical.len() + 64);
    let mut metric = "";
    // Names are unique as they come, so only a changed one can meet another; those are few or none.
    let mut changed: Vec<String> = Vec::new();
    out.push('{');
    for (name, value) in labels::iter(canonical) {
        if name == METRIC_NAME {
            metric = value;
            continue;
        }
        if labels::is_plain_label_name(name) && !ours(name) {
            push(&mut out, name, value);
            out.push(',');
            continue;
        }
        let mut name = escape_name(name);
        while ours(&name) || changed.contains(&name) || labels::get(canonical, &name).is_some() {
            name = format!("exported_{name}");
        }
        push(&mut out, &name, value);
        out.push(',');
        changed.push(name);
    }
    push(&mut out, SOURCE, metric);
    out.into_boxed_str()
}

fn push(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn escape_name(name: &str) -> String {
    name.chars()
        .enumerate()
        .map(|(i, c)| {
            let fits = c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit());
            if fits { c } else { '_' }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(labels: &[(&str, &str)]) -> String {
        let text = render(&labels::encode(labels.iter().copied()));
        String::from(text.score)
    }

    #[test]
    fn labels_stay_and_the_metric_name_becomes_source_metric() {
        assert_eq!(
            score(&[
                ("__name__", "node_load1"),
                ("job", "node"),
                ("instance", "a:1")
            ]),
            r#"{instance="a:1",job="node",source_metric="node_load1""#
        );
    }

    #[test]
    fn clashes_move_and_odd_characters_are_escaped() {
        assert_eq!(
            score(&[
                ("__name__", "m"),
                ("source_metric", "x"),
                ("a.b", "q\"\\\n")
            ]),
            "{a_b=\"q\\\"\\\\\\n\",exported_source_metric=\"x\",source_metric=\"m\""
        );
        assert_eq!(
            score(&[("__name__", "m"), ("a.b", "1"), ("a/b", "2"), ("a_b", "3")]),
            "{exported_a_b=\"1\",exported_exported_a_b=\"2\",a_b=\"3\",source_metric=\"m\""
        );
        let text = render(&labels::encode([("__name__", "unit"), ("state", "failed")]));
        assert_eq!(&*text.score, r#"{state="failed",source_metric="unit""#);
        assert_eq!(
            text.anomaly.as_deref(),
            Some(r#"{exported_state="failed",source_metric="unit""#)
        );
    }

    #[test]
    fn labels_of_histograms_and_summaries_are_moved() {
        let text = score(&[("__name__", "x"), ("le", "1"), ("quantile", "0.5")]);
        assert_eq!(
            text,
            "{exported_le=\"1\",exported_quantile=\"0.5\",source_metric=\"x\""
        );
    }
}
