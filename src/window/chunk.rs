//! TEMP
use serde::{Deserialize, Serialize};
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ChunkAppender { s: Vec<(i64, f64)> }
impl ChunkAppender {
    pub fn new() -> Self { Self::default() }
    pub fn append(&mut self, t: i64, v: f64) { self.s.push((t, v)); }
    pub fn len(&self) -> u16 { self.s.len() as u16 }
    pub fn is_empty(&self) -> bool { self.s.is_empty() }
    pub fn first_ms(&self) -> i64 { self.s[0].0 }
    pub fn last_ms(&self) -> i64 { self.s[self.s.len()-1].0 }
    pub fn finish(self) -> Vec<u8> { Vec::new() }
}
