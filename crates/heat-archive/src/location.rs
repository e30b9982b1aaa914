//! Where an archive is, and how to get in.

use std::fmt;

/// A folder's path, a `file://` URL, or a bucket's (`s3://bucket/prefix`, `gs://…`, `az://container/prefix`), with what
/// opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    url: String,
    options: Vec<(String, String)>,
}

/// Shows no option's value: some are secrets.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.options.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("Location").field("url", &self.url).field("options", &keys).finish()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl<T: Into<String>> From<T> for Location {
    fn from(url: T) -> Self {
        Self { url: url.into(), options: Vec::new() }
    }
}

impl Location {
    /// Names under which a process's environment holds what opens a bucket: the vendors' own.
    pub const VARIABLES: &[&str] = &[
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ALLOW_HTTP",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_CLIENT_ID",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZURE_STORAGE_TENANT_ID",
        "AZURE_STORAGE_ENDPOINT",
        "AZURE_FEDERATED_TOKEN_FILE",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ];

    /// Takes from the environment what [`Self::VARIABLES`] name. A folder needs none of it.
    #[must_use]
    pub fn with_environment(mut self, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        if self.is_bucket() {
            let found = |name: &&str| variable(name).map(|value| (name.to_ascii_lowercase(), value));
            self.options.extend(Self::VARIABLES.iter().filter_map(found));
        }
        self
    }

    /// Sets one option, by the name that its variable has; it goes before the environment's.
    #[must_use]
    pub fn with_option(mut self, name: &str, value: impl Into<String>) -> Self {
        self.options.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The folder, if it is one of the local file system.
    pub fn folder(&self) -> Option<&str> {
        match self.url.split_once("://") {
            None => Some(&self.url),
            Some(("file", path)) => Some(path),
            Some(_) => None,
        }
    }

    /// Whether it is a bucket of a kind that is supported.
    fn is_bucket(&self) -> bool {
        false
    }

    /// Whether an archive can be there.
    pub fn is_supported(&self) -> bool {
        self.folder().is_some() || self.is_bucket()
    }

    pub(crate) fn options(&self) -> &[(String, String)] {
        &self.options
    }
}
