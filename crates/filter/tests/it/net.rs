//! A client, a router and a server: the test's own namespace is the router.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::namespace::run;

/// A namespace that lives as long as this.
pub(crate) struct Host {
    holder: Child,
    servers: Vec<Child>,
    name: &'static str,
}

impl Host {
    fn new(name: &'static str) -> Self {
        let holder = Command::new("unshare").args(["-n", "sleep", "600"]).spawn().unwrap();
        Self { holder, servers: Vec::new(), name }
    }

    fn pid(&self) -> u32 {
        self.holder.id()
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid().to_string(), "-n", program]);
        command
    }

    pub(crate) fn sh(&self, command: &str) -> Output {
        self.command("sh").args(["-c", command]).output().unwrap()
    }

    /// Starts a server, which is ended with the host. Its output goes to a file in the temporary folder.
    pub(crate) fn serve(&mut self, folder: &std::path::Path, program: &str, args: &[&str]) {
        let log = File::create(folder.join(format!("{}-{program}.log", self.name))).unwrap();
        let mut command = self.command(program);
        command
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.servers.push(command.spawn().unwrap());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for process in self.servers.iter_mut().chain([&mut self.holder]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub(crate) struct Net {
    pub(crate) client: Host,
    pub(crate) server: Host,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) const SERVER: [&str; 2] = ["198.51.100.2", "2001:db8:2::2"];

/// Programs without which there is no test; false, and a word on it, if one is missing.
pub(crate) fn have(programs: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let missing =
        |program: &&&str| !path.split(':').any(|folder| PathBuf::from(folder).join(program).exists());
    match programs.iter().find(missing) {
        Some(program) => {
            eprintln!("skipped: {program} is missing");
            false
        }
        None => true,
    }
}

impl Net {
    /// In the current namespace, which is to be nobody else's.
    pub(crate) fn new() -> Self {
        let (client, server) = (Host::new("client"), Host::new("server"));
        // Until `unshare` has done its work, the holder is in this namespace.
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        for host in [&client, &server] {
            wait(|| std::fs::read_link(format!("/proc/{}/ns/net", host.pid())).is_ok_and(|ns| ns != own));
        }
        run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        for (host, net4, net6) in [(&client, "192.0.2", "2001:db8:1"), (&server, "198.51.100", "2001:db8:2")]
        {
            let (near, pid) = (host.name, host.pid());
            run(&format!("ip link add {near} type veth peer name eth0 netns {pid}"));
            run(&format!("ip addr add {net4}.1/24 dev {near}; ip addr add {net6}::1/64 dev {near} nodad"));
            run(&format!("ip link set {near} up"));
            let inside = format!(
                "ip link set lo up; ip addr add {net4}.2/24 dev eth0; ip addr add {net6}::2/64 dev eth0 nodad; \
                 ip link set eth0 up; ip route add default via {net4}.1; ip -6 route add default via {net6}::1"
            );
            assert!(host.sh(&inside).status.success());
        }
        Self { client, server, folder: tempfile::tempdir().unwrap() }
    }

    /// HTTP on port 80, TLS on port 443, DNS on port 53.
    pub(crate) fn serve(&mut self) {
        let folder = self.folder.path().to_owned();
        std::fs::write(folder.join("index.html"), "the site itself\n").unwrap();
        let key = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test \
                   -keyout key.pem -out cert.pem 2>/dev/null";
        run(&format!("cd {} && {key}", folder.display()));
        std::fs::write(folder.join("serve.py"), SITE).unwrap();
        self.server.serve(&folder, "python3", &["serve.py"]);
        let dns = [
            "--keep-in-foreground",
            "--port=53",
            "--no-resolv",
            "--no-hosts",
            "--address=/#/198.51.100.2",
            "--address=/#/2001:db8:2::2",
            "--pid-file=",
            "--conf-file=/dev/null",
            "--user=root",
        ];
        self.server.serve(&folder, "dnsmasq", &dns);
        for port in [80, 443] {
            wait(|| self.server.sh(&format!("ss -Hltn sport = :{port} | grep -q LISTEN")).status.success());
        }
        wait(|| self.server.sh("ss -Hlun sport = :53 | grep -q 53").status.success());
    }
}

/// The same files over HTTP and HTTPS, IPv4 and IPv6, to many at once: a connection that hangs keeps nobody waiting.
const SITE: &str = r#"
import http.server, socket, ssl, threading
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    tls = None
    def finish_request(self, request, address):
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, address)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("cert.pem", "key.pem")
plain, secure = (Server(("::", port), http.server.SimpleHTTPRequestHandler) for port in (80, 443))
secure.tls = tls
threading.Thread(target=plain.serve_forever, daemon=True).start()
secure.serve_forever()
"#;

#[track_caller]
pub(crate) fn wait(mut until: impl FnMut() -> bool) {
    let start = Instant::now();
    while !until() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited for too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}
