//! The tables of docs/accuracy.md, written between its marks; the words around them are people's.

mod left_out;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::ablate;
use super::figures::alarms::AtCut;
use super::figures::{Figures, RowFigures};

const BEGIN: &str = "<!-- eval: begin -->";
const END: &str = "<!-- eval: end -->";

/// One corpus, with several seeds.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) name: String,
    /// One for each seed.
    pub(super) seeds: Vec<Figures>,
    /// With all parts, then without each; empty where there are none.
    pub(super) ablated: Vec<Figures>,
}

/// Puts the tables of `all` into the file.
pub(super) fn write(path: &Path, all: &[Measured]) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let (before, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no {END}"))?;
    let mut tables = String::new();
    // Writing to a string cannot fail.
    let _ = render(all, &mut tables);
    Ok(std::fs::write(
        path,
        format!("{before}{BEGIN}\n{tables}{END}{after}"),
    )?)
}

fn render(all: &[Measured], out: &mut String) -> std::fmt::Result {
    let seeds = all.iter().map(|m| m.seeds.len()).max().unwrap_or(0);
    writeln!(
        out,
        "\nMean of {seeds} seeds of the forests; in brackets the standard deviation where it is .005 or more.\n"
    )?;
    rows(all, out)?;
    fixed(all, out)?;
    numenta(all, out)?;
    ablation(all, out)?;
    left_out::table(all, out)
}

fn of(figures: &Figures) -> Option<&RowFigures> {
    match figures {
        Figures::Rows(r) => Some(r),
        _ => None,
    }
}

/// Mean and spread of a figure over the seeds.
fn over(m: &Measured, figure: impl Fn(&RowFigures) -> f64) -> String {
    let values: Vec<f64> = m.seeds.iter().filter_map(of).map(figure).collect();
    spread(&values, 3)
}

fn spread(values: &[f64], digits: usize) -> String {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let deviation = deviation.sqrt();
    match deviation >= 0.005 * 10f64.powi(3 - digits as i32) {
        true => format!("{mean:.digits$} ({deviation:.digits$})"),
        false => format!("{mean:.digits$}"),
    }
}

fn rows(all: &[Measured], out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "| set | AUC-PR | VUS-PR | best F1 | composite F1 | event F1 | pooled event F1 | pooled AUC-PR | its cut, in lines | causes hit@100, map |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for m in all
        .iter()
        .filter(|m| m.seeds.iter().any(|f| of(f).is_some()))
    {
        let causes = match m.seeds.iter().find_map(of).and_then(|r| r.causes) {
            Some(_) => format!(
                "{}, {}",
                over(m, |r| r.causes.map_or(0.0, |c| c.hit_100)),
                over(m, |r| r.causes.map_or(0.0, |c| c.map))
            ),
            None => "-".to_owned(),
        };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {causes} |",
            m.name,
            over(m, |r| r.mean.auc_pr),
            over(m, |r| r.mean.vus_pr),
            over(m, |r| r.mean.best_f1),
            over(m, |r| r.mean.comp_f1),
            over(m, |r| r.mean.event_f1),
            over(m, |r| r.pooled.best.event_f1),
            over(m, |r| r.pooled.auc_pr),
            over(m, |r| r.pooled.best.event_cut),
        )?;
    }
    writeln!(out)
}

fn fixed(all: &[Measured], out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "At one fixed cut, in units of the default line (1 is a score of 0.7): event F1, precision, recall, alarms for each file and day.\n"
    )?;
    let labelled: Vec<&Measured> = all
        .iter()
        .filter(|m| m.seeds.iter().any(|f| of(f).is_some()))
        .collect();
    write!(out, "| cut |")?;
    for m in &labelled {
        write!(out, " {} |", m.name)?;
    }
    writeln!(out, "\n|{}", " --- |".repeat(labelled.len() + 1))?;
    let cuts = labelled.first().and_then(|m| m.seeds.iter().find_map(of));
    for i in 0..cuts.map_or(0, |r| r.cuts.len()) {
        let cut = cuts.map_or(0.0, |r| r.cuts[i].0);
        match cut == 1.0 {
            true => write!(out, "| **{cut}** |")?,
            false => write!(out, "| {cut} |")?,
        }
        for m in &labelled {
            let at = |figure: fn(&AtCut) -> f64| {
                let values: Vec<f64> = m
                    .seeds
                    .iter()
                    .filter_map(of)
                    .map(|r| figure(&r.cuts[i].1))
                    .collect();
                values.iter().sum::<f64>() / values.len() as f64
            };
            write!(
                out,
                " {:.3}, {:.2}, {:.2}, {:.2} |",
                at(|c| c.event_f1),
                at(|c| c.precision),
                at(|c| c.recall),
                at(|c| c.alarms_a_day)
            )?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}

fn numenta(all: &[Measured], out: &mut String) -> std::fmt::Result {
    for m in all {
        let profiles: Vec<_> = m
            .seeds
            .iter()
            .filter_map(|f| match f {
                Figures::Numenta(p) => Some(p),
                _ => None,
            })
            .collect();
        let Some(first) = profiles.first() else {
            continue;
        };
        let score = |of: fn(&super::figures::numenta::Profiles) -> f64| {
            let values: Vec<f64> = profiles.iter().map(|p| of(p)).collect();
            spread(&values, 1)
        };
        writeln!(
            out,
            "| {} onsets | standard | low FP | low FN | windows | false rows |\n| --- | --- | --- | --- | --- | --- |",
            m.name
        )?;
        writeln!(
            out,
            "| best cut for each profile | {} | {} | {} | {} of {} | {} |\n",
            score(|p| p.standard.score),
            score(|p| p.reward_low_fp_rate.score),
            score(|p| p.reward_low_fn_rate.score),
            first.standard.windows_hit,
            first.standard.windows,
            first.standard.false_rows,
        )?;
    }
    Ok(())
}

fn ablation(all: &[Measured], out: &mut String) -> std::fmt::Result {
    let some: Vec<&Measured> = all.iter().filter(|m| !m.ablated.is_empty()).collect();
    if some.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "Without each part in turn (first seed): AUC-PR, VUS-PR, event F1, pooled event F1, event F1 at the line.\n"
    )?;
    write!(out, "| |")?;
    for m in &some {
        write!(out, " {} |", m.name)?;
    }
    writeln!(out, "\n|{}", " --- |".repeat(some.len() + 1))?;
    for variant in 0..ablate::VARIANTS {
        write!(out, "| {} |", ablate::name(variant))?;
        for m in &some {
            match m.ablated.get(variant).and_then(of) {
                Some(r) => write!(
                    out,
                    " {:.3}, {:.3}, {:.3}, {:.3}, {:.3} |",
                    r.mean.auc_pr,
                    r.mean.vus_pr,
                    r.mean.event_f1,
                    r.pooled.best.event_f1,
                    r.fixed.event_f1
                )?,
                None => write!(out, " - |")?,
            }
        }
        writeln!(out)?;
    }
    writeln!(out)
}
