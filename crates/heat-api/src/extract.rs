//! Queries and bodies, strictly.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Largest request body.
pub(crate) const BODY_MAX_BYTES: usize = 64 * 1024;
/// How long a body may take to come.
const BODY_MAX_WAIT: Duration = Duration::from_secs(10);

/// Query parameters; unknown ones are refused by the type's `deny_unknown_fields`.
#[derive(Debug)]
pub(crate) struct StrictQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                let text = rejection.body_text();
                let fault = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Problem::bad_request(format!("query: {fault}")))
            }
        }
    }
}

/// A JSON body as bytes: the right content type and size.
#[derive(Debug)]
pub(crate) struct JsonBytes(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        // Demanding this type keeps pages of other sites out: a browser asks before it sends it across sites.
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "The request body is not JSON",
                "send JSON with the header content-type: application/json",
            ));
        }
        read(request.into_body()).await.map(Self)
    }
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_MAX_WAIT, to_bytes(body, BODY_MAX_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_over_limit(&error) => Err(Problem::too_large(BODY_MAX_BYTES)),
        // It broke off, or its chunks are malformed.
        Ok(Err(error)) => Err(Problem::bad_request(format!("body: {error}"))),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "The request body did not come",
            format!("a body has to come within {} s", BODY_MAX_WAIT.as_secs()),
        )),
    }
}

fn is_over_limit(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<LengthLimitError>())
}

/// The fields of a form of a page of ours; unknown ones are refused by the type's `deny_unknown_fields`.
#[derive(Debug)]
pub(crate) struct StrictForm<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrictForm<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_form = content_type
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        if !is_form {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "The request body is not a form",
                "send application/x-www-form-urlencoded, or use the API under /api/v1",
            ));
        }
        let bytes = read(request.into_body()).await?;
        serde_urlencoded::from_bytes(&bytes)
            .map(Self)
            .map_err(|error| Problem::unprocessable(format!("form: {error}")))
    }
}

/// A JSON body of a known shape.
#[derive(Debug)]
pub(crate) struct StrictJson<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrictJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        // serde would take an array as a struct's fields in their order.
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            return Err(Problem::unprocessable("body: an object is wanted, not an array"));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => Problem::unprocessable(format!("body: {error}")),
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => Problem::bad_request(format!("body: {error}")),
        })
    }
}
