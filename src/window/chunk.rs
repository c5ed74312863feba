//! Samples as an XOR chunk in the format of Prometheus' TSDB.
