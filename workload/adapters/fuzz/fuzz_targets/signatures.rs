#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chatbot_adapters_fuzz::signature(data));
