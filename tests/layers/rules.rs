//! What each module may use.

use super::source::{paths, tokens, without_tests};

/// A file below `src/`.
pub(crate) struct SourceFile {
    /// Its path from `src/`, for example `wire/write.rs`.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// More than this many lines hide more than one subject.
const LINES_MAX: usize = 600;

/// Nothing in them is async, does I/O, reads a clock or starts a thread.
const PURE: [&str; 5] = ["wire", "series", "window", "model", "score"];

/// Usable by everyone; they use none of the layers.
const ASIDE: [&str; 4] = ["allocator", "config", "clock", "telemetry"];

/// What the pure layers may not name, by the beginning of the path.
const NOT_PURE: [&str; 16] = [
    "tokio",
    "tokio_util",
    "hyper",
    "hyper_util",
    "http_body",
    "http_body_util",
    "axum",
    "tower",
    "tower_http",
    "sled",
    "std::net",
    "std::fs",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "crate::clock",
];

/// Libraries with one home: name, and the beginning of the files that may name it.
const HOMES: [(&str, &str); 3] = [
    ("sled", "store/sled.rs"),
    ("tonic", "expose/grpc"),
    ("prometheus_client", "telemetry"),
];

/// What a module may use besides itself and what stands aside. `None` if it has no place.
fn allowed(module: &str) -> Option<&'static [&'static str]> {
    Some(match module {
        "allocator" | "wire" | "config" | "clock" | "telemetry" | "tls" | "lib" => &[],
        "client" => &["tls"],
        "series" => &["wire"],
        "window" => &["wire", "series"],
        "model" => &["wire", "series", "window"],
        "score" => &["wire", "series", "window", "model"],
        "engine" => &PURE,
        "store" => &["wire", "series", "window", "model", "score", "engine"],
        "records" | "feedback" | "maintenance" => &[
            "wire", "series", "window", "model", "score", "engine", "store",
        ],
        "expose" => &[
            "wire",
            "series",
            "window",
            "model",
            "score",
            "engine",
            "records",
            "feedback",
            "maintenance",
            "tls",
        ],
        "output" => &[
            "wire", "series", "window", "model", "score", "engine", "client",
        ],
        "backfill" => &[
            "wire", "series", "window", "model", "score", "engine", "client",
        ],
        "backtest" => &[
            "client",
            "wire",
            "series",
            "window",
            "model",
            "score",
            "engine",
            "store",
            "backfill",
            "inspect",
            "config_file",
        ],
        "generate" | "rules" | "config_file" | "inspect" | "estimate" | "eval" => &[
            "maintenance",
            "generate",
            "client",
            "wire",
            "series",
            "window",
            "model",
            "score",
            "engine",
            "store",
            "expose",
            "output",
            "config_file",
        ],
        "app" => &[
            "wire",
            "series",
            "window",
            "model",
            "score",
            "engine",
            "store",
            "records",
            "feedback",
            "maintenance",
            "expose",
            "output",
            "client",
            "backfill",
            "backtest",
            "generate",
            "inspect",
            "estimate",
            "eval",
            "rules",
            "config_file",
        ],
        "cli" | "main" => &[
            "wire",
            "series",
            "window",
            "model",
            "score",
            "engine",
            "store",
            "records",
            "feedback",
            "maintenance",
            "expose",
            "output",
            "client",
            "backfill",
            "backtest",
            "generate",
            "inspect",
            "estimate",
            "eval",
            "rules",
            "config_file",
            "app",
            "cli",
        ],
        _ => return None,
    })
}

/// Every house rule that `file` breaks, one sentence each.
pub(crate) fn violations(file: &SourceFile) -> Vec<String> {
    let module: Vec<String> = std::iter::once("crate")
        .chain(file.name.trim_end_matches(".rs").split('/'))
        .map(str::to_owned)
        .collect();
    let layer = module[1].as_str();
    let mut out = Vec::new();

    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        out.push(format!("has {lines} lines, split it at {LINES_MAX}"));
    }

    let tokens = without_tests(&tokens(&file.text));
    for pair in tokens.windows(2) {
        if matches!(pair[0].as_str(), "todo" | "unimplemented" | "dbg") && pair[1] == "!" {
            out.push(format!("has a {}!", pair[0]));
        }
    }

    let Some(allowed) = allowed(layer) else {
        out.push(format!(
            "{layer} is in no layer: give it a place in tests/layers/rules.rs and src/lib.rs"
        ));
        return named(file, out);
    };
    let pure = PURE.contains(&layer);
    if pure && tokens.iter().any(|t| t == "async" || t == "await") {
        out.push(format!("{layer} may not be async"));
    }
    let own_modules: Vec<&str> = tokens
        .windows(2)
        .filter(|pair| pair[0] == "mod")
        .map(|pair| pair[1].as_str())
        .collect();

    for path in paths(&tokens, &module) {
        if path.first().is_some_and(|p| p == "crate") && layer != "lib" {
            match path.get(1).map(String::as_str) {
                Some("*") => out.push("imports the whole crate".to_owned()),
                Some(used)
                    if used != layer
                        && !ASIDE.contains(&used)
                        && self::allowed(used).is_some()
                        && !allowed.contains(&used) =>
                {
                    out.push(format!("{layer} may not use {used}: {}", path.join("::")));
                }
                _ => {}
            }
        }
        let local = path.first().is_some_and(|p| own_modules.contains(&&**p));
        let path: Vec<&str> = path
            .iter()
            .map(String::as_str)
            .skip_while(|p| *p == "::")
            .collect();
        if pure && let Some(banned) = banned(&path) {
            out.push(format!("{layer} may not name {banned}"));
        }
        for (library, home) in HOMES {
            if path.first() == Some(&library) && !local && !file.name.starts_with(home) {
                out.push(format!("{library} may be named only in src/{home}"));
            }
        }
    }
    named(file, out)
}

fn named(file: &SourceFile, mut complaints: Vec<String>) -> Vec<String> {
    complaints.dedup();
    complaints
        .into_iter()
        .map(|c| format!("src/{}: {c}", file.name))
        .collect()
}

/// The entry of [`NOT_PURE`] that `path` reaches or, by a glob or as a module, could reach.
fn banned(path: &[&str]) -> Option<&'static str> {
    NOT_PURE.into_iter().find(|entry| {
        let entry: Vec<&str> = entry.split("::").collect();
        let common = entry.iter().zip(path).take_while(|(a, b)| a == b).count();
        let covered = common == entry.len();
        // `use std::time;` or `use std::*;` would let the rest in by the back door
        let open = common > 0 && (common == path.len() || path[common] == "*");
        covered || open && path[0] == "std"
    })
}
