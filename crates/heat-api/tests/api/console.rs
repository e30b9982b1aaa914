//! The console's pages, without a browser.

use heat_model::{
    CircuitId, NodeId,
    incident::Candidate,
    plant::{Circuit, Network, Node, Pipe, Side, Site, SiteKind},
};

use super::{users::two_operators, *};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const PAGE_MAX_BYTES: usize = 100_000;

fn page(bench: &Bench, path: &str, language: &str) -> (u16, String) {
    let (status, head, body) = raw_request(bench.address, "GET", path, &[("accept-language", language)], "");
    assert!(head.contains("content-type: text/html"), "{path}: {head}");
    (status, body)
}

/// A bench with a reading and an open incident, both read.
fn town() -> Bench {
    let bench = Bench::of_plant(RawApi::default(), &[opened(1)], false, two_operators());
    bench.send_reading("st1", 81.5);
    bench.until("/api/v1/signals", |page| page["items"].as_array().is_some_and(|items| !items.is_empty()));
    bench.until("/api/v1/incidents", |page| page["items"].as_array().is_some_and(|items| !items.is_empty()));
    bench
}

#[test]
fn every_page_comes_in_both_languages_small_whole_and_from_here_alone() {
    let bench = town();
    let incident = format!("/incidents/{}", incident(1, 1).id);
    for path in [
        "/",
        "/incidents",
        "/incidents?state=all&network=town&class=burst",
        &incident,
        "/networks/town",
        "/networks/town/sites/st1",
        "/tickets",
        "/quality",
        "/health",
        "/health?audit=now",
        "/login",
    ] {
        let (status, chinese) = page(&bench, path, "zh-CN");
        assert_eq!(status, 200, "{path}: {chinese}");
        let (_, english) = page(&bench, path, "en");
        assert!(chinese.contains("lang=\"zh-CN\"") && english.contains("lang=\"en\""), "{path}");
        assert_ne!(chinese, english, "{path}");
        for html in [&chinese, &english] {
            assert!(html.len() < PAGE_MAX_BYTES, "{path} has {} bytes", html.len());
            assert!(html.ends_with("</html>"), "{path}");
            assert_eq!(html.matches("<h1").count(), 1, "{path}");
            for elsewhere in ["src=\"http", "href=\"http", "src=\"//", "href=\"//", " style=\"", "onclick="] {
                assert!(!html.contains(elsewhere), "{path} has {elsewhere}");
            }
        }
    }
    bench.stop();
}

/// Six networks as of a big city, each a grid of streets with a station at every corner.
fn big_city() -> PlantModel {
    let mut plant = PlantModel::default();
    for (number, stations) in [5_000, 1_500, 1_500, 1_500, 800, 800].into_iter().enumerate() {
        let network: NetworkId = format!("net{number}").parse().unwrap();
        plant.networks.push(Network {
            id: network.clone(),
            name: Some(format!("城区第{number}热网")),
            medium: None,
            time_zone: None,
            operator: None,
            district: None,
        });
        let circuit: CircuitId = format!("{network}-primary").parse().unwrap();
        plant.circuits.push(Circuit::new(circuit.clone(), network.clone()));
        for index in 0..stations {
            let node: NodeId = format!("{network}-n{index}").parse().unwrap();
            plant.nodes.push(Node {
                id: node.clone(),
                network: Some(network.clone()),
                x_m: Some(f64::from(index % 71) * 97.3 + f64::from(index % 13)),
                y_m: Some(f64::from(index / 71) * 101.9 + f64::from(index % 7)),
                elevation_m: None,
            });
            plant.sites.push(Site {
                network: Some(network.clone()),
                kind: Some(if index == 0 { SiteKind::Source } else { SiteKind::Station }),
                node: Some(node.clone()),
                name: Some(format!("第{index}热力站")),
                ..Site::new(format!("{network}-st{index:04}").parse().unwrap())
            });
            for (side, mark) in [(Side::Supply, 's'), (Side::Return, 'r')] {
                if index > 0 {
                    let before = if index % 71 == 0 { index - 71 } else { index - 1 };
                    plant.pipes.push(Pipe {
                        length_m: Some(100.0),
                        inner_diameter_mm: Some(if index % 71 == 0 { 600.0 } else { 200.0 }),
                        side: Some(side),
                        ..Pipe::new(
                            format!("{network}-p{index}{mark}").parse().unwrap(),
                            circuit.clone(),
                            format!("{network}-n{before}").parse().unwrap(),
                            node.clone(),
                        )
                    });
                }
            }
        }
    }
    plant
}

#[test]
fn a_big_citys_pages_stay_small_also_when_a_burst_affects_a_thousand_stations() {
    let network: NetworkId = "net0".parse().unwrap();
    let id = IncidentId::derive(&network, &Origin { gateway: "g".parse().unwrap(), epoch: 1, seq: 1 }, 0);
    let candidate = |index: u32| Candidate {
        pipe: format!("net0-p{}s", 100 + index).parse().unwrap(),
        probability: 0.005,
    };
    let burst = Incident {
        id,
        network: network.clone(),
        candidates: (0..200).map(candidate).collect(),
        affected: (1..=1_000).map(|index| format!("net0-st{index:04}").parse().unwrap()).collect(),
        ..incident(1, 1)
    };
    let opened = event(1, burst, ChangeKind::Opened, "burst");
    let bench = Bench::of_plant(RawApi::default(), &[opened], false, big_city());
    bench.until("/api/v1/incidents", |page| page["items"].as_array().is_some_and(|items| !items.is_empty()));
    // The first page works out how the networks are drawn.
    for path in [
        "/",
        "/",
        "/networks/net0",
        "/networks/net1",
        &format!("/incidents/{id}"),
        "/networks/net0/sites/net0-st0001",
    ] {
        let begun = Clock.instant();
        let (status, html) = page(&bench, path, "zh");
        println!("{path}: {} bytes in {:?}", html.len(), Clock.instant().duration_since(begun));
        assert_eq!(status, 200, "{path}");
        assert!(html.len() < PAGE_MAX_BYTES, "{path} has {} bytes", html.len());
    }
    bench.stop();
}

#[test]
fn script_in_an_incidents_text_stays_text() {
    let bench = town();
    let (_, html) = page(&bench, &format!("/incidents/{}", incident(1, 1).id), "en");
    assert!(html.contains("burst &lt;script&gt;alert(1)&lt;/script&gt;"), "{html}");
    assert!(!html.contains("<script>"), "{html}");
    let (_, head, _) = raw_request(bench.address, "GET", "/", &[], "");
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{head}");
    bench.stop();
}

#[test]
fn the_chosen_language_stays() {
    let bench = Bench::new();
    let (_, head, _) = raw_request(bench.address, "GET", "/?lang=en", &[("accept-language", "zh")], "");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let headers = [("accept-language", "zh"), ("cookie", cookie.as_str())];
    let (_, html) = bench.request("GET", "/incidents", &headers, "");
    assert!(html.contains("lang=\"en\""), "{html}");
    bench.stop();
}

#[test]
fn assets_are_kept_by_browsers_and_no_trick_of_paths_leads_out() {
    let bench = Bench::new();
    let (_, html) = page(&bench, "/login", "en");
    let style = html.split("href=\"").find(|part| part.starts_with("/assets/console.")).unwrap();
    let style = style.split('"').next().unwrap();
    let (status, head, css) = raw_request(bench.address, "GET", style, &[], "");
    assert!(status == 200 && css.contains(":root"), "{head}");
    assert!(head.contains("immutable"), "{head}");
    for path in [
        "/assets/..%2f..%2fetc%2fpasswd",
        "/assets/../console.rs",
        "/incidents/..%2f..%2fetc",
        "/networks/%2e%2e",
        "/networks/town/sites/%00",
        "/plots/a%2Fb",
        "/nowhere",
    ] {
        let (status, body) = bench.request("GET", path, &[], "");
        assert!((400..500).contains(&status), "{path}: {status} {body}");
        assert!(!body.contains("root:"), "{path}");
    }
    bench.stop();
}

#[test]
fn a_dispatchers_acknowledgement_is_on_the_log_and_a_stale_one_is_told_in_words() {
    let bench = town();
    let id = incident(1, 1).id;
    bench.answer_next_command(|command, offset| {
        assert!(matches!(command.action, Action::Acknowledge { version: Some(1), .. }));
        let acknowledged = Incident { alarm: AlarmState::Acknowledged, ..incident(1, 2) };
        event(offset.0, acknowledged, ChangeKind::Acknowledged, "local")
    });
    let path = format!("/incidents/{id}/acknowledge");
    let (status, head, _) = raw_request(bench.address, "POST", &path, &[FORM], "version=1");
    assert_eq!(status, 303);
    assert!(head.contains(&format!("location: /incidents/{id}?done=acknowledge")), "{head}");
    let (_, html) = page(&bench, &format!("/incidents/{id}?done=acknowledge"), "zh");
    assert!(html.contains("已确认。") && html.contains("state acknowledged"), "{html}");
    bench.stop();
}

#[test]
fn what_the_processor_refuses_is_a_page_with_its_reason() {
    let bench = town();
    let id = incident(1, 1).id;
    bench.answer_next_command(move |_, offset| {
        let reason = RefusalReason::StaleVersion { seen: 1, current: 4 };
        Output::Refused(Refusal {
            input_offset: offset,
            ordinal: 0,
            at: AppendTime::from_micros(1),
            network: Some(NETWORK.parse().unwrap()),
            incident: Some(id),
            user: Some("local".to_owned()),
            reason,
        })
    });
    let path = format!("/incidents/{id}/acknowledge");
    let (status, _, html) = raw_request(bench.address, "POST", &path, &[FORM], "version=1");
    assert_eq!(status, 409);
    assert!(html.contains("事件已有新变化") && html.contains("事件已更新到第 4 版"), "{html}");
    bench.stop();
}

#[test]
fn forms_refuse_what_is_missing_unknown_or_too_long() {
    let bench = town();
    let path = |action: &str| format!("/incidents/{}/{action}", incident(1, 1).id);
    let long = format!("cause={}", "x".repeat(501));
    for (action, body, expected) in [
        ("shelve", "minutes=30&reason=", 422),
        ("shelve", "reason=tea", 422),
        ("work", "state=dancing", 422),
        ("repaired", "size_t_h=much", 422),
        ("repaired", long.as_str(), 422),
        ("repaired", "colour=red", 422),
        ("explode", "", 404),
    ] {
        let (status, html) = bench.request("POST", &path(action), &[FORM], body);
        assert_eq!(status, expected, "{action} {body}");
        assert!(html.contains("role=\"alert\""), "{action} {body}: {html}");
    }
    let json = [("content-type", "application/json")];
    assert_eq!(bench.request("POST", &path("work"), &json, "{}").0, 415);
    bench.stop();
}

#[test]
fn a_plot_reaches_up_to_the_newest_reading_without_an_archive() {
    let bench = town();
    let now = Clock.now().as_micros();
    let time = |micros: i64| heat_api::json::ApiTime::from_micros(micros).to_string();
    let span = format!("from={}&to={}", time(now - 600_000_000), time(now + 5_000_000));
    let (status, svg) =
        bench.request("GET", &format!("/plots/town%2Fst1%2Fplc%2Fsupply_temperature?{span}"), &[], "");
    assert_eq!(status, 200);
    assert!(svg.starts_with("<svg") && svg.contains("class=\"line\"") && svg.contains("81"), "{svg}");
    let (_, empty) = bench.request("GET", &format!("/plots/town%2Fst9%2Fplc%2Fflow?{span}"), &[], "");
    assert!(empty.contains("该时段没有数据"), "{empty}");
    bench.stop();
}
