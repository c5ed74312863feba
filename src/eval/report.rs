//! The figures as text.

use std::fmt::Write as _;

use super::figures::numenta::Profiles;
use super::figures::{Figures, RowFigures};
use super::work::Rate;

/// One corpus, done.
#[derive(Debug, serde::Serialize)]
pub(super) struct Done {
    pub(super) name: String,
    pub(super) files: usize,
    pub(super) samples: u64,
    pub(super) samples_per_second: f64,
    pub(super) figures: Figures,
}

impl Done {
    pub(super) fn new(name: &str, files: usize, rate: Rate, figures: Figures) -> Self {
        Self {
            name: name.to_owned(),
            files,
            samples: rate.samples,
            samples_per_second: rate.per_second(),
            figures,
        }
    }

    fn rows(&self) -> Option<&RowFigures> {
        match &self.figures {
            Figures::Rows(r) => Some(r),
            _ => None,
        }
    }

    fn numenta(&self) -> Option<&Profiles> {
        match &self.figures {
            Figures::Numenta(p) => Some(p),
            _ => None,
        }
    }
}

/// The tables of all corpora.
pub(super) fn text(all: &[Done]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(all, &mut out);
    out
}

fn write_all(all: &[Done], out: &mut String) -> std::fmt::Result {
    for done in all {
        writeln!(
            out,
            "{}: {} files, {} samples, {:.0} samples a second{}",
            done.name,
            done.files,
            done.samples,
            done.samples_per_second,
            match &done.figures {
                Figures::None {} => "; nothing is labelled",
                _ => "",
            }
        )?;
    }
    if all.iter().any(|d| d.rows().is_some()) {
        rows(all, out)?;
    }
    if all.iter().any(|d| d.numenta().is_some()) {
        numenta(all, out)?;
    }
    Ok(())
}

fn rows(all: &[Done], out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "\n{:<12} mean over files, each at its own best cut     one cut for all files",
        ""
    )?;
    writeln!(
        out,
        "{:<12} {:>7} {:>7} {:>7} {:>7} {:>8}   {:>7} {:>7} {:>7} {:>8} {:>7}",
        "",
        "AUC-PR",
        "VUS-PR",
        "F1",
        "comp.F1",
        "event F1",
        "AUC-PR",
        "F1",
        "comp.F1",
        "event F1",
        "cut"
    )?;
    for done in all {
        let Some(r) = done.rows() else { continue };
        let (m, p) = (&r.mean, &r.pooled);
        writeln!(
            out,
            "{:<12} {:>7.4} {:>7.4} {:>7.4} {:>7.4} {:>8.4}   {:>7.4} {:>7.4} {:>7.4} {:>8.4} {:>7.3}",
            done.name,
            m.auc_pr,
            m.vus_pr,
            m.best_f1,
            m.comp_f1,
            m.event_f1,
            p.auc_pr,
            p.best_f1,
            p.best.comp_f1,
            p.best.event_f1,
            p.best.event_cut,
        )?;
    }
    writeln!(
        out,
        "\n{:<12} at the default line, a score of 0.7                  causes",
        ""
    )?;
    writeln!(
        out,
        "{:<12} {:>8} {:>9} {:>7} {:>10} {:>7}   {:>7} {:>7}",
        "", "event F1", "precision", "recall", "alarms/day", "false", "hit@100", "map"
    )?;
    for done in all {
        let Some(r) = done.rows() else { continue };
        let f = &r.fixed;
        write!(
            out,
            "{:<12} {:>8.4} {:>9.4} {:>7.4} {:>10.2} {:>7.2}",
            done.name, f.event_f1, f.precision, f.recall, f.alarms_a_day, f.false_alarms_a_day
        )?;
        if let Some(c) = r.causes {
            write!(out, "   {:>7.4} {:>7.4}", c.hit_100, c.map)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn numenta(all: &[Done], out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "\n{:<12} {:>9} {:>9} {:>9}   {:>9} {:>12} {:>11}",
        "", "standard", "low FP", "low FN", "windows", "false rows", "threshold"
    )?;
    for done in all {
        let Some(p) = done.numenta() else { continue };
        let s = &p.standard;
        writeln!(
            out,
            "{:<12} {:>9.2} {:>9.2} {:>9.2}   {:>9} {:>12} {:>11.6}",
            done.name,
            s.score,
            p.reward_low_fp_rate.score,
            p.reward_low_fn_rate.score,
            format!("{}/{}", s.windows_hit, s.windows),
            s.false_rows,
            s.threshold,
        )?;
    }
    Ok(())
}
