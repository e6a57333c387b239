//! An ordinary site: a dozen pages with style sheets, scripts and pictures, served by nginx over HTTP/2.
//!
//! Sizes are spread as on the Web (HTTP Archive: half of all responses are below some ten kilobytes, a few are large), and
//! are the same in every run. The certificate names many hosts, as those of hosting companies do, so that the handshake is
//! as long as usual.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::{Place, Running};
use crate::LabError;
use crate::hop::random::Random;
use crate::service::{system_program, write};

/// Where it ends connections after few requests, so that a browser makes several in a visit, and resumes TLS sessions.
pub(crate) const HASTY_PORT: u16 = 8444;
/// How many pages there are.
const PAGES: usize = 12;
/// How many other names the certificate has.
const NAMES: usize = 60;

/// The paths of a visit: a page, and what belongs to it.
pub(crate) fn visit(n: usize) -> Vec<String> {
    let page = n % PAGES;
    let assets = (0..assets(page)).map(|asset| format!("/{}", asset_name(page, asset)));
    std::iter::once(format!("/page-{page}.html")).chain(assets).collect()
}

fn assets(page: usize) -> usize {
    2 + page * 5 % 7
}

fn asset_name(page: usize, asset: usize) -> String {
    let kind = ["css", "js", "png"][asset % 3];
    format!("asset-{page}-{asset}.{kind}")
}

/// Starts it on a host, at port 443.
pub(crate) fn start(place: &Place, host: &str, name: &str) -> Result<Running, LabError> {
    let (folder, root) = (place.folder.join(name), root(place, name));
    fs::create_dir_all(&root).map_err(LabError::file("make", &root))?;
    make_pages(&root)?;
    let (certificate, key) = certify(place, name, &folder)?;
    let address = place.address(host)?;
    let file = folder.join("nginx.conf");
    write(&file, configuration(&folder, address, name, &certificate, &key))?;
    let mut command = Command::new(system_program("nginx"));
    command.arg("-e").arg("stderr").arg("-p").arg(&folder).arg("-c").arg(&file);
    let mut running = place.start(host, name, command)?;
    place.wait_for(host, 443, &mut running)?;
    Ok(running)
}

/// Where the files of the site of this name are.
pub(crate) fn root(place: &Place, name: &str) -> PathBuf {
    place.folder.join(name).join("root")
}

/// A certificate for the name and many others, with the authority's, and its key.
pub(crate) fn certify(place: &Place, name: &str, folder: &Path) -> Result<(PathBuf, PathBuf), LabError> {
    let mut names = vec![name.to_owned()];
    names.extend((0..NAMES).map(|n| format!("customer-{n:02}.shared-hosting.example")));
    let (certificate, key) = place.authority.certify(&names, folder)?;
    let read = |path: &Path| fs::read_to_string(path).map_err(LabError::file("read", path));
    write(&certificate, read(&certificate)? + &read(&place.authority.file)?)?;
    Ok((certificate, key))
}

fn configuration(folder: &Path, address: IpAddr, name: &str, certificate: &Path, key: &Path) -> String {
    let (here, certificate, key) = (folder.display(), certificate.display(), key.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("  {what}_temp_path {here}/{what};\n"))
        .collect();
    format!(
        "user root;\nworker_processes 1;\ndaemon off;\npid {here}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n  access_log off;\n  include /etc/nginx/mime.types;\n{temporary}  \
         ssl_protocols TLSv1.2 TLSv1.3;\n  ssl_certificate {certificate};\n  ssl_certificate_key {key};\n  \
         root {here}/root;\n  index page-0.html;\n  \
         server {{\n    listen {address}:443 ssl http2;\n    server_name {name};\n  }}\n  \
         server {{\n    listen {address}:{HASTY_PORT} ssl http2;\n    keepalive_requests 1;\n  }}\n}}\n"
    )
}

fn make_pages(root: &Path) -> Result<(), LabError> {
    let mut dice = Random::new(1);
    for page in 0..PAGES {
        let mut head = String::new();
        let mut body = String::new();
        for asset in 0..assets(page) {
            let name = asset_name(page, asset);
            match asset % 3 {
                0 => head.push_str(&format!("<link rel=stylesheet href=/{name}>\n")),
                1 => head.push_str(&format!("<script src=/{name}></script>\n")),
                _ => body.push_str(&format!("<img src=/{name} alt=''>\n")),
            }
            let size = size(&mut dice, 500, 120_000);
            // Comments of either language; a picture may be anything.
            let text = format!("/*{}*/", text(&mut dice, size));
            write(&root.join(name), text)?;
        }
        let size = size(&mut dice, 3_000, 40_000);
        let text = text(&mut dice, size);
        let html = format!("<!doctype html>\n<title>Page {page}</title>\n{head}<p>{text}</p>\n{body}");
        write(&root.join(format!("page-{page}.html")), html)?;
    }
    Ok(())
}

/// Between both, evenly by their logarithms.
fn size(dice: &mut Random, least: usize, most: usize) -> usize {
    (least as f64 * (most as f64 / least as f64).powf(dice.unit())) as usize
}

/// Letters in lines.
fn text(dice: &mut Random, size: usize) -> String {
    (0..size).map(|n| if n % 80 == 79 { '\n' } else { char::from(b'a' + dice.below(26) as u8) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_a_visit_is_there() {
        let folder = tempfile::tempdir().unwrap();
        make_pages(folder.path()).unwrap();
        for path in (0..PAGES).flat_map(visit) {
            let size = fs::metadata(folder.path().join(&path[1..])).unwrap().len();
            assert!((400..=150_000).contains(&size), "{path} has {size} bytes");
        }
        assert_eq!(visit(PAGES), visit(0));
    }
}
