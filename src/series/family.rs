//! Which series belong to one histogram: the parts of a classic histogram have its name with a
//! suffix, and its labels, buckets with `le` besides.
//!
//! All parts of a histogram must meet in one place, and a part alone does not know whether it is
//! one (`_sum` and `_count` are parts of summaries and names of gauges, too). So every series has a
//! *home*, a hash that depends on nothing but its labels and that is the same for all that could be
//! parts of one histogram, and for that histogram itself.

use smallvec::SmallVec;

use super::fingerprint::fingerprint;
use super::labels::{self, METRIC_NAME};

/// The label that says which bucket a series counts.
pub const LE: &str = "le";

/// Where a label goes that cannot keep its name.
const MOVED: &str = "exported_";

/// Room for the labels of nearly every series.
pub type Scratch = SmallVec<[u8; 512]>;

/// Which part of a classic histogram a series is by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Bucket,
    Sum,
    Count,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Bucket, Self::Sum, Self::Count];

    pub fn suffix(self) -> &'static str {
        match self {
            Self::Bucket => "_bucket",
            Self::Sum => "_sum",
            Self::Count => "_count",
        }
    }

    /// The role that a name gives, and the name of the histogram.
    pub fn of(name: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|role| {
            let base = name.strip_suffix(role.suffix())?;
            (!base.is_empty()).then_some((role, base))
        })
    }
}

/// The home of the series with these canonical label bytes.
pub fn home(canonical: &[u8]) -> u64 {
    let name = labels::get(canonical, METRIC_NAME).unwrap_or_default();
    home_of(canonical, name, || fingerprint(canonical))
}

/// The same where the metric's name is at hand; `own` is asked for the fingerprint of the bytes as
/// they are, which is the home of most series.
pub fn home_of(canonical: &[u8], name: &str, own: impl FnOnce() -> u64) -> u64 {
    let mut stem = name;
    // A histogram may have a name that looks like a part of another one.
    while let Some((_, base)) = Role::of(stem) {
        stem = base;
    }
    if stem.len() == name.len() {
        return own();
    }
    let mut out = Scratch::new();
    rename(canonical, stem, &mut out);
    fingerprint(&out)
}

/// The role of a series and the canonical label bytes of the histogram that it could be a part of.
/// `None` if its name is no part's, or if it has or lacks `le` against its role.
pub fn base(canonical: &[u8]) -> Option<(Role, Scratch)> {
    let (role, base) = Role::of(labels::get(canonical, METRIC_NAME)?)?;
    if labels::get(canonical, LE).is_some() != (role == Role::Bucket) {
        return None;
    }
    let mut out = Scratch::new();
    rename(canonical, base, &mut out);
    Some((role, out))
}

/// The canonical label bytes of the `_sum` or `_count` of a histogram.
pub fn sibling(base: &[u8], role: Role) -> Scratch {
    let name = labels::get(base, METRIC_NAME).unwrap_or_default();
    let mut out = Scratch::new();
    rename(base, &[name, role.suffix()].concat(), &mut out);
    out
}

/// Canonical label bytes with one label more, for a series that is derived from the one with
/// `canonical`. A label of that name moves to `exported_<name>`, and one that has that name already a
/// step further, so that two series never become one.
pub fn with(canonical: &[u8], name: &str, value: &str) -> Vec<u8> {
    let moved: Vec<(String, &str)> = labels::iter(canonical)
        .map(|(own, value)| {
            let mut stem = own;
            while let Some(rest) = stem.strip_prefix(MOVED) {
                stem = rest;
            }
            let clashes = stem == name;
            (format!("{}{own}", if clashes { MOVED } else { "" }), value)
        })
        .collect();
    let own = moved.iter().map(|(name, value)| (name.as_str(), *value));
    labels::encode(own.chain([(name, value)]))
}

/// The labels without `le` and with another metric name.
fn rename(canonical: &[u8], metric: &str, out: &mut Scratch) {
    for (name, value) in labels::iter(canonical) {
        let value = if name == METRIC_NAME { metric } else { value };
        if name != LE {
            labels::push(name, value, |bytes| out.extend_from_slice(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)]) -> Vec<u8> {
        labels::encode(labels.iter().copied())
    }

    #[test]
    fn all_parts_of_a_histogram_and_itself_have_one_home() {
        let itself = series(&[("__name__", "http_seconds"), ("job", "a")]);
        let parts = [
            series(&[
                ("__name__", "http_seconds_bucket"),
                ("job", "a"),
                ("le", "0.1"),
            ]),
            series(&[
                ("__name__", "http_seconds_bucket"),
                ("job", "a"),
                ("le", "+Inf"),
            ]),
            series(&[("__name__", "http_seconds_sum"), ("job", "a")]),
            series(&[("__name__", "http_seconds_count"), ("job", "a")]),
        ];
        assert_eq!(home(&itself), fingerprint(&itself));
        for part in &parts {
            assert_eq!(home(part), home(&itself));
            let (role, base) = base(part).unwrap();
            assert_eq!(base[..], itself[..]);
            if role != Role::Bucket {
                assert_eq!(sibling(&itself, role)[..], part[..]);
            }
        }
        let other = series(&[("__name__", "http_seconds_sum"), ("job", "b")]);
        assert_ne!(home(&other), home(&itself));
    }

    #[test]
    fn a_histogram_whose_name_looks_like_a_part_is_at_home_with_its_parts() {
        let itself = series(&[("__name__", "x_count"), ("job", "a")]);
        let bucket = series(&[("__name__", "x_count_bucket"), ("job", "a"), ("le", "1")]);
        assert_eq!(home(&bucket), home(&itself));
        assert_eq!(base(&bucket).unwrap().1[..], itself[..]);
    }

    #[test]
    fn names_without_a_suffix_and_wrong_labels_are_no_parts() {
        for labels in [
            &[("__name__", "up")][..],
            &[("__name__", "_sum")],
            &[("__name__", "x_bucket")],
            &[("__name__", "x_sum"), ("le", "1")],
            &[("job", "x_sum")],
        ] {
            assert_eq!(base(&series(labels)), None, "{labels:?}");
        }
        let odd = series(&[("__name__", "_sum")]);
        assert_eq!(home(&odd), fingerprint(&odd));
    }

    #[test]
    fn a_derived_label_moves_the_one_that_was_there() {
        let of = series(&[
            ("__name__", "x"),
            ("stat", "mine"),
            ("exported_stat", "too"),
        ]);
        let with = with(&of, "stat", "p99");
        let got: Vec<_> = labels::iter(&with).collect();
        assert_eq!(
            got,
            [
                ("__name__", "x"),
                ("exported_exported_stat", "too"),
                ("exported_stat", "mine"),
                ("stat", "p99"),
            ]
        );
    }
}
