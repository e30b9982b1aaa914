//! Plant tables between processes, as a utility hands them over.

use std::path::Path;

use heat_model::plant::PlantModel;

use crate::error::BenchError;

/// Writes the tables into a folder.
pub(crate) fn write(plant: &PlantModel, folder: &Path) -> Result<(), BenchError> {
    for (name, text) in heat_codec::plant::write_tables(plant) {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(BenchError::file("write", &path))?;
    }
    Ok(())
}

/// Reads the tables of a folder.
pub(crate) fn read(folder: &Path) -> Result<PlantModel, BenchError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(BenchError::file("list", folder))? {
        let entry = entry.map_err(BenchError::file("list", folder))?;
        let text = std::fs::read_to_string(entry.path()).map_err(BenchError::file("read", &entry.path()))?;
        files.push((entry.file_name().to_string_lossy().into_owned(), text));
    }
    heat_codec::plant::read(&files).map_err(BenchError::act("read the simulated city's plant tables"))
}
