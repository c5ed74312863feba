//! saimon as a process behind TLS and credentials, judged by those who talk to it: a real Prometheus,
//! curl, openssl. And its configuration while it runs.

#[path = "support/client.rs"]
mod client;
#[path = "security/examples.rs"]
mod examples;
#[path = "security/grpc.rs"]
mod grpc;
#[path = "security/identities.rs"]
mod identities;
#[path = "security/prometheus.rs"]
mod prometheus;
#[path = "security/reload.rs"]
mod reload;
#[path = "support/serving.rs"]
mod serving;
#[path = "security/tools.rs"]
mod tools;
