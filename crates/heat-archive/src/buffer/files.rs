//! From the buffer's rows to files.

use std::ops::Range;

use heat_model::NetworkId;

use super::{Buffer, Row, Signal};
use crate::{digest::HourDigests, layout::Dataset};

/// Rows of one file: buckets of one data set, network and day, in order of the signal.
#[derive(Debug)]
pub(crate) struct FileRows<'a> {
    pub(crate) dataset: Dataset,
    pub(crate) network: &'a NetworkId,
    pub(crate) day: i64,
    /// The signals in order, each with its number of rows.
    pub(crate) runs: Vec<(&'a Signal, usize)>,
    /// The rows in order of (signal, event time).
    pub(crate) rows: Vec<Row>,
    pub(crate) hours: &'a HourDigests,
}

/// Places of the rows, bucket by bucket; the log's order within a bucket.
struct Sorted {
    /// The buckets, file by file.
    order: Vec<u32>,
    /// Where each bucket's rows end in `places`.
    ends: Vec<usize>,
    places: Vec<u32>,
}

impl Buffer {
    /// Brings the order of signals up to date; to be called before [`Self::files`].
    pub(crate) fn rank_signals(&mut self) {
        if self.ranks.len() == self.known.len() {
            return;
        }
        let mut order: Vec<u32> =
            (0..u32::try_from(self.known.len()).expect("the memory of signals is bounded")).collect();
        order.sort_unstable_by_key(|&signal| {
            let signal = &self.known[signal as usize].signal;
            (&signal.id, &signal.unit, &signal.raw_unit)
        });
        self.ranks.resize(order.len(), 0);
        for (rank, &signal) in (0_u32..).zip(&order) {
            self.ranks[signal as usize] = rank;
        }
    }

    /// The rows, file by file, in order of (data set, network, day); each file's rows sorted by signal and event time. The
    /// buffer keeps them until [`Self::clear`].
    pub(crate) fn files(&self) -> impl Iterator<Item = FileRows<'_>> {
        let sorted = self.sorted_rows();
        let (mut bucket, mut row) = (0, 0);
        std::iter::from_fn(move || {
            let rest = &sorted.order[bucket..];
            let file = self.buckets[*rest.first()? as usize].file;
            let count = rest.iter().take_while(|&&bucket| self.buckets[bucket as usize].file == file).count();
            let end = sorted.ends[rest[count - 1] as usize];
            let rows = self.file_rows(file, &rest[..count], &sorted, row..end);
            (bucket, row) = (bucket + count, end);
            Some(rows)
        })
    }

    /// The buckets in order of (data set, network, day, signal).
    fn order(&self) -> Vec<u32> {
        let mut folders: Vec<usize> = (0..self.folders.len()).collect();
        folders.sort_unstable_by_key(|&folder| {
            let folder = &self.folders[folder];
            (folder.dataset, &folder.network, folder.day)
        });
        let mut place = vec![0; folders.len()];
        for (at, &folder) in (0_u32..).zip(&folders) {
            place[folder] = at;
        }
        let mut order: Vec<u32> = (0_u32..).take(self.buckets.len()).collect();
        order.sort_unstable_by_key(|&bucket| {
            let bucket = self.buckets[bucket as usize];
            (place[bucket.file as usize], self.ranks[bucket.signal as usize])
        });
        order
    }

    /// A counting sort by bucket.
    fn sorted_rows(&self) -> Sorted {
        let order = self.order();
        let mut counts = vec![0_usize; self.buckets.len()];
        for row in &self.rows {
            counts[row.bucket()] += 1;
        }
        let mut ends = counts;
        let mut at = 0;
        for &bucket in &order {
            let start = at;
            at += ends[bucket as usize];
            ends[bucket as usize] = start;
        }
        let mut places = vec![0_u32; self.rows.len()];
        for (place, row) in (0_u32..).zip(&self.rows) {
            let end = &mut ends[row.bucket()];
            places[*end] = place;
            *end += 1;
        }
        Sorted { order, ends, places }
    }

    fn file_rows(&self, file: u32, buckets: &[u32], sorted: &Sorted, of_file: Range<usize>) -> FileRows<'_> {
        let mut rows: Vec<Row> = Vec::with_capacity(of_file.len());
        let mut runs = Vec::with_capacity(buckets.len());
        let mut begin = of_file.start;
        for &bucket in buckets {
            let end = sorted.ends[bucket as usize];
            let start = rows.len();
            rows.extend(sorted.places[begin..end].iter().map(|&place| self.rows[place as usize]));
            let of_signal = &mut rows[start..];
            if !of_signal.is_sorted_by_key(|row| row.event_time) {
                of_signal.sort_by_key(|row| row.event_time);
            }
            let signal = self.buckets[bucket as usize].signal;
            runs.push((&self.known[signal as usize].signal, end - begin));
            begin = end;
        }
        let folder = &self.folders[file as usize];
        let (dataset, network, day) = (folder.dataset, &folder.network, folder.day);
        FileRows { dataset, network, day, runs, rows, hours: &folder.hours }
    }
}
