//! The console's files inside the binary. Their addresses carry a hash of what they hold, so browsers keep them.

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");

struct Asset {
    name: String,
    content: &'static str,
    media: &'static str,
}

fn asset(stem: &str, extension: &str, content: &'static str, media: &'static str) -> Asset {
    let hash = Sha256::digest(content.as_bytes());
    let [a, b, c, d, ..] = hash.as_slice() else { unreachable!("SHA-256 has 32 bytes") };
    Asset { name: format!("{stem}.{a:02x}{b:02x}{c:02x}{d:02x}.{extension}"), content, media }
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        asset("console", "css", STYLE, "text/css; charset=utf-8"),
        asset("console", "js", SCRIPT, "text/javascript; charset=utf-8"),
        asset("icon", "svg", ICON, "image/svg+xml"),
    ]
});

/// Address of the style sheet.
pub(crate) fn style() -> String {
    format!("/assets/{}", ASSETS[0].name)
}

/// Address of the script.
pub(crate) fn script() -> String {
    format!("/assets/{}", ASSETS[1].name)
}

/// Address of the icon.
pub(crate) fn icon() -> String {
    format!("/assets/{}", ASSETS[2].name)
}

/// The file of this name.
pub(crate) fn serve(name: &str) -> Option<Response> {
    let asset = ASSETS.iter().find(|asset| asset.name == name)?;
    let headers =
        [(header::CONTENT_TYPE, asset.media), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Some((headers, asset.content).into_response())
}
