#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| saimon_fuzz::checks::frames::check(data));
