//! Replays labelled scenarios of the outside simulator through the core and scores the alarms.
//!
//! `cargo run --example heatnet -- FOLDER...`; a folder holds readings.csv(.gz), mapping.toml, plant/, labels.csv and
//! fast/. Append time is event time. Labels are used for scoring only.
#![expect(clippy::print_stdout, reason = "an example prints its table")]

use std::{collections::BTreeMap, error::Error, path::Path, process::Command, sync::Arc};

use heat_detect::{
    DetectSettings, Output, PartitionCore,
    scoring::{self, Alarm, Event},
};
use heat_model::{
    AppendTime, Body, Envelope, EventTime, FreshMask, GatewayId, IngestTime, Lane, NetworkId, Offset, Origin,
    PartitionId, Position, Quality, QualityCode, Reading, SignalDecl, SignalSet, SignalSetId,
    incident::{ChangeKind, Class},
    plant::{Circuit, Network, Node, Pipe, PlantModel, Side, Site, SiteKind},
    record::Readings,
    unit::Unit,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const WARM_UP_US: i64 = 14 * 24 * 3_600_000_000;

fn text(path: &Path) -> Result<String> {
    if path.is_file() {
        return Ok(std::fs::read_to_string(path)?);
    }
    let packed = path.with_extension("csv.gz");
    let output = Command::new("zcat").arg(&packed).output()?;
    if !output.status.success() {
        return Err(format!("cannot read {} or {}", path.display(), packed.display()).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Rows of a CSV without quotes, by column name.
fn table(path: &Path) -> Result<Vec<BTreeMap<String, String>>> {
    let text = text(path)?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().ok_or("no header")?.split(',').collect();
    Ok(lines
        .map(|line| {
            header.iter().zip(line.split(',')).map(|(k, v)| ((*k).to_owned(), v.to_owned())).collect()
        })
        .collect())
}

/// Seconds since the epoch of `YYYY-MM-DDTHH:MM:SS`, as if it were UTC (days from civil, Hinnant).
fn seconds(text: &str) -> Result<i64> {
    let part =
        |range: std::ops::Range<usize>| -> Result<i64> { Ok(text.get(range).ok_or("short time")?.parse()?) };
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    Ok(days * 86_400 + part(11..13)? * 3_600 + part(14..16)? * 60 + part(17..19)?)
}

/// With offset, as labels have it.
fn seconds_with_offset(text: &str) -> Result<i64> {
    let offset = text.get(19..).ok_or("no offset")?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let hours: i64 = offset.get(1..3).ok_or("no offset")?.parse()?;
    let minutes: i64 = offset.get(4..6).ok_or("no offset")?.parse()?;
    Ok(seconds(text)? - sign * (hours * 3_600 + minutes * 60))
}

struct Scenario {
    network: String,
    plant: PlantModel,
    sets: Vec<Arc<SignalSet>>,
    /// Time in seconds, set, readings.
    rows: Vec<(i64, usize, Vec<Reading>)>,
    events: Vec<Event>,
}

fn optional(row: &BTreeMap<String, String>, column: &str) -> Option<f64> {
    row.get(column)?.parse().ok()
}

fn plant(folder: &Path, network: &NetworkId) -> Result<PlantModel> {
    let mut plant = PlantModel::default();
    plant.networks.push(Network {
        id: network.clone(),
        name: None,
        medium: None,
        time_zone: None,
        operator: None,
        district: None,
    });
    for row in table(&folder.join("circuits.csv"))? {
        plant.circuits.push(Circuit {
            id: row["id"].parse()?,
            network: network.clone(),
            kind: None,
            medium: None,
            converted_on: None,
            water_volume_m3: optional(&row, "water_volume_m3"),
            design_flow_kg_s: None,
            topped_up_from: None,
        });
    }
    for row in table(&folder.join("nodes.csv"))? {
        plant.nodes.push(Node {
            id: row["id"].parse()?,
            network: None,
            x_m: optional(&row, "x_m"),
            y_m: optional(&row, "y_m"),
            elevation_m: optional(&row, "elevation_m"),
        });
    }
    for row in table(&folder.join("sites.csv"))? {
        plant.sites.push(Site {
            id: row["id"].parse()?,
            network: Some(network.clone()),
            kind: match row["kind"].as_str() {
                "source" => Some(SiteKind::Source),
                "station" => Some(SiteKind::Station),
                "chamber" => Some(SiteKind::Chamber),
                "building" => Some(SiteKind::Building),
                _ => None,
            },
            node: row["node"].parse().ok(),
            parent: row.get("parent").and_then(|parent| parent.parse().ok()),
            name: None,
            operator: None,
            district: None,
            heated_area_m2: optional(&row, "heated_area_m2"),
            households: None,
            lon: None,
            lat: None,
            crs: None,
        });
    }
    for row in table(&folder.join("pipes.csv"))? {
        plant.pipes.push(Pipe {
            id: row["id"].parse()?,
            circuit: row["circuit"].parse()?,
            from: row["from"].parse()?,
            to: row["to"].parse()?,
            length_m: optional(&row, "length_m"),
            inner_diameter_mm: optional(&row, "inner_diameter_mm"),
            roughness_mm: optional(&row, "roughness_mm"),
            side: Some(if row["side"] == "return" { Side::Return } else { Side::Supply }),
            material: None,
            laid_year: None,
            depth_m: None,
        });
    }
    Ok(plant)
}

fn load(folder: &Path) -> Result<Scenario> {
    let mapping = std::fs::read_to_string(folder.join("mapping.toml"))?;
    let field = |line: &str, key: &str| {
        line.strip_prefix(key)?.trim_start().strip_prefix('=').map(|v| v.trim().trim_matches('"').to_owned())
    };
    let network: String = mapping.lines().find_map(|line| field(line, "network")).ok_or("no network")?;
    let zone = mapping.lines().find_map(|line| field(line, "zone")).ok_or("no zone")?;
    // The scenarios lie in one winter each: no change of summer time.
    let offset = if zone.starts_with("Europe") { 3_600 } else { 8 * 3_600 };
    let id: NetworkId = network.parse()?;
    let units: BTreeMap<String, String> = mapping
        .split("[[columns]]")
        .skip(1)
        .filter_map(|block| {
            let get = |key: &str| block.lines().find_map(|line| field(line, key));
            Some((get("column")?, get("unit")?))
        })
        .collect();

    let mut sets: Vec<Arc<SignalSet>> = Vec::new();
    let mut set_of: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut files = vec![folder.join("readings.csv")];
    if let Ok(fast) = std::fs::read_dir(folder.join("fast")) {
        let mut names: Vec<_> = fast.filter_map(|entry| Some(entry.ok()?.path())).collect();
        names.sort();
        files.extend(names.into_iter().filter(|path| path.to_string_lossy().contains(".csv")).map(|path| {
            let name = path.to_string_lossy().replace(".csv.gz", ".csv");
            std::path::PathBuf::from(name)
        }));
    }
    // First pass over the headers: one set a device over all files.
    let mut declared: BTreeMap<(String, String), Vec<SignalDecl>> = BTreeMap::new();
    let texts: Vec<String> = files.iter().map(|file| text(file)).collect::<Result<_>>()?;
    for text in &texts {
        for column in text.lines().next().unwrap_or_default().split(',').skip(1) {
            let parts: Vec<&str> = column.split('.').collect();
            let unit = units.get(column).map_or("1", String::as_str);
            let (si, scale, shift) = Unit::parse(unit)
                .map_or((unit, 1.0, 0.0), |unit| (unit.dimension.si(), unit.scale, unit.offset));
            let list = declared.entry((parts[0].to_owned(), parts[1].to_owned())).or_default();
            if !list.iter().any(|decl| decl.name.as_str() == parts[2]) {
                list.push(SignalDecl {
                    name: parts[2].parse()?,
                    unit: si.into(),
                    raw_unit: unit.into(),
                    scale,
                    offset: shift,
                });
            }
        }
    }
    for ((site, device), signals) in declared {
        set_of.insert((site.clone(), device.clone()), sets.len());
        sets.push(Arc::new(SignalSet {
            id: SignalSetId(sets.len() as u64),
            network: id.clone(),
            site: site.parse()?,
            device: device.parse()?,
            signals,
        }));
    }
    for text in &texts {
        let mut lines = text.lines();
        let mut places = Vec::new();
        for column in lines.next().unwrap_or_default().split(',').skip(1) {
            let parts: Vec<&str> = column.split('.').collect();
            let set = set_of[&(parts[0].to_owned(), parts[1].to_owned())];
            let index = sets[set]
                .signals
                .iter()
                .position(|decl| decl.name.as_str() == parts[2])
                .ok_or("no signal")?;
            places.push((set, u32::try_from(index)?));
        }
        for line in lines {
            let mut cells = line.split(',');
            let at = seconds(cells.next().ok_or("no time")?)? - offset;
            let mut row: BTreeMap<usize, Vec<Reading>> = BTreeMap::new();
            for ((set, signal), cell) in places.iter().zip(cells) {
                if let Ok(raw) = cell.parse::<f64>() {
                    row.entry(*set).or_default().push(Reading {
                        signal: *signal,
                        event_time: EventTime::from_micros(at * 1_000_000),
                        raw,
                        value: sets[*set].signals[*signal as usize].value_of(raw),
                        quality: Quality::Good,
                        code: QualityCode::None,
                    });
                }
            }
            rows.extend(row.into_iter().map(|(set, readings)| (at, set, readings)));
        }
    }
    rows.sort_by_key(|(at, set, _)| (*at, *set));
    let mut events = Vec::new();
    for row in table(&folder.join("labels.csv"))? {
        events.push(Event {
            class: row["class"].clone(),
            network: row["network"].clone(),
            on_us: seconds_with_offset(&row["start"])? * 1_000_000,
            off_us: seconds_with_offset(&row["end"])? * 1_000_000,
            place: row["place"].clone(),
            size_kg_s: optional(&row, "size_kg_s"),
        });
    }
    Ok(Scenario { plant: plant(&folder.join("plant"), &id)?, network, sets, rows, events })
}

struct Run {
    alarms: Vec<Alarm>,
    /// Last ranking within 10 min (burst) or 24 h (leak) of emission.
    later: Vec<Vec<String>>,
    others: BTreeMap<&'static str, u32>,
    from_us: i64,
    to_us: i64,
}

fn run(scenario: &Scenario, verbose: bool) -> Result<Run> {
    let mut core = PartitionCore::new(DetectSettings::default(), Arc::new(scenario.plant.clone()));
    let gateway = GatewayId::new("replay")?;
    let network: NetworkId = scenario.network.parse()?;
    let mut out = Vec::new();
    let mut now = scenario.rows.first().map_or(0, |row| row.0);
    let from_us = now * 1_000_000;
    let fresh = FreshMask::all();
    let mut run = Run { alarms: Vec::new(), later: Vec::new(), others: BTreeMap::new(), from_us, to_us: 0 };
    let mut ids = Vec::new();
    for (seq, (at, set, readings)) in (0_u64..).zip(&scenario.rows) {
        while now < *at {
            now += 1;
            core.tick(now, &mut out);
        }
        let position = Position {
            partition: PartitionId(0),
            offset: Offset(seq),
            append_time: AppendTime::from_micros(at * 1_000_000),
        };
        let envelope = Envelope {
            network: Some(network.clone()),
            origin: Origin { gateway: gateway.clone(), epoch: 1, seq },
            ingest_time: IngestTime::from_micros(at * 1_000_000),
            messages: 1,
            body: Body::Readings(Readings {
                set: Arc::clone(&scenario.sets[*set]),
                lane: Lane::Live,
                device_seq: None,
                readings: readings.clone(),
            }),
        };
        core.observe(&position, &envelope, &fresh, &mut out);
        for output in out.drain(..) {
            let Output::Event(event) = output else { continue };
            let incident = &event.incident;
            if verbose {
                println!(
                    "    {:.2} d {:?} {} {} v{} {}",
                    (event.at.as_micros() - from_us) as f64 / 8.64e10,
                    event.change.kind,
                    incident.class.as_str(),
                    incident.id,
                    incident.version,
                    incident.text_en,
                );
            }
            let ranked: Vec<String> =
                incident.candidates.iter().map(|c| c.pipe.as_str().to_owned()).collect();
            let key = (incident.id, incident.class);
            let is_loss = matches!(incident.class, Class::Burst | Class::LeakAbrupt | Class::LeakIncipient);
            if let Some(index) = ids.iter().position(|known| *known == key) {
                let alarm: &Alarm = &run.alarms[index];
                let limit_us = if incident.class == Class::Burst { 605_000_000 } else { 86_400_000_000 };
                if event.at.as_micros() - alarm.emitted_us <= limit_us && !ranked.is_empty() {
                    run.later[index] = ranked;
                }
            } else if is_loss {
                ids.push(key);
                run.later.push(ranked.clone());
                run.alarms.push(Alarm {
                    class: incident.class.as_str().to_owned(),
                    network: scenario.network.clone(),
                    emitted_us: event.at.as_micros(),
                    ranked,
                    size_kg_s: incident.loss_kg_s,
                });
            } else if event.change.kind == ChangeKind::Opened {
                *run.others.entry(incident.class.as_str()).or_default() += 1;
            }
        }
    }
    run.to_us = now * 1_000_000;
    Ok(run)
}

fn main() -> Result<()> {
    let mut verbose = false;
    let (mut found, mut wanted, mut false_count, mut months) = (0, 0, 0_u32, 0.0);
    let mut delays: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for argument in std::env::args().skip(1) {
        if argument == "-v" {
            verbose = true;
            continue;
        }
        let scenario = load(Path::new(&argument))?;
        println!("{argument}: {} records, {} pipes", scenario.rows.len(), scenario.plant.pipes.len());
        let run = run(&scenario, verbose)?;
        let start = run.from_us + WARM_UP_US;
        let scored: Vec<usize> =
            (0..run.alarms.len()).filter(|&i| run.alarms[i].emitted_us >= start).collect();
        let early = run.alarms.len() - scored.len();
        let later: Vec<Vec<String>> = scored.iter().map(|&i| run.later[i].clone()).collect();
        let alarms: Vec<Alarm> = scored.iter().map(|&i| run.alarms[i].clone()).collect();
        let events: Vec<Event> = scenario
            .events
            .iter()
            .filter(|e| e.class.starts_with("burst") || e.class.starts_with("leak"))
            .cloned()
            .collect();
        let matching = scoring::match_alarms(&events, &alarms);
        let chance = scoring::chance_line(&events, &alarms, start, run.to_us);
        let (trenches, trench_of) = trenches(&scenario.plant);
        for (index, event) in events.iter().enumerate() {
            let hit = matching.matches.iter().find(|m| m.event == index);
            match hit {
                None => println!("  MISSED {} {} {:?}", event.class, event.place, event.size_kg_s),
                Some(hit) => {
                    let alarm = &alarms[hit.alarm];
                    let of = |pipe: &str| trench_of.get(pipe).copied();
                    let fraction = |ranked: &[String]| {
                        scoring::search_fraction(ranked, &event.place, &trenches, of).unwrap_or(f64::NAN)
                    };
                    println!(
                        "  {:15} {:6} true {:.2} said {:.2} kg/s, delay {:.2} h, search {:.2} -> {:.2} (top {:?})",
                        event.class,
                        event.place,
                        event.size_kg_s.unwrap_or(f64::NAN),
                        alarm.size_kg_s.unwrap_or(f64::NAN),
                        hit.delay_us as f64 / 3.6e9,
                        fraction(&alarm.ranked),
                        fraction(&later[hit.alarm]),
                        later[hit.alarm].first(),
                    );
                    delays.entry(event.class.clone()).or_default().push(hit.delay_us);
                }
            }
        }
        for &index in &matching.false_alarms {
            let alarm = &alarms[index];
            let day = (alarm.emitted_us - run.from_us) as f64 / 8.64e10;
            println!("  FALSE  {} at day {day:.3} size {:?}", alarm.class, alarm.size_kg_s);
        }
        println!(
            "  recall {}/{}, chance {:.2} (95 %: {:.2}), false {}, repeats {}, in warm-up {early}, others {:?}",
            matching.matches.len(),
            events.len(),
            chance.mean,
            chance.quantile95,
            matching.false_alarms.len(),
            matching.repeats.len(),
            run.others,
        );
        found += matching.matches.len();
        wanted += events.len();
        false_count += u32::try_from(matching.false_alarms.len())?;
        months += (run.to_us - start) as f64 / (30.0 * 8.64e10);
    }
    let rate = scoring::false_alarm_rate(false_count, months);
    println!("all: recall {found}/{wanted}; false {false_count} in {months:.1} network-months: {rate:?}");
    for (class, list) in delays {
        let quantile = |q| scoring::delay_quantile_us(&list, &[], q).map(|us| us as f64 / 3.6e9);
        println!("  {class}: delay median {:?} h, p90 {:?} h (of the found)", quantile(0.5), quantile(0.9));
    }
    Ok(())
}

/// Trenches with length, and each pipe's trench.
fn trenches(plant: &PlantModel) -> (Vec<(String, f64)>, BTreeMap<String, usize>) {
    let mut list: Vec<(String, f64)> = Vec::new();
    let mut of = BTreeMap::new();
    let mut by_ends = BTreeMap::new();
    for pipe in &plant.pipes {
        let mut ends = [pipe.from.as_str(), pipe.to.as_str()];
        ends.sort_unstable();
        let index = *by_ends.entry(ends).or_insert_with(|| {
            list.push((pipe.id.as_str().to_owned(), pipe.length_m.unwrap_or(0.0)));
            list.len() - 1
        });
        of.insert(pipe.id.as_str().to_owned(), index);
    }
    (list, of)
}
