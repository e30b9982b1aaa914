//! Who may depend on whom. Dependencies point inward only; words and cores stay pure.

use super::{
    Violation,
    workspace::{Crate, Dependency, DependencyKind, Workspace},
};

/// Layers from the inside out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Words,
    Cores,
    Adapters,
    Roles,
    Tools,
    Binary,
    Tests,
}

impl Layer {
    fn name(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Cores => "cores",
            Self::Adapters => "adapters",
            Self::Roles => "roles",
            Self::Tools => "tools",
            Self::Binary => "binary",
            Self::Tests => "tests",
        }
    }

    /// Whether crates of this layer may use each other. Adapters and roles may not: what two of them share is a word
    /// or a core.
    fn is_cohesive(self) -> bool {
        matches!(self, Self::Words | Self::Cores | Self::Tools)
    }

    fn is_pure(self) -> bool {
        self <= Self::Cores
    }
}

const LAYERS: &[(Layer, &[&str])] = &[
    (Layer::Words, &["heat-model", "heat-codec"]),
    (Layer::Cores, &["heat-hydraulics", "heat-detect", "heat-ledger", "heat-view"]),
    (Layer::Adapters, &["heat-log", "heat-mqtt", "heat-archive", "heat-runtime"]),
    (Layer::Roles, &["heat-gateway", "heat-processor", "heat-archiver", "heat-exporter", "heat-api"]),
    (Layer::Tools, &["heat-backtest", "heat-report", "heat-sim", "heat-bench", "xtask"]),
    (Layer::Binary, &["heatstream"]),
    (Layer::Tests, &["heat-tests"]),
];

/// What the tests of any crate may use although it lies further out.
const TEST_SUPPORT: &[&str] = &["heat-tests", "heat-sim"];

/// What words and cores never name, not even in tests: I/O, tasks, clients, and the places where data are shown.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio-stream",
    "tokio-util",
    "rdkafka",
    "rumqttc",
    "mqtt-protocol-core",
    "arrow",
    "parquet",
    "object_store",
    "prometheus",
    "axum",
    "ureq",
    "rustix",
    "tracing-subscriber",
];

/// Checks each crate's direct dependencies.
pub(crate) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.crates.iter().flat_map(check_crate).collect()
}

fn check_crate(member: &Crate) -> Vec<Violation> {
    let file = member.manifest();
    let Some(layer) = layer_of(&member.name) else {
        return vec![Violation::new(
            &file,
            format!("{} is in no layer", member.name),
            "name it in LAYERS of crates/xtask/src/tidy/layers.rs and in ARCHITECTURE.md, or merge it into a crate that is",
        )];
    };
    let mut violations = Vec::new();
    for dependency in &member.dependencies {
        let name = &dependency.name;
        if layer.is_pure() && IMPURE.contains(&name.as_str()) {
            violations.push(Violation::new(
                &file,
                format!("{} is of the {} and names {name}", member.name, layer.name()),
                "move what needs it into an adapter, and pass its result in as a value",
            ));
        }
        if let Some(other) = layer_of(name)
            && !may_use(layer, other, dependency)
        {
            violations.push(Violation::new(
                &file,
                format!("{} ({}) depends on {name} ({})", member.name, layer.name(), other.name()),
                "dependencies point inward only: move what both need further in, or wire the two in a role or in tests/",
            ));
        }
    }
    violations
}

fn may_use(user: Layer, used: Layer, dependency: &Dependency) -> bool {
    let is_for_tests = dependency.kind == DependencyKind::Development;
    if is_for_tests && TEST_SUPPORT.contains(&dependency.name.as_str()) {
        return true;
    }
    match user {
        // The support library is used by the tests of every crate, so it may stand on none of them; system tests may.
        Layer::Tests => is_for_tests,
        Layer::Words | Layer::Cores | Layer::Adapters | Layer::Roles | Layer::Tools | Layer::Binary => {
            used < user || (used == user && user.is_cohesive())
        }
    }
}

fn layer_of(name: &str) -> Option<Layer> {
    LAYERS.iter().find(|(_, names)| names.contains(&name)).map(|(layer, _)| *layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(user: &str, used: &str, kind: DependencyKind) -> usize {
        let member = Crate {
            name: user.to_owned(),
            folder: format!("crates/{user}"),
            dependencies: vec![Dependency { name: used.to_owned(), kind }],
            roots: Vec::new(),
            is_publishable: false,
        };
        check_crate(&member).len()
    }

    #[test]
    fn dependencies_point_inward() {
        use DependencyKind::Normal;

        assert_eq!(faults("heat-gateway", "heat-log", Normal), 0);
        assert_eq!(faults("heat-codec", "heat-model", Normal), 0);
        assert_eq!(faults("heat-detect", "heat-hydraulics", Normal), 0);
        assert_eq!(faults("heat-bench", "heat-sim", Normal), 0);
        assert_eq!(faults("heatstream", "heat-bench", Normal), 0);

        assert_eq!(faults("heat-model", "heat-ledger", Normal), 1);
        assert_eq!(faults("heat-log", "heat-gateway", Normal), 1);
        assert_eq!(faults("heat-processor", "heat-sim", Normal), 1);
        assert_eq!(faults("heat-bench", "heatstream", Normal), 1);
    }

    #[test]
    fn adapters_and_roles_stand_side_by_side() {
        assert_eq!(faults("heat-mqtt", "heat-log", DependencyKind::Normal), 1);
        assert_eq!(faults("heat-mqtt", "heat-log", DependencyKind::Development), 1);
        assert_eq!(faults("heat-api", "heat-exporter", DependencyKind::Normal), 1);
    }

    #[test]
    fn test_support_is_for_tests_only() {
        assert_eq!(faults("heat-log", "heat-tests", DependencyKind::Development), 0);
        assert_eq!(faults("heat-detect", "heat-sim", DependencyKind::Development), 0);
        assert_eq!(faults("heat-log", "heat-tests", DependencyKind::Normal), 1);
        assert_eq!(faults("heat-tests", "heat-gateway", DependencyKind::Development), 0);
        assert_eq!(faults("heat-tests", "heat-log", DependencyKind::Normal), 1);
    }

    #[test]
    fn words_and_cores_are_pure_even_in_their_tests_and_build_scripts() {
        for kind in [DependencyKind::Normal, DependencyKind::Development, DependencyKind::Build] {
            for pure in ["heat-model", "heat-ledger"] {
                assert_eq!(faults(pure, "tokio", kind), 1);
            }
        }
        assert_eq!(faults("heat-runtime", "tokio", DependencyKind::Normal), 0);
        assert_eq!(faults("heat-ledger", "hashbrown", DependencyKind::Normal), 0);
    }

    #[test]
    fn a_crate_of_no_layer_is_found() {
        assert_eq!(faults("heat-helpers", "serde", DependencyKind::Normal), 1);
    }
}
