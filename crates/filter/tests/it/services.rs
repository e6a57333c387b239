//! Servers of protocols, beside the web site and the name server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};

use crate::h3;
use crate::namespace::run;
use crate::net::Net;

/// Starts servers of everything: DNS (53), HTTP/1 (80), TLS and HTTP/2 (443), HTTP/3 (443), SSH (22), SMTP (25), and an echo
/// (7000, TCP and UDP). Those in this process end with it.
pub(crate) fn all(net: &mut Net) -> h3::Site {
    net.serve();
    let site = h3::serve_with(net);
    ssh(net);
    listen(net, 25, smtp);
    listen(net, 7000, echo);
    let socket = net.server.within(|| UdpSocket::bind("[::]:7000").unwrap());
    std::thread::spawn(move || {
        let mut datagram = [0; 2000];
        while let Ok((len, from)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(&datagram[..len], from);
        }
    });
    site
}

/// Serves each connection on a thread.
fn listen(net: &Net, port: u16, serve: fn(TcpStream) -> std::io::Result<()>) {
    let listener = net.server.within(|| TcpListener::bind(("::", port)).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut bytes = [0; 65_536];
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            n => stream.write_all(&bytes[..n])?,
        }
    }
}

/// Takes any mail.
fn smtp(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"220 mail.example.org ESMTP\r\n")?;
    let (mut within, reader) = (false, BufReader::new(stream.try_clone()?));
    for line in reader.lines() {
        let line = line?;
        let answer = match (within, line.get(..4).unwrap_or(&line)) {
            (true, _) if line != "." => continue,
            (false, "DATA") => "354 go on",
            (false, "QUIT") => "221 bye",
            _ => "250 mail.example.org",
        };
        within = answer.starts_with("354");
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}

fn ssh(net: &mut Net) {
    let folder = net.folder.path().to_owned();
    run(&format!("mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f {}/host", folder.display()));
    let config = format!("HostKey {}/host\nPidFile none\nMaxStartups 1000\n", folder.display());
    std::fs::write(folder.join("sshd.conf"), config).unwrap();
    let path = folder.join("sshd.conf").display().to_string();
    net.server.serve(&folder, "/usr/sbin/sshd", &["-D", "-e", "-f", &path]);
    net.server.listens(22);
}
