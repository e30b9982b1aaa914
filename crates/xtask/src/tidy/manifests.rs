//! The manifests: versions, dependencies and lints are said once, in the workspace.

use toml::{Table, Value};

use super::{
    Violation,
    repository::Repository,
    workspace::{Crate, Workspace},
};

/// Test support prints and panics by design, so it has its own list of lints; and it lies beside the crates, because its
/// tests are the product's.
const TESTS: &str = "heat-tests";
const TESTS_FOLDER: &str = "tests";

const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];
const DEPENDENCY_TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Checks each crate's manifest and folder.
pub(crate) fn check(workspace: &Workspace, repository: &Repository) -> Vec<Violation> {
    workspace.crates.iter().flat_map(|member| check_crate(member, repository)).collect()
}

fn check_crate(member: &Crate, repository: &Repository) -> Vec<Violation> {
    let file = member.manifest();
    let mut violations = Vec::new();
    if member.is_publishable {
        violations.push(Violation::new(&file, "could be published", "write `publish.workspace = true`"));
    }
    let folder =
        if member.name == TESTS { TESTS_FOLDER.to_owned() } else { format!("crates/{}", member.name) };
    if member.folder != folder {
        violations.push(Violation::new(
            &file,
            format!("{} lies in {}", member.name, member.folder),
            format!("a folder bears its crate's name: move it to {folder}"),
        ));
    }
    match repository.text(&file).map(str::parse::<Table>) {
        Some(Ok(manifest)) => {
            check_package(member, &manifest, &mut violations);
            check_dependencies(&file, "", &manifest, &mut violations);
            for (target, tables) in manifest.get("target").and_then(Value::as_table).into_iter().flatten() {
                if let Some(tables) = tables.as_table() {
                    check_dependencies(&file, &format!("target.{target}."), tables, &mut violations);
                }
            }
        }
        Some(Err(error)) => violations.push(Violation::new(&file, error.message(), "write it as TOML")),
        None => violations.push(Violation::new(&file, "is not among the files read", "write it as UTF-8")),
    }
    violations
}

fn check_package(member: &Crate, manifest: &Table, violations: &mut Vec<Violation>) {
    let file = member.manifest();
    for key in INHERITED {
        let value = manifest.get("package").and_then(|package| package.get(key));
        if !value.is_some_and(is_inherited) {
            violations.push(Violation::new(
                &file,
                format!("package.{key} is not the workspace's"),
                format!("write `{key}.workspace = true`"),
            ));
        }
    }
    let lints = manifest.get("lints");
    if member.name != TESTS && !lints.is_some_and(is_inherited) {
        violations.push(Violation::new(
            &file,
            "has not the workspace's lints",
            "write `[lints]` with `workspace = true`; an exception is an `#[expect(.., reason = \"..\")]` in the code",
        ));
    }
    if member.name == TESTS && lints.is_none() {
        violations.push(Violation::new(
            &file,
            "has no lints",
            "write `[lints.rust]` with `unsafe_code = \"forbid\"`",
        ));
    }
}

fn check_dependencies(file: &str, path: &str, tables: &Table, violations: &mut Vec<Violation>) {
    for table in DEPENDENCY_TABLES {
        for (name, dependency) in tables.get(*table).and_then(Value::as_table).into_iter().flatten() {
            if !is_inherited(dependency) {
                violations.push(Violation::new(
                    file,
                    format!("{path}{table}.{name} is not the workspace's"),
                    format!("name its version in [workspace.dependencies] and write `{name}.workspace = true` here"),
                ));
            }
        }
    }
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "[package]
name = \"heat-model\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true
[lints]
workspace = true
[dependencies]
serde.workspace = true
[dev-dependencies]
tokio = { workspace = true, features = [\"test-util\"] }
";

    fn member(name: &str, folder: &str) -> Crate {
        Crate {
            name: name.to_owned(),
            folder: folder.to_owned(),
            dependencies: Vec::new(),
            roots: Vec::new(),
            is_publishable: false,
        }
    }

    fn faults(manifest: &str) -> Vec<String> {
        let repository = Repository::of(&[("crates/heat-model/Cargo.toml", manifest)]);
        let violations = check_crate(&member("heat-model", "crates/heat-model"), &repository);
        violations.into_iter().map(|violation| violation.fault).collect()
    }

    #[test]
    fn a_sound_manifest_passes() {
        assert_eq!(faults(SOUND), Vec::<String>::new());
    }

    #[test]
    fn a_version_beside_the_workspaces_is_found() {
        let manifest = SOUND.replace("serde.workspace = true", "serde = \"1\"");
        assert_eq!(faults(&manifest), ["dependencies.serde is not the workspace's"]);

        let manifest =
            format!("{SOUND}[target.'cfg(unix)'.build-dependencies]\ncc = {{ version = \"1\" }}\n");
        assert_eq!(faults(&manifest), ["target.cfg(unix).build-dependencies.cc is not the workspace's"]);
    }

    #[test]
    fn missing_lints_and_own_package_values_are_found() {
        assert_eq!(
            faults(&SOUND.replace("[lints]\nworkspace = true\n", "")),
            ["has not the workspace's lints"]
        );
        assert_eq!(
            faults(&SOUND.replace("edition.workspace = true", "edition = \"2021\"")),
            ["package.edition is not the workspace's"]
        );
    }

    #[test]
    fn only_the_test_support_has_its_own_lints_and_folder() {
        let manifest =
            SOUND.replace("[lints]\nworkspace = true\n", "[lints.rust]\nunsafe_code = \"forbid\"\n");
        let repository = Repository::of(&[("tests/Cargo.toml", &manifest)]);
        assert_eq!(check_crate(&member(TESTS, "tests"), &repository), []);

        let bare = SOUND.replace("[lints]\nworkspace = true\n", "");
        let repository = Repository::of(&[("tests/Cargo.toml", &bare)]);
        assert_eq!(check_crate(&member(TESTS, "tests"), &repository).len(), 1);
    }

    #[test]
    fn a_folder_of_another_name_and_a_publishable_crate_are_found() {
        let repository = Repository::of(&[("crates/model/Cargo.toml", SOUND)]);
        let publishable = Crate { is_publishable: true, ..member("heat-model", "crates/model") };

        let faults: Vec<_> =
            check_crate(&publishable, &repository).into_iter().map(|found| found.fault).collect();

        assert_eq!(faults, ["could be published", "heat-model lies in crates/model"]);
    }
}
