//! Replays what fuzzing found: every input of `tests/fuzz/corpus` once, with the promises of the fuzz targets.

use std::{collections::BTreeSet, fs, path::Path};

#[path = "../../../tests/fuzz/src/codec.rs"]
pub mod codec;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus")
}

#[test]
fn every_input_of_the_corpus_keeps_the_promises() {
    for (name, target) in codec::TARGETS {
        let folder = folder().join(name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has a corpus");
        for file in files {
            // The name is what a failing run shows last.
            println!("{}", file.display());
            target(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_target_of_the_corpus_is_replayed_somewhere() {
    let replayed: BTreeSet<_> = codec::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    // Their crates are not this one's to use; each replays its own.
    let elsewhere = ["listener", "log"].map(str::to_owned);
    let entries = fs::read_dir(folder()).unwrap();
    let found: BTreeSet<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, replayed.into_iter().chain(elsewhere).collect());
}
