//! `GET /metrics`: saimon's own numbers, as OpenMetrics or as Prometheus text.
//!
//! The registry speaks OpenMetrics only. [`to_text`] turns that into text 0.0.4, line by line; it
//! knows the two formats and nothing of which metrics there are.

use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;

use super::State;
use super::accept::{Form, Format};

/// `GET /metrics`
pub(super) async fn metrics(Extract(state): Extract<State>, headers: HeaderMap) -> Response {
    let form = Form::of(&headers);
    let page = state.metrics.openmetrics();
    // All names here are plain, so that escaping changes nothing.
    let page = match form.format {
        Format::OpenMetrics => page,
        Format::Text | Format::Text1 => to_text(&page),
    };
    (form.headers(), page).into_response()
}

/// OpenMetrics 1.0 to Prometheus text 0.0.4.
///
/// What differs: a counter's family is named with its `_total` and an info's with its `_info`;
/// `unknown` is `untyped`; there is no `# UNIT`, no `# EOF`, no exemplar and no `_created` sample;
/// a help text escapes no quotes.
fn to_text(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut family = "";
    let mut kind = "";
    let mut help: Option<(&str, &str)> = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // Held back: how the family is called here depends on its type, which comes next.
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            (family, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
            let (suffix, text_kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "gauge" | "stateset" => ("", "gauge"),
                "histogram" | "summary" => ("", kind),
                _ => ("", "untyped"),
            };
            if let Some((of, text)) = help.take()
                && of == family
            {
                let text = text.replace("\\\"", "\"");
                out.extend(["# HELP ", family, suffix, " ", &text, "\n"]);
            }
            out.extend(["# TYPE ", family, suffix, " ", text_kind, "\n"]);
        } else if !line.starts_with('#') && !line.is_empty() {
            let sample = without_exemplar(line);
            let name = sample.split(['{', ' ']).next().unwrap_or_default();
            let created = matches!(kind, "counter" | "histogram" | "summary")
                && name.strip_prefix(family) == Some("_created");
            if !created {
                out.extend([sample, "\n"]);
            }
        }
    }
    out
}

/// A sample line without the ` # {...} ...` behind its value. Label values may hold anything, `#`
/// and escaped quotes included.
fn without_exemplar(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return line[..at].trim_end(),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_between_the_formats() {
        let openmetrics = r##"# HELP a_requests requests, "all" of them.
# TYPE a_requests counter
a_requests_total{path="x # {y=\"1\"} \\"} 17 # {trace="t"} 1.0 123.4
a_requests_created{path="x"} 1700000000.5
# HELP a_seconds_created not a counter's
# TYPE a_seconds_created gauge
a_seconds_created 5
# TYPE a_what unknown
a_what 1
# HELP a_build with a \"quote\" and \\ and \n
# TYPE a_build info
a_build_info{v="1"} 1
# HELP a_wait_seconds waiting.
# TYPE a_wait_seconds histogram
# UNIT a_wait_seconds seconds
a_wait_seconds_sum 0.5
a_wait_seconds_count 2
a_wait_seconds_bucket{le="0.1"} 1 # {} 0.05
a_wait_seconds_bucket{le="+Inf"} 2
# EOF
"##;
        let text = r##"# HELP a_requests_total requests, "all" of them.
# TYPE a_requests_total counter
a_requests_total{path="x # {y=\"1\"} \\"} 17
# HELP a_seconds_created not a counter's
# TYPE a_seconds_created gauge
a_seconds_created 5
# TYPE a_what untyped
a_what 1
# HELP a_build_info with a "quote" and \\ and \n
# TYPE a_build_info gauge
a_build_info{v="1"} 1
# HELP a_wait_seconds waiting.
# TYPE a_wait_seconds histogram
a_wait_seconds_sum 0.5
a_wait_seconds_count 2
a_wait_seconds_bucket{le="0.1"} 1
a_wait_seconds_bucket{le="+Inf"} 2
"##;
        assert_eq!(to_text(openmetrics), text);
    }
}
