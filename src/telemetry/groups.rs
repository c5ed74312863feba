//! What saimon says about groups of series.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::Register;

/// Numbers about groups, as of the last page of scores.
#[derive(Debug)]
pub struct GroupMetrics {
    /// `saimon_groups`.
    groups: Gauge,
    /// `saimon_group_series_left_out`.
    left_out: Gauge,
    /// `saimon_group_joint_anomalies_total`.
    joint_anomalies: Counter,
    /// `saimon_group_joint_samples_lost_total`.
    joint_lost: Counter,
    /// `saimon_group_joint_errors_total`.
    joint_errors: Counter,
}

impl GroupMetrics {
    pub(super) fn made(r: &mut Register<'_>) -> Self {
        Self {
            groups: r.made(
                "groups",
                "groups of at least two scored series on the last page of scores",
            ),
            left_out: r.made(
                "group_series_left_out",
                "memberships of series in groups that there was no room for: groups.max",
            ),
            joint_anomalies: r.made(
                "group_joint_anomalies",
                "anomalies of series that no longer move with others of their group",
            ),
            joint_lost: r.made(
                "group_joint_samples_lost",
                "samples that could not be looked at together with others in time",
            ),
            joint_errors: r.made(
                "group_joint_errors",
                "failed writes of what groups have learned",
            ),
        }
    }

    /// An anomaly of a group began.
    pub fn began(&self) {
        self.joint_anomalies.inc();
    }

    /// How many began.
    pub fn joint_began(&self) -> u64 {
        self.joint_anomalies.get()
    }

    /// Samples were not looked at together.
    pub fn lost(&self, samples: usize) {
        self.joint_lost.inc_by(samples as u64);
    }

    /// What groups have learned could not be written.
    pub fn not_kept(&self) {
        self.joint_errors.inc();
    }

    /// Notes what the last page had.
    pub fn tell(&self, groups: usize, left_out: usize) {
        self.groups.set(i64::try_from(groups).unwrap_or(i64::MAX));
        self.left_out
            .set(i64::try_from(left_out).unwrap_or(i64::MAX));
    }
}
