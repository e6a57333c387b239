//! Small servers of our own: an SMTP sink and the echo services (RFC 862).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::scenario::model::ServiceKind;
use crate::world::Namespace;

/// How often a server looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);
/// Connections served at once; more wait.
const CONNECTIONS_MAX: usize = 256;
/// The longest line an SMTP client may send (RFC 5321 allows 1,000).
const LINE_LEN_MAX: u64 = 4096;
/// A connection that says nothing for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// A server that runs as threads of the world.
#[derive(Debug)]
pub(super) struct Server {
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds and starts to answer: when this returns, it does. `name` is what a mail server calls itself.
    pub(super) fn start(
        kind: ServiceKind,
        name: &str,
        at: &[SocketAddr],
        namespace: &Namespace,
        log: &Path,
    ) -> io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for &at in at {
            let stop = Arc::clone(&stopped);
            if kind == ServiceKind::UdpEcho {
                let socket = namespace.run(move || UdpSocket::bind(at))??;
                socket.set_read_timeout(Some(TICK))?;
                threads.push(namespace.start("echo", move || echo_datagrams(&socket, &stop))?);
                continue;
            }
            let listener = namespace.run(move || TcpListener::bind(at))??;
            listener.set_nonblocking(true)?;
            let log = Arc::new(File::options().create(true).append(true).open(log)?);
            let name: Arc<str> = name.into();
            threads.push(namespace.start("server", move || serve(kind, &name, &listener, &stop, &log))?);
        }
        Ok(Self { stopped, threads })
    }

    /// When this returns, its ports are free. Connections that are open are served on.
    pub(super) fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn echo_datagrams(socket: &UdpSocket, stopped: &AtomicBool) {
    let mut buffer = [0; 65536];
    while !stopped.load(Ordering::Relaxed) {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), from);
        }
    }
}

fn serve(kind: ServiceKind, name: &Arc<str>, listener: &TcpListener, stopped: &AtomicBool, log: &Arc<File>) {
    let open = Arc::new(AtomicUsize::new(0));
    while !stopped.load(Ordering::Relaxed) {
        let full = open.load(Ordering::Relaxed) >= CONNECTIONS_MAX;
        let Some((stream, from)) = listener.accept().ok().filter(|_| !full) else {
            std::thread::sleep(TICK / 10);
            continue;
        };
        open.fetch_add(1, Ordering::Relaxed);
        let (open, log, name) = (Arc::clone(&open), Arc::clone(log), Arc::clone(name));
        std::thread::spawn(move || {
            // What goes wrong with one connection is that client's matter.
            let _ = stream
                .set_nonblocking(false)
                .and_then(|()| stream.set_read_timeout(Some(IDLE_MAX)))
                .and_then(|()| {
                    if kind == ServiceKind::Mail { mail(&stream, &name, from, &log) } else { echo(stream) }
                });
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16384];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(buffer.get(..n).unwrap_or_default())?,
        }
    }
}

/// Takes any message, notes who sent it to whom and its size, and forgets its text.
fn mail(stream: &TcpStream, name: &str, from: SocketAddr, mut log: &File) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    write!(out, "220 {name} ESMTP\r\n")?;
    let (mut sender, mut recipients) = (String::new(), 0_u32);
    loop {
        let mut line = Vec::new();
        if (&mut reader).take(LINE_LEN_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "HELO" | "NOOP" => "250 ok\r\n",
            "EHLO" => {
                write!(out, "250-{name}\r\n250-8BITMIME\r\n250 SIZE 10000000\r\n")?;
                continue;
            }
            "MAIL" => {
                sender = line;
                recipients = 0;
                "250 ok\r\n"
            }
            "RCPT" => {
                recipients += 1;
                "250 ok\r\n"
            }
            "RSET" => {
                recipients = 0;
                "250 ok\r\n"
            }
            "DATA" if recipients == 0 => "503 RCPT first\r\n",
            "DATA" => {
                out.write_all(b"354 end with a dot\r\n")?;
                let mut bytes = 0;
                loop {
                    let mut line = Vec::new();
                    match (&mut reader).take(LINE_LEN_MAX).read_until(b'\n', &mut line)? {
                        0 => return Ok(()),
                        _ if matches!(line.as_slice(), b".\r\n" | b".\n") => break,
                        n => bytes += n,
                    }
                }
                // In one piece: others write to it, too.
                let line = format!("{from} {sender} recipients={recipients} bytes={bytes}\n");
                let _ = log.write_all(line.as_bytes());
                "250 taken\r\n"
            }
            "QUIT" => {
                out.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => "502 not here\r\n",
        };
        out.write_all(answer.as_bytes())?;
    }
}
