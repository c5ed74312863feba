//! Writes the files of the repository that come from types: `make docs`. A test fails when it was not
//! run after a change.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use saimon::rules::repository_files;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, text) in repository_files() {
        fs::write(root.join(&file), text).with_context(|| format!("cannot write {file}"))?;
        println!("{file}");
    }
    Ok(())
}
