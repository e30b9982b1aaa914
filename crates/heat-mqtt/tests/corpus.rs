//! Replays what fuzzing found in the listener: every input of `tests/fuzz/corpus/listener` once.

use std::{fs, path::Path};

#[path = "../../../tests/fuzz/src/listener.rs"]
pub mod listener;

#[test]
fn every_stream_of_the_corpus_keeps_the_promises() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/listener");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        // The name is what a failing run shows last.
        println!("{}", file.display());
        listener::listener(&fs::read(&file).unwrap());
    }
}
