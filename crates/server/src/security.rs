//! The headers that every response carries.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Marks a response that is a page of ours, which may run our own scripts and nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page;

/// What a page may do: everything from here, nothing from elsewhere, and no text becomes code.
const PAGE_POLICY: &str = "default-src 'self'; require-trusted-types-for 'script'; \
trusted-types svelte-trusted-html; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The response with them. What may be cached, a handler says itself; nothing is, otherwise.
pub(crate) fn with_headers(mut response: Response) -> Response {
    let page = response.extensions_mut().remove::<Page>().is_some();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if page {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
