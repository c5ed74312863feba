//! `GET /`: what is where, for whoever opens the address in a browser.

use axum::response::Html;

const PAGE: &str = concat!(
    r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>saimon</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --line: #8885; --soft: #8882; --link: light-dark(#0b57d0, #8ab4f8); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1.25rem;
  background: light-dark(#fff, #16181d); color: light-dark(#1c1e21, #e4e6ea); }
h1 { margin: 0; font-size: 1.75rem; letter-spacing: -.01em; }
h1 small { font-size: .875rem; font-weight: normal; opacity: .7; margin-left: .5rem; }
table { border-collapse: collapse; width: 100%; margin: 1.5rem 0; }
td { border-top: 1px solid var(--line); padding: .5rem 1rem .5rem 0; vertical-align: top; }
a { color: var(--link); }
code, pre { font: .875rem/1.5 ui-monospace, monospace; }
code { white-space: nowrap; }
pre { background: var(--soft); border-radius: .5rem; padding: 1rem; overflow-x: auto; }
</style>
</head>
<body>
<h1>saimon<small>"#,
    env!("CARGO_PKG_VERSION"),
    r#"</small></h1>
<p>Scores every sample that Prometheus writes here, and gives the scores back as series.</p>
<table>
<tr><td><a href="/metrics/scores"><code>/metrics/scores</code></a></td><td>the newest score of every series and the anomalies under way; <code>?match[]=</code> selects</td></tr>
<tr><td><a href="/metrics"><code>/metrics</code></a></td><td>saimon about itself</td></tr>
<tr><td><a href="/health"><code>/health</code></a></td><td>state, version, series and store as JSON; <a href="/-/healthy"><code>/-/healthy</code></a> and <a href="/-/ready"><code>/-/ready</code></a> for probes</td></tr>
<tr><td><a href="/docs"><code>/api/v1/...</code></a></td><td>anomalies, series, models, groups and explanations as JSON: <a href="/docs">how to ask</a>, <a href="/openapi.json"><code>/openapi.json</code></a>, <a href="/api/v1/anomalies"><code>/api/v1/anomalies</code></a></td></tr>
<tr><td><code>POST /api/v1/write</code></td><td>Prometheus remote write 1.0 and 2.0</td></tr>
<tr><td><code>POST /api/v1/read</code></td><td>Prometheus remote read: the raw samples, of the last day by default</td></tr>
</table>
<p>In <code>prometheus.yml</code>:</p>
<pre>remote_write:
  - url: http://localhost:9925/api/v1/write
scrape_configs:
  - job_name: saimon
    static_configs: [{targets: ['localhost:9925']}]
  - job_name: saimon-scores
    honor_labels: true
    metrics_path: /metrics/scores
    static_configs: [{targets: ['localhost:9925']}]</pre>
</body>
</html>
"#
);

/// `GET /`
pub(super) async fn index() -> Html<&'static str> {
    Html(PAGE)
}
