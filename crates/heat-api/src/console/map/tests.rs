use heat_model::plant::{Node, PlantModel};

use super::*;
use crate::console::samples;

fn draw(model: &PlantModel, marks: &Marks) -> String {
    let plant = PlantIndex::new(model);
    map(Lang::English, &plant, &"town".parse().unwrap(), marks, Detail::PAGE).unwrap().into_string()
}

/// A main with two branches, with coordinates.
fn town() -> PlantModel {
    samples::town()
}

#[test]
fn a_network_without_pipes_has_no_map() {
    let plant = PlantIndex::new(&PlantModel::default());
    assert!(map(Lang::Chinese, &plant, &"town".parse().unwrap(), &Marks::default(), Detail::PAGE).is_none());
}

#[test]
fn candidates_affected_and_silent_sites_are_told_apart_by_class_and_shape() {
    let mut marks = Marks::default();
    marks.candidates.insert("P1s".parse().unwrap(), 0.53);
    marks.candidates.insert("P2r".parse().unwrap(), 0.12);
    marks.site(&"st1".parse().unwrap(), SiteMark::Affected);
    marks.site(&"st2".parse().unwrap(), SiteMark::Silent);
    let drawn = draw(&town(), &marks);
    assert!(drawn.contains("likely high") && drawn.contains("<title>P1s 53 %</title>"), "{drawn}");
    assert!(drawn.contains("likely middle return"), "{drawn}");
    assert!(drawn.contains("site affected") && drawn.contains("site silent"), "{drawn}");
    assert!(drawn.contains("href=\"/networks/town/sites/st1\""), "{drawn}");
}

#[test]
fn a_more_urgent_mark_is_not_replaced_by_a_lesser_one() {
    let site: SiteId = "st1".parse().unwrap();
    let mut marks = Marks::default();
    marks.site(&site, SiteMark::Incident);
    marks.site(&site, SiteMark::Silent);
    assert_eq!(marks.of(&site), SiteMark::Incident);
}

#[test]
fn without_coordinates_the_network_is_a_tree_and_everything_lies_inside_the_drawing() {
    let surveyed = town();
    let bare = PlantModel {
        nodes: surveyed.nodes.iter().map(|node| Node { x_m: None, y_m: None, ..node.clone() }).collect(),
        ..town()
    };
    for model in [surveyed, bare] {
        let plant = PlantIndex::new(&model);
        let Layout { places, height, .. } = Layout::new(&plant, &"town".parse().unwrap()).unwrap();
        assert_eq!(places.len(), 4);
        let distinct: BTreeSet<String> = places.values().map(|place| format!("{place:?}")).collect();
        assert_eq!(distinct.len(), 4, "{places:?}");
        for (x, y) in places.values() {
            assert!((0.0..=WIDTH).contains(x) && (0.0..=height).contains(y), "{places:?}");
        }
    }
}

#[test]
fn a_large_network_stays_a_small_page() {
    let mut model =
        PlantModel { networks: town().networks, circuits: town().circuits, ..PlantModel::default() };
    for number in 0..5_000_i32 {
        let id = |prefix: &str| format!("{prefix}{number}");
        model.nodes.push(Node {
            id: id("n").parse().unwrap(),
            network: None,
            x_m: Some(f64::from(number % 70) * 100.0),
            y_m: Some(f64::from(number / 70) * 100.0),
            elevation_m: None,
        });
        model.sites.push(Site {
            id: id("s").parse().unwrap(),
            node: Some(id("n").parse().unwrap()),
            ..samples::station("s", "n")
        });
        if number > 0 {
            let before = format!("n{}", number - 1);
            model.pipes.push(samples::pipe(&id("p"), &before, &id("n"), Side::Supply));
        }
    }
    let mut marks = Marks::default();
    let drawn = draw(&model, &marks);
    assert!(drawn.len() < 40_000, "{} bytes", drawn.len());
    assert!(drawn.contains("dots well") && drawn.contains("pipe middle"), "{drawn}");
    // Nothing comes from any station, and every second one is affected.
    for (index, site) in model.sites.iter().enumerate() {
        marks.site(&site.id, if index % 2 == 0 { SiteMark::Silent } else { SiteMark::Affected });
    }
    let drawn = draw(&model, &marks);
    assert!(drawn.len() < 60_000, "{} bytes", drawn.len());
    assert_eq!(drawn.matches("<a ").count(), Detail::PAGE.links);
    assert!(drawn.contains("dots silent") && drawn.contains("dots affected"), "{drawn}");
}

#[test]
fn small_maps_are_drawn_whole_and_large_ones_share_what_is_left() {
    assert_eq!(shares(&[5_000, 20, 3_000], 1_000), [490, 20, 490]);
    assert_eq!(shares(&[3, 4], 1_000), [3, 4]);
    assert_eq!(shares(&[], 1_000), [0; 0]);
    let details = Detail::shared(&[(10_000, 5_000), (30, 12)]);
    assert_eq!((details[0].lines, details[0].links), (1_470, 148));
    assert_eq!((details[1].lines, details[1].links, details[1].dots), (30, 12, 12));
}

#[test]
fn a_path_of_steps_draws_the_same_lines_as_one_of_places() {
    let plant = PlantIndex::new(&town());
    let layout = Layout::new(&plant, &"town".parse().unwrap()).unwrap();
    let whole = |(x, y): Point| (x.round(), y.round());
    let mut expected: Vec<_> =
        layout.trenches.iter().map(|trench| (whole(trench.ends.0), whole(trench.ends.1))).collect();
    let mut drawn: Vec<_> = layout.lines(100).iter().flat_map(|(_, path)| lines_of(path)).collect();
    for lines in [&mut expected, &mut drawn] {
        for line in lines.iter_mut() {
            *line = if line.0 < line.1 { *line } else { (line.1, line.0) };
        }
        lines.sort_by(|a, b| a.partial_cmp(b).unwrap());
    }
    assert_eq!(drawn, expected);
}

/// The lines of a path, as a browser would read it.
fn lines_of(path: &str) -> Vec<(Point, Point)> {
    let (mut at, mut lines) = ((0.0, 0.0), Vec::new());
    let commands: Vec<usize> = path.match_indices(char::is_alphabetic).map(|(at, _)| at).collect();
    for (index, &begin) in commands.iter().enumerate() {
        let end = commands.get(index + 1).copied().unwrap_or(path.len());
        let numbers = path[begin + 1..end].replace('-', " -");
        let numbers: Vec<f64> = numbers.split_whitespace().map(|text| text.parse().unwrap()).collect();
        let to = match &path[begin..=begin] {
            "h" => (at.0 + numbers[0], at.1),
            "v" => (at.0, at.1 + numbers[0]),
            _ => (at.0 + numbers[0], at.1 + numbers[1]),
        };
        if &path[begin..=begin] != "m" {
            lines.push((at, to));
        }
        at = to;
    }
    lines
}

#[test]
fn names_stay_text_and_ids_stay_one_segment() {
    let mut model = town();
    model.sites[0].name = Some("<script>alert(1)</script>".to_owned());
    let drawn = draw(&model, &Marks::default());
    assert!(!drawn.contains("<script"), "{drawn}");
    assert_eq!(segment("a/b ?热"), "a%2Fb%20%3F%E7%83%AD");
}

#[test]
fn a_long_name_is_cut_where_it_would_cross_the_drawing_and_a_short_one_is_whole() {
    assert_eq!(shortened("城北区热源"), "城北区热源");
    assert_eq!(shortened("Heating plant Nordwest 1"), "Heating plant Nordwest 1");
    assert_eq!(shortened("Fernwärmeübergabestation Nordwestlicher Stadtteil"), "Fernwärmeübergabestation…");
    assert_eq!(shortened("和平小区第三期东区换热站（原纺织厂宿舍院内）"), "和平小区第三期东区换热站（…");
}
