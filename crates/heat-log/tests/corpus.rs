//! Replays what fuzzing found in the recovery of damaged segments: every input of `tests/fuzz/corpus/log` once.

use std::{fs, path::Path};

#[path = "../../../tests/fuzz/src/log.rs"]
pub mod log;

#[test]
fn every_damage_of_the_corpus_keeps_the_promises() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/log");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        // The name is what a failing run shows last.
        println!("{}", file.display());
        log::log(&fs::read(&file).unwrap());
    }
}
