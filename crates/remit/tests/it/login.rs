//! Browsers: the link that logs one in, its cookie, and the pages.

use reqwest::header::{COOKIE, HeaderMap, SET_COOKIE};
use serde_json::json;

use crate::harness::{Answer, Folder, Server, Start};

fn token(server: &Server) -> String {
    let login = server.ready["login"].as_str().expect("a link");
    login.split_once("/login#").expect("a token after the hash").1.to_owned()
}

async fn log_in(server: &Server) -> Answer {
    let body = json!({"token": token(server)});
    server.nobody().post("/auth/login", body).await
}

/// The cookie as the browser sends it back.
fn cookie(headers: &HeaderMap) -> String {
    let set = headers[SET_COOKIE].to_str().expect("text");
    set.split(';').next().expect("a pair").to_owned()
}

async fn asked(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = server.nobody().request(method, path);
    for &(name, value) in headers {
        request = request.header(name, value);
    }
    Answer::of(request).await.status.as_u16()
}

#[tokio::test]
async fn the_printed_link_logs_a_browser_in_once_and_the_login_survives_a_restart() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let answer = log_in(&server).await;
    let set = answer.headers[SET_COOKIE].to_str().expect("text").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"), "{set}");
    let (name, value) = set.split(';').next().and_then(|it| it.split_once('=')).expect("a pair");
    answer.ok();
    let again = log_in(&server).await;
    assert_eq!(again.status.as_u16(), 401, "a link works once");
    // Another port is another cookie; the restarted server has a new port.
    let secret = value.to_owned();
    assert!(name.starts_with("remit-"), "{name}");
    server.kill();
    let server = Server::start(&folder);
    let port = server.url().rsplit_once(':').expect("a port").1.to_owned();
    let pair = format!("other=1; remit-{port}={secret}");
    let mine = [("cookie", pair.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(asked(&server, "GET", "/auth/me", &mine).await, 200);
    assert_eq!(asked(&server, "GET", "/agent/dispatches", &mine).await, 200);
    assert_eq!(asked(&server, "GET", "/admin/users", &mine).await, 403);
    assert_eq!(asked(&server, "POST", "/auth/logout", &mine).await, 204);
    assert_eq!(asked(&server, "GET", "/auth/me", &mine).await, 401);
}

#[tokio::test]
async fn over_tls_the_cookie_is_bound_to_the_host() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let host = server.url().strip_prefix("http://").expect("a host");
    let request = server.nobody().request("POST", "/auth/login");
    let request = request.header("origin", format!("https://{host}"));
    let answer = Answer::of(request.json(&json!({"token": token(&server)}))).await;
    let set = answer.headers[SET_COOKIE].to_str().expect("text");
    assert!(set.starts_with("__Host-remit=") && set.ends_with("; Secure"), "{set}");
    let request =
        server.nobody().request("GET", "/auth/me").header(COOKIE, cookie(&answer.headers));
    Answer::of(request).await.ok();
}

#[tokio::test]
async fn another_sites_page_changes_nothing_with_the_cookie() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let pair = cookie(&log_in(&server).await.headers);
    let pair = pair.as_str();
    for (site, origin, expected) in [
        (Some("same-origin"), None, 200),
        (None, Some(server.url()), 200),
        (None, None, 403),
        (Some("same-site"), Some(server.url()), 403),
        (Some("cross-site"), None, 403),
        (None, Some("http://evil.example"), 403),
    ] {
        let mut headers = vec![("cookie", pair)];
        headers.extend(site.map(|site| ("sec-fetch-site", site)));
        headers.extend(origin.map(|origin| ("origin", origin)));
        let status = asked(&server, "POST", "/agent/chat/reset", &headers).await;
        assert_eq!(status, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_link_can_be_made_again_and_the_cookie_makes_keys() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let printed = folder.run(&["login", "--json"]).ok().json();
    let login = printed[0]["login"].as_str().expect("a link");
    assert!(login.starts_with(&format!("{}/login#", server.url())), "{login}");
    let token = login.split_once('#').expect("a token").1;
    let answer = server.nobody().post("/auth/login", json!({"token": token})).await;
    let pair = cookie(&answer.headers);
    let request = |method: &str, path: &str| {
        let request = server.nobody().request(method, path);
        request.header(COOKIE, pair.clone()).header("sec-fetch-site", "same-origin")
    };
    let made =
        Answer::of(request("POST", "/auth/keys").json(&json!({"label": "laptop"}))).await.ok();
    let client = crate::harness::Client::new(server.url(), made["token"].as_str());
    assert_eq!(client.get("/auth/me").await.ok()["scopes"], json!(["agent", "read"]));
    let listed = Answer::of(request("GET", "/auth/keys")).await.ok();
    let listed = listed["tokens"].as_array().expect("keys").clone();
    assert!(listed.iter().any(|key| key["id"] == made["id"]), "{listed:?}");
    assert!(listed.iter().all(|key| key["token"].is_null()), "a key is shown once");
    let wide = Answer::of(request("POST", "/auth/keys").json(&json!({"scopes": "admin"}))).await;
    assert_eq!(wide.status.as_u16(), 403);
    let path = format!("/auth/keys/{}", made["id"].as_str().expect("an id"));
    assert_eq!(Answer::of(request("DELETE", &path)).await.status.as_u16(), 204);
    assert_eq!(client.get("/auth/me").await.status.as_u16(), 401);
}

#[tokio::test]
async fn pages_may_run_our_own_scripts_and_nothing_else() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let page = server.nobody().get("/chat/ses_x").await;
    let header =
        |answer: &Answer, name: &str| answer.headers[name].to_str().expect("text").to_owned();
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    assert_eq!(header(&page, "cache-control"), "no-cache");
    assert_eq!(header(&page, "x-content-type-options"), "nosniff");
    let policy = header(&page, "content-security-policy");
    for part in [
        "default-src 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types svelte-trusted-html",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let script = page.body.split("src=\"").nth(1).and_then(|it| it.split('"').next());
    let script = script.expect("a script");
    let file = server.nobody().get(script).await;
    assert_eq!(header(&file, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(header(&file, "content-type"), "text/javascript; charset=utf-8");
    let packed = server.nobody().request("GET", script).header("accept-encoding", "br, gzip");
    let packed = packed.send().await.expect("answered");
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().await.expect("bytes").len() < file.body.len());
    let missing = server.nobody().get("/assets/missing.js").await;
    assert_eq!(
        (missing.status.as_u16(), header(&missing, "content-type").as_str()),
        (404, "application/json")
    );
    assert_eq!(server.nobody().get("/agent/nothing").await.status.as_u16(), 404);
}

#[tokio::test]
async fn an_address_that_is_none_is_a_page_in_a_browser_and_an_error_elsewhere() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let asks = async |path: &str, accept: &str| {
        Answer::of(server.nobody().request("GET", path).header("accept", accept)).await
    };
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = asks("/nowhere/%3Cscript%3Ealert(1)%3C/script%3E?to=//evil.example", browser).await;
    assert_eq!(page.status.as_u16(), 404);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(!page.headers.contains_key("location"), "{page:?}");
    let home = server.nobody().get("/").await;
    assert_eq!(page.body, home.body, "the page of the workbench, and nothing of the address");
    let policy = "content-security-policy";
    assert_eq!(page.headers[policy], home.headers[policy]);
    for (path, accept) in [
        ("/nowhere", "*/*"),
        ("/nowhere", "application/json"),
        ("/agent/nowhere", browser),
        ("/auth/nowhere", browser),
        ("/assets/missing.js", browser),
    ] {
        let error = asks(path, accept).await;
        assert_eq!(error.status.as_u16(), 404, "{path} {accept}");
        assert_eq!(error.json(), json!({"detail": "There is no such thing"}), "{path} {accept}");
        assert_eq!(error.headers["content-type"], "application/json", "{path} {accept}");
    }
    let head = server.nobody().request("HEAD", "/nowhere").header("accept", browser);
    let head = Answer::of(head).await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (404, ""));
    let post = server.nobody().request("POST", "/nowhere").header("accept", browser);
    assert_eq!(Answer::of(post).await.headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_base_path_holds_for_pages_and_api_alike() {
    let folder = Folder::new();
    let server = Start::on(&folder).arg("--base-path").arg("/remit").server();
    assert!(server.url().ends_with("/remit"), "{}", server.url());
    let page = server.nobody().get("/chat/x").await;
    assert!(page.body.contains("src=\"/remit/assets/"), "{}", page.body);
    let visit = server.nobody().request("GET", "/nowhere").header("accept", "text/html");
    let visit = Answer::of(visit).await;
    assert_eq!((visit.status.as_u16(), &visit.body), (404, &page.body));
    server.client().get("/auth/me").await.ok();
    log_in(&server).await.ok();
    let root = server.url().trim_end_matches("/remit");
    let outside = reqwest::get(format!("{root}/auth/me")).await.expect("answered");
    assert_eq!(outside.status().as_u16(), 404);
}
