//! What to say of a key that nobody knows.

use super::joined;
use crate::config_file::shape::{Field, Shape};

/// What to say of a key that is not one of `fields`.
pub(super) fn message(name: &str, fields: &[Field], root: &Shape) -> String {
    let near = fields
        .iter()
        .map(|f| (distance(name, &f.name), &f.name))
        .min()
        .filter(|(d, near)| *d <= 1.max(near.len() / 3));
    if let Some((_, near)) = near {
        return format!("unknown key, did you mean `{near}`?");
    }
    let mut paths = Vec::new();
    paths_to(name, root, "", &mut paths);
    if let Some(path) = paths.first() {
        return format!("unknown key here, did you mean `{path}`?");
    }
    let known: Vec<_> = fields.iter().map(|f| f.name.as_str()).collect();
    format!("unknown key, known here are `{}`", known.join("`, `"))
}

fn paths_to(name: &str, shape: &Shape, path: &str, paths: &mut Vec<String>) {
    if let Shape::Section(fields) = shape {
        for field in fields {
            let path = joined(path, &field.name);
            paths_to(name, &field.shape, &path, paths);
            if field.name == name {
                paths.push(path);
            }
        }
    }
}

/// Letters to change, add, leave out or swap with a neighbour to make one word the other.
fn distance(a: &str, b: &str) -> usize {
    let fold = |s: &str| {
        s.to_lowercase()
            .replace('-', "_")
            .chars()
            .collect::<Vec<_>>()
    };
    let (a, b) = (fold(a), fold(b));
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, d) in [
            ("warmup", "warmup", 0),
            ("warmpu", "warmup", 1),
            ("warm", "warmup", 2),
            ("Warm-Up", "warm_up", 0),
            ("", "abc", 3),
        ] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }
}
