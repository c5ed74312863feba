//! saimon itself: what it takes in, holds, sends, keeps and costs.

use serde_json::Value;

use super::{Grid, OWN, Panel, variable};

pub(super) fn variables() -> Vec<Value> {
    vec![variable::prometheus(), variable::saimon()]
}

pub(super) fn panels(grid: &mut Grid) {
    grid.row("In");
    intake(grid);
    grid.row("Series and models");
    models(grid);
    grid.row("Out");
    outputs(grid);
    reading(grid);
    grid.row("Store and log");
    store(grid);
    grid.row("Memory and processor");
    process(grid);
}

fn rate(name: &str) -> String {
    format!("rate({name}{{{OWN}}}[$__rate_interval])")
}

fn sum_by(label: &str, expr: &str) -> String {
    format!("sum by ({label}) ({expr})")
}

/// How much a counter has grown; 0 where there is none of it yet.
fn grown(name: &str) -> String {
    format!("sum(increase({name}{{{OWN}}}[1h])) or vector(0)")
}

fn lines(title: &str, description: &str) -> Panel {
    Panel::new("timeseries", title, description)
}

fn intake(grid: &mut Grid) {
    let quantile = |q: &str| {
        let rate = rate("saimon_detection_latency_seconds_bucket");
        format!("histogram_quantile({q}, sum by (le) ({rate}))")
    };
    grid.add(
        8,
        7,
        lines(
            "Samples by outcome",
            "Per second. Every sample has one outcome.",
        )
        .query(
            "{{outcome}}",
            &sum_by("outcome", &rate("saimon_ingest_samples_total")),
        )
        .stacked(),
    );
    grid.add(
        8,
        7,
        lines(
            "Requests by answer",
            "Write requests per second by HTTP status.",
        )
        .query(
            "{{code}}",
            &sum_by("code", &rate("saimon_ingest_requests_total")),
        ),
    );
    grid.add(
        8,
        7,
        lines(
            "Detection latency",
            "From the arrival of a request to its scores being visible.",
        )
        .query("median", &quantile("0.5"))
        .query("99 %", &quantile("0.99"))
        .unit("s"),
    );
    grid.add(
        8,
        7,
        Panel::new(
            "stat",
            "Trouble in the last hour",
            "Writes answered 503, series not taken, samples refused, errors of store and log.",
        )
        .query("queue full", &grown("saimon_queue_full_total"))
        .query("series not taken", &grown("saimon_series_dropped_total"))
        .query(
            "samples refused",
            &format!(
                "sum(increase(saimon_ingest_samples_total{{{OWN}, outcome=\"refused\"}}[1h]))"
            ),
        )
        .query("store errors", &grown("saimon_store_errors_total"))
        .query("log errors", &grown("saimon_wal_errors_total"))
        .decimals(0)
        .steps(&[(0.0, "green"), (0.5, "orange")]),
    );
    grid.add(
        8,
        7,
        lines(
            "Native histograms and exemplars",
            "Per second, native histograms by outcome.",
        )
        .query(
            "{{outcome}}",
            &sum_by("outcome", &rate("saimon_ingest_histograms_total")),
        )
        .query(
            "exemplars",
            &format!("sum({})", rate("saimon_ingest_exemplars_total")),
        ),
    );
    grid.add(
        8,
        7,
        lines(
            "Oddities in samples",
            "Per second: counter resets, gaps of several intervals, NaN and infinite values.",
        )
        .query("resets", &format!("sum({})", rate("saimon_resets_total")))
        .query("gaps", &format!("sum({})", rate("saimon_gaps_total")))
        .query(
            "not finite",
            &format!("sum({})", rate("saimon_not_finite_samples_total")),
        ),
    );
}

fn models(grid: &mut Grid) {
    grid.add(
        8,
        7,
        lines(
            "Series by phase",
            "Scores begin after warmup; young series reach severity low at most.",
        )
        .query(
            "{{phase}}",
            &format!("sum by (phase) (saimon_series{{{OWN}}})"),
        )
        .stacked(),
    );
    grid.add(
        8,
        7,
        lines("Limits in use", "Share of each limit: 100 % is full.")
            .query(
                "series",
                &format!("sum(saimon_series{{{OWN}}}) / sum(saimon_series_limit{{{OWN}}})"),
            )
            .query(
                "memory",
                &format!(
                    "sum(saimon_memory_bytes{{{OWN}}}) / sum(saimon_memory_limit_bytes{{{OWN}}})"
                ),
            )
            .query(
                "forests",
                &format!("sum(saimon_forests{{{OWN}}}) / sum(saimon_forests_limit{{{OWN}}})"),
            )
            .unit("percentunit"),
    );
    grid.add(
        8,
        7,
        lines(
            "Fits of models",
            "Per minute, those that failed, and series put to sleep and woken.",
        )
        .query(
            "fits",
            &format!("60 * sum({})", rate("saimon_models_trained_total")),
        )
        .query(
            "failed",
            &format!("60 * sum({})", rate("saimon_training_failed_total")),
        )
        .query(
            "put to sleep",
            &format!("60 * sum({})", rate("saimon_series_put_to_sleep_total")),
        )
        .query(
            "woken",
            &format!("60 * sum({})", rate("saimon_series_woken_total")),
        ),
    );
}

fn outputs(grid: &mut Grid) {
    grid.add(
        8,
        7,
        lines(
            "Sent by receiver",
            "Samples of scores that each receiver of outputs.remote_write took, per second.",
        )
        .query(
            "{{receiver}}",
            &sum_by("receiver", &rate("saimon_output_samples_total")),
        ),
    );
    grid.add(
        8,
        7,
        lines("Waiting by receiver", "Judged samples that wait on disk.").query(
            "{{receiver}}",
            &sum_by("receiver", &format!("saimon_output_pending_rows{{{OWN}}}")),
        ),
    );
    grid.add(
        8,
        7,
        lines(
            "Behind by receiver",
            "Age of the newest sample that each receiver took.",
        )
        .query(
            "{{receiver}}",
            &format!(
                "max by (receiver) (time() - (saimon_output_newest_timestamp_seconds{{{OWN}}} > 0))"
            ),
        )
        .unit("s"),
    );
    grid.add(
        8,
        7,
        lines(
            "Requests to receivers by answer",
            "Per second; none: no answer.",
        )
        .query(
            "{{receiver}} {{code}}",
            &sum_by("receiver, code", &rate("saimon_output_requests_total")),
        )
        .query(
            "sent again",
            &format!("sum({}) or vector(0)", rate("saimon_output_retries_total")),
        ),
    );
    grid.add(
        8,
        7,
        lines(
            "Not sent, by receiver and reason",
            "Samples per second that a receiver did not get, or did not take.",
        )
        .query(
            "{{receiver}} {{reason}}",
            &format!(
                "sum by (receiver, reason) ({}) or vector(0)",
                rate("saimon_output_dropped_total")
            ),
        ),
    );
    grid.add(
        8,
        7,
        lines("Queue on disk", "Bytes that wait in output/.")
            .query(
                "{{instance}}",
                &format!("saimon_output_queue_bytes{{{OWN}}}"),
            )
            .unit("bytes"),
    );
}

fn reading(grid: &mut Grid) {
    grid.add(
        8,
        7,
        lines(
            "Remote reads by answer",
            "Per second; those that were cut off besides.",
        )
        .query(
            "{{code}}",
            &format!(
                "{} or vector(0)",
                sum_by("code", &rate("saimon_read_requests_total"))
            ),
        )
        .query(
            "cut off",
            &format!("sum({})", rate("saimon_read_cut_total")),
        ),
    );
    grid.add(
        8,
        7,
        lines("Samples read back", "Per second.")
            .query(
                "samples",
                &format!("sum({})", rate("saimon_read_samples_total")),
            )
            .query(
                "bytes",
                &format!("sum({})", rate("saimon_read_bytes_total")),
            ),
    );
    grid.add(
        8,
        7,
        lines(
            "History of new series",
            "By what became of reading their past, since the start.",
        )
        .query(
            "{{outcome}}",
            &format!("sum by (outcome) (saimon_history_series_total{{{OWN}}})"),
        )
        .query(
            "failures",
            &format!("sum(saimon_history_failures_total{{{OWN}}})"),
        ),
    );
}

fn store(grid: &mut Grid) {
    grid.add(
        8,
        7,
        Panel::new(
            "stat",
            "Store and log are well",
            "Whether the store takes writes, was there at start, and the log takes requests.",
        )
        .query(
            "store takes writes",
            &format!("min(saimon_store_ok{{{OWN}}})"),
        )
        .query(
            "store opened",
            &format!("1 - max(saimon_store_moved_aside{{{OWN}}})"),
        )
        .query(
            "log takes requests",
            &format!("1 - max(saimon_wal_failing{{{OWN}}})"),
        )
        .words(&[(0, "no", "red"), (1, "yes", "green")]),
    );
    grid.add(
        8,
        7,
        lines("On disk", "Size of store and write-ahead log.")
            .query("store", &format!("sum(saimon_store_bytes{{{OWN}}})"))
            .query("log", &format!("sum(saimon_wal_bytes{{{OWN}}})"))
            .unit("bytes"),
    );
    grid.add(
        8,
        7,
        lines("Written", "Bytes per second handed to store and log.")
            .query(
                "store",
                &format!("sum({})", rate("saimon_store_bytes_written_total")),
            )
            .query(
                "log",
                &format!("sum({})", rate("saimon_wal_bytes_written_total")),
            )
            .unit("Bps"),
    );
    grid.add(
        8,
        7,
        lines(
            "Checkpoints",
            "Time since the last one, how long one takes, and the longest stop of a shard for one.",
        )
        .query(
            "age",
            &format!("time() - max(saimon_checkpoint_last_success_timestamp_seconds{{{OWN}}} > 0)"),
        )
        .query(
            "duration",
            &format!(
                "sum(saimon_checkpoint_duration_seconds_sum{{{OWN}}}) / \
                 sum(saimon_checkpoint_duration_seconds_count{{{OWN}}})"
            ),
        )
        .query(
            "longest stop",
            &format!("max(saimon_checkpoint_longest_stop_seconds{{{OWN}}})"),
        )
        .unit("s"),
    );
    grid.add(
        8,
        7,
        lines("Syncs of the log", "Seconds that one takes, on average.")
            .query(
                "sync",
                &format!(
                    "sum({}) / sum({})",
                    rate("saimon_wal_sync_seconds_total"),
                    rate("saimon_wal_syncs_total")
                ),
            )
            .unit("s"),
    );
    grid.add(
        8,
        7,
        lines(
            "Recovery",
            "What the last start took from the log of an earlier process, and how long it took.",
        )
        .query(
            "samples",
            &format!("sum(saimon_recovery_samples_total{{{OWN}}})"),
        )
        .query(
            "unreadable",
            &format!("sum(saimon_recovery_unreadable_total{{{OWN}}})"),
        )
        .query("seconds", &format!("max(saimon_recovery_seconds{{{OWN}}})")),
    );
}

fn process(grid: &mut Grid) {
    grid.add(
        8,
        7,
        lines("Memory", "Resident memory of the process.")
            .query(
                "{{instance}}",
                &format!("process_resident_memory_bytes{{{OWN}}}"),
            )
            .unit("bytes"),
    );
    grid.add(
        8,
        7,
        lines(
            "Memory of series",
            "By what it is for; without what the allocator adds.",
        )
        .query(
            "{{part}}",
            &format!("sum by (part) (saimon_memory_bytes{{{OWN}}})"),
        )
        .stacked()
        .unit("bytes"),
    );
    grid.add(
        8,
        7,
        lines("CPU", "CPU seconds per second.")
            .query("{{instance}}", &rate("process_cpu_seconds_total"))
            .decimals(3),
    );
}
