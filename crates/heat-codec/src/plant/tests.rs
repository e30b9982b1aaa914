use proptest::prelude::*;

use super::*;

const NETWORKS: &str = "id,name,medium,time_zone\nnorth,Nordnetz,water,Europe/Berlin\n";
const CIRCUITS: &str = "id,medium,water_volume_m3\nnorth-primary,water,41.6\n";
const NODES: &str = "id,x_m,y_m,elevation_m\nN1,0,0,148\nN2,10,0,149.5\nN3,5,5,\n";
const PIPES: &str = "id,circuit,from,to,length_m,inner_diameter_mm,roughness_mm,side\n\
    P1s,north-primary,N1,N2,186.8,160.3,0.1,supply\nP2s,north-primary,N2,N3,40,82.5,0.1,supply\n\
    P3s,north-primary,N3,N1,40,82.5,0.1,supply\n";
const SITES: &str =
    "id,kind,node,heated_area_m2,parent\nsource,source,N1,,\nst01,station,N2,5000,\nb01,building,,,st01\n";
const SIGNALS: &str = "id,site,device,name,unit,interval_s,accuracy_class\n\
    north/source/main/supply_temperature,source,main,supply_temperature,degC,900,Pt100 A\n";

fn good() -> Vec<(String, String)> {
    [
        ("networks.csv", NETWORKS),
        ("circuits.csv", CIRCUITS),
        ("nodes.csv", NODES),
        ("pipes.csv", PIPES),
        ("sites.csv", SITES),
        ("signals.csv", SIGNALS),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .to_vec()
}

fn with(file: &str, text: &str) -> Vec<(String, String)> {
    let mut files = good();
    files.retain(|(name, _)| name != file);
    files.push((file.to_owned(), text.to_owned()));
    files
}

/// File, line and column of each fault.
fn faults(files: &[(String, String)]) -> Vec<(String, u64, String)> {
    let faults = read(files).unwrap_err().faults;
    faults.into_iter().map(|fault| (fault.file, fault.line, fault.column)).collect()
}

fn fault(file: &str, line: u64, column: &str) -> (String, u64, String) {
    (file.to_owned(), line, column.to_owned())
}

#[test]
fn tables_with_few_columns_and_a_looped_network_are_read() {
    let model = read(&good()).unwrap();
    assert_eq!((model.pipes.len(), model.sites.len(), model.signals.len()), (3, 3, 1));
    assert_eq!(model.circuits[0].network.as_str(), "north");
    assert_eq!(model.nodes[2].network.as_ref().map(heat_model::NetworkId::as_str), Some("north"));
    assert_eq!(model.nodes[2].elevation_m, None);
}

#[test]
fn toml_gives_the_same_model_and_hash_as_csv() {
    let toml = r#"
        [[networks]]
        id = "north"
        name = "Nordnetz"
        medium = "water"
        time_zone = "Europe/Berlin"
        [[circuits]]
        id = "north-primary"
        medium = "water"
        water_volume_m3 = 41.6
    "#;
    let mut mixed = good();
    mixed.retain(|(name, _)| name != "networks.csv" && name != "circuits.csv");
    mixed.push(("plant.toml".to_owned(), toml.to_owned()));
    let (from_csv, from_toml) = (read(&good()).unwrap(), read(&mixed).unwrap());
    assert_eq!(from_csv, from_toml);
    assert_eq!(hash(&from_csv), hash(&from_toml));
}

#[test]
fn signals_alone_are_a_plant_model() {
    let model = read(&[("signals.csv", SIGNALS)]).unwrap();
    assert_eq!(model.networks[0].id.as_str(), "north");
}

#[test]
fn the_hash_does_not_know_the_order_of_rows_but_every_value() {
    let model = read(&good()).unwrap();
    let mut turned = model.clone();
    turned.pipes.reverse();
    turned.nodes.reverse();
    assert_eq!(hash(&turned), hash(&model));
    turned.pipes[0].length_m = Some(1.0);
    assert_ne!(hash(&turned), hash(&model));
}

#[test]
fn every_fault_is_reported_at_once_with_its_place() {
    let pipes = "id,circuit,from,to,length_m,side\n\
        P1,north-primary,N1,N2,-5,supply\n\
        P1,north-primary,N1,N9,5,left\n\
        P2,nowhere,N1,N1,5,return\n\
        ,north-primary,N1,N2,x,\n";
    assert_eq!(
        faults(&with("pipes.csv", pipes)),
        [
            fault("pipes.csv", 2, "length_m"),
            fault("pipes.csv", 3, "id"),
            fault("pipes.csv", 3, "side"),
            fault("pipes.csv", 3, "to"),
            fault("pipes.csv", 4, "circuit"),
            fault("pipes.csv", 4, "to"),
            fault("pipes.csv", 5, "id"),
            fault("pipes.csv", 5, "length_m"),
        ]
    );
}

#[test]
fn each_kind_of_fault_has_its_place() {
    for (file, text, line, column) in [
        ("networks.csv", "id,time_zone\nnorth,Mars/Base\n", 2, "time_zone"),
        ("networks.csv", "id,color\nnorth,red\n", 1, "color"),
        ("networks.csv", "id,id\nnorth,north\n", 1, "id"),
        ("circuits.csv", "id,topped_up_from\nnorth-primary,north-primary\n", 2, "topped_up_from"),
        ("circuits.csv", "id,topped_up_from\nnorth-primary,other\n", 2, "topped_up_from"),
        ("circuits.csv", "id,network\nnorth-primary,south\n", 2, "network"),
        ("circuits.csv", "id,converted_on\nnorth-primary,last year\n", 2, "converted_on"),
        ("seasons.csv", "circuit,state,from\ngone,heating,2026-11-15\n", 2, "circuit"),
        ("seasons.csv", "state,from\nwarm,2026-11-15\n", 2, "state"),
        ("seasons.csv", "state,from\nheating,15.11.2026\n", 2, "from"),
        ("seasons.csv", "state,from\nheating,2026-11-15T06:00:00\n", 2, "from"),
        ("seasons.csv", "state,from\noff,2026-11-15\nheating,2026-11-15\n", 3, "from"),
        ("nodes.csv", "id\nN1\nN2\nN3\nN1\n", 5, "id"),
        ("nodes.csv", "id,x_m\nN1\n", 2, ""),
        ("sites.csv", "id,kind\nsource,castle\nst01,\n", 2, "kind"),
        ("sites.csv", "id,parent\nsource,st01\nst01,\nb01,gone\n", 4, "parent"),
        ("sites.csv", "id,node\nsource,N9\n", 2, "node"),
        ("sites.csv", "id\nst01\n", 2, "site"),
        ("sites.csv", "id,lat\nsource,100\n", 2, "lat"),
        ("signals.csv", "id\nnorth/source/main\n", 2, "id"),
        ("signals.csv", "id,unit\nnorth/source/main/supply_temperature,bar\n", 2, "unit"),
        ("signals.csv", "id,unit\nnorth/source/main/supply_temperature,furlong\n", 2, "unit"),
        ("signals.csv", "id,site\nnorth/source/main/x,st01\n", 2, "site"),
        ("signals.csv", "id,range_min,range_max\nnorth/source/main/x,5,5\n", 2, "range_max"),
        ("signals.csv", "id,pointer\nnorth/source/main/x,values.x\n", 2, "pointer"),
        ("valves.csv", "id,pipe,normal_state\nV1,P1s,ajar\n", 2, "normal_state"),
        ("valves.csv", "id,pipe\nV1,P9\n", 2, "pipe"),
        ("valves.csv", "id,pipe,chamber\nV1,P1s,gone\n", 2, "chamber"),
        ("colours.csv", "id\n", 0, ""),
        ("notes.txt", "x", 0, ""),
        ("plant.toml", "[[networks]]\nid = 'north'\n[[pumps]]\nid = 1\n", 3, ""),
        ("plant.toml", "x = [", 1, ""),
        ("plant.toml", "[[valves]]\nid = 'V1'\npipe = 'P1s'\nturns = 3\n", 4, "turns"),
    ] {
        let found = faults(&with(file, text));
        // A table that replaces a good one may orphan rows of other tables.
        let wanted = if column == "site" && file == "sites.csv" {
            fault("signals.csv", line, column)
        } else {
            fault(file, line, column)
        };
        assert!(found.contains(&wanted), "{file} {text:?}: {found:?}");
    }
}

#[test]
fn a_date_of_the_calendar_is_the_beginning_of_that_day_where_the_network_is() {
    let seasons = "circuit,state,from\n,off,2026-03-31\nnorth-primary,heating,2026-11-15T06:00:00+01:00\n";
    let files = with("seasons.csv", seasons);
    let model = read(&files).unwrap();
    let texts: Vec<String> = model.seasons.iter().map(|row| crate::time_text::rfc3339(row.from)).collect();
    // Berlin has summer time on the last day of March.
    assert_eq!(texts, ["2026-03-30T22:00:00Z", "2026-11-15T05:00:00Z"]);
    let again = read(&write_tables(&model)).unwrap();
    assert_eq!((&again, hash(&again)), (&model, hash(&model)));
    assert_ne!(hash(&model), hash(&read(&good()).unwrap()));

    let without_zone = with("networks.csv", "id\nnorth\n");
    let files: Vec<_> = without_zone
        .into_iter()
        .chain([("seasons.csv".to_owned(), "state,from\noff,2026-03-31\n".to_owned())])
        .collect();
    assert_eq!(faults(&files), [fault("seasons.csv", 2, "from")]);
}

#[test]
fn sites_that_contain_each_other_are_found() {
    let found = faults(&with("sites.csv", "id,parent\nsource,\na,b\nb,a\n"));
    assert_eq!(found, [fault("sites.csv", 3, "parent"), fault("sites.csv", 4, "parent")]);
}

#[test]
fn two_networks_may_use_the_same_ids_but_must_be_named() {
    let files = [
        ("networks.csv", "id\nn1\nn2\n"),
        ("circuits.csv", "id,network\nc1,n1\nc2,n2\n"),
        ("nodes.csv", "id,network\nA,n1\nB,n1\nA,n2\nB,n2\n"),
        ("pipes.csv", "id,circuit,from,to\nP,c1,A,B\nP,c2,A,B\n"),
        ("sites.csv", "id,network\nsource,n1\nsource,n2\n"),
    ];
    assert_eq!(read(&files).unwrap().pipes.len(), 2);

    let mut unnamed = files.to_vec();
    unnamed[1] = ("circuits.csv", "id\nc1\nc2\n");
    unnamed.push(("valves.csv", "id,pipe\nV,P\n"));
    let found = read(&unnamed).unwrap_err();
    assert!(found.to_string().contains("circuits.csv:2: network: it is missing"), "{found}");
}

#[test]
fn many_faults_are_counted_not_kept() {
    let rows: String = (0..3_000).map(|n| format!("S{n},castle\n")).collect();
    let found = read(&[("sites.csv", format!("id,kind\n{rows}"))]).unwrap_err();
    assert_eq!((found.faults.len(), found.more), (FAULTS_MAX, 2_000));
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[^\\p{Cc}\\s\u{feff}]([^\\p{Cc}\u{feff}]{0,10}[^\\p{Cc}\\s\u{feff}])?")
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        name in text(), operator in text(), lengths in prop::collection::vec(prop::option::of(1e-3..1e5_f64), 1..8),
        elevation in prop::option::of(-400.0..8_000.0_f64), operable in prop::option::of(any::<bool>()),
        households in prop::option::of(any::<u32>()),
    ) {
        let mut model = read(&good()).unwrap();
        model.networks[0].name = name;
        model.networks[0].operator = operator;
        model.nodes[0].elevation_m = elevation;
        model.sites[1].households = households;
        let template = model.pipes[0].clone();
        model.pipes = lengths.iter().enumerate().map(|(at, &length_m)| heat_model::plant::Pipe {
            id: format!("P{at}").parse().unwrap(), length_m, ..template.clone()
        }).collect();
        model.valves.push(heat_model::plant::Valve {
            id: "V1".parse().unwrap(), pipe: "P0".parse().unwrap(), chamber: None, normal_state: None, operable,
        });
        let read_back = read(&write_tables(&model)).unwrap();
        prop_assert_eq!(hash(&read_back), hash(&model));
        prop_assert_eq!(read_back, model);
    }

    #[test]
    fn any_text_is_a_model_or_faults(text in "(id|network|from|to|circuit|[,\"\n\\]=']|.){0,40}", table in 0_usize..8) {
        let name = Table::ALL[table].name();
        for (file, text) in [(format!("{name}.csv"), text.clone()), ("plant.toml".to_owned(), format!("[[{name}]]\n{text}"))] {
            if let Err(faults) = read(&[(file, text)]) {
                prop_assert!(!faults.faults.is_empty());
            }
        }
    }
}
