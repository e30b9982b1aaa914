//! What the fuzz targets do with their bytes. Each function panics when a promise is broken, and only then.
//!
//! Is: the promises, as assertions. Is not: the search for bytes that break them (libFuzzer), or the replay of what it
//! found (`tests/corpus.rs` of the crate at stake takes its module as it stands here, and so needs no libFuzzer).
//!
//! Start reading at [`codec`].

pub mod codec;
#[cfg(feature = "listener")]
pub mod listener;
#[cfg(feature = "log")]
pub mod log;
