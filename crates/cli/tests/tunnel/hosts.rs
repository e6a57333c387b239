//! Four hosts, and what runs on them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The name of the tunnel server's site, and of what people want to read.
pub(crate) const SERVER_NAME: &str = "www.choir.example";
pub(crate) const SITE_NAME: &str = "www.news.example";
const SERVER: &str = "198.51.100.2";
const SITE: &str = "203.0.113.2";

/// A host, for as long as this lives.
pub(crate) struct Host {
    holder: Child,
    programs: Vec<Child>,
}

impl Host {
    fn new() -> Self {
        let holder = Command::new("unshare").args(["-n", "-m", "sleep", "600"]).spawn().unwrap();
        let host = Self { holder, programs: Vec::new() };
        let own = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        // Until `unshare` has done its work, the holder is where this is.
        for kind in ["net", "mnt"] {
            let path = format!("/proc/{}/ns/{kind}", host.pid());
            wait("a namespace", || std::fs::read_link(&path).is_ok_and(|ns| ns != own(kind)));
        }
        host.sh("ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
        host
    }

    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid().to_string(), "-n", "-m", program]).stdin(Stdio::null());
        command
    }

    /// What a line of shell says. It must succeed.
    pub(crate) fn sh(&self, line: &str) -> String {
        let Output { status, stdout, stderr } = self.command("sh").args(["-ec", line]).output().unwrap();
        assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Starts a program, which ends with the host. Its output goes to this file.
    pub(crate) fn start(&mut self, log: &Path, mut command: Command) {
        let log = File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.programs.push(command.spawn().unwrap());
    }

    /// Sends a signal to the program that was started last, and forgets it if it is to end by it.
    pub(crate) fn signal_last(&mut self, signal: &str) {
        let pid = self.programs.last().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits until the program that was started last has ended.
    pub(crate) fn wait_last(&mut self) {
        let mut program = self.programs.pop().unwrap();
        wait("the program's end", || program.try_wait().unwrap().is_some());
    }

    /// Waits until something listens on this TCP port.
    pub(crate) fn listens(&self, port: u16) {
        let line = format!("ss -Hltn sport = :{port}");
        wait(&format!("port {port}"), || !self.sh(&line).is_empty());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for process in self.programs.iter_mut().chain([&mut self.holder]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub(crate) fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All of them, and their files.
pub(crate) struct Net {
    pub(crate) client: Host,
    pub(crate) router: Host,
    pub(crate) server: Host,
    site: Host,
    pub(crate) folder: tempfile::TempDir,
}

/// Programs and rights without which there is no test; false, and a word on it, if one is missing.
pub(crate) fn have(programs: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let missing = |program: &&&str| !path.split(':').any(|at| PathBuf::from(at).join(program).exists());
    if let Some(program) = programs.iter().find(missing) {
        eprintln!("skipped: {program} is missing");
        return false;
    }
    let is_root = Command::new("unshare").args(["-n", "-m", "true"]).status().is_ok_and(|s| s.success());
    if !is_root {
        eprintln!("skipped: namespaces need root");
    }
    is_root
}

impl Net {
    /// The site runs, the server is set up and runs, and the client can't reach the site.
    pub(crate) fn new() -> Self {
        let net = Self {
            client: Host::new(),
            router: Host::new(),
            server: Host::new(),
            site: Host::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        net.join();
        net
    }

    fn join(&self) {
        let links = [(&self.client, "192.0.2"), (&self.server, "198.51.100"), (&self.site, "203.0.113")];
        for (n, (host, network)) in (0..).zip(links) {
            let (pid, router) = (host.pid(), self.router.pid());
            let link = format!("ip link add eth0 netns {pid} type veth peer name r{n} netns {router}");
            assert!(Command::new("sh").args(["-c", &link]).status().unwrap().success());
            self.router.sh(&format!("ip addr add {network}.1/24 dev r{n}; ip link set r{n} up"));
            host.sh(&format!(
                "ip addr add {network}.2/24 dev eth0; ip link set eth0 up; ip route add default via {network}.1"
            ));
        }
        self.router.sh("sysctl -qw net.ipv4.ip_forward=1");
        // The censor.
        self.router.sh(&format!("iptables -A FORWARD -s 192.0.2.0/24 -d {SITE} -j DROP"));
        // Everybody knows the server's name, and only the server, which is abroad, the site's.
        self.knows(&self.client, &format!("{SERVER} {SERVER_NAME}"));
        self.knows(&self.server, &format!("{SERVER} {SERVER_NAME}\n{SITE} {SITE_NAME}"));
    }

    fn knows(&self, host: &Host, names: &str) {
        let file = self.path(&format!("hosts-{}", host.pid()));
        std::fs::write(&file, format!("127.0.0.1 localhost\n{names}\n")).unwrap();
        let empty = self.path("resolv.conf");
        std::fs::write(&empty, "nameserver 127.0.0.1\n").unwrap();
        host.sh(&format!("mount --bind {} /etc/hosts", file.display()));
        host.sh(&format!("mount --bind {} /etc/resolv.conf", empty.display()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for a name, signed by itself.
    fn certify(&self, name: &str) -> (String, String) {
        let [certificate, key] = ["pem", "key"].map(|kind| self.path(&format!("{name}.{kind}")));
        let line = format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -addext basicConstraints=critical,CA:FALSE -subj /CN={name} \
             -addext subjectAltName=DNS:{name} -out {} -keyout {} 2>/dev/null",
            certificate.display(),
            key.display()
        );
        self.site.sh(&line);
        (certificate.display().to_string(), key.display().to_string())
    }

    /// The site: a page with a style, a script, a picture and a piece that the script fetches.
    pub(crate) fn start_site(&mut self) {
        let (certificate, key) = self.certify(SITE_NAME);
        let root = self.path("news");
        std::fs::create_dir(&root).unwrap();
        let write = |name: &str, content: &[u8]| std::fs::write(root.join(name), content).unwrap();
        write(
            "index.html",
            b"<!doctype html><title>News</title><link rel=stylesheet href=style.css>\
              <img id=picture src=picture.svg><p id=said>nothing yet</p><script src=script.js></script>",
        );
        write("style.css", b"#said { color: rgb(1, 2, 3) }");
        write("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='32'/>");
        write("piece.txt", "a piece ".repeat(20_000).as_bytes());
        write(
            "script.js",
            b"addEventListener('load', async () => {
                const said = document.getElementById('said');
                const piece = await (await fetch('piece.txt')).text();
                const picture = document.getElementById('picture').naturalWidth;
                said.textContent = `${piece.length} bytes, ${picture} wide, ${getComputedStyle(said).color}`;
              });",
        );
        let large = File::create(root.join("large")).unwrap();
        large.set_len(100 << 20).unwrap();
        let at = self.folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .collect();
        let config = format!(
            "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/nginx.log;\n\
             events {{}}\nhttp {{\n{temporary}include /etc/nginx/mime.types; access_log {at}/access.log;\n\
             server {{ listen 443 ssl http2; listen 80; ssl_certificate {certificate}; ssl_certificate_key {key}; root {}; }}\n}}\n",
            root.display()
        );
        std::fs::write(self.path("nginx.conf"), config).unwrap();
        // Who runs nginx may not be who runs the test.
        self.site.sh(&format!("chmod 755 {at}"));
        let mut nginx = self.site.command("nginx");
        nginx.arg("-e").arg(self.path("nginx.log")).arg("-c").arg(self.path("nginx.conf"));
        let log = self.path("nginx.out");
        self.site.start(&log, nginx);
        self.site.listens(443);
    }

    /// The tunnel's server, set up by `init` and started.
    pub(crate) fn start_server(&mut self) {
        let (certificate, key) = self.certify(SERVER_NAME);
        let init = self
            .server
            .command(env!("CARGO_BIN_EXE_daylight"))
            .args(["tunnel", "server", "init"])
            .arg(self.path("server"))
            .args(["--name", SERVER_NAME, "--certificate", &certificate, "--certificate-key", &key])
            .args(["--plain", "8388", "--cards", "2"])
            .output()
            .unwrap();
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        let config = self.path("server/server.toml");
        // Test networks are not on the public internet.
        let text = std::fs::read_to_string(&config).unwrap();
        assert!(text.contains("\n[egress]\n"), "{text}");
        let text = text.replace("\n[egress]\n", "\n[egress]\nreach_private = [\"203.0.113.0/24\"]\n");
        std::fs::write(&config, text).unwrap();
        self.run_server();
    }

    pub(crate) fn run_server(&mut self) {
        let mut command = self.server.command(env!("CARGO_BIN_EXE_daylight"));
        command.args(["tunnel", "server"]).arg(self.path("server/server.toml"));
        let log = self.path("server.log");
        self.server.start(&log, command);
        self.server.listens(443);
        self.server.listens(8388);
    }

    pub(crate) fn card(&self) -> PathBuf {
        self.path("server/hand-out/1.card")
    }

    /// A client's command, with its state and its runtime's folder here.
    pub(crate) fn client_command(&self, args: &[&str]) -> Command {
        let mut command = self.client.command(env!("CARGO_BIN_EXE_daylight"));
        command.args(["tunnel", "client"]).args(args);
        command.env("XDG_RUNTIME_DIR", self.folder.path()).env("XDG_STATE_HOME", self.folder.path());
        command
    }

    /// Starts a client with the card and this beside.
    pub(crate) fn start_client(&mut self, args: &[&str]) {
        let (card, authority) = (self.card(), self.path(&format!("{SERVER_NAME}.pem")));
        let mut command = self.client_command(&[card.to_str().unwrap()]);
        command.arg("--authority").arg(authority).args(args);
        let log = self.path("client.log");
        self.client.start(&log, command);
        self.client.listens(1080);
    }

    pub(crate) fn said(&self, log: &str) -> String {
        std::fs::read_to_string(self.path(log)).unwrap_or_default()
    }
}
