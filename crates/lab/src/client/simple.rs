//! Pings, connections, programs.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::End;
use crate::scenario::model::Outcome;

/// Sends one echo request with the system's `ping`.
pub(super) fn ping(to: IpAddr, timeout: Duration) -> End {
    let start = Instant::now();
    let output = Command::new("ping")
        .args(["-n", "-q", "-c", "1", "-W", &timeout.as_secs_f64().to_string()])
        .arg(to.to_string())
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            let what = format!("ping: {error}; it is in the Debian package iputils-ping");
            return End::new(Outcome::Failed, start.elapsed(), what);
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    // "rtt min/avg/max/mdev = 0.050/0.050/0.050/0.000 ms"
    let rtt = text.lines().find_map(|l| l.split_once(" = ")?.1.split('/').next()?.parse::<f64>().ok());
    match rtt {
        Some(ms) => End::new(Outcome::Ok, Duration::from_secs_f64(ms.max(0.0) / 1000.0), to.to_string()),
        None if text.contains("errors") || !output.stderr.is_empty() => {
            End::new(Outcome::Unreachable, start.elapsed(), String::from_utf8_lossy(&output.stderr).trim())
        }
        None => End::new(Outcome::Timeout, start.elapsed(), to.to_string()),
    }
}

/// Opens a TCP connection.
pub(super) fn connect(to: SocketAddr, timeout: Duration) -> End {
    let start = Instant::now();
    match TcpStream::connect_timeout(&to, timeout) {
        Ok(_) => End::new(Outcome::Ok, start.elapsed(), to.to_string()),
        Err(error) => of_error(&error, to, start),
    }
}

/// Sends a datagram, and waits for it to come back. Sent once: what is lost on the way is what is to be seen.
pub(super) fn datagram(to: SocketAddr, timeout: Duration) -> End {
    const WORDS: &[u8] = b"daylight";
    let start = Instant::now();
    let any: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let exchange = || -> io::Result<bool> {
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(timeout))?;
        socket.send(WORDS)?;
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer)?;
        Ok(buffer.get(..length) == Some(WORDS))
    };
    match exchange() {
        Ok(true) => End::new(Outcome::Ok, start.elapsed(), to.to_string()),
        Ok(false) => End::new(Outcome::Failed, start.elapsed(), "something else came back"),
        Err(error) => of_error(&error, to, start),
    }
}

/// How an attempt ended that the system gave an error for.
fn of_error(error: &io::Error, to: SocketAddr, start: Instant) -> End {
    let outcome = match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Outcome::Timeout,
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        io::ErrorKind::ConnectionReset => Outcome::Reset,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Outcome::Unreachable,
        _ => return End::new(Outcome::Failed, start.elapsed(), error.to_string()),
    };
    End::new(outcome, start.elapsed(), to.to_string())
}

/// Runs a program; its exit status is the outcome.
pub(super) fn program(command: &[String], timeout: Duration) -> End {
    let start = Instant::now();
    let Some((program, arguments)) = command.split_first() else {
        return End::new(Outcome::Failed, start.elapsed(), "no command");
    };
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return End::new(Outcome::Failed, start.elapsed(), format!("{program}: {error}")),
    };
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => {
                return End::new(Outcome::Ok, start.elapsed(), "exit status 0");
            }
            Ok(Some(status)) => return End::new(Outcome::Failed, start.elapsed(), status.to_string()),
            Ok(None) if start.elapsed() < timeout => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return End::new(Outcome::Timeout, start.elapsed(), "still running");
            }
        }
    }
}
