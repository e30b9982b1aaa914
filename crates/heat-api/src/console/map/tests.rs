use heat_model::plant::{Node, PlantModel};

use super::*;
use crate::console::samples;

fn draw(model: &PlantModel, marks: &Marks) -> String {
    let plant = PlantIndex::new(model);
    map(Lang::English, &plant, &"town".parse().unwrap(), marks).unwrap().into_string()
}

/// A main with two branches, with coordinates.
fn town() -> PlantModel {
    samples::town()
}

#[test]
fn a_network_without_pipes_has_no_map() {
    let plant = PlantIndex::new(&PlantModel::default());
    assert!(map(Lang::Chinese, &plant, &"town".parse().unwrap(), &Marks::default()).is_none());
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
        let network: NetworkId = "town".parse().unwrap();
        let pipes: Vec<&Pipe> = plant.pipes_of(&network).collect();
        let (fitted, height) = fit(&places(&plant, &pipes));
        assert_eq!(fitted.len(), 4);
        let distinct: BTreeSet<String> = fitted.values().map(|place| format!("{place:?}")).collect();
        assert_eq!(distinct.len(), 4, "{fitted:?}");
        for (x, y) in fitted.values() {
            assert!((0.0..=WIDTH).contains(x) && (0.0..=height).contains(y), "{fitted:?}");
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
    let drawn = draw(&model, &Marks::default());
    assert!(drawn.len() < 90_000, "{} bytes", drawn.len());
}

#[test]
fn names_stay_text_and_ids_stay_one_segment() {
    let mut model = town();
    model.sites[0].name = Some("<script>alert(1)</script>".to_owned());
    let drawn = draw(&model, &Marks::default());
    assert!(!drawn.contains("<script"), "{drawn}");
    assert_eq!(segment("a/b ?热"), "a%2Fb%20%3F%E7%83%AD");
}
