//! The models that judge a sample.
