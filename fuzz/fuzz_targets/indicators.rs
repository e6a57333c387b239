#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| daylight_fuzz::run("indicators", data));
