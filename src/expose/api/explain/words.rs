//! What is said of a sample, in two plain English sentences.

use super::Told;
use super::parts;
use crate::engine::catalogue::{SeriesStatus, Sort};
use crate::expose::api::time;
use crate::series::labels;

/// What was, and what would have been normal.
pub(super) fn first(status: &SeriesStatus, told: &Told) -> String {
    let rate = if status.sort == Sort::Counter {
        "the rate of "
    } else {
        ""
    };
    let series = labels::display(&status.labels);
    let at = time::shown(told.x.t_ms);
    let was = format!("At {at} {rate}{series} was {}", number(told.x.value));
    let Some(e) = told.judged.evidence else {
        return format!("{was}; nothing is expected of it yet.");
    };
    let expected = number(e.expected);
    let normal = match told.band.map(|b| (b.lower, b.upper)) {
        None => return format!("{was}, and {expected} was expected."),
        Some((l, u)) if l == u => "no value would have been normal at this moment".to_owned(),
        Some((l, u)) if l.is_finite() && u.is_finite() => {
            format!("{} to {} would have been normal", number(l), number(u))
        }
        Some((l, _)) if l.is_finite() => format!("{} or more would have been normal", number(l)),
        Some((_, u)) if u.is_finite() => format!("{} or less would have been normal", number(u)),
        Some(_) => "any value would have been normal".to_owned(),
    };
    format!("{was}, and {expected} was expected: {normal}.")
}

/// What that makes it.
pub(super) fn second(told: &Told) -> String {
    let Some(e) = told.judged.evidence else {
        return format!(
            "It is still being learned: there are scores after {} values, and {} have come.",
            told.warmup,
            told.before + 1
        );
    };
    let knows = if told.knows_the_day {
        "the time of day is taken into account"
    } else {
        "no daily rhythm is known"
    };
    if e.deviation < 1.0 {
        return format!(
            "That is normal: the evidence is {} of what it takes to stand out, after {} values; {knows}.",
            percent(e.deviation),
            told.before
        );
    }
    let why = match told.judged.alarm {
        Some(a) => format!("is taken for {}", words(a.reason.as_str())),
        None => "is odd and no anomaly yet".to_owned(),
    };
    let who = match (e.rule, parts(&e).first()) {
        (Some(rule), _) => format!("the rule {} says so", rule.name()),
        (None, Some(p)) => format!("{} says so most, with {}", p.part, percent(p.share)),
        (None, None) => knows.to_owned(),
    };
    let times = number(e.deviation);
    let often = often(told.judged.rarity);
    format!(
        "That {why}: the evidence is {times} times what it takes, which this series reaches {often}, and {who}."
    )
}

fn words(reason: &str) -> String {
    match reason {
        "level_shift" => "a shift of the level".to_owned(),
        "out_of_range" => "a value out of range".to_owned(),
        "season" => "a value at the wrong time of day".to_owned(),
        "variance" => "a change of variance".to_owned(),
        "absent" => "an absence".to_owned(),
        "joint" => "a parting from its group".to_owned(),
        other => format!("a {other}"),
    }
}

/// How often that is, with two digits that matter: rarity is known no better.
fn often(rarity: f64) -> String {
    if rarity >= 9.0 {
        return "less than once in a billion values".to_owned();
    }
    let unit = 10_f64.powf((rarity.floor() - 1.0).max(0.0));
    let digits = ((10_f64.powf(rarity) / unit).round() * unit).to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("about once in {grouped} values")
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Three digits that matter.
fn number(x: f64) -> String {
    let size = x.abs();
    if !(1e-3..1e15).contains(&size) && x != 0.0 {
        return format!("{x:.2e}");
    }
    let digits = match size {
        s if s >= 100.0 => 0,
        s if s >= 10.0 => 1,
        s if s >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{x:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_often_has_no_more_digits_than_are_known() {
        for (rarity, said) in [
            (0.0, "about once in 1 values"),
            (1.1, "about once in 13 values"),
            (3.53, "about once in 3,400 values"),
            (7.83, "about once in 68,000,000 values"),
            (11.6, "less than once in a billion values"),
        ] {
            assert_eq!(often(rarity), said);
        }
    }

    #[test]
    fn numbers_are_short() {
        for (x, text) in [
            (0.0, "0"),
            (123.456, "123"),
            (12.345, "12.3"),
            (1.2, "1.2"),
            (0.25, "0.25"),
            (-3.0, "-3"),
            (1.5e-7, "1.50e-7"),
            (2e20, "2.00e20"),
        ] {
            assert_eq!(number(x), text);
        }
    }
}
