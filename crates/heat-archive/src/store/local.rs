//! A folder of the local file system. `object_store` writes beside the target, syncs the file, renames or links it, and
//! syncs the folder and every folder that it had to create.

use std::{
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path as FsPath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, local::LocalFileSystem, path::Path};

use super::BoxError;
use crate::layout;

/// Files that are written side by side at most. On ext4 eight at a time took a tenth of the time of one after the other: a
/// commit of the journal makes all durable that wait for it.
pub(super) const PUTS_AT_ONCE: usize = 8;

/// What the file system refused, with the remedy.
#[derive(Debug, thiserror::Error)]
#[error("free space on the archive's disk, or make the archive's folder writable for this user")]
struct Refused(#[source] BoxError);

pub(super) fn failed(error: impl Into<BoxError>) -> BoxError {
    Refused(error.into()).into()
}

#[derive(Debug, Clone)]
pub(crate) struct Local {
    objects: Arc<LocalFileSystem>,
    root: PathBuf,
}

impl Local {
    pub(super) async fn open(root: PathBuf) -> Result<Self, BoxError> {
        let open = move || -> Result<Self, BoxError> {
            std::fs::create_dir_all(&root).map_err(failed)?;
            let root = std::fs::canonicalize(&root).map_err(failed)?;
            let objects = LocalFileSystem::new_with_prefix(&root)?.with_fsync(true);
            Ok(Self { objects: Arc::new(objects), root })
        };
        tokio::task::spawn_blocking(open).await?
    }

    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::<LocalFileSystem>::clone(&self.objects)
    }

    pub(super) fn address(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    pub(super) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), BoxError> {
        self.close_to_others(path).await?;
        // A process that died while it wrote leaves `PATH#1`, which object_store neither lists nor removes. The rerun
        // comes by the same path.
        self.remove_stale(&format!("{path}#1")).await?;
        let put = async { self.objects.put(&Path::parse(path)?, PutPayload::from_bytes(bytes)).await };
        put.await.map_err(failed)?;
        Ok(())
    }

    /// Sees to it that a folder of homes' readings is open to its owner alone when it is made, and never to everybody: who
    /// may read them besides is a group's matter (`chmod`).
    pub(super) async fn close_to_others(&self, path: &str) -> Result<(), BoxError> {
        let Some(folder) = layout::private_folder(path) else { return Ok(()) };
        let root = self.root.clone();
        tokio::task::spawn_blocking(move || close_to_others(&root, folder)).await?.map_err(failed)
    }

    /// `object_store` links beside the target and renames; where both are links to one file, which a run that died
    /// leaves, the rename does nothing, and the link stays.
    pub(super) async fn tidy_after_copy(&self, to: &str) -> Result<(), BoxError> {
        self.remove_stale(&format!("{to}#0")).await?;
        self.remove_stale(&format!("{to}#1")).await
    }

    async fn remove_stale(&self, path: &str) -> Result<(), BoxError> {
        let stale = self.root.join(path);
        let remove = move || match std::fs::remove_file(&stale) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(error)
            }
            Ok(()) | Err(_) => Ok(()),
        };
        tokio::task::spawn_blocking(remove).await?.map_err(failed)
    }

    pub(super) async fn sync_folder(&self, folder: &str) -> Result<(), BoxError> {
        let path = self.root.join(folder);
        let sync = move || match std::fs::File::open(&path) {
            Ok(folder) => folder.sync_all(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        tokio::task::spawn_blocking(sync).await?.map_err(failed)
    }
}

/// Any permission of others than owner and group.
const OF_OTHERS: u32 = 0o007;

fn close_to_others(root: &FsPath, folder: &str) -> std::io::Result<()> {
    let mut path = root.to_owned();
    for part in folder.split('/') {
        let parent = path.clone();
        path.push(part);
        let mode = if folder.ends_with(part) { 0o700 } else { 0o777 };
        match std::fs::DirBuilder::new().mode(mode).create(&path) {
            // Its name is to outlive a power cut, as all that is written below it does.
            Ok(()) => std::fs::File::open(&parent)?.sync_all()?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let mode = std::fs::metadata(&path)?.permissions().mode();
    if mode & OF_OTHERS != 0 {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode & !OF_OTHERS))?;
    }
    Ok(())
}
