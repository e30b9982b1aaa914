#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heat_fuzz::codec::plant(data));
