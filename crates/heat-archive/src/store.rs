//! Bytes by path, durably. All that the archive asks of a file system or an object store.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};

use crate::{
    archive::ArchiveError,
    location::{Location, Place},
};

mod environment;
mod http;
mod local;
mod remote;

use local::Local;
use remote::Remote;

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

/// A store. Every put is whole or absent, and durable, names included, when it returns.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    Local(Local),
    Remote(Arc<Remote>),
}

impl Store {
    /// Opens a folder, which is created if it is not there, or a bucket, which is not asked yet.
    pub(crate) async fn open(location: &Location) -> Result<Self, ArchiveError> {
        let opened = match location.place() {
            None => return Err(ArchiveError::Location { location: location.to_string() }),
            Some(Place::Folder(folder)) => Local::open(folder.into()).await.map(Self::Local),
            Some(Place::Bucket { .. }) => Remote::open(location).map(|remote| Self::Remote(Arc::new(remote))),
        };
        opened.map_err(|source| ArchiveError::Open { location: location.to_string(), source })
    }

    /// Where others find an object.
    pub(crate) fn address(&self, path: &str) -> String {
        match self {
            Self::Local(local) => local.address(path),
            Self::Remote(remote) => remote.address(path),
        }
    }

    /// How many puts are worth while at once: a store far away answers late, and a disk syncs many files in the time of one.
    pub(crate) fn puts_at_once(&self) -> usize {
        match self {
            Self::Local(_) => local::PUTS_AT_ONCE,
            Self::Remote(_) => remote::REQUESTS_AT_ONCE,
        }
    }

    fn objects(&self) -> Arc<dyn ObjectStore> {
        match self {
            Self::Local(local) => local.objects(),
            Self::Remote(remote) => remote.objects(),
        }
    }

    fn failed(&self, error: object_store::Error) -> BoxError {
        match self {
            Self::Local(_) => local::failed(error),
            Self::Remote(remote) => remote.failed(error),
        }
    }

    /// Writes an object, in place of what is there.
    pub(crate) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), BoxError> {
        match self {
            Self::Local(local) => local.put(path, bytes).await,
            Self::Remote(remote) => remote.put(path, bytes).await,
        }
    }

    /// Writes an object where none is yet.
    pub(crate) async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<Created, BoxError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = async {
            self.objects().put_opts(&Path::parse(path)?, PutPayload::from_bytes(bytes), options).await
        };
        match put.await {
            Ok(_) => Ok(Created::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::AlreadyThere),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whether a put where something is already is refused, as two archivers at once rely on. Asked of an object store
    /// once; file systems do so.
    pub(crate) async fn refuses_second_put(&self) -> Result<bool, BoxError> {
        let Self::Remote(remote) = self else { return Ok(true) };
        if !remote.is_proven() {
            // There from the second time on: then one question is enough.
            for _ in 0..2 {
                let put = self.put_if_absent(remote::PROBE, Bytes::from_static(b"heatstream")).await?;
                if put == Created::AlreadyThere {
                    remote.set_proven();
                    break;
                }
            }
        }
        Ok(remote.is_proven())
    }

    /// Makes a file known under a second path as well; what was there before is replaced.
    pub(crate) async fn copy(&self, from: &str, to: &str) -> Result<(), BoxError> {
        if let Self::Local(local) = self {
            local.close_to_others(to).await?;
        }
        let copy = async { self.objects().copy(&Path::parse(from)?, &Path::parse(to)?).await };
        copy.await.map_err(|error| self.failed(error))?;
        match self {
            Self::Local(local) => local.tidy_after_copy(to).await,
            Self::Remote(_) => Ok(()),
        }
    }

    /// Takes a file away; one that is not there is no error.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), BoxError> {
        let delete = async { self.objects().delete(&Path::parse(path)?).await };
        match delete.await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The object's bytes, or nothing if there is none.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Bytes>, BoxError> {
        let get = async { self.objects().get(&Path::parse(path)?).await?.bytes().await };
        match get.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Ranges of the object's bytes, or nothing if there is none.
    pub(crate) async fn get_ranges(
        &self,
        path: &str,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Option<Vec<Bytes>>, BoxError> {
        let get = async { self.objects().get_ranges(&Path::parse(path)?, ranges).await };
        match get.await {
            Ok(ranges) => Ok(Some(ranges)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// All objects below a folder, in order of their paths.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Found>, BoxError> {
        let list = async {
            let prefix = if folder.is_empty() { None } else { Some(Path::parse(folder)?) };
            let listed = self.objects().list(prefix.as_ref());
            listed
                .map_ok(|meta| Found { path: meta.location.to_string(), bytes: meta.size })
                .try_collect::<Vec<Found>>()
                .await
        };
        let mut found = list.await.map_err(|error: object_store::Error| self.failed(error))?;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Makes durable what a folder lists: a process that died between linking a file and syncing its folder leaves
    /// a name that a power cut could still take back.
    pub(crate) async fn sync_folder(&self, folder: &str) -> Result<(), BoxError> {
        match self {
            Self::Local(local) => local.sync_folder(folder).await,
            Self::Remote(_) => Ok(()),
        }
    }
}
