//! Alerts about what saimon sends, keeps, and leaves out for want of room.

use std::time::Duration;

use super::{Plan, all};
use crate::config::Severity;
use crate::rules::format::InputSeries;

/// Behind by this much a receiver has been away, or slow, for long.
const BEHIND_SECONDS: u64 = 600;

const OUTPUT: &str = "JOB,INSTANCE,receiver=\"here\"";

pub(super) fn plans() -> Vec<Plan> {
    vec![
        output_dropping(),
        output_behind(),
        output_queue(),
        memory_limit(),
        lines_left_out(),
        groups_left_out(),
        not_kept(),
        log_damaged(),
        chunks_dropped(),
        history_failing(),
        training_failing(),
        reload_failed(),
    ]
}

fn one(series: &str, values: &str) -> Vec<InputSeries> {
    all([(series, values)])
}

/// An alert of one saimon, that fires for one set of series and stays quiet for another.
fn plan(
    name: &'static str,
    (hold_minutes, severity): (u64, Severity),
    expr: impl Into<String>,
    (summary, description): (&'static str, &'static str),
    fires: Vec<Vec<InputSeries>>,
    quiet: Vec<Vec<InputSeries>>,
) -> Plan {
    Plan {
        name,
        expr: expr.into(),
        hold_minutes,
        severity,
        summary,
        description: description.to_owned(),
        fires,
        quiet,
        later: Duration::ZERO,
        instance: true,
    }
}

fn output_dropping() -> Plan {
    let dropped =
        |reason: &str| format!("saimon_output_dropped_total{{{OUTPUT},reason=\"{reason}\"}}");
    plan(
        "SaimonOutputDropping",
        (5, Severity::High),
        "sum by (job, instance) (rate(saimon_output_dropped_total{JOB,reason!=\"age\"}[5m])) > 0",
        (
            "saimon at {{ $labels.instance }} gives up scores that it should send",
            "A receiver of outputs.remote_write misses scores. saimon_output_dropped_total says which \
             and why: refused (its log names the answer), full (away for longer than queue_config.limit \
             lasts), overload, disk.",
        ),
        vec![
            one(&dropped("full"), "0+10x200"),
            one(&dropped("refused"), "0+10x200"),
        ],
        // too old by the user's own sample_age_limit
        vec![
            one(&dropped("full"), "10x200"),
            one(&dropped("age"), "0+10x200"),
        ],
    )
}

fn output_behind() -> Plan {
    let pending = format!("saimon_output_pending_rows{{{OUTPUT}}}");
    let newest = format!("saimon_output_newest_timestamp_seconds{{{OUTPUT}}}");
    let mut plan = plan(
        "SaimonOutputBehind",
        (5, Severity::Medium),
        format!(
            "max by (job, instance) (time() - (saimon_output_newest_timestamp_seconds{{JOB}} > 0) and \
             saimon_output_pending_rows{{JOB}} > 0) > {BEHIND_SECONDS}"
        ),
        (
            "saimon at {{ $labels.instance }} is behind with sending scores",
            "The newest score that a receiver took is more than ten minutes old, and more wait on disk. \
             Nothing is lost until queue_config.limit is reached. Is the receiver there? \
             saimon_output_requests_total has its answers.",
        ),
        vec![all([
            (pending.as_str(), "500x200"),
            (newest.as_str(), "1x200"),
        ])],
        vec![
            all([(pending.as_str(), "500x200"), (newest.as_str(), "0+15x200")]),
            all([(pending.as_str(), "0x200"), (newest.as_str(), "1x200")]),
        ],
    );
    plan.later = Duration::from_secs(BEHIND_SECONDS);
    plan
}

fn output_queue() -> Plan {
    let errors = "saimon_output_queue_errors_total{JOB,INSTANCE}";
    plan(
        "SaimonOutputQueueFailing",
        (1, Severity::High),
        "rate(saimon_output_queue_errors_total{JOB}[5m]) > 0",
        (
            "saimon at {{ $labels.instance }} cannot keep the scores that it should send",
            "Reading or writing the queue in output/ of the data directory fails. Scoring goes on; scores \
             of this time are not sent. Is the disk full or failing?",
        ),
        vec![one(errors, "0+1x200")],
        vec![one(errors, "4x200")],
    )
}

fn memory_limit() -> Plan {
    let limit = ("saimon_memory_limit_bytes{JOB,INSTANCE}", "1000x200");
    let part = |part: &str| format!("saimon_memory_bytes{{JOB,INSTANCE,part=\"{part}\"}}");
    let (windows, models) = (part("windows"), part("models"));
    plan(
        "SaimonMemoryLimit",
        (10, Severity::Medium),
        "sum by (job, instance) (saimon_memory_bytes{JOB}) > 0.9 * \
         sum by (job, instance) (saimon_memory_limit_bytes{JOB})",
        (
            "saimon at {{ $labels.instance }} is near the limit of its memory",
            "At the limit the newest series are given up first. Raise limits.memory, leave series out by \
             a rule with model: false, or divide them over several saimons.",
        ),
        vec![all([
            limit,
            (windows.as_str(), "500x200"),
            (models.as_str(), "450x200"),
        ])],
        vec![all([
            limit,
            (windows.as_str(), "500x200"),
            (models.as_str(), "350x200"),
        ])],
    )
}

fn lines_left_out() -> Plan {
    let left_out = "saimon_scores_left_out{JOB,INSTANCE}";
    plan(
        "SaimonScoresLeftOut",
        (10, Severity::Low),
        "saimon_scores_left_out{JOB} > 0",
        (
            "saimon at {{ $labels.instance }} has more scores than its page shows",
            "/metrics/scores shows all anomalies and the highest scores up to limits.score_lines. All \
             scores: outputs.remote_write, or several scrape jobs with match[].",
        ),
        vec![one(left_out, "7x200")],
        vec![one(left_out, "0x200")],
    )
}

fn groups_left_out() -> Plan {
    let left_out = "saimon_group_series_left_out{JOB,INSTANCE}";
    plan(
        "SaimonGroupsLimit",
        (10, Severity::Low),
        "saimon_group_series_left_out{JOB} > 0",
        (
            "saimon at {{ $labels.instance }} is at its limit of groups",
            "Series of groups beyond groups.max are in no group. Raise it, or group by labels with fewer \
             values.",
        ),
        vec![one(left_out, "7x200")],
        vec![one(left_out, "0x200")],
    )
}

fn not_kept() -> Plan {
    let shed = "saimon_wal_shed_total{JOB,INSTANCE}";
    let unsynced = "saimon_wal_unsynced_records_total{JOB,INSTANCE}";
    plan(
        "SaimonNotKept",
        (0, Severity::High),
        "rate(saimon_wal_shed_total{JOB}[5m]) > 0 or rate(saimon_wal_unsynced_records_total{JOB}[5m]) > 0",
        (
            "saimon at {{ $labels.instance }} takes samples that it may not keep",
            "They are scored. A restart (store.log_full: shed) or a power cut (a sync that failed) would \
             lose them. Is the disk full or failing?",
        ),
        vec![one(shed, "0+1x200"), one(unsynced, "0+1x200")],
        vec![all([(shed, "3x200"), (unsynced, "0x200")])],
    )
}

fn log_damaged() -> Plan {
    let broken = "saimon_wal_broken_total{JOB,INSTANCE}";
    let unreadable = "saimon_recovery_unreadable_total{JOB,INSTANCE}";
    plan(
        "SaimonLogDamaged",
        (0, Severity::Medium),
        "saimon_wal_broken_total{JOB} > 0 or saimon_recovery_unreadable_total{JOB} > 0",
        (
            "saimon at {{ $labels.instance }} found damage in its write-ahead log",
            "Since its start it could not read some of what an earlier process had kept: those samples \
             are missing from windows and models. Look at the disk. The alert ends with the next start.",
        ),
        vec![one(broken, "1x200"), one(unreadable, "1x200")],
        vec![all([(broken, "0x200"), (unreadable, "0x200")])],
    )
}

fn chunks_dropped() -> Plan {
    let dropped = "saimon_store_chunks_dropped_total{JOB,INSTANCE}";
    plan(
        "SaimonStoreSlow",
        (5, Severity::High),
        "rate(saimon_store_chunks_dropped_total{JOB}[5m]) > 0",
        (
            "saimon at {{ $labels.instance }} has a store that is too slow",
            "Finished chunks of samples are given up because the store does not take them in time: they \
             are missing when windows are read back. Scores are not affected.",
        ),
        vec![one(dropped, "0+1x200")],
        vec![one(dropped, "2x200")],
    )
}

fn history_failing() -> Plan {
    let failures = "saimon_history_failures_total{JOB,INSTANCE}";
    plan(
        "SaimonHistoryFailing",
        (10, Severity::Low),
        "rate(saimon_history_failures_total{JOB}[5m]) > 0",
        (
            "saimon at {{ $labels.instance }} cannot read the past of new series",
            "They begin with a warm-up instead. Does history.url answer, and are there \
             credentials for it?",
        ),
        vec![one(failures, "0+1x200")],
        vec![one(failures, "2x200")],
    )
}

fn training_failing() -> Plan {
    let failed = "saimon_training_failed_total{JOB,INSTANCE}";
    plan(
        "SaimonTrainingFailing",
        (10, Severity::Low),
        "rate(saimon_training_failed_total{JOB}[5m]) > 0",
        (
            "saimon at {{ $labels.instance }} cannot fit models anew",
            "Those before stay in use. The log of saimon says why.",
        ),
        vec![one(failed, "0+1x200")],
        vec![one(failed, "2x200")],
    )
}

fn reload_failed() -> Plan {
    let reload = "saimon_config_last_reload_successful{JOB,INSTANCE}";
    let web = "saimon_web_config_ok{JOB,INSTANCE}";
    plan(
        "SaimonReloadFailed",
        (2, Severity::Medium),
        "saimon_config_last_reload_successful{JOB} == 0 or saimon_web_config_ok{JOB} == 0",
        (
            "saimon at {{ $labels.instance }} goes on with an earlier configuration",
            "The configuration, or the file of certificates and users, could not be used when it was read \
             again. The log of saimon has every mistake with its line; so has saimon check.",
        ),
        vec![one(reload, "0x200"), one(web, "0x200")],
        vec![all([(reload, "1x200"), (web, "1x200")])],
    )
}
