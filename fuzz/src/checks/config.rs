//! Configuration files: whatever the text, it is one configuration or a list of mistakes.

use saimon::config_file;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mistakes = config_file::check::check(&text);
    let parsed = config_file::parse(&text);
    assert!(
        mistakes.is_empty() == parsed.is_ok(),
        "{} mistakes, but {parsed:?}",
        mistakes.len()
    );
}
