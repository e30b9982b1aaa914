//! Column chunks with a dictionary, page by page, for columns whose distinct values the caller knows.
//!
//! The `parquet` crate's own dictionary encoder hashes every value of every row. Here the caller hands over indices:
//! a run (index, count) costs the same whatever its count, and indices that several columns share are encoded and
//! compressed once. Layout (Parquet format 2, data page v1, `RLE_DICTIONARY`): one byte of bit width, then runs; a
//! run is a varint header, `count << 1` for a repeated index or `groups << 1 | 1` for 8 indices a group, then the
//! index or indices. The width here is a whole number of bytes, which costs nothing once compressed: zstd finds in
//! aligned bytes what it cannot see in packed bits.

use std::io::Write;

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, PageType, Type, ZstdLevel},
    bloom_filter::Sbbf,
    column::{
        page::{CompressedPage, Page, PageWriter},
        writer::ColumnCloseResult,
    },
    data_type::ByteArray,
    errors::{ParquetError, Result},
    file::{
        metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats},
        statistics::Statistics,
        writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite},
    },
    schema::types::ColumnDescPtr,
};

/// Rows of one page. Large, since a device's signals share times and sequence numbers, which zstd finds again only
/// within a page.
pub(super) const PAGE_ROWS: usize = 65_536;

/// One zstd context, used for all pages of a file.
pub(super) struct Zstd {
    compressor: zstd::bulk::Compressor<'static>,
    level: i32,
}

impl Zstd {
    pub(super) fn new(level: i32) -> std::io::Result<Self> {
        Ok(Self { compressor: zstd::bulk::Compressor::new(level)?, level })
    }

    fn compress(&mut self, bytes: &[u8]) -> Result<Bytes> {
        self.compressor
            .compress(bytes)
            .map(Bytes::from)
            .map_err(|error| ParquetError::External(Box::new(error)))
    }

    pub(super) fn codec(&self) -> Result<Compression> {
        Ok(Compression::ZSTD(ZstdLevel::try_new(self.level)?))
    }
}

/// A dictionary: its values in `PLAIN` encoding.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    pub(super) plain: Vec<u8>,
    pub(super) entries: usize,
}

impl Dictionary {
    pub(super) fn push_text(&mut self, text: &str) {
        let length = u32::try_from(text.len()).expect("names are bounded far below 4 GiB");
        self.plain.extend_from_slice(&length.to_le_bytes());
        self.plain.extend_from_slice(text.as_bytes());
        self.entries += 1;
    }

    pub(super) fn of_u64(values: impl Iterator<Item = u64>) -> Self {
        let mut dictionary = Self::default();
        for value in values {
            dictionary.plain.extend_from_slice(&value.to_le_bytes());
            dictionary.entries += 1;
        }
        dictionary
    }

    /// Unsigned numbers in the column's physical type.
    pub(super) fn of_numbers(column: &ColumnDescPtr, numbers: &[u64]) -> Self {
        let bytes = if column.physical_type() == Type::INT32 { 4 } else { 8 };
        let plain = numbers.iter().flat_map(|number| number.to_le_bytes().into_iter().take(bytes)).collect();
        Self { plain, entries: numbers.len() }
    }
}

/// One page of indices, compressed; cheap to clone, so that columns can share it.
#[derive(Debug, Clone)]
pub(super) struct IndexPage {
    compressed: Bytes,
    uncompressed_bytes: usize,
    rows: usize,
    nulls: usize,
    /// Sum of the texts' lengths, for readers that plan memory by it.
    text_bytes: Option<i64>,
    /// Least and greatest value, as bytes.
    bounds: Option<(Vec<u8>, Vec<u8>)>,
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

/// A count as a field of the format has it.
fn fit<T: TryFrom<usize>>(count: usize) -> T {
    T::try_from(count).ok().expect("pages and chunks in memory are far smaller than the format's fields")
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
pub(super) fn page_of_runs(zstd: &mut Zstd, entries: usize, runs: &[(u32, usize)]) -> Result<IndexPage> {
    let (mut page, width) = start_page(entries, 8 + runs.len() * 6);
    for &(index, count) in runs {
        push_run(&mut page, width, index, count);
    }
    finish_page(zstd, &page, runs.iter().map(|run| run.1).sum(), 0)
}

/// A page of indices, one for each row.
pub(super) fn page_of_indices(zstd: &mut Zstd, entries: usize, indices: &[u32]) -> Result<IndexPage> {
    let (mut page, width) = start_page(entries, 16 + indices.len() * 4);
    push_indices(&mut page, width, indices);
    finish_page(zstd, &page, indices.len(), 0)
}

/// A page of an optional column: `present` says for each row whether it has a value, `indices` are those of the
/// rows that have one.
pub(super) fn page_of_optional(
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
        uncompressed_bytes: page.len(),
        rows,
        nulls,
        text_bytes: None,
        bounds: None,
    })
}

/// Tells whether a chunk may hold a text, wrongly in 1 % of cases.
pub(super) fn bloom_filter(texts: &[&str]) -> Result<Sbbf> {
    let mut filter = Sbbf::new_with_ndv_fpp(texts.len() as u64, 0.01)?;
    texts.iter().for_each(|text| filter.insert(*text));
    Ok(filter)
}

/// So many bytes a chunk of this dictionary and these pages takes, without its headers.
pub(super) fn weigh(zstd: &mut Zstd, dictionary: &Dictionary, pages: &[IndexPage]) -> Result<usize> {
    let pages: usize = pages.iter().map(|page| page.compressed.len()).sum();
    Ok(zstd.compress(&dictionary.plain)?.len() + pages)
}

/// Writes one column chunk: the dictionary, then the pages.
pub(super) fn append_chunk<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &ColumnDescPtr,
    zstd: &mut Zstd,
    dictionary: &Dictionary,
    pages: &[IndexPage],
    statistics: Statistics,
    bloom_filter: Option<Sbbf>,
) -> Result<()> {
    let mut sink = TrackedWrite::new(Vec::new());
    let mut writer = SerializedPageWriter::new(&mut sink);
    let page = Page::DictionaryPage {
        buf: zstd.compress(&dictionary.plain)?,
        num_values: fit(dictionary.entries),
        encoding: Encoding::PLAIN,
        is_sorted: false,
    };
    let spec = writer.write_page(CompressedPage::new(page, dictionary.plain.len()))?;
    let (mut compressed, mut uncompressed) = (spec.compressed_size, spec.uncompressed_size);
    let data_start = spec.bytes_written;
    let mut column_index = ColumnIndexBuilder::new(column.physical_type());
    let mut offset_index = OffsetIndexBuilder::new();
    let mut rows = 0;
    for page in pages {
        let data = Page::DataPage {
            buf: page.compressed.clone(),
            num_values: fit(page.rows),
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let spec = writer.write_page(CompressedPage::new(data, page.uncompressed_bytes))?;
        compressed += spec.compressed_size;
        uncompressed += spec.uncompressed_size;
        rows += page.rows;
        offset_index.append_row_count(fit(page.rows));
        offset_index.append_offset_and_size(spec.offset.cast_signed(), fit(spec.compressed_size));
        offset_index.append_unencoded_byte_array_data_bytes(page.text_bytes);
        match &page.bounds {
            Some((least, greatest)) => {
                column_index.append(false, least.clone(), greatest.clone(), fit(page.nulls), None);
            }
            None => column_index.to_invalid(),
        }
    }
    let text_bytes = pages.iter().map(|page| page.text_bytes).sum::<Option<i64>>();
    let metadata = ColumnChunkMetaData::builder(ColumnDescPtr::clone(column))
        .set_compression(zstd.codec()?)
        .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
        .set_page_encoding_stats(vec![
            PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 },
            PageEncodingStats {
                page_type: PageType::DATA_PAGE,
                encoding: Encoding::RLE_DICTIONARY,
                count: fit(pages.len()),
            },
        ])
        .set_total_compressed_size(fit(compressed))
        .set_total_uncompressed_size(fit(uncompressed))
        .set_num_values(fit(rows))
        .set_dictionary_page_offset(Some(0))
        .set_data_page_offset(data_start.cast_signed())
        .set_unencoded_byte_array_data_bytes(text_bytes)
        .set_statistics(statistics)
        .build()?;
    writer.close()?;
    let column_index = if column_index.valid() { Some(column_index.build()?) } else { None };
    let close = ColumnCloseResult {
        bytes_written: compressed as u64,
        rows_written: rows as u64,
        metadata,
        bloom_filter,
        column_index,
        offset_index: Some(offset_index.build()),
    };
    group.append_column(&Bytes::from(sink.into_inner()?), close)
}

/// Statistics of a text column.
pub(super) fn text_statistics(least: &str, greatest: &str) -> Statistics {
    let bytes = |text: &str| Some(ByteArray::from(text.as_bytes().to_vec()));
    Statistics::byte_array(bytes(least), bytes(greatest), None, Some(0), false)
}

/// Statistics of a whole-number column.
pub(super) fn number_statistics(column: &ColumnDescPtr, least: u64, greatest: u64) -> Statistics {
    // Parquet keeps unsigned numbers in its signed types, bit for bit; only the order by which the caller chose the
    // bounds differs.
    if column.physical_type() == Type::INT32 {
        let bits = |number: u64| {
            let number = u32::try_from(number).expect("the caller's numbers are of the column's width");
            Some(number.cast_signed())
        };
        Statistics::int32(bits(least), bits(greatest), None, Some(0), false)
    } else {
        let bits = |number: u64| Some(number.cast_signed());
        Statistics::int64(bits(least), bits(greatest), None, Some(0), false)
    }
}
