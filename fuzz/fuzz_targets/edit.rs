#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagewright_tests::fuzzed::edit(bytes));
