//! The HTTP surface: writes in, metrics and scores out.
