//! Bytes by path, durably. All that the archive asks of a file system or an object store.

use std::{io::ErrorKind, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, local::LocalFileSystem, path::Path,
};

use crate::{archive::ArchiveError, location::Location};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What became of a conditional put.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Created {
    Created,
    AlreadyThere,
}

/// One object found by a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: String,
    pub(crate) bytes: u64,
}

/// A store. Every put is whole or absent, and durable, names included, when it returns: on the local file system
/// object_store writes beside the target, syncs the file, renames or links it, and syncs the folder and every folder
/// that it had to create.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    objects: Arc<LocalFileSystem>,
    root: PathBuf,
}

impl Store {
    /// Opens a folder; creates it if it is not there.
    pub(crate) async fn open(location: &Location) -> Result<Self, ArchiveError> {
        let Some(folder) = location.folder().map(PathBuf::from) else {
            return Err(ArchiveError::Location { location: location.to_string() });
        };
        let opened = tokio::task::spawn_blocking(move || Self::local(&folder)).await;
        opened
            .map_err(BoxError::from)
            .and_then(|store| store)
            .map_err(|source| ArchiveError::Open { location: location.to_string(), source })
    }

    fn local(root: &std::path::Path) -> Result<Self, BoxError> {
        std::fs::create_dir_all(root)?;
        let root = std::fs::canonicalize(root)?;
        let objects = LocalFileSystem::new_with_prefix(&root)?.with_fsync(true);
        Ok(Self { objects: Arc::new(objects), root })
    }

    pub(crate) fn address(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    pub(crate) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), BoxError> {
        // A process that died while it wrote leaves `PATH#1`, which object_store neither lists nor removes. The rerun
        // comes by the same path.
        self.remove_stale(&format!("{path}#1")).await?;
        self.objects.put(&Path::parse(path)?, PutPayload::from_bytes(bytes)).await?;
        Ok(())
    }

    async fn remove_stale(&self, path: &str) -> Result<(), BoxError> {
        let stale = self.root.join(path);
        let remove = move || match std::fs::remove_file(&stale) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(error)
            }
            Ok(()) | Err(_) => Ok(()),
        };
        Ok(tokio::task::spawn_blocking(remove).await??)
    }

    pub(crate) async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<Created, BoxError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(&Path::parse(path)?, PutPayload::from_bytes(bytes), options).await {
            Ok(_) => Ok(Created::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::AlreadyThere),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a file known under a second path as well; what was there before is replaced.
    pub(crate) async fn copy(&self, from: &str, to: &str) -> Result<(), BoxError> {
        self.objects.copy(&Path::parse(from)?, &Path::parse(to)?).await?;
        // object_store links beside the target and renames; where both are links to one file, which a run that died
        // leaves, the rename does nothing, and the link stays.
        self.remove_stale(&format!("{to}#0")).await?;
        self.remove_stale(&format!("{to}#1")).await
    }

    /// Takes a file away; one that is not there is no error.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), BoxError> {
        match self.objects.delete(&Path::parse(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The object's bytes, or nothing if there is none.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Bytes>, BoxError> {
        match self.objects.get(&Path::parse(path)?).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All objects below a folder, in order of their paths.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Found>, BoxError> {
        let prefix = if folder.is_empty() { None } else { Some(Path::parse(folder)?) };
        let mut found: Vec<Found> = self
            .objects
            .list(prefix.as_ref())
            .map_ok(|meta| Found { path: meta.location.to_string(), bytes: meta.size })
            .try_collect()
            .await?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Makes durable what a folder lists: a process that died between linking a file and syncing its folder leaves
    /// a name that a power cut could still take back.
    pub(crate) async fn sync_folder(&self, folder: &str) -> Result<(), BoxError> {
        let path = self.root.join(folder);
        let sync = move || match std::fs::File::open(&path) {
            Ok(folder) => folder.sync_all(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        tokio::task::spawn_blocking(sync).await??;
        Ok(())
    }
}
