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

    /// Does something in the namespace, on a thread of its own: sockets that are opened there stay there.
    pub(crate) fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        let inside = || {
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            act()
        };
        std::thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    pub(crate) fn sh(&self, command: &str) -> Output {
        self.command("sh").args(["-c", command]).output().unwrap()
    }

    /// Waits until something listens on this TCP port.
    pub(crate) fn listens(&self, port: u16) {
        wait(|| self.sh(&format!("ss -Hltn sport = :{port} | grep -q LISTEN")).status.success());
    }

    /// Starts a server, which is ended with the host. Its output goes to a file in the temporary folder.
    pub(crate) fn serve(&mut self, folder: &std::path::Path, program: &str, args: &[&str]) {
        let short = program.rsplit('/').next().unwrap_or(program);
        let log = File::create(folder.join(format!("{}-{short}.log", self.name))).unwrap();
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

/// The client's addresses, IPv4 and IPv6.
pub(crate) const CLIENT: [&str; 2] = ["192.0.2.2", "2001:db8:1::2"];
/// The server's.
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
        // Nobody else has these addresses, and a router whose link-local address is still being looked at asks for no
        // neighbours: for up to two seconds nothing would get through.
        let no_waiting = "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0";
        run(no_waiting);
        run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        for (host, net4, net6) in [(&client, "192.0.2", "2001:db8:1"), (&server, "198.51.100", "2001:db8:2")]
        {
            let (near, pid) = (host.name, host.pid());
            assert!(host.sh(no_waiting).status.success());
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

    /// Makes a certificate and its key, in files of the temporary folder.
    pub(crate) fn certify(&self) {
        let key = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test \
                   -keyout key.pem -out cert.pem 2>/dev/null";
        run(&format!("cd {} && {key}", self.folder.path().display()));
    }

    /// HTTP on port 80, TLS on port 443, DNS on port 53.
    pub(crate) fn serve(&mut self) {
        let folder = self.folder.path().to_owned();
        std::fs::write(folder.join("index.html"), "the site itself\n").unwrap();
        self.certify();
        std::fs::write(folder.join("nginx.conf"), NGINX).unwrap();
        self.server.serve(&folder, "nginx", &["-p", ".", "-c", "nginx.conf", "-e", "stderr"]);
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
        self.server.listens(80);
        self.server.listens(443);
        wait(|| self.server.sh("ss -Hlun sport = :53 | grep -q 53").status.success());
    }
}

/// The same files over HTTP/1, TLS and HTTP/2, IPv4 and IPv6; which names were asked for is written down.
const NGINX: &str = r#"
daemon off; master_process off; user root; pid nginx.pid;
events { worker_connections 4096; }
http {
    log_format names '$ssl_server_name|$host|$request|$status';
    access_log requests.log names;
    client_body_temp_path . ; proxy_temp_path . ; fastcgi_temp_path . ; scgi_temp_path . ; uwsgi_temp_path . ;
    server {
        listen [::]:80 ipv6only=off; listen [::]:443 ssl http2 ipv6only=off; listen [::]:8443 ssl ipv6only=off;
        ssl_certificate cert.pem; ssl_certificate_key key.pem;
        root .;
    }
    # Here one can see which name was read: this one gets an alert.
    server { listen [::]:8443 ssl; server_name blocked.example.org; ssl_reject_handshake on; }
}
"#;

#[track_caller]
pub(crate) fn wait(mut until: impl FnMut() -> bool) {
    let start = Instant::now();
    while !until() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited for too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}
