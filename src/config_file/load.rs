//! Reads the configuration file.
//!
//! A file either means exactly one configuration or is refused with every mistake in it; an empty
//! file means the defaults.

use std::path::{Path, PathBuf};

use super::check::{self, Mistake};
use super::preset;
use crate::config::Config;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read the configuration file {path}: {source}", path = path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the configuration has {}\n{}", counted(mistakes.len()), listed(path.as_deref(), mistakes))]
    Mistakes {
        /// `None` if the text did not come from a file.
        path: Option<PathBuf>,
        mistakes: Vec<Mistake>,
    },
}

/// The configuration of a file, the rules of its presets among its own.
///
/// # Errors
///
/// A file that cannot be read, or one with mistakes: all of them.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut config = check::read(&text).map_err(|mistakes| LoadError::Mistakes {
        path: Some(path.to_owned()),
        mistakes,
    })?;
    if let Some(folder) = path.parent() {
        config.history.client.beside(folder);
        config.web.beside(folder);
        for receiver in &mut config.outputs.remote_write {
            receiver.client.beside(folder);
        }
    }
    Ok(preset::resolve(config))
}

/// The configuration of a text, as [`load()`] gives that of a file.
///
/// # Errors
///
/// All mistakes in it.
pub fn parse(text: &str) -> Result<Config, LoadError> {
    check::read(text)
        .map(preset::resolve)
        .map_err(|mistakes| LoadError::Mistakes {
            path: None,
            mistakes,
        })
}

fn counted(mistakes: usize) -> String {
    match mistakes {
        1 => "a mistake".to_owned(),
        n => format!("{n} mistakes"),
    }
}

fn listed(path: Option<&Path>, mistakes: &[Mistake]) -> String {
    let file = path.map_or_else(|| "configuration".to_owned(), |p| p.display().to_string());
    let lines: Vec<_> = mistakes.iter().map(|m| format!("{file}:{m}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Severity;
    use std::time::Duration;

    #[test]
    fn an_empty_file_means_the_defaults() {
        for text in ["", "# nothing\n", "---\n", "detect:\nstore: {}\n"] {
            assert_eq!(parse(text).unwrap(), Config::default(), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_what_holds() {
        let config = parse(
            "detect:\n  warmup: 50\n  adapt: 1h30m\n  rules:\n    - selector: '{job=\"a\"}'\n      day: 2m\n      severity: {medium: 0.8, high: 0.9, critical: 0.99}\nalerting:\n  min_severity: high\n  labels: {team: sre}\nlimits:\n  body: 1MiB\n  body_raw: 4194304\n",
        )
        .unwrap();
        assert_eq!(config.detect.warmup, 50);
        assert_eq!(config.detect.young, Config::default().detect.young);
        assert_eq!(config.detect.adapt, Duration::from_secs(5400));
        let rule = &config.detect.rules[0];
        assert_eq!(rule.day, Some(Duration::from_secs(120)));
        assert_eq!(rule.severity.unwrap().high, 0.9);
        assert_eq!(rule.severity.unwrap().medium, 0.8);
        assert_eq!(rule.young, None);
        assert_eq!(config.alerting.min_severity, Severity::High);
        assert_eq!(config.alerting.labels["team"], "sre");
        assert_eq!(config.limits.body, bytesize::ByteSize::mib(1));
        assert_eq!(config.limits.body_raw, bytesize::ByteSize::mib(4));
    }

    #[test]
    fn a_file_with_mistakes_is_refused_with_all_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("saimon.yaml");
        std::fs::write(&path, "detect:\n  warmup: 5\nstroe: {}\n").unwrap();
        let message = load(&path).unwrap_err().to_string();
        let lines: Vec<_> = message.lines().collect();
        assert_eq!(lines.len(), 3, "{message}");
        assert!(lines[0].contains("2 mistakes"), "{message}");
        assert!(
            lines[1].contains("saimon.yaml:2:11: detect.warmup: "),
            "{message}"
        );
        assert!(lines[2].contains("saimon.yaml:3:1: stroe: "), "{message}");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let message = load(Path::new("/nowhere/saimon.yaml"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("/nowhere/saimon.yaml"), "{message}");
    }
}
