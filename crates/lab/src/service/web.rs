//! Sites by nginx: HTTP/1.1 on port 80, HTTP/1.1 and HTTP/2 over TLS on 443; HTTP/3 by a server of our own.

use std::path::Path;

use super::{Context, quic, system_program, write};
use crate::LabError;
use crate::scenario::model::{Answer, Service};

/// The header by which a client knows a page of the scenario's sites from anybody else's.
pub(crate) const SITE_HEADER: &str = "daylight-site";

pub(super) fn configure(
    name: &str,
    service: &Service,
    context: &Context<'_>,
    folder: &Path,
) -> Result<Vec<String>, LabError> {
    let names: Vec<String> = service.names.iter().map(|n| n.get_ref().clone()).collect();
    let fault = service.certificate.as_ref().map(|fault| *fault.get_ref());
    let (certificate, key) = context.authority.certify_with(&names, fault, folder)?;
    let page = page(name, service, context)?;
    write(&folder.join("index.html"), page)?;
    let secure = service.port.as_ref().map_or(443, |p| *p.get_ref());
    let mut listen = String::new();
    let addresses = context.addresses.get(service.host.get_ref()).cloned().unwrap_or_default();
    for address in addresses {
        let at = std::net::SocketAddr::new(address, 0);
        let at = at.to_string();
        let at = at.trim_end_matches('0');
        if service.plain != Some(false) {
            listen.push_str(&format!("    listen {at}80;\n"));
        }
        if service.tls != Some(false) {
            listen.push_str(&format!("    listen {at}{secure} ssl http2;\n"));
        }
    }
    let here = folder.display();
    let text = format!(
        "user root;\nworker_processes 1;\ndaemon off;\npid {here}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n  access_log {here}/access.txt;\n  default_type text/html;\n  charset utf-8;\n  \
         client_body_temp_path {here}/t1;\n  proxy_temp_path {here}/t2;\n  fastcgi_temp_path {here}/t3;\n  \
         uwsgi_temp_path {here}/t4;\n  scgi_temp_path {here}/t5;\n{}  server {{\n{listen}    server_name {};\n    \
         ssl_certificate {};\n    ssl_certificate_key {};\n    root {here};\n{}{}    location / {{\n{}      try_files /index.html =404;\n    }}\n  }}\n}}\n",
        whom(&service.answer),
        names.join(" "),
        certificate.display(),
        key.display(),
        if service.foreign {
            String::new()
        } else {
            format!("    add_header {SITE_HEADER} \"{}\" always;\n", context.token)
        },
        if service.http3 {
            format!("    add_header alt-svc 'h3=\":{secure}\"' always;\n")
        } else {
            String::new()
        },
        answers(&service.answer),
    );
    let file = folder.join("nginx.conf");
    write(&file, text)?;
    let program = system_program("nginx");
    Ok(vec![
        program,
        "-e".into(),
        "stderr".into(),
        "-p".into(),
        here.to_string(),
        "-c".into(),
        file.display().to_string(),
    ])
}

/// A variable for each answer: 1 for those whom it is for.
fn whom(all: &[Answer]) -> String {
    let of = |(n, answer): (usize, &Answer)| match &answer.from {
        Some(range) => format!("  geo $answer{n} {{ default 0; {} 1; }}\n", range.get_ref()),
        None => format!("  geo $answer{n} {{ default 1; }}\n"),
    };
    all.iter().enumerate().map(of).collect()
}

fn answers(all: &[Answer]) -> String {
    let of = |(n, answer): (usize, &Answer)| {
        let status = answer.status.as_ref().map_or(200, |status| *status.get_ref());
        let text = answer.location.as_ref().unwrap_or(&answer.body);
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("      if ($answer{n}) {{ return {status} \"{text}\"; }}\n")
    };
    all.iter().enumerate().map(of).collect()
}

/// The same site over HTTP/3, with the certificate and the page that [`configure`] has written.
pub(super) fn over_quic(context: &Context<'_>, folder: &Path) -> Result<quic::Config, LabError> {
    let page = folder.join("index.html");
    let page = std::fs::read(&page).map_err(LabError::file("read", page))?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let speaks = quic::Speaks::Http3 { page: page.into(), token: context.token.to_owned() };
    Ok(quic::Config { certificate, key, speaks })
}

fn page(name: &str, service: &Service, context: &Context<'_>) -> Result<Vec<u8>, LabError> {
    if let Some(page) = &service.page {
        let path = context.base.join(page.get_ref());
        return std::fs::read(&path).map_err(LabError::file("read", path));
    }
    let mut page = format!("<!doctype html>\n<title>{name}</title>\n<h1>{name}</h1>\n").into_bytes();
    let size = service.page_kb.as_ref().map_or(8, |s| *s.get_ref()) as usize * 1000;
    // Filler that doesn't compress away, the same in every run.
    let mut state = 0x9e37_79b9_u32;
    while page.len() < size {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        page.push(b'a' + (state % 26) as u8);
        if page.len() % 100 == 0 {
            page.push(b'\n');
        }
    }
    Ok(page)
}
