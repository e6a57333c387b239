//! The text of a new configuration, with comments for whoever changes it.

use super::{Options, Tls};

const HEAD: &str = "\
# A tunnel's server. Paths are taken from this file's folder. To make a change count:
# systemctl reload daylight-server; a changed address takes a restart.

# The server's secret key. Whoever has it can pretend to be this server.
key = \"server.key\"
# The secrets of the cards that are let in, one a line.
cards = \"cards\"
# What the server remembers over a restart.
state = \"state\"
# Sessions have so many seconds to end by themselves when the server is stopped.
drain_s = 30
";
const SITE: &str = "
# What visitors see, and everybody who has no card. A site of your own is better than the one that was made.
[site]
folder = \"site\"
# Or another web server on this machine, whose site it is:
# origin = \"127.0.0.1:8080\"
";
const H3: &str = "
# HTTP/3, at port 443 of UDP, with the same site and certificate.
[h3]
";
const CENSUS: &str = "
# Counts users, without knowing them, and writes a table of each day, week and month to state/census.
[census]
# A database of countries by address (.mmdb), so that the tables have countries:
# regions = \"/usr/share/GeoIP/GeoLite2-Country.mmdb\"
";
const EGRESS: &str = "
# Where sessions may go. Never to private networks, nor to ports of mail.
[egress]
";

pub(super) fn text(options: &Options) -> String {
    let mut text = HEAD.to_owned();
    if let Some(name) = &options.name {
        text.push_str(SITE);
        text.push_str(&web(name, &options.tls));
        if options.has_h3() {
            text.push_str(H3);
        }
    }
    if let Some(port) = options.plain {
        text.push_str(&format!(
            "\n# Bytes that look like nothing, for clients to which no web site is reachable.\n\
             [plain]\nlisten = [\"0.0.0.0:{port}\", \"[::]:{port}\"]\n"
        ));
    }
    text + CENSUS + EGRESS
}

fn web(name: &str, tls: &Tls) -> String {
    let own = "\n# HTTPS, at port 443 of all addresses, with the site and the tunnel.\n[web]\n\
               # Visitors who come by HTTP are sent on.\nredirect = [\"0.0.0.0:80\", \"[::]:80\"]\n";
    match tls {
        Tls::Acme(contact) => {
            let contact = match contact {
                Some(contact) => format!("contact = {}\n", quoted(contact)),
                None => "# contact = \"you@example.org\"\n".to_owned(),
            };
            format!(
                "{own}\n# The certificate comes from Let's Encrypt, and is renewed, by itself.\n\
                 [web.acme]\nnames = [{}]\n\
                 # Where the authority writes to if something is wrong. Not needed.\n{contact}",
                quoted(name)
            )
        }
        Tls::Files(chain, key) => format!(
            "{own}certificate = {}\ncertificate_key = {}\n",
            quoted(&chain.to_string_lossy()),
            quoted(&key.to_string_lossy())
        ),
        Tls::InFront(port) => format!(
            "\n# HTTP for the web server in front, which ends TLS.\n[behind]\nlisten = \"127.0.0.1:{port}\"\n\
             # The header by which it says a visitor's address.\nvisitor = \"x-real-ip\"\n"
        ),
    }
}

/// As a string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
