//! The columns of one row group, in the order of the schema.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parquet::{errors::Result, file::statistics::Statistics, schema::types::ColumnDescPtr};

use super::{
    Group, Shared,
    by_row::{ByRow, Optional},
    chunk::{self, Dictionary, PAGE_ROWS, Zstd},
    lane_word,
    page::{self, IndexPage},
    pairs::Pairs,
    runs_by,
};
use crate::buffer::{Message, Row, Signal};

/// A message's columns are written by dictionary if messages have at least so many rows each.
const ROWS_PER_MESSAGE_MIN: usize = 4;

/// A row group that is weighed and has no more rows takes a level of zstd at which its matches are sought hard: some
/// milliseconds for a date, where it would take seconds for a city's.
const SMALL_ROWS: usize = 4_096;
const SMALL_ZSTD_LEVEL: i32 = 15;

/// Writes all columns of a row group.
pub(super) fn write_group(
    group: &mut Group<'_>,
    columns: &[ColumnDescPtr],
    zstd: &mut Zstd,
    shared: &Shared<'_>,
    signals: &[(&Signal, usize)],
    rows: &[Row],
) -> Result<()> {
    let is_small = shared.weighs && rows.len() <= SMALL_ROWS;
    zstd.set_level(if is_small { shared.zstd_level.max(SMALL_ZSTD_LEVEL) } else { shared.zstd_level })?;
    let by_row = ByRow::new(zstd.codec()?);
    let mut writer =
        GroupWriter { group, columns: columns.iter(), zstd, by_row, weighs: shared.weighs, is_small };
    let messages = Messages::of(shared.messages, rows);
    let message_pages = messages.pages(writer.zstd)?;
    let mut values = Values::of(rows);

    writer.texts(signals.iter().map(|(signal, rows)| (signal.network.as_str(), *rows)))?;
    writer.texts(signals.iter().map(|(signal, rows)| (&*signal.site, *rows)))?;
    writer.texts(signals.iter().map(|(signal, rows)| (&*signal.device, *rows)))?;
    writer.texts(signals.iter().map(|(signal, rows)| (&*signal.name, *rows)))?;
    writer.texts_with_filter(signals.iter().map(|(signal, rows)| (&*signal.id, *rows)))?;
    writer.rows_as_numbers(&rows.iter().map(|row| row.event_time).collect::<Vec<_>>())?;
    writer.message_numbers(&messages, message_pages.as_deref(), |message| message.ingest_time)?;
    writer.message_numbers(&messages, message_pages.as_deref(), |message| message.append_time)?;
    writer.values(&mut values, Side::Value)?;
    writer.texts(signals.iter().map(|(signal, rows)| (&*signal.unit, *rows)))?;
    writer.values(&mut values, Side::Raw)?;
    writer.texts(signals.iter().map(|(signal, rows)| (&*signal.raw_unit, *rows)))?;
    let flags = runs_by(rows, Row::flags);
    writer.texts(flags.iter().map(|&((quality, code), rows)| (Row::words(quality, code).0, rows)))?;
    writer.texts(flags.iter().map(|&((quality, code), rows)| (Row::words(quality, code).1, rows)))?;
    let lanes = messages.runs(|message| message.lane);
    writer.texts(lanes.iter().map(|&(lane, rows)| (lane_word(lane), rows)))?;
    let gateways = messages.runs(|message| message.gateway);
    writer.texts(gateways.iter().map(|&(gateway, rows)| (shared.gateways[gateway as usize], rows)))?;
    writer.number_runs(messages.runs(|message| message.epoch).into_iter())?;
    writer.message_numbers(&messages, message_pages.as_deref(), |message| as_signed(message.seq))?;
    writer.number_runs(std::iter::once((u64::from(shared.partition), rows.len())))?;
    writer.message_numbers(&messages, message_pages.as_deref(), |message| as_signed(message.offset))
}

/// Parquet keeps unsigned numbers in its signed types, bit for bit.
const fn as_signed(number: u64) -> i64 {
    number.cast_signed()
}

struct GroupWriter<'a, 'g> {
    group: &'a mut Group<'g>,
    columns: std::slice::Iter<'a, ColumnDescPtr>,
    zstd: &'a mut Zstd,
    by_row: ByRow,
    weighs: bool,
    is_small: bool,
}

impl GroupWriter<'_, '_> {
    fn next_column(&mut self) -> ColumnDescPtr {
        ColumnDescPtr::clone(
            self.columns.next().expect("write_group writes as many columns as the schema has"),
        )
    }

    /// A text column given as runs.
    fn texts<'t>(&mut self, runs: impl Iterator<Item = (&'t str, usize)>) -> Result<()> {
        self.write_texts(runs, false)
    }

    /// The same with a Bloom filter, where there is a choice.
    fn texts_with_filter<'t>(&mut self, runs: impl Iterator<Item = (&'t str, usize)>) -> Result<()> {
        self.write_texts(runs, true)
    }

    fn write_texts<'t>(
        &mut self,
        runs: impl Iterator<Item = (&'t str, usize)>,
        with_filter: bool,
    ) -> Result<()> {
        let column = self.next_column();
        let texts = Distinct::of(runs);
        let mut dictionary = Dictionary::default();
        texts.values.iter().for_each(|text| dictionary.push_text(text));
        let mut pages = Vec::new();
        for page in paged(&texts.runs) {
            let text = |index: u32| texts.values[index as usize];
            let (least, greatest) = bounds(page.iter().map(|&(index, _)| text(index)));
            let text_bytes = page.iter().map(|&(index, rows)| text(index).len() * rows).sum();
            let encoded = page::of_runs(self.zstd, texts.values.len(), &page)?
                .with_bounds(least.as_bytes().to_vec(), greatest.as_bytes().to_vec())
                .with_text_bytes(text_bytes);
            pages.push(encoded);
        }
        let (least, greatest) = bounds(texts.values.iter().copied());
        let statistics = chunk::text_statistics(least, greatest);
        let filter = (with_filter && texts.values.len() > 1).then(|| chunk::bloom_filter(&texts.values));
        chunk::of_dictionary(&column, self.zstd, &dictionary, &pages, statistics, filter.transpose()?)?
            .append(self.group)
    }

    /// A column of unsigned numbers given as runs.
    fn number_runs(&mut self, runs: impl Iterator<Item = (u64, usize)>) -> Result<()> {
        let column = self.next_column();
        let numbers = Distinct::of(runs);
        let pages = paged(&numbers.runs)
            .iter()
            .map(|page| page::of_runs(self.zstd, numbers.values.len(), page))
            .collect::<Result<Vec<_>>>()?;
        let (least, greatest) = bounds(numbers.values.iter().copied());
        let statistics = chunk::number_statistics(&column, least, greatest);
        let dictionary = Dictionary::of_numbers(&column, &numbers.values);
        chunk::of_dictionary(&column, self.zstd, &dictionary, &pages, statistics, None)?.append(self.group)
    }

    fn rows_as_numbers(&mut self, values: &[i64]) -> Result<()> {
        let column = self.next_column();
        self.by_row.numbers(&column, values)?.append(self.group)
    }

    /// A column that depends on the message.
    fn message_numbers(
        &mut self,
        messages: &Messages<'_>,
        pages: Option<&[IndexPage]>,
        field: impl Fn(&Message) -> i64,
    ) -> Result<()> {
        let by_row = || messages.by_row().map(&field).collect::<Vec<i64>>();
        let Some(pages) = pages else { return self.rows_as_numbers(&by_row()) };
        let column = self.next_column();
        let values: Vec<i64> =
            messages.used.iter().map(|&message| field(&messages.all[message as usize])).collect();
        let dictionary = Dictionary::of_u64(values.iter().map(|value| value.cast_unsigned()));
        let (least, greatest) = bounds(values.iter().copied());
        let statistics = Statistics::int64(Some(least), Some(greatest), None, Some(0), false);
        let mut chunk = chunk::of_dictionary(&column, self.zstd, &dictionary, pages, statistics, None)?;
        if self.weighs {
            chunk = chunk.or_smaller(self.by_row.numbers(&column, &by_row())?);
        }
        chunk.append(self.group)
    }

    fn values(&mut self, values: &mut Values<'_>, side: Side) -> Result<()> {
        let column = self.next_column();
        let rows = values.rows;
        let by_row = || Optional::of(rows.iter().map(|row| side.of((row.raw, row.value))));
        let mut chunk = match &values.pairs {
            None => self.by_row.values(&column, &by_row())?,
            Some(pairs) => {
                let pages = match values.shared_pages.take() {
                    Some(pages) => pages,
                    None => side.pages(self.zstd, pairs)?,
                };
                let dictionary =
                    Dictionary::of_u64(pairs.entries.iter().map(|&pair| side.of(pair).to_bits()));
                let statistics = side.statistics(pairs);
                let chunk = chunk::of_dictionary(&column, self.zstd, &dictionary, &pages, statistics, None)?;
                if values.same_nulls {
                    values.shared_pages = Some(pages);
                }
                chunk
            }
        };
        if self.is_small {
            chunk = chunk.or_smaller(self.by_row.plain_values(&column, &by_row())?);
        }
        chunk.append(self.group)
    }
}

/// Distinct values in order of their first appearance, and runs of indices into them.
struct Distinct<T> {
    values: Vec<T>,
    runs: Vec<(u32, usize)>,
}

impl<T: Copy + Eq + std::hash::Hash> Distinct<T> {
    fn of(runs: impl Iterator<Item = (T, usize)>) -> Self {
        let mut distinct = Self { values: Vec::new(), runs: Vec::new() };
        let mut index_of = HashMap::with_hasher(FixedState::default());
        for (value, rows) in runs {
            if let Some(last) = distinct.runs.last_mut()
                && distinct.values[last.0 as usize] == value
            {
                last.1 += rows;
                continue;
            }
            let next = u32::try_from(distinct.values.len()).expect("fewer distinct values than rows");
            let index = *index_of.entry(value).or_insert(next);
            if index == next {
                distinct.values.push(value);
            }
            distinct.runs.push((index, rows));
        }
        distinct
    }
}

/// Least and greatest.
fn bounds<T: Ord + Copy>(values: impl Iterator<Item = T> + Clone) -> (T, T) {
    let least = values.clone().min().expect("row groups and pages have rows");
    (least, values.max().expect("row groups and pages have rows"))
}

/// Cuts runs into pages.
fn paged(runs: &[(u32, usize)]) -> Vec<Vec<(u32, usize)>> {
    let mut pages = Vec::new();
    let mut page = Vec::new();
    let mut room = PAGE_ROWS;
    for &(index, mut rows) in runs {
        while rows > 0 {
            let now = rows.min(room);
            page.push((index, now));
            rows -= now;
            room -= now;
            if room == 0 {
                pages.push(std::mem::take(&mut page));
                room = PAGE_ROWS;
            }
        }
    }
    if !page.is_empty() {
        pages.push(page);
    }
    pages
}

/// The messages that a row group's rows came with.
struct Messages<'a> {
    all: &'a [Message],
    rows: &'a [Row],
    /// Those used, in order of the log.
    used: Vec<u32>,
    /// The same by bit, 64 messages to a word, with the number used before the word.
    words: Vec<(u64, u32)>,
}

impl<'a> Messages<'a> {
    fn of(all: &'a [Message], rows: &'a [Row]) -> Self {
        let mut words = vec![(0_u64, 0_u32); all.len().div_ceil(64)];
        for row in rows {
            words[row.message as usize / 64].0 |= 1 << (row.message % 64);
        }
        let mut used = Vec::new();
        for (first, (bits, before)) in (0_u32..).step_by(64).zip(&mut words) {
            *before = u32::try_from(used.len()).expect("messages are counted in u32");
            let mut rest = *bits;
            while rest != 0 {
                used.push(first + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        Self { all, rows, used, words }
    }

    /// Place in `used` of a message that is.
    fn place(&self, message: u32) -> u32 {
        let (bits, before) = self.words[message as usize / 64];
        before + (bits & ((1 << (message % 64)) - 1)).count_ones()
    }

    fn by_row(&self) -> impl Iterator<Item = &Message> {
        self.rows.iter().map(|row| &self.all[row.message as usize])
    }

    /// The rows' indices into the messages, if writing the messages' columns by dictionary pays.
    fn pages(&self, zstd: &mut Zstd) -> Result<Option<Vec<IndexPage>>> {
        if self.rows.len() < self.used.len() * ROWS_PER_MESSAGE_MIN {
            return Ok(None);
        }
        let mut indices = Vec::with_capacity(PAGE_ROWS.min(self.rows.len()));
        let mut pages = Vec::new();
        for rows in self.rows.chunks(PAGE_ROWS) {
            indices.clear();
            indices.extend(rows.iter().map(|row| self.place(row.message)));
            pages.push(page::of_indices(zstd, self.used.len(), &indices)?);
        }
        Ok(Some(pages))
    }

    /// Runs of a field that rarely changes.
    fn runs<K: PartialEq + Copy>(&self, field: impl Fn(&Message) -> K) -> Vec<(K, usize)> {
        let first = field(&self.all[self.used[0] as usize]);
        if self.used.iter().all(|&message| field(&self.all[message as usize]) == first) {
            return vec![(first, self.rows.len())];
        }
        runs_by(self.rows, |row| field(&self.all[row.message as usize]))
    }
}

/// `value` and `raw_value` of a row group.
struct Values<'a> {
    rows: &'a [Row],
    pairs: Option<Pairs>,
    /// Whether both columns are null in the same rows, so that they may share their pages.
    same_nulls: bool,
    shared_pages: Option<Vec<IndexPage>>,
}

impl<'a> Values<'a> {
    fn of(rows: &'a [Row]) -> Self {
        let pairs = Pairs::of(rows);
        let same_nulls = pairs
            .as_ref()
            .is_some_and(|pairs| pairs.entries.iter().all(|(raw, value)| raw.is_nan() == value.is_nan()));
        Self { rows, pairs, same_nulls, shared_pages: None }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Raw,
    Value,
}

impl Side {
    const fn of(self, (raw, value): (f64, f64)) -> f64 {
        match self {
            Self::Raw => raw,
            Self::Value => value,
        }
    }

    fn pages(self, zstd: &mut Zstd, pairs: &Pairs) -> Result<Vec<IndexPage>> {
        let present: Vec<bool> = pairs.entries.iter().map(|&pair| !self.of(pair).is_nan()).collect();
        let mut pages = Vec::new();
        for indices in pairs.indices.chunks(PAGE_ROWS) {
            let is_present = indices.iter().map(|&index| present[index as usize]);
            let page = if present.iter().all(|&p| p) {
                page::of_optional(zstd, present.len(), is_present, indices)?
            } else {
                let of_present: Vec<u32> =
                    indices.iter().copied().filter(|&index| present[index as usize]).collect();
                page::of_optional(zstd, present.len(), is_present, &of_present)?
            };
            pages.push(page);
        }
        Ok(pages)
    }

    fn statistics(self, pairs: &Pairs) -> Statistics {
        let numbers = || pairs.entries.iter().map(|&pair| self.of(pair)).filter(|number| !number.is_nan());
        // Parquet's rule for floating point: a zero bound takes the sign that widens the range.
        let least = numbers().min_by(f64::total_cmp).map(|least| if least == 0.0 { -0.0 } else { least });
        let greatest = numbers().max_by(f64::total_cmp).map(|most| if most == 0.0 { 0.0 } else { most });
        let nulls = pairs.indices.iter().filter(|&&i| self.of(pairs.entries[i as usize]).is_nan()).count();
        Statistics::double(least, greatest, None, Some(nulls as u64), false)
    }
}
