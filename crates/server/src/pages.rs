//! The pages of the workbench: one page for every address, and the files that it loads.
//!
//! They are public and tell nothing: whatever they show, they ask the API for. Every file is in the
//! program, compressed; nothing is read from disk.

use std::io::Read;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use tracing::error;

use crate::api::Api;
use crate::problem::{INTERNAL, NOT_FOUND, Problem};
use crate::security::Page;

struct File {
    name: &'static str,
    packed: &'static [u8],
}

const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// A name that holds the hash of what it names: what is behind it never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Asked for again each time.
const FRESH: &str = "no-cache";
/// Not kept at all.
const NEVER: &str = "no-store";

/// Where programs ask: what is not there is an error in words for them, whoever asks.
const OF_PROGRAMS: [&str; 5] = ["agent", "auth", "admin", "git", "assets"];

/// The one page. It finds out from the address what it is to show.
pub(crate) async fn index(State(api): State<Api>) -> Result<Response, Problem> {
    page(&api, FRESH)
}

/// What is no route: to a browser that goes there the page, which then says so; an error otherwise.
/// Nothing of the address is in the answer.
pub(crate) async fn nowhere(
    State(api): State<Api>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !is_visit(&method, uri.path(), &headers) {
        return Err(Problem::plain(NOT_FOUND));
    }
    let mut response = page(&api, NEVER)?;
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}

/// Whether a browser is sent to a page of ours, and not a program that asks for something.
fn is_visit(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
    let kinds = accepts.flat_map(|it| it.split(',')).filter_map(|it| it.split(';').next());
    (method == Method::GET || method == Method::HEAD)
        && !OF_PROGRAMS.contains(&first)
        && kinds.into_iter().any(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
}

fn page(api: &Api, kept: &'static str) -> Result<Response, Problem> {
    let page = unpacked(find("index.html")?)?;
    let page =
        String::from_utf8_lossy(&page).replace("./", &format!("{}/", api.base_path.as_str()));
    Ok(told("text/html; charset=utf-8", kept, page.into_bytes()))
}

pub(crate) async fn icon(headers: HeaderMap) -> Result<Response, Problem> {
    served(&headers, "favicon.svg", FRESH)
}

/// A file that the page loads. One that is not there is missing, never the page.
pub(crate) async fn asset(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    served(&headers, &format!("assets/{name}"), FOR_EVER)
}

fn served(headers: &HeaderMap, name: &str, kept: &'static str) -> Result<Response, Problem> {
    let file = find(name)?;
    let takes = headers.get(header::ACCEPT_ENCODING).and_then(|it| it.to_str().ok());
    let packed = takes.is_some_and(|takes| takes.split(',').any(|it| it.trim() == "gzip"));
    let bytes = if packed { file.packed.to_vec() } else { unpacked(file)? };
    let mut response = told(kind_of(name), kept, bytes);
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn told(kind: &'static str, kept: &'static str, bytes: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)];
    let mut response = (headers, bytes).into_response();
    response.extensions_mut().insert(Page);
    response
}

fn find(name: &str) -> Result<&'static File, Problem> {
    FILES.iter().find(|file| file.name == name).ok_or_else(|| Problem::plain(NOT_FOUND))
}

fn unpacked(file: &File) -> Result<Vec<u8>, Problem> {
    let mut bytes = vec![];
    GzDecoder::new(file.packed).read_to_end(&mut bytes).map_err(|problem| {
        error!(%problem, file = file.name, "a page in the program cannot be unpacked");
        Problem::plain(INTERNAL)
    })?;
    Ok(bytes)
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "md" | "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_all_that_it_names_are_in_the_program() {
        let page = unpacked(find("index.html").expect("there")).expect("readable");
        let page = String::from_utf8(page).expect("text");
        let named: Vec<_> =
            page.split("\"./").skip(1).filter_map(|it| it.split('"').next()).collect();
        assert!(named.iter().any(|name| name.ends_with(".js")), "{page}");
        for name in named {
            let file = find(name).expect(name);
            assert!(!unpacked(file).expect("readable").is_empty(), "{name}");
            assert_ne!(kind_of(name), "application/octet-stream", "{name}");
        }
        assert!(!page.contains("<style") && !page.contains("style="), "{page}");
    }

    #[test]
    fn a_browser_that_is_sent_somewhere_is_told_from_a_program() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let check = |method: &Method, path, accept: &'static str| {
            let headers = [(header::ACCEPT, HeaderValue::from_static(accept))];
            is_visit(method, path, &headers.into_iter().collect())
        };
        for path in ["/nowhere", "/nowhere/", "/agents", "/keys/x", "//example.org", "/<b>"] {
            assert!(check(&Method::GET, path, browser), "{path}");
            assert!(check(&Method::HEAD, path, "TEXT/HTML;q=0.5"), "{path}");
            assert!(!check(&Method::POST, path, browser), "{path}");
        }
        for path in
            ["/agent", "/agent/x", "/auth/x", "/admin/", "/git/x.git", "/assets/a/b", "//git"]
        {
            assert!(!check(&Method::GET, path, browser), "{path}");
        }
        for accept in ["*/*", "application/json", "text/event-stream", "text/*", "", "x/text/html"]
        {
            assert!(!check(&Method::GET, "/nowhere", accept), "{accept}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for name in ["", "index.htm", "assets/", "../Cargo.toml", "sources.sha256"] {
            assert!(find(name).is_err(), "{name}");
        }
    }
}
