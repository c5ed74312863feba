//! Finds the slot of a series: guess, then fingerprint, then label bytes.
