#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| saimon_fuzz::checks::wire_v1::check(data));
