use proptest::prelude::*;

use super::*;

/// 0 - 1 - 2, 1 - 3 - 4.
fn small() -> RootedTree {
    RootedTree::new(5, 0, &[(1, 0), (1, 2), (3, 1), (3, 4)]).unwrap()
}

#[test]
fn branches_and_paths_are_found_whatever_the_direction_of_the_edges() {
    let tree = small();

    assert_eq!(tree.path_up(4).collect::<Vec<_>>(), [4, 3, 1, 0]);
    assert_eq!(tree.subtree(3), [3, 4]);
    assert!(tree.is_behind(4, 1) && !tree.is_behind(2, 3));
    assert_eq!(tree.smallest_branch(&[2, 4]), Some(1));
    assert_eq!(tree.smallest_branch(&[4, 3]), Some(3));
    assert_eq!(tree.smallest_branch(&[]), None);
}

#[test]
fn a_ring_a_second_edge_and_a_loose_node_are_refused() {
    assert!(matches!(RootedTree::new(3, 0, &[(0, 1), (1, 2), (2, 0)]), Err(TreeError::Mesh { .. })));
    assert!(matches!(RootedTree::new(2, 0, &[(0, 1), (1, 0)]), Err(TreeError::Mesh { .. })));
    assert_eq!(RootedTree::new(3, 0, &[(0, 1)]), Err(TreeError::Unconnected { node: 2 }));
    assert_eq!(RootedTree::new(2, 0, &[(0, 5)]), Err(TreeError::NoSuchNode { node: 5, nodes: 2 }));
}

#[test]
fn a_leak_drops_the_pressure_of_all_behind_it_and_by_hand_of_one_pipe() {
    let tree = RootedTree::new(2, 0, &[(0, 1)]).unwrap();
    let pipe = vec![Resistance::default(), Resistance { pa_s2_kg2: 10.0 }];
    let twin = TwinTree { tree, supply: pipe.clone(), back: pipe, lift_pa: vec![0.0, 500.0] };
    let leak = [Leak { edge: 1, position: 0.25, loss_kg_s: 3.0 }];
    let solution = twin.solve(&Load {
        supply_pa: 1e5,
        return_pa: 5e4,
        demand_kg_s: &[0.0, 2.0],
        supply_leaks: &leak,
        return_leaks: &leak,
    });

    // Supply: a quarter at 5 kg/s, the rest at 2. Return: three quarters at 2, the last quarter turns round at -1.
    assert!((solution.supply_pa[1] - (1e5 - 0.25 * 250.0 - 0.75 * 40.0 - 500.0)).abs() < 1e-9);
    assert!((solution.return_pa[1] - (5e4 + 0.75 * 40.0 - 0.25 * 10.0 - 500.0)).abs() < 1e-9);
    assert!((solution.supply_kg_s[0] - 5.0).abs() < 1e-12 && (solution.return_kg_s[0] + 1.0).abs() < 1e-12);
}

/// Random parents make a random tree.
fn trees() -> impl Strategy<Value = (RootedTree, Vec<f64>)> {
    (2_usize..60).prop_flat_map(|nodes| {
        let parents = (1..nodes).map(|node| 0..node).collect::<Vec<_>>();
        (parents, prop::collection::vec(0.0_f64..20.0, nodes)).prop_map(move |(parents, demand)| {
            let edges: Vec<_> = parents.iter().enumerate().map(|(i, &parent)| (parent, i + 1)).collect();
            (RootedTree::new(nodes, 0, &edges).unwrap(), demand)
        })
    })
}

proptest! {
    #[test]
    fn flows_balance_at_every_node(
        (tree, demand) in trees(), at in any::<prop::sample::Index>(), loss in 0.0_f64..30.0
    ) {
        let n = tree.len();
        let leak = [Leak { edge: 1 + at.index(n - 1), position: 0.3, loss_kg_s: loss }];
        let pipes = vec![Resistance { pa_s2_kg2: 2.0 }; n];
        let twin = TwinTree { tree, supply: pipes.clone(), back: pipes, lift_pa: vec![0.0; n] };
        let load = Load {
            supply_pa: 9e5, return_pa: 3e5, demand_kg_s: &demand, supply_leaks: &leak, return_leaks: &[],
        };
        let solution = twin.solve(&load);
        let sound = twin.solve(&Load { supply_leaks: &[], ..load });

        for (node, own) in demand.iter().enumerate() {
            let children: f64 =
                (0..n).filter(|&c| twin.tree.parent(c) == Some(node)).map(|c| solution.supply_kg_s[c]).sum();
            let lost = if leak[0].edge == node { loss } else { 0.0 };
            prop_assert!((solution.supply_kg_s[node] - children - own - lost).abs() < 1e-9);
            if twin.tree.is_behind(node, leak[0].edge) {
                prop_assert!(solution.supply_pa[node] <= sound.supply_pa[node] + 1e-6);
            }
        }
    }

    #[test]
    fn a_subtree_is_what_has_the_node_on_its_path((tree, _) in trees(), at in any::<prop::sample::Index>()) {
        let node = at.index(tree.len());
        for other in 0..tree.len() {
            let on_path = tree.path_up(other).any(|n| n == node);
            prop_assert_eq!(on_path, tree.is_behind(other, node));
            prop_assert_eq!(on_path, tree.subtree(node).contains(&other));
        }
    }
}
