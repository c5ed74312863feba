//! Windows in which nobody is alerted or nothing is learned.
