//! Compiles `proto/` with protox, so that no protoc is needed on the machine.

use std::path::PathBuf;

use protox::prost_reflect::prost_types::{FileDescriptorSet, field_descriptor_proto::Type};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=proto");
    prometheus()?;
    saimon()
}

/// Messages of Prometheus' protocols.
fn prometheus() -> Result<()> {
    let descriptors = protox::compile(
        [
            "prometheus/write_v1.proto",
            "prometheus/write_v2.proto",
            "prometheus/read.proto",
        ],
        ["proto"],
    )?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}

/// Our own service, its client, and its description for reflection.
fn saimon() -> Result<()> {
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(["saimon/v1/service.proto"])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(
        out.join("saimon.fds"),
        compiler.encode_file_descriptor_set(),
    )?;
    let descriptors = compiler.file_descriptor_set();
    let mut builder = tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".saimon.v1")
        // Read from the JSON of REST's answers, written as REST's parameters.
        .message_attribute(
            ".saimon.v1",
            "#[derive(::serde::Serialize, ::serde::Deserialize)]",
        )
        .message_attribute(".saimon.v1", "#[serde(default)]");
    for field in times(&descriptors) {
        let with = r#"#[serde(with = "crate::expose::grpc::time")]"#;
        builder = builder.field_attribute(field, with);
    }
    builder.compile_fds(descriptors)?;
    Ok(())
}

/// The fields of our own messages that are times.
fn times(descriptors: &FileDescriptorSet) -> Vec<String> {
    let files = descriptors.file.iter();
    let messages = files
        .filter(|f| f.package() == "saimon.v1")
        .flat_map(|f| &f.message_type);
    messages
        .flat_map(|m| m.field.iter().map(move |f| (m, f)))
        .filter(|(_, f)| {
            f.r#type() == Type::Message && f.type_name() == ".google.protobuf.Timestamp"
        })
        .map(|(m, f)| format!(".saimon.v1.{}.{}", m.name(), f.name()))
        .collect()
}
