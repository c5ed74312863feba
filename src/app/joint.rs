//! Series that are looked at together, with what was kept of them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::config::Config;
use crate::engine::joint::kin::Kin;
use crate::engine::joint::{Joints, Kept};
use crate::engine::pool::Pool;
use crate::score::groups::{GroupSpec, Groups};
use crate::store::OpenError;
use crate::store::joint::Files;
use crate::telemetry::Metrics;

/// The folder below the data directory.
const FOLDER: &str = "groups";

/// Groups as they are shown, and the thread that looks at some of them together. `keeps` says whether
/// anything is kept; `kin` is told which series move together.
///
/// # Errors
/// If another process has what is kept, or a newer saimon wrote it.
pub(super) fn groups(
    data_dir: &Path,
    keeps: bool,
    config: &Config,
    pool: &mut Pool,
    kin: &Arc<Kin>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Arc<Groups>> {
    let spec = GroupSpec::try_from(&config.groups)?;
    let kept = match keeps && spec.joint_max > 0 {
        true => open(&data_dir.join(FOLDER), config, metrics)?,
        false => None,
    };
    let records = pool.record_of_groups();
    let joint = Joints::start(&spec, pool.shards(), kept, records, kin, metrics)
        .context("the thread of groups could not be started")?;
    let mut groups = Groups::new(spec);
    if let Some(joint) = joint {
        pool.look_together(&joint.joints, joint.thread);
        groups.with_joint(joint.joined);
    }
    Ok(Arc::new(groups))
}

fn open(dir: &Path, config: &Config, metrics: &Metrics) -> anyhow::Result<Option<Kept>> {
    match Files::open(dir, &config.store) {
        Ok(kept) => Ok(Some(kept)),
        Err(error @ OpenError::Unavailable { .. }) => {
            metrics.groups.not_kept();
            tracing::error!(%error, "what groups learn is not kept, scoring goes on");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
