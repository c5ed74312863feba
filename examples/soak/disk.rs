//! The disk that gets full: a file system of its own where that is allowed, a limit on the size of
//! files where it is not.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

/// Room of the file system: several times what 50,000 series take in ten minutes.
const SIZE: &str = "3g";

/// Where the data is.
#[derive(Debug)]
pub(crate) struct Disk {
    mounted: Option<PathBuf>,
    pub(crate) data: PathBuf,
}

impl Disk {
    /// Below this folder.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let at = folder.join("disk");
        std::fs::create_dir_all(&at)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"])
            .arg(&at)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success());
        Ok(Self {
            data: at.join("data"),
            mounted: mounted.then_some(at),
        })
    }

    pub(crate) fn is_own(&self) -> bool {
        self.mounted.is_some()
    }

    /// Takes all the room that there is, or has every write of the process fail. To be repeated:
    /// room may come back when files are deleted.
    pub(crate) fn fill(&self, pid: Option<u32>) -> Result<()> {
        let Some(disk) = &self.mounted else {
            return pid.map_or(Ok(()), |pid| limit_files(pid, "0"));
        };
        let mut filler = File::options()
            .create(true)
            .append(true)
            .open(disk.join("filler"))?;
        for size in [1 << 20, 1 << 12, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn free(&self, pid: Option<u32>) -> Result<()> {
        let Some(disk) = &self.mounted else {
            return pid.map_or(Ok(()), |pid| limit_files(pid, "unlimited"));
        };
        match std::fs::remove_file(disk.join("filler")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(disk) = &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(disk).status();
        }
    }
}

fn limit_files(pid: u32, limit: &str) -> Result<()> {
    let set = Command::new("prlimit")
        .args([
            "--pid",
            &pid.to_string(),
            &format!("--fsize={limit}:unlimited"),
        ])
        .status()?;
    ensure!(set.success(), "prlimit failed");
    Ok(())
}
