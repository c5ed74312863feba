//! What the fuzz targets check, over their seed corpora and everything they ever found: so a find
//! stays found without a fuzzer.

#[path = "../fuzz/src/checks.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets are another crate")]
mod checks;

use std::path::{Path, PathBuf};

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_input_of_the_corpora_passes_its_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (name, check) in checks::ALL {
        let seeds = inputs(&root.join("corpus").join(name));
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for file in seeds
            .into_iter()
            .chain(inputs(&root.join("regressions").join(name)))
        {
            println!("{}", file.display());
            check(&std::fs::read(&file).unwrap());
        }
        check(b"");
    }
}

#[test]
fn every_check_has_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let script = std::fs::read_to_string(root.join("../scripts/fuzz.sh")).unwrap();
    for (name, _) in checks::ALL {
        let target = root.join(format!("fuzz_targets/{name}.rs"));
        assert!(target.try_exists().unwrap(), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
        assert!(script.contains(name), "{name}");
    }
}
