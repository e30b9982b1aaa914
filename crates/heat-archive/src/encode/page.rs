//! Pages of indices into a dictionary, compressed.
//!
//! Layout (Parquet format 2, data page v1, `RLE_DICTIONARY`): one byte of bit width, then runs; a run is a varint header,
//! `count << 1` for a repeated index or `groups << 1 | 1` for 8 indices a group, then the index or indices. The width here
//! is a whole number of bytes, which costs nothing once compressed: zstd finds in aligned bytes what it cannot see in
//! packed bits.

use bytes::Bytes;
use parquet::errors::Result;

use super::chunk::{Zstd, fit};

/// Longer pages are compressed whatever they are.
const STORED_BYTES_MAX: usize = 256;

/// One page of indices, compressed; cheap to clone, so that columns can share it.
#[derive(Debug, Clone)]
pub(super) struct IndexPage {
    pub(super) compressed: Bytes,
    /// The same as it is, of a short page.
    pub(super) stored: Option<Bytes>,
    pub(super) uncompressed_bytes: usize,
    pub(super) rows: usize,
    pub(super) nulls: usize,
    /// Sum of the texts' lengths, for readers that plan memory by it.
    pub(super) text_bytes: Option<i64>,
    /// Least and greatest value, as bytes.
    pub(super) bounds: Option<(Vec<u8>, Vec<u8>)>,
}

impl IndexPage {
    pub(super) fn with_bounds(mut self, least: Vec<u8>, greatest: Vec<u8>) -> Self {
        self.bounds = Some((least, greatest));
        self
    }

    pub(super) fn with_text_bytes(mut self, text_bytes: usize) -> Self {
        self.text_bytes = i64::try_from(text_bytes).ok();
        self
    }
}

/// Bytes of an index into so many entries.
fn index_bytes(entries: usize) -> usize {
    match entries {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        0x1_0001..=0x100_0000 => 3,
        _ => 4,
    }
}

fn push_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(low_byte(number) | 0x80);
        number >>= 7;
    }
    out.push(low_byte(number));
}

fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

fn start_page(entries: usize, capacity: usize) -> (Vec<u8>, usize) {
    let width = index_bytes(entries);
    let mut page = Vec::with_capacity(capacity);
    page.push(low_byte(8 * width));
    (page, width)
}

fn push_run(page: &mut Vec<u8>, width: usize, index: u32, count: usize) {
    push_varint(page, count << 1);
    page.extend_from_slice(&index.to_le_bytes()[..width]);
}

/// A page of runs.
pub(super) fn of_runs(zstd: &mut Zstd, entries: usize, runs: &[(u32, usize)]) -> Result<IndexPage> {
    let (mut page, width) = start_page(entries, 8 + runs.len() * 6);
    for &(index, count) in runs {
        push_run(&mut page, width, index, count);
    }
    finish_page(zstd, &page, runs.iter().map(|run| run.1).sum(), 0)
}

/// A page of indices, one for each row.
pub(super) fn of_indices(zstd: &mut Zstd, entries: usize, indices: &[u32]) -> Result<IndexPage> {
    let (mut page, width) = start_page(entries, 16 + indices.len() * 4);
    push_indices(&mut page, width, indices);
    finish_page(zstd, &page, indices.len(), 0)
}

/// A page of an optional column: `present` says for each row whether it has a value, `indices` are those of the
/// rows that have one.
pub(super) fn of_optional(
    zstd: &mut Zstd,
    entries: usize,
    present: impl Iterator<Item = bool>,
    indices: &[u32],
) -> Result<IndexPage> {
    let mut levels = Vec::new();
    let mut rows = 0;
    let mut run = (false, 0);
    for is_present in present {
        rows += 1;
        if run.1 > 0 && run.0 != is_present {
            push_run(&mut levels, 1, u32::from(run.0), run.1);
            run.1 = 0;
        }
        run = (is_present, run.1 + 1);
    }
    if run.1 > 0 {
        push_run(&mut levels, 1, u32::from(run.0), run.1);
    }
    let width = index_bytes(entries);
    let mut page = Vec::with_capacity(24 + levels.len() + indices.len() * width);
    page.extend_from_slice(&fit::<u32>(levels.len()).to_le_bytes());
    page.extend_from_slice(&levels);
    page.push(low_byte(8 * width));
    push_indices(&mut page, width, indices);
    finish_page(zstd, &page, rows, rows - indices.len())
}

fn push_indices(page: &mut Vec<u8>, width: usize, indices: &[u32]) {
    if indices.is_empty() {
        return;
    }
    let groups = indices.len().div_ceil(8);
    push_varint(page, groups << 1 | 1);
    match width {
        1 => push_low_bytes::<1>(page, indices),
        2 => push_low_bytes::<2>(page, indices),
        3 => push_low_bytes::<3>(page, indices),
        _ => push_low_bytes::<4>(page, indices),
    }
    page.resize(page.len() + (groups * 8 - indices.len()) * width, 0);
}

fn push_low_bytes<const WIDTH: usize>(page: &mut Vec<u8>, indices: &[u32]) {
    let start = page.len();
    page.resize(start + indices.len() * WIDTH, 0);
    let (places, _) = page[start..].as_chunks_mut::<WIDTH>();
    for (place, index) in places.iter_mut().zip(indices) {
        place.copy_from_slice(&index.to_le_bytes()[..WIDTH]);
    }
}

fn finish_page(zstd: &mut Zstd, page: &[u8], rows: usize, nulls: usize) -> Result<IndexPage> {
    Ok(IndexPage {
        compressed: zstd.compress(page)?,
        stored: (page.len() <= STORED_BYTES_MAX).then(|| Bytes::copy_from_slice(page)),
        uncompressed_bytes: page.len(),
        rows,
        nulls,
        text_bytes: None,
        bounds: None,
    })
}
