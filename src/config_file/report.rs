//! `saimon check FILE`: what it prints and with which code it ends.

use std::path::Path;

use super::check::{self, Mistake};
use super::{prometheus, web, yaml};
use crate::config::Config;

/// Nothing is wrong.
pub const CLEAN: u8 = 0;
/// Something is wrong in the file.
pub const MISTAKES: u8 = 1;
/// The file could not be read, or is not text.
pub const UNREADABLE: u8 = 2;

/// What to print and how to exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One finding a line and a line with their number; ends with a line break.
    pub text: String,
    /// [`CLEAN`], [`MISTAKES`] or [`UNREADABLE`].
    pub code: u8,
}

/// Checks a configuration file of saimon, a web configuration with the files it names, or a
/// configuration of Prometheus for what concerns saimon.
pub fn check_file(path: &Path) -> Report {
    match std::fs::read_to_string(path) {
        Ok(text) => check_text(&path.display().to_string(), &text),
        Err(e) => Report {
            text: format!("{}: cannot be read: {e}\n", path.display()),
            code: UNREADABLE,
        },
    }
}

/// The same for a text; `name` is what it is called in the lines.
pub fn check_text(name: &str, text: &str) -> Report {
    if let Ok(Some(root)) = yaml::read(text)
        && prometheus::is_prometheus(&root)
    {
        let found = prometheus::check(&root, &Config::default().alerting.job);
        let mut report = lines(name, "", &found.mistakes) + &lines(name, "hint: ", &found.hints);
        report += &format!(
            "{name}: {}, {}, as a configuration of Prometheus\n",
            counted(found.mistakes.len(), "mistake"),
            counted(found.hints.len(), "hint"),
        );
        return Report::of(report, &found.mistakes);
    }
    if let Ok(Some(root)) = yaml::read(text)
        && web::is_web(&root)
    {
        let found = web::mistakes(text, Path::new(name).parent().unwrap_or(Path::new("")));
        let mut report = lines(name, "", &found);
        let count = counted(found.len(), "mistake");
        report += &format!("{name}: {count}, as a web configuration\n");
        return Report::of(report, &found);
    }
    let found = check::check(text);
    let mut report = lines(name, "", &found);
    report += &format!("{name}: {}\n", counted(found.len(), "mistake"));
    Report::of(report, &found)
}

impl Report {
    fn of(text: String, mistakes: &[Mistake]) -> Self {
        let code = if mistakes.is_empty() { CLEAN } else { MISTAKES };
        Self { text, code }
    }
}

fn lines(name: &str, prefix: &str, found: &[Mistake]) -> String {
    found
        .iter()
        .map(|m| {
            let m = Mistake {
                message: format!("{prefix}{}", m.message),
                ..m.clone()
            };
            format!("{name}:{m}\n")
        })
        .collect()
}

fn counted(n: usize, what: &str) -> String {
    match n {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_file() {
        let report = check_text("a.yaml", "detect: {warmup: 50}\n");
        assert_eq!(report.text, "a.yaml: no mistakes\n");
        assert_eq!(report.code, CLEAN);
    }

    #[test]
    fn each_mistake_has_its_line_and_the_last_line_counts_them() {
        let report = check_text("a.yaml", "detect:\n  warmup: 5\n  young: no\n");
        assert_eq!(
            report.text,
            "a.yaml:2:11: detect.warmup: 5 is outside 20 to 10000\n\
             a.yaml:3:10: detect.young: the text `no` is not a whole number\n\
             a.yaml: 2 mistakes\n"
        );
        assert_eq!(report.code, MISTAKES);
    }

    #[test]
    fn a_prometheus_configuration_gets_its_own_check() {
        let report = check_text("prometheus.yml", "scrape_configs: []\n");
        assert_eq!(report.code, MISTAKES);
        assert!(
            report.text.contains("prometheus.yml:1:1: remote_write: "),
            "{}",
            report.text
        );
        assert!(report.text.contains("alerting: hint: "), "{}", report.text);
        assert!(
            report
                .text
                .ends_with("4 mistakes, 1 hint, as a configuration of Prometheus\n"),
            "{}",
            report.text
        );
    }

    #[test]
    fn a_file_that_cannot_be_read() {
        let report = check_file(Path::new("/nowhere/a.yaml"));
        assert_eq!(report.code, UNREADABLE);
        assert!(
            report.text.starts_with("/nowhere/a.yaml: cannot be read"),
            "{}",
            report.text
        );
    }
}
