//! A server behind the real nginx and Caddy, by the files in packaging/.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use daylight_server::run::Server;
use daylight_tunnel::transports::web::Mode;
use tokio::net::TcpStream;

use crate::net::{PATIENCE, listen};
use crate::run::{Files, SECRETS, address, client, comes_back, echo};

/// A web server in front, until it is dropped.
struct Front {
    child: Child,
    address: SocketAddr,
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Front {
    /// None, with the reason printed, where there is no such program.
    async fn start(program: &str, files: &Files, config: &str, arguments: &[&str]) -> Option<Self> {
        let is_there = Command::new(program).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if is_there.is_err() {
            eprintln!("skipped: there is no {program}");
            return None;
        }
        // Who runs it may not be who runs the test.
        std::fs::set_permissions(files.path(), PermissionsExt::from_mode(0o755)).unwrap();
        // Free a moment ago: neither program says which port the system chose for it.
        let address = listen().await.1;
        let at = files.path().display().to_string();
        let config = config
            .replace("ADDRESS", &address.to_string())
            .replace("PORT", &address.port().to_string())
            .replace("FOLDER", &at);
        std::fs::write(files.path().join("front"), config).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg(files.path().join("front")).env("HOME", files.path());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (front, begun) = (Self { child, address }, Instant::now());
        while TcpStream::connect(address).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "{program} doesn't listen");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Some(front)
    }
}

/// The file as it is, but for addresses and folders of this test.
fn packaged(text: &str, server: &Server, changes: &[(&str, &str)]) -> String {
    let behind = address(server, "behind").to_string();
    let mut text = text.replace("unix:/run/daylight/web.sock", &behind);
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in the file");
        text = text.replace(from, to);
    }
    text
}

async fn carries(files: &Files, front: &Front, modes: &[Mode]) {
    let outside = echo().await;
    for mode in modes {
        let (driver, _) = client(files.dial(front.address, &SECRETS[0], *mode).await, &SECRETS[0]);
        comes_back(&driver, outside).await;
        driver.close(0);
    }
}

fn nginx(files: &Files, server: &str) -> String {
    let at = files.path().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
        .collect();
    format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error;\n\
         events {{}}\nhttp {{\n{temporary}{server}\n}}\n"
    )
}

const CERTIFICATE: [(&str, &str); 2] = [
    ("/etc/letsencrypt/live/site.example/fullchain.pem", "FOLDER/chain.pem"),
    ("/etc/letsencrypt/live/site.example/privkey.pem", "FOLDER/key.pem"),
];

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx() {
    let files = Files::new();
    let server = Server::start(&files.config(), Arc::new(|_| {})).await.unwrap();
    let mut changes =
        vec![("listen 443 ssl", "listen ADDRESS ssl"), ("    listen [::]:443 ssl http2;\n", "")];
    changes.extend(CERTIFICATE);
    let config = packaged(include_str!("../../../../packaging/nginx.conf"), &server, &changes);
    let arguments = ["-e", "/dev/null", "-c"];
    let Some(front) = Front::start("nginx", &files, &nginx(&files, &config), &arguments).await else {
        return;
    };
    carries(&files, &front, &[Mode::Streams, Mode::Pieces]).await;
}

/// As the networks do that carry sites: each request and each answer is taken whole before it is handed on.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_that_knows_only_ordinary_requests() {
    let files = Files::new();
    let server = Server::start(&files.config(), Arc::new(|_| {})).await.unwrap();
    let config = format!(
        "server {{ listen ADDRESS ssl http2; ssl_certificate FOLDER/chain.pem; ssl_certificate_key FOLDER/key.pem;
           access_log off;
           location / {{ proxy_pass http://{}; proxy_set_header Host $host; proxy_ignore_headers X-Accel-Buffering; }} }}",
        address(&server, "behind")
    );
    let arguments = ["-e", "/dev/null", "-c"];
    let Some(front) = Front::start("nginx", &files, &nginx(&files, &config), &arguments).await else {
        return;
    };
    carries(&files, &front, &[Mode::Pieces]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_caddy() {
    let files = Files::new();
    let server = Server::start(&files.config(), Arc::new(|_| {})).await.unwrap();
    let behind = address(&server, "behind").to_string();
    let changes = [
        ("unix//run/daylight/web.sock", behind.as_str()),
        ("site.example {", "site.example:PORT {\n\tbind 127.0.0.1\n\ttls FOLDER/chain.pem FOLDER/key.pem"),
    ];
    let config = packaged(include_str!("../../../../packaging/Caddyfile"), &server, &changes);
    let config =
        format!("{{\n\tadmin off\n\tauto_https off\n\tstorage file_system FOLDER/caddy\n}}\n{config}");
    let arguments = ["run", "--adapter", "caddyfile", "--config"];
    let Some(front) = Front::start("caddy", &files, &config, &arguments).await else { return };
    carries(&files, &front, &[Mode::Streams, Mode::Pieces]).await;
}
