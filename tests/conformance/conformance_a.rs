//! section a
