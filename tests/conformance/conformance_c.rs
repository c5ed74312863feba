//! section c
