//! The checks of the repository, and what they have in common.

use std::{fmt, io, path::Path};

use repository::Repository;
use workspace::Workspace;

mod layers;
mod links;
mod manifests;
mod repository;
mod texts;
mod watching;
mod workspace;

/// Something to remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// File, relative to the repository's root.
    pub(crate) file: String,
    /// Line, from 1, where there is one.
    pub(crate) line: Option<usize>,
    /// What is wrong.
    pub(crate) fault: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Violation {
    fn new(file: &str, fault: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, fault: fault.into(), remedy: remedy.into() }
    }

    fn at(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}; {}", self.fault, self.remedy)
    }
}

/// Why the repository could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TidyError {
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("cannot start cargo: {0}")]
    StartCargo(#[source] io::Error),
    #[error("cargo metadata failed: {0}")]
    Metadata(String),
    #[error("cargo metadata's answer cannot be read: {0}")]
    ParseMetadata(#[source] serde_json::Error),
    #[error("cargo metadata's answer lacks {0}; is cargo older than rust-toolchain.toml says?")]
    IncompleteMetadata(&'static str),
}

/// Runs all checks on the workspace that a folder belongs to; violations come in the order of their files.
pub(crate) fn run(folder: &Path) -> Result<Vec<Violation>, TidyError> {
    let workspace = Workspace::read(folder)?;
    let repository = Repository::read(&workspace.root)?;
    let mut violations = layers::check(&workspace);
    violations.extend(manifests::check(&workspace, &repository));
    violations.extend(texts::check(&workspace, &repository));
    violations.extend(links::check(&repository));
    violations.extend(watching::check(&repository));
    violations.sort_by(|a, b| (&a.file, a.line, &a.fault).cmp(&(&b.file, b.line, &b.fault)));
    violations.dedup();
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_its_place_and_its_remedy() {
        let violation = Violation::new("a/b.rs", "is wrong", "make it right");

        assert_eq!(violation.to_string(), "a/b.rs: is wrong; make it right");
        assert_eq!(violation.at(7).to_string(), "a/b.rs:7: is wrong; make it right");
    }

    #[test]
    fn this_repository_can_be_read() {
        let workspace = Workspace::read(Path::new(".")).unwrap();
        let repository = Repository::read(&workspace.root).unwrap();

        assert!(repository.text("crates/xtask/Cargo.toml").is_some());
        assert!(
            workspace.crates.iter().any(|member| member.name == "xtask" && member.folder == "crates/xtask")
        );
    }
}
