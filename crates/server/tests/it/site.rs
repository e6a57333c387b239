//! The site beside the real nginx: the same folder, the same requests, the same answers.

use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use daylight_server::site::{Public, Site, Source};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::net::{PATIENCE, comparable, exchange, listen, serve};

/// An nginx of this test, on two ports of loopback: HTTP/1.1 and HTTP/2.
struct Nginx {
    child: Child,
    http1: SocketAddr,
    http2: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nginx {
    /// None, with the reason printed, where there is no nginx.
    async fn start(root: &Path) -> Option<Self> {
        if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
            eprintln!("skipped: there is no nginx");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        // Free a moment ago: nginx can't say which ports the system chose for it.
        let (http1, http2) = (listen().await.1, listen().await.1);
        let at = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .collect();
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error;\n\
             events {{}}\n\
             http {{\n\
                 {temporary}\
                 access_log off; server_tokens off;\n\
                 include /etc/nginx/mime.types; default_type application/octet-stream;\n\
                 server {{ listen {http1}; listen {http2} http2; root {}; }}\n\
             }}\n",
            root.display()
        );
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-e").arg(folder.path().join("error")).arg("-c").arg(path).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let begun = Instant::now();
        while TcpStream::connect(http1).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "nginx doesn't listen");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Some(Self { child, http1, http2, _folder: folder })
    }
}

/// A folder with all that requests of this file ask for. Who runs nginx may not be who runs the test: all can read it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for name in ["sub", "empty", "with space", "page/index.html", ".git", ".well-known"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    std::fs::write(at("index.html"), "<p>Hello").unwrap();
    std::fs::write(at("sub/index.html"), "<p>Below").unwrap();
    std::fs::write(at("style.css"), "p { color: teal }").unwrap();
    std::fs::write(at("nothing.txt"), "").unwrap();
    std::fs::write(at("without-extension"), "?").unwrap();
    std::fs::write(at(".git/config"), "secret").unwrap();
    std::fs::write(at(".well-known/security.txt"), "Contact: mailto:info@example.org").unwrap();
    let long: String = (0..30_000).map(|n| format!("{n:06}\n")).collect();
    std::fs::write(at("long.txt"), long).unwrap();
    folder
}

/// Method and target, header fields, and whether HTTP/2 can carry it too.
const REQUESTS: &[(&str, &[&str], bool)] = &[
    ("GET /", &[], true),
    ("HEAD /", &[], true),
    ("GET /index.html", &["cookie: session=0123456789abcdef", "x-anything: at all"], true),
    ("GET /?query=1", &[], true),
    ("GET /sub/", &[], true),
    ("GET /sub", &[], true),
    ("HEAD /sub", &[], true),
    ("POST /sub", &["content-length: 0"], true),
    ("GET /sub?a=b%20c", &[], true),
    ("GET /with%20space", &[], true),
    ("GET //sub//", &[], true),
    ("GET /sub/../style.css", &[], true),
    ("GET /sub/..%2fstyle.css", &[], true),
    ("GET /%73ub", &[], true),
    ("GET /empty/", &[], true),
    ("GET /page/", &[], true),
    ("GET /without-extension", &[], true),
    ("GET /nothing.txt", &[], true),
    ("GET /nothing.txt", &["range: bytes=0-"], true),
    ("GET /long.txt", &[], true),
    ("HEAD /long.txt", &[], true),
    ("GET /.well-known/security.txt", &[], true),
    ("GET /missing", &[], true),
    ("GET /missing/", &[], true),
    ("GET /index.html/", &[], true),
    ("GET /index.html/more", &[], true),
    ("HEAD /missing", &[], true),
    (
        "GET /missing",
        &[
            "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
        ],
        true,
    ),
    (
        "GET /missing",
        &["user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"],
        true,
    ),
    ("GET /missing", &["user-agent: Mozilla/4.0 (compatible; MSIE 7.0)"], true),
    ("POST /", &["content-length: 0"], true),
    ("POST /missing", &["content-length: 0"], true),
    ("PUT /style.css", &["content-length: 0"], true),
    ("DELETE /style.css", &[], true),
    ("OPTIONS /", &[], true),
    ("PROPFIND /", &[], true),
    ("TRACE /", &[], true),
    ("FOO /missing", &[], true),
    ("GET /..", &[], true),
    ("GET /sub/../../etc/passwd", &[], true),
    ("GET /%2e%2e/etc/passwd", &[], true),
    ("GET /%00", &[], true),
    ("GET /%zz", &[], true),
    ("OPTIONS *", &[], false),
    ("CONNECT www.example.org:443", &[], false),
    ("get /", &[], false),
    ("GET /", &["host: www.example.org"], false),
    ("GET http://other.example/sub", &[], false),
    ("POST /", &["content-length: 3000000"], false),
    ("GET /style.css", &["if-none-match: *"], true),
    ("GET /style.css", &["if-none-match: \"nothing\""], true),
    ("HEAD /style.css", &["if-none-match: *"], true),
    ("GET /style.css", &["if-match: \"nothing\""], true),
    ("GET /style.css", &["if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT"], true),
    ("GET /style.css", &["if-unmodified-since: Sun, 06 Nov 1994 08:49:37 GMT"], true),
    ("GET /style.css", &["if-unmodified-since: nonsense"], true),
    ("GET /style.css", &["range: bytes=2-5"], true),
    ("HEAD /style.css", &["range: bytes=2-5"], true),
    ("GET /style.css", &["range: bytes=2-"], true),
    ("GET /style.css", &["range: bytes=-2"], true),
    ("GET /style.css", &["range: bytes=9999-"], true),
    ("GET /style.css", &["range: bytes=5-3"], true),
    ("GET /style.css", &["range: nonsense"], true),
    ("GET /style.css", &["range: bytes=0-99,1-2"], true),
    ("GET /style.css", &["range: bytes=2-5", "if-range: \"nothing\""], true),
    ("GET /long.txt", &["range: bytes=100-150000"], true),
    ("GET /long.txt", &["range: bytes=0-9, 70000-70009"], true),
    ("HEAD /long.txt", &["range: bytes=0-9,70000-70009"], true),
];

/// An answer without what differs where nothing can be done about it: boundaries are numbers that count up, and the library
/// puts the length of an empty body last.
fn plain(answer: &[u8]) -> String {
    let answer = without_boundary(&comparable(answer));
    let (head, body) = answer.split_once("\n\n").unwrap();
    let len = "\ncontent-length: 0";
    let last = if head.contains(len) { len } else { "" };
    format!("{}{last}\n\n{body}", head.replace(len, ""))
}

fn without_boundary(answer: &str) -> String {
    let Some(at) = answer.find("boundary=") else { return answer.to_owned() };
    let boundary = answer[at + "boundary=".len()..][..20].to_owned();
    assert!(boundary.bytes().all(|byte| byte.is_ascii_digit()), "{boundary}");
    answer.replace(&boundary, "…")
}

fn site(folder: &Path, port: u16) -> Site {
    let public = Public { https: false, port };
    Site::open(&Source::Folder(folder.to_owned()), "nginx", public).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_is_answered_as_nginx_does() {
    let folder = folder();
    let Some(nginx) = Nginx::start(folder.path()).await else { return };
    let (listener, address) = listen().await;
    tokio::spawn(serve(listener, site(folder.path(), nginx.http1.port()), false));
    let mut differences = String::new();
    for (line, fields, _) in REQUESTS {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let head =
            |connection| format!("{line} HTTP/1.1\r\nHost: WWW.example.org:8\r\n{fields}{connection}\r\n");
        let request = head("Connection: close\r\n");
        let expected = plain(&exchange(nginx.http1, request.as_bytes()).await);
        let found = plain(&exchange(address, request.as_bytes()).await);
        if expected != found {
            differences.push_str(&format!("{request}-- nginx:\n{expected:.600}\n-- here:\n{found:.600}\n\n"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_as_nginx_does() {
    let folder = folder();
    let Some(nginx) = Nginx::start(folder.path()).await else { return };
    let (listener, address) = listen().await;
    tokio::spawn(serve(listener, site(folder.path(), nginx.http1.port()), false));
    let host = "Host: www.example.org\r\n";
    for request in [
        // Two on one connection, the first with a body that nobody wants.
        format!(
            "POST / HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhelloGET /sub/ HTTP/1.1\r\n{host}Connection: close\r\n\r\n"
        ),
        format!("GET /missing HTTP/1.1\r\n{host}\r\nGET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
        // Ends by itself.
        format!("GET /.. HTTP/1.1\r\n{host}\r\n"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.0\r\n{host}Connection: keep-alive\r\n\r\nGET /sub/ HTTP/1.0\r\n{host}\r\n"),
    ] {
        let expected = comparable(&exchange(nginx.http1, request.as_bytes()).await);
        let found = comparable(&exchange(address, request.as_bytes()).await);
        // The second answer's head is in the first one's "body". The library answers HTTP/1.0 with HTTP/1.0, nginx doesn't.
        let plain = |text: &str| {
            let lines = text.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
            lines.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("\n").replace("http/1.0", "http/1.1")
        };
        assert_eq!(plain(&found), plain(&expected), "{request}");
    }
}

async fn http2(address: SocketAddr, line: &str, fields: &[&str]) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = http::Request::builder().method(method).uri(format!("http://www.example.org{target}"));
    for field in fields {
        let (name, value) = field.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    connection.abort();
    let mut text = format!("HTTP/2 {}\r\n", parts.status.as_u16());
    for (name, value) in &parts.headers {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    comparable(&[text.as_bytes(), b"\r\n", &body].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_answered_as_nginx_does() {
    let folder = folder();
    let Some(nginx) = Nginx::start(folder.path()).await else { return };
    let (listener, address) = listen().await;
    tokio::spawn(serve(listener, site(folder.path(), nginx.http2.port()), true));
    for (line, fields, _) in REQUESTS.iter().filter(|(_, _, both)| *both) {
        let expected = without_boundary(&http2(nginx.http2, line, fields).await);
        let found = without_boundary(&http2(address, line, fields).await);
        assert_eq!(found, expected, "{line} {fields:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_visitors_is_not_there() {
    let folder = folder();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("key"), "secret").unwrap();
    let link = |to: &Path, name: &str| symlink(to, folder.path().join(name)).unwrap();
    link(&outside.path().join("key"), "absolute.txt");
    link(outside.path(), "folder");
    link(Path::new("../../../../../../etc/hostname"), "relative.txt");
    link(Path::new("/proc/self/environ"), "magic.txt");
    link(Path::new("sub/index.html"), "inside.html");
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    let (listener, address) = listen().await;
    tokio::spawn(serve(listener, site(folder.path(), 80), false));
    let ask = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n\r\n");
        comparable(&exchange(address, request.as_bytes()).await)
    };
    let missing = ask("/missing").await;
    assert!(missing.starts_with("HTTP/1.1 404 Not Found\n"), "{missing}");
    for path in [
        "/absolute.txt",
        "/folder/key",
        "/folder/",
        "/relative.txt",
        "/magic.txt",
        "/.git/config",
        "/pipe",
        "/sub/.hidden",
    ] {
        assert_eq!(ask(path).await, missing, "{path}");
    }
    assert!(ask("/inside.html").await.ends_with("<p>Below"));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let source = Source::Folder("/nowhere/site".into());
    let error = Site::open(&source, "nginx", Public::default()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/site"), "{error}");
}
