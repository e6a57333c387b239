//! Namespaces, programs in them, and a web server.

use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use daylight_lab::hop::{Hop, HopConfig};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

pub(crate) const CLIENT: &str = "10.77.0.2";
pub(crate) const SERVER: &str = "10.77.0.1";
pub(crate) const NEIGHBOUR: &str = "10.77.0.3";
pub(crate) const SERVER_V6: &str = "fd77::1";

/// A client, a middlebox and a server, each in a namespace: `client c0 — m0 middlebox m1 — s0 server`.
pub(crate) struct Net {
    tag: String,
    programs: Vec<Child>,
    pub(crate) dir: TempDir,
}

static NETS: AtomicU32 = AtomicU32::new(0);

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"))
}

fn must(program: &str, args: &[&str]) {
    let out = run(program, args);
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

impl Net {
    /// Client and server on one network, bridged by a hop. `None`, with a message, where that can't be built.
    pub(crate) fn bridged() -> Option<Self> {
        let net = Self::new()?;
        for (host, end, addresses) in [
            ("c", "c0", &[&format!("{CLIENT}/24"), "fd77::2/64"][..]),
            ("s", "s0", &[&format!("{SERVER}/24"), &format!("{NEIGHBOUR}/24"), &format!("{SERVER_V6}/64")]),
        ] {
            net.addresses(host, end, addresses);
        }
        Some(net)
    }

    /// Client and server on two networks, with the middlebox as the router between them.
    pub(crate) fn routed() -> Option<Self> {
        let net = Self::new()?;
        net.addresses("c", "c0", &["10.78.0.2/24"]);
        net.addresses("m", "m0", &["10.78.0.1/24"]);
        net.addresses("m", "m1", &["10.77.0.254/24"]);
        net.addresses("s", "s0", &[&format!("{SERVER}/24")]);
        net.must("c", &["ip", "route", "add", "default", "via", "10.78.0.1"]);
        net.must("s", &["ip", "route", "add", "default", "via", "10.77.0.254"]);
        net.must("m", &["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        Some(net)
    }

    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: it needs root, for network namespaces and packet sockets");
            return None;
        }
        let tag = format!("dl{}x{}", std::process::id(), NETS.fetch_add(1, Ordering::Relaxed));
        let net = Self { tag, programs: Vec::new(), dir: tempfile::tempdir().unwrap() };
        for host in ["c", "m", "s"] {
            if !run("ip", &["netns", "add", &net.host(host)]).status.success() {
                eprintln!("skipped: `ip netns add` does not work here");
                return None;
            }
            net.must(host, &["ip", "link", "set", "lo", "up"]);
        }
        for [host, end, middle] in [["c", "c0", "m0"], ["s", "s0", "m1"]] {
            let (host, m) = (net.host(host), net.host("m"));
            must(
                "ip",
                &["-n", &host, "link", "add", end, "type", "veth", "peer", "name", middle, "netns", &m],
            );
            must("ip", &["-n", &m, "link", "set", middle, "up"]);
            must("ip", &["-n", &host, "link", "set", end, "up"]);
        }
        Some(net)
    }

    pub(crate) fn host(&self, name: &str) -> String {
        format!("{}{name}", self.tag)
    }

    fn addresses(&self, host: &str, end: &str, addresses: &[&str]) {
        for address in addresses {
            let mut args = vec!["ip", "address", "add", address, "dev", end];
            if address.contains(':') {
                args.push("nodad");
            }
            self.must(host, &args);
        }
    }

    fn must(&self, host: &str, command: &[&str]) {
        let host = self.host(host);
        must("ip", &[&["netns", "exec", &host], command].concat());
    }

    /// Runs a program on a host, to its end: its exit code and what it wrote.
    pub(crate) fn run(&self, host: &str, command: &[&str]) -> (i32, String) {
        let host = self.host(host);
        let out = run("ip", &[&["netns", "exec", &host], command].concat());
        let text = [out.stdout, out.stderr].map(|o| String::from_utf8_lossy(&o).into_owned()).concat();
        (out.status.code().unwrap_or(-1), text)
    }

    /// Starts a program on a host; it is ended with the network.
    pub(crate) fn spawn(&mut self, host: &str, command: &[&str]) {
        let host = self.host(host);
        let log = File::create(self.dir.path().join("programs.log")).unwrap();
        let child = Command::new("ip")
            .args(["netns", "exec", &host])
            .args(command)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.programs.push(child);
    }

    /// Runs a closure in a thread on a host.
    pub(crate) fn within<T: Send>(&self, host: &str, f: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.host(host));
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let namespace = File::open(&path).unwrap();
                move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&namespace),
                    Some(LinkNameSpaceType::Network),
                )
                .unwrap();
                f()
            });
            thread.join().unwrap()
        })
    }

    /// Puts a hop between `m0` and `m1`.
    pub(crate) fn hop(&self, config: HopConfig) -> Hop {
        let capture = self.dir.path().join("link.pcapng");
        self.within("m", || Hop::start("m0", "m1", config, Some(capture)).unwrap())
    }

    /// Puts the kernel's bridge between `m0` and `m1`, or takes it away.
    pub(crate) fn bridge(&self, there: bool) {
        if there {
            self.must("m", &["ip", "link", "add", "br0", "type", "bridge"]);
            for port in ["m0", "m1", "br0"] {
                if port != "br0" {
                    self.must("m", &["ip", "link", "set", port, "master", "br0"]);
                }
                self.must("m", &["ip", "link", "set", port, "up"]);
            }
        } else {
            self.must("m", &["ip", "link", "del", "br0"]);
        }
    }

    /// A web server on the server's ports 80 and 443, for all names. It answers `page of NAME via=VIA`, and has a large file.
    pub(crate) fn web_server(&mut self) {
        let dir = self.dir.path().to_str().unwrap().to_owned();
        let (key, certificate) = (format!("{dir}/key.pem"), format!("{dir}/certificate.pem"));
        must(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=true.example",
                "-addext",
                "subjectAltName=DNS:true.example,DNS:fine.example",
                // So that whoever trusts it can check it: what may issue is not taken for a server's.
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-keyout",
                &key,
                "-out",
                &certificate,
            ],
        );
        std::fs::create_dir(format!("{dir}/www")).unwrap();
        std::fs::write(format!("{dir}/www/large"), vec![b'x'; 4 << 20]).unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off; master_process off; user root; pid {dir}/nginx.pid; error_log {dir}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; {temporary}\n\
             server {{ listen 80; listen [::]:80; listen 443 ssl; listen [::]:443 ssl;\n\
             ssl_certificate {certificate}; ssl_certificate_key {key}; root {dir}/www;\n\
             location / {{ return 200 \"page of $host via=$http_via\\n\"; }}\n\
             location = /large {{ }} }} }}\n"
        );
        let path = format!("{dir}/nginx.conf");
        std::fs::write(&path, config).unwrap();
        self.spawn("s", &["nginx", "-p", &dir, "-e", &format!("{dir}/error.log"), "-c", &path]);
        self.wait_for_port(443);
    }

    /// Waits until something listens on the server.
    pub(crate) fn wait_for_port(&self, port: u16) {
        let listens = || self.within("s", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let start = Instant::now();
        while !listens() {
            let log = self.dir.path().join("programs.log");
            assert!(start.elapsed() < Duration::from_secs(20), "nothing listens on {port}: {}", read(&log));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks for `scheme://name path` at `address` with curl: exit code and what came.
    pub(crate) fn curl(&self, scheme: &str, name: &str, address: &str, more: &[&str]) -> (i32, String) {
        let port = if scheme == "https" { 443 } else { 80 };
        let resolve = format!("{name}:{port}:{address}");
        let url = format!("{scheme}://{name}/");
        let mut command = vec!["curl", "-skS", "-m", "4", "--resolve", &resolve];
        if !more.iter().any(|m| m.starts_with("http")) {
            command.push(&url);
        }
        command.extend(more);
        self.run("c", &command)
    }

    /// Another name on the same address works: whatever an adversary does, this must go on.
    pub(crate) fn assert_no_collateral(&self, address: &str) {
        for scheme in ["http", "https"] {
            let (code, text) = self.curl(scheme, "fine.example", address, &[]);
            assert_eq!(code, 0, "{scheme} {address}: {text}");
            assert!(text.starts_with("page of fine.example via="), "{scheme}: {text}");
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl Drop for Net {
    fn drop(&mut self) {
        for child in &mut self.programs {
            let _ = child.kill();
            let _ = child.wait();
        }
        for host in ["c", "m", "s"] {
            let _ = run("ip", &["netns", "del", &self.host(host)]);
        }
    }
}
