//! What the long baseline finds in labelled public data: how often a week says more than a day.
//!
//! `SAIMON_EVAL=DIR cargo test --release --test seasons -- --ignored --nocapture` prints the
//! figures of docs/models.md.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use saimon::model::baseline::{Baseline, HOUR_MS, Hour};

/// Means by the hour of one file of `timestamp,value,label`.
fn hours(file: &Path) -> Vec<Hour> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(file).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let mut sums = BTreeMap::<i64, (f64, f64)>::new();
    for line in text.lines().skip(1) {
        let mut cells = line.split(',');
        let t: Option<i64> = cells.next().and_then(|t| t.parse().ok());
        let value: Option<f64> = cells.next().and_then(|v| v.parse().ok());
        if let (Some(t), Some(value)) = (t, value.filter(|v| v.is_finite())) {
            let sum = sums.entry(t.div_euclid(3600) * HOUR_MS).or_default();
            sum.0 += value;
            sum.1 += 1.0;
        }
    }
    sums.into_iter().map(|(t, (sum, n))| (t, sum / n)).collect()
}

#[test]
#[ignore = "reads data that is not here"]
fn table() {
    let dir = std::env::var_os("SAIMON_EVAL").expect("SAIMON_EVAL names the folder");
    for set in ["kpi-dev", "wsd-dev"] {
        let mut found = BTreeMap::<String, (usize, f64)>::new();
        for entry in fs::read_dir(Path::new(&dir).join(set)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "gz") {
                continue;
            }
            let past = hours(&path);
            let fit = Baseline::fit(&past);
            let season = fit
                .as_ref()
                .map_or("too short".to_owned(), |f| f.season().to_string());
            let strength = fit.map_or(0.0, |f| f.strength());
            println!(
                "{set} {} {season} {strength:.2} {} hours",
                path.display(),
                past.len()
            );
            let all = found.entry(season).or_default();
            all.0 += 1;
            all.1 += strength;
        }
        for (season, (n, strength)) in found {
            println!("{set}: {season}: {n}, strength {:.2}", strength / n as f64);
        }
    }
}
