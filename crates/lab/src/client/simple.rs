//! Pings, connections, programs.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
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
    let outcome = match TcpStream::connect_timeout(&to, timeout) {
        Ok(_) => return End::new(Outcome::Ok, start.elapsed(), to.to_string()),
        Err(error) => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Outcome::Timeout,
            io::ErrorKind::ConnectionRefused => Outcome::Refused,
            io::ErrorKind::ConnectionReset => Outcome::Reset,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Outcome::Unreachable,
            _ => return End::new(Outcome::Failed, start.elapsed(), error.to_string()),
        },
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
