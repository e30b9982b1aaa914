//! Where an archive is, and how its store is reached.

use std::{fmt, path::PathBuf, time::Duration};

/// How long a request to an object store may take without anything coming back, unless something else is set.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A folder of the local file system, as a path or a `file://` URL, or a prefix in a bucket of an object store:
/// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    url: String,
    access: Access,
}

/// How an object store is reached. What is absent is taken from the environment; credentials are never held here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Where the store listens, if it is not the vendor's own address. `http://` sends everything in the clear.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// A file of `NAME=value` lines with the names that the environment would have.
    pub credentials_file: Option<PathBuf>,
    /// [`REQUEST_TIMEOUT`] if absent.
    pub request_timeout: Option<Duration>,
}

/// Which protocol a bucket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon S3 and all that speak like it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// What a location's URL says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A folder of the local file system.
    Folder(&'a str),
    /// A prefix in a bucket.
    Bucket {
        /// The protocol.
        cloud: Cloud,
        /// The bucket, or Azure's container.
        bucket: &'a str,
        /// Without slashes at its ends; may be empty.
        prefix: &'a str,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Somebody may have put credentials where none belong.
        match (self.url.split_once("://"), self.url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => write!(f, "{scheme}://...@{host}"),
            _ => f.write_str(&self.url),
        }
    }
}

impl From<String> for Location {
    fn from(url: String) -> Self {
        Self { url, access: Access::default() }
    }
}

impl From<&str> for Location {
    fn from(url: &str) -> Self {
        url.to_owned().into()
    }
}

impl From<&String> for Location {
    fn from(url: &String) -> Self {
        url.clone().into()
    }
}

impl From<&Self> for Location {
    fn from(location: &Self) -> Self {
        location.clone()
    }
}

impl Location {
    /// Says how its store is reached.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// How its store is reached.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// What the URL says; `None` if it is of a kind that is not supported.
    pub fn place(&self) -> Option<Place<'_>> {
        let Some((scheme, rest)) = self.url.split_once("://") else { return Some(Place::Folder(&self.url)) };
        let cloud = match scheme {
            "file" => return Some(Place::Folder(rest)),
            "s3" => Cloud::S3,
            "gs" => Cloud::Google,
            "az" => Cloud::Azure,
            _ => return None,
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_bucket = !bucket.is_empty() && bucket.bytes().all(is_name);
        is_bucket.then_some(Place::Bucket { cloud, bucket, prefix: prefix.trim_matches('/') })
    }

    /// The folder; `None` if it is none of the local file system.
    pub fn folder(&self) -> Option<&str> {
        match self.place()? {
            Place::Folder(folder) => Some(folder),
            Place::Bucket { .. } => None,
        }
    }

    /// The URL without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        self.url.trim_end_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_folder_or_a_bucket_with_a_prefix() {
        let bucket = |cloud, bucket, prefix| Some(Place::Bucket { cloud, bucket, prefix });
        for (url, place) in [
            ("heatstream-data/archive", Some(Place::Folder("heatstream-data/archive"))),
            ("file:///srv/archive", Some(Place::Folder("/srv/archive"))),
            ("s3://heat/city/north/", bucket(Cloud::S3, "heat", "city/north")),
            ("gs://heat", bucket(Cloud::Google, "heat", "")),
            ("az://heat/city", bucket(Cloud::Azure, "heat", "city")),
            ("s3:///city", None),
            ("s3://key:secret@heat/city", None),
            ("ftp://heat/city", None),
        ] {
            assert_eq!(Location::from(url).place(), place, "{url}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_not_shown() {
        let shown = Location::from("s3://key:secret@heat/city").to_string();
        assert_eq!(shown, "s3://...@heat/city");
    }
}
