//! The house rules that a compiler does not know, checked by reading `src/`.
//!
//! - A module uses the layers to its left and none to its right (the order is in `src/lib.rs`).
//! - From `wire` to `score` there is no async, no I/O, no clock and no thread.
//! - sled, tonic and prometheus-client are named where they live and nowhere else.
//! - No file has more than 600 lines, and none has `todo!`, `unimplemented!` or `dbg!`.
//!
//! Comments, strings and `#[cfg(test)]` items are left out: tests may look where they like.

#[path = "layers/rules.rs"]
mod rules;
#[path = "layers/source.rs"]
mod source;

use std::path::Path;

use rules::{SourceFile, violations};

#[test]
fn sources_keep_the_house_rules() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &src, &mut files);
    assert!(
        files.len() > 10,
        "found only {} files below src",
        files.len()
    );

    let broken: Vec<String> = files.iter().flat_map(violations).collect();
    assert!(
        broken.is_empty(),
        "{} broken house rules:\n  {}",
        broken.len(),
        broken.join("\n  ")
    );
}

fn collect(root: &Path, folder: &Path, into: &mut Vec<SourceFile>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(root, &path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            into.push(SourceFile {
                name: name.to_owned(),
                text: std::fs::read_to_string(&path).unwrap(),
            });
        }
    }
}

/// Asserts that `text` as the file `name` breaks a rule, and that the complaint says `expected`.
#[track_caller]
fn refused(name: &str, text: &str, expected: &str) {
    let found = violations(&SourceFile {
        name: name.to_owned(),
        text: text.to_owned(),
    });
    assert!(
        found.iter().any(|v| v.contains(expected)),
        "expected a complaint with \"{expected}\" about {name}, got {found:?}"
    );
}

#[track_caller]
fn accepted(name: &str, text: &str) {
    let found = violations(&SourceFile {
        name: name.to_owned(),
        text: text.to_owned(),
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_layer_may_use_those_to_its_left() {
    accepted("score/board.rs", "use crate::model::Opinion;");
    accepted("engine.rs", "use crate::{wire, series::labels::Labels};");
    accepted("expose/ingest.rs", "fn f() { crate::wire::snappy::f() }");
    accepted("wire/write.rs", "use crate::config::LimitsConfig;");
    accepted("wire/write.rs", "use super::field; use self::arena::X;");
    accepted("generate/push.rs", "use crate::expose::http;");
    accepted("cli.rs", "use crate::{app, rules, generate, config};");
    accepted("main.rs", "use saimon::cli; fn main() {}");
}

#[test]
fn a_layer_may_not_use_those_to_its_right() {
    refused(
        "wire/write.rs",
        "use crate::series::labels;",
        "wire may not use series",
    );
    refused("wire.rs", "use super::engine;", "wire may not use engine");
    refused(
        "model/zscore.rs",
        "use super::super::engine::batch::Batch;",
        "model may not use engine",
    );
    refused(
        "score.rs",
        "use crate::{config::Severity, model::{A, B}, store};",
        "score may not use store",
    );
    refused(
        "window.rs",
        "fn f() { let x = crate::app::run(); }",
        "window may not use app",
    );
    refused(
        "store/sled.rs",
        "use crate::expose::x;",
        "store may not use expose",
    );
    refused(
        "expose.rs",
        "use crate::store::Store;",
        "expose may not use store",
    );
    refused("app.rs", "use crate::cli;", "app may not use cli");
    refused(
        "wire.rs",
        "pub use crate as all; use crate::*;",
        "imports the whole crate",
    );
}

#[test]
fn what_stands_aside_uses_no_layer_and_tools_are_used_by_none() {
    refused(
        "config/limits.rs",
        "use crate::wire::X;",
        "config may not use wire",
    );
    refused(
        "telemetry.rs",
        "use crate::score::board;",
        "telemetry may not use score",
    );
    refused(
        "clock.rs",
        "fn f(x: crate::series::X) {}",
        "clock may not use series",
    );
    refused(
        "expose.rs",
        "use crate::generate::X;",
        "expose may not use generate",
    );
    refused("engine.rs", "use crate::rules;", "engine may not use rules");
    refused("generate.rs", "use crate::app;", "generate may not use app");
    refused("rules.rs", "use crate::cli::Args;", "rules may not use cli");
    refused("util.rs", "", "util is in no layer");
}

#[test]
fn pure_layers_have_no_async_io_clock_or_thread() {
    for (text, word) in [
        ("use tokio::sync::mpsc;", "tokio"),
        ("use std::net::TcpStream;", "std::net"),
        ("use std::{fmt, fs};", "std::fs"),
        ("fn f() { std::fs::read(\"x\"); }", "std::fs"),
        ("use std::time::{Duration, Instant};", "std::time::Instant"),
        ("use std::time::SystemTime as T;", "std::time::SystemTime"),
        ("use std::time;", "std::time"),
        ("use std::time::*;", "std::time"),
        ("use std::time::{self, Duration};", "std::time"),
        ("use std::thread;", "std::thread"),
        ("use std::*;", "std"),
        ("use hyper::Request;", "hyper"),
        ("use crate::clock::Clock;", "clock"),
        ("async fn f() {}", "async"),
    ] {
        for name in ["wire.rs", "series/labels.rs", "window.rs", "model/a.rs"] {
            refused(name, text, word);
        }
        refused("score/verdict.rs", text, word);
    }
    accepted("wire/write.rs", "use std::time::Duration;");
    accepted("engine/shard.rs", "use std::thread; use crate::clock::X;");
    accepted("expose.rs", "use tokio::net; async fn f() {}");
}

#[test]
fn libraries_with_a_home_are_named_only_there() {
    accepted("store/sled.rs", "use sled::Db;");
    accepted("store.rs", "pub mod sled; pub use sled::SledStore;");
    accepted("app.rs", "use crate::store::sled::SledStore;");
    accepted("telemetry/process.rs", "use prometheus_client::X;");
    refused("store/writer.rs", "use sled::Db;", "sled");
    refused(
        "app.rs",
        "fn f() -> Result<(), ::sled::Error> { Ok(()) }",
        "sled",
    );
    refused(
        "expose/metrics.rs",
        "use prometheus_client::registry::Registry;",
        "prometheus_client",
    );
}

#[test]
fn long_files_and_leftovers_are_refused() {
    accepted("wire.rs", &"\n".repeat(600));
    refused("wire.rs", &"\n".repeat(601), "601 lines");
    refused("wire.rs", "fn f() { todo!() }", "todo!");
    refused(
        "app.rs",
        "fn f() { unimplemented!(\"x\") }",
        "unimplemented!",
    );
    refused("main.rs", "fn f() { dbg!(1); }", "dbg!");
}

#[test]
fn comments_strings_and_tests_are_left_out() {
    accepted(
        "wire.rs",
        "//! see [`crate::engine`]\n/* use tokio; /* todo!() */ use std::fs; */\nfn f() {}",
    );
    accepted(
        "wire.rs",
        r####"const A: &str = "crate::engine::x \" use tokio;"; const B: &str = r#"" todo!() "#;"####,
    );
    accepted(
        "wire.rs",
        "#[cfg(test)]\nmod tests { use crate::engine::X; fn f() { std::fs::read(); } }",
    );
    accepted("wire.rs", "#[cfg(test)] use crate::engine::X;");
    // a quote that is a char or a lifetime hides nothing behind it
    refused(
        "wire.rs",
        "fn f<'a>(x: &'a u8) -> char { '\"' } use crate::engine::X; // '\"'",
        "wire may not use engine",
    );
    refused(
        "wire.rs",
        "#[cfg(test)] mod tests {} use crate::engine::X;",
        "wire may not use engine",
    );
}
