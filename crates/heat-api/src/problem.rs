//! Errors as RFC 9457 problem details.

pub(crate) mod words;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::json::ProblemDetails;

/// An error on its way to the client; boxed, because it is rare and results carry it everywhere.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    /// The same in Chinese, where the console's own forms can bring it about.
    chinese: Option<String>,
    header: Option<(header::HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Inner { status, kind, title, detail: detail.into(), chinese: None, header: None }))
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request is malformed", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unprocessable",
            "The request cannot be carried out",
            detail,
        )
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let busy = "unavailable";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, busy, "The service cannot answer at present", detail)
            .with_header(header::RETRY_AFTER, "2")
    }

    pub(crate) fn too_large(max_bytes: usize) -> Self {
        let detail = format!("a request body has at most {max_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request body is too large", detail)
    }

    pub(crate) fn too_many(detail: impl Into<String>) -> Self {
        let title = "Too many requests";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", title, detail)
            .with_header(header::RETRY_AFTER, "2")
    }

    /// The status, for a page that says the same in words.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The kind, for a page that says the same in words.
    pub(crate) fn kind(&self) -> &'static str {
        self.0.kind
    }

    /// This case in words.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// This case in Chinese, if it was given.
    pub(crate) fn chinese(&self) -> Option<&str> {
        self.0.chinese.as_deref()
    }

    /// Says this case in Chinese too, for who filled in a form of the console.
    #[must_use]
    pub(crate) fn in_chinese(mut self, detail: impl Into<String>) -> Self {
        self.0.chinese = Some(detail.into());
        self
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.0.header = Some((name, HeaderValue::from_static(value)));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner { status, kind, title, detail, chinese: _, header: further } = *self.0;
        let body = ProblemDetails {
            kind: format!("urn:heatstream:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
        };
        let text = serde_json::to_string(&body).expect("a problem has string keys only");
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, content_type, text).into_response();
        if let Some((name, value)) = further {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
