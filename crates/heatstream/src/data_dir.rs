//! Where `up` keeps what: the demo city and the user's own plant lie apart.

use std::path::{Path, PathBuf};

use heat_runtime::ExitStatus;

use crate::{Failure, cli::SimChoice};

/// Folder of the simulated city.
const DEMO: &str = "demo";
/// Folder of the simulated city that is half converted from steam.
const CONVERSION: &str = "conversion";
/// Folder of the user's own sensors.
const SITE: &str = "site";

/// One deployment's folders.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// The folder for a simulated city or for the user's own sensors.
    pub(crate) fn of(base: &Path, sim: SimChoice) -> Self {
        let folder = match sim {
            SimChoice::Demo => DEMO,
            SimChoice::Conversion => CONVERSION,
            SimChoice::Off => SITE,
        };
        Self { root: base.join(folder) }
    }

    /// Finds the one that is there.
    pub(crate) fn find(base: &Path) -> Result<Self, Failure> {
        let inside = [DEMO, CONVERSION, SITE].map(|folder| base.join(folder));
        let found: Vec<PathBuf> = std::iter::once(base.to_path_buf())
            .chain(inside)
            .filter(|root| root.join("log").is_dir() || root.join("archive").is_dir())
            .collect();
        match found.as_slice() {
            [root] => Ok(Self { root: root.clone() }),
            [] => Err(Failure::new(
                ExitStatus::Usage,
                format!(
                    "{} holds no data of `heatstream up`; name its data directory with --data-dir",
                    base.display()
                ),
            )),
            several => Err(Failure::new(
                ExitStatus::Usage,
                format!(
                    "{} holds several deployments; name one of them with --data-dir: {}",
                    base.display(),
                    several.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ")
                ),
            )),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.root.join("archive")
    }

    pub(crate) fn plant(&self) -> PathBuf {
        self.root.join("plant")
    }

    pub(crate) fn sim_state(&self) -> PathBuf {
        self.root.join("sim.json")
    }

    /// Creates it, and proves that it can be written.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        let probe = self.root.join(".writable");
        std::fs::create_dir_all(&self.root)
            .and_then(|()| std::fs::write(&probe, b""))
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(|error| {
                Failure::new(
                    ExitStatus::Failed,
                    format!(
                        "cannot write to {}: {error}; choose another folder with --data-dir or mend its permissions",
                        self.root.display()
                    ),
                )
            })
    }
}
