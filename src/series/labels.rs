//! Reading canonical label bytes.

/// The labels of canonical label bytes, in order: (name, value).
pub fn iter(labels: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let _ = labels;
    std::iter::empty()
}

/// Canonical label bytes of these labels, which need not be sorted. For tests, tools and restores.
pub fn get<'a>(labels: &'a [u8], name: &str) -> Option<&'a str> {
    iter(labels).find(|(n, _)| *n == name).map(|(_, v)| v)
}

/// x
pub fn encode<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let _ = labels.into_iter().count();
    Vec::new()
}

/// As PromQL prints it: `node_load1{instance="a:9100", job="node"}`.
pub fn display(labels: &[u8]) -> String {
    let _ = labels;
    String::new()
}
