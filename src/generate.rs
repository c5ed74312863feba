pub mod catalogue;
pub mod fault;
mod instrument;
mod noise;
mod rhythm;
pub mod world;
