//! Leave one set out: what was chosen by looking at figures is chosen once more without a set, and
//! measured on that one.
//!
//! The two choices that figures can make are the line and which parts there are.

use std::fmt::Write as _;

use super::super::ablate;
use super::super::figures::RowFigures;
use super::{Measured, of};

pub(super) fn table(all: &[Measured], out: &mut String) -> std::fmt::Result {
    let some: Vec<&Measured> = all
        .iter()
        .filter(|m| m.seeds.iter().any(|f| of(f).is_some()))
        .collect();
    if some.len() < 2 {
        return Ok(());
    }
    writeln!(
        out,
        "\nLeave one set out. The line that the other sets would choose among the cuts above, by their mean event F1, and the parts that they would, by their mean of event F1 and AUC-PR; what each choice gives on the set that had no say, and what the default gives.\n\n\
         | set left out | line of the others | event F1 at it | at the default line | parts of the others | event F1, AUC-PR with them | with all |\n\
         | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for (left_out, m) in some.iter().enumerate() {
        let Some(cuts) = m.seeds.iter().find_map(of).map(|r| &r.cuts) else {
            continue;
        };
        let at = |m: &Measured, cut: usize| mean(m, |r| r.cuts[cut].1.event_f1);
        let line = chosen(&some, left_out, cuts.len(), at);
        let default = cuts.iter().position(|(cut, _)| *cut == 1.0).unwrap_or(line);
        write!(
            out,
            "| {} | {} | {:.3} | {:.3} |",
            m.name,
            cuts[line].0,
            at(m, line),
            at(m, default)
        )?;
        if some.iter().any(|m| m.ablated.is_empty()) {
            writeln!(out, " - | - | - |")?;
            continue;
        }
        let worth = |m: &Measured, variant: usize| {
            of(&m.ablated[variant]).map_or(0.0, |r| r.mean.event_f1 + r.mean.auc_pr)
        };
        let parts = chosen(&some, left_out, m.ablated.len(), worth);
        let both = |variant: usize| {
            let r = of(&m.ablated[variant]);
            let figures = r.map_or((0.0, 0.0), |r| (r.mean.event_f1, r.mean.auc_pr));
            format!("{:.3}, {:.3}", figures.0, figures.1)
        };
        writeln!(
            out,
            " {} | {} | {} |",
            ablate::name(parts),
            both(parts),
            both(0)
        )?;
    }
    writeln!(out)
}

/// The choice with the highest mean over all sets but one; the first of equal ones.
fn chosen(
    all: &[&Measured],
    left_out: usize,
    choices: usize,
    worth: impl Fn(&Measured, usize) -> f64,
) -> usize {
    let total = |choice: usize| -> f64 {
        let others = all.iter().enumerate().filter(|(i, _)| *i != left_out);
        others.map(|(_, m)| worth(m, choice)).sum()
    };
    (0..choices).fold(0, |best, choice| match total(choice) > total(best) {
        true => choice,
        false => best,
    })
}

fn mean(m: &Measured, figure: impl Fn(&RowFigures) -> f64) -> f64 {
    let values: Vec<f64> = m.seeds.iter().filter_map(of).map(figure).collect();
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_that_is_left_out_has_no_say() {
        let named = |name: &str| Measured {
            name: name.to_owned(),
            seeds: Vec::new(),
            ablated: Vec::new(),
        };
        let sets = [named("a"), named("b"), named("c")];
        let all: Vec<&Measured> = sets.iter().collect();
        // Only c likes the third choice, and likes it most.
        let worth = |m: &Measured, choice: usize| match (m.name.as_str(), choice) {
            ("c", 2) => 10.0,
            (_, 2) => 0.0,
            (_, 1) => 1.0,
            _ => 0.5,
        };
        assert_eq!(chosen(&all, 0, 3, worth), 2);
        assert_eq!(chosen(&all, 2, 3, worth), 1);
        assert_eq!(chosen(&all, 0, 3, |_, _| 1.0), 0);
    }
}
