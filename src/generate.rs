pub mod catalogue;
pub mod exporter;
pub mod fault;
mod instrument;
mod noise;
mod page;
mod rhythm;
pub mod world;
