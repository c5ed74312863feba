//! section d
