//! Writes what is generated from the configuration's types: `make docs`. A test fails when it was
//! not run after a change.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use saimon::config::docs;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, text) in [
        ("docs/configuration.md", docs::render()),
        ("examples/full.yaml", docs::example()),
    ] {
        fs::write(root.join(file), text).with_context(|| format!("cannot write {file}"))?;
        println!("{file}");
    }
    Ok(())
}
