//! Column chunks with a dictionary, page by page, for columns whose distinct values the caller knows.
//!
//! The `parquet` crate's own dictionary encoder hashes every value of every row. Here the caller hands over indices:
//! a run (index, count) costs the same whatever its count, and indices that several columns share are encoded and
//! compressed once.

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
        writer::{SerializedPageWriter, TrackedWrite},
    },
    schema::types::ColumnDescPtr,
};

use super::{Group, page::IndexPage};

/// Rows of one page. Large, since a device's signals share times and sequence numbers, which zstd finds again only
/// within a page.
pub(super) const PAGE_ROWS: usize = 65_536;

/// One zstd context, used for all pages of a commit or of a merged date.
pub(crate) struct Zstd {
    compressor: zstd::bulk::Compressor<'static>,
    level: i32,
}

impl Zstd {
    pub(crate) fn new(level: i32) -> Result<Self> {
        let compressor = zstd::bulk::Compressor::new(level).map_err(external)?;
        Ok(Self { compressor, level })
    }

    /// Takes this level for what comes next.
    pub(super) fn set_level(&mut self, level: i32) -> Result<()> {
        if level != self.level {
            self.compressor.set_compression_level(level).map_err(external)?;
            self.level = level;
        }
        Ok(())
    }

    pub(super) fn compress(&mut self, bytes: &[u8]) -> Result<Bytes> {
        self.compressor.compress(bytes).map(Bytes::from).map_err(external)
    }

    pub(super) fn codec(&self) -> Result<Compression> {
        Ok(Compression::ZSTD(ZstdLevel::try_new(self.level)?))
    }
}

fn external(error: std::io::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
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

/// A count as a field of the format has it.
pub(super) fn fit<T: TryFrom<usize>>(count: usize) -> T {
    T::try_from(count).ok().expect("pages and chunks in memory are far smaller than the format's fields")
}

/// Tells whether a chunk may hold a text, wrongly in 1 % of cases.
pub(super) fn bloom_filter(texts: &[&str]) -> Result<Sbbf> {
    let mut filter = Sbbf::new_with_ndv_fpp(texts.len() as u64, 0.01)?;
    texts.iter().for_each(|text| filter.insert(*text));
    Ok(filter)
}

/// A column chunk, encoded, that is yet to stand in a file.
pub(super) struct Chunk {
    bytes: Bytes,
    close: ColumnCloseResult,
}

impl Chunk {
    pub(super) fn new(bytes: Vec<u8>, mut close: ColumnCloseResult) -> Result<Self> {
        let pages = close.offset_index.as_ref().map_or(0, |index| index.page_locations.len());
        let mut metadata = close.metadata.into_builder();
        // Of a single page the index and the statistics of encodings say what the chunk's own metadata say.
        if pages == 1 {
            close.offset_index = None;
            close.column_index = None;
            metadata = metadata.clear_page_encoding_stats();
        }
        close.metadata = metadata.build()?;
        Ok(Self { bytes: bytes.into(), close })
    }

    /// Bytes that it takes in a file, without the footer's.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn gains_by_compression(&self) -> bool {
        self.close.metadata.compressed_size() < self.close.metadata.uncompressed_size()
    }

    /// The smaller of two; the first where they are alike.
    pub(super) fn or_smaller(self, other: Self) -> Self {
        if other.len() < self.len() { other } else { self }
    }

    pub(super) fn append(self, group: &mut Group<'_>) -> Result<()> {
        group.append_column(&self.bytes, self.close)
    }
}

/// Encodes a column chunk: the dictionary, then the pages.
pub(super) fn of_dictionary(
    column: &ColumnDescPtr,
    zstd: &mut Zstd,
    dictionary: &Dictionary,
    pages: &[IndexPage],
    statistics: Statistics,
    bloom_filter: Option<Sbbf>,
) -> Result<Chunk> {
    let coded = Coded::of(zstd, dictionary, pages)?;
    let mut sink = TrackedWrite::new(Vec::new());
    let mut writer = SerializedPageWriter::new(&mut sink);
    let page = Page::DictionaryPage {
        buf: coded.dictionary,
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
    for (page, buf) in pages.iter().zip(coded.pages) {
        let data = Page::DataPage {
            buf,
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
        .set_compression(coded.codec)
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
    Chunk::new(sink.into_inner()?, close)
}

/// What a chunk's pages are made of, compressed, or as it is where that takes less: a frame of zstd alone is 9 bytes.
struct Coded {
    codec: Compression,
    dictionary: Bytes,
    pages: Vec<Bytes>,
}

impl Coded {
    fn of(zstd: &mut Zstd, dictionary: &Dictionary, pages: &[IndexPage]) -> Result<Self> {
        let compressed = Self {
            codec: zstd.codec()?,
            dictionary: zstd.compress(&dictionary.plain)?,
            pages: pages.iter().map(|page| page.compressed.clone()).collect(),
        };
        let Some(stored) = pages.iter().map(|page| page.stored.clone()).collect::<Option<Vec<Bytes>>>()
        else {
            return Ok(compressed);
        };
        let stored_bytes = dictionary.plain.len() + stored.iter().map(Bytes::len).sum::<usize>();
        if compressed.dictionary.len() + compressed.pages.iter().map(Bytes::len).sum::<usize>() < stored_bytes
        {
            return Ok(compressed);
        }
        let dictionary = Bytes::copy_from_slice(&dictionary.plain);
        Ok(Self { codec: Compression::UNCOMPRESSED, dictionary, pages: stored })
    }
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
