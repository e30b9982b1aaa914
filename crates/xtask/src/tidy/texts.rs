//! The texts: crate roots that introduce themselves, no `mod.rs`, and nothing that is true of one machine only.

use super::{
    Violation,
    repository::Repository,
    workspace::{Crate, Workspace},
};

/// Beginnings of paths that exist on one machine only. Put together here, so that this file may be checked as well.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// What turns a package manager to a registry of one's own.
const REGISTRY_SETTINGS: &[&str] = &[
    concat!("--index", "-url"),
    concat!("--extra-index", "-url"),
    concat!("--find", "-links"),
    concat!("PIP_INDEX", "_URL"),
    concat!("replace", "-with"),
    concat!("<repos", "itory>"),
    concat!("<mir", "ror>"),
    concat!("GOPR", "OXY="),
];

const LOCK: &str = "Cargo.lock";
/// The only source that a locked crate may have, whatever mirror cargo fetched it from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

const CHANGELOG: &str = "CHANGELOG.md";

/// Checks crate roots and all texts.
pub(crate) fn check(workspace: &Workspace, repository: &Repository) -> Vec<Violation> {
    let mut violations: Vec<_> =
        workspace.crates.iter().flat_map(|member| check_roots(member, repository)).collect();
    for (path, text) in repository.texts() {
        if is_mod_file(path) {
            violations.push(Violation::new(
                path,
                "is a mod.rs",
                "name it after its folder, beside it: foo.rs + foo/",
            ));
        }
        check_lines(path, text, &mut violations);
    }
    if !repository
        .text(CHANGELOG)
        .is_some_and(|text| text.lines().any(|line| line.trim() == "## [Unreleased]"))
    {
        violations.push(Violation::new(
            CHANGELOG,
            "has no section for what is not released",
            "add the heading `## [Unreleased]`, as keepachangelog.com has it",
        ));
    }
    violations
}

/// Whether it is a `mod.rs`. What integration tests share must be one: cargo takes `tests/common.rs` for a test.
fn is_mod_file(path: &str) -> bool {
    let parts: Vec<_> = path.rsplit('/').collect();
    parts.first() == Some(&"mod.rs") && parts.get(2) != Some(&"tests")
}

fn check_roots(member: &Crate, repository: &Repository) -> Vec<Violation> {
    let undocumented = |root: &&String| !repository.text(root).is_some_and(|text| text.starts_with("//! "));
    member
        .roots
        .iter()
        .filter(undocumented)
        .map(|root| {
            Violation::new(
                root,
                "a crate's root does not start with its documentation",
                "begin with `//!`: what it is, what it is not, its invariants, where to start reading",
            )
            .at(1)
        })
        .collect()
}

fn check_lines(path: &str, text: &str, violations: &mut Vec<Violation>) {
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(found) = MACHINE_PATHS.iter().find(|start| has_path(line, start)) {
            violations.push(
                Violation::new(
                    path,
                    format!("names a path of one machine, {found}.."),
                    "write it relative to the repository, or take it as a setting",
                )
                .at(number),
            );
        }
        if let Some(found) = REGISTRY_SETTINGS.iter().find(|setting| line.contains(**setting)) {
            violations.push(
                Violation::new(
                    path,
                    format!("chooses a registry, {found}"),
                    "which registry or mirror is used is the machine's matter: set it in the user's own configuration",
                )
                .at(number),
            );
        }
        if path == LOCK && line.starts_with("source = ") && !line.contains(CRATES_IO) {
            violations.push(
                Violation::new(
                    path,
                    format!("a crate comes from elsewhere than crates.io: {line}"),
                    "take a released version from crates.io",
                )
                .at(number),
            );
        }
    }
}

/// Whether a path of this beginning stands in the line; `a/work/` is no such path.
fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| {
            c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | '>' | '*' | '~')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: (&str, &str) = (CHANGELOG, "# Changelog\n\n## [Unreleased]\n");

    fn found(path: &str, text: &str) -> Vec<Option<usize>> {
        let repository = Repository::of(&[KEPT, (path, text)]);
        check(&Workspace::default(), &repository).into_iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn paths_of_one_machine_are_found_with_their_line() {
        for start in MACHINE_PATHS {
            assert_eq!(found("a.md", &format!("one\nsee `{start}main/x`\n")), [Some(2)]);
            assert_eq!(found("a.md", &format!("{start}x")), [Some(1)]);
        }
    }

    #[test]
    fn a_folder_of_that_name_further_down_is_none_of_them() {
        for start in MACHINE_PATHS {
            assert_eq!(
                found("a.md", &format!("incidents/{{id}}{start} and target{start}x and ../..{start}")),
                []
            );
        }
    }

    #[test]
    fn a_chosen_registry_is_found() {
        for setting in REGISTRY_SETTINGS {
            assert_eq!(
                found("x/requirements.txt", &format!("{setting} https://mirror.example\n")),
                [Some(1)]
            );
        }
        assert_eq!(found(LOCK, &format!("source = \"{CRATES_IO}\"\n")), []);
        assert_eq!(found(LOCK, "source = \"git+https://git.example/x\"\n"), [Some(1)]);
    }

    #[test]
    fn a_mod_rs_is_found() {
        assert_eq!(found("crates/a/src/b/mod.rs", ""), [None]);
        assert_eq!(found("crates/a/tests/b/c/mod.rs", ""), [None]);
        assert_eq!(found("crates/a/src/b/md.rs", ""), []);
        assert_eq!(found("crates/a/tests/common/mod.rs", ""), []);
    }

    #[test]
    fn a_changelog_without_its_open_section_is_found() {
        let repository = Repository::of(&[(CHANGELOG, "# Changelog\n\n## [1.0.0]\n")]);
        assert_eq!(check(&Workspace::default(), &repository).len(), 1);
        assert_eq!(check(&Workspace::default(), &Repository::default()).len(), 1);
    }

    #[test]
    fn a_crate_root_without_introduction_is_found() {
        let member = Crate {
            name: "a".to_owned(),
            folder: "crates/a".to_owned(),
            dependencies: Vec::new(),
            roots: vec!["crates/a/src/lib.rs".to_owned()],
            is_publishable: false,
        };

        let bare = Repository::of(&[("crates/a/src/lib.rs", "use std::fmt;\n")]);
        let introduced = Repository::of(&[("crates/a/src/lib.rs", "//! Is a thing.\n")]);

        assert_eq!(check_roots(&member, &bare).len(), 1);
        assert_eq!(check_roots(&member, &introduced), []);
    }
}
