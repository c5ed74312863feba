//! section b
