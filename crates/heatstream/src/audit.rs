//! `heatstream audit`: gathers the facts from archive and log, and shows what the ledger's audit makes of them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use heat_archive::{
    Archive, ArchiveError, Dataset, Location, TableRow, revision::Reason, verify::Fault as ArchiveFault,
};
use heat_codec::{dead_letter::DeadLetter, envelope::EnvelopeDecoder};
use heat_ledger::{
    admission::{Admission, Verdict},
    audit::{
        AuditReport, Difference, Evidence, GatewayBalance, HourBalance, Letters, Stage, Stretch, Upstream,
        audit,
    },
    commit::{CommitLedger, Fate},
    devices::DeviceTracker,
    redelivery::{Arrival, RedeliveryFilter},
    repeats::RepeatSettings,
};
use heat_log::{ConsumerSettings, EmbeddedSettings, Log, StartFrom, topics};
use heat_model::{
    Body, EventTime, FreshMask, GatewayId, IngestTime, Origin, PartitionId, record::NextOffset,
};
use heat_runtime::{ExitStatus, tasks::Chain};
use serde::Deserialize;

use crate::{
    Failure,
    cli::{AuditArguments, AuditBy},
    config::{Defaults, RawConfig},
    data_dir::DataDir,
    out::say,
};

pub(crate) async fn run(arguments: AuditArguments) -> Result<ExitStatus, Failure> {
    let window = Window::parse(&arguments)?;
    let (location, repeats, log) = match (&arguments.config, &arguments.data_dir) {
        (Some(path), _) => {
            let config = RawConfig::read(path)?.check(None, &Defaults::default())?;
            let log = if arguments.without_log {
                None
            } else {
                Some(config.shared.open_log().await.map_err(suggest_without_log)?)
            };
            (config.archiver.location.clone(), config.shared.repeats, log)
        }
        (None, base) => {
            let dir = DataDir::find(base.as_deref().unwrap_or(Path::new("heatstream-data")))?;
            let log = if arguments.without_log { None } else { Some(open_embedded(&dir)?) };
            (Location::from(dir.archive().display().to_string()), crate::up::REPEATS, log)
        }
    };
    let mut report = of_log(&location, repeats, log.as_ref()).await?;
    if let Some(log) = log {
        log.close(std::time::Duration::from_secs(5)).await;
    }
    window.cut(&mut report);
    show(&report, arguments.json);
    if !arguments.json && arguments.by == Some(AuditBy::Gateway) {
        show_gateways(&report);
    }
    if arguments.without_log && !arguments.json {
        say("without the log: what was not archived yet is not judged");
    }
    Ok(if report.balances() { ExitStatus::Done } else { ExitStatus::Data })
}

fn open_embedded(dir: &DataDir) -> Result<Log, Failure> {
    // Opening would make an empty log, and everything in it a loss.
    if !dir.log().is_dir() {
        let text = format!("{} has no log any more", dir.root().display());
        return Err(suggest_without_log(Failure::new(ExitStatus::Failed, text)));
    }
    match Log::open_embedded(EmbeddedSettings::new(dir.log())) {
        Ok(log) => Ok(log),
        Err(error @ heat_log::OpenError::InUse { .. }) => Err(Failure::new(
            ExitStatus::Failed,
            format!(
                "{error}; while `up` runs, ask its API: curl http://127.0.0.1:8080/api/v1/audit, or judge what is \
                 archived with --without-log"
            ),
        )),
        Err(error) => Err(suggest_without_log(error.into())),
    }
}

fn suggest_without_log(mut failure: Failure) -> Failure {
    failure.message.push_str("; --without-log judges by archive and ledger alone");
    failure
}

/// Hours of receipt to look at.
struct Window {
    from_us: i64,
    to_us: i64,
}

impl Window {
    fn parse(arguments: &AuditArguments) -> Result<Self, Failure> {
        let time = |text: &Option<String>, default: i64| match text {
            None => Ok(default),
            Some(text) => heat_codec::time_text::parse_rfc3339(text)
                .map(EventTime::as_micros)
                .map_err(|reason| Failure::new(ExitStatus::Usage, format!("{text:?}: {reason}"))),
        };
        Ok(Self { from_us: time(&arguments.from, i64::MIN)?, to_us: time(&arguments.to, i64::MAX)? })
    }

    fn cut(&self, report: &mut AuditReport) {
        if (self.from_us, self.to_us) != (i64::MIN, i64::MAX) {
            report.keep_hours(|hour| (self.from_us..self.to_us).contains(&hour));
        }
    }
}

/// The API's hook: audits and gives JSON.
pub(crate) fn source(location: Location, repeats: RepeatSettings, log: Log) -> heat_api::AuditSource {
    Arc::new(move || {
        let (location, log) = (location.clone(), log.clone());
        Box::pin(async move {
            let report = of_log(&location, repeats, Some(&log)).await.map_err(|failure| failure.message)?;
            serde_json::to_value(&report).map_err(|error| error.to_string())
        })
    })
}

/// Audits an archive, and what the log holds behind it; without the log, what is archived.
pub(crate) async fn of_log(
    location: &Location,
    repeats: RepeatSettings,
    log: Option<&Log>,
) -> Result<AuditReport, Failure> {
    let archive = Archive::open(location).await?;
    let mut evidence = Evidence { without_log: log.is_none(), ..Evidence::default() };
    let mut letters = LetterCounter::default();
    gather_archive(&archive, &mut evidence, &mut letters).await?;
    if let Some(log) = log {
        gather_log(&archive, log, repeats, &mut evidence, &mut letters).await?;
    }
    evidence.letters = letters.letters;
    Ok(audit(&evidence))
}

async fn gather_archive(
    archive: &Archive,
    evidence: &mut Evidence,
    letters: &mut LetterCounter,
) -> Result<(), Failure> {
    for (topic, partition) in archive.partitions().await? {
        for manifest in archive.manifests(&topic, partition).await? {
            if topic == topics::INPUT {
                // Verifying names the fault; without its ledger the commit's rows have nothing to balance with.
                match archive.ledger(&manifest).await {
                    Ok(ledger) => evidence.stretches.push(Stretch { partition, ledger, archived: true }),
                    Err(error @ (ArchiveError::Missing { .. } | ArchiveError::Manifest { .. })) => {
                        let what = Chain(&error).to_string();
                        evidence.faults.push(Difference { hour_start_us: None, stage: Stage::Archive, what });
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let view = archive.view(&topic, partition).await?;
        for (hour, rows) in view.written_readings() {
            *evidence.rows.entry(hour).or_default() += rows;
        }
        for reason in [Reason::Repeat, Reason::Expired, Reason::Erased] {
            for (hour, rows) in view.removed_readings(reason) {
                let held = evidence.rows.entry(hour).or_default();
                *held = held.saturating_sub(rows);
                let removed = evidence.removed.entry(hour).or_default();
                match reason {
                    Reason::Repeat => removed.repeats += rows,
                    Reason::Expired => removed.expired += rows,
                    Reason::Erased => removed.erased += rows,
                }
            }
        }
        for file in view.live().filter(|file| file.entry.dataset == Dataset::Rejected) {
            for (_, row) in archive.table_rows(&file.entry.path).await? {
                letters.count_row(partition, &row)?;
            }
        }
    }
    for fault in archive.verify().await?.faults {
        let hour_start_us = match &fault {
            ArchiveFault::Rows { hour_start_us, expected_rows, found_rows, .. } => {
                let rows = evidence.rows.entry(*hour_start_us).or_default();
                *rows = (*rows + found_rows).saturating_sub(*expected_rows);
                Some(*hour_start_us)
            }
            ArchiveFault::SetAside { path, hour_start_us, rows, .. } => {
                if Dataset::of_path(path).is_some_and(Dataset::holds_readings) {
                    let held = evidence.rows.entry(*hour_start_us).or_default();
                    *held = held.saturating_sub(*rows);
                }
                Some(*hour_start_us)
            }
            ArchiveFault::Chain { .. }
            | ArchiveFault::Manifest { .. }
            | ArchiveFault::Missing { .. }
            | ArchiveFault::Unreadable { .. }
            | ArchiveFault::Size { .. }
            | ArchiveFault::Metadata { .. }
            | ArchiveFault::Balance { .. }
            | ArchiveFault::Ledger { .. } => None,
        };
        evidence.faults.push(Difference { hour_start_us, stage: Stage::Archive, what: describe(&fault) });
    }
    Ok(())
}

/// A fault of the archive in one line.
pub(crate) fn describe(fault: &ArchiveFault) -> String {
    match fault {
        ArchiveFault::Chain { topic, partition, chain } => {
            format!("the commits of {topic}/{} do not form a chain: {chain:?}", partition.0)
        }
        ArchiveFault::Manifest { path, reason } => format!("{path} cannot be used: {reason}"),
        ArchiveFault::Missing { path } => format!("{path} is missing"),
        ArchiveFault::Unreadable { path, reason } => format!("{path} cannot be read: {reason}"),
        ArchiveFault::Size { path, expected_bytes, found_bytes } => {
            format!("{path} has {found_bytes} bytes, {expected_bytes} were written")
        }
        ArchiveFault::Metadata { path, key } => format!("{path} names another {key} than its manifest"),
        ArchiveFault::Rows { path, expected_rows, found_rows, .. } => match expected_rows.cmp(found_rows) {
            std::cmp::Ordering::Equal => format!("{path}: a row was altered ({found_rows} rows, as written)"),
            std::cmp::Ordering::Greater => {
                format!("{path}: {} rows were deleted", expected_rows - found_rows)
            }
            std::cmp::Ordering::Less => format!("{path}: {} rows were added", found_rows - expected_rows),
        },
        ArchiveFault::Balance {
            topic, partition, dataset, written_rows, held_rows, removed_rows, ..
        } => format!(
            "{topic}/{}: {written_rows} rows of {} were written, files hold {held_rows}, revisions left out \
             {removed_rows}",
            partition.0,
            dataset.folder()
        ),
        ArchiveFault::SetAside { path, to, reason, rows, .. } => {
            let lies = to.as_ref().map_or_else(|| "gone".to_owned(), |to| format!("now {to}"));
            format!("{rows} rows of {path} ({lies}) are missing until it is put back from a backup: {reason}")
        }
        ArchiveFault::Ledger { path } => format!("{path} is not the ledger that its manifest names"),
    }
}

#[derive(Deserialize)]
struct LetterCounts {
    messages: u64,
    readings: u64,
}

/// Counts dead letters, each once: a gateway that appends one again gives it the same number.
#[derive(Default)]
struct LetterCounter {
    seen: BTreeMap<PartitionId, RedeliveryFilter>,
    letters: BTreeMap<(GatewayId, u64, i64), Letters>,
}

impl LetterCounter {
    fn count_row(&mut self, partition: PartitionId, row: &TableRow) -> Result<(), Failure> {
        let counts: LetterCounts = serde_json::from_str(&row.json)?;
        let origin = Origin { gateway: GatewayId::new(&row.gateway)?, epoch: row.epoch, seq: row.seq };
        self.count(partition, &origin, row.ingest_time, counts);
        Ok(())
    }

    fn count(&mut self, partition: PartitionId, origin: &Origin, received: IngestTime, counts: LetterCounts) {
        if self.seen.entry(partition).or_default().observe(origin) == Arrival::Redelivered {
            return;
        }
        let key = (origin.gateway.clone(), origin.epoch, received.hour_start());
        let letters = self.letters.entry(key).or_default();
        letters.letters += 1;
        letters.messages += counts.messages;
        letters.readings += counts.readings;
    }
}

/// What lies in the log behind the archive's last commits.
async fn gather_log(
    archive: &Archive,
    log: &Log,
    repeats: RepeatSettings,
    evidence: &mut Evidence,
    letters: &mut LetterCounter,
) -> Result<(), Failure> {
    for number in 0..log.partitions(topics::INPUT).await? {
        let partition = PartitionId(number);
        let mut next = archive.view(topics::INPUT, partition).await?.next_offset();
        let end = log.bounds(topics::INPUT, partition).await?.end;
        if let Some(archived) = next.take_if(|archived| *archived > end) {
            let (archived, end) = (archived.0, end.0);
            let what = format!(
                "partition {number} is archived up to offset {archived}, and the log ends at {end}: it was replaced, and \
                 nothing of it is archived"
            );
            evidence.faults.push(Difference { hour_start_us: None, stage: Stage::Archiver, what });
        }
        let ledger = waiting(log, partition, next, repeats).await?;
        evidence.stretches.push(Stretch { partition, ledger, archived: false });
    }
    for number in 0..log.partitions(topics::REJECTED).await? {
        let partition = PartitionId(number);
        let bounds = log.bounds(topics::REJECTED, partition).await?;
        let next = archive.view(topics::REJECTED, partition).await?.next_offset().unwrap_or(bounds.first);
        let mut scan = log
            .scan(
                topics::REJECTED,
                partition,
                StartFrom::Offset(next.max(bounds.first)),
                bounds.end,
                ConsumerSettings::default(),
            )
            .await?;
        while let Some(records) = scan.next().await? {
            for record in records {
                let Ok(letter) = DeadLetter::decode(record.payload) else { continue };
                let counts = LetterCounts {
                    messages: u64::from(letter.messages),
                    readings: u64::from(letter.readings),
                };
                letters.count(partition, &letter.origin, letter.ingest_time, counts);
            }
        }
    }
    Ok(())
}

/// Counts the records of a partition that are not archived yet, with the same checks as the archiver's.
async fn waiting(
    log: &Log,
    partition: PartitionId,
    next: Option<NextOffset>,
    repeats: RepeatSettings,
) -> Result<CommitLedger, Failure> {
    let bounds = log.bounds(topics::INPUT, partition).await?;
    let next = next.unwrap_or(bounds.first);
    let from = Admission::read_back(&repeats, next).max(bounds.first);
    let mut scan = log
        .scan(topics::INPUT, partition, StartFrom::Offset(from), bounds.end, ConsumerSettings::default())
        .await?;
    let (mut admission, mut decoder) = (Admission::new(repeats), EnvelopeDecoder::default());
    let (mut fresh, mut ledger) = (FreshMask::all(), CommitLedger::default());
    let mut devices = DeviceTracker::default();
    while let Some(records) = scan.next().await? {
        for record in records {
            let Ok(envelope) = decoder.decode(record.payload) else {
                if record.offset.0 >= next.0 {
                    ledger.count_undecodable(record.append_time);
                }
                continue;
            };
            let verdict = admission.observe(record.offset, &envelope, &mut fresh);
            let numbered = match (&envelope.body, &envelope.network, verdict) {
                (Body::Readings(readings), Some(network), Verdict::Take) => {
                    let sequence = devices.observe(network, readings, envelope.messages);
                    sequence.map(|sequence| (network, readings, sequence))
                }
                _ => None,
            };
            if record.offset.0 < next.0 {
                continue;
            }
            let readings = match &envelope.body {
                Body::Readings(readings) => readings.readings.len() as u64,
                Body::Command(_)
                | Body::Ticket(_)
                | Body::Forecast(_)
                | Body::ModelActivated(_)
                | Body::Heartbeat(_) => 0,
            };
            let fate = match verdict {
                Verdict::Redelivered => Fate::Redelivered,
                Verdict::Take => Fate::New { kept: readings - u64::from(fresh.repeats()) },
            };
            ledger.count(&envelope, fate);
            if let Some((network, readings, sequence)) = numbered {
                ledger.count_device(envelope.ingest_time, sequence, || {
                    format!("{network}/{}/{}", readings.set.site, readings.set.device)
                });
            }
        }
    }
    Ok(ledger)
}

/// Shows a report for people, or as JSON.
pub(crate) fn show(report: &AuditReport, json: bool) {
    if json {
        say(serde_json::to_string_pretty(report).expect("a report has string keys only"));
        return;
    }
    say("audit by hour of receipt (UTC)");
    for hour in &report.hours {
        say(line(&time_of(hour.hour_start_us), hour));
    }
    say(line("total", &report.total));
    let by_hour: BTreeMap<Option<i64>, usize> =
        report.differences.iter().fold(BTreeMap::new(), |mut counts, difference| {
            *counts.entry(difference.hour_start_us).or_default() += 1;
            counts
        });
    if report.balances() {
        say("BALANCES: no reading was lost, invented or doubled");
    } else {
        say(format!("DOES NOT BALANCE: {} differences in {} hours", report.differences.len(), by_hour.len()));
    }
    show_upstream(&report.upstream);
    for difference in &report.differences {
        let hour = difference.hour_start_us.map_or_else(|| "no single hour".to_owned(), time_of);
        say(format!("  {hour}  {:?}: {}", difference.stage, difference.what));
    }
}

/// Each gateway's hours.
fn show_gateways(report: &AuditReport) {
    for GatewayBalance { gateway, hours, total } in &report.gateways {
        say(format!("gateway {gateway}"));
        for hour in hours {
            say(line(&time_of(hour.hour_start_us), hour));
        }
        say(line("all hours", total));
    }
}

fn show_upstream(upstream: &Upstream) {
    if upstream.messages == 0 {
        return;
    }
    if upstream.lost == 0 {
        say(format!("lost before the gateway: none, by {} numbered messages of devices", upstream.messages));
        return;
    }
    let worst: Vec<String> =
        upstream.worst.iter().map(|gaps| format!("{} {}", gaps.device, gaps.missing - gaps.late)).collect();
    let more = if upstream.more_devices { "at least " } else { "" };
    let rejected = match upstream.rejected_messages {
        0 => String::new(),
        count => format!("; {count} messages were rejected whole, their numbers may be among these"),
    };
    say(format!(
        "lost before the gateway: {} messages of {more}{} devices (worst: {}){rejected}",
        upstream.lost,
        upstream.devices,
        worst.join(", ")
    ));
}

fn time_of(hour_start_us: i64) -> String {
    heat_codec::time_text::rfc3339(EventTime::from_micros(hour_start_us)).get(..16).unwrap_or("").to_owned()
}

fn line(name: &str, hour: &HourBalance) -> String {
    let gone = match (hour.expired, hour.erased) {
        (0, 0) => String::new(),
        (expired, erased) => format!(" + expired {expired} + erased {erased}"),
    };
    format!(
        "  {name:<16}  messages: received {} = logged {} + rejected {} + queued {}\n{:18}  readings: received {} = \
         logged {} + rejected {} + queued {}; logged = archived {} + duplicate {} + queued {}{gone}",
        hour.messages_received,
        hour.messages_logged,
        hour.messages_rejected,
        hour.messages_queued,
        "",
        hour.readings_received,
        hour.readings_logged,
        hour.readings_rejected,
        hour.readings_queued,
        hour.archived,
        hour.duplicates,
        hour.waiting,
    )
}
