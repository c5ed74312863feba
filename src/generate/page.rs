//! The text of a scrape: Prometheus' format 0.0.4 and OpenMetrics 1.0.

use std::fmt::Write as _;

use super::catalogue::Kind;
use super::world::World;

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The one that an `Accept` header prefers (RFC 9110, section 12.5.1). OpenMetrics only where it
    /// is named with a quality not below that of text; everybody else gets text.
    pub(super) fn accepted(accept: &str) -> Self {
        let (mut text, mut open) = (0.0f64, 0.0f64);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1.0, None);
            for part in parts {
                match part.split_once('=') {
                    Some(("q", q)) => quality = q.parse().unwrap_or(0.0),
                    Some(("version", v)) => version = Some(v.trim_matches('"')),
                    _ => {}
                }
            }
            match media.as_str() {
                "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                    open = open.max(quality);
                }
                "text/plain" => text = text.max(quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// The series of one node, or of all, as of the world's last step. `None` if all of them vanished.
pub(super) fn render(world: &World, node: Option<u32>, format: Format) -> Option<String> {
    let mut page = String::with_capacity(64 * world.len());
    let mut family = "";
    world.visit(node, |series| {
        if series.family.name != family {
            family = series.family.name;
            // OpenMetrics names the family of a counter without the suffix of its samples.
            let announced = match (format, series.family.kind) {
                (Format::OpenMetrics, Kind::Counter) => family.trim_end_matches("_total"),
                _ => family,
            };
            let (help, kind) = (series.family.help, series.family.kind.name());
            let _ = write!(
                page,
                "# HELP {announced} {help}\n# TYPE {announced} {kind}\n"
            );
        }
        let _ = writeln!(page, "{} {}", series.text, series.value);
    });
    if page.is_empty() {
        return None;
    }
    if format == Format::OpenMetrics {
        page.push_str("# EOF\n");
    }
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::world::Shape;
    use std::collections::HashSet;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn page(format: Format) -> String {
        let mut world = World::new(1, &Shape::default());
        world.advance(1_800_000_000_000);
        world.advance(1_800_000_015_000);
        render(&world, None, format).unwrap()
    }

    #[test]
    fn promtool_finds_nothing_to_complain_about() {
        let tool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut tool = tool.expect("promtool is missing: `make test` installs it");
        let mut stdin = tool.stdin.take().unwrap();
        stdin.write_all(page(Format::Text).as_bytes()).unwrap();
        drop(stdin);
        let answer = tool.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(answer.status.success(), "{said}");
    }

    #[test]
    fn families_come_once_and_series_come_once() {
        for format in [Format::Text, Format::OpenMetrics] {
            let page = page(format);
            let (mut types, mut series) = (HashSet::new(), HashSet::new());
            for line in page.lines() {
                match line.strip_prefix("# TYPE ") {
                    Some(line) => assert!(types.insert(line.to_owned()), "{line} twice"),
                    None if line.starts_with('#') => {}
                    None => {
                        let (name, value) = line.rsplit_once(' ').unwrap();
                        assert!(value.parse::<f64>().is_ok(), "{line}");
                        assert!(series.insert(name.to_owned()), "{line} twice");
                    }
                }
            }
            assert_eq!(types.len(), crate::generate::catalogue::FAMILIES.len());
        }
    }

    #[test]
    fn openmetrics_differs_where_it_must() {
        let page = page(Format::OpenMetrics);
        assert!(page.contains("# TYPE demo_http_requests counter\n"));
        assert!(page.contains("\ndemo_http_requests_total{"));
        assert!(page.ends_with("# EOF\n"));
        assert_eq!(page.matches("# EOF").count(), 1);
    }

    #[test]
    fn accept_chooses_by_quality() {
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Format::Text),
            (
                "application/openmetrics-text; version=1.0.0",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;version=0.0.1", Format::Text),
            (
                "application/openmetrics-text;q=0.2,text/plain;q=0.9",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0", Format::Text),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }
}
