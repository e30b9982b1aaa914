//! A bucket of an object store.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{
    BackoffConfig, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    path::Path,
    prefix::PrefixStore,
};

use super::{
    BoxError,
    environment::{self, FileError},
    http::Connector,
};
use crate::location::{Cloud, Location, Place, REQUEST_TIMEOUT};

/// Requests that run side by side at most.
pub(super) const REQUESTS_AT_ONCE: usize = 8;
/// The object by which a conditional put is tried.
pub(super) const PROBE: &str = "probe/put-if-absent";
/// A larger object goes up in parts of [`PART_BYTES`], so that a slow line loses no more than a part to a timeout.
const WHOLE_BYTES_MAX: usize = 16 << 20;
/// At least 5 MiB, S3's least.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 4;

/// Short: whoever publishes waits and tries again by itself, and says that it does.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(20),
    }
}

pub(crate) struct Remote {
    location: Location,
    objects: RwLock<Arc<dyn ObjectStore>>,
    /// Whether a second conditional put was seen to be refused.
    is_proven: AtomicBool,
}

// The store's own Debug may show more than anybody should read.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("location", &self.location).finish_non_exhaustive()
    }
}

/// What the store refused or did not answer, with the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{remedy} ({what})")]
struct Refused {
    remedy: &'static str,
    /// Without the answer's body: S3 puts parts of the signed request there.
    what: String,
}

impl Remote {
    pub(super) fn open(location: &Location) -> Result<Self, BoxError> {
        let objects = RwLock::new(connect(location)?);
        Ok(Self { location: location.clone(), objects, is_proven: AtomicBool::new(false) })
    }

    pub(super) fn address(&self, path: &str) -> String {
        format!("{}/{path}", self.location.base())
    }

    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_proven(&self) -> bool {
        self.is_proven.load(Ordering::Relaxed)
    }

    pub(super) fn set_proven(&self) {
        self.is_proven.store(true, Ordering::Relaxed);
    }

    pub(super) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), BoxError> {
        let objects = self.objects();
        let put = async {
            let path = Path::parse(path)?;
            if bytes.len() <= WHOLE_BYTES_MAX {
                return objects.put(&path, PutPayload::from_bytes(bytes)).await.map(drop);
            }
            put_in_parts(objects.as_ref(), &path, bytes).await
        };
        put.await.map_err(|error| self.failed(error))
    }

    /// Names the remedy. After refused credentials the next request looks at the credentials file again, in which somebody
    /// may have put better ones.
    pub(super) fn failed(&self, error: object_store::Error) -> BoxError {
        let is_refused = matches!(
            error,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
        );
        if is_refused
            && self.location.access().credentials_file.is_some()
            && let Ok(objects) = connect(&self.location)
        {
            *self.objects.write().unwrap_or_else(PoisonError::into_inner) = objects;
        }
        Refused { remedy: remedy(&error), what: without_body(&full(&error)) }.into()
    }
}

fn remedy(error: &object_store::Error) -> &'static str {
    match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            "the store refuses the credentials: correct them, or grant reading, writing, listing and deleting below the \
             archive's prefix"
        }
        object_store::Error::NotFound { .. } => {
            "the bucket is not there: create it, or correct the archive's location"
        }
        _ if full(error).contains("169.254.") => {
            "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the names of your store) in \
             the environment or in the credentials file"
        }
        _ => "the store fails or does not answer: look at its endpoint and at the network",
    }
}

/// An error and its causes on one line; each cause only if it says something new.
fn full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Cuts an answer's XML or JSON out, but for S3's error code.
fn without_body(text: &str) -> String {
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let head = text.split(['<', '{']).next().unwrap_or(text).trim_end_matches([' ', ':', '\n']);
    match code {
        Some((code, _)) => format!("{head}: {code}"),
        None => head.to_owned(),
    }
}

async fn put_in_parts(objects: &dyn ObjectStore, path: &Path, mut bytes: Bytes) -> object_store::Result<()> {
    let mut upload = objects.put_multipart(path).await?;
    let parts =
        std::iter::from_fn(|| (!bytes.is_empty()).then(|| bytes.split_to(PART_BYTES.min(bytes.len()))));
    let put = stream::iter(parts)
        .map(|part| upload.put_part(PutPayload::from_bytes(part)))
        .buffered(PARTS_AT_ONCE)
        .try_collect::<()>()
        .await;
    let completed = match put {
        Ok(()) => upload.complete().await.map(drop),
        Err(error) => Err(error),
    };
    if completed.is_err() {
        // Parts that are never put together do not count; the bucket's own rule for incomplete uploads takes what this
        // does not.
        upload.abort().await.ok();
    }
    completed
}

/// Reads environment and credentials file; asks the store nothing.
fn connect(location: &Location) -> Result<Arc<dyn ObjectStore>, BoxError> {
    let Some(Place::Bucket { cloud, bucket, prefix }) = location.place() else {
        return Err("not a bucket".into());
    };
    let objects: Arc<dyn ObjectStore> = match cloud {
        Cloud::S3 => Arc::new(s3(location, bucket)?),
        Cloud::Google => Arc::new(google(location, bucket)?),
        Cloud::Azure => Arc::new(azure(location, bucket)?),
    };
    Ok(if prefix.is_empty() { objects } else { Arc::new(PrefixStore::new(objects, Path::parse(prefix)?)) })
}

fn connector(location: &Location) -> Connector {
    Connector { timeout: location.access().request_timeout.unwrap_or(REQUEST_TIMEOUT) }
}

/// What the credentials file sets.
fn settings<K: FromStr>(location: &Location) -> Result<Vec<(K, String)>, FileError> {
    let Some(path) = &location.access().credentials_file else { return Ok(Vec::new()) };
    let entries = environment::read(path)?.into_iter().map(|(name, value)| match name.parse() {
        Ok(key) => Ok((key, value)),
        Err(_) => Err(FileError::Name { path: path.clone(), name }),
    });
    entries.collect()
}

fn is_plain_http(endpoint: Option<String>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
}

fn s3(location: &Location, bucket: &str) -> Result<object_store::aws::AmazonS3, BoxError> {
    let mut builder = AmazonS3Builder::from_env();
    for (key, value) in settings(location)? {
        builder = builder.with_config(key, value);
    }
    let access = location.access();
    if let Some(endpoint) = &access.endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    if let Some(region) = &access.region {
        builder = builder.with_region(region);
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint);
    let endpoint = endpoint.or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
    if is_plain_http(endpoint) {
        builder = builder.with_allow_http(true);
    }
    let builder = builder.with_bucket_name(bucket).with_conditional_put(S3ConditionalPut::ETagMatch);
    Ok(builder.with_retry(retries()).with_http_connector(connector(location)).build()?)
}

fn google(location: &Location, bucket: &str) -> Result<object_store::gcp::GoogleCloudStorage, BoxError> {
    let mut builder = GoogleCloudStorageBuilder::from_env();
    for (key, value) in settings(location)? {
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = &location.access().endpoint {
        builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
    }
    if is_plain_http(builder.get_config_value(&GoogleConfigKey::BaseUrl)) {
        builder =
            builder.with_config(GoogleConfigKey::Client(object_store::ClientConfigKey::AllowHttp), "true");
    }
    let builder = builder.with_bucket_name(bucket);
    Ok(builder.with_retry(retries()).with_http_connector(connector(location)).build()?)
}

fn azure(location: &Location, container: &str) -> Result<object_store::azure::MicrosoftAzure, BoxError> {
    let mut builder = MicrosoftAzureBuilder::from_env();
    for (key, value) in settings(location)? {
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = &location.access().endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if is_plain_http(builder.get_config_value(&AzureConfigKey::Endpoint)) {
        builder = builder.with_allow_http(true);
    }
    let builder = builder.with_container_name(container);
    Ok(builder.with_retry(retries()).with_http_connector(connector(location)).build()?)
}
