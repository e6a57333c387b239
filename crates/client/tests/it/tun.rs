//! The whole machine through the tunnel, in network namespaces: a client's, and one that is everything else. Needs root, and
//! the packages iproute2, nftables and tcpdump.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use daylight_client::direct::{Direct, DirectAssociation};
use daylight_client::engine::{Config, Engine};
use daylight_client::tun::{self, MARK, Tun, TunConfig};
use daylight_client::{Association, ConnectError, Tunnel};
use daylight_session::Destination;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

use crate::served::{card_of_plain, serve_plain};
use crate::world::PATIENCE;

const SERVER: &str = "192.0.2.10";
/// Where the world is.
const SITE: &str = "203.0.113.5:80";
const SITE_V6: &str = "[2001:db8:5::1]:80";
const LAN: &str = "DAYLIGHT_TEST_LAN";
/// Where a real server is; none: a pretended tunnel.
const REAL: &str = "DAYLIGHT_TEST_SERVER";
/// A probe that should fail is waited for so long.
const SHORT: Duration = Duration::from_secs(2);

/// Says where everything is to go, to the server, which answers in everybody's place.
#[derive(Clone)]
struct Via;

impl Via {
    fn server(port: u16) -> Destination {
        Destination::Address((SERVER.parse::<std::net::IpAddr>().expect("an address"), port).into())
    }
}

impl Tunnel for Via {
    type Stream = tokio::net::TcpStream;
    type Association = ViaAssociation;

    async fn connect(&self, destination: Destination) -> Result<Self::Stream, ConnectError> {
        if destination.to_string().ends_with(":81") {
            return Err(ConnectError::Refused);
        }
        let direct = Direct { mark: Some(MARK) };
        let mut stream = direct.connect(Self::server(9000)).await.map_err(|_| ConnectError::TunnelDown)?;
        let line = format!("{destination}\n");
        stream.write_all(line.as_bytes()).await.map_err(|error| ConnectError::from(&error))?;
        Ok(stream)
    }

    async fn associate(&self) -> Result<ViaAssociation, ConnectError> {
        Ok(ViaAssociation(Direct { mark: Some(MARK) }.associate().await?))
    }
}

struct ViaAssociation(DirectAssociation);

impl Association for ViaAssociation {
    async fn send(&self, destination: Destination, data: Bytes) -> Result<(), ConnectError> {
        let datagram = [format!("{destination}\n").as_bytes(), &data].concat();
        self.0.send(Via::server(9001), datagram.into()).await
    }

    async fn recv(&self) -> Option<(Destination, Bytes)> {
        let (_, data) = self.0.recv().await?;
        let end = data.iter().position(|&byte| byte == b'\n')?;
        let source: SocketAddr = String::from_utf8_lossy(&data[..end]).parse().ok()?;
        // The answer says whom it was for.
        Some((source.into(), data))
    }
}

/// What the client's process does: it carries its machine until its input ends. Started by the other tests.
#[test]
#[ignore = "the other tests start it, in a namespace"]
fn carry_the_machine() {
    let Ok(lan) = std::env::var(LAN) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match std::env::var(REAL) {
            Ok(server) => {
                let card = card_of_plain(server.parse().expect("an address"));
                let config = Config { mark: Some(MARK), ..Config::new(vec![card]) };
                let engine = Engine::start(config).expect("an engine");
                carry(&lan, engine.clone()).await;
                engine.stop().await;
            }
            Err(_) => carry(&lan, Via).await,
        }
    });
}

async fn carry(lan: &str, tunnel: impl Tunnel) {
    let config = TunConfig { direct_lan: lan == "direct", ..TunConfig::default() };
    let tun = Tun::open(&config).expect("a device");
    println!("ready");
    let mut input = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    tokio::select! {
        outcome = tun.run(tunnel) => panic!("{}", outcome.expect_err("an error")),
        _ = input.next_line() => {}
    }
    tun.close().expect("closed");
}

fn run(program: &str, arguments: &str) -> io::Result<()> {
    let output = Command::new(program).args(arguments.split_whitespace()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{program} {arguments}: {said}")))
    }
}

/// Does something in a namespace.
fn inside<T: Send>(namespace: &str, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let enter = || {
            let file = File::open(format!("/run/netns/{namespace}")).expect("the namespace");
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))
                .expect("entered");
            act()
        };
        scope.spawn(enter).join().expect("no panic inside")
    })
}

struct World {
    client: String,
    server: String,
    /// Lives in a thread that has entered the server's namespace.
    serving: Option<tokio::runtime::Runtime>,
    sniffer: Option<Child>,
    folder: tempfile::TempDir,
}

impl World {
    /// None, with a reason printed, where it can't be made.
    fn new(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: takes root");
            return None;
        }
        for (program, arguments) in [("ip", "-V"), ("nft", "-v"), ("tcpdump", "--version")] {
            if let Err(error) = run(program, arguments) {
                println!("skipped: {error}");
                return None;
            }
        }
        let id = std::process::id();
        let (client, server) = (format!("dlc-{name}-{id}"), format!("dls-{name}-{id}"));
        let folder = tempfile::tempdir().expect("a folder");
        let mut world = Self { client, server, serving: None, sniffer: None, folder };
        if let Err(error) = run("ip", &format!("netns add {}", world.client)) {
            println!("skipped: no namespaces: {error}");
            return None;
        }
        world.make().expect("links");
        world.serve();
        world.sniff();
        Some(world)
    }

    fn make(&self) -> io::Result<()> {
        let Self { client, server, .. } = self;
        run("ip", &format!("netns add {server}"))?;
        for namespace in [client, server] {
            for setting in ["all.accept_dad=0", "default.accept_dad=0"] {
                run("ip", &format!("netns exec {namespace} sysctl -qw net.ipv6.conf.{setting}"))?;
            }
            run("ip", &format!("-n {namespace} link set lo up"))?;
        }
        run("ip", &format!("link add wan netns {client} type veth peer name lan netns {server}"))?;
        for (namespace, device, host) in [(client, "wan", 2), (server, "lan", 1)] {
            run("ip", &format!("-n {namespace} addr add 10.99.0.{host}/24 dev {device}"))?;
            run("ip", &format!("-n {namespace} addr add 2001:db8:99::{host}/64 dev {device}"))?;
            run("ip", &format!("-n {namespace} link set {device} up"))?;
        }
        for address in ["192.0.2.10/32", "203.0.113.5/32", "2001:db8:5::1/128"] {
            run("ip", &format!("-n {server} addr add {address} dev lo"))?;
        }
        // The strictest check of return paths that a machine can have.
        run("ip", &format!("netns exec {client} sysctl -qw net.ipv4.conf.all.rp_filter=1"))?;
        run("ip", &format!("-n {client} route add default via 10.99.0.1"))?;
        run("ip", &format!("-n {client} route add default via 2001:db8:99::1"))
    }

    /// The tunnel's server, and everything that can be reached without it.
    fn serve(&mut self) {
        let runtime = inside(&self.server, || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let tunnel = tokio::net::TcpListener::bind((SERVER, 9000)).await.expect("a port");
                let datagrams = tokio::net::UdpSocket::bind((SERVER, 9001)).await.expect("a port");
                let direct = tokio::net::TcpListener::bind("[::]:80").await.expect("a port");
                tokio::spawn(async move {
                    while let Ok((connection, _)) = tunnel.accept().await {
                        tokio::spawn(answer(connection));
                    }
                });
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_535];
                    while let Ok((len, from)) = datagrams.recv_from(&mut buffer).await {
                        let _ = datagrams.send_to(&buffer[..len], from).await;
                    }
                });
                tokio::spawn(async move {
                    while let Ok((mut connection, _)) = direct.accept().await {
                        let _ = connection.write_all(b"direct\n").await;
                    }
                });
            });
            runtime
        });
        self.serving = Some(runtime);
    }

    /// Writes down each packet of the client's that is not the tunnel's; neighbour discovery and what stays on the link
    /// aside.
    fn sniff(&mut self) {
        let filter = format!(
            "(ip or ip6) and not host {SERVER} and not (ip6 and dst net ff00::/8) and not (icmp6 and ip6[40] >= 133 and ip6[40] <= 137)"
        );
        let file = File::create(self.folder.path().join("sniffed")).expect("a file");
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            &self.server,
            "tcpdump",
            "-n",
            "-l",
            "-p",
            "--immediate-mode",
            "-i",
            "lan",
        ]);
        command.args(["-Q", "in", &filter]).stdout(file).stderr(Stdio::piped());
        let mut sniffer = command.spawn().expect("tcpdump");
        let mut said = BufReader::new(sniffer.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(said.read_line(&mut line).expect("read") > 0, "tcpdump ended");
        }
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        self.sniffer = Some(sniffer);
    }

    fn sniffed(&self) -> String {
        thread::sleep(Duration::from_millis(300));
        fs::read_to_string(self.folder.path().join("sniffed")).expect("a file")
    }

    /// Starts the client, and waits until it carries.
    fn carry(&self, lan: &str) -> Carrier {
        self.carry_by(lan, None)
    }

    fn carry_by(&self, lan: &str, server: Option<SocketAddr>) -> Carrier {
        let exe = std::env::current_exe().expect("this program");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.client]).arg(exe);
        command.args(["--exact", "tun::carry_the_machine", "--ignored", "--nocapture"]).env(LAN, lan);
        if let Some(server) = server {
            command.env(REAL, server.to_string());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the client");
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert!(said.read_line(&mut line).expect("read") > 0, "the client ended: {line}");
        }
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        Carrier(child)
    }

    /// What a connection of the client's is told first.
    fn ask(&self, to: &str) -> io::Result<String> {
        inside(&self.client, || ask(TcpStream::connect_timeout(&to.parse().expect("an address"), PATIENCE)?))
    }

    /// What comes back to a datagram of the client's.
    fn ask_udp(&self, to: &str) -> io::Result<(String, SocketAddr)> {
        inside(&self.client, || {
            let any = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(any)?;
            socket.set_read_timeout(Some(SHORT))?;
            let mut buffer = [0; 2000];
            let begin = Instant::now();
            loop {
                socket.send_to(b"question", to)?;
                match socket.recv_from(&mut buffer) {
                    Ok((len, from)) => {
                        return Ok((String::from_utf8_lossy(&buffer[..len]).into_owned(), from));
                    }
                    Err(error) if begin.elapsed() > PATIENCE => return Err(error),
                    Err(_) => {}
                }
            }
        })
    }

    /// All that a program could try to get past the tunnel, routes or not.
    fn try_to_leak(&self) {
        inside(&self.client, || {
            for site in [SITE, SITE_V6, "10.99.0.1:80", "[2001:db8:99::1]:80"] {
                let to: SocketAddr = site.parse().expect("an address");
                assert!(TcpStream::connect_timeout(&to, SHORT).is_err(), "{site} is reached");
                let domain = socket2::Domain::for_address(to);
                for kind in [socket2::Type::STREAM, socket2::Type::DGRAM] {
                    let socket = socket2::Socket::new(domain, kind, None).expect("a socket");
                    socket.bind_device(Some(b"wan")).expect("bound");
                    // It may be refused at once, or later.
                    let _ = socket.connect_timeout(&to.into(), SHORT);
                    // Or it is still being tried, and a byte would wait for it.
                    if kind == socket2::Type::DGRAM {
                        let _ = socket.send(b"leak");
                    }
                }
            }
            for resolver in ["8.8.8.8:53", "10.99.0.1:53", "[2001:db8:99::1]:53"] {
                let any = if resolver.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
                let _ = UdpSocket::bind(any).expect("a port").send_to(b"question", resolver);
            }
        });
    }
}

async fn answer(mut connection: tokio::net::TcpStream) {
    let (reader, mut writer) = connection.split();
    let mut reader = tokio::io::BufReader::new(reader);
    let mut line = String::new();
    if reader.read_line(&mut line).await.is_ok()
        && writer.write_all(format!("tunnel {line}").as_bytes()).await.is_ok()
    {
        let _ = tokio::io::copy_buf(&mut reader, &mut writer).await;
    }
}

fn ask(connection: TcpStream) -> io::Result<String> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line)?;
    Ok(line.trim_end().into())
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut sniffer) = self.sniffer.take() {
            let _ = sniffer.kill();
            let _ = sniffer.wait();
        }
        if let Some(serving) = self.serving.take() {
            serving.shutdown_background();
        }
        for namespace in [&self.client, &self.server] {
            let _ = run("ip", &format!("netns del {namespace}"));
        }
    }
}

/// The client's process.
struct Carrier(Child);

impl Carrier {
    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("ended").success());
    }

    /// As by `kill -9`.
    fn kill(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn everything_goes_through_and_nothing_past() {
    let Some(mut world) = World::new("all") else { return };
    assert_eq!(world.ask(SITE).expect("reached"), "direct", "the world is there without the tunnel");
    assert!(world.sniffed().contains("203.0.113.5.80"), "and the sniffer sees it");
    let before = world.sniffed();

    let mut carrier = world.carry("carried");
    assert_eq!(world.ask(SITE).expect("reached"), format!("tunnel {SITE}"));
    assert_eq!(world.ask(SITE_V6).expect("reached"), format!("tunnel {SITE_V6}"));
    assert_eq!(world.ask("203.0.113.5:81").expect_err("refused").kind(), io::ErrorKind::ConnectionRefused);
    for (to, asked) in [
        ("8.8.8.8:53", "8.8.8.8:53"),
        ("203.0.113.5:4433", "203.0.113.5:4433"),
        ("[2001:db8:5::1]:4433", "[2001:db8:5::1]:4433"),
        // The network's own resolver is not asked.
        ("10.99.0.1:53", "9.9.9.9:53"),
        ("[2001:db8:99::1]:53", "[2001:db8:99::1]:53"),
    ] {
        let (answer, from) = world.ask_udp(to).expect("an answer");
        assert_eq!(answer, format!("{asked}\nquestion"), "{to}");
        assert_eq!(from.to_string(), to, "the answer seems to come from whom the program asked");
    }
    large_transfers(&world);
    assert_eq!(world.sniffed(), before, "while the tunnel is up");

    // The tunnel drops.
    if let Some(serving) = world.serving.take() {
        serving.shutdown_background();
    }
    world.try_to_leak();
    assert_eq!(world.sniffed(), before, "while the tunnel is down");
    world.serve();
    assert_eq!(world.ask(SITE).expect("reached"), format!("tunnel {SITE}"), "and up again");

    carrier.kill();
    world.try_to_leak();
    assert_eq!(world.sniffed(), before, "after kill -9");

    inside(&world.client, tun::restore).expect("restored");
    assert_eq!(world.ask(SITE).expect("reached"), "direct");
    let rules = Command::new("ip").args(["-n", &world.client, "rule"]).output().expect("ip");
    assert_eq!(String::from_utf8_lossy(&rules.stdout).lines().count(), 3, "the kernel's own rules are left");
}

/// More than the buffers hold, both ways at once, with the program's side closed first.
fn large_transfers(world: &World) {
    const LEN: usize = 8 << 20;
    inside(&world.client, || {
        let mut connection = TcpStream::connect(SITE).expect("reached");
        connection.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut reader = connection.try_clone().expect("cloned");
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        let sent: Vec<u8> = (0..LEN).map(|at| (at / 7 % 251) as u8).collect();
        connection.write_all(&sent).expect("sent");
        connection.shutdown(std::net::Shutdown::Write).expect("closed");
        let received = reading.join().expect("no panic").expect("read");
        let head = format!("tunnel {SITE}\n");
        assert_eq!(received.len(), head.len() + LEN);
        assert!(received[head.len()..] == sent, "bytes are in order");
    });
}

/// The engine and a real server, with the site behind it.
#[test]
fn a_real_server_carries_the_machine() {
    let Some(world) = World::new("real") else { return };
    let server: SocketAddr = format!("{SERVER}:9002").parse().expect("an address");
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = world.serving.as_ref().expect("it serves");
    let _server =
        inside(&world.server, || runtime.block_on(serve_plain(folder.path(), server, "203.0.113.0/24")));
    let before = world.sniffed();
    let carrier = world.carry_by("carried", Some(server));
    assert_eq!(world.ask(SITE).expect("reached"), "direct");
    let refused = world.ask("203.0.113.5:81").expect_err("refused");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(world.sniffed(), before, "nothing went past the tunnel");
    carrier.end();
    assert_eq!(world.ask(SITE).expect("reached"), "direct");
    assert_ne!(world.sniffed(), before, "and without it everything does");
}

#[test]
fn local_networks_go_direct_but_not_their_resolver() {
    let Some(world) = World::new("lan") else { return };
    let carrier = world.carry("direct");
    assert_eq!(world.ask("10.99.0.1:80").expect("reached"), "direct");
    assert_eq!(world.ask(SITE).expect("reached"), format!("tunnel {SITE}"));
    let (answer, from) = world.ask_udp("10.99.0.1:53").expect("an answer");
    assert_eq!((answer.as_str(), from.to_string().as_str()), ("9.9.9.9:53\nquestion", "10.99.0.1:53"));
    assert!(!world.sniffed().contains(".53:"), "{}", world.sniffed());
    carrier.end();
    assert_eq!(world.ask(SITE).expect("reached"), "direct", "an ordinary end gives the routes back");
}
