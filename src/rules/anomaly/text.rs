//! What an alert about a series says, as templates of Prometheus.
//!
//! Everything that is not in the labels of the alert is asked for when it fires, and said in the words of
//! an explanation (`/api/v1/series/{id}/explain`). A series that is not
//! there leaves its words out: the value, because `external_labels` or relabelling made the source
//! another series; what was expected and its band, because nothing sends them and nothing reads them.

use crate::config::AlertingConfig;
use crate::config::client::Address;
use crate::rules::format::{Annotations, literal};

/// The series in one piece, in the notation of PromQL.
pub(in crate::rules) const SERIES: &str = r#"{{- $labels.source_metric }}{{ "{" }}
{{- $comma := "" }}
{{- range $name, $value := $labels }}
  {{- if ne $name "source_metric" }}
    {{- $comma }}{{ $name }}={{ printf "%q" $value }}
    {{- $comma = ", " }}
  {{- end }}
{{- end }}{{ "}" }}"#;

/// Matchers for exactly this series into `$series`, those of its source into `$own`, and of these all
/// but job and instance into `$others`. Only Prometheus 3 has names that need quotes, and takes them.
const MATCHERS: &str = r#"{{- $series := "" }}{{ $own := "" }}{{ $others := "" }}
{{- range $name, $value := $labels }}
  {{- if not (match "^[a-zA-Z_][a-zA-Z0-9_]*$" $name) }}
    {{- $name = printf "%q" $name }}
  {{- end }}
  {{- $matcher := printf "%s=%q," $name $value }}
  {{- $series = print $series $matcher }}
  {{- if not (match "^(source_metric|stat)$" $name) }}
    {{- $own = print $own $matcher }}
    {{- if not (match "^(job|instance)$" $name) }}
      {{- $others = print $others $matcher }}
    {{- end }}
  {{- end }}
{{- end }}
"#;

/// A query for the value that was judged into `$value`: that of a gauge, the rate of a counter, and of
/// a histogram what `stat` says.
const VALUE: &str = r#"{{- $metric := $labels.source_metric }}
{{- $value := printf "{__name__=%q,%s}" $metric $own }}
{{- if match "_(total|count|sum)$" $metric }}
  {{- $value = printf "rate(%s[5m])" $value }}
{{- end }}
{{- with $labels.stat }}
  {{- $rate := "rate({__name__=%q,%s}[5m])" }}
  {{- $count := printf $rate (print $metric "_count") $own }}
  {{- if eq . "rate" }}
    {{- $value = $count }}
  {{- else if eq . "mean" }}
    {{- $value = printf "%s / %s" (printf $rate (print $metric "_sum") $own) $count }}
  {{- else if match "^p[0-9]+$" . }}
    {{- $value = printf "histogram_quantile(0.%s, %s)" (reReplaceAll "^p" "" .) (printf $rate (print $metric "_bucket") $own) }}
  {{- end }}
{{- end }}
"#;

const SUMMARY: &str = r#"{{- $labels.source_metric }}
{{- with $labels.instance }} on {{ . }}{{ end }} is
{{- with query (printf "saimon_anomaly{%sstate=\"active\"}" $series) }}
  {{- with first . }}
    {{- if eq .Labels.direction "up" }} higher than expected
    {{- else if eq .Labels.direction "down" }} lower than expected
    {{- else }} unlike it was
    {{- end }} ({{ .Labels.reason }})
  {{- end }}
{{- else }} not as expected
{{- end }}"#;

/// Bands by remote read are worked out when they are asked for, so they are left out where there are
/// many anomalies at once: what raises alerts must not wait.
const DESCRIPTION: &str = r#"{{- with query (printf "saimon_anomaly{%sstate=\"active\"}" $series) }}
  {{- with first . }}Reason {{ .Labels.reason }}, direction {{ .Labels.direction }}, severity {{ .Labels.severity }}.
  {{- end }}
{{- end }}
{{- with query (printf "saimon_anomaly_score{%s}" $series) }}
  {{- with first . }} The score is {{ printf "%.2f" .Value }}; 0.7 is the edge of what is normal for this series.
  {{- end }}
{{- end }}
{{- with query (printf "sort_desc(saimon_anomaly_contribution{%s})" $series) }} Said by
  {{- $comma := "" }}
  {{- range . }}
    {{- $comma }} {{ .Labels.part }} {{ humanizePercentage .Value }}
    {{- $comma = "," }}
  {{- end }}.
{{- end }}
{{- with query $value }}
  {{- with first . }} It was {{ humanize .Value }}.
  {{- end }}
{{- end }}
{{- $where := $series }}
{{- if not (query (printf "saimon_expected{%s}" $series)) }}
  {{- if not (query "count(saimon_anomaly{state=\"active\"}) > 50") }}
    {{- $where = print $series "saimon=\"virtual\"" }}
  {{- end }}
{{- end }}
{{- with query (printf "saimon_expected{%s}" $where) }}
  {{- with first . }} {{ humanize .Value }} was expected.
  {{- end }}
{{- end }}
{{- $upper := query (printf "saimon_upper_bound{%s}" $where) }}
{{- with query (printf "saimon_lower_bound{%s}" $where) }}
  {{- if $upper }} {{ humanize (first .).Value }} to {{ humanize (first $upper).Value }} would have been normal.
  {{- end }}
{{- end }}"#;

/// Prometheus' own page, value above score, over the last three hours.
const GRAPH: &str = r#"{{- $externalURL }}/graph?g0.expr={{ urlquery $value }}&g0.tab=0&g0.range_input=3h&g1.expr={{ urlquery (printf "saimon_anomaly_score{%s}" $series) }}&g1.tab=0&g1.range_input=3h"#;

const DASHBOARD: &str = r#"/d/saimon-series?var-metric={{ urlquery $labels.source_metric }}&var-job={{ urlquery $labels.job }}&var-instance={{ urlquery $labels.instance }}&var-labels={{ urlquery $others }}&from=now-3h&to=now"#;

/// saimon's page of the series: it opens the one that these labels fit.
const PAGE: &str = r#"/#/series?match={{ urlquery (printf "{%s}" $page) }}"#;

/// The matchers of the page into `$page`: a statistic has the name of its histogram and its own label.
const PAGE_MATCHERS: &str = r#"{{- $page := printf "__name__=%q,%s" $labels.source_metric $own }}
{{- with $labels.stat }}
  {{- $page = printf "%sstat=%q," $page . }}
{{- end }}
"#;

/// All of it.
pub(super) fn annotations(config: &AlertingConfig) -> Annotations {
    Annotations {
        summary: format!("{MATCHERS}{SUMMARY}"),
        description: format!("{MATCHERS}{VALUE}{DESCRIPTION}"),
        graph: Some(format!("{MATCHERS}{VALUE}{GRAPH}")),
        dashboard: config.grafana_url.as_ref().map(|url| {
            format!(
                "{MATCHERS}{{{{- \"\" }}}}{}{DASHBOARD}",
                literal(&base(url))
            )
        }),
        page: config.saimon_url.as_ref().map(|url| {
            format!(
                "{MATCHERS}{PAGE_MATCHERS}{{{{- \"\" }}}}{}{PAGE}",
                literal(&base(url))
            )
        }),
    }
}

/// An address without a slash at its end. A password in it is left out.
pub(in crate::rules) fn base(url: &Address) -> String {
    let (scheme, _, rest) = url.parts();
    format!("{scheme}{}", rest.trim_end_matches('/'))
}
