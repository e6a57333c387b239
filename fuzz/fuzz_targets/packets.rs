#![no_main]
libfuzzer_sys::fuzz_target!(init: daylight_fuzz::prepare(), |data: &[u8]| daylight_fuzz::run("packets", data));
