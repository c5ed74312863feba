//! Writes `docs/configuration.md` and `examples/full.yaml` from the types.
//!
//! Both are in the repository and a test compares them with what is written here, so that a key
//! cannot be added, renamed or given another default without its documentation.

use super::check::leaf::number;
use super::shape::{self, Choice, Field, Shape};
use super::unit;
use crate::config::live;

/// What is said of a key that a running saimon does not take.
const RESTART: &str = " *Restart.*";

/// Longest line of a comment in the example.
const COMMENT_WIDTH: usize = 96;

/// A number may be anything up to here: no bound that a reader would care for.
const NUMBER_OPEN: f64 = 1e300;

const TABLE: &str = "| Key | Type | Default | Range | Meaning |\n| --- | --- | --- | --- | --- |\n";

const HEAD: &str = "\
# Configuration

<!-- Written from the types in src/config by `make docs`. Do not edit. -->

saimon needs no configuration: without a file, every default below holds. With one, give only the
keys that you change:

```yaml
detect:
  rules:
    - selector: '{__name__=~\"node_filesystem_.*\", mountpoint=~\"/run.*\"}'
      model: false
alerting:
  min_severity: high
```

```
saimon check saimon.yaml            # every mistake with its line; exit code 0, 1 or 2
saimon serve --config saimon.yaml
```

An unknown key, a value outside its range and a selector that cannot be read are errors, and
`saimon serve` does not start with one. An empty file is a file with all defaults. `saimon check`
also takes a `prometheus.yml` and says what is missing in it for saimon.

A running saimon reads the file again on SIGHUP and `POST /-/reload` and uses all of it or, if there
is a mistake, nothing; series keep their models. Keys marked *Restart.* are what they were until saimon
is started again, and are named if they have changed: [security.md](security.md).

How values are written:

- **Duration**: numbers with units, `500ms`, `30s`, `5m`, `12h`, `7d`, or several, `1d12h`.
- **Size**: a number with a unit, `64KiB`, `32MiB`, `1GiB` (powers of 1024) or `32MB` (of 1000).
- **Selector**: a series selector as in PromQL, in single quotes, because braces and double quotes
  mean something to YAML: `'{job=\"node\"}'`, `'node_load1{instance=~\"web-.*\"}'`.
";

/// The text of `docs/configuration.md`.
pub fn render() -> String {
    let mut out = HEAD.to_owned();
    let root = shape::config();
    if let Shape::Section(fields) = &root {
        out.push_str("\n## Outside of all sections\n\n");
        out.push_str(TABLE);
        for field in fields.iter().filter(|f| !has_section(&f.shape)) {
            out.push_str(&row(field, &field.name));
        }
        for field in fields {
            section(&mut out, field, &field.name, 2);
        }
    }
    out.push_str("\n## A complete file\n\nEvery key with its default, as in `examples/full.yaml`.\n\n```yaml\n");
    out.push_str(&example());
    out.push_str("```\n");
    out
}

/// The text of `examples/full.yaml`: every key with its default and its meaning.
pub fn example() -> String {
    let mut out =
        "# Every key with its default. Written from the types by `make docs`.\n".to_owned();
    if let Shape::Section(fields) = shape::config() {
        example_fields(&mut out, &fields, "");
    }
    out
}

fn section(out: &mut String, field: &Field, path: &str, level: usize) {
    let (title, fields) = match &field.shape {
        Shape::Section(fields) => (path.to_owned(), fields),
        Shape::List(item) => match item.as_ref() {
            Shape::Section(fields) => (format!("{path}[]"), fields),
            _ => return,
        },
        _ => return,
    };
    out.push_str(&format!(
        "\n<a id=\"{}\"></a>\n{} `{title}`\n\n{}\n\n",
        anchor(path),
        "#".repeat(level),
        field.doc
    ));
    out.push_str(TABLE);
    for field in fields {
        let path = format!("{path}.{}", field.name);
        out.push_str(&row(field, &path));
    }
    for field in fields {
        section(out, field, &format!("{path}.{}", field.name), level + 1);
    }
}

fn row(field: &Field, path: &str) -> String {
    let default = match (&field.default, &field.shape) {
        (Some(default), _) => format!("`{default}`"),
        (None, Shape::Section(_)) => "see there".to_owned(),
        (None, _) if field.required() => "none: needed".to_owned(),
        (None, _) => "not set".to_owned(),
    };
    let link = anchor(path);
    let kind = match &field.shape {
        Shape::Section(_) => format!("[section](#{link})"),
        Shape::List(item) if has_keys(item) => format!("[list](#{link})"),
        other => kind(other).to_owned(),
    };
    // A section's own heading has the anchor.
    let here = match &field.shape {
        Shape::Section(_) => String::new(),
        Shape::List(item) if has_keys(item) => String::new(),
        _ => format!("<a id=\"{link}\"></a>"),
    };
    let mut meaning = field.doc.clone();
    if !has_section(&field.shape) && !live::is_live(path) {
        meaning.push_str(RESTART);
    }
    for c in choices(&field.shape) {
        meaning.push_str(&format!("<br>`{}`: {}", c.word, c.doc));
    }
    format!(
        "| {here}`{}` | {kind} | {default} | {} | {} |\n",
        field.name,
        range(&field.shape),
        meaning.replace('|', "\\|")
    )
}

fn has_keys(shape: &Shape) -> bool {
    matches!(shape, Shape::Section(_))
}

/// True if the page has a heading for it.
fn has_section(shape: &Shape) -> bool {
    match shape {
        Shape::List(item) => has_keys(item),
        _ => has_keys(shape),
    }
}

/// The words that a value, or each of a list, is chosen from.
fn choices(shape: &Shape) -> &[Choice] {
    match shape {
        Shape::Choice(choices) => choices,
        Shape::List(item) => choices(item),
        _ => &[],
    }
}

fn anchor(path: &str) -> String {
    path.replace('.', "-")
}

fn kind(shape: &Shape) -> &'static str {
    match shape {
        Shape::Bool => "true or false",
        Shape::Integer { .. } => "whole number",
        Shape::Number { .. } => "number",
        Shape::Duration { .. } => "duration",
        Shape::Size { .. } => "size",
        Shape::Text | Shape::AnyText => "text",
        Shape::Secret => "secret text",
        Shape::Url => "address",
        Shape::Selector => "selector",
        Shape::Labels | Shape::Headers => "names and texts",
        Shape::Choice(_) => "word",
        Shape::Section(_) => "section",
        Shape::List(item) if matches!(**item, Shape::Choice(_)) => "list of words",
        Shape::List(_) => "list of texts",
    }
}

/// Both ends of the range; empty if there is none.
fn range(shape: &Shape) -> String {
    match shape {
        Shape::Integer { min, max } => format!("{min} to {max}"),
        Shape::Number { min, max } if *max >= NUMBER_OPEN => format!("{} or more", number(*min)),
        Shape::Number { min, max } => format!("{} to {}", number(*min), number(*max)),
        Shape::Duration { min, max } => {
            format!("{} to {}", unit::duration(*min), unit::duration(*max))
        }
        Shape::Size { min, max } => format!("{} to {}", unit::size(*min), unit::size(*max)),
        _ => {
            let words = choices(shape).iter().map(|c| format!("`{}`", c.word));
            words.collect::<Vec<_>>().join(", ")
        }
    }
}

fn example_fields(out: &mut String, fields: &[Field], indent: &str) {
    for field in fields {
        if indent.is_empty() {
            out.push('\n');
        }
        comment(out, &note(field), indent);
        match (&field.shape, &field.default) {
            (Shape::Section(inner), _) => {
                out.push_str(&format!("{indent}{}:\n", field.name));
                example_fields(out, inner, &format!("{indent}  "));
            }
            (Shape::List(item), _) => {
                let default = field.default.as_deref().unwrap_or("[]");
                out.push_str(&format!("{indent}{}: {default}\n", field.name));
                if let Shape::Section(inner) = item.as_ref() {
                    example_item(out, inner, fields, indent);
                }
            }
            (_, default) => {
                let default = default.as_deref().unwrap_or("null");
                out.push_str(&format!("{indent}{}: {default}\n", field.name));
            }
        }
    }
}

/// What an element may have, as comments: a list is empty by default. Keys that change a value of
/// the section around it have that value.
fn example_item(out: &mut String, fields: &[Field], around: &[Field], indent: &str) {
    comment(out, "An element may have these keys:", indent);
    for (i, field) in fields.iter().enumerate() {
        let dash = if i == 0 { "- " } else { "  " };
        let outer = around.iter().find(|f| f.name == field.name);
        let value = outer
            .and_then(|f| f.default.clone())
            .or_else(|| field.default.clone())
            .unwrap_or_else(|| sample(&field.shape));
        out.push_str(&format!("{indent}#   {dash}{}: {value}\n", field.name));
    }
}

/// Some valid value.
fn sample(shape: &Shape) -> String {
    match shape {
        Shape::Selector => "'{job=\"node\", mountpoint!~\"/run.*\"}'".to_owned(),
        Shape::Url => "http://prometheus:9090/api/v1/write".to_owned(),
        Shape::Text => "name".to_owned(),
        Shape::Bool => "true".to_owned(),
        Shape::Choice(choices) => choices.first().map_or_else(String::new, |c| c.word.clone()),
        Shape::Section(inner) => {
            let inner: Vec<_> = inner
                .iter()
                .filter_map(|f| Some((&f.name, f.default.as_ref()?)))
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            format!("{{{}}}", inner.join(", "))
        }
        Shape::Duration { .. } => "1d".to_owned(),
        _ => "0.1".to_owned(),
    }
}

fn note(field: &Field) -> String {
    let range = range(&field.shape);
    match &field.shape {
        _ if range.is_empty() => field.doc.clone(),
        Shape::Choice(_) => format!("{} One of {}.", field.doc, range.replace('`', "")),
        Shape::List(_) => format!("{} Of {}.", field.doc, range.replace('`', "")),
        _ if range.contains(" to ") => format!("{} From {range}.", field.doc),
        _ => format!("{} {range}.", field.doc),
    }
}

/// A comment, broken between words.
fn comment(out: &mut String, text: &str, indent: &str) {
    let mut line = format!("{indent}#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > COMMENT_WIDTH && line.len() > indent.len() + 1 {
            out.push_str(&line);
            out.push('\n');
            line = format!("{indent}#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config_file::{check, parse};

    #[test]
    fn the_example_is_the_defaults() {
        let example = example();
        assert_eq!(check::check(&example), []);
        assert_eq!(parse(&example).unwrap(), Config::default());
    }

    #[test]
    fn the_commented_rule_of_the_example_is_valid() {
        let example = example();
        let rule: String = example
            .lines()
            .skip_while(|l| !l.contains("rules: []"))
            .skip(1)
            .map_while(|l| l.strip_prefix("  #"))
            .filter_map(|l| l.strip_prefix("   "))
            .map(|l| format!("    {l}\n"))
            .collect();
        let config = parse(&format!("detect:\n  rules:\n{rule}")).unwrap();
        let rule = &config.detect.rules[0];
        assert!(rule.model.is_some() && rule.severity.is_some() && rule.adapt.is_some());
    }

    #[test]
    fn the_commented_receiver_of_the_example_is_valid() {
        let example = example();
        let receiver: String = example
            .lines()
            .skip_while(|l| !l.contains("remote_write: []"))
            .skip(1)
            .map_while(|l| l.strip_prefix("  #"))
            .filter_map(|l| l.strip_prefix("   "))
            .map(|l| format!("    {l}\n"))
            .collect();
        let config = parse(&format!("outputs:\n  remote_write:\n{receiver}")).unwrap();
        let receiver = &config.outputs.remote_write[0];
        assert_eq!(receiver.queue_config, Default::default());
        assert_eq!(receiver.shown_name(), "name");
    }

    #[test]
    fn every_key_has_an_anchor_and_every_link_a_target() {
        let page = render();
        for id in [
            "detect-warmup",
            "detect-rules",
            "alerting-hold-critical",
            "limits-series",
        ] {
            assert!(page.contains(&format!("<a id=\"{id}\">")), "{id}");
        }
        for link in page.split("](#").skip(1) {
            let id = link.split(')').next().unwrap_or_default();
            assert!(page.contains(&format!("<a id=\"{id}\">")), "{id}");
        }
    }

    #[test]
    fn every_line_of_a_table_has_as_many_columns() {
        for line in render().lines().filter(|l| l.starts_with("| ")) {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 6, "{line}");
        }
    }
}
