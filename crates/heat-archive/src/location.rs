//! Where an archive is.

use std::fmt;

/// A folder of the local file system, as a path or a `file://` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    url: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl From<String> for Location {
    fn from(url: String) -> Self {
        Self { url }
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
    /// The folder; `None` if it is a location of a kind that is not supported.
    pub fn folder(&self) -> Option<&str> {
        match self.url.split_once("://") {
            None => Some(&self.url),
            Some(("file", path)) => Some(path),
            Some(_) => None,
        }
    }
}
