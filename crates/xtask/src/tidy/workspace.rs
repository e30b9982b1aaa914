//! The workspace as cargo sees it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::TidyError;

/// For what a dependency is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DependencyKind {
    /// To build the crate.
    Normal,
    /// To build its tests.
    Development,
    /// To run its build script.
    Build,
}

/// A direct dependency.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: DependencyKind,
}

/// A crate of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Crate {
    pub(crate) name: String,
    /// Folder, relative to the repository's root.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// Root files of its library and binaries, relative to the repository's root.
    pub(crate) roots: Vec<String>,
    /// Whether any registry could be published to.
    pub(crate) is_publishable: bool,
}

impl Crate {
    /// Path of its manifest.
    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

/// All crates of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// The repository's root.
    pub(crate) root: PathBuf,
    pub(crate) crates: Vec<Crate>,
}

impl Workspace {
    /// Asks cargo about the workspace that a folder belongs to.
    pub(crate) fn read(folder: &Path) -> Result<Self, TidyError> {
        let output = Command::new("cargo")
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .current_dir(folder)
            .output()
            .map_err(TidyError::StartCargo)?;
        if !output.status.success() {
            return Err(TidyError::Metadata(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Self::parse(&serde_json::from_slice(&output.stdout).map_err(TidyError::ParseMetadata)?)
    }

    fn parse(metadata: &Value) -> Result<Self, TidyError> {
        let root = text(metadata, "workspace_root")?;
        let crates = list(metadata, "packages")?.iter().map(|package| parse_crate(package, root));
        Ok(Self { root: PathBuf::from(root), crates: crates.collect::<Result<_, _>>()? })
    }
}

fn parse_crate(package: &Value, root: &str) -> Result<Crate, TidyError> {
    let relative = |path: &str| path.strip_prefix(root).unwrap_or(path).trim_start_matches('/').to_owned();
    let manifest = relative(text(package, "manifest_path")?);
    let mut roots = Vec::new();
    for target in list(package, "targets")? {
        let kinds = list(target, "kind")?;
        if kinds.iter().any(|kind| kind == "lib" || kind == "bin" || kind == "proc-macro") {
            roots.push(relative(text(target, "src_path")?));
        }
    }
    let mut dependencies = Vec::new();
    for dependency in list(package, "dependencies")? {
        let kind = match dependency.get("kind").and_then(Value::as_str) {
            Some("dev") => DependencyKind::Development,
            Some("build") => DependencyKind::Build,
            Some(_) | None => DependencyKind::Normal,
        };
        dependencies.push(Dependency { name: text(dependency, "name")?.to_owned(), kind });
    }
    Ok(Crate {
        name: text(package, "name")?.to_owned(),
        folder: manifest.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned(),
        dependencies,
        roots,
        // No list means any registry; an empty one means none.
        is_publishable: package.get("publish").and_then(Value::as_array).is_none_or(|list| !list.is_empty()),
    })
}

fn text<'a>(value: &'a Value, key: &'static str) -> Result<&'a str, TidyError> {
    value.get(key).and_then(Value::as_str).ok_or(TidyError::IncompleteMetadata(key))
}

fn list<'a>(value: &'a Value, key: &'static str) -> Result<&'a [Value], TidyError> {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).ok_or(TidyError::IncompleteMetadata(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cargos_answer_becomes_crates_with_relative_paths() {
        let metadata = json!({
            "workspace_root": "/r",
            "packages": [{
                "name": "heat-model", "manifest_path": "/r/crates/heat-model/Cargo.toml", "publish": [],
                "dependencies": [{"name": "serde", "kind": null}, {"name": "proptest", "kind": "dev"}],
                "targets": [
                    {"kind": ["lib"], "src_path": "/r/crates/heat-model/src/lib.rs"},
                    {"kind": ["custom-build"], "src_path": "/r/crates/heat-model/build.rs"},
                ],
            }],
        });

        let workspace = Workspace::parse(&metadata).unwrap();

        let member = &workspace.crates[0];
        assert_eq!(member.manifest(), "crates/heat-model/Cargo.toml");
        assert_eq!(member.roots, ["crates/heat-model/src/lib.rs"]);
        assert_eq!(member.dependencies[1].kind, DependencyKind::Development);
        assert!(!member.is_publishable);
    }

    #[test]
    fn a_crate_without_a_list_of_registries_is_publishable() {
        let metadata = json!({
            "workspace_root": "/r",
            "packages": [{"name": "a", "manifest_path": "/r/a/Cargo.toml", "publish": null, "dependencies": [], "targets": []}],
        });
        assert!(Workspace::parse(&metadata).unwrap().crates[0].is_publishable);
    }
}
